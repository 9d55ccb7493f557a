"""Segmenters by their names, and what is said where two of them disagree."""

from __future__ import annotations

from typing import get_args

import jaxtyping
import numpy as np
import pytest

from artasyn.cautions import CAUTIONS, usable
from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.anatomy.segmenters import (
    AGREEMENT,
    SEGMENTERS,
    AnatomyReader,
    LungsBy,
    NotFound,
    compared,
    segmenter,
    visible_lungs,
)
from tests.anatomies import seen


def test_every_name_has_its_segmenter() -> None:
    assert set(SEGMENTERS) == set(get_args(LungsBy))
    assert segmenter("pbtseg") == PBTSeg()
    assert segmenter("anatomy") == AnatomyReader()
    assert segmenter("given") == NotFound()
    own = PBTSeg(clip=3.0)
    assert segmenter(own) is own
    with pytest.raises((DataError, jaxtyping.TypeCheckError), match=r"pbtseg, anatomy, given|'given'"):
        segmenter("hand")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not given"):
        NotFound()(Phantom(size=64)(1).image)


def test_visible_lungs_of_an_anatomy_and_of_lungs() -> None:
    _, anatomy = seen()
    np.testing.assert_array_equal(visible_lungs(anatomy).labels, anatomy.lungs("visible").labels)
    lungs = Phantom(size=64)(1).lungs
    assert visible_lungs(lungs) is lungs


def test_lungs_disagree_below_the_least_overlap() -> None:
    mask = np.zeros((60, 100), bool)
    mask[10:50, 10:40] = mask[10:50, 60:90] = True
    lungs = Lungs.from_mask(mask)
    for shift in range(12):
        other = Lungs.from_mask(np.roll(mask, shift, axis=0))
        said = compared(lungs, other)
        assert (said.warnings == ()) == (dice(mask, other.mask) >= AGREEMENT), shift
        np.testing.assert_array_equal(said.labels, lungs.labels)
    assert said.warnings == ("lungs_disagree",)
    assert said.reasons[0].startswith(CAUTIONS["lungs_disagree"])
    assert usable(said.warnings)
    nothing = Lungs.from_mask(np.zeros((60, 100), bool))
    assert compared(nothing, nothing) is nothing
    assert "Dice 0.00" in compared(nothing, lungs).reasons[-1]
