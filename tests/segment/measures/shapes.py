"""Shapes whose measures are known: ellipses of lungs and hearts, spines on an arc, and the view that keeps them."""

from __future__ import annotations

import numpy as np

from artasyn.segment.projection.view import View

PARALLEL = View(source_to_detector=None, size=(240, 240), pixel=1.5)


def ellipse(centre: tuple[float, float], half: tuple[float, float], roll: float = 0.0) -> np.ndarray:
    """An ellipse in a picture of 400 x 400 pixels, both turned clockwise about the picture's middle."""
    rows, columns = np.mgrid[:400, :400] - 199.5
    angle = np.radians(roll)
    down = rows * np.cos(angle) - columns * np.sin(angle) - centre[0]
    right = columns * np.cos(angle) + rows * np.sin(angle) - centre[1]
    return np.asarray((down / half[0]) ** 2 + (right / half[1]) ** 2 <= 1)


def thorax(roll: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A heart of 120 pixels in a thorax of 260."""
    lungs = ellipse((0, -70), (110, 60), roll) | ellipse((0, 70), (110, 60), roll)
    return ellipse((50, 20), (45, 60), roll), lungs


def arc(angle: float, count: int, radius: float = 300.0) -> np.ndarray:
    """Places on an arc, from head to foot, bulging to image right; its inner end-plates span all but two steps."""
    bend = np.radians(np.linspace(-angle / 2, angle / 2, count))
    return np.stack([radius * np.sin(bend), radius * np.cos(bend)], axis=1)


def largest_angle(places: np.ndarray) -> float:
    """The largest angle between bisectors of neighbouring segments, pair by pair."""
    steps = np.diff(places, axis=0)
    units = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    bisectors = units[:-1] + units[1:]
    bisectors /= np.linalg.norm(bisectors, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip(bisectors @ bisectors.T, -1, 1))).max())


def turned(places: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(places @ turn.T)
