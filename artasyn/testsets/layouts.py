"""The layouts of test sets on disk with their readers, and detection of the layout of a folder.

Each reader takes the given folder. A reader returns None if the folder does not have the reader's layout, and raises an
error if a part of the layout is missing. Films with unknown labels are left out and reported; they are never taken as
healthy or empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from artasyn.errors import DataError
from artasyn.testsets.chexlocalize import chexlocalize
from artasyn.testsets.folders import artasyn, folder
from artasyn.testsets.nih import nih
from artasyn.testsets.qata import qata
from artasyn.testsets.rsna import rsna
from artasyn.testsets.siim import siim
from artasyn.testsets.testset import TestSet
from artasyn.testsets.vindr import vindr
from artasyn.testsets.zhanglab import zhanglab


@dataclass(frozen=True)
class Layout:
    """How a test set lies on disk.

    Attributes:
        read: reads the test set in a folder; returns None if the folder does not have this layout.
        wanted: the files and folders that the layout needs.
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
"""All layouts, in the order of the search."""


def find(data: Path, layout: str = "auto") -> TestSet:
    """Reads the test set in a folder.

    Args:
        data: the folder.
        layout: a key of `LAYOUTS`, where each layout is described; auto detects the layout from the files.

    Raises:
        DataError: the folder does not have the layout, or a part of the layout is missing or damaged.
    """
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
