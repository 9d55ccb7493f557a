"""A radiograph with the metadata of its file: pixel spacing, the turn of its grid and a reference to the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artasyn.arrays import Image
from artasyn.arrays import identity as identity_of
from artasyn.errors import ImageError, OutputError, RadiographError
from artasyn.files.dicom import decode_dicom, dicom_person, dicom_turn, is_dicom
from artasyn.files.dicom_header import Calibration, Header, SpacingSource
from artasyn.files.rasters import decode_raster, raster_turn
from artasyn.files.turns import Turn
from artasyn.limits import limits
from artasyn.remote.objects import pointer_at

BYTES, HEADER = 8, 2**26
"""Bytes of a pixel of four channels of 16 bits, and of all else in a file."""


@dataclass(frozen=True)
class Reference:
    """The data that another file, such as a DICOM segmentation, needs to refer to a radiograph; no patient data.

    Attributes:
        path: the file.
        rows: of the stored grid.
        columns: of the stored grid.
        sop_class_uid: the kind of DICOM object. Each UID is None for a raster, or if the header lacks it.
        sop_instance_uid: the object.
        study_instance_uid: the object's study.
        series_instance_uid: the object's series.
        frame_of_reference_uid: the object's coordinate system.
    """

    path: Path
    rows: int
    columns: int
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    frame_of_reference_uid: str | None = None


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One frontal radiograph as `open_radiograph` reads it.

    Attributes:
        image: float32 (h, w) in [0, 1], bright = dense, the patient's right on the left, head up.
        spacing: millimetres from row to row and from column to column of the image's grid; None if the file does not
            state it. It is None for every raster, because a PNG or TIFF states the resolution of a print or a screen.
        spacing_source: the DICOM attribute that the spacing comes from. ImagerPixelSpacing is measured at the
            detector, where the heart is larger than in the patient. NominalScannedPixelSpacing is measured on a film
            that was scanned.
        spacing_calibration: how PixelSpacing was calibrated to the patient: GEOMETRY or FIDUCIAL; None if the file
            does not state it.
        turn: how the stored pixels were turned to the image.
        reference: the data that another file needs to refer to this radiograph.
        sided: whether the file states the patient's sides; otherwise they are a convention. Only DICOM states them.
    """

    image: Image
    spacing: tuple[float, float] | None
    spacing_source: SpacingSource | None
    spacing_calibration: Calibration | None
    turn: Turn
    reference: Reference
    sided: bool = False

    @property
    def identity(self) -> str:
        """The identity of the image's pixels, from `artasyn.arrays.identity`."""
        return identity_of(self.image)

    def restored(self, array: NDArray[Any]) -> NDArray[Any]:
        """Turns a mask, labels or a heatmap from the image's grid back to the stored grid, without interpolation.

        Args:
            array: (h, w) or (h, w, channels), any dtype.

        Returns:
            (rows, columns) or (rows, columns, channels) of the stored grid, of the same dtype.

        Raises:
            ImageError: the array is not on the image's grid.
        """
        if array.ndim not in (2, 3) or array.shape[:2] != self.image.shape:
            raise ImageError(
                f"array must lie on the image's grid {self.image.shape}, not {array.shape}; "
                "scale it to the image before it is restored"
            )
        return np.ascontiguousarray(self.turn.restored(array))


def open_radiograph(path: str | os.PathLike[str]) -> Radiograph:
    """Opens one frontal radiograph: the image of `read_radiograph` with its spacing, turn and reference.

    The spacing and the identifiers come from a DICOM header; `artasyn.files.dicom_header.read_spacing` states which
    attribute is used. Missing, malformed or contradictory values become None; they raise no error.

    Args:
        path: the file; PNG, TIFF, JPEG, BMP, WebP or DICOM.

    Raises:
        RadiographError: under the conditions of `artasyn.files.radiograph.read_radiograph`.

    Source: DICOM PS3.3 10.7.1 (spacing), C.7.6.1.1.1 (patient orientation); EXIF 2.32, section 4.6.4 A (orientation).

    Example:
        >>> import tempfile
        >>> from artasyn.files.radiograph import write_image
        >>> ramp = np.arange(256, dtype=np.float32).reshape(16, 16) / np.float32(255)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_image(Path(folder) / "ramp.png", ramp)
        ...     radiograph = open_radiograph(Path(folder) / "ramp.png")
        >>> bool((radiograph.image == ramp).all()), radiograph.spacing, radiograph.reference.sop_instance_uid
        (True, None, None)
    """
    with naming(path):
        image, header = _decoded(read_whole(path))
        image = _checked(image)
    turn, spacing = header.turn, header.spacing
    rows, columns = turn.swapped(image.shape)
    return Radiograph(
        image,
        None if spacing.rows_columns is None else turn.swapped(spacing.rows_columns),
        spacing.source,
        spacing.calibration,
        turn,
        Reference(Path(path), rows, columns, **header.uids),
        header.sided,
    )


def read_turn(path: str | os.PathLike[str]) -> Turn:
    """Reads how the stored pixels of a radiograph are turned to its image, decoding no pixels where possible.

    A mask that was drawn on the stored pixels is turned by it as the radiograph is.

    Args:
        path: the file; PNG, TIFF, JPEG, BMP, WebP or DICOM.

    Returns:
        The turn of `open_radiograph`. Whether the file holds a radiograph is not checked.

    Raises:
        RadiographError: the file is missing, or its header is damaged.
    """
    with naming(path):
        data = read_whole(path)
        return dicom_turn(data) if is_dicom(data) else raster_turn(data)


def read_person(path: str | os.PathLike[str]) -> dict[str, str]:
    """Reads patient, sex, age, view and site as a DICOM header states them; empty for other files.

    Args:
        path: the file.

    Returns:
        Texts by column, see `artasyn.files.dicom_header.PERSON`; attributes that are missing are left out.

    Raises:
        RadiographError: the file is missing, or its header is damaged.
    """
    with naming(path):
        data = read_whole(path)
        return dicom_person(data) if is_dicom(data) else {}


def _decoded(data: bytes) -> tuple[Image, Header]:
    """Returns the image of a whole file, and its header."""
    if is_dicom(data):
        return decode_dicom(data)
    raster = decode_raster(data)
    if raster.full == 1:
        raise RadiographError("holds 1 bit per pixel; this is a mask, read it with read_mask")
    return raster.pixels.astype(np.float32) / np.float32(raster.full), Header(raster.turn)


def _checked(image: Image) -> Image:
    """Refuses a decoded image that cannot be a radiograph."""
    rows, columns = image.shape
    if min(rows, columns) < 16:
        raise RadiographError(f"is {rows} x {columns} pixels; a radiograph has at least 16 x 16")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise RadiographError("holds values that are no numbers; check its rescale slope and window")
    if low == high:
        raise RadiographError(f"is constant ({low:g} everywhere); there is no radiograph in it")
    if high - low <= 1 / 16:
        raise RadiographError(
            f"spans only {low:.3f} to {high:.3f} of its range, perhaps 12 bits in a file of 16; "
            "scale its values up (12 bits: times 16), or in DICOM set WindowCenter and WindowWidth"
        )
    return np.ascontiguousarray(image)


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """Reads a whole file of a picture, or the object of a store that the file stands for.

    Args:
        path: the file.

    Raises:
        RadiographError: this is no regular file, but a pipe or a device, which may never end; or the file is larger
            than any picture of the pixels that `artasyn.limits.Limits` allows; or the object is gone. The message
            continues a sentence that begins with the file's name.
        StoreError: the store does not answer.
    """
    most = BYTES * limits().pixels + HEADER
    path = Path(path)
    about = path.stat()
    if not path.is_dir() and not path.is_file():
        raise RadiographError("is a pipe or a device; copy what it holds to a file")
    pointer = pointer_at(path)
    if (pointer.size if pointer else about.st_size) > most:
        raise RadiographError(f"is larger than {most} bytes; if this is right, raise the limit with --limits.pixels")
    return pointer.read() if pointer else path.read_bytes()


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Adds the path of the file to error messages."""
    name = os.fspath(path)
    try:
        yield
    except RadiographError as error:
        raise RadiographError(f"{name} {error}") from error.__cause__
    except OutputError as error:
        raise RadiographError(str(error)) from error
    except FileNotFoundError as error:
        raise RadiographError(f"{name} does not exist; check the path") from error
    except IsADirectoryError as error:
        raise RadiographError(f"{name} is a folder; name a file") from error
    except OSError as error:
        raise RadiographError(f"{name} is out of reach ({error.strerror}); check its permissions") from error
