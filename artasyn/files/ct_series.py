"""A series of DICOM files as one CT volume; series with missing or mismatched slices are refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import generate_frames
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.processing import apply_modality_lut

from artasyn.arrays import HIGHEST, LOWEST
from artasyn.errors import DataError
from artasyn.files.ct_volumes import FROM_LPS, WIDTH, Stored, check_affine, check_size, decoding
from artasyn.files.dicom import DICOM_SUFFIXES, is_dicom
from artasyn.files.rasters import jpeg_ends
from artasyn.limits import limits, too_large
from artasyn.pixels.decoders import JPEG_SYNTAXES, pixels_of
from artasyn.pixels.volume_bytes import PIECE, check_coded, inflated_size

CT_CLASSES = (uid.CTImageStorage, uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage)
SAME = 0.01
"""Distance of slices at one position, mm."""
ZONE = 3
"""Smallest number of equal gaps between slices that make a zone."""
GEOMETRY = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
"""The attributes that place a slice in space, with the count of their numbers."""


def is_slice_file(path: Path) -> bool:
    """Returns whether a file is DICOM by its content; an unreadable file counts, so that it is reported.

    Hidden files and a ``DICOMDIR`` do not count. A file without the DICOM prefix (``DICM``) counts only if its name
    is plausible, too: no suffix, a DICOM suffix, ``.ima`` or a number as suffix.
    """
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            data = file.read(132)
    except OSError:
        return True
    suffix = path.suffix.lower()
    plausible = suffix in {"", ".ima", *DICOM_SUFFIXES} or suffix[1:].isdigit()  # file names are often UIDs
    return is_dicom(data) if plausible else data[128:] == b"DICM"


def read_series(path: Path) -> Stored:
    """Reads the slices of one CT series, sorted along the normal of their planes.

    Localizers and objects that are not CT images are skipped. A file with several frames (enhanced CT) is also a
    series.

    Args:
        path: a folder, read without its subfolders; or one file, whose series is read from the folder of the file.

    Returns:
        Hounsfield units, int16 (slice, row, column). Copies of a slice, with its position and its pixels, are left out
        and noted.

    Raises:
        DataError: no CT series, several series, a damaged series, or slices that form no regular grid. The message
            continues a sentence that begins with the name of the folder or file.

    Source: DICOM PS3.3 C.7.6.2.1.1 (position and orientation), C.7.6.16 (functional groups), C.11.1.1.2 (rescale).
    """
    slices = [placed for file, film in _one_series(path) for placed in slices_of(file, film)]
    if len(slices) < 2:
        raise DataError("holds a single CT slice; a volume has many, put all of its files into one folder")
    check_alike(slices)
    across, down = np.split(slices[0].orientation, 2)
    normal = np.cross(across, down)
    if abs(np.linalg.norm(normal) - 1) > 0.01:
        raise DataError(f"has no usable orientation ({_listed(slices[0].orientation)}); export the series again")
    slices.sort(key=lambda placed: float(placed.position @ normal))
    check_size((len(slices), *slices[0].size), 2)
    slices, notes = _without_copies(slices)
    affine = np.eye(4)
    affine[:3, 0] = _step(slices, normal)
    affine[:3, 1] = down * slices[0].spacing[0]
    affine[:3, 2] = across * slices[0].spacing[1]
    affine[:3, 3] = slices[0].position
    affine = FROM_LPS @ affine
    check_affine(affine)
    return Stored((len(slices), *slices[0].size), affine, _chunks(slices), notes=notes)


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice: the file and frame of its pixels, and its position in the patient in LPS+ millimetres."""

    file: Path
    frame: int
    size: tuple[int, int]
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]
    rescale: Dataset


def read_dicom(file: Path, *, pixels: bool) -> Dataset:
    """Reads a DICOM file of a folder, without its pixels or with them still coded.

    Raises:
        DataError: the file is damaged, or too large when inflated. The message continues a sentence that begins with
            the name of the folder.
    """
    with decoding(f"holds {file.name}, which"):
        _check_deflated(file)
        film = dcmread(file, force=True, stop_before_pixels=not pixels)
        if "TransferSyntaxUID" not in film.file_meta:  # no preamble, no header
            syntaxes = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
            film.file_meta.TransferSyntaxUID = syntaxes[bool(film.original_encoding[0])]
        return film


def _check_deflated(file: Path) -> None:
    """Refuses a deflated data set that is too large, because pydicom inflates it as a whole."""
    with file.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            return
        about = read_file_meta_info(file)
        if about.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian:
            most = WIDTH * limits().pixels
            stream.seek(144 + about.FileMetaInformationGroupLength)
            if inflated_size(stream, most) > most:
                raise DataError(f"holds {file.name}, which {too_large('deflated bytes or more', most + 1, 'pixels')}")


def _one_series(path: Path) -> list[tuple[Path, Dataset]]:
    """Returns the CT images of a folder's only series, or of the series that a file belongs to."""
    folder = path if path.is_dir() else path.parent
    films = [(file, read_dicom(file, pixels=False)) for file in sorted(folder.iterdir()) if is_slice_file(file)]
    if not films:
        raise DataError("holds no DICOM files; name a folder that holds CT slices, or the file of a volume")
    for file, film in films:
        if film.get("SOPClassUID") in CT_CLASSES and "Rows" not in film:
            raise DataError(f"holds {file.name}, which is cut short; copy or export it again")
    images = [(file, film) for file, film in films if film.get("Modality") == "CT" and "Rows" in film]
    if not images:
        found = sorted({str(film.get("Modality") or "none") for _, film in films})
        raise DataError(f"is DICOM of modality {', '.join(found)}; name a folder that holds CT slices")
    series = defaultdict(list)
    for file, film in images:
        if "LOCALIZER" not in (film.get("ImageType") or ()):
            series[str(film.get("SeriesInstanceUID"))].append((file, film))
    if folder != path:
        own = [chosen for chosen in series.values() if path in dict(chosen)]
        if not own:
            raise DataError("is no CT slice; name one, or the folder of the slices")
        return own[0]
    if not series:
        raise DataError("holds nothing but localizer images; export the slices too")
    if len(series) > 1:
        listed = "; ".join(f"{name} ({_described(chosen)})" for name, chosen in sorted(series.items()))
        raise DataError(f"holds {len(series)} CT series: {listed}; name a file of one, or give it its own folder")
    return next(iter(series.values()))


def _described(films: Sequence[tuple[Path, Dataset]]) -> str:
    count = f"{len(films)} file{'s' * (len(films) > 1)}"
    description = str(films[0][1].get("SeriesDescription") or "")
    return f"{count}, {description}" if description else count


def slices_of(file: Path, film: Dataset) -> list[Slice]:
    """Returns the slices of a file: one slice, or one for each frame of an enhanced CT."""
    slices = []
    with decoding(f"holds {file.name}, which"):
        frames, places = int(film.get("NumberOfFrames") or 1), film.get("PerFrameFunctionalGroupsSequence") or ()
        check_size((frames, int(film.Rows), int(film.Columns)), 2)
        if int(film.Rows) * int(film.Columns) > limits().pixels:
            raise DataError(f"holds {file.name}, which {too_large('pixels', film.Rows * film.Columns, 'pixels')}")
        if frames > 1 and len(places) != frames:
            raise DataError(
                f"holds {file.name} without usable ImagePositionPatient of each of its {frames} frames, only of "
                f"{len(places)}; export the series as plain CT slices"
            )
        for frame in range(frames):
            places = places_of(film, frame)
            position, orientation, spacing = (numbers_of(places, *sought, file) for sought in GEOMETRY.items())
            rescale = next((place for place in places if "RescaleSlope" in place), film)
            size = int(film.Rows), int(film.Columns)
            slices.append(Slice(file, frame, size, position, orientation, spacing, rescale))
    return slices


def numbers_of(places: Sequence[Dataset], keyword: str, count: int, file: Path) -> NDArray[np.float64]:
    """Returns the numbers of an attribute in the first place that has it; refuses another count, and infinities."""
    value: Any = next((place[keyword].value for place in places if keyword in place), None)
    numbers = np.atleast_1d(np.array([] if value is None else value, np.float64))
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise DataError(f"holds {file.name} without usable {keyword}; export the series as plain CT slices")
    return numbers


def places_of(film: Dataset, frame: int) -> list[Dataset]:
    """Returns the data sets that may hold a frame's attributes: the file itself and its functional groups."""
    frames = film.get("PerFrameFunctionalGroupsSequence") or ()
    groups = [*frames[frame : frame + 1], *(film.get("SharedFunctionalGroupsSequence") or ())]
    return [film, *(item for group in groups for element in group if element.VR == "SQ" for item in element.value)]


def check_alike(slices: Sequence[Slice]) -> None:
    """Refuses slices that differ in size, orientation or spacing."""
    for name, tolerance in {"size": 0.0, "orientation": 1e-3, "spacing": 1e-3}.items():
        first = getattr(slices[0], name)
        for placed in slices:
            other = getattr(placed, name)
            if np.abs(np.subtract(first, other)).max() > tolerance:
                found = f"{slices[0].file.name} has {_listed(first)}, {placed.file.name} has {_listed(other)}"
                raise DataError(f"holds slices of differing {name}: {found}; keep those of one reconstruction")


def _listed(numbers: Iterable[float | int]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """Leaves out slices with the position and the pixels of the slice before, and notes how many."""
    kept, copies = [slices[0]], 0
    for placed in slices[1:]:
        last = kept[-1]
        if np.abs(placed.position - last.position).max() < SAME and np.array_equal(_plane(placed), _plane(last)):
            copies += 1
        else:
            kept.append(placed)
    note = f"{copies} slices are copies of others, with their position and their pixels, and were left out"
    return kept, (note,) if copies else ()


def _step(slices: Sequence[Slice], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the vector from each of the sorted slices to the next; refuses duplicate, uneven or missing slices."""
    positions = np.stack([placed.position for placed in slices])
    depths = positions @ normal
    gaps = np.diff(depths)
    if not gaps.size:
        raise DataError("holds a single CT slice with its copies; put all slices into one folder")
    if gaps.min() < SAME:
        first = int(gaps.argmin())
        raise DataError(
            f"holds slices at the position of another, {int((gaps < SAME).sum())} in all, as at {depths[first]:g} mm "
            f"({slices[first].file.name}, {slices[first + 1].file.name}); keep one phase of one reconstruction"
        )
    _check_zones(slices, gaps)
    steps = np.rint(gaps / np.median(gaps)).astype(int)
    places = np.concatenate([[0], np.cumsum(steps)])
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / max(1, places[-1])
    strays = np.linalg.norm(positions - positions[0] - places[:, None] * step, axis=1)
    if steps.min() < 1 or strays.max() > 0.1 * np.linalg.norm(step):
        worst = int(np.abs(gaps - np.median(gaps)).argmax())
        raise DataError(
            f"has slices that are spaced unevenly, {gaps.min():g} to {gaps.max():g} mm apart, as between "
            f"{slices[worst].file.name} and {slices[worst + 1].file.name}; export all slices of one reconstruction, "
            "or resample them"
        )
    if steps.max() > 1:
        after = [f"{count - 1} after {depth:g} mm" for count, depth in zip(steps, depths, strict=False) if count > 1]
        more = f" and at {len(after) - 3} other places" if len(after) > 3 else ""
        raise DataError(
            f"lacks {int((steps - 1).sum())} of its slices: {', '.join(after[:3])}{more}; export all of them"
        )
    return step


def _check_zones(slices: Sequence[Slice], gaps: NDArray[np.float64]) -> None:
    """Refuses slices whose spacing changes from one zone to another; a zone has at least `ZONE` equal gaps."""
    ends = np.flatnonzero(np.abs(np.diff(gaps)) > 0.1 * gaps.min()) + 1
    zones = [(run[0], gaps[run].mean()) for run in np.split(np.arange(gaps.size), ends) if run.size >= ZONE]
    for (_, before), (start, after) in pairwise(zones):
        if abs(after - before) > 0.1 * min(before, after):
            placed = slices[start]
            raise DataError(
                f"has zones of different spacing: the spacing changes from {before:.4g} to {after:.4g} mm at slice "
                f"{start + 1} ({placed.file.name}, z = {placed.position[2]:g} mm); keep the slices of one zone, or "
                "export one reconstruction of equal spacing"
            )


def _chunks(slices: Sequence[Slice]) -> Iterator[NDArray[np.int16]]:
    """Yields the Hounsfield units of slices, clipped to the range of int16; a file with many frames is read once."""
    kept: dict[Path, Dataset] = {}
    for placed in slices:
        film = kept.get(placed.file) or with_pixels(placed.file)
        if int(film.get("NumberOfFrames") or 1) > 1:
            kept[placed.file] = film
        yield from _hounsfield(film, placed)


def _plane(placed: Slice) -> NDArray[np.int16]:
    return np.concatenate(list(_hounsfield(with_pixels(placed.file), placed)))


def with_pixels(file: Path) -> Dataset:
    """Reads a file whole; compressed pixels that are cut short or of another size than the header says are refused."""
    film = read_dicom(file, pixels=True)
    with decoding(f"holds {file.name}, which"):
        syntax = film.file_meta.TransferSyntaxUID
        if syntax in JPEG_SYNTAXES and not jpeg_ends(film.PixelData):
            raise DataError(f"holds {file.name}, whose JPEG is cut short; copy or export it again")
        if syntax.is_encapsulated and syntax != uid.RLELossless:
            frames = generate_frames(film.PixelData, number_of_frames=int(film.get("NumberOfFrames") or 1))
            check_coded(file.name, frames, (int(film.Rows), int(film.Columns)))
    return film


def _hounsfield(film: Dataset, placed: Slice) -> Iterator[NDArray[np.int16]]:
    """Yields the Hounsfield units of a slice, some rows at a time."""
    with decoding(f"holds {placed.file.name}, which"):
        stored = pixels_of(film, index=placed.frame)
        if stored.shape != placed.size:
            raise DataError(f"holds {placed.file.name}, which is in colours; export the CT slices themselves")
        for rows in np.array_split(stored, max(1, stored.size // PIECE)):
            yield _rescaled(film, placed, rows).ravel()


def _rescaled(film: Dataset, placed: Slice, stored: NDArray[Any]) -> NDArray[np.int16]:
    values = np.array(apply_modality_lut(stored, placed.rescale), np.float64)
    padding = film.get("PixelPaddingValue")
    if padding is not None:  # only a high padding value is replaced: a low one is harmless and may be a true value
        values[(stored == np.array(padding, np.int64).astype(stored.dtype)) & (values > HIGHEST)] = LOWEST
    ends = np.iinfo(np.int16)
    hounsfield: NDArray[np.int16] = np.rint(np.clip(values, ends.min, ends.max)).astype(np.int16)
    return hounsfield
