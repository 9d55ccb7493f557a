"""DICOM segmentations as label maps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from artasyn.errors import DataError
from artasyn.files.ct_series import SAME, Slice, check_alike, numbers_of, places_of, read_dicom, slices_of, with_pixels
from artasyn.files.ct_volumes import FROM_LPS, READABLE, Stored, check_affine, check_size
from artasyn.pixels.decoders import pixels_of

DISTANCES = ("SpacingBetweenSlices", "SliceThickness")
"""The attributes that tell the distance of planes, the better one first."""


def read_segmentation(file: Path) -> Stored:
    """Reads a DICOM segmentation (SEG) as layers of labels; segments that overlap lie in different layers.

    The grid spans the frames of the file, so it is often smaller than the CT. Planes without a frame are empty.

    Args:
        file: a segmentation of type BINARY or LABELMAP.

    Raises:
        DataError: the file is damaged, another DICOM object or of another type, or its frames form no regular grid. The
            message continues a sentence that begins with the file's name.

    Source: DICOM PS3.3 C.8.20 (segmentation), C.7.6.16.2 (functional groups).
    """
    film = read_dicom(file, pixels=False)
    kind = f"{film.get('Modality') or 'no modality'} {film.get('SegmentationType') or ''}".strip()
    if kind not in ("SEG BINARY", "SEG LABELMAP"):
        raise DataError(f"is DICOM, {kind}; labels are read from SEG of type BINARY or LABELMAP, {READABLE}")
    slices = slices_of(file, film)
    check_alike(slices)
    affine, planes = _planes(slices, film)
    shape = (int(planes.max()) + 1, *slices[0].size)
    film, frames = with_pixels(file), defaultdict(list)
    for placed, plane in zip(slices, planes, strict=True):
        frames[_segment(film, placed) if kind == "SEG BINARY" else 0].append((plane, placed.frame))
    layers: list[NDArray[np.uint16]] = []
    names: dict[int, dict[int, str]] = defaultdict(dict)
    labels = {int(each.SegmentNumber): str(each.get("SegmentLabel") or "") for each in film.SegmentSequence}
    for segment, places in sorted(frames.items()):
        drawn = [(plane, pixels_of(film, index=frame)) for plane, frame in places]
        overlap = [any((layer[plane][mask > 0] > 0).any() for plane, mask in drawn) for layer in layers]
        number = [*overlap, False].index(False)
        if number == len(layers):
            check_size((number + 1, *shape), 2)
            layers.append(np.zeros(shape, np.uint16))
        for plane, mask in drawn:
            layers[number][plane][mask > 0] = segment or mask[mask > 0]
        names[number] |= {n: label.strip() for n, label in labels.items() if label.strip() and segment in (0, n)}
    chunks = (plane.ravel() for layer in layers for plane in layer)
    return Stored((len(layers), *shape), FROM_LPS @ affine, chunks, layers=0, names=names)


def _segment(film: Dataset, placed: Slice) -> int:
    """Returns the number of the segment that a frame shows."""
    [number] = numbers_of(places_of(film, placed.frame), "ReferencedSegmentNumber", 1, placed.file)
    if not 1 <= number <= np.iinfo(np.uint16).max:
        raise DataError(f"has a frame of segment {number:g}; it is damaged, copy or export it again")
    return int(number)


def _planes(slices: Sequence[Slice], film: Dataset) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Returns the affine (LPS+) of a grid through frames, and the plane of each frame in it."""
    across, down = np.split(slices[0].orientation, 2)
    normal = np.cross(across, down)
    positions = np.stack([placed.position for placed in slices])
    depths = positions @ normal
    gaps = [gap for gap in np.diff(np.sort(depths)) if gap > SAME]
    stated = {name: [float(place[name].value) for place in places_of(film, 0) if place.get(name)] for name in DISTANCES}
    between, thick = (stated[name] for name in DISTANCES)
    step = abs(float([*between, *([min(gaps)] if gaps else thick), 0.0][0]))
    if not step > SAME:
        raise DataError("has one plane and says no distance to the next; export it with SpacingBetweenSlices")
    first = int(depths.argmin())
    planes = np.rint((depths - depths[first]) / step).astype(np.intp)
    strays = positions - positions[first] - planes[:, None] * step * normal
    if np.linalg.norm(strays, axis=1).max() > 0.1 * step:
        raise DataError(f"has frames that do not lie on one grid of planes {step:g} mm apart; export it again")
    check_size((int(planes.max()) + 1, *slices[0].size), 2)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 3] = normal * step, positions[first]
    affine[:3, 1], affine[:3, 2] = down * slices[0].spacing[0], across * slices[0].spacing[1]
    check_affine(FROM_LPS @ affine)
    return affine, planes
