"""Strokes of cloudy brushes: curves through a lung, stamped as added attenuation.

Stamps that are each composited toward one value leave ``1 - prod(1 - a_i)``. In the log domain that is a sum,
``sum(-log(1 - a_i))``, independent of their order: all stamps of all strokes are scattered at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32

from artasyn.synthesis.noise import clouds, hashed

BRUSH_SIDE = 64
"""Pixels along the side of a brush's texture."""

STAMPS = 1 << 20
"""Places in the noise that each stroke's stamps have for themselves, four a stamp."""

LARGEST_REMAP = 32766
"""Rows that OpenCV's remap takes at once."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Stroke:
    """One stroke of a brush along a quadratic Bezier curve, as plain numbers.

    Attributes:
        curve: start, control point and end, each (row, column) as fractions of the image's height and width.
        brush: the brush's diameter as a fraction of the image's height.
    """

    curve: tuple[Point, Point, Point]
    brush: float

    def points(self, *, spacing: float, shape: tuple[int, int]) -> Float[np.ndarray, "n 2"]:
        """Points along the stroke, (row, column) in pixels of a grid; pixel i reaches from i to i + 1.

        Args:
            spacing: the distance between two points as a fraction of the brush's diameter.
            shape: rows and columns of the grid.
        """
        start, control, end = (np.array(point) * shape for point in self.curve)
        length = np.linalg.norm(control - start) + np.linalg.norm(end - control)
        count = max(2, int(np.ceil(length / (spacing * self.brush * shape[0]))) + 1)
        t = np.linspace(0, 1, count)[:, None]
        return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end)


@dataclass(frozen=True)
class Stamps:
    """How the stamps along a stroke vary; every range is drawn from uniformly.

    Attributes:
        spacing: between two stamps, as a fraction of the brush's diameter.
        size_range: diameter relative to the brush's.
        opacity_range: opacity of a stamp.
        flow_range: the share of its opacity that a stamp leaves.

    Source: ART-ASyn (arXiv 2512.00310), texture-based synthesis.
    """

    spacing: float = 0.05
    size_range: tuple[float, float] = (0.3, 1.0)
    opacity_range: tuple[float, float] = (0.07, 0.30)
    flow_range: tuple[float, float] = (0.67, 1.0)

    def attenuation(
        self, strokes: tuple[Stroke, ...], *, seed: int, shape: tuple[int, int]
    ) -> Float32[np.ndarray, "h w"]:
        """The strokes' summed attenuation ``sum(-log(1 - a))`` on a grid of the image's proportions.

        Args:
            strokes: what to draw; their order does not matter.
            seed: from 0 to 2**32 - 1, fixes the brushes' textures and every stamp's jitter.
            shape: rows and columns of the grid.

        Returns:
            float32 (h, w), not negative, without an upper limit.
        """
        total = np.zeros(shape[0] * shape[1])
        for number, width in enumerate(sorted({stroke.brush for stroke in strokes})):
            curves = sorted((stroke for stroke in strokes if stroke.brush == width), key=lambda stroke: stroke.curve)
            stamped = [stroke.points(spacing=self.spacing, shape=shape) for stroke in curves]
            centres = np.concatenate(stamped).astype(np.float32)
            brush = (seed + number) % 2**32
            jitter = np.concatenate(
                [hashed(brush, STAMPS * at + np.arange(points.size * 2)) for at, points in enumerate(stamped)]
            ).reshape(-1, 4)
            side = 2 * self._reach(width * shape[0]) + 1
            block = max(1, LARGEST_REMAP // side)
            for first in range(0, len(centres), block):
                part = slice(first, first + block)
                total += self._stamped(centres[part], jitter[part], width * shape[0], seed=brush, shape=shape)
        return np.asarray(total.reshape(shape), np.float32)

    def _reach(self, diameter: float) -> int:
        """Pixels from a stamp's centre to the rim of the largest one."""
        return int(np.ceil(0.5 * diameter * self.size_range[1]))

    def _stamped(
        self,
        centres: Float32[np.ndarray, "n 2"],
        jitter: Float32[np.ndarray, "n 4"],
        diameter: float,
        *,
        seed: int,
        shape: tuple[int, int],
    ) -> Float[np.ndarray, " cells"]:
        """One brush at its centres: sampled by one remap, scattered onto the flat grid by one bincount."""
        radius = 0.5 * diameter * _scaled(jitter[:, :1], self.size_range)
        turn = np.float32(2 * np.pi) * jitter[:, 1:2]
        opacity = _scaled(jitter[:, 2:3], self.opacity_range) * _scaled(jitter[:, 3:], self.flow_range)

        reach = self._reach(diameter)
        offset = np.arange(-reach, reach + 1, dtype=np.int32)
        vertical, horizontal = np.repeat(offset, offset.size), np.tile(offset, offset.size)
        nearest = np.floor(centres)
        shift = nearest + np.float32(0.5) - centres
        down = shift[:, :1] + vertical.astype(np.float32)
        across = shift[:, 1:] + horizontal.astype(np.float32)
        half = np.float32((BRUSH_SIDE - 1) / 2)
        cosine, sine = np.cos(turn) * half / radius, np.sin(turn) * half / radius
        stacked = (-1, offset.size)  # OpenCV refuses maps of 32767 rows or columns
        alpha = cv2.remap(
            brush_texture(seed),
            (sine * down + cosine * across + half).reshape(stacked),
            (cosine * down - sine * across + half).reshape(stacked),
            cv2.INTER_LINEAR,
        ).reshape(down.shape)
        row = nearest[:, :1].astype(np.int32) + vertical
        column = nearest[:, 1:].astype(np.int32) + horizontal
        inside = (alpha > 0) & (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        added = -np.log1p(-(opacity * alpha)[inside])
        cells = np.bincount((row * shape[1] + column)[inside], weights=added, minlength=shape[0] * shape[1])
        return np.asarray(cells, np.float64)  # whole numbers where every stamp lies outside


def brush_texture(seed: int) -> Float32[np.ndarray, "side side"]:
    """A brush: clouds that fade toward the rim of a disc, float32 in [0, 1], 0 on and outside the rim."""
    axis = np.linspace(-1, 1, BRUSH_SIDE, dtype=np.float32)
    radius = np.hypot(axis[:, None], axis[None, :])
    cloudy = clouds((BRUSH_SIDE, BRUSH_SIDE), seed=seed, coarsest=BRUSH_SIDE / 3)
    return np.asarray(np.clip(1.3 * (1 - radius**2), 0, 1) * np.clip(2.5 * cloudy - 0.6, 0, 1), np.float32)


def _scaled(unit: Float32[np.ndarray, "*n"], limits: tuple[float, float]) -> Float32[np.ndarray, "*n"]:
    """Numbers in [0, 1) stretched to a range."""
    return np.asarray(limits[0] + (limits[1] - limits[0]) * unit, np.float32)
