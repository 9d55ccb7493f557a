"""The layouts in which test sets lie on disk: those that are folders here, those with lists in `lists`.

Each reader takes the folder that was given, returns None where its layout is not there, and raises where it is but
something of it is missing: what is not known is left out and said, never taken as healthy or empty.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.files.radiograph import read_mask
from artasyn.testsets.lists import chexlocalize, nih, rsna, siim, vindr
from artasyn.testsets.tables import bare, located, number, read_table
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.testsets.truth import CocoRegions, MaskFile

HEALTHY = ("healthy", "normal")
"""Folders of healthy films in the layout `folder`, in either case."""

DISEASED = ("diseased", "abnormal", "pneumonia")
"""Folders of diseased films there."""


def artasyn(data: Path) -> TestSet | None:
    """Films in test/healthy and test/diseased, masks in ground_truth, lungs in lungs: QaTa-ZeroShot, `artasyn demo`.

    Without test/healthy (as QaTa-ZeroShot is published) there are no figures of image scores; without ground_truth
    there are none of pixels. Masks and lungs are called as their film is, or mask_ and that.
    """
    test = data / "test"
    if not (test / "diseased").is_dir():
        return None
    films = [source for source in find_sources([test]) if source.name.split("/")[0] in ("healthy", "diseased")]
    masks, lungs = (_by_name(data / name, films, labelled=True) for name in ("ground_truth", "lungs"))
    return TestSet(
        "artasyn",
        tuple(_film(film, film.name.startswith("diseased/"), masks, lungs) for film in films),
    )


def folder(data: Path) -> TestSet | None:
    """Films in folders, in one of two ways, with what is known of them beside.

    Either images/ with masks/ (an empty mask: healthy), boxes.csv (a row without numbers: healthy) or annotations.json
    of COCO (an image without annotations: healthy); or healthy/ (also normal/) and diseased/ (also abnormal/,
    pneumonia/), optionally with masks/ or boxes.csv for the diseased films. Both optionally with lungs/.
    """
    images, masks, lungs = (_child(data, name) for name in ("images", "masks", "lungs"))
    boxes, coco = data / "boxes.csv", data / "annotations.json"
    diseased = _child(data, *DISEASED)
    if diseased is not None:
        return _sorted(data, diseased, masks, lungs)
    if images is None or not (masks or boxes.is_file() or coco.is_file()):
        return None
    films = find_sources([images])
    left_out: dict[str, list[str]] = {}
    if masks is not None:
        found = _by_name(masks, films)
        unknown = [film.name for film in films if film.name not in found]
        if unknown:
            raise DataError(f"{masks}: no mask for {len(unknown)} of {len(films)} films ({unknown[0]}, ...); add them")
        known = [TestFilm(film, bool(read_mask(found[film.name]).any()), MaskFile(found[film.name])) for film in films]
    elif boxes.is_file():
        known = _boxed(films, images, boxes, left_out)
    else:
        known = _annotated(films, images, coco, left_out)
    inside = _by_name(lungs, films)
    made = (_film(f.source, f.diseased, {}, inside, known=f) for f in known)
    return TestSet("folder", tuple(made), left_out)


def _sorted(data: Path, diseased: Path, masks: Path | None, lungs: Path | None) -> TestSet:
    """Films that are sorted into folders by their label."""
    healthy, boxes = _child(data, *HEALTHY), data / "boxes.csv"
    kinds = {"diseased": diseased} | ({"healthy": healthy} if healthy else {})
    films = [Source(s.path, f"{kind}/{s.name}") for kind, place in kinds.items() for s in find_sources([place])]
    found, inside = (_by_name(place, films, labelled=True) for place in (masks, lungs))
    left_out: dict[str, list[str]] = {}
    marked: dict[str, TestFilm] = {}
    if boxes.is_file():
        marked = {film.source.name: film for film in _boxed(films, data, boxes, left_out)}
        del left_out[f"not in {boxes.name}"]  # they stay: their label is known
    made = (_film(f, f.name.startswith("diseased/"), found, inside, known=marked.get(f.name)) for f in films)
    return TestSet("folder", tuple(made), left_out)


def qata(data: Path) -> TestSet | None:
    """QaTa-COV19: Images, and Ground-truths with mask_ before each name; of version 2 its Test Set.

    Every film is of a patient with COVID-19. Version 1 has masks for 2951 of its 4603 films; the others are left out.
    """
    truths = located(data, "Ground-truths", depth=4, folders=True)
    places = [place for place in truths if _child(place.parent, "images")]
    tests = [place for place in places if place.parent.name == "Test Set"]
    if not places:
        return None
    chosen = (tests or places)[0]
    split = "Test Set" if tests else chosen.parent.name
    films = find_sources([_child(chosen.parent, "images") or chosen])
    masks = _by_name(chosen, films)
    bare_films = [film.name for film in films if film.name not in masks]
    published = chosen.parent.name in ("Test Set", "Train Set")
    known = films if published else [film for film in films if film.name in masks]
    return TestSet(
        "qata",
        tuple(_film(film, True, masks, {}) for film in known),
        {} if published else {"without a mask": bare_films},
        f"From {split}: {chosen.parent}.",
    )


def zhanglab(data: Path) -> TestSet | None:
    """Kermany's paediatric films (ZhangLab): chest_xray/test/NORMAL and PNEUMONIA, or these two folders themselves.

    Where the archive holds the same films again (chest_xray/chest_xray), the outermost are taken.
    """
    tests = [place for place in located(data, "test", depth=3, folders=True) if (place / "PNEUMONIA").is_dir()]
    place = next(iter(tests), data)
    if not (place / "NORMAL").is_dir() or not (place / "PNEUMONIA").is_dir():
        return None
    films = [film for film in find_sources([place]) if film.name.split("/")[0] in ("NORMAL", "PNEUMONIA")]
    return TestSet("zhanglab", tuple(TestFilm(film, film.name.startswith("PNEUMONIA/")) for film in films))


def _child(data: Path, *names: str) -> Path | None:
    """The folder inside another one that is called by one of some names, in either case."""
    there = sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    return next((path for name in names for path in there if path.name.casefold() == name), None)


def _film(
    film: Source,
    diseased: bool,
    masks: Mapping[str, Path],
    lungs: Mapping[str, Path],
    known: TestFilm | None = None,
) -> TestFilm:
    """A film with its files, and with what else is known of it."""
    truth = MaskFile(masks[film.name]) if diseased and film.name in masks else known.truth if known else None
    return TestFilm(film, diseased, truth, known.boxes if known else (), lungs=lungs.get(film.name))


def _by_name(place: Path | None, films: Sequence[Source], *, labelled: bool = False) -> dict[str, Path]:
    """The files of a folder that belong to films, by the film's name: called as it is, or mask_ and that.

    Args:
        place: the folder, if there is one.
        films: the films.
        labelled: the first folder in their names is their label, which the files may lack.
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
    """Films by what a list may call them: path below a folder or name alone, with suffix or without."""
    pairs = []
    for film in films:
        below = film.path.relative_to(place).as_posix()
        pairs += [(key, film) for key in {below, bare(below), film.path.name, bare(film.path.name)}]
    count = Counter(key for key, _ in pairs)
    return {key: film for key, film in pairs if count[key] == 1}


def _boxed(films: Sequence[Source], place: Path, path: Path, left_out: dict[str, list[str]]) -> list[TestFilm]:
    """Films with the boxes of a CSV: file (or name), x, y, w, h in pixels; a row without numbers: healthy."""
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
    """Films with the annotations of a COCO file: regions where it has any, and boxes."""
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


@dataclass(frozen=True)
class Layout:
    """How a test set lies on disk.

    Attributes:
        read: the test set in a folder; None where there is none of this layout.
        wanted: what it looks for.
    """

    read: Callable[[Path], TestSet | None]
    wanted: str


LAYOUTS: Mapping[str, Layout] = {
    "artasyn": Layout(
        artasyn,
        "test/healthy, test/diseased and, for pixel figures, ground_truth with a mask of the same name (or mask_ "
        "before it) for every diseased film",
    ),
    "qata": Layout(qata, "Images and Ground-truths, in Test Set or not"),
    "zhanglab": Layout(zhanglab, "test/NORMAL and test/PNEUMONIA"),
    "rsna": Layout(rsna, "stage_2_train_labels.csv and stage_2_train_images"),
    "nih": Layout(nih, "BBox_List_2017.csv, Data_Entry_2017*.csv and images*"),
    "chexlocalize": Layout(
        chexlocalize, "gt_segmentations_test.json (or _val), test_labels.csv (or val) and test/patient*"
    ),
    "siim": Layout(siim, "stage_2_train.csv or train-rle.csv, and DICOM files"),
    "vindr": Layout(vindr, "annotations_test.csv (or _train) or train.csv, and .dicom files"),
    "folder": Layout(
        folder,
        "images with masks, boxes.csv or annotations.json; or healthy (normal) and diseased (abnormal, pneumonia)",
    ),
}
"""The layouts that are read, in the order in which they are looked for."""


def find(data: Path, layout: str = "auto") -> TestSet:
    """The test set in a folder; see `TestSet.find`."""
    if layout != "auto" and layout not in LAYOUTS:
        raise DataError(f"no layout {layout!r}; there are auto, {', '.join(LAYOUTS)}")
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; name the folder of a test set")
    for name in [layout] if layout != "auto" else LAYOUTS:
        found = LAYOUTS[name].read(data)
        if found is not None:
            return found
    there = sorted(path.name + "/" * path.is_dir() for path in data.iterdir() if not path.name.startswith("."))
    holds = ", ".join(there[:8]) + ", ..." * (len(there) > 8) or "nothing"
    if layout != "auto":
        raise DataError(f"{data}: found {holds}, but no test set of layout {layout}: {LAYOUTS[layout].wanted}")
    others = "; ".join(f"{name}: {each.wanted}" for name, each in LAYOUTS.items() if name != "artasyn")
    raise DataError(
        f"{data}: found {holds}, but no folder test/diseased; wanted are {LAYOUTS['artasyn'].wanted}; or one of these "
        f"layouts: {others}"
    )
