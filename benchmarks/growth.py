"""How a cost grows with an amount, such as time with pixels: a fixed part, and a part that is a power of the amount."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

EXPONENTS = np.round(np.arange(0.2, 3.0, 0.01), 2)
"""The exponents that are tried."""


class Growth(NamedTuple):
    """The growth of a cost.

    Attributes:
        fixed: the cost of an amount of nothing, by the straight line.
        each: the cost of one more, by the straight line.
        deviation: the largest distance of a measured cost from the straight line, as a share of the line.
        exponent: of the power of the amount that fits best beside a fixed cost; 1 is in proportion.
    """

    fixed: float
    each: float
    deviation: float
    exponent: float


def growth_of(amounts: Sequence[float], costs: Sequence[float]) -> Growth:
    """Fits a straight line, and a power beside a fixed cost, to measured costs.

    Both fits minimise the relative distances, so that small amounts count as much as large ones. No part is negative.

    Args:
        amounts: at least four, above 0.
        costs: of these amounts, above 0.

    Raises:
        ValueError: there are fewer than four amounts.
    """
    if len(amounts) < 4:
        raise ValueError(f"{len(amounts)} amounts do not tell a fixed cost from a power; at least 4 do")
    many, measured = np.asarray(amounts, np.float64), np.asarray(costs, np.float64)

    def fit(exponent: float) -> tuple[np.ndarray, float]:
        powers = (many / many.max()) ** exponent
        parts, distance = nnls(np.column_stack([np.ones_like(many), powers]) / measured[:, None], np.ones_like(many))
        return parts, float(distance)

    (fixed, whole), _ = fit(1.0)
    line = fixed + whole * many / many.max()
    exponent = min(EXPONENTS, key=lambda each: fit(float(each))[1])
    deviation = float(np.abs(measured / line - 1).max())
    return Growth(float(fixed), float(whole / many.max()), deviation, float(exponent))


def steps(amounts: Sequence[float], costs: Sequence[float]) -> list[float]:
    """The cost of one more between each amount and the next."""
    return [float(each) for each in np.diff(costs) / np.diff(amounts)]
