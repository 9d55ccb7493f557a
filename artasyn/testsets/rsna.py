"""Reader of the RSNA Pneumonia Detection Challenge 2018 as published."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from artasyn.testsets.lists import box_of, folders_beside, grouped, listed_film, on_disk
from artasyn.testsets.tables import films_below, located, read_table
from artasyn.testsets.testset import TestSet


def rsna(data: Path) -> TestSet | None:
    """Reads the training part of the RSNA Pneumonia Detection Challenge 2018: boxes around lung opacities.

    Films of the class Normal are healthy. Films of the class No Lung Opacity / Not Normal are left out. Without
    stage_2_detailed_class_info.csv the two classes cannot be distinguished, so all films without boxes are left out.
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
        if boxes or kind == "Normal":
            listed.append(listed_film(name, bool(boxes), boxes=boxes))
        else:
            left_out[f"of class {kind}"].append(name)
    return on_disk("rsna", listed, films_below(folders_beside(labels, "stage_2_train_images")), left_out, labels)
