"""Draws the picture of docs/projection.md on a phantom's CT: ``python -m benchmarks.projection_pictures``.

With ``--ct``, ``--labels`` and ``--names`` the program draws a real CT with its measures into ``--out``.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from artasyn.arrays import Picture, generator
from artasyn.findings import LesionKind
from artasyn.phantom.film import Phantom
from artasyn.pictures.measures import draw_measures
from artasyn.pictures.overlays import contact_sheet, overlay_mask, overlay_structures, write_picture
from artasyn.segment.ct.lesion import CTLesion
from artasyn.segment.ct.variation import Variation
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.measures.measures import measure
from artasyn.segment.projection.film_look import FilmLook
from artasyn.segment.projection.projection import Projection
from artasyn.segment.projection.randomisation import DomainRandomisation, Film, ProjectionRecord
from artasyn.segment.projection.view import View
from artasyn.segment.structures import find_members

DOCS = Path(__file__).parent.parent / "docs"
TILE = 320
LOOK = FilmLook(detail=0.8)
BONES = ("ribs", "spine", "clavicles")
SHOWN = (*BONES, "heart", "lung_right", "lung_left")


def outlined(film: Film) -> Picture:
    """A film with its structures."""
    projection: Projection = film.projection
    seen = {name: projection.mask(name) for name in SHOWN if find_members(name, projection.names)}
    bones = {name: mask for name, mask in seen.items() if name in BONES}
    return overlay_structures(film.image, bones, {name: mask for name, mask in seen.items() if name not in BONES})


def placed(volume: Volume, kind: LesionKind, radius: float, away: tuple[float, float, float]) -> CTLesion:
    """A lesion in the right lung, at the offset `away` (RAS+ mm) from the middle of the lung."""
    lesion = CTLesion.draw(volume, generator(3), kind=kind, structure="lung_right")
    lung = Structure.of(volume.mask("lung_right"))
    right, front, head = (float(mm) for mm in volume.place(np.array(lung.centroid())) + np.array(away))
    return dataclasses.replace(lesion, structure="lung_right", radius=radius, centre=(right, front, head))


def tiles(volume: Volume, pixel: float) -> list[tuple[str, np.ndarray]]:
    """The captions and pictures of all tiles."""
    shown: list[tuple[str, np.ndarray]] = []
    for caption, name in (("PA", "pa"), ("45 degrees", "45"), ("left lateral", "lateral")):
        record = ProjectionRecord(Variation(), View.named(name, size=None, pixel=pixel), LOOK)
        film = Film.of(volume, record)
        shown += [(caption, film.image), (f"{caption}: lungs, heart, bones", outlined(film))]
    view = View(size=None, pixel=pixel)
    lesions = (
        ("consolidation", placed(volume, "consolidation", 32.0, (15.0, 0.0, 10.0))),
        ("nodule", placed(volume, "nodule", 11.0, (20.0, 0.0, 45.0))),
    )
    for kind, lesion in lesions:
        film = Film.of(volume, ProjectionRecord(Variation(lesions=(lesion,)), view, LOOK))
        assert film.healthy is not None
        assert film.lesions is not None
        mask = overlay_mask(film.image, film.lesions)
        shown += [("before", film.healthy), (f"{kind} put into the CT", film.image), ("exactly what changed", mask)]
    for seed in range(6):
        drawn = DomainRandomisation().draw(volume, generator(seed), view=view)
        shown.append(("randomised", Film.of(volume, drawn).image))
    return shown


def measured(volume: Volume, pixel: float) -> Picture:
    """A film with its cardiothoracic ratio, Cobb angle and lung areas."""
    film = Film.of(volume, ProjectionRecord(Variation(), View(size=None, pixel=pixel), LOOK))
    projection = film.projection
    heart = projection.mask("heart") if "heart" in projection.names else None
    return draw_measures(film.image, measure(projection), lungs=projection.lungs().labels, heart=heart)


def main() -> None:
    """Writes docs/projection.png, or the pictures of a real CT."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ct", type=Path)
    options.add_argument("--labels", type=Path)
    options.add_argument("--names", type=Path)
    options.add_argument("--out", type=Path, default=DOCS)
    given = options.parse_args()
    if given.ct is None:
        phantom = Phantom()
        volume = Volume.of_phantom(phantom.volume(phantom.draw(generator(2)), spacing=1.5))
    else:
        volume = Volume.read(given.ct, given.labels, given.names)
        write_picture(given.out / "measures.png", measured(volume, 0.4))
    shown = tiles(volume, 0.7)
    pictures, captions = [tile for _, tile in shown], [caption for caption, _ in shown]
    write_picture(given.out / "projection.png", contact_sheet(pictures, captions, columns=3 * 2, tile=TILE))
    print(given.out / "projection.png")


if __name__ == "__main__":
    main()
