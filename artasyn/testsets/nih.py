"""Reader of NIH ChestX-ray14 with boxes as published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.testsets.tables import (
    bare,
    box_of,
    films_below,
    folders_beside,
    listed_film,
    located,
    on_disk,
    read_cells,
    read_table,
    read_text,
)
from artasyn.testsets.testset import TestSet

NIH_FINDINGS = ("Atelectasis", "Effusion", "Infiltrate", "Mass", "Nodule", "Pneumonia")
"""Findings of ChestX-ray14 with boxes that count as lesions: opacities of the lungs and of the pleura.

Cardiomegaly is not a finding of the lungs, and pneumothorax is not an opacity. Films with boxes of only these are left
out.
"""


NIH_FRAME = (1024, 1024)
"""Rows and columns of every film of ChestX-ray14 as published; the boxes are given on this grid."""


def nih(data: Path, counted: Collection[str] = NIH_FINDINGS) -> TestSet | None:
    """Reads NIH ChestX-ray14: boxes around findings; films labelled No Finding are healthy.

    If there is a test_list.txt, only the healthy films in this list are used. Boxes are given on a film of 1024 x 1024
    pixels.

    Args:
        data: the folder.
        counted: the labels that count as lesions.
    """
    path = next(iter(located(data, "BBox_List_2017.csv")), None)
    if path is None:
        return None
    header, *rows = read_cells(path)
    start = next((n for n, name in enumerate(header) if name.startswith("Bbox")), None)  # "Bbox [x,y,w,h]",,,
    if start is None or not {"Image Index", "Finding Label"} <= set(header):
        wanted = "Image Index, Finding Label, Bbox [x,y,w,h]"
        raise DataError(f"{path}: no column of {wanted}; its columns are {', '.join(header)[:300]}")
    name, label = header.index("Image Index"), header.index("Finding Label")
    boxes, others = defaultdict[str, list[Box]](list), list[str]()
    for cells in rows:
        row = [*cells, *[""] * (start + 4)]  # published rows end after their last number
        box = box_of({"name": row[name], **dict(zip("xywh", row[start : start + 4], strict=True))}, path, *"xywh")
        if row[label] in counted:
            boxes[bare(row[name])].append(box)
        else:
            others.append(bare(row[name]))
    listed = [
        listed_film(film, True, boxes=tuple(mine), frame=NIH_FRAME, patient=_patient(film))
        for film, mine in boxes.items()
    ]
    left_out = {"with boxes of other findings alone": [film for film in dict.fromkeys(others) if film not in boxes]}
    entries = sorted(path.parent.glob("Data_Entry_2017*.csv"))
    note = "" if entries else f"There is no Data_Entry_2017.csv beside {path.name}: healthy films are not known."
    if entries:
        tested = path.with_name("test_list.txt")
        allowed = {bare(line.strip()) for line in read_text(tested).splitlines()} if tested.is_file() else None
        rows_of = read_table(entries[-1], ("Image Index", "Finding Labels"))
        normal = dict.fromkeys(bare(row["Image Index"]) for row in rows_of if row["Finding Labels"] == "No Finding")
        healthy = [film for film in normal if allowed is None or film in allowed]
        left_out["healthy but not in test_list.txt"] = sorted(set(normal) - set(healthy))
        listed += [listed_film(film, False, patient=_patient(film)) for film in healthy if film not in boxes]
    files = films_below(folders_beside(path, "images*"))
    return on_disk("nih", listed, files, left_out, path, note)


def _patient(film: str) -> str:
    """Returns the patient of a film: its name is 00000013_005, patient and number."""
    return film.partition("_")[0]
