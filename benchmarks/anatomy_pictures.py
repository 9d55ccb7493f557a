"""Draws the picture of docs/anatomy.md: ``python -m benchmarks.anatomy_pictures``.

Every film is a phantom that the network has never seen: frontal films, one of them diseased, and two turned ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from artasyn.arrays import Image, Picture
from artasyn.phantom.film import Phantom
from artasyn.pictures.anatomy import overlay_anatomy
from artasyn.pictures.measures import draw_measures
from artasyn.pictures.overlays import contact_sheet, overlay_lungs, overlay_structures, write_picture
from artasyn.segment import AnatomyNet, View, Volume, project
from artasyn.segment.anatomy.anatomy import Anatomy

DOCS = Path(__file__).parent.parent / "docs"
TILE, SIZE = 320, 512
SEEDS, DISEASED, TURNED = (1003, 1011), 1007, 1005
"""Seeds of phantoms that trained nothing: a training counts its own from 0."""

TURNS = (30.0, 60.0)
"""Degrees of the turned films."""

BONES, FOOTPRINTS = ("ribs", "spine", "clavicles"), ("lung_right", "lung_left", "heart")


def turned(seed: int, angle: float) -> Image:
    """A phantom's film from another side."""
    phantom = Phantom()
    volume = Volume.of_phantom(phantom.volume(phantom.draw(np.random.default_rng(seed)), spacing=2.5))
    view = View(angle=angle, size=(SIZE, SIZE))
    return project(volume, view, frame="film", structures=["lungs"]).image


def measured(image: Image, anatomy: Anatomy) -> Picture:
    """A film with what `Anatomy.measure` gives."""
    return draw_measures(
        image, anatomy.measure(), lungs=anatomy.lungs("visible").labels, heart=anatomy.mask("drawn_heart")
    )


def tiles(net: AnatomyNet) -> list[tuple[str, Picture]]:
    """The captions and pictures of all tiles."""
    shown: list[tuple[str, Picture]] = []
    for seed in SEEDS:
        image = Phantom(size=SIZE)(seed).image
        anatomy = net(image)
        bones = {name: anatomy.mask(name) for name in BONES}
        shown += [
            ("main structures", overlay_anatomy(image, anatomy)),
            ("visible lungs", overlay_lungs(image, anatomy.lungs("visible").labels)),
            (
                "bones, and footprints",
                overlay_structures(image, bones, {name: anatomy.mask(name) for name in FOOTPRINTS}),
            ),
            ("measures", measured(image, anatomy)),
        ]
    diseased = Phantom(size=SIZE)(DISEASED, lesions=True).image
    anatomy = net(diseased)
    shown += [
        ("diseased: anatomy", overlay_anatomy(diseased, anatomy)),
        ("diseased: whole lungs", overlay_lungs(diseased, anatomy.lungs("whole").labels)),
    ]
    for angle in TURNS:
        image = turned(TURNED, angle)
        anatomy = net(image)
        shown.append((f"{angle:.0f} degrees, read as {anatomy.angle:.0f}", overlay_anatomy(image, anatomy)))
    return shown


def main() -> None:
    """Writes docs/anatomy.png."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="bundled", help="a model folder")
    options.add_argument("--out", type=Path, default=DOCS / "anatomy.png")
    chosen = options.parse_args()
    captions, pictures = zip(*tiles(AnatomyNet.from_pretrained(chosen.model)), strict=True)
    write_picture(chosen.out, contact_sheet(pictures, captions, columns=4, tile=TILE))
    print(chosen.out)


if __name__ == "__main__":
    main()
