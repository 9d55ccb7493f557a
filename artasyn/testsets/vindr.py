"""Reader of VinDr-CXR as published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.files.dicom import is_dicom
from artasyn.files.opened import naming
from artasyn.testsets.tables import films_below, grouped, listed_film, located, number, on_disk, read_cells, read_table
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


SIZES = (("dim0", "dim1"), ("height", "width"))
"""Columns with rows and columns of the DICOM film: of lists of sizes, and of lists of boxes that come with copies."""


def vindr(data: Path, counted: Collection[str] = VINDR_FINDINGS) -> TestSet | None:
    """Reads VinDr-CXR: boxes around findings, of all readers together; films of No finding are healthy.

    The test part is read if its annotations and films are there. Otherwise the training part is read, as published on
    PhysioNet or (train.csv) on Kaggle. Boxes are given in the pixels of the DICOM film. Other films are copies, which
    are usually resized, also to a square. Then train_meta.csv (test_meta.csv), with image_id, dim0 (rows) and dim1
    (columns), must be beside the list or the folder of the films; or the list itself has the columns height and width.

    Args:
        data: the folder.
        counted: the labels that count as lesions.
    """
    wanted = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    found = located(data, "annotations_test.csv", "annotations_train.csv", "train.csv")
    path = next((path for path in found if _part(path)), next(iter(found), None))
    if path is None or (path.name == "train.csv" and not {"image_id", "class_name"} <= set(read_cells(path)[0])):
        return None
    rows_of = grouped(read_table(path, wanted), "image_id")
    films = films_below([_part(path) or data])
    sizes = _sizes(path, data)
    listed, left_out = [], defaultdict[str, list[str]](list)
    for name, rows in rows_of.items():
        boxes = tuple(_corners(row, path) for row in rows if row["class_name"] in counted)
        copied = name in films and not _is_dicom(films[name].path)
        if boxes and copied and not sizes:
            raise DataError(
                f"{path}: its boxes are in the pixels of the DICOM films, but {films[name].path.name} is a copy, "
                f"perhaps resized; put {_meta(path)} (image_id, dim0: rows, dim1: columns) beside it"
            )
        if boxes and copied and name not in sizes:
            left_out[f"without a size in {_meta(path)}"].append(name)
        elif boxes or all(row["class_name"] == "No finding" for row in rows):
            frame = sizes.get(name) if boxes and copied else None
            listed.append(listed_film(name, bool(boxes), boxes=boxes, frame=frame))
        else:
            left_out["with other findings alone"].append(name)
    return on_disk("vindr", listed, films, left_out, path, f"From {path.name}.")


def _is_dicom(path: Path) -> bool:
    """Returns whether a film is a DICOM file; its name may lack a suffix."""
    with naming(path), path.open("rb") as file:
        return is_dicom(file.read(132))


def _meta(path: Path) -> str:
    """Returns the name of the list of sizes that belongs to a list of boxes."""
    return "test_meta.csv" if "test" in path.name else "train_meta.csv"


def _sizes(path: Path, data: Path) -> dict[str, tuple[int, int]]:
    """Reads rows and columns of the DICOM films by name: from the list of sizes, or from the list of boxes itself."""
    metas = located(data, _meta(path), depth=3)
    source = next(iter(metas), path)
    header = read_cells(source)[0]
    columns = next((pair for pair in SIZES if set(pair) <= set(header)), None)
    if columns is None:
        if source is path:
            return {}
        raise DataError(f"{source}: no columns dim0, dim1; its columns are {', '.join(header)}")
    found = dict[str, tuple[int, int]]()
    for row in read_table(source, ("image_id", *columns)):
        down, across = (number(row, column, source) for column in columns)
        if not (down.is_integer() and across.is_integer() and min(down, across) > 0):
            raise DataError(f"{source}: no size in the row {','.join(row.values())[:80]}")
        size = (int(down), int(across))
        if found.setdefault(row["image_id"], size) != size:
            raise DataError(f"{source}: two sizes of {row['image_id']}; correct one of them")
    return found


def _part(path: Path) -> Path | None:
    """Finds the folder with the films of a part, beside the annotations or beside the folder of the annotations."""
    part = "test" if "test" in path.name else "train"
    return next((place for above in path.parents[:2] if (place := above / part).is_dir()), None)


def _corners(row: Mapping[str, str], path: Path) -> Box:
    """Reads the box of a row that gives two corners."""
    left, top, right, bottom = (number(row, column, path) for column in ("x_min", "y_min", "x_max", "y_max"))
    if right < left or bottom < top:
        raise DataError(f"{path}: corners in the wrong order in the row {','.join(row.values())[:80]}")
    return top, left, bottom - top, right - left
