"""Training of a network of overlapping structures from radiographs whose labels are only partly known.

A label source draws some structures and says nothing about the others, so that a structure of a radiograph is known, or
known to be absent (it cannot be in view), or unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from artasyn.shapes import Float
from artasyn.tensors import Flags, Maps

Scalar = Float[Tensor, ""]
Weights = Float[Tensor, "k"]

HEAVY = ("visible_lung_*", "drawn_heart")
"""Structures that readers draw and that measures are taken from: they weigh more."""


class PartialLabels(NamedTuple):
    """The labels of a batch of b radiographs and k structures.

    Attributes:
        targets: (b, k, y, x) in [0, 1]; finite, but without meaning where a structure is unknown or absent.
        known: (b, k), whether the structure is labelled: `targets` holds it.
        absent: (b, k), whether the structure cannot show, labelled or not; its target is 0, whatever `targets` holds.
    """

    targets: Maps
    known: Flags
    absent: Flags


def channel_weights(names: Iterable[str], *, heavy: Sequence[str] = HEAVY, weight: float = 3.0) -> Weights:
    """Returns the weight of every structure: 1, or more for those that matter most.

    Args:
        names: names of the structures, in the order of the channels.
        heavy: names or patterns of the structures with the larger weight.
        weight: the larger weight.

    Example:
        >>> channel_weights(["heart", "drawn_heart", "visible_lung_left"]).tolist()
        [1.0, 3.0, 3.0]
    """
    return torch.tensor([weight if any(fnmatchcase(name, each) for each in heavy) else 1.0 for name in names])


def zero_fill(logits: Maps, labels: PartialLabels, weights: Weights | None = None) -> Scalar:
    """Computes the loss of a training that takes every unknown structure for background.

    See `masked_negatives` for the arguments and the terms.
    """
    held = labels.known.bool() & ~labels.absent.bool()
    return _entropy_and_dice(logits, labels.targets, held, torch.ones_like(held), torch.ones_like(held), weights)


def masked(logits: Maps, labels: PartialLabels, weights: Weights | None = None) -> Scalar:
    """Computes the loss over the known structures alone: one that is absent, but not known to be, teaches nothing.

    See `masked_negatives` for the arguments and the terms.
    """
    known = labels.known.bool()
    held = known & ~labels.absent.bool()
    return _entropy_and_dice(logits, labels.targets, held, known, held, weights)


def masked_negatives(logits: Maps, labels: PartialLabels, weights: Weights | None = None) -> Scalar:
    """Computes the loss over the known structures, and over the absent ones, which are trained to show nowhere.

    The loss is ``2 * BCE + Dice``. BCE is the weighted mean of the binary cross-entropy over the known and the absent
    structures. Dice is the weighted mean of ``1 - (2 * sum(p * t) + 1) / (sum(p^2) + sum(t^2) + 1)`` over the
    structures that show in the batch, with sums over the batch's radiographs in which the structure is known and not
    absent. It is 0 for a batch without any label.

    Args:
        logits: (b, k, y, x), the output of the network.
        labels: what is known of the batch.
        weights: (k,), weights of the structures, see `channel_weights`; all equal if None.

    Example:
        >>> labels = PartialLabels(torch.ones(1, 2, 4, 4), torch.tensor([[True, False]]), torch.tensor([[False, True]]))
        >>> right, wrong = (torch.tensor([[s, -s]])[..., None, None].expand(1, 2, 4, 4) for s in (20.0, -20.0))
        >>> masked_negatives(right, labels).item() < 1e-6, masked_negatives(wrong, labels).item() > 20
        (True, True)
    """
    absent = labels.absent.bool()
    held = labels.known.bool() & ~absent
    return _entropy_and_dice(logits, labels.targets, held, held | absent, held, weights)


def masked_shares(shares: Maps, labels: PartialLabels, weights: Weights | None = None) -> Scalar:
    """Computes the same as `masked` from probabilities that are no sigmoids of logits, such as those of a softmax.

    Args:
        shares: (b, k, y, x) in [0, 1].
        labels: what is known of the batch.
        weights: (k,), weights of the structures.
    """
    known = labels.known.bool()
    held = known & ~labels.absent.bool()
    targets = labels.targets.to(shares)
    inside = shares.clamp(1e-6, 1 - 1e-6)
    background = -torch.log1p(-inside)
    foreground = targets * (inside.log() + background)
    sums = (background, foreground, targets * shares, shares.square())
    maps = tuple(each.sum(dim=(2, 3)) for each in sums)
    return _combined(maps, _squares(targets), shares[0, 0].numel(), (held, known, held), weights)


def _entropy_and_dice(
    logits: Maps, targets: Maps, held: Flags, judged: Flags, drawn: Flags, weights: Weights | None
) -> Scalar:
    """Computes ``2 * BCE + Dice``.

    Args:
        logits: (b, k, y, x).
        targets: (b, k, y, x).
        held: (b, k), where the target counts; it is 0 everywhere else.
        judged: (b, k), what enters the cross-entropy.
        drawn: (b, k), what enters the Dice loss.
        weights: (k,).
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    targets = targets.to(logits)
    sums = _Sums.apply(logits, targets)
    return _combined(sums, _squares(targets), logits[0, 0].numel(), (held, judged, drawn), weights)


def _combined(
    sums: tuple[Tensor, ...], squares: Tensor, pixels: int, flags: tuple[Tensor, ...], weights: Weights | None
) -> Scalar:
    """Computes ``2 * BCE + Dice`` from the sums over pixels, each (b, k)."""
    background, foreground, overlap, predicted = sums
    held, judged, drawn = (each.to(squares) for each in flags)
    weights = torch.ones_like(squares[0]) if weights is None else weights.to(squares)
    least = torch.finfo(squares.dtype).tiny
    entropy = (background - held * foreground) / pixels
    each = judged * weights
    bce = (each * entropy).sum() / each.sum().clamp(min=least)
    area = (drawn * held * squares).sum(dim=0)
    dice = (2 * (drawn * held * overlap).sum(dim=0) + 1) / ((drawn * predicted).sum(dim=0) + area + 1)
    shown = weights * (area > 0)
    return 2 * bce + (shown * (1 - dice)).sum() / shown.sum().clamp(min=least)


class _Sums(torch.autograd.Function):
    """Sums over the pixels of every map that cross-entropy and Dice are made of; half the time of plain autograd.

    With logits x, p = sigmoid(x) and targets t these are ``softplus(x)``, ``x * t``, ``p * t`` and ``p^2``.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        chance = logits.sigmoid()
        ctx.save_for_backward(chance, targets)
        background = F.softplus(logits).sum(dim=(2, 3))
        return background, _dot(logits, targets), _dot(chance, targets), _squares(chance)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        chance, targets = ctx.saved_tensors
        background, foreground, overlap, predicted = (each[..., None, None] for each in gradients)
        through = (chance * (2 * predicted)).addcmul_(targets, overlap).mul_(chance).mul_(1 - chance)
        return through.addcmul_(chance, background).addcmul_(targets, foreground), None


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """Returns the sum of the product of two (b, k, y, x) over their pixels, (b, k).

    A product of matrices would take ten times as long where the channels lie innermost in memory.
    """
    return (first * second).sum(dim=(2, 3))


def _squares(maps: Tensor) -> Tensor:
    """Returns the sum of the squares of (b, k, y, x) over the pixels, (b, k)."""
    return maps.square().sum(dim=(2, 3))
