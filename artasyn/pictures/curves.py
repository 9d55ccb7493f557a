"""Curves and histograms as pictures for reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from artasyn.arrays import Picture
from artasyn.evaluation.reliability import Reliability

Values = Sequence[float] | np.ndarray
"""The coordinates of a curve along one axis, (n,)."""

HEALTHY_COLOUR, DISEASED_COLOUR = "#0072b2", "#d55e00"
"""Blue and vermilion of Okabe and Ito's palette, which the colour-blind tell apart."""


@dataclass(frozen=True, eq=False)
class Banded:
    """A curve with its 95 % band.

    Attributes:
        across: the curve's places, (n,), ascending.
        up: its heights, (n,).
        places: where the band is known, (m,).
        low: the lower edge of the band, (m,).
        high: the upper edge.
    """

    across: Values
    up: Values
    places: Values
    low: Values
    high: Values


@dataclass(frozen=True)
class Axes:
    """The axes of a curve.

    Attributes:
        across: label of the horizontal axis.
        up: label of the vertical axis, which goes from 0 to 1.
        chance: what chance would give: the diagonal, a height, or nothing.
        point: the place and the height of the stored threshold; None if it is not known.
        rates: whether the horizontal axis has rates from 1/8 to 8 on a logarithmic scale, instead of 0 to 1.
    """

    across: str
    up: str
    chance: str | float | None = None
    point: tuple[float, float] | None = None
    rates: bool = False


def roc_picture(curves: Mapping[str, tuple[Sequence[float], Sequence[bool]]]) -> Picture:
    """Draws ROC curves of image scores.

    Args:
        curves: scores and labels of each curve; both classes must occur.
    """
    from sklearn.metrics import roc_curve  # takes a second to import

    lines = {name: roc_curve(labels, scores)[:2] for name, (scores, labels) in curves.items()}
    return curve_picture(lines, "healthy films flagged", "diseased films flagged", diagonal=True)


def curve_picture(
    lines: Mapping[str, tuple[Values, Values]], across: str, up: str, *, diagonal: bool = False
) -> Picture:
    """Draws curves in a square from 0 to 1.

    Args:
        lines: horizontal and vertical coordinates of each curve.
        across: label of the horizontal axis.
        up: label of the vertical axis.
        diagonal: whether to draw the diagonal of chance.
    """
    with _drawing() as (axes, pictures):
        for name, (values, heights) in lines.items():
            axes.plot(values, heights, label=name)
        if diagonal:
            axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
        axes.set(xlabel=across, ylabel=up, aspect="equal", xlim=(0, 1), ylim=(0, 1.01))
        axes.legend(loc="best", fontsize="small")
    return pictures[0]


def banded_picture(curve: Banded, about: Axes) -> Picture:
    """Draws one curve in steps with its 95 % band, and the stored threshold on it.

    Args:
        curve: the curve.
        about: its axes.
    """
    with _drawing() as (axes, pictures):
        axes.fill_between(curve.places, curve.low, curve.high, color=HEALTHY_COLOUR, alpha=0.2, lw=0, label="95 %")
        axes.plot(curve.across, curve.up, color=HEALTHY_COLOUR, drawstyle="steps-post", label="artasyn")
        if about.chance is not None:
            height = (0, 1) if isinstance(about.chance, str) else (about.chance, about.chance)
            axes.plot((0, 1), height, color="grey", linestyle=":", label="chance")
        if about.point is not None:
            axes.plot(*about.point, "o", color=DISEASED_COLOUR, label="stored threshold", clip_on=False, zorder=3)
        if about.rates:
            axes.set_xscale("log", base=2)
            axes.set(xlim=(1 / 8, 8), xticks=(1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8))
            axes.set_xticklabels(["1/8", "1/4", "1/2", "1", "2", "4", "8"])
        else:
            axes.set(xlim=(0, 1), aspect="equal")
        axes.set(xlabel=about.across, ylabel=about.up, ylim=(0, 1.01))
        axes.grid(alpha=0.25)
        axes.legend(loc="best", fontsize="small")
    return pictures[0]


def histogram_picture(scores: Values, diseased: Values, threshold: float | None) -> Picture:
    """Draws how many healthy and diseased films have each score, with the stored threshold.

    Args:
        scores: in [0, 1].
        diseased: the labels, bool.
        threshold: of the scores; None if there is none.
    """
    values, labels = np.asarray(scores), np.asarray(diseased, bool)
    with _drawing() as (axes, pictures):
        edges = np.linspace(0, 1, 26)
        for name, colour, part in (
            ("healthy", HEALTHY_COLOUR, values[~labels]),
            ("diseased", DISEASED_COLOUR, values[labels]),
        ):
            axes.hist(part, edges, color=colour, alpha=0.55, label=f"{part.size} {name}")
        if threshold is not None:
            axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
        axes.set(xlabel="score", ylabel="films", xlim=(0, 1))
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="best", fontsize="small")
    return pictures[0]


def reliability_picture(found: Reliability) -> Picture:
    """Draws the share of diseased films against the mean score of films of similar scores.

    Args:
        found: with at least one bin.
    """
    with _drawing() as (axes, pictures):
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="scores that are probabilities")
        scores, shares = [each.score for each in found.bins], [each.diseased.value for each in found.bins]
        away = [[each.diseased.value - each.diseased.low for each in found.bins]]
        away += [[each.diseased.high - each.diseased.value for each in found.bins]]
        axes.errorbar(scores, shares, np.maximum(away, 0), color=HEALTHY_COLOUR, fmt="o-", capsize=3, label="artasyn")
        axes.set(xlabel="mean score of the films", ylabel="share of diseased films", aspect="equal")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid(alpha=0.25)
        axes.legend(loc="best", fontsize="small")
    return pictures[0]


@contextmanager
def _drawing() -> Iterator[tuple[Any, list[Picture]]]:
    """Yields axes to draw on and a list, which holds the picture when the block ends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # these two take a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 4.2), dpi=110, layout="tight")
    canvas = FigureCanvasAgg(figure)
    pictures: list[Picture] = []
    yield figure.subplots(), pictures
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    pictures.append(np.ascontiguousarray(pixels[..., :3]))
