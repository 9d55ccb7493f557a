"""VinDr-CXR as published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from artasyn.evaluation.boxes import Box
from artasyn.testsets.lists import grouped, listed_film, on_disk
from artasyn.testsets.tables import films_below, located, number, read_cells, read_table
from artasyn.testsets.testset import TestSet

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
    for name, rows in grouped(read_table(path, wanted), "image_id").items():
        boxes = tuple(_corners(row, path) for row in rows if row["class_name"] in VINDR_FINDINGS)
        if boxes or all(row["class_name"] == "No finding" for row in rows):
            listed.append(listed_film(name, bool(boxes), boxes=boxes))
        else:
            left_out["with findings outside the lungs alone"].append(name)
    return on_disk("vindr", listed, films_below([_part(path) or data]), left_out, path, f"From {path.name}.")


def _part(path: Path) -> Path | None:
    """The folder with the films of a part of VinDr-CXR, beside its annotations or beside their folder."""
    part = "test" if "test" in path.name else "train"
    return next((place for above in path.parents[:2] if (place := above / part).is_dir()), None)


def _corners(row: Mapping[str, str], path: Path) -> Box:
    """The box of a row that gives two corners."""
    left, top, right, bottom = (number(row, column, path) for column in ("x_min", "y_min", "x_max", "y_max"))
    return top, left, bottom - top, right - left
