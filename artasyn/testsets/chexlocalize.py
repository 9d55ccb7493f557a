"""Reader of CheXlocalize as published."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError
from artasyn.files.texts import read_text
from artasyn.records import parse_json
from artasyn.testsets.tables import NOT_ON_DISK, listed_film, located, on_disk, read_table
from artasyn.testsets.testset import TestSet
from artasyn.testsets.truth import CocoRegions

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
"""Findings of CheXlocalize that count as lesions: findings of the lungs and of the pleura.

Cardiomegaly, enlarged cardiomediastinum and support devices do not count. Films with only these are left out.
"""


NOT_DRAWN = ("Pneumonia", "Pleural Other")
"""Further findings of the lungs and of the pleura, whose regions CheXlocalize does not hold."""


CHEXPERT_SPLITS = (
    ("gt_segmentations_test.json", ("test",), ("test_labels.csv", "groundtruth.csv", "test.csv")),
    ("gt_segmentations_val.json", ("val", "valid"), ("val_labels.csv", "valid.csv")),
)
"""The parts of CheXlocalize: for each the segmentations, then possible names of the film folder and of the labels."""


POSITIVE = ("1", "1.0")
"""Positive labels of CheXpert; other labels are 0, -1 (uncertain) and empty."""


def chexlocalize(data: Path, counted: Collection[str] = CHEXPERT_FINDINGS) -> TestSet | None:
    """Reads CheXlocalize: masks of findings on frontal films of CheXpert.

    The films come from the test set, or else from the validation set. Films labelled No Finding are healthy. If the
    labels have no column No Finding, films without any positive label are healthy.

    Args:
        data: the folder.
        counted: the labels that count as lesions.
    """
    found = (_split(data, *names) for names in CHEXPERT_SPLITS)
    drawn, images, labels = next((each for each in found if each is not None), (None, None, None))
    if drawn is None or images is None:
        return None
    if labels is None:
        raise DataError(f"{data}: no labels of the films in {images}, as test_labels.csv or val_labels.csv")
    regions, table = (
        _segmentations(drawn, counted),
        {_key(r["Path"]): r for r in read_table(labels, (("Path", "Study"),))},
    )
    listed, left_out = [], defaultdict[str, list[str]](list)
    paths = {_key(source.path.relative_to(images).as_posix()): source.path for source in find_sources([images])}
    films = {name: Source(path, name) for name, path in paths.items() if name.startswith("patient")}
    for name in films:
        row, truth = table.get(name) or table.get(name.rpartition("/")[0]), regions.get(name.replace("/", "_"))
        if not name.endswith("_frontal"):
            left_out["not frontal"].append(name)
        elif truth:
            listed.append(listed_film(name, True, truth=truth, origin=drawn, patient=name.partition("/")[0]))
        elif row is None:
            left_out["without labels"].append(name)
        elif any(row.get(finding) in POSITIVE for finding in (*counted, *NOT_DRAWN)):
            left_out["with a finding of the lungs that is not drawn"].append(name)
        elif row["No Finding"] in POSITIVE if "No Finding" in row else not set(POSITIVE) & set(row.values()):
            listed.append(listed_film(name, False, patient=name.partition("/")[0]))
        else:
            left_out["with other findings alone"].append(name)
    keys = {*table, *(key.replace("_study", "/study").replace("_view", "/view") for key in regions)}
    left_out[NOT_ON_DISK] = sorted(key for key in keys - films.keys() if key.endswith("_frontal"))
    return on_disk("chexlocalize", listed, films, left_out, labels, f"From {images}.")


def _segmentations(path: Path, counted: Collection[str]) -> dict[str, CocoRegions]:
    """Reads the drawn regions of findings by film; films without such regions are left out."""
    try:
        films: dict[str, dict[str, Any]] = parse_json(read_text(path))
        found = {}
        for name, findings in films.items():
            regions = tuple(region for finding, region in findings.items() if finding in counted)
            rows, columns = regions[0]["size"] if regions else (0, 0)
            drawn = CocoRegions(regions, (int(rows), int(columns))).drawn
            if drawn.segmentations:
                found[name] = drawn
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DataError(f"{path} is no list of segmentations ({type(error).__name__}: {error})") from error
    return found


def _split(
    data: Path, drawn: str, folders: Sequence[str], labels: Sequence[str]
) -> tuple[Path, Path, Path | None] | None:
    """Finds the segmentations, the films and the labels (None if missing) of a part of CheXlocalize."""
    segmentations = next(iter(located(data, drawn, depth=3)), None)
    places = located(data, *folders, depth=3, folders=True)
    images = next((place for place in places if any(place.glob("patient*"))), None)
    if segmentations is None or images is None:
        return None
    return segmentations, images, next(iter(located(data, *labels, depth=3)), None)


def _key(path: str) -> str:
    """Returns the part of a path that identifies a film of CheXpert, ``patient1/study1/view1_frontal``, or a study."""
    found = re.search(r"patient\d+/study\d+(/view\d+_[a-z]+)?", path)
    return found[0] if found else path
