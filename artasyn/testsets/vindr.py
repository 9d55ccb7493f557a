"""Reader of VinDr-CXR as published."""

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
"""Findings of VinDr-CXR that count as lesions: findings of the lungs and of the pleura.

Findings of the heart, aorta, pulmonary artery, mediastinum and bones do not count. Other lesions do not count either,
because they may be anywhere. Films with only these findings are left out.
"""


def vindr(data: Path) -> TestSet | None:
    """Reads VinDr-CXR: boxes around `VINDR_FINDINGS`, of all readers together; films of No finding are healthy.

    The test part is read if its annotations and films are there. Otherwise the training part is read, as published on
    PhysioNet or (train.csv) on Kaggle.
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
    """Finds the folder with the films of a part, beside the annotations or beside the folder of the annotations."""
    part = "test" if "test" in path.name else "train"
    return next((place for above in path.parents[:2] if (place := above / part).is_dir()), None)


def _corners(row: Mapping[str, str], path: Path) -> Box:
    """Reads the box of a row that gives two corners."""
    left, top, right, bottom = (number(row, column, path) for column in ("x_min", "y_min", "x_max", "y_max"))
    return top, left, bottom - top, right - left
