"""Volumes as NIfTI, NRRD and MetaImage files store them; damaged or unplaced volumes are refused."""

from __future__ import annotations

import gzip
import os
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel import orientations
from nibabel.imageglobals import LoggingOutputSuppressor
from numpy.typing import NDArray

from artasyn.errors import DataError
from artasyn.files.rasters import brief

NIFTI_SUFFIXES = (".nii", ".nii.gz")
ITK_SUFFIXES = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)
"""Suffixes, in lower case, of files that hold a volume."""
READABLE = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd)"

ITK_FIELDS = {
    "NrrdImageIO": {
        "space": rb"(?im)^space:\s*((left-posterior|right-anterior|left-anterior)-superior|LPS|RAS|LAS)\s",
        "space directions": rb"(?im)^space directions:",
    },
    "MetaImageIO": {
        "TransformMatrix": rb"(?m)^(TransformMatrix|Orientation|Rotation)\s*=",
        "ElementSpacing": rb"(?m)^(ElementSpacing|ElementSize)\s*=",
    },
}
"""Fields that a header must have, because ITK invents values for missing ones."""

MINIMUM = 16
"""Smallest number of voxels along every axis of a volume."""
SPACING_RANGE = (0.05, 10.0)
"""Smallest and largest spacing of voxels, mm."""
FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Maps LPS+ millimetres (DICOM, ITK) to RAS+ millimetres (NIfTI)."""


@dataclass(frozen=True, eq=False)
class Stored:
    """Voxels as a file holds them.

    Attributes:
        values: three axes, in any order and direction.
        affine: float64 (4, 4), from the index of a voxel to millimetres, RAS+.
        slope: of the rescaling, value * slope + intercept.
        intercept: of the rescaling.
    """

    values: np.ndarray
    affine: np.ndarray
    slope: float = 1.0
    intercept: float = 0.0


@contextmanager
def decoding(subject: str = "") -> Iterator[None]:
    """Turns any exception of a decoder into a `DataError` and suppresses warnings.

    Args:
        subject: the start of the message; without it, the message continues a sentence that begins with the file's
            name.

    Raises:
        DataError: in place of any exception of a decoder.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    except BaseException as error:  # parsers and decoders raise nearly anything for damaged files
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # a panic in Rust code
            raise
        reason = f"{subject} is damaged or cut short ({brief(error)}); copy or export it again"
        raise DataError(reason.lstrip()) from error


def read_volume(path: Path) -> Stored:
    """Reads the voxels of a NIfTI, NRRD or MetaImage file.

    Raises:
        DataError: the file is damaged, of another kind, not three-dimensional, or without usable orientation and
            spacing. The message continues a sentence that begins with the file's name.
    """
    if path.is_dir():
        raise DataError("is a folder; name a file")
    with decoding():
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            return _read_nifti(path)
        if path.suffix.lower() in ITK_SUFFIXES:
            return _read_itk(path, ITK_SUFFIXES[path.suffix.lower()])
    raise DataError(f"is none of the files that are read here: {READABLE}")


def turned(stored: Stored) -> Stored:
    """Puts the axes in order: from head to foot, from front to back, from the patient's right to the left."""
    found = orientations.io_orientation(stored.affine)
    turn = orientations.ornt_transform(found, orientations.axcodes2ornt(("I", "P", "L")))
    affine = stored.affine @ orientations.inv_ornt_aff(turn, stored.values.shape)
    return replace(stored, values=orientations.apply_orientation(stored.values, turn), affine=affine)


def check_shape(shape: Sequence[int]) -> None:
    """Refuses a shape that is not a volume's; further axes of length 1 are accepted."""
    if len(shape) < 3 or any(count != 1 for count in shape[3:]):
        raise DataError(f"has shape {times(shape)}; one volume has three axes, export it on its own")
    if min(shape[:3]) < MINIMUM:
        raise DataError(f"has {times(shape[:3])} voxels; a volume has at least {MINIMUM} along every axis")


def check_affine(affine: NDArray[np.float64]) -> None:
    """Refuses an affine that cannot place the voxels of a patient."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    usable = np.isfinite(affine).all() and spacing.all()
    if not usable or abs(np.linalg.det(affine[:3, :3] / spacing)) < 0.1:
        found = np.array2string(affine[:3], separator=", ", precision=4).replace("\n", "")
        raise DataError(f"has no usable orientation and spacing (affine {found}); export it again")
    low, high = SPACING_RANGE
    if spacing.min() < low or spacing.max() > high:
        raise DataError(f"has voxels of {times(spacing)} mm; they must be {low:g} to {high:g} mm, check their unit")


def times(numbers: Iterable[float | int]) -> str:
    """Formats sizes for messages: 2 x 1 x 0.5."""
    return " x ".join(f"{number:.4g}" if number % 1 else f"{number:.0f}" for number in numbers)


def _read_nifti(path: Path) -> Stored:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"  # the suffix may be wrong
    with gzip.open(path) if compressed else path.open("rb") as stream, LoggingOutputSuppressor():
        kind: Any = nibabel.Nifti1Image
        if nibabel.Nifti2Header.may_contain_header(stream.read(540)):
            kind = nibabel.Nifti2Image
        stream.seek(0)
        header = kind.header_class.from_fileobj(stream, check=False)  # a check would replace spacings of 0
        if not (header["sform_code"] > 0 or (header["qform_code"] > 0 and header["pixdim"][1:4].all())):
            raise DataError("does not say its orientation (neither sform nor qform is set); export it again")
        stream.seek(0)
        image = kind.from_stream(stream)
        if image.get_data_dtype().kind not in "iuf":
            raise DataError("holds colours or complex numbers; export the volume itself, one number per voxel")
        check_shape(image.shape)
        check_affine(image.affine)
        values = image.dataobj.get_unscaled()
        stream.seek(0, os.SEEK_END)  # so that gzip verifies its checksum
    slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    return Stored(values.reshape(values.shape[:3], order="F"), image.affine, slope, intercept)


def _read_itk(path: Path, kind: str) -> Stored:
    import SimpleITK

    with path.open("rb") as file:
        head = file.read(1 << 16)
    shown = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with _heeding():
            reader = SimpleITK.ImageFileReader()
            reader.SetImageIO(kind)
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
            if reader.GetNumberOfComponents() != 1:
                raise DataError(f"holds {reader.GetNumberOfComponents()} numbers per voxel; export a volume of one")
            check_shape(reader.GetSize())
            missing = [name for name, field in ITK_FIELDS[kind].items() if not re.search(field, head)]
            if missing:
                raise DataError(
                    f"does not say how it lies in the patient (no {', no '.join(missing)}); export it again"
                )
            affine = _itk_affine(reader)
            check_affine(affine)
            values = SimpleITK.GetArrayFromImage(reader.Execute()).T
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(shown)
    return Stored(values.reshape(values.shape[:3], order="F"), affine)


def _itk_affine(reader: Any) -> NDArray[np.float64]:
    axes = reader.GetDimension()
    directions = np.reshape(reader.GetDirection(), (axes, axes))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = directions * reader.GetSpacing()[:3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    return FROM_LPS @ affine


@contextmanager
def _heeding() -> Iterator[None]:
    """Captures ITK's standard error: it holds the reason of a failure, or reports damage that ITK ignores."""
    reason = ""
    with tempfile.TemporaryFile() as printed:
        kept = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        printed.seek(0)
        lines = printed.read().decode(errors="replace").splitlines()
    if reason or "Uncompress failed" in lines:
        raise RuntimeError((lines or [reason])[0])
