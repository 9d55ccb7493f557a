"""The check whether an image shows two lungs within the outlines found, with a confidence for each lung."""

from __future__ import annotations

import math

import cv2
import numpy as np

from artasyn.arrays import Image, Outlines
from artasyn.segment.pbtseg.bending import edge_steps
from artasyn.segment.pbtseg.outline import HEART, MEAN, better_fits

_LEAST_FIT = 0.4  # correlation with the mean outline below which nothing looks like lungs
_GOOD_FIT = 0.7  # above which a radiograph is neither turned nor inverted
_LEAD = 0.07  # least gain in fit that shows a radiograph to be turned or inverted
_LEAST_STEPS = ((0.57, 0.03), (0.0, 0.08))  # fit, and the least mean step of grey along the clearer outline at that fit
_STEP = 0.04  # least step of grey that counts as an edge
_LEAST_BETWEEN = 0.27  # least difference of grey between and in the lungs of frontal radiographs
_UNCERTAIN = 0.5  # confidence below which a lung is named as uncertain


def judge(grey: Image, outlines: Outlines, fit: float) -> tuple[tuple[float, float], tuple[str, ...]]:
    """Returns the confidence of the right and of the left lung, in [0, 1], and reasons against them, in words.

    Both confidences are 0 if the image hardly fits the mean outline, if it fits better turned or inverted, or if there
    are no edges along the outlines. Otherwise confidence rises with five properties: the fit; its lead over the fit of
    the turned or inverted image; the share of the outline that is darker inside than outside; the likeness of the
    outline to the mean outline; and the brightness between the lungs, which tells frontal from lateral views.

    Args:
        grey: the equalised image on a square grid.
        outlines: (2, points, 2), in pixels of the grid.
        fit: correlation of the image with the mean outline, in [-1, 1].
    """
    others = better_fits(grey) if fit < _GOOD_FIT else {"": 0.0}
    other = max(others, key=lambda name: others[name])
    if others[other] > max(fit + _LEAD, 0.5):
        return (0.0, 0.0), (f"the image seems to be {other}",)
    steps = edge_steps(grey, outlines, window=3)
    least = next(least for enough, least in _LEAST_STEPS if fit >= enough or enough == 0)
    if fit < max(_LEAST_FIT, others[other] - _LEAD) or steps.mean(axis=1).max() < least:
        return (0.0, 0.0), (f"nothing looks like two lungs (fit {fit:.2f})",)
    edged = (steps > _STEP).mean(axis=1).tolist()
    corner, size = outlines.min(axis=(0, 1)), np.ptp(outlines.reshape(-1, 2), axis=0)
    unusual = np.abs((outlines - corner) / size - MEAN).mean(axis=(1, 2)).tolist()
    between = _between(grey, outlines)
    film = _ramp(fit - others[other], -0.02, 0.2) ** (1 / 3) * _ramp(between, 0.2, 0.35) ** (1 / 2)
    right, left = (
        film * math.prod((_ramp(fit, 0.3, 0.95), _ramp(edged[i], 0.4, 1.0), _ramp(-unusual[i], -0.08, 0.0))) ** (1 / 3)
        for i in range(2)
    )
    reasons = [f"{name} lung uncertain" for name, sure in (("right", right), ("left", left)) if sure < _UNCERTAIN]
    if between < _LEAST_BETWEEN:
        reasons.append("hardly brighter between the lungs, as in a side view")
    return (right, left), tuple(reasons)


def _between(grey: Image, outlines: Outlines) -> float:
    """Returns how much brighter the image is between the lungs than in them."""
    right, left = np.round(outlines * 16).astype(np.int32)
    between, inside = np.zeros((2, *grey.shape), np.uint8)
    cv2.fillPoly(between, [np.concatenate([right[HEART.start :], left[HEART.start :][::-1]])], (1,), shift=4)
    cv2.fillPoly(inside, [right, left], (1,), shift=4)
    return float(cv2.mean(grey, between)[0] - cv2.mean(grey, inside)[0])


def _ramp(value: float, low: float, high: float) -> float:
    """Rises linearly from 0.01 at low to 1 at high."""
    return min(max((value - low) / (high - low), 0.01), 1.0)
