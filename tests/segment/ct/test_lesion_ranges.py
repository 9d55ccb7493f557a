"""The table of lesions in three dimensions: complete, in order, and its two columns of one mind."""

from __future__ import annotations

from dataclasses import astuple
from typing import get_args

import numpy as np
import pytest

from artasyn.findings import LesionKind
from artasyn.phantom.lesions import draw_lesion
from artasyn.phantom.tissues import TISSUE_HU
from artasyn.segment.ct.lesion import CTLesion
from artasyn.segment.ct.lesion_ranges import LESION_RANGES
from tests.chest import chest


def test_every_kind_has_a_row_and_every_range_rises() -> None:
    assert set(LESION_RANGES) == set(get_args(LesionKind))
    for row in LESION_RANGES.values():
        for value in (*astuple(row.ct)[:-1], *astuple(row.phantom)):
            assert value[0] < value[1]


@pytest.mark.parametrize("kind", get_args(LesionKind))
def test_drawn_lesions_fill_their_ranges(kind: LesionKind) -> None:
    row, patient = LESION_RANGES[kind], chest()
    rng = np.random.default_rng(0)
    drawn = [CTLesion.draw(patient, rng, kind=kind) for _ in range(60)]
    for name in ("hu", "density", "edge", "irregularity"):
        low, high = getattr(row.ct, name)
        values = [getattr(lesion, name) for lesion in drawn]
        assert low <= min(values) < low + 0.2 * (high - low) < high - 0.2 * (high - low) < max(values) <= high
    made = [draw_lesion(rng, kind, 0.5) for _ in range(60)]
    for name, values in (("radius", [one.size for one in made]), ("hu", [one.hu for one in made])):
        low, high = getattr(row.phantom, name)
        assert low <= min(values) < low + 0.2 * (high - low) < high - 0.2 * (high - low) < max(values) <= high


@pytest.mark.parametrize("kind", ["nodule", "consolidation"])
def test_a_phantoms_density_is_the_mixture_of_lung_and_tissue(kind: LesionKind) -> None:
    row, lung = LESION_RANGES[kind], TISSUE_HU["lung"]
    for end in (0, 1):
        mixture = lung + row.ct.density[end] * (row.ct.hu[end] - lung)
        assert row.phantom.hu[end] == pytest.approx(mixture, abs=25)
