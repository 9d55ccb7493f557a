"""Films that the tests of files make: pictures, minimal TIFFs and DICOM, and what is said of those refused."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from artasyn.errors import ArtasynError, RadiographError
from artasyn.files.radiograph import read_radiograph

Array = NDArray[Any]
GREYS = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
RNG = np.random.default_rng(1)


def film(height: int = 48, width: int = 40) -> Array:
    """A smooth 8-bit film that differs in all four corners."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.asarray(40 + 3 * rows + columns + 20 * np.sin(rows / 5), np.uint8)


def tiled(pattern: list[list[int]], dtype: type = np.uint16) -> Array:
    """A hand-computed 4 x 4 pattern, tiled to 16 x 16."""
    return np.tile(np.array(pattern, dtype), (4, 4))


def saved(path: Path, array: Array, mode: str | None = None, **options: Any) -> Path:
    picture = PIL.Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def tiff(path: Path, data: bytes, shape: tuple[int, int], *, bits: int, photometric: int = 1) -> Path:
    """A minimal little-endian TIFF of one uncompressed strip."""
    tags = {
        256: shape[1],
        257: shape[0],
        258: bits,
        259: 1,
        262: photometric,
        273: 134,
        277: 1,
        278: shape[0],
    }
    tags[279] = len(data)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    path.write_bytes((head + body + struct.pack("<I", 0)).ljust(134, b"\0") + data)
    return path


def dicom(stored: Array, *, bits: int = 12, **elements: Any) -> Dataset:
    """A computed radiograph."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["artasyn"])
    ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
    ds.Modality = "CR"
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.SamplesPerPixel = 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8 * stored.dtype.itemsize, bits, bits - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    ds.PixelData = stored.tobytes()
    for name, value in elements.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def table(levels: list[int], first: int, bits: int, *, words: bool = True) -> Sequence:
    """A lookup table as a sequence of one."""
    item = Dataset()
    item.LUTDescriptor = [len(levels), first, bits]
    if words:
        item.add_new("LUTData", "OW", np.array(levels, "<u2").tobytes())
    else:
        item.add_new("LUTData", "US", levels)
    return Sequence([item])


def stored_as(path: Path, ds: Dataset) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these datasets are invalid on purpose
        ds.save_as(path, enforce_file_format=True)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(RadiographError) as caught:
        read_radiograph(path)
    message = str(caught.value)
    assert message.startswith(str(path)), message
    assert caught.value.__cause__ is None or not isinstance(caught.value.__cause__, ArtasynError)
    return message.removeprefix(str(path))
