"""Readers of test sets in plain folders: films sorted by label, or beside masks, boxes or COCO annotations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.files.radiograph import read_mask
from artasyn.testsets.tables import bare, number, read_table
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.testsets.truth import CocoRegions, MaskFile

HEALTHY = ("healthy", "normal")
"""Names of folders with healthy films in the layout `folder`, in upper or lower case."""


DISEASED = ("diseased", "abnormal", "pneumonia")
"""Names of folders with diseased films in the layout `folder`, in upper or lower case."""


def artasyn(data: Path) -> TestSet | None:
    """Reads films in test/healthy and test/diseased, masks in ground_truth and lungs in lungs.

    QaTa-ZeroShot and `artasyn demo` use this layout. Without test/healthy (as QaTa-ZeroShot is published) there are no
    figures of image scores. Without ground_truth there are no pixel figures. Files of masks and lungs have the name of
    their film, or mask_ before this name.
    """
    test = data / "test"
    if not (test / "diseased").is_dir():
        return None
    films = [source for source in find_sources([test]) if source.name.split("/")[0] in ("healthy", "diseased")]
    masks, lungs = (files_by_film(data / name, films, labelled=True) for name in ("ground_truth", "lungs"))
    return TestSet(
        "artasyn",
        tuple(known_film(film, film.name.startswith("diseased/"), masks, lungs) for film in films),
    )


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
    if masks is not None:
        found = files_by_film(masks, films)
        unknown = [film.name for film in films if film.name not in found]
        if unknown:
            raise DataError(f"{masks}: no mask for {len(unknown)} of {len(films)} films ({unknown[0]}, ...); add them")
        known = [TestFilm(film, bool(read_mask(found[film.name]).any()), MaskFile(found[film.name])) for film in films]
    elif boxes.is_file():
        known = _boxed(films, images, boxes, left_out)
    else:
        known = _annotated(films, images, coco, left_out)
    inside = files_by_film(lungs, films)
    made = (known_film(f.source, f.diseased, {}, inside, known=f) for f in known)
    return TestSet("folder", tuple(made), left_out)


def _sorted(data: Path, diseased: Path, masks: Path | None, lungs: Path | None) -> TestSet:
    """Reads films that are sorted into folders by their label."""
    healthy, boxes = child(data, *HEALTHY), data / "boxes.csv"
    kinds = {"diseased": diseased} | ({"healthy": healthy} if healthy else {})
    films = [Source(s.path, f"{kind}/{s.name}") for kind, place in kinds.items() for s in find_sources([place])]
    found, inside = (files_by_film(place, films, labelled=True) for place in (masks, lungs))
    left_out: dict[str, list[str]] = {}
    marked: dict[str, TestFilm] = {}
    if boxes.is_file():
        marked = {film.source.name: film for film in _boxed(films, data, boxes, left_out)}
        del left_out[f"not in {boxes.name}"]  # these films stay, because their label is known
    made = (known_film(f, f.name.startswith("diseased/"), found, inside, known=marked.get(f.name)) for f in films)
    return TestSet("folder", tuple(made), left_out)


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
    """Returns a film with its mask and lungs, and with the truth and boxes of `known`."""
    truth = MaskFile(masks[film.name]) if diseased and film.name in masks else known.truth if known else None
    return TestFilm(film, diseased, truth, known.boxes if known else (), lungs=lungs.get(film.name))


def files_by_film(place: Path | None, films: Sequence[Source], *, labelled: bool = False) -> dict[str, Path]:
    """Finds the files of a folder that belong to films, by the film's name, optionally with mask_ before it.

    Args:
        place: the folder; None if there is none.
        films: the films.
        labelled: whether the films' names begin with a folder for the label, which the files' names may lack.
    """
    if place is None or not place.is_dir():
        return {}
    files = {source.name: source.path for source in find_sources([place])}
    found = {}
    for film in films:
        own = [film.name, film.name.partition("/")[2]] if labelled else [film.name]
        prefixed = [(Path(name).parent / f"mask_{Path(name).name}").as_posix() for name in own]
        name = next((name for name in (*own, *prefixed) if name in files), None)
        if name is not None:
            found[film.name] = files[name]
    return found


def _keys(films: Sequence[Source], place: Path) -> dict[str, Source]:
    """Returns films by the keys that a list may use: path below a folder or name, with or without suffix."""
    pairs = []
    for film in films:
        below = film.path.relative_to(place).as_posix()
        pairs += [(key, film) for key in {below, bare(below), film.path.name, bare(film.path.name)}]
    count = Counter(key for key, _ in pairs)
    return {key: film for key, film in pairs if count[key] == 1}


def _boxed(films: Sequence[Source], place: Path, path: Path, left_out: dict[str, list[str]]) -> list[TestFilm]:
    """Reads films with the boxes of a CSV: file (or name), x, y, w, h in pixels; a row without numbers: healthy."""
    rows = read_table(path, (("file", "name"), "x", "y", "w", "h"))
    keys, boxes, missing = _keys(films, place), dict[str, list[Box]](), []
    for row in rows:
        film = keys.get(row["file"])
        if film is None:
            missing.append(row["file"])
            continue
        mine = boxes.setdefault(film.name, [])
        if any(row[column] for column in "xywh"):
            column, down, width, height = (number(row, name, path) for name in "xywh")
            mine.append((down, column, height, width))
    left_out["listed but not on disk"] = list(dict.fromkeys(missing))
    left_out[f"not in {path.name}"] = [film.name for film in films if film.name not in boxes]
    if not boxes:
        raise DataError(f"{path}: none of its {len(rows)} rows is of a film in {place}")
    return [
        TestFilm(film, bool(boxes[film.name]), boxes=tuple(boxes[film.name])) for film in films if film.name in boxes
    ]


def _annotated(films: Sequence[Source], place: Path, path: Path, left_out: dict[str, list[str]]) -> list[TestFilm]:
    """Reads films with the annotations of a COCO file: boxes, and regions if the file has any."""
    try:
        coco: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        shapes = {image["id"]: (int(image["height"]), int(image["width"])) for image in coco["images"]}
        drawn: dict[Any, list[tuple[Any, Box]]] = {image: [] for image in shapes}
        for each in coco["annotations"]:
            column, row, width, height = map(float, each["bbox"])
            drawn[each["image_id"]].append((each.get("segmentation"), (row, column, height, width)))
        names = {image["id"]: str(image["file_name"]) for image in coco["images"]}
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} is no COCO file ({type(error).__name__}: {error}); wanted are images with id, file_name, height, "
            "width and annotations with image_id, bbox and, for pixel figures, segmentation"
        ) from error
    keys = _keys(films, place)
    found = {image: keys.get(name) or keys.get(Path(name).name) for image, name in names.items()}
    made = []
    for image, film in found.items():
        if film is not None:
            regions = tuple(region for region, _ in drawn[image] if region)
            truth = CocoRegions(regions, shapes[image]) if regions else None
            made.append(TestFilm(film, bool(drawn[image]), truth, tuple(box for _, box in drawn[image])))
    there = {film.source.name for film in made}
    left_out["listed but not on disk"] = [names[image] for image, film in found.items() if film is None]
    left_out[f"not in {path.name}"] = [film.name for film in films if film.name not in there]
    return made
