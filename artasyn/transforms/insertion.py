"""Insertion of opacities into the images of training loops: 8 bits or float, grey or colour, with or without lungs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Image, Mask, identity
from artasyn.errors import ImageError, SynthesisError
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.lungs import Zone
from artasyn.synthesis import Anomaly, LungOpacity, OpacityRecord, findings
from artasyn.synthesis.finding import Side

REMEMBERED = 4096
"""Number of images whose lungs are remembered."""


@dataclass(frozen=True, eq=False)
class Inserted:
    """The result of an insertion.

    Attributes:
        image: the given image with anomalies, of the same shape and dtype.
        mask: bool (h, w), exactly the pixels that changed.
        findings: the mask of every finding by its name.
        records: records of the anomalies, in the order of insertion.
    """

    image: npt.NDArray[Any]
    mask: Mask
    findings: dict[str, Mask]
    records: tuple[OpacityRecord, ...]


@dataclass(frozen=True)
class Insertion:
    """Inserts anomalies into uint8 or float32 images, grey or colour.

    Attributes:
        opacity: makes the anomalies.
        anomalies_range: number of anomalies in an image, inserted one after the other.
        segmenter: finds the lungs where none are given; the lungs are remembered by the image's pixels.
    """

    opacity: LungOpacity = field(default_factory=LungOpacity)
    anomalies_range: tuple[int, int] = (1, 1)
    segmenter: PBTSeg = field(default_factory=PBTSeg)

    def draw(self, image: npt.NDArray[Any], lungs: Lungs | None, rng: np.random.Generator) -> Inserted:
        """Draws anomalies and inserts them.

        Args:
            image: uint8, or float32 in [0, 1]; (h, w), (h, w, 1) or (h, w, 3); bright = dense.
            lungs: on the same grid; with None, PBTSeg finds them.
            rng: the only source of randomness.

        Raises:
            SynthesisError: no lungs are found, or nothing can be added to them.
            ImageError: the image is not valid, or the lungs are on another grid.
        """
        low, high = self.anomalies_range
        film = here = grey(image)
        lungs = self.lungs(film) if lungs is None else lungs
        anomalies = []
        for _ in range(int(rng.integers(low, high + 1))):
            anomalies.append(self.opacity(here, lungs, rng))
            here = anomalies[-1].image
        return _inserted(image, film, anomalies)

    def replay(self, image: npt.NDArray[Any], lungs: Lungs | None, records: Sequence[OpacityRecord]) -> Inserted:
        """Inserts the anomalies of records into an image."""
        film = here = grey(image)
        lungs = self.lungs(film) if lungs is None else lungs
        anomalies = []
        for record in records:
            anomalies.append(self.opacity.render(here, lungs, record))
            here = anomalies[-1].image
        return _inserted(image, film, anomalies)

    def lungs(self, film: Image) -> Lungs:
        """Returns the lungs that PBTSeg finds.

        Raises:
            SynthesisError: no lungs are found.
        """
        lungs = _LUNGS.find(self.segmenter, film)
        if not lungs.mask.any():
            raise SynthesisError(f"no lungs found ({'; '.join(lungs.reasons)}); give them, or leave this image out")
        return lungs


def _inserted(image: npt.NDArray[Any], film: Image, anomalies: Sequence[Anomaly]) -> Inserted:
    """Adds anomalies to an image that were inserted one after the other into its grey version `film`."""
    found: dict[str, Mask] = {}
    for anomaly in anomalies:
        for name, mask in anomaly.findings.items():
            found[name] = found[name] | mask if name in found else mask
    result = as_given(anomalies[-1].image - film, image) if anomalies else image.copy()
    changed = result != image
    mask = changed.any(axis=2) if changed.ndim == 3 else changed
    records = tuple(anomaly.record for anomaly in anomalies)
    return Inserted(result, mask, {name: part & mask for name, part in found.items()}, records)


def opacity(
    names: Sequence[str] = (),
    *,
    severity_range: Sequence[float] | None = None,
    size_range: Sequence[float] | None = None,
    number_range: Sequence[int] | None = None,
    zones: Sequence[Zone] | None = None,
    sides: Sequence[Side] | None = None,
    kinds_range: Sequence[int] = (1, 2),
    tolerance: float = 1 / 255,
) -> LungOpacity:
    """Makes a `LungOpacity` from plain values, as in command lines and configuration files.

    For `severity_range` to `sides`, a value applies to every finding, and None keeps each finding's own.

    Args:
        names: findings, keys of `artasyn.synthesis.FINDINGS`; no names mean all of them.
        severity_range: share of the step from lung to soft tissue.
        size_range: of a lesion, in heights of the lungs.
        number_range: number of lesions of a finding.
        zones: where lesions may lie.
        sides: the lungs that lesions may lie in.
        kinds_range: number of different findings in one anomaly.
        tolerance: smallest change of a pixel, in image units.

    Raises:
        SynthesisError: there is no such finding, or a value cannot be drawn from.
    """
    ranges = {"severity_range": severity_range, "size_range": size_range, "number_range": number_range}
    places = {"zones": zones, "sides": sides}
    changes = {name: tuple(value) for name, value in (ranges | places).items() if value is not None}
    return LungOpacity(findings(*names, **changes), (kinds_range[0], kinds_range[1]), tolerance)


def grey(image: npt.NDArray[Any]) -> Image:
    """Converts a uint8 or float32 image to one channel, float32 (h, w) in [0, 1].

    Raises:
        ImageError: the image has another dtype or shape.
    """
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.float32):
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"image must be a uint8 or float32 array, not {kind}; float32 lies in [0, 1]")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ImageError(f"image must be (h, w), (h, w, 1) or (h, w, 3), not {image.shape}")
    values = image / np.float32(255) if image.dtype == np.uint8 else image
    return np.ascontiguousarray(values if image.ndim == 2 else values.mean(axis=2, dtype=np.float32))


def as_given(added: Image, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Adds attenuation to all channels of an image; the shape and the dtype stay the same."""
    more = added if image.ndim == 2 else added[:, :, None]
    if image.dtype == np.uint8:
        return np.asarray(np.minimum(image + np.rint(more * np.float32(255)), 255).astype(np.uint8))
    return np.asarray(np.minimum(image + more, np.float32(1)))


def as_lungs(lungs: object, *, labelled: bool = True) -> Lungs:
    """Converts lungs to `Lungs`, from a `Lungs`, a boolean mask of both lungs, or labels.

    Args:
        lungs: `Lungs`, bool (h, w), or integers (h, w) with 0, 1 right, 2 left; a last axis of one is dropped.
        labelled: whether integers are labels; otherwise every value except 0 is lung.

    Raises:
        ImageError: the lungs are none of these.
    """
    if isinstance(lungs, Lungs):
        return lungs
    if not isinstance(lungs, np.ndarray) or not (lungs.dtype == np.bool_ or np.issubdtype(lungs.dtype, np.integer)):
        kind = lungs.dtype if isinstance(lungs, np.ndarray) else type(lungs).__name__
        raise ImageError(f"lungs must be artasyn.Lungs, a boolean mask or integer labels, not {kind}")
    flat = lungs[:, :, 0] if lungs.ndim == 3 and lungs.shape[2] == 1 else lungs
    if flat.dtype == np.bool_ or not labelled:
        return Lungs.from_mask(flat != 0)
    if flat.ndim != 2 or flat.min(initial=0) < 0 or flat.max(initial=0) > 2:
        raise ImageError(
            "lung labels must be (h, w) with 0, 1 (right) and 2 (left); a mask of other values is no label map"
        )
    return Lungs.from_labels(flat.astype(np.uint8))


class LungMemory:
    """Remembers the lungs that segmenters found in images, by segmenter and pixels; the least recently used go first.

    Labels are kept as PNG, a few kilobytes for any size of image. Threads may share a memory. An unpickled copy, as in
    a worker process, is empty.

    Args:
        capacity: number of lungs that are remembered.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._found: OrderedDict[tuple[PBTSeg, str], tuple[bytes, Lungs]] = OrderedDict()  # PNG, and the rest
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._found)

    def __reduce__(self) -> tuple[type[LungMemory], tuple[int]]:
        return LungMemory, (self.capacity,)

    def find(self, segmenter: PBTSeg, image: Image) -> Lungs:
        """Returns the lungs that a segmenter finds in an image; it runs once for the same pixels.

        Args:
            segmenter: finds them.
            image: (h, w), float32 in [0, 1].
        """
        key = segmenter, identity(image)
        with self._lock:
            found = self._found.get(key)
            if found:
                self._found.move_to_end(key)
        if not found:  # outside the lock: other threads need not wait for the segmenter
            lungs = segmenter(image)
            rest = replace(lungs, labels=np.zeros((0, 0), np.uint8))
            found = cv2.imencode(".png", lungs.labels)[1].tobytes(), rest
            with self._lock:
                self._found[key] = found
                if len(self._found) > self.capacity:
                    self._found.popitem(last=False)
        labels, rest = found
        pixels = cv2.imdecode(np.frombuffer(labels, np.uint8), cv2.IMREAD_UNCHANGED)
        return replace(rest, labels=np.asarray(pixels, np.uint8))


_LUNGS = LungMemory(REMEMBERED)
"""The memory of this process."""
