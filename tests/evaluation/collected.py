"""Films as an evaluation collects them, drawn for tests."""

from __future__ import annotations

import numpy as np

from artasyn.evaluation.films import Films


def collected(count: int, *, threshold: float | None = 0.6, seed: int = 0, diseased: float = 0.5) -> Films:
    """Films with scores that tell something, many of them equal."""
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < diseased
    scores = np.clip(np.round(rng.normal(0.45 + 0.2 * labels, 0.2), 2), 0, 1)
    flagged = np.full(count, np.nan) if threshold is None else (scores >= threshold).astype(float)
    nothing = np.full(count, np.nan)
    dice = np.where(labels, rng.random(count), np.nan)
    names = tuple(f"film{number}" for number in range(count))
    return Films(names, scores, labels, flagged, dice, nothing, nothing, (None,) * count)
