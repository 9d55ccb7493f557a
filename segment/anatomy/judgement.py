"""The judgement whether a radiograph shows an upright chest that a network can read, with the reasons where not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from artasyn.arrays import Prepared, SoftMasks
from artasyn.cautions import CAUTIONS, Caution
from artasyn.segment.anatomy.footprints import frontal_turn
from artasyn.segment.anatomy.window import STRIDE
from artasyn.segment.lungs import Lungs
from artasyn.segment.pbtseg.pose import TURNS
from artasyn.segment.structures import CONVENTIONS, SIDES

LATERAL = 50.0
"""Turn from straight through the chest above which a view is lateral, degrees."""

LEAST_CHEST = 0.6
"""Confidence of the lungs below which nothing on a film is read. On frontal films it is 0.8 and more, with few
exceptions; on side views it is below 0.57."""

LEAST_DOUBTED_CHEST, LEAST_EVIDENCE = 0.65, 0.42
"""The same, for a film that PBTSeg doubts; and the mean confidence of all structures on it. Noise that looks like two
lungs has no heart, no ribs and no spine."""

UPRIGHT, UPRIGHT_LEAD = 0.4, 0.05
"""How sure the structures of a film that is turned back must be, and how much surer than those of the film itself, for
the film to count as turned."""

DENSER = 0.05
"""How much denser the lungs must be than what lies between them for a film to count as inverted, in [0, 1]."""

UNCERTAIN = 0.5
"""Confidence below which a lung is named as uncertain."""

NO_LUNGS: tuple[Caution, ...] = ("not_a_chest", "no_lungs")
"""What PBTSeg says of a film without lungs."""


@dataclass(frozen=True)
class Judgement:
    """What speaks against a radiograph.

    Attributes:
        readable: whether the structures that the network found can be believed.
        reasons: in sentences.
        warnings: by the words of `artasyn.cautions`, each once.
    """

    readable: bool = True
    reasons: tuple[str, ...] = ()
    warnings: tuple[Caution, ...] = ()

    def adding(self, word: Caution, reason: str = "", *, readable: bool = True) -> Judgement:
        """Returns the judgement with one more caution; the sentence of the caution is the reason if none is given."""
        words = (*self.warnings, *([] if word in self.warnings else [word]))
        return Judgement(self.readable and readable, (*self.reasons, reason or CAUTIONS[word]), words)


def lungs_sure(confidence: Sequence[float], names: Sequence[str]) -> tuple[float, float]:
    """Returns the confidence of the right and of the left lung, by the convention that is surer.

    Args:
        confidence: of each structure.
        names: names of the structures. Without lungs as readers draw them, the mean of all structures counts.
    """
    sure = dict(zip(names, map(float, confidence), strict=True))
    mean = sum(sure.values()) / len(sure)
    right, left = (
        max((sure[name] for each in CONVENTIONS if (name := f"{each}_lung_{side}") in sure), default=mean)
        for side in SIDES
    )
    return right, left


def judge_chest(
    sure: tuple[float, float], evidence: float, angle: float, lungs: Lungs, turned: Callable[[], Sequence[float]]
) -> Judgement:
    """Judges whether a film shows an upright chest.

    Args:
        sure: confidence of the right and of the left lung.
        evidence: mean confidence of all structures on the film alone.
        angle: turn of the patient, degrees, as in `View`.
        lungs: what PBTSeg found on the film.
        turned: returns the same evidence for the film turned back by one, two and three quarter turns, clockwise. It is
            asked only where PBTSeg, or the network, doubts the film.
    """
    chest = sum(sure) / 2
    doubted = not lungs.usable and set(lungs.warnings) != {"inverted"} and set(lungs.warnings) != {"lateral"}
    lateral = "lateral" in lungs.warnings and "turned" not in lungs.warnings
    if doubted or (chest < LEAST_DOUBTED_CHEST and not lateral):
        others = turned()
        best = int(np.argmax(others))
        if others[best] > max(UPRIGHT, evidence + UPRIGHT_LEAD):
            return Judgement().adding("turned", f"the image seems to be {TURNS[3 - best]}", readable=False)
    said = [word for word in NO_LUNGS if word in lungs.warnings]
    if chest < (LEAST_DOUBTED_CHEST if doubted else LEAST_CHEST) or (doubted and evidence < LEAST_EVIDENCE):
        if frontal_turn(angle) > LATERAL or lateral:
            return Judgement().adding("lateral", f"{CAUTIONS['lateral']} (confidence of lungs {chest:.2f})")
        word: Caution = said[0] if said else "no_lungs"
        return Judgement().adding(word, f"{CAUTIONS[word]} (confidence {chest:.2f})", readable=False)
    return Judgement()


def judge_view(judgement: Judgement, angle: float, sure: tuple[float, float]) -> Judgement:
    """Adds what the turn of the patient and the confidence of the lungs say against a film that shows a chest.

    Args:
        judgement: of `judge_chest`.
        angle: degrees, as in `View`.
        sure: confidence of the right and of the left lung.
    """
    turn = frontal_turn(angle)
    if turn > LATERAL and "lateral" not in judgement.warnings:
        judgement = judgement.adding("lateral", f"{CAUTIONS['lateral']} (turned by {turn:.0f} degrees)")
    for side, each in zip(SIDES, sure, strict=True):
        if each < UNCERTAIN:
            judgement = judgement.adding("uncertain", f"{side} lung uncertain (confidence {each:.2f})")
    return judgement


def is_inverted(square: Prepared, maps: SoftMasks, names: Sequence[str]) -> bool:
    """Returns whether the lungs are denser than what lies between them, so that dense is dark.

    Of both lungs the one that is less dense counts: the other may be white with disease.

    Args:
        square: the film as the network sees it.
        maps: probabilities of the structures over the whole square, float32 (k, size / 2, size / 2).
        names: names of the k structures.
    """
    grey = square[::STRIDE, ::STRIDE]
    there = {name: place for place, name in enumerate(names)}
    lungs = [maps[there[name]] >= 0.5 for side in SIDES if (name := f"visible_lung_{side}") in there]
    middle = [maps[there[name]] >= 0.5 for name in ("spine", "drawn_heart") if name in there]
    if not lungs or not middle:
        return False
    between = np.logical_or.reduce(middle) & ~np.logical_or.reduce(lungs)
    greys = [float(grey[lung].mean()) for lung in lungs if lung.any()]
    return bool(greys and between.any() and min(greys) > float(grey[between].mean()) + DENSER)
