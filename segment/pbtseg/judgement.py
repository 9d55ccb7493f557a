"""The judgement whether an image shows two lungs within the outlines found, or why it cannot be used."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from artasyn.arrays import Image, Outlines
from artasyn.cautions import CAUTIONS, Caution
from artasyn.segment.pbtseg.bending import edge_steps
from artasyn.segment.pbtseg.outline import HEART, MEAN
from artasyn.segment.pbtseg.pose import TURNS, Pose, find_pose, pose_evidence

_GOOD_FIT = 0.7  # correlation with the mean outline above which a radiograph is neither turned nor inverted
_GOOD_LEAD = 0.05  # the same, lead in likeness to a simulated chest
_LEAD = 0.05  # least lead in evidence that shows a radiograph to be turned or inverted
_LEAST_SIDE, _SIDE_LEAD = 0.46, 0.03  # least likeness of a side view, and least lead over frontal chests in every pose
_LEAST_FRONTAL = 0.8  # evidence for a frontal view that outweighs a side view without lead
_EACH_LEAD = 4.0  # the same, for each unit of lead
_LEAST_CHEST = 0.92  # evidence for a chest in the best pose, below which there is no chest
_LEAST_EDGED_CHEST = 1.42  # the same in an upright pose, with the share of the clearer outline that has edges
_CLEAR_CHEST = 1.0  # evidence for a chest above which lungs that are hardly visible are believed
_LEAST_FIT = 0.4  # fit below which nothing looks like lungs
_LEAST_STEPS = ((0.57, 0.03), (0.0, 0.08))  # fit, and the least mean step of grey along the clearer outline at that fit
_LEAST_CLEAR_STEPS = ((0.57, 0.03), (0.0, 0.06))  # the same for a clear chest
_LEAST_SURE, _FAINT = 0.1, 0.13  # confidence and mean step below which, both together, there are no lungs
_STEP = 0.04  # least step of grey that counts as an edge
_LEAST_BETWEEN = 0.27  # least difference of grey between and in the lungs of frontal radiographs
_UNCERTAIN = 0.5  # confidence below which a lung is named as uncertain
_SINGLE_FAULTS = [1, 2, 3, 4]  # poses that are either turned or inverted


class Judgement(NamedTuple):
    """The judgement on one image.

    Attributes:
        confidence: of the right and of the left lung, in [0, 1]; both 0 if the image is unusable.
        reasons: what speaks against the image or the lungs, in sentences with figures.
        warnings: the same by words.
    """

    confidence: tuple[float, float]
    reasons: tuple[str, ...] = ()
    warnings: tuple[Caution, ...] = ()

    def with_cautions(self, words: tuple[Caution, ...]) -> Judgement:
        """Returns the judgement with further cautions, which change no confidence."""
        said = tuple(CAUTIONS[word] for word in words)
        return Judgement(self.confidence, self.reasons + said, self.warnings + words)


def _refused(**reasons: str) -> Judgement:
    """Returns the judgement on an image that is unusable, from a reason for each word."""
    words = tuple(word for word in CAUTIONS if word in reasons)
    return Judgement((0.0, 0.0), tuple(reasons[word] for word in words), words)


def judge(grey: Image, outlines: Outlines, fit: float) -> Judgement:
    """Returns the confidence of the right and of the left lung, or the reason why the image is unusable.

    The image is unusable if a simulated side view resembles it more than a simulated frontal chest, if it resembles no
    chest, if it resembles a turned or inverted chest more than an upright one, or if there are no edges along the
    outlines. Otherwise confidence rises with five properties: the fit; its lead over the fit of the turned or inverted
    image; the share of the outline that is darker inside than outside; the likeness of the outline to the mean outline;
    and the brightness between the lungs, which tells frontal from lateral views.

    Thresholds were chosen on 2,481 frontal films of ten sets, all turned and inverted too, 21 side views and 5 hands,
    by shares of films; `benchmarks/score_refusals.py` measures them.

    Args:
        grey: the equalised image on a square grid.
        outlines: (2, points, 2), in pixels of the grid.
        fit: correlation of the image with the mean outline, in [-1, 1].
    """
    steps = edge_steps(grey, outlines, window=3)
    edged = (steps > _STEP).mean(axis=1)
    between = _between(grey, outlines)
    step = float(steps.mean(axis=1).max())
    pose = find_pose(grey)
    other = 0.0  # the best fit of a turned or inverted image
    if fit < _GOOD_FIT or pose.lead < _GOOD_LEAD:
        fits, evidence = pose_evidence(grey, pose)
        fault = _fault(pose, evidence, edged=edged, frontal=fit + between, fit=fit, step=step)
        if fault:
            return fault
        other = float(fits[_SINGLE_FAULTS].max()) if fit < _GOOD_FIT else 0.0
    if step < _least(_LEAST_CLEAR_STEPS, fit):
        return _refused(no_lungs=f"nothing looks like two lungs (fit {fit:.2f})")
    corner = outlines.min(axis=(0, 1))
    size = outlines.max(axis=(0, 1)) - corner
    unusual = np.abs((outlines - corner) / size - MEAN).mean(axis=(1, 2)).tolist()
    film = _ramp(fit - other, -0.02, 0.2) ** (1 / 3) * _ramp(between, 0.2, 0.35) ** (1 / 2)
    right, left = (
        film * math.prod((_ramp(fit, 0.3, 0.95), _ramp(each, 0.4, 1.0), _ramp(-odd, -0.08, 0.0))) ** (1 / 3)
        for each, odd in zip(edged.tolist(), unusual, strict=True)
    )
    if max(right, left) < _LEAST_SURE and step < _FAINT:
        return _refused(no_lungs=f"nothing looks like two lungs (fit {fit:.2f})")
    reasons = [f"{name} lung uncertain" for name, sure in (("right", right), ("left", left)) if sure < _UNCERTAIN]
    if between < _LEAST_BETWEEN:
        reasons.append("hardly brighter between the lungs, as in a side view")
    return Judgement((right, left), tuple(reasons), ("uncertain",) if reasons else ())


def _fault(
    pose: Pose, evidence: np.ndarray, *, edged: np.ndarray, frontal: float, fit: float, step: float
) -> Judgement | None:
    """Returns the judgement on an image that is unusable; None for a frontal chest with lungs.

    Args:
        pose: likeness to simulated chests.
        evidence: (8,), for a frontal chest in each pose.
        edged: (2,), the share of each outline along which there is an edge.
        frontal: the fit, plus the brightness between the lungs.
        fit: of the mean outline.
        step: mean step of grey along the clearer outline.
    """
    best, upright = int(evidence.argmax()), float(evidence[0])
    is_upright = upright >= float(evidence[1:].max()) - _LEAD
    frontal += 0.5 * float(edged.min()) - 2 * pose.sideways
    lead = pose.lateral - float(pose.frontal.max())
    if pose.lateral > _LEAST_SIDE and lead > _SIDE_LEAD and frontal < _LEAST_FRONTAL + _EACH_LEAD * lead:
        return _refused(lateral=f"{CAUTIONS['lateral']} (likeness {pose.lateral:.2f}, not {pose.frontal[0]:.2f})")
    if upright + edged.max() < _LEAST_EDGED_CHEST if is_upright else evidence[best] < _LEAST_CHEST:
        return _refused(not_a_chest=f"nothing looks like two lungs (fit {fit:.2f}), nor like a chest")
    if not is_upright:
        reasons = {}
        if best >= 4:
            reasons["inverted"] = "the image seems to be inverted; bright must be dense"
        if best % 4:
            reasons["turned"] = f"the image seems to be {TURNS[best % 4]}"
        return _refused(**reasons)
    if upright < _CLEAR_CHEST and (fit < _LEAST_FIT or step < _least(_LEAST_STEPS, fit)):
        return _refused(no_lungs=f"nothing looks like two lungs (fit {fit:.2f})")
    return None


def _least(steps: tuple[tuple[float, float], ...], fit: float) -> float:
    """Returns the least mean step of grey at a fit."""
    return next(least for enough, least in steps if fit >= enough or enough == 0)


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
