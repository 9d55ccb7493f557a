"""Voxels as files store them: what all formats of volumes share, and NIfTI. Damaged or unplaced volumes are refused.

No value is used before the length of the voxels, and the checksum where the format has one, has been compared: a
reader gives its voxels as a stream that fails at its end, or earlier, if the file is damaged.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from artasyn.errors import DataError
from artasyn.files.ct_names import CARET, caret_names
from artasyn.files.rasters import brief
from artasyn.limits import limits, too_large
from artasyn.pixels.volume_bytes import SKIPPED, Encoding, Part, leading, open_file, read_chunks

NIFTI_SUFFIXES, NRRD_SUFFIXES, METAIMAGE_SUFFIXES = (".nii", ".nii.gz"), (".nrrd", ".nhdr"), (".mha", ".mhd")
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *NRRD_SUFFIXES, *METAIMAGE_SUFFIXES)
"""Suffixes, in lower case, of files that hold a volume."""
READABLE = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd)"

MINIMUM = 16
"""Smallest number of voxels along every axis of a CT."""
SPACING_RANGE = (0.05, 10.0)
"""Smallest and largest spacing of voxels, mm."""
FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Maps LPS+ millimetres (DICOM, NRRD, MetaImage) to RAS+ millimetres (NIfTI)."""

AXES = 16
"""Largest number of axes of a file."""
WIDTH = 4
"""Bytes of a voxel that the limit of voxels has in view; wider voxels count as several."""


@dataclass(frozen=True, eq=False)
class Stored:
    """Voxels as a file holds them.

    Attributes:
        shape: the slowest axis first.
        affine: float64 (4, 4), from the index of a voxel along the three axes in space to millimetres, RAS+.
        chunks: all values in order, in one-dimensional arrays. They can be read once. The last one was compared with
            the length and checksum of the file before it is given.
        slope: of the rescaling, value * slope + intercept.
        intercept: of the rescaling.
        layers: the axis of `shape` that does not lie in space, for instance the layers of a segmentation.
        notes: remarks about the file, which nobody must act on.
        names: the names of labels that the file holds, by layer; empty if the file holds none.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    chunks: Iterable[NDArray[Any]]
    slope: float = 1.0
    intercept: float = 0.0
    layers: int | None = None
    notes: tuple[str, ...] = ()
    names: Mapping[int, Mapping[int, str]] = field(default_factory=dict)


@contextmanager
def decoding(subject: str = "") -> Iterator[None]:
    """Turns any exception of a decoder into a `DataError` and suppresses warnings.

    A file system that fails and a lack of memory are no damage of the file, so their exceptions pass.

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
    except (DataError, MemoryError):
        raise
    except BaseException as error:  # parsers and decoders raise nearly anything for damaged files
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # a panic in Rust code
            raise
        if isinstance(error, OSError) and error.errno:
            raise
        reason = f"{subject} is damaged or cut short ({brief(error)}); copy or export it again"
        raise DataError(reason.lstrip()) from error


def in_order(values: NDArray[Any], affine: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Puts the axes in order: from head to foot, from front to back, from the patient's right to the left.

    Args:
        values: three axes, in any order and direction.
        affine: float64 (4, 4), from the index of a voxel to millimetres, RAS+.

    Returns:
        The values and the affine of the turned axes.
    """
    found = orientations.io_orientation(affine)
    turn = orientations.ornt_transform(found, orientations.axcodes2ornt(("I", "P", "L")))
    turned = orientations.apply_orientation(values, turn)
    return np.ascontiguousarray(turned), affine @ orientations.inv_ornt_aff(turn, values.shape)


def check_axes(shape: Sequence[int]) -> None:
    """Refuses a shape without three axes; further axes of length 1 are accepted."""
    if len(shape) < 3 or any(count != 1 for count in shape[3:]):
        raise DataError(f"has shape {times(shape)}; one volume has three axes, export it on its own")


def check_size(shape: Iterable[int], width: int) -> None:
    """Refuses a shape with axes of no voxels, or with more voxels than `artasyn.limits.Limits` allows.

    Args:
        shape: the counts of voxels.
        width: bytes of a voxel.
    """
    shape = list(shape)
    if len(shape) > AXES or any(count < 1 for count in shape):
        found = times(shape) if len(shape) <= AXES else f"{len(shape)} axes of"
        raise DataError(f"claims {found} voxels; it is damaged, copy or export it again")
    count = math.prod(shape) * max(1, width // WIDTH)
    if count > limits().voxels:
        raise DataError(too_large("voxels" if width <= WIDTH else f"voxels of {WIDTH} bytes", count, "voxels"))


def check_affine(affine: NDArray[np.float64]) -> None:
    """Refuses an affine that cannot place the voxels of a patient."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        usable = np.isfinite(affine).all() and np.isfinite(spacing).all() and spacing.all()
        usable = bool(usable and abs(np.linalg.det(affine[:3, :3] / spacing)) >= 0.1)
    if not usable:
        found = np.array2string(affine[:3], separator=", ", precision=4).replace("\n", "")
        raise DataError(f"has no usable orientation and spacing (affine {found}); export it again")
    low, high = SPACING_RANGE
    if spacing.min() < low or spacing.max() > high:
        raise DataError(f"has voxels of {times(spacing)} mm; they must be {low:g} to {high:g} mm, check their unit")


def times(numbers: Iterable[float | int]) -> str:
    """Formats sizes for messages: 2 x 1 x 0.5."""
    return " x ".join(f"{number:.4g}" if number % 1 else f"{number:.0f}" for number in numbers)


def read_nifti(path: Path) -> Stored:
    """Reads a NIfTI file of version 1 or 2, plain or as gzip; the content tells which, not the suffix.

    The sform places the voxels if it is set, otherwise the qform does.

    Args:
        path: the file.

    Raises:
        DataError: the header is damaged, or says no orientation, or the voxels are too many, colours or complex
            numbers. The message continues a sentence that begins with the file's name.
    """
    with open_file(path) as file:
        encoding: Encoding = "deflate" if file.read(2) == b"\x1f\x8b" else "raw"
        header = _nifti_header(leading(file, encoding, 540, least=348))
        shape = tuple(int(count) for count in header["dim"][1 : 1 + int(header["dim"][0])])
        dtype = header.get_data_dtype()
        check_size(shape, dtype.itemsize)
        check_axes(shape)
        affine, notes = _nifti_affine(header, shape[:3])
        check_affine(affine)
        offset = float(header["vox_offset"])
        first = int(header["sizeof_hdr"]) + 4
        if not (first <= offset <= SKIPPED and offset % 1 == 0):
            raise DataError(f"says that its voxels begin at byte {offset:g}; it is damaged, copy or export it again")
        head = leading(file, encoding, int(offset), least=int(offset))
    names, more = _nifti_names(head[first - 4 :], header.endianness)
    slope, intercept = _scaling(header)
    part = Part(path, math.prod(shape) * dtype.itemsize, 0, encoding, int(offset))
    shape, affine = shape[2::-1], affine[:, [2, 1, 0, 3]]
    return Stored(shape, affine, read_chunks([part], dtype), slope, intercept, None, notes + more, names)


def _nifti_header(head: bytes) -> Any:
    """Returns the header; a check of nibabel would replace spacings of 0 and print, so it is checked here."""
    kind: Any = nibabel.Nifti2Header if nibabel.Nifti2Header.may_contain_header(head) else nibabel.Nifti1Header
    if len(head) < kind.sizeof_hdr:
        raise DataError("is damaged or cut short: its header ends early; copy or export it again")
    header = kind(head[: kind.sizeof_hdr], check=False)
    magic = header["magic"].tobytes().rstrip(b"\0\r\n\x1a")
    if magic in (b"ni1", b"ni2"):
        raise DataError("is only the header of a pair of files; save it as one file, .nii or .nii.gz")
    if magic not in (b"n+1", b"n+2") or not 1 <= header["dim"][0] <= 7 or header["sizeof_hdr"] != kind.sizeof_hdr:
        raise DataError(f"is damaged or cut short: it begins with {head[:8]!r}, which is no NIfTI; export it again")
    try:
        dtype = header.get_data_dtype()
    except (KeyError, nibabel.spatialimages.HeaderDataError):
        dtype = np.dtype("V")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise DataError("holds colours or complex numbers; export the volume itself, one number per voxel")
    return header


def _nifti_affine(header: Any, shape: Sequence[int]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Returns the affine of the sform, or else of the qform, and a note where the two disagree."""
    header["pixdim"][0] = -1 if header["pixdim"][0] == -1 else 1
    header["pixdim"][1:4] = np.abs(header["pixdim"][1:4])
    sform = header.get_sform() if header["sform_code"] > 0 else None
    qform = None
    if header["qform_code"] > 0 and header["pixdim"][1:4].all():
        try:
            qform = header.get_qform()
        except (ValueError, nibabel.spatialimages.HeaderDataError) as error:  # quaternions that are no rotation
            if sform is None:
                raise DataError(f"has no usable orientation ({brief(error)}); export it again") from error
            return sform, ("the qform is no rotation; the sform is used",)
    affine = qform if sform is None else sform
    if affine is None:
        raise DataError("does not say its orientation (neither sform nor qform is set); export it again")
    if sform is None or qform is None:
        return affine, ()
    furthest = np.linalg.norm(corners_apart(shape, sform, qform), axis=1).max()
    if furthest <= 0.1 * np.linalg.norm(sform[:3, :3], axis=0).min():
        return affine, ()
    return affine, (f"sform and qform disagree, corners lie up to {furthest:.3g} mm apart; the sform is used",)


def corners_apart(shape: Sequence[int], one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the vectors (8, 3), mm, between the corner voxels that two affines give for a shape."""
    last = np.array(shape) - 1
    corners = np.array([(*(last * ends), 1.0) for ends in np.ndindex(2, 2, 2)])
    return np.asarray((corners @ (other - one).T)[:, :3])


def _scaling(header: Any) -> tuple[float, float]:
    """Returns slope and intercept; a slope of 0 or NaN says that there is no scaling."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise DataError(f"has the scaling {slope:g}, {intercept:g}; it is damaged, copy or export it again")
    return slope, intercept


def _nifti_names(data: bytes, endianness: str) -> tuple[dict[int, dict[int, str]], tuple[str, ...]]:
    """Returns the names of labels in the extensions of a header, and a note if they are damaged.

    Source: the NIfTI-1 standard, "Extended header"; TotalSegmentator writes a `CaretExtension`.
    """
    at = 4 if data[:1] not in (b"", b"\0") else len(data)
    while at + 8 <= len(data):
        size, _ = struct.unpack_from(f"{endianness}ii", data, at)
        if size < 8 or at + size > len(data):
            break
        content = data[at + 8 : at + size].rstrip(b"\0")
        if CARET in content:
            try:
                return {0: caret_names(content)}, ()
            except DataError as error:
                return {}, (f"its table of names {error}, so it is not used",)
        at += size
    return {}, ()
