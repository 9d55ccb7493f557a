"""Films of a CT or of a phantom's CT at chosen angles, with the names of what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artasyn.app.reading import FRONTAL_MARKS, SIDE, spoken
from artasyn.app.uploads import unpacked
from artasyn.errors import ArtasynError, DataError
from artasyn.phantom.film import Phantom
from artasyn.pictures.anatomy import COLOURS
from artasyn.pictures.hover import Region, hover_picture
from artasyn.pictures.thumbnails import on_grid, thumbnail
from artasyn.segment.ct.variation import Variation
from artasyn.segment.ct.volume import Volume
from artasyn.segment.measures.measures import Measures, measure
from artasyn.segment.projection.film_look import FilmLook
from artasyn.segment.projection.projection import Frame
from artasyn.segment.projection.quality import check_volume
from artasyn.segment.projection.randomisation import Film, ProjectionRecord
from artasyn.segment.projection.view import View
from artasyn.segment.structures import find_members

MOST_VIEWS = 6
"""Most films of one request."""

PIXEL = 0.7
"""Size of the detector's pixels, mm."""

DETAIL = 0.8
"""`FilmLook.detail` of the films, as `artasyn project` makes them."""

VOXEL = 3.0
"""Size of the voxels of a phantom's CT, mm."""

OBLIQUE = 0.2
"""Cosine of the angle to the frontal view below which a film does not separate left from right well."""

COVERING = ("soft_tissue", "body", "mediastinum", "abdomen", "air")
"""Structures that would cover all others under the pointer."""

GROUPS = {
    "right lung": "lung_right",
    "left lung": "lung_left",
    "heart": "heart",
    "spine": "spine",
    "clavicles": "clavicles",
    "trachea": "trachea",
}
"""The structures that are outlined, by the names of their colours."""


@dataclass(frozen=True, eq=False)
class Projected:
    """A film of a volume.

    Attributes:
        view: its name.
        film: the film with its projection.
        measures: of the film.
    """

    view: str
    film: Film
    measures: Measures

    @property
    def notes(self) -> tuple[str, ...]:
        """Reasons why measures are missing, each once."""
        return tuple(dict.fromkeys(self.measures.reasons.values()))


@dataclass(frozen=True, eq=False)
class Scan:
    """A volume that was read, with what must be said of it.

    Attributes:
        name: of the file, or of the phantom.
        volume: the patient.
        doubts: reasons not to use it, and remarks, in sentences.
    """

    name: str
    volume: Volume
    doubts: tuple[str, ...]

    @property
    def frame(self) -> Frame:
        """The field of a chest film where lungs are labelled, else all that the scan covers."""
        return "film" if find_members("lungs", self.volume.structures) else "covered"

    def films(self, views: dict[str, View]) -> list[Projected]:
        """Returns a film of each view.

        Args:
            views: by their names.

        Raises:
            DataError: the scan does not cover a view.
        """
        found = []
        for name, view in views.items():
            try:
                film = Film.of(self.volume, ProjectionRecord(Variation(), view, FilmLook(self.frame, detail=DETAIL)))
            except DataError as error:
                raise DataError(f"{self.name}, view {name}: {error}") from error
            found.append(Projected(name, film, measure(film.projection)))
        return found


def read_scan(path: Path, labels: Path | None, names: Path | None, *, folder: Path, most: int) -> Scan:
    """Reads a CT and its labels.

    Args:
        path: NIfTI, NRRD, MetaImage, or a ZIP with the slices of one DICOM series.
        labels: a label map, a DICOM segmentation, or a ZIP with a mask for each structure; None for no labels.
        names: a file with the names of the label map's numbers; None where the label map holds them.
        folder: where ZIPs are unpacked; they are deleted by the caller.
        most: bytes that the files of a ZIP may have together.

    Raises:
        DataError: a file is missing, damaged or not a CT, or the labels are on another grid.
    """
    if labels is None and names is not None:
        raise DataError(f"{names.name} names labels, but no labels were given; add the label map")
    source = _plain(path, folder / "ct", most)
    try:
        volume = Volume.read(source)
        if labels is not None:
            volume = volume.labelled(_plain(labels, folder / "labels", most), names)
    except ArtasynError as error:
        text = str(error)
        for each, there in ((path, "ct"), (labels, "labels"), (names, "")):
            if each is not None:
                text = text.replace(str(folder / there) if there else str(each), each.name)
                text = text.replace(str(each), each.name)
        raise DataError(text) from error
    return _checked(path.name, volume)


def phantom_scan(seed: int) -> Scan:
    """Makes the CT of a phantom.

    Args:
        seed: not negative.
    """
    phantom = Phantom()
    volume = Volume.of_phantom(phantom.volume(phantom.draw(np.random.default_rng(seed)), spacing=VOXEL))
    return Scan(f"CT of phantom {seed}", volume, volume.notes)


def views_of(names: Sequence[str], angles: str) -> dict[str, View]:
    """Returns the views by their names.

    Args:
        names: usual views, keys of `View.NAMES`.
        angles: further angles about the body's axis, degrees, with commas or spaces between.

    Raises:
        DataError: no view, too many of them, or an angle that is no number of degrees.

    Example:
        >>> [(name, view.angle) for name, view in views_of(["pa"], "30, -45").items()]
        [('pa', 0.0), ('30', 30.0), ('-45', -45.0)]
    """
    wanted = list(dict.fromkeys([*names, *angles.replace(",", " ").replace("°", " ").split()]))
    if not 1 <= len(wanted) <= MOST_VIEWS:
        raise DataError(f"{len(wanted)} views were chosen; choose from 1 to {MOST_VIEWS}")
    return {name: View.named(name, size=None, pixel=PIXEL) for name in wanted}


def film_picture(projected: Projected) -> str:
    """Returns a film as SVG: main structures outlined, every structure named under the pointer.

    Args:
        projected: the film.
    """
    film, projection = projected.film, projected.film.projection
    small = np.asarray(thumbnail(film.image, SIDE), np.float32)
    regions = [
        Region(name, on_grid(projection.mask(group), small), COLOURS[name])
        for name, group in GROUPS.items()
        if find_members(group, projection.names)
    ]
    outlined = {member for group in ("heart",) for member in find_members(group, projection.names)}
    regions += [
        Region(spoken(name), on_grid(projection.mask(name), small))
        for name in projection.names
        if name not in COVERING and name not in outlined
    ]
    hint = "point at a structure" if regions else "no labels were given"
    return hover_picture(small, regions, hint=hint, marks=marks_of(projection.view.angle))


def marks_of(angle: float) -> dict[str, str]:
    """Returns the marks at the borders of a film: the patient's sides, or front and back in a lateral view.

    Args:
        angle: of the view, degrees, as in `View`.

    Example:
        >>> marks_of(0.0), marks_of(90.0), marks_of(85.0)
        ({'left': 'R', 'right': 'L'}, {'left': 'A', 'right': 'P'}, {})
    """
    frontal = math.cos(math.radians(angle))
    if abs(frontal) > OBLIQUE:
        return dict(FRONTAL_MARKS)
    return {"left": "A", "right": "P"} if abs(frontal) < 1e-6 else {}


def _plain(path: Path, folder: Path, most: int) -> Path:
    """Returns the file itself, or the folder of what a ZIP holds."""
    return unpacked(path, folder, most) if path.suffix.lower() == ".zip" else path


def _checked(name: str, volume: Volume) -> Scan:
    """Returns a volume with its quality; without lungs among its structures, that is not asked."""
    notes = volume.notes
    if not find_members("lungs", volume.structures):
        told = "no lungs are labelled, so the films show all that the scan covers, and nothing is measured"
        return Scan(name, volume, (told, *notes))
    quality = check_volume(volume)
    return Scan(name, volume, tuple(dict.fromkeys((*quality.reasons, *quality.notes, *notes))))
