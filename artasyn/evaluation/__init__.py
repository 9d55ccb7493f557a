"""Figures from scores and heatmaps: how well a method separates diseased from healthy, with intervals."""

from typing import TYPE_CHECKING

from artasyn.doors import later

if TYPE_CHECKING:
    from artasyn.evaluation.evaluation import Evaluation, Interval, Metrics, anatomy_prior

__all__ = [
    "Evaluation",
    "Interval",
    "Metrics",
    "anatomy_prior",
]

__getattr__ = later(
    __name__,
    {
        "Evaluation": "artasyn.evaluation.evaluation",
        "Interval": "artasyn.evaluation.evaluation",
        "Metrics": "artasyn.evaluation.evaluation",
        "anatomy_prior": "artasyn.evaluation.evaluation",
    },
)
