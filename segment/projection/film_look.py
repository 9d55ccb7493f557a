"""The appearance of a projection as a film: contrast, noise, scatter, borders, letters, inversion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np

from artasyn.arrays import Image, Mask
from artasyn.errors import DataError
from artasyn.fields import Seed, Share, Within, check_fields
from artasyn.segment.projection.projection import MARGINS, Frame, Margins
from artasyn.segment.projection.view import Degrees

Strength = Annotated[float, Within(0, 1000)]
"""A number that is not negative."""

_DETAIL = 0.012  # size of fine structure, as a share of the film's longer side


@dataclass(frozen=True)
class FilmLook:
    """The exposure and processing of a film, as plain numbers; the defaults change nothing.

    Lengths are shares of the film's longer side.

    Attributes:
        frame: part of the detector that is shown: the ``film`` around the lungs, the part that the scan ``covered``, or
            the ``full`` detector.
        margins: margins of the film above, below, left and right of the lungs' box, as shares of the box's longer side.
        equalisation: equalisation of the tone curve, see `artasyn.segment.projection.tone.Tone.film`.
        gamma: exponent of the grey.
        contrast: factor around the film's mean grey.
        detail: gain of fine structure, as in digital radiography: 0 changes nothing, 1 doubles it.
        clahe: clip limit of the adaptive equalisation; 0 for none.
        scatter: share of the light that is scattered, in [0, 1).
        scatter_reach: standard deviation of the scatter's blur.
        streaks: strength of the lines that an anti-scatter grid leaves.
        streaks_angle: angle of the lines, degrees.
        streaks_count: number of lines along the longer side.
        blur: standard deviation of the blur by focus and detector.
        noise: standard deviation of the noise in mid grey.
        collimation: borders that the collimator covers above, below, left and right, as shares of the sides.
        collimation_grey: grey of these borders.
        marker: the side letter, on the patient's side that it names; empty for none.
        marker_place: distance from the top, and from the left or right border.
        marker_size: height of the letter.
        invert: whether dense is dark.
        seed: seed of the noise.

    Raises:
        DataError: a number is out of range.
    """

    frame: Frame = "film"
    margins: Margins = MARGINS
    equalisation: Share = 1.0
    gamma: Annotated[float, Within(0.01, 100)] = 1.0
    contrast: Strength = 1.0
    detail: Annotated[float, Within(-1000, 1000)] = 0.0
    clahe: Strength = 0.0
    scatter: Annotated[float, Within(0, 0.999)] = 0.0
    scatter_reach: Share = 0.1
    streaks: Strength = 0.0
    streaks_angle: Degrees = 0.0
    streaks_count: Annotated[float, Within(0, 1e5)] = 100.0
    blur: Share = 0.0
    noise: Strength = 0.0
    collimation: tuple[Share, Share, Share, Share] = (0.0, 0.0, 0.0, 0.0)
    collimation_grey: Share = 0.0
    marker: Literal["", "L", "R"] = ""
    marker_place: tuple[Share, Share] = (0.08, 0.06)
    marker_size: Share = 0.05
    invert: bool = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    def __call__(self, image: Image, reference: Image | None = None) -> Image:
        """Turns an image into a film, float32 (h, w) in [0, 1]; deterministic.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.
            reference: the same image without a lesion, from which contrast, detail and noise are computed; None for
                the image itself. Where image and reference are equal, their films are equal too, except for adaptive
                equalisation, scatter and blur.
        """
        side = max(image.shape)
        film = np.power(image, np.float32(self.gamma))
        like = film if reference is None else np.power(reference, np.float32(self.gamma))
        mean = like.mean()
        film, like = (np.clip(mean + self.contrast * (each - mean), 0, 1).astype(np.float32) for each in (film, like))
        if self.detail:
            film = np.clip(film + np.float32(self.detail) * (like - _blurred(like, _DETAIL * side)), 0, 1)
        if self.clahe:
            film = _equalised(film, self.clahe)
        if self.scatter:
            film = (1 - self.scatter) * film + self.scatter * _blurred(film, self.scatter_reach * side)
        film = _blurred(film, self.blur * side) + self._grain(like)
        if self.streaks:
            film = film + self.streaks * self._lines(film.shape)
        film = np.where(self.field(film.shape), film, np.float32(self.collimation_grey))
        film = np.clip(np.maximum(film, self._letter(film.shape)), 0, 1).astype(np.float32)
        return np.asarray(1 - film if self.invert else film)

    def field(self, shape: tuple[int, int]) -> Mask:
        """Returns the part of the film within the collimation, bool (h, w).

        Args:
            shape: rows and columns of the film.
        """
        h, w = shape
        above, below, left, right = self.collimation
        free = np.zeros(shape, bool)
        free[round(above * h) : h - round(below * h), round(left * w) : w - round(right * w)] = True
        return free

    def _grain(self, film: Image) -> Image:
        """Returns noise, which is stronger where fewer photons pass."""
        if not self.noise:
            return np.zeros_like(film)
        grain = np.random.default_rng(self.seed).standard_normal(film.shape, np.float32)
        grain = _blurred(grain, 0.6)
        return np.asarray(grain * (self.noise / grain.std()) * (0.5 + film), np.float32)

    def _lines(self, shape: tuple[int, int]) -> Image:
        """Returns the shadow of the lamellae of an anti-scatter grid."""
        turn = math.radians(self.streaks_angle)
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        along = (rows * math.cos(turn) + columns * math.sin(turn)) / max(shape)
        return np.asarray(np.sin(2 * np.pi * self.streaks_count * along), np.float32)

    def _letter(self, shape: tuple[int, int]) -> Image:
        """Draws the marker, as opaque as lead; the patient's left is at image right."""
        letter = np.zeros(shape, np.uint8)
        if self.marker:
            side = max(shape)
            height = max(6, round(self.marker_size * side))
            thick, font = max(1, height // 8), cv2.FONT_HERSHEY_DUPLEX
            scale = cv2.getFontScaleFromHeight(font, height, thick)
            (width, _), _ = cv2.getTextSize(self.marker, font, scale, thick)
            down, across = (round(share * side) for share in self.marker_place)
            column = shape[1] - across - width if self.marker == "L" else across
            cv2.putText(letter, self.marker, (column, down + height), font, scale, 255, thick, cv2.LINE_AA)
        return np.asarray(letter / np.float32(255), np.float32)


def _blurred(image: Image, sigma: float) -> Image:
    """Applies a Gaussian blur; a wide blur is computed on fewer pixels."""
    if sigma < 0.1:
        return image
    fewer = max(1, int(sigma / 4))
    size = (max(2, image.shape[1] // fewer), max(2, image.shape[0] // fewer))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if fewer > 1 else image
    small = cv2.GaussianBlur(small, (0, 0), sigma / fewer, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _equalised(image: Image, limit: float) -> Image:
    """Applies contrast-limited adaptive histogram equalisation."""
    levels = np.rint(image * 65535).astype(np.uint16)
    return np.asarray(cv2.createCLAHE(limit, (8, 8)).apply(levels) / np.float32(65535), np.float32)
