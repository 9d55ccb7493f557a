"""Test sets whose labels, boxes or masks are in lists: RSNA, NIH, CheXlocalize, SIIM-ACR and VinDr-CXR.

Regions are in pixels as stored: films whose DICOM says that they are to be turned are turned when read, their regions
are not; none of these sets says so.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.files.dicom import DICOM_SUFFIXES
from artasyn.testsets.tables import Record, bare, films_below, located, number, read_cells, read_table
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.testsets.truth import CocoRegions, RelativeRuns

NOT_ON_DISK = "listed but not on disk"

NIH_FINDINGS = ("Atelectasis", "Effusion", "Infiltrate", "Mass", "Nodule", "Pneumonia")
"""Findings of ChestX-ray14 with boxes that count as lesions: opacities of the lungs and of the pleura.

Cardiomegaly is none of the lungs, and pneumothorax is no opacity; films with boxes of these alone are left out.
"""

NIH_FRAME = (1024, 1024)
"""Rows and columns of every film of ChestX-ray14 as published, in which its boxes are given."""

CHEXPERT_FINDINGS = (
    "Airspace Opacity",
    "Atelectasis",
    "Consolidation",
    "Edema",
    "Lung Lesion",
    "Lung Opacity",
    "Pleural Effusion",
    "Pneumothorax",
)
"""Findings of CheXlocalize that count as lesions: those of the lungs and of the pleura.

Cardiomegaly, enlarged cardiomediastinum and support devices do not; films with these alone are left out.
"""

CHEXPERT_SPLITS = (
    ("gt_segmentations_test.json", ("test",), ("test_labels.csv", "groundtruth.csv", "test.csv")),
    ("gt_segmentations_val.json", ("val", "valid"), ("val_labels.csv", "valid.csv")),
)
"""Of the parts of CheXlocalize the segmentations, folders of films and labels, by any of their names."""

POSITIVE = ("1", "1.0")
"""Labels of CheXpert that say yes; others are 0, -1 (uncertain) and nothing."""

SIIM_FRAME = (1024, 1024)
"""Rows and columns of every film of SIIM-ACR, in which its masks are given."""

VINDR_FINDINGS = (
    "Atelectasis",
    "Calcification",
    "Consolidation",
    "Edema",
    "Emphysema",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Lung cavity",
    "Lung cyst",
    "Nodule/Mass",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
)
"""Findings of VinDr-CXR that count as lesions: those of the lungs and of the pleura.

Those of the heart, aorta, pulmonary artery, mediastinum and bones do not, nor do other lesions, which may be anywhere;
films with these alone are left out.
"""


def rsna(data: Path) -> TestSet | None:
    """RSNA Pneumonia Detection Challenge 2018, its training part: boxes around lung opacities.

    Healthy is the class Normal. Films of the class No Lung Opacity / Not Normal are left out; without
    stage_2_detailed_class_info.csv nothing tells them from normal ones, and all films without boxes are.
    """
    labels = next(iter(located(data, "stage_2_train_labels.csv")), None)
    if labels is None:
        return None
    rows = read_table(labels, ("patientId", "x", "y", "width", "height", "Target"))
    info = labels.with_name("stage_2_detailed_class_info.csv")
    classes = {r["patientId"]: r["class"] for r in read_table(info, ("patientId", "class"))} if info.is_file() else {}
    listed, left_out = [], defaultdict[str, list[str]](list)
    for name, mine in _grouped(rows, "patientId").items():
        boxes = tuple(_box(row, labels, "x", "y", "width", "height") for row in mine if row["Target"] == "1")
        kind = classes.get(name, "unknown")
        if boxes or kind == "Normal":
            listed.append(_listed(name, bool(boxes), boxes=boxes))
        else:
            left_out[f"of class {kind}"].append(name)
    return _on_disk("rsna", listed, films_below(_folders(labels, "stage_2_train_images")), left_out, labels)


def nih(data: Path) -> TestSet | None:
    """NIH ChestX-ray14: boxes around `NIH_FINDINGS`; healthy films are those of No Finding.

    The latter are those of test_list.txt where that is there. Boxes are in a film of 1024 x 1024 pixels.
    """
    path = next(iter(located(data, "BBox_List_2017.csv")), None)
    if path is None:
        return None
    header, *rows = read_cells(path)
    start = next((n for n, name in enumerate(header) if name.startswith("Bbox")), None)  # "Bbox [x,y,w,h]",,,
    if start is None or not {"Image Index", "Finding Label"} <= set(header):
        wanted = "Image Index, Finding Label, Bbox [x,y,w,h]"
        raise DataError(f"{path}: no column of {wanted}; its columns are {', '.join(header)}")
    name, label = header.index("Image Index"), header.index("Finding Label")
    boxes, others = defaultdict[str, list[Box]](list), list[str]()
    for cells in rows:
        row = [*cells, *[""] * (start + 4)]  # published rows end where their numbers do
        box = _box({"name": row[name], **dict(zip("xywh", row[start : start + 4], strict=True))}, path, *"xywh")
        if row[label] in NIH_FINDINGS:
            boxes[bare(row[name])].append(box)
        else:
            others.append(bare(row[name]))
    listed = [_listed(film, True, boxes=tuple(mine), frame=NIH_FRAME) for film, mine in boxes.items()]
    left_out = {"with boxes of other findings alone": [film for film in dict.fromkeys(others) if film not in boxes]}
    entries = sorted(path.parent.glob("Data_Entry_2017*.csv"))
    note = "" if entries else f"There is no Data_Entry_2017.csv beside {path.name}: healthy films are not known."
    if entries:
        tested = path.with_name("test_list.txt")
        allowed = {bare(line.strip()) for line in tested.read_text().splitlines()} if tested.is_file() else None
        normal = [
            bare(row["Image Index"])
            for row in read_table(entries[-1], ("Image Index", "Finding Labels"))
            if row["Finding Labels"] == "No Finding"
        ]
        healthy = [film for film in normal if allowed is None or film in allowed]
        left_out["healthy but not in test_list.txt"] = sorted(set(normal) - set(healthy))
        listed += [_listed(film, False) for film in healthy if film not in boxes]
    files = films_below(_folders(path, "images*"))
    return _on_disk("nih", listed, files, left_out, path, note)


def chexlocalize(data: Path) -> TestSet | None:
    """CheXlocalize: masks of `CHEXPERT_FINDINGS` on frontal films of CheXpert, of its test set or else validation set.

    Healthy films are those that the labels call No Finding or, where there is no such label, those without any.
    """
    found = (_split(data, *names) for names in CHEXPERT_SPLITS)
    drawn, images, labels = next((each for each in found if each is not None), (None, None, None))
    if drawn is None or images is None:
        return None
    if labels is None:
        raise DataError(f"{data}: no labels of the films in {images}, as test_labels.csv or val_labels.csv")
    regions, table = _segmentations(drawn), {_key(r["Path"]): r for r in read_table(labels, (("Path", "Study"),))}
    listed, left_out = [], defaultdict[str, list[str]](list)
    paths = {_key(source.path.relative_to(images).as_posix()): source.path for source in find_sources([images])}
    films = {name: Source(path, name) for name, path in paths.items() if name.startswith("patient")}
    for name in films:
        row, truth = table.get(name) or table.get(name.rpartition("/")[0]), regions.get(name.replace("/", "_"))
        if not name.endswith("_frontal"):
            left_out["not frontal"].append(name)
        elif truth:
            listed.append(_listed(name, True, truth=truth))
        elif row is None:
            left_out["without labels"].append(name)
        elif any(row.get(finding) in POSITIVE for finding in (*CHEXPERT_FINDINGS, "Pneumonia", "Pleural Other")):
            left_out["with a finding of the lungs that is not drawn"].append(name)
        elif row["No Finding"] in POSITIVE if "No Finding" in row else not set(POSITIVE) & set(row.values()):
            listed.append(_listed(name, False))
        else:
            left_out["with findings outside the lungs alone"].append(name)
    keys = {*table, *(key.replace("_study", "/study").replace("_view", "/view") for key in regions)}
    left_out[NOT_ON_DISK] = sorted(key for key in keys - films.keys() if key.endswith("_frontal"))
    return _on_disk("chexlocalize", listed, films, left_out, labels, f"From {images}.")


def siim(data: Path) -> TestSet | None:
    """SIIM-ACR Pneumothorax Segmentation: masks of pneumothoraces; healthy is without one."""
    path = next(iter(located(data, "stage_2_train.csv", "train-rle.csv")), None)
    if path is None:
        return None
    listed = []
    for name, rows in _grouped(read_table(path, ("ImageId", "EncodedPixels")), "ImageId").items():
        codes = tuple(row["EncodedPixels"] for row in rows)
        if not all(codes):
            raise DataError(f"{path}: no run lengths and no -1 for {name}; download it again")
        drawn = tuple(code for code in codes if code != "-1")
        listed.append(_listed(name, bool(drawn), truth=RelativeRuns(drawn, SIIM_FRAME) if drawn else None))
    note = "Healthy means without pneumothorax; other findings may be there."
    return _on_disk("siim", listed, films_below([data], DICOM_SUFFIXES), {}, path, note)


def vindr(data: Path) -> TestSet | None:
    """VinDr-CXR: boxes around `VINDR_FINDINGS`, those of all readers together; healthy films are those of No finding.

    The test part where its annotations and films are there, else the training part, as on PhysioNet or (train.csv) on
    Kaggle.
    """
    wanted = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    found = located(data, "annotations_test.csv", "annotations_train.csv", "train.csv")
    path = next((path for path in found if _part(path)), next(iter(found), None))
    if path is None or (path.name == "train.csv" and not {"image_id", "class_name"} <= set(read_cells(path)[0])):
        return None
    listed, left_out = [], defaultdict[str, list[str]](list)
    for name, rows in _grouped(read_table(path, wanted), "image_id").items():
        boxes = tuple(_corners(row, path) for row in rows if row["class_name"] in VINDR_FINDINGS)
        if boxes or all(row["class_name"] == "No finding" for row in rows):
            listed.append(_listed(name, bool(boxes), boxes=boxes))
        else:
            left_out["with findings outside the lungs alone"].append(name)
    return _on_disk("vindr", listed, films_below([_part(path) or data]), left_out, path, f"From {path.name}.")


def _part(path: Path) -> Path | None:
    """The folder with the films of a part of VinDr-CXR, beside its annotations or beside their folder."""
    part = "test" if "test" in path.name else "train"
    return next((place for above in path.parents[:2] if (place := above / part).is_dir()), None)


def _listed(name: str, diseased: bool, **known: Any) -> TestFilm:
    """A film of a list, whose file is still to be found."""
    return TestFilm(Source(Path(name), name), diseased, **known)


def _on_disk(
    layout: str,
    listed: Sequence[TestFilm],
    files: Mapping[str, Source],
    left_out: Mapping[str, Sequence[str]],
    path: Path,
    note: str = "",
) -> TestSet:
    """The test set of the films of a list that are on disk."""
    films = [dataclasses.replace(f, source=files[f.source.name]) for f in listed if f.source.name in files]
    missing = [film.source.name for film in listed if film.source.name not in files]
    if not films:
        raise DataError(
            f"{path}: none of the {len(listed)} healthy or diseased films that it lists is among the {len(files)} on "
            f"disk ({', '.join(missing[:1])}, ...); put the films beside it as they are published"
        )
    return TestSet(layout, tuple(films), {**left_out, NOT_ON_DISK: [*left_out.get(NOT_ON_DISK, ()), *missing]}, note)


def _folders(path: Path, pattern: str) -> list[Path]:
    """The folders beside a list that hold its films."""
    found = [place for place in sorted(path.parent.glob(pattern)) if place.is_dir()]
    if not found:
        raise DataError(f"{path.parent}: {path.name} is here, but no folder {pattern} with its films")
    return found


def _grouped(rows: Iterable[Record], column: str) -> dict[str, list[Record]]:
    """Rows by the film that they are of, in the order of the list."""
    found = defaultdict[str, list[Record]](list)
    for row in rows:
        found[row[column]].append(row)
    return found


def _box(row: Mapping[str, str], path: Path, *columns: str) -> Box:
    """The box of a row, whose columns are called as these four: left, top, width and height."""
    left, top, width, height = (number(row, column, path) for column in columns)
    return top, left, height, width


def _corners(row: Mapping[str, str], path: Path) -> Box:
    """The box of a row that gives two corners."""
    left, top, right, bottom = (number(row, column, path) for column in ("x_min", "y_min", "x_max", "y_max"))
    return top, left, bottom - top, right - left


def _segmentations(path: Path) -> dict[str, CocoRegions]:
    """What of the lungs is drawn on each film of CheXlocalize; films on which nothing is are not among them."""
    try:
        films: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        found = {}
        for name, findings in films.items():
            regions = tuple(region for finding, region in findings.items() if finding in CHEXPERT_FINDINGS)
            rows, columns = regions[0]["size"] if regions else (0, 0)
            drawn = CocoRegions(regions, (int(rows), int(columns))).drawn
            if drawn.segmentations:
                found[name] = drawn
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise DataError(f"{path} is no list of segmentations ({type(error).__name__}: {error})") from error
    return found


def _split(
    data: Path, drawn: str, folders: Sequence[str], labels: Sequence[str]
) -> tuple[Path, Path, Path | None] | None:
    """The segmentations, the films and, if they are there, the labels of a part of CheXlocalize."""
    segmentations = next(iter(located(data, drawn, depth=3)), None)
    places = located(data, *folders, depth=3, folders=True)
    images = next((place for place in places if any(place.glob("patient*"))), None)
    if segmentations is None or images is None:
        return None
    return segmentations, images, next(iter(located(data, *labels, depth=3)), None)


def _key(path: str) -> str:
    """What of a path tells films of CheXpert apart: ``patient1/study1/view1_frontal``, or the study alone."""
    found = re.search(r"patient\d+/study\d+(/view\d+_[a-z]+)?", path)
    return found[0] if found else path
