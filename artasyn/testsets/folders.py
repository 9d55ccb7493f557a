"""Readers of test sets in plain folders: films sorted by label, or beside masks, boxes or COCO annotations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError, RadiographError
from artasyn.evaluation.boxes import Box
from artasyn.files.radiograph import read_mask
from artasyn.testsets.coco import annotated
from artasyn.testsets.names import Beside, listed_films
from artasyn.testsets.tables import NOT_ON_DISK, box_of, read_table
from artasyn.testsets.testset import TestFilm, TestSet, listed
from artasyn.testsets.truth import MaskFile

HEALTHY = ("healthy", "normal")
"""Names of folders with healthy films in the layout `folder`, in upper or lower case."""


DISEASED = ("diseased", "abnormal", "pneumonia")
"""Names of folders with diseased films in the layout `folder`, in upper or lower case."""


UNOWNED = "masks without a film"
"""The reason under which a test set names masks that belong to no film."""


def artasyn(data: Path) -> TestSet | None:
    """Reads films in test/healthy and test/diseased, masks in ground_truth and lungs in lungs.

    QaTa-ZeroShot and `artasyn demo` use this layout. Without test/healthy (as QaTa-ZeroShot is published) there are no
    figures of image scores. Without ground_truth there are no pixel figures. Files of masks and lungs have the name of
    their film, or mask_ before or _mask behind this name. A healthy film may have an empty mask.
    """
    test = data / "test"
    if not (test / "diseased").is_dir():
        return None
    films = [source for source in find_sources([test]) if source.name.split("/")[0] in ("healthy", "diseased")]
    masks, left_out = _masks(data / "ground_truth", films)
    lungs = Beside(data / "lungs").of(films, labelled=True)
    made = (known_film(film, film.name.startswith("diseased/"), masks, lungs) for film in films)
    return TestSet("artasyn", tuple(made), left_out)


def folder(data: Path) -> TestSet | None:
    """Reads films in folders, in one of two forms.

    The first form has images/ and one of three sources of truth: masks/ (an empty mask: healthy), boxes.csv (a row
    without numbers: healthy) or a COCO annotations.json (an image without annotations: healthy). The second form has
    healthy/ (also normal/) and diseased/ (also abnormal/, pneumonia/), optionally with masks/ or boxes.csv for the
    diseased films. Both forms may have lungs/.
    """
    images, masks, lungs = (child(data, name) for name in ("images", "masks", "lungs"))
    boxes, coco = data / "boxes.csv", data / "annotations.json"
    diseased = child(data, *DISEASED)
    if diseased is not None:
        return _sorted(data, diseased, masks, lungs)
    if images is None or not (masks or boxes.is_file() or coco.is_file()):
        return None
    films = find_sources([images])
    left_out: dict[str, list[str]] = {}
    failed: list[tuple[Source, str]] = []
    unread = [path.name for path in (boxes, coco) if masks is not None or path is not boxes]
    if masks is not None:
        known = _masked(films, masks, left_out, failed)
    elif boxes.is_file():
        known = _boxed(films, [images], boxes, left_out)
    else:
        known, unread = annotated(films, images, coco, left_out, failed), []
    inside = Beside(lungs).of(films)
    made = (known_film(f.source, f.diseased, {}, inside, known=f) for f in known)
    return TestSet("folder", tuple(made), left_out, _unread(data, unread), tuple(failed))


def _sorted(data: Path, diseased: Path, masks: Path | None, lungs: Path | None) -> TestSet:
    """Reads films that are sorted into folders by their label."""
    healthy, boxes = child(data, *HEALTHY), data / "boxes.csv"
    kinds = {"diseased": diseased} | ({"healthy": healthy} if healthy else {})
    films = [Source(s.path, f"{kind}/{s.name}") for kind, place in kinds.items() for s in find_sources([place])]
    found, left_out = _masks(masks, films)
    inside = Beside(lungs).of(films, labelled=True)
    marked: dict[str, TestFilm] = {}
    if boxes.is_file():
        marked = {film.source.name: film for film in _boxed(films, [*kinds.values()], boxes, left_out)}
        del left_out[f"not in {boxes.name}"]  # these films stay, because their label is known
    made = (known_film(f, f.name.startswith("diseased/"), found, inside, known=marked.get(f.name)) for f in films)
    return TestSet("folder", tuple(made), left_out, _unread(data, ["annotations.json"]))


def child(data: Path, *names: str) -> Path | None:
    """Finds a folder by its name, in upper or lower case, inside another folder; earlier names come first."""
    there = sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    return next((path for name in names for path in there if path.name.casefold() == name), None)


def known_film(
    film: Source,
    diseased: bool,
    masks: Mapping[str, Path],
    lungs: Mapping[str, Path],
    known: TestFilm | None = None,
) -> TestFilm:
    """Returns a film with its mask and lungs, or with the truth and boxes of `known`."""
    truth = MaskFile(masks[film.name]) if film.name in masks else known.truth if known else None
    before = known or TestFilm(film, diseased)
    return dataclasses.replace(before, diseased=diseased, truth=truth, lungs=lungs.get(film.name))


def _unread(data: Path, names: Sequence[str]) -> str:
    """Returns a remark on the files with ground truth that are there but not used."""
    there = [name for name in names if (data / name).is_file()]
    return f"Not used: {', '.join(there)}." if there else ""


def _masks(place: Path | None, films: Sequence[Source]) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Returns the masks of films that are sorted by label, and the names of masks without a film.

    Raises:
        DataError: a diseased film has no mask, although there are masks; or a healthy film has a lesion.
    """
    beside = Beside(place)
    if beside.place is None:
        return {}, {}
    diseased, healthy = ([f for f in films if f.name.startswith(kind)] for kind in ("diseased/", "healthy/"))
    found = beside.of(diseased, labelled=True)
    beside.missing(diseased, found, "diseased films")
    empty = beside.of(healthy, labelled=True)
    wrong = [name for name, path in empty.items() if _is_drawn(path)]
    if wrong:
        raise DataError(
            f"{place}: lesions on {len(wrong)} films that are labelled healthy ({listed(wrong)}); correct their labels "
            "or masks"
        )
    return found | empty, {UNOWNED: beside.spare}


def _is_drawn(path: Path) -> bool:
    """Returns whether a mask holds a lesion; a mask that is not readable is reported when its film is measured."""
    try:
        return bool(read_mask(path).any())
    except RadiographError:
        return False


def _masked(
    films: Sequence[Source], place: Path, left_out: dict[str, list[str]], failed: list[tuple[Source, str]]
) -> list[TestFilm]:
    """Reads films that all have masks; an empty mask means healthy, and a mask that is not readable means nothing."""
    beside = Beside(place)
    found = beside.of(films)
    beside.missing(films, found)
    left_out[UNOWNED] = beside.spare
    known = []
    for film in films:
        try:
            diseased = bool(read_mask(found[film.name]).any())
        except RadiographError as error:
            failed.append((film, str(error)))
            continue
        known.append(TestFilm(film, diseased, MaskFile(found[film.name])))
    return known


def _boxed(
    films: Sequence[Source], places: Sequence[Path], path: Path, left_out: dict[str, list[str]]
) -> list[TestFilm]:
    """Reads films with the boxes of a CSV: file (or name), x, y, w, h in pixels; a row without numbers: healthy."""
    rows = read_table(path, (("file", "name"), "x", "y", "w", "h"))
    named = listed_films(dict.fromkeys(row["file"] for row in rows), films, places, path)
    boxes, missing, healthy = dict[str, list[Box]](), list[str](), set[str]()
    for row in rows:
        film = named.get(row["file"])
        if film is None:
            missing.append(row["file"])
            continue
        mine = boxes.setdefault(film.name, [])
        if not any(row[column] for column in "xywh"):
            healthy.add(film.name)
            continue
        mine.append(box_of(row, path, *"xywh"))
        if not min(mine[-1][2:]) > 0:
            raise DataError(f"{path}: a box without width or height in the row {','.join(row.values())[:80]}")
    wrong = [name for name in boxes if name in healthy and boxes[name]]
    if wrong:
        raise DataError(
            f"{path}: films with boxes and with a row without numbers, which means healthy: {listed(wrong)}"
        )
    left_out[NOT_ON_DISK] = list(dict.fromkeys(missing))
    left_out[f"not in {path.name}"] = [film.name for film in films if film.name not in boxes]
    if not boxes:
        raise DataError(
            f"{path}: none of its {len(rows)} rows is of a film in {places[0]}; it lists {listed(missing)}, and there "
            f"are {listed([film.name for film in films])}"
        )
    return [
        TestFilm(film, bool(boxes[film.name]), boxes=tuple(boxes[film.name]), origin=path)
        for film in films
        if film.name in boxes
    ]
