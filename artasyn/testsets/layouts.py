"""The layouts in which test sets lie on disk, a reader for each, and which one a folder has.

Each reader takes the folder that was given, returns None where its layout is not there, and raises where it is but
something of it is missing: what is not known is left out and said, never taken as healthy or empty.
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
    """Reads the test set in a folder.

    Args:
        data: the folder.
        layout: a key of `LAYOUTS`, which says what each looks like; auto tells it from what is there.

    Raises:
        DataError: nothing of that layout is there, or something of it is missing or damaged.
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
