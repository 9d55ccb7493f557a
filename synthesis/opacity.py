"""Lung opacities: cloudy strokes inside the lungs, as attenuation added to a normal radiograph."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import operator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32

from artasyn.arrays import LEFT, RIGHT, Attenuation, Image, Mask, check_image
from artasyn.errors import ImageError, NothingShows, SynthesisError
from artasyn.segment.lungs import Lungs
from artasyn.synthesis.anomaly import Anomaly, expose
from artasyn.synthesis.cells import crystallised
from artasyn.synthesis.noise import clouds
from artasyn.synthesis.strokes import Point, Stamps, Stroke


@dataclass(frozen=True)
class OpacityRecord:
    """All that was random about one anomaly, as plain numbers: it remakes the anomaly bit for bit.

    Attributes:
        strokes: where the brush went.
        severity: attenuation of the densest parts, as a share of the step from lung to soft tissue.
        seed: fixes the brushes' textures, the jitter of every stamp and the Voronoi cells.
    """

    strokes: tuple[Stroke, ...]
    severity: float
    seed: int

    def to_json(self) -> str:
        """This record as JSON; `from_json` reads it back."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> OpacityRecord:
        """Reads what `to_json` wrote.

        Raises:
            SynthesisError: the text is no such record.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            strokes = tuple(Stroke(_curve(stroke["curve"]), float(stroke["brush"])) for stroke in fields["strokes"])
            severity, seed = float(fields["severity"]), operator.index(fields["seed"])
            numbers = [severity, *(n for s in strokes for n in (s.brush, *itertools.chain(*s.curve)))]
            if not all(map(math.isfinite, numbers)):
                raise ValueError("a number is not finite")
            if min(severity, *(stroke.brush for stroke in strokes), 1.0) <= 0 or not 0 <= seed < 2**32:
                raise ValueError("severity and brushes must be positive, the seed from 0 to 2**32 - 1")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SynthesisError(f"not the record of a lung opacity: {error!r} in {text[:80]!r}") from error
        return cls(strokes, severity, seed)


@dataclass(frozen=True)
class LungOpacity:
    """Makes lung opacities on normal radiographs, with exact masks.

    Strokes of a cloudy brush run between random points of a lung. Their stamps add up in the log domain; the
    sum, its blur, a Voronoi "crystallised" copy and that one's blur are averaged into an opacity map. It is
    scaled by the severity and by the step from the local lung's grey to soft tissue, faded out at the pleura,
    and *added*: ribs, vessels and noise keep their contrast, and a pixel belongs to the mask exactly if it
    changed.

    Lengths are fractions of the lungs' height, so that any image size and any cropping is served alike.

    Attributes:
        skip_probability: that a lung stays healthy (never both).
        few_strokes_range: strokes in a lung with few of them, both ends included.
        many_strokes_range: strokes in a lung with many of them; few and many are equally likely.
        extent_range: radius around a random point of the lung within which its strokes start and end; over 1
            is the whole lung, as published.
        brushes: diameters of the brushes; each stroke is drawn with one of them.
        bend_range: how far a stroke's control point is moved off its middle, along rows and along columns.
        severity_range: share of the step from lung to soft tissue, drawn log-uniformly.
        cells: Voronoi cells over the whole image.
        fade: distance from the pleura over which the opacity sets in.
        tolerance: smallest change of a pixel, in image units; less is not added. One grey level of 8 bits.
        tail: share of the densest part below which a stroke counts as ended, so that it ends where it is seen
            to.
        stamps: how the stamps of a stroke vary.

    Source: ART-ASyn (Cao, Fan, Cai; WACV 2026; arXiv 2512.00310), texture-based anomaly synthesis. There the
    strokes are composited toward one grey value, which erases half of the texture beneath; here they are
    attenuation.

    Example:
        >>> from artasyn.phantom import Phantom
        >>> chest = Phantom(size=128)(seed=1)
        >>> anomaly = LungOpacity()(chest.image, chest.lungs, np.random.default_rng(0))
        >>> bool((anomaly.mask == (anomaly.image != chest.image)).all())
        True
    """

    skip_probability: float = 0.2
    few_strokes_range: tuple[int, int] = (1, 4)
    many_strokes_range: tuple[int, int] = (10, 14)
    extent_range: tuple[float, float] = (0.03, 0.6)
    brushes: tuple[float, ...] = (0.36, 0.22)
    bend_range: tuple[float, float] = (-0.19, 0.19)
    severity_range: tuple[float, float] = (0.15, 0.9)
    cells: int = 500
    fade: float = 0.05
    tolerance: float = 1 / 255
    tail: float = 0.5
    stamps: Stamps = field(default_factory=Stamps)

    def __call__(self, image: Image, lungs: Lungs, rng: np.random.Generator) -> Anomaly:
        """Draws an anomaly and renders it; draws again where nothing of it shows.

        Args:
            image: float32 (h, w) in [0, 1], a normal radiograph.
            lungs: its lungs, on the same grid.
            rng: the only source of randomness.

        Raises:
            SynthesisError: there are no lungs, or they are so bright that nothing can be added to them.
            ImageError: the image is none, or the lungs are on another grid.
        """
        for _ in range(DRAWS - 1):
            with contextlib.suppress(NothingShows):
                return self.render(image, lungs, self.draw(lungs, rng))
        return self.render(image, lungs, self.draw(lungs, rng))

    def draw(self, lungs: Lungs, rng: np.random.Generator) -> OpacityRecord:
        """Draws where an anomaly will be and how dense; the only place where randomness is used.

        Args:
            lungs: where it may be. One lung is enough.
            rng: the source of randomness.

        Raises:
            SynthesisError: there are no lungs.
        """
        present = [side for side in (RIGHT, LEFT) if (lungs.labels == side).any()]
        if not present:
            raise SynthesisError("no lungs to place an opacity in; segment the radiograph first or leave it out")
        diseased = [side for side in present if rng.random() >= self.skip_probability]
        diseased = diseased or [present[int(rng.integers(len(present)))]]
        height = _height(lungs)
        strokes = tuple(stroke for side in diseased for stroke in self._draw_strokes(lungs.labels == side, height, rng))
        low, high = self.severity_range
        severity = math.exp(rng.uniform(math.log(low), math.log(high)))
        return OpacityRecord(strokes, severity, int(rng.integers(2**32)))

    def _draw_strokes(self, lung: Mask, height: int, rng: np.random.Generator) -> list[Stroke]:
        """The strokes of one lung; `height` is both lungs' height in pixels."""
        many = rng.random() < 0.5
        low, high = self.many_strokes_range if many else self.few_strokes_range
        places = np.argwhere(lung) + 0.5
        shape = np.array(lung.shape)
        focus = places[int(rng.integers(len(places)))]
        extent = rng.uniform(*self.extent_range) * height
        places = places[((places - focus) ** 2).sum(axis=1) <= extent**2]
        strokes = []
        for _ in range(int(rng.integers(low, high + 1))):
            start, end = places[rng.integers(len(places), size=2)]
            control = (start + end) / 2 + rng.uniform(*self.bend_range, size=2) * height
            curve = _curve([start / shape, control / shape, end / shape])
            brush = self.brushes[int(rng.integers(len(self.brushes)))]
            strokes.append(Stroke(curve, brush * height / lung.shape[0]))
        return strokes

    def render(self, image: Image, lungs: Lungs, record: OpacityRecord) -> Anomaly:
        """Renders a record on a radiograph; deterministic.

        Args:
            image: float32 (h, w) in [0, 1].
            lungs: its lungs, on the same grid.
            record: from `draw`, for these lungs at any size.

        Raises:
            NothingShows: no pixel of this image changes.
            ImageError: the image is none, or the lungs are on another grid.
        """
        check_image(image)
        if lungs.labels.shape != image.shape:
            raise ImageError(
                f"lungs are {lungs.labels.shape}, the image is {image.shape}; use lungs.resized(image.shape)"
            )
        added = self._attenuation(image, lungs, record)
        result, mask, attenuation = expose(image, added, tolerance=self.tolerance)
        if not mask.any():
            raise NothingShows(
                "no pixel can be brightened by the tolerance: "
                "the record lies outside these lungs, or they are white or mere slivers"
            )
        return Anomaly(result, mask, attenuation, record)

    def _attenuation(self, image: Image, lungs: Lungs, record: OpacityRecord) -> Attenuation:
        """The attenuation to add, 0 outside the lungs. What is smooth is computed on a coarse grid."""
        rows, columns = image.shape
        scale = min(1.0, GRID_ROWS / max(1, _height(lungs)))
        grid = (max(2, round(rows * scale)), max(2, round(columns * scale)))
        lung = cv2.resize((lungs.labels > 0).astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA)
        film = cv2.resize(image, grid[::-1], interpolation=cv2.INTER_AREA)
        height = _height(lungs) * scale
        smooth = self._opacity_map(record, lung, height)
        smooth *= _step_to_soft_tissue(film, lung, sigma=0.1 * height) * _fade(lung, width=self.fade * height)
        fine = cv2.resize(smooth * np.float32(record.severity), (columns, rows), interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.where(lungs.labels > 0, fine, 0), np.float32)

    def _opacity_map(
        self, record: OpacityRecord, lung: Float32[np.ndarray, "h w"], height: float
    ) -> Float32[np.ndarray, "h w"]:
        """Where the opacity is and how dense: float32, about 1 in its densest parts, before the severity."""
        stamped = 1 - np.exp(-self.stamps.attenuation(record.strokes, seed=record.seed, shape=lung.shape))
        crystal = crystallised(stamped, seed=record.seed, cells=self.cells)
        layers = stamped + _blurred(stamped, 0.05 * height) + crystal + _blurred(crystal, 0.02 * height)
        densest = max(float((layers * lung).max()), 1e-6)
        shape = np.clip(1.5 * (layers / densest - self.tail) / (1 - self.tail), 0, 1)
        patchy = clouds(lung.shape, seed=record.seed, coarsest=max(2.0, 0.15 * height))
        return np.asarray(_blurred(shape, 0.03 * height) * (0.4 + 1.2 * patchy), np.float32)


DRAWS = 8
"""Draws before an image counts as one that nothing can be added to."""

GRID_ROWS = 64
"""Rows of the coarse grid over the height of the lungs."""


def _curve(points: Any) -> tuple[Point, Point, Point]:
    """Three points as plain numbers."""
    start, control, end = ((float(row), float(column)) for row, column in points)
    return start, control, end


def _height(lungs: Lungs) -> int:
    """Rows from the top of the lungs to their bottom."""
    rows = np.flatnonzero(lungs.mask.any(axis=1))
    return int(rows[-1] - rows[0] + 1) if rows.size else 0


def _blurred(values: Float32[np.ndarray, "h w"], sigma: float) -> Float32[np.ndarray, "h w"]:
    """A Gaussian blur; `sigma` in pixels."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), max(sigma, 0.3)), np.float32)


def _step_to_soft_tissue(
    film: Float32[np.ndarray, "h w"], lung: Float32[np.ndarray, "h w"], *, sigma: float
) -> Float32[np.ndarray, "h w"]:
    """How much brighter soft tissue is than the lung around each pixel, at least a little.

    Args:
        film: the radiograph.
        lung: share of lung in each pixel.
        sigma: of the blur that takes ribs and vessels out of the lung's level, in pixels.
    """
    soft_tissue = np.float32(np.quantile(film, 0.85))  # Source: ART-ASyn's grey value c
    level = _blurred(film * lung, sigma) / np.maximum(_blurred(lung, sigma), 1e-3)
    return np.asarray(np.maximum(soft_tissue - level, 0.1), np.float32)


def _fade(lung: Float32[np.ndarray, "h w"], *, width: float) -> Float32[np.ndarray, "h w"]:
    """From 0 at the pleura to 1 at `width` pixels from it, as the lung's thickness grows along the rays."""
    inside = cv2.copyMakeBorder((lung >= 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(np.sqrt(np.minimum(distance / max(width, 1e-3), 1)), np.float32)
