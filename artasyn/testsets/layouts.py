"""The layouts of test sets on disk with their readers, and detection of the layout of a folder.

Each reader takes the given folder. A reader returns None if the folder does not have the reader's layout, and raises an
error if a part of the layout is missing. Films with unknown labels are left out and reported; they are never taken as
healthy or empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from artasyn.codes import Vocabulary, labels_of
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
        vocabulary: whose labels tell the findings of a film apart, which `read` takes too; None if nothing does.
    """

    read: Callable[..., TestSet | None]
    wanted: str
    vocabulary: Vocabulary | None = None

    def counting(self, data: Path, findings: Sequence[str]) -> TestSet | None:
        """Reads the test set in a folder, with the films of some findings alone as diseased.

        Args:
            data: the folder.
            findings: as `artasyn.codes.findings_of` takes them; none for all that the reader counts.

        Raises:
            DataError: the layout does not tell findings apart, the data set has no such label, or no film has one.
        """
        if not findings:
            return self.read(data)
        if self.vocabulary is None:
            if self.read(data) is None:
                return None
            raise DataError(f"{data}: its films have one kind of label; leave out --label")
        counted = [label for finding in findings for label in labels_of(finding, self.vocabulary)]
        found = self.read(data, counted)
        if found is not None and not any(film.diseased for film in found.films):
            raise DataError(f"{data}: no film with lesions of {', '.join(counted)}; choose another --label")
        return found


LAYOUTS: Mapping[str, Layout] = {
    "artasyn": Layout(
        artasyn,
        "test/healthy, test/diseased and, for pixel figures, ground_truth with a mask of the same name (or mask_ "
        "before it) for every diseased film",
    ),
    "qata": Layout(qata, "Images and Ground-truths, in Test Set or not"),
    "zhanglab": Layout(zhanglab, "test/NORMAL and test/PNEUMONIA"),
    "rsna": Layout(rsna, "stage_2_train_labels.csv and stage_2_train_images"),
    "nih": Layout(nih, "BBox_List_2017.csv, Data_Entry_2017*.csv and images*", "nih"),
    "chexlocalize": Layout(
        chexlocalize, "gt_segmentations_test.json (or _val), test_labels.csv (or val) and test/patient*", "chexpert"
    ),
    "siim": Layout(siim, "stage_2_train.csv or train-rle.csv, and DICOM files"),
    "vindr": Layout(vindr, "annotations_test.csv (or _train) or train.csv, and .dicom files", "vindr"),
    "folder": Layout(
        folder,
        "images with masks, boxes.csv or annotations.json; or healthy (normal) and diseased (abnormal, pneumonia)",
    ),
}
"""All layouts, in the order of the search."""


def find(data: Path, layout: str = "auto", findings: Sequence[str] = ()) -> TestSet:
    """Reads the test set in a folder.

    Args:
        data: the folder.
        layout: a key of `LAYOUTS`, where each layout is described; auto detects the layout from the files.
        findings: the findings that count as lesions, by their names, labels or codes; none for the usual ones of the
            layout. Films with other findings alone are left out.

    Raises:
        DataError: the folder does not have the layout, or a part of the layout is missing or damaged.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise DataError(f"no layout {layout!r}; there are auto, {', '.join(LAYOUTS)}")
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; name the folder of a test set")
    for name in [layout] if layout != "auto" else LAYOUTS:
        found = LAYOUTS[name].counting(data, findings)
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
