"""Figures of ROC, precision and overlap curves from histograms, for many weightings at once.

Histograms are (rows, levels): one row for every weighting, the hottest level first. Undefined figures are NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FPR_LIMIT = 0.3
"""AUPRO is integrated up to this false-positive rate."""


def share(part: Floats, whole: Floats) -> Floats:
    """Returns part / whole, at most 1 despite rounding; NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    ratio: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return np.minimum(ratio, 1)


def mean(weights: Floats, values: Floats) -> Floats:
    """Returns the weighted mean (resamples,) of the values (radiographs,) that are not NaN."""
    defined = ~np.isnan(values)
    return share(weights[:, defined] @ values[defined], weights[:, defined].sum(axis=1))


def auroc(positive: Floats, negative: Floats) -> Floats:
    """Returns the AUROC (rows,) of histograms (rows, levels), hottest level first.

    The AUROC is the share of pairs of a positive and a negative in correct order; ties count half.
    """
    colder = negative.sum(axis=1, keepdims=True) - negative.cumsum(axis=1)
    pairs = (positive * (colder + negative / 2)).sum(axis=1)
    return share(pairs, positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(positive: Floats, negative: Floats, mixed: npt.NDArray[np.bool_]) -> Floats:
    """Returns the average precision (rows,) of histograms (rows, levels), hottest level first.

    In a level with equal values, precision is taken at the end of the level, as in scikit-learn. In a `mixed` level
    (levels,), with different values, precision is taken in the middle of the level: this removes the bias of
    quantising.
    """
    hits = positive.cumsum(axis=1) - np.maximum(positive - 1, 0) * mixed / 2  # mixed: mean of first and last hit
    called = hits + negative.cumsum(axis=1) - negative * mixed / 2
    precision = np.divide(hits, called, out=np.zeros(hits.shape), where=called > 0)
    total = positive.sum(axis=1) * (negative.sum(axis=1) > 0)  # one class only: undefined
    return share((positive * precision).sum(axis=1), total)


def aupro(overlap: Floats, negative: Floats) -> Floats:
    """Returns the AUPRO (rows,) of regions' shares and healthy pixels (rows, levels), hottest first, by trapezoids."""
    pro = share(overlap.cumsum(axis=1), overlap.sum(axis=1, keepdims=True))
    fpr = share(negative.cumsum(axis=1), negative.sum(axis=1, keepdims=True))
    pro, fpr = (np.pad(curve, ((0, 0), (1, 0))) for curve in (pro, fpr))
    left, right = np.minimum(fpr[:, :-1], FPR_LIMIT), np.minimum(fpr[:, 1:], FPR_LIMIT)
    width, rise = np.diff(fpr, axis=1), np.diff(pro, axis=1)
    reached = np.divide(right - left, width, out=np.zeros(width.shape), where=width > 0)  # part below the limit
    area: Floats = ((right - left) * (pro[:, :-1] + rise * reached / 2)).sum(axis=1)
    return np.minimum(area / FPR_LIMIT, 1)
