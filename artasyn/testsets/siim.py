"""Reader of SIIM-ACR Pneumothorax Segmentation as published."""

from __future__ import annotations

from pathlib import Path

from artasyn.errors import DataError
from artasyn.files.dicom import DICOM_SUFFIXES
from artasyn.testsets.tables import films_below, grouped, listed_film, located, on_disk, read_table
from artasyn.testsets.testset import TestSet
from artasyn.testsets.truth import RelativeRuns

SIIM_FRAME = (1024, 1024)
"""Rows and columns of every film of SIIM-ACR; the masks are given on this grid."""


def siim(data: Path) -> TestSet | None:
    """Reads SIIM-ACR Pneumothorax Segmentation: masks of pneumothoraces; films without pneumothorax are healthy."""
    path = next(iter(located(data, "stage_2_train.csv", "train-rle.csv")), None)
    if path is None:
        return None
    listed = []
    for name, rows in grouped(read_table(path, ("ImageId", "EncodedPixels")), "ImageId").items():
        codes = tuple(row["EncodedPixels"] for row in rows)
        if not all(codes):
            raise DataError(f"{path}: no run lengths and no -1 for {name[:80]}; download it again")
        drawn = tuple(code for code in codes if code != "-1")
        if drawn and len(drawn) < len(codes):
            raise DataError(f"{path}: both run lengths and -1, which means healthy, for {name}; correct one of them")
        listed.append(listed_film(name, bool(drawn), truth=RelativeRuns(drawn, SIIM_FRAME) if drawn else None))
    note = "Healthy means without pneumothorax; other findings may be there."
    return on_disk("siim", listed, films_below([data], DICOM_SUFFIXES), {}, path, note)
