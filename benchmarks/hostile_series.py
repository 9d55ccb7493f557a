"""Damaged CT series for `benchmarks.hostile`: folders of DICOM slices, and files that claim many frames."""

from __future__ import annotations

import functools
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from benchmarks.hostile_damage import Edit, Rng, Tree, choice
from benchmarks.hostile_dicom import (
    dicom_bomb,
    element_added,
    element_edit,
    frames_edit,
    header,
    lossless_jpeg,
    parts_of,
    stored,
    syntax_edit,
    whole,
)


@functools.cache
def voxels() -> NDArray[np.int16]:
    """Hounsfield units of 18 x 16 x 17 voxels (z, y, x) with lung, tissue and bone."""
    z, y, x = np.mgrid[0:18, 0:16, 0:17]
    values = np.where((y - 8) ** 2 + (x - 8) ** 2 < 20, -850, 40) + 7 * z + 3 * y + x
    values[:, 7:9, 7:9] = 700
    return np.asarray(values, np.int16)


def series() -> dict[str, Tree]:
    """Intact CT series: plain slices, and lossless JPEG ones."""
    return {"plain": _series(uid.ExplicitVRLittleEndian), "lossless": _series(uid.JPEGLosslessSV1)}


def _series(syntax: str) -> Tree:
    files = {}
    for number, plane in enumerate(voxels()):
        values = (plane + 1024).astype(np.uint16)
        film = header(values, bits=12, syntax=syntax)
        film.Modality, film.SeriesInstanceUID = "CT", uid.UID("1.2.9")
        film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
        film.RescaleIntercept = -1024
        film.ImagePositionPatient = [-120, -95, 40 - 2.5 * number]
        film.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        film.PixelSpacing = [0.9, 0.8]
        pixels = [lossless_jpeg(values, 12)] if syntax == uid.JPEGLosslessSV1 else values.tobytes()
        files[f"ct/{number:02d}.dcm"] = stored(film, pixels)
    return Tree(files, "ct")


def enhanced(rng: Rng, tree: Tree) -> Tree:
    """One file that claims many frames, as an enhanced CT does."""
    name = choice(rng, list(tree.files))
    start, elements = parts_of(tree.bytes_of(name))
    count = choice(rng, (b"0 ", b"2 ", b"300 ", b"1000000000", b"-5", b"99999999999999"))
    elements.append((b"\x28\x00\x08\x00", b"IS", count))
    elements.sort(key=lambda each: struct.unpack("<HH", each[0]))
    target = name if rng.random() < 0.5 else tree.target
    files = {name: whole(start, elements)} if rng.random() < 0.5 else {**tree.files, name: whole(start, elements)}
    return Tree(files, target, damage="DICOM frames claimed", refuse=False)


def strangers(rng: Rng, tree: Tree) -> Tree:
    """Adds files to the folder of a series that do not belong to it."""
    kinds: dict[str, Any] = {
        "a text": b"DICM" * 40,
        "a folder": Path.mkdir,
        "a pipe": os.mkfifo,
        "a cut slice": tree.bytes_of(next(iter(tree.files)))[:200],
        "an empty slice": b"",
        "a twin": tree.bytes_of(next(iter(tree.files))),
        "a stub": bytes(128) + b"DICM",
        "an index": bytes(128) + b"DICM" + rng.bytes(300),
    }
    kind = choice(rng, list(kinds))
    return tree.having(f"ct/{choice(rng, ('x', '99.dcm', 'x.1', 'DICOMDIR'))}", kinds[kind], f"in the folder: {kind}")


SERIES_EDITS: tuple[Edit, ...] = (
    element_edit, element_edit, element_added, frames_edit, syntax_edit, dicom_bomb, enhanced, strangers,
)  # fmt: skip
