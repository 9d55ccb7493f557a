"""Curves as pictures: they are drawn, always the same, and show what they should."""

from __future__ import annotations

import numpy as np

from artasyn.evaluation.bootstrap import Interval
from artasyn.evaluation.reliability import Bin, Reliability
from artasyn.pictures.curves import (
    Axes,
    Banded,
    banded_picture,
    curve_picture,
    histogram_picture,
    reliability_picture,
    roc_picture,
)

RAMP = np.linspace(0, 1, 11)


def inked(picture: np.ndarray) -> float:
    return float((picture < 250).any(axis=2).mean())


def test_bands_points_and_rates_are_drawn() -> None:
    curve = Banded(RAMP, RAMP**0.5, RAMP, RAMP**0.5 - 0.1, RAMP**0.5 + 0.1)
    plain = banded_picture(curve, Axes("false", "true"))
    np.testing.assert_array_equal(plain, banded_picture(curve, Axes("false", "true")))
    assert plain.shape == (462, 462, 3)
    for more in (
        Axes("false", "true", "diagonal"),
        Axes("false", "true", 0.3),
        Axes("false", "true", None, (0.2, 0.5)),
    ):
        assert (banded_picture(curve, more) != plain).any()
    bare = Banded(RAMP, RAMP**0.5, RAMP, RAMP * np.nan, RAMP * np.nan)
    assert inked(banded_picture(bare, Axes("false", "true"))) < inked(plain)
    rates = Banded(8 * RAMP, RAMP, 8 * RAMP + 0.1, RAMP, RAMP)
    assert inked(banded_picture(rates, Axes("false marks", "found", rates=True))) > 0.02


def test_histograms_and_reliability_are_drawn() -> None:
    scores, labels = np.array([0.1, 0.2, 0.9, 0.95]), np.array([False, False, True, True])
    assert (histogram_picture(scores, labels, 0.5) != histogram_picture(scores, labels, None)).any()
    found = Reliability((Bin(10, 0.2, Interval(0.1, 0.0, 0.3)), Bin(10, 0.8, Interval(0.9, 0.7, 1.0))))
    assert inked(reliability_picture(found)) > 0.02


def test_roc_curves_have_one_line_for_each_method() -> None:
    one = {"a": ([0.1, 0.9, 0.4], [False, True, True])}
    two = one | {"b": ([0.9, 0.1, 0.4], [False, True, True])}
    assert (roc_picture(one) != roc_picture(two)).any()
    assert inked(curve_picture({"a": (RAMP, RAMP)}, "x", "y")) > 0.02
