"""Reader of the RSNA Pneumonia Detection Challenge 2018 as published."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from artasyn.errors import DataError
from artasyn.testsets.tables import (
    box_of,
    films_below,
    folders_beside,
    grouped,
    listed_film,
    located,
    on_disk,
    read_table,
)
from artasyn.testsets.testset import TestSet

RSNA_FRAME = (1024, 1024)
"""Rows and columns of every film as published; the boxes are given on this grid."""


def rsna(data: Path) -> TestSet | None:
    """Reads the training part of the RSNA Pneumonia Detection Challenge 2018: boxes around lung opacities.

    Boxes are given on a film of 1024 x 1024 pixels. Films of the class Normal are healthy. Films of the class No Lung
    Opacity / Not Normal are left out. Without stage_2_detailed_class_info.csv the two classes cannot be distinguished,
    so all films without boxes are left out.
    """
    labels = next(iter(located(data, "stage_2_train_labels.csv")), None)
    if labels is None:
        return None
    rows = read_table(labels, ("patientId", "x", "y", "width", "height", "Target"))
    info = labels.with_name("stage_2_detailed_class_info.csv")
    classes = {r["patientId"]: r["class"] for r in read_table(info, ("patientId", "class"))} if info.is_file() else {}
    listed, left_out = [], defaultdict[str, list[str]](list)
    for name, mine in grouped(rows, "patientId").items():
        boxes = tuple(box_of(row, labels, "x", "y", "width", "height") for row in mine if row["Target"] == "1")
        kind = classes.get(name, "unknown")
        if boxes and kind == "Normal":
            raise DataError(
                f"{info}: {name} is of the class Normal but has boxes in {labels.name}; correct one of them"
            )
        if boxes or kind == "Normal":
            listed.append(listed_film(name, bool(boxes), boxes=boxes, frame=RSNA_FRAME))
        else:
            left_out[f"of class {kind}"].append(name)
    return on_disk("rsna", listed, films_below(folders_beside(labels, "stage_2_train_images")), left_out, labels)
