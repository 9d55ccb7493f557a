"""The finish of a composed film: the detector's tone, processing, devices, letters, borders, noise and inversion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import Image, Mask
from artasyn.errors import DataError
from artasyn.fields import Share, check_fields

Field = tuple[slice, slice]
"""The rows and columns of a film in the square that the network sees."""


@dataclass(frozen=True)
class Finish:
    """The shares of what happens to a film after the exposure.

    Attributes:
        tone_share: share of the films with another tone curve and local contrast than the usual one.
        extras_share: share of the films with each of devices, letters, borders, equalisation, blur.
        invert_share: share of the films that are inverted.
        noise: largest standard deviation of noise.
    """

    tone_share: Share = 1.0
    extras_share: Share = 0.25
    invert_share: Share = 0.3
    noise: Share = 0.04

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    def developed(self, integral: Image, lungs: Mask, field: Field, rng: np.random.Generator) -> Image:
        """Develops line integrals (h, w) to a film in [0, 1], bright = dense.

        Args:
            integral: line integrals of attenuation.
            lungs: pixels that show lung.
            field: the film in the square.
            rng: source of randomness.
        """
        integral = integral + self._devices(integral.shape, rng)
        if rng.random() < 0.5 * self.tone_share:
            light = np.exp(-integral)
            share = np.float32(rng.uniform(0.0, 0.12))
            integral = -np.log(light + share * cv2.GaussianBlur(light, (0, 0), 0.08 * len(light)) + 1e-4)
        inside = integral[field]
        here = inside[lungs[field]]
        low = float(np.median(here)) if here.size > 20 else float(np.percentile(inside, 30))
        high = max(float(np.percentile(inside, 92)), low + 0.2)
        place = (integral - low) / np.float32(high - low)  # 0 in the lungs, 1 in the mediastinum
        kind = rng.random() if self.tone_share else 0.5
        if kind < 0.4:
            film = 1 / (1 + np.exp(np.clip(-rng.uniform(1.5, 6) * (place - rng.uniform(0.15, 0.85)), -30, 30)))
        elif kind < 0.8:
            dark, bright = (-0.4, 1.2) if not self.tone_share else (-rng.uniform(0.05, 1.2), rng.uniform(0.8, 2.0))
            gamma = np.exp(0.35 * rng.normal()) if self.tone_share else 1.0
            film = np.clip((place - dark) / (bright - dark), 0, 1) ** gamma
        else:
            film = 1 - np.exp(-np.clip(integral, 0, None) * rng.uniform(0.25, 0.9))
        return np.asarray(np.clip(film, 0, 1), np.float32)

    def __call__(self, film: Image, field: Field, rng: np.random.Generator) -> Image:
        """Returns the processed film, normalised as the network expects it; 0 outside the field.

        Args:
            film: in [0, 1], bright = dense.
            field: the film in the square.
            rng: source of randomness.
        """
        whole, film = np.zeros_like(film), np.ascontiguousarray(film[field])
        if rng.random() < 0.6 * self.tone_share:
            near = cv2.GaussianBlur(film, (0, 0), rng.uniform(0.008, 0.05) * len(film))
            film = film + np.float32(rng.uniform(-0.2, 1.5)) * (film - near)
        if rng.random() < 0.3 * self.tone_share:
            film = film - np.float32(rng.uniform(0.1, 0.7)) * cv2.GaussianBlur(film, (0, 0), 0.15 * len(film))
        film = stretched(film)
        if rng.random() < 0.8 * self.extras_share:
            levels = np.rint(255 * film).astype(np.uint8)
            clahe = cv2.createCLAHE(rng.uniform(1, 5), (int(rng.integers(2, 9)),) * 2)
            film = (clahe.apply(levels) if rng.random() < 0.7 else cv2.equalizeHist(levels)).astype(np.float32) / 255
        if rng.random() < self.extras_share:
            film = _coarser(film, rng)
        grain = rng.standard_normal(film.shape, np.float32)
        film = film + np.float32(self.noise * rng.random() ** 2) * grain
        if rng.random() < self.extras_share:
            film = _bordered(film, rng)
        if rng.random() < self.extras_share:
            film = _lettered(film, rng)
        if rng.random() < self.invert_share:
            film = 1 - film
        whole[field] = stretched(film)
        return whole

    def _devices(self, shape: tuple[int, int], rng: np.random.Generator) -> Image:
        """Returns the attenuation of wires, tubes, electrodes and pacemakers."""
        added = np.zeros(shape, np.float32)
        side = shape[0]
        for _ in range(int(rng.integers(1, 5)) if rng.random() < self.extras_share else 0):
            points = rng.uniform(0, side, (4, 2))
            t = np.linspace(0, 1, 40)[:, None]
            line = (1 - t) ** 3 * points[0] + 3 * t * (1 - t) ** 2 * points[1] + 3 * t**2 * (1 - t) * points[2]
            line = np.rint(8 * (line + t**3 * points[3])).astype(np.int32)
            cv2.polylines(added, [line], False, rng.uniform(0.1, 1.0), int(rng.integers(1, 3)), cv2.LINE_8, 3)
        for _ in range(int(rng.integers(1, 5)) if rng.random() < 0.5 * self.extras_share else 0):
            row, column = (int(place) for place in rng.integers(0, side, 2))
            radius = max(1, round(side * rng.uniform(0.006, 0.02)))
            cv2.circle(added, (column, row), radius, rng.uniform(0.2, 2.0), -1)
        if rng.random() < 0.3 * self.extras_share:
            half = side * rng.uniform(0.02, 0.06, 2)
            box = ((rng.uniform(0, side), side * rng.uniform(0.05, 0.4)), tuple(2 * half), rng.uniform(0, 180))
            cv2.fillPoly(added, [np.rint(cv2.boxPoints(box)).astype(np.int32)], rng.uniform(0.5, 3.0))
        return added


def stretched(film: Image) -> Image:
    """Returns a film whose 1st percentile is 0 and whose 99th is 1, clipped."""
    low, high = np.percentile(film[::2, ::2], (1, 99))
    return np.asarray(np.clip((film - low) / max(float(high - low), 1e-3), 0, 1), np.float32)


def _coarser(film: Image, rng: np.random.Generator) -> Image:
    """Returns a film of fewer pixels, or blurred, at its own size."""
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(film, (0, 0), rng.uniform(0.4, 1.3)))
    fewer = rng.uniform(1.2, 2.5)
    size = tuple(max(16, round(n / fewer)) for n in film.shape[::-1])
    return np.asarray(cv2.resize(cv2.resize(film, size, interpolation=cv2.INTER_AREA), film.shape[::-1]))


def _bordered(film: Image, rng: np.random.Generator) -> Image:
    """Returns a film with covered borders."""
    h, w = film.shape
    grey = rng.choice([0.0, 1.0, rng.random()], p=[0.6, 0.2, 0.2])
    film = film.copy()
    for side in np.flatnonzero(rng.random(4) < 0.5):
        wide = round((h, h, w, w)[side] * rng.uniform(0.01, 0.07))
        place = (slice(0, wide), slice(h - wide, h))[side % 2]
        film[place if side < 2 else (slice(None), slice(0, wide) if side == 2 else slice(w - wide, w))] = grey
    return film


def _lettered(film: Image, rng: np.random.Generator) -> Image:
    """Returns a film with letters near its borders."""
    h, w = film.shape
    ink, grey = np.zeros((h, w), np.uint8), np.float32(rng.random() > 0.2)
    for _ in range(int(rng.integers(1, 4))):
        text = "".join(rng.choice(list("LRPAEDX0123456789"), int(rng.choice([1, 1, 2, 6]))))
        row = int(rng.choice([rng.uniform(0.05, 0.2), rng.uniform(0.85, 0.99)]) * h)
        column = int(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.7, 0.95)]) * w)
        scale = h / 128 * rng.uniform(0.15, 0.5)
        cv2.putText(ink, text, (column, row), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
    share = ink / np.float32(255)
    return np.asarray(film * (1 - share) + grey * share, np.float32)
