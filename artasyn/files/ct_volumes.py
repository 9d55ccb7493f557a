"""Volumes as their files store them, NIfTI, NRRD and MetaImage, refused where they are damaged or lie nowhere."""

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
"""Endings, in lower case, of files that hold a volume."""
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
"""What a header must say, or else ITK makes it up."""

MINIMUM = 16
"""Voxels along every axis of a volume."""
SPACING_RANGE = (0.05, 10.0)
"""Millimetres between the voxels of a volume."""
FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the millimetres of DICOM and ITK to those of NIfTI."""


@dataclass(frozen=True, eq=False)
class Stored:
    """Voxels as a file holds them.

    Attributes:
        values: three axes, in any order and direction.
        affine: float64 (4, 4), from the index of a voxel to millimetres, RAS+.
        slope: of what the values mean.
        intercept: of what the values mean.
    """

    values: np.ndarray
    affine: np.ndarray
    slope: float = 1.0
    intercept: float = 0.0


@contextmanager
def decoding(subject: str = "") -> Iterator[None]:
    """Turns whatever a decoder raises into a `DataError`, and keeps its warnings to itself.

    Args:
        subject: begins the message, which else goes on after the file's name.

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
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # that of Rust
            raise
        reason = f"{subject} is damaged or cut short ({brief(error)}); copy or export it again"
        raise DataError(reason.lstrip()) from error


def read_volume(path: Path) -> Stored:
    """Reads the voxels of a NIfTI, NRRD or MetaImage file.

    Raises:
        DataError: damaged, of another kind, not three-dimensional, or without usable orientation and spacing;
            the message goes on after the file's name.
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
    """Refuses what is no volume; a fourth axis of one is accepted."""
    if len(shape) < 3 or any(count != 1 for count in shape[3:]):
        raise DataError(f"has shape {times(shape)}; one volume has three axes, export it on its own")
    if min(shape[:3]) < MINIMUM:
        raise DataError(f"has {times(shape[:3])} voxels; a volume has at least {MINIMUM} along every axis")


def check_affine(affine: NDArray[np.float64]) -> None:
    """Refuses an affine that places no voxels of a patient."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    usable = np.isfinite(affine).all() and spacing.all()
    if not usable or abs(np.linalg.det(affine[:3, :3] / spacing)) < 0.1:
        found = np.array2string(affine[:3], separator=", ", precision=4).replace("\n", "")
        raise DataError(f"has no usable orientation and spacing (affine {found}); export it again")
    low, high = SPACING_RANGE
    if spacing.min() < low or spacing.max() > high:
        raise DataError(f"has voxels of {times(spacing)} mm; they must be {low:g} to {high:g} mm, check their unit")


def times(numbers: Iterable[float | int]) -> str:
    """Sizes for people: 2 x 1 x 0.5."""
    return " x ".join(f"{number:.4g}" if number % 1 else f"{number:.0f}" for number in numbers)


def _read_nifti(path: Path) -> Stored:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"  # whatever the suffix says
    with gzip.open(path) if compressed else path.open("rb") as stream, LoggingOutputSuppressor():
        kind: Any = nibabel.Nifti1Image
        if nibabel.Nifti2Header.may_contain_header(stream.read(540)):
            kind = nibabel.Nifti2Image
        stream.seek(0)
        header = kind.header_class.from_fileobj(stream, check=False)  # a check would mend spacings of 0
        if not (header["sform_code"] > 0 or (header["qform_code"] > 0 and header["pixdim"][1:4].all())):
            raise DataError("does not say its orientation (neither sform nor qform is set); export it again")
        stream.seek(0)
        image = kind.from_stream(stream)
        if image.get_data_dtype().kind not in "iuf":
            raise DataError("holds colours or complex numbers; export the volume itself, one number per voxel")
        check_shape(image.shape)
        check_affine(image.affine)
        values = image.dataobj.get_unscaled()
        stream.seek(0, os.SEEK_END)  # over the checksum of gzip
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
    """Catches what ITK prints to the standard error: the reason of a failure, or damage that it reads over."""
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
