"""Insertion of opacities into the images of training loops: 8 bits or floats, grey or colour, with or without lungs."""

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
from artasyn.segment.anatomy.anatomy import Anatomy, Convention
from artasyn.segment.anatomy.segmenters import Segmenter
from artasyn.segment.lungs import Zone
from artasyn.segment.projection.projection import Projection
from artasyn.synthesis import Anomaly, LungOpacity, OpacityRecord, findings
from artasyn.synthesis.diffusion import Imagined, ImaginedAnomaly, PromptRecord
from artasyn.synthesis.finding import Findings, Side
from artasyn.synthesis.places import Found, Place
from artasyn.transforms.boxes import LesionBox, lesion_boxes, rendered_again
from artasyn.transforms.given import region

REMEMBERED = 4096
"""Number of images whose lungs are remembered."""


Maker = LungOpacity | Imagined
"""What makes the anomalies: findings drawn at random, or what prompts say."""
Drawn = OpacityRecord | PromptRecord
"""The random choices of an anomaly."""


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
    records: tuple[Drawn, ...]


@dataclass(frozen=True)
class Insertion:
    """Inserts anomalies into images of uint8 or floats, grey or colour.

    Attributes:
        opacity: makes the anomalies.
        anomalies_range: number of anomalies in an image, inserted one after the other.
        segmenter: finds the lungs or the anatomy where none are given; the place of the anomalies is remembered by the
            image's pixels.
    """

    opacity: Maker = field(default_factory=LungOpacity)
    anomalies_range: tuple[int, int] = (1, 1)
    segmenter: Segmenter = field(default_factory=PBTSeg)

    def draw(self, image: npt.NDArray[Any], lungs: Found | None, rng: np.random.Generator) -> Inserted:
        """Draws anomalies and inserts them.

        Args:
            image: uint8, or floats in [0, 1]; (h, w), (h, w, 1) or (h, w, 3); bright = dense.
            lungs: the lungs, the anatomy or the projection, on the same grid; with None, the segmenter finds them.
            rng: the only source of randomness.

        Raises:
            SynthesisError: no lungs are found, or nothing can be added to them.
            ImageError: the image is not valid, or the lungs are on another grid.
        """
        low, high = self.anomalies_range
        film = here = grey(image)
        place = self.place(film, lungs)
        anomalies: list[Anomaly | ImaginedAnomaly] = []
        for _ in range(int(rng.integers(low, high + 1))):
            anomalies.append(self.opacity(here, place, rng))
            here = anomalies[-1].image
        return _inserted(image, film, anomalies)

    def replay(self, image: npt.NDArray[Any], lungs: Found | None, records: Sequence[Drawn]) -> Inserted:
        """Inserts the anomalies of records into an image."""
        film = here = grey(image)
        place = self.place(film, lungs)
        anomalies: list[Anomaly | ImaginedAnomaly] = []
        for record in records:
            anomalies.append(rendered_again(self.opacity, here, place, record))
            here = anomalies[-1].image
        return _inserted(image, film, anomalies)

    def read(self, text: str) -> Drawn:
        """Reads a record of the anomalies that this insertion makes.

        Raises:
            SynthesisError: the text is no such record.
        """
        kind = PromptRecord if isinstance(self.opacity, Imagined) else OpacityRecord
        return kind.from_json(text)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings, in the order of the channels of a mask."""
        return self.opacity.names

    def boxes(
        self, image: npt.NDArray[Any], lungs: Found | None, records: Sequence[Drawn], mask: Mask
    ) -> list[LesionBox]:
        """Returns a box around the changed pixels of each lesion; each changed pixel lies in a box.

        A lesion that another lesion hides has no box.

        Args:
            image: the image before the anomalies.
            lungs: as in `replay`.
            records: as in `replay`.
            mask: the pixels that `replay` changed.
        """
        film = grey(image)
        return lesion_boxes(self.opacity, film, self.place(film, lungs), records, mask)

    def place(self, film: Image, lungs: Found | None) -> Found | Place:
        """Returns the part of the lungs that the anomalies lie in; with None for lungs, the segmenter finds them.

        Prompts name places of their own, so for them the lungs or the anatomy is returned as it was given or found.

        Raises:
            SynthesisError: no lungs are found, or they do not tell where the part is.
            DataError: the segmenter needs lungs that are given.
        """
        if isinstance(self.opacity, Imagined):
            if lungs is not None:
                return lungs
            if not isinstance(self.segmenter, PBTSeg):
                return self.segmenter(film)  # an anatomy with its lobes is too large to remember
            place = _LUNGS.find(self.segmenter, film)
        elif lungs is not None:
            return self.opacity.place(lungs)
        else:
            place = _LUNGS.find(self.segmenter, film, self.opacity.part, self.opacity.convention)
        if not place.lungs.mask.any():
            reasons = "; ".join(place.lungs.reasons)
            raise SynthesisError(f"no lungs found ({reasons}); give them, or leave this image out")
        return place


def _inserted(image: npt.NDArray[Any], film: Image, anomalies: Sequence[Anomaly | ImaginedAnomaly]) -> Inserted:
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


def as_maker(given: Maker | Findings | None) -> Maker:
    """Returns what makes anomalies as it is; the names of findings, or findings, give a `LungOpacity`.

    Args:
        given: None takes all findings.

    Raises:
        SynthesisError: there is no such finding, or something else is given.
    """
    return given if isinstance(given, LungOpacity | Imagined) else LungOpacity(given)


def grey(image: npt.NDArray[Any]) -> Image:
    """Converts an image to one channel, float32 (h, w) in [0, 1].

    Args:
        image: uint8, or floats in [0, 1]; (h, w), (h, w, 1) or (h, w, 3).

    Raises:
        ImageError: the image has another dtype or shape, or values outside [0, 1].
    """
    if not isinstance(image, np.ndarray) or not (image.dtype == np.uint8 or image.dtype.kind == "f"):
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(
            f"image must be an array of uint8, or of floats in [0, 1], not {kind}; divide other integers by the white "
            "of the film: (pixels / white).astype('float32'), with 65535 for white where all 16 bits are used"
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or min(image.shape[:2]) < 16:
        raise ImageError(
            f"image must be (h, w), (h, w, 1) or (h, w, 3), of at least 16 rows and columns, not {image.shape}"
        )
    if image.dtype == np.uint8:
        values = image / np.float32(255)
    else:
        low, high = float(image.min()), float(image.max())
        if not (low >= 0 and high <= 1):  # also catches NaN
            raise ImageError(
                f"image must lie in [0, 1], bright = dense; found values from {low:g} to {high:g}; insert opacities "
                "before the image is normalised"
            )
        values = image.astype(np.float32, copy=False)
    return np.ascontiguousarray(values if image.ndim == 2 else values.mean(axis=2, dtype=np.float32))


def as_given(added: Image, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Adds attenuation to all channels of an image; the shape and the dtype stay the same."""
    more = added if image.ndim == 2 else added[:, :, None]
    if image.dtype == np.uint8:
        return np.asarray(np.minimum(image + np.rint(more * np.float32(255)), 255).astype(np.uint8))
    return np.asarray(np.minimum(image + more, np.float32(1)).astype(image.dtype))


def as_lungs(lungs: Any, shape: tuple[int, ...] | None = None, *, labelled: bool | None = None) -> Found:
    """Converts lungs to `Lungs`, as `Lungs.from_array` does; an `Anatomy` or a `Projection` is returned as it is.

    Args:
        lungs: one of these; or an array, a tensor or a PIL image, (h, w), with further axes of length 1.
        shape: (h, w) of the image; None if any will do.
        labelled: True for labels, False for a mask of both lungs, None where the values tell.

    Raises:
        ImageError: the lungs are none of these, or lie on another grid than the image.
    """
    if isinstance(lungs, Anatomy | Projection):
        return lungs
    found = lungs if isinstance(lungs, Lungs) else Lungs.from_array(region(lungs, "lungs"), labelled=labelled)
    if shape is not None and found.labels.shape != tuple(shape):
        raise ImageError(f"lungs are {found.labels.shape}, the image is {tuple(shape)}; bring both to the same grid")
    return found


class LungMemory:
    """Remembers the lungs that segmenters found in images, by segmenter and pixels; the least recently used go first.

    Lungs and the part of them that is wanted are kept as PNG, a few kilobytes for any size of image. Threads may share
    a memory. An unpickled copy, as in a worker process, is empty.

    Args:
        capacity: number of lungs that are remembered.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._found: OrderedDict[tuple[Any, ...], tuple[bytes, Lungs]] = OrderedDict()  # PNG, and the rest
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._found)

    def __reduce__(self) -> tuple[type[LungMemory], tuple[int]]:
        return LungMemory, (self.capacity,)

    def find(
        self, segmenter: Segmenter, image: Image, part: str = "lungs", convention: Convention = "visible"
    ) -> Place:
        """Returns the lungs that a segmenter finds in an image; it runs once for the same pixels and the same part.

        Args:
            segmenter: finds them.
            image: (h, w), float32 in [0, 1].
            part: the part of the lungs that is wanted, as for `Place.of`.
            convention: the extent of the lungs.

        Raises:
            SynthesisError: the segmenter does not tell where the part is.
        """
        key = segmenter, part, convention, identity(image)
        with self._lock:
            found = self._found.get(key)
            if found:
                self._found.move_to_end(key)
        if not found:  # outside the lock: other threads need not wait for the segmenter
            place = Place.of(segmenter(image), part, convention)
            rest = replace(place.lungs, labels=np.zeros((0, 0), np.uint8))
            found = cv2.imencode(".png", place.coded())[1].tobytes(), rest
            with self._lock:
                self._found[key] = found
                if len(self._found) > self.capacity:
                    self._found.popitem(last=False)
        coded, rest = found
        pixels = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_UNCHANGED)
        place = Place.decoded(np.asarray(pixels, np.uint8), part, convention)
        return replace(place, lungs=replace(rest, labels=place.lungs.labels))


_LUNGS = LungMemory(REMEMBERED)
"""The memory of this process."""
