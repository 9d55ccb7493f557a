"""Losses from partly known labels, by plain loops in numpy, by hand and by what their gradients do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from artasyn.segment.anatomy.partial import (
    PartialLabels,
    channel_weights,
    masked,
    masked_negatives,
    zero_fill,
)
from artasyn.segment.structures import ANATOMY

Loss = Callable[..., Tensor]
LOSSES = (zero_fill, masked, masked_negatives)


def batch(seed: int = 0, size: tuple[int, ...] = (4, 5, 3, 6)) -> tuple[Tensor, PartialLabels]:
    """Logits and soft targets of overlapping structures; a structure is never known, another never shows."""
    rng = np.random.default_rng(seed)
    targets = np.where(rng.random(size) < 0.4, rng.random(size), 0)
    known, absent = rng.random(size[:2]) < 0.6, rng.random(size[:2]) < 0.3
    known[:, 1], absent[:, 1] = False, False
    targets[:, 2] = 0
    logits = torch.tensor(rng.normal(0, 2, size), requires_grad=True)
    return logits, PartialLabels(*(torch.tensor(each) for each in (targets, known, absent)))


def plain(loss: Loss, logits: Tensor, labels: PartialLabels, weights: Tensor) -> float:
    """The loss as its definition says, pixel by pixel."""
    x, t, known, absent, w = (each.detach().numpy() for each in (logits, *labels, weights))
    p = 1 / (1 + np.exp(-x))
    entropies, weight, dices, dice_weight = 0.0, 0.0, 0.0, 0.0
    for k in range(x.shape[1]):
        overlap, total, area = 0.0, 0.0, 0.0
        for i in range(len(x)):
            held = known[i, k] and not absent[i, k]
            target = t[i, k] if held else np.zeros_like(t[i, k])
            if known[i, k] or loss is zero_fill or (loss is masked_negatives and absent[i, k]):
                entropies += w[k] * -np.mean(target * np.log(p[i, k]) + (1 - target) * np.log(1 - p[i, k]))
                weight += w[k]
            if held or loss is zero_fill:
                overlap += np.sum(p[i, k] * target)
                total += np.sum(p[i, k] ** 2) + np.sum(target**2)
                area += np.sum(target)
        if area > 0:
            dices += w[k] * (1 - (2 * overlap + 1) / (total + 1))
            dice_weight += w[k]
    return 2 * entropies / weight + dices / dice_weight


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_losses_as_plain_loops(loss: Loss, seed: int) -> None:
    logits, labels = batch(seed)
    weights = torch.tensor([1.0, 1, 3, 3, 1], dtype=torch.float64)
    assert loss(logits, labels, weights).item() == pytest.approx(plain(loss, logits, labels, weights))
    ones = torch.ones(5, dtype=torch.float64)
    assert loss(logits, labels).item() == pytest.approx(plain(loss, logits, labels, ones))
    assert loss(logits.float(), labels).item() == pytest.approx(loss(logits, labels).item(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_finite_differences(loss: Loss) -> None:
    logits, labels = batch()
    weights = torch.tensor([1.0, 1, 3, 3, 1], dtype=torch.float64)
    assert gradcheck(lambda x: loss(x, labels, weights), (logits,))


def test_a_batch_without_labels_teaches_nothing() -> None:
    logits, labels = batch()
    nothing = torch.zeros_like(labels.known)
    for loss in (masked, masked_negatives):
        value = loss(logits, PartialLabels(labels.targets, nothing, nothing))
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.item() == 0
        assert (gradient == 0).all()


def test_unknown_structures_get_no_gradient_and_their_targets_do_not_count() -> None:
    logits, labels = batch()
    changed = torch.where((labels.known & ~labels.absent)[..., None, None], labels.targets, 1 - labels.targets)
    for loss, silent in ((masked, ~labels.known), (masked_negatives, ~labels.known & ~labels.absent)):
        value = loss(logits, labels)
        (gradient,) = torch.autograd.grad(value, logits, retain_graph=True)
        assert (gradient[silent] == 0).all()
        assert (gradient[~silent] != 0).all()
        assert loss(logits, labels._replace(targets=changed)).item() == value.item()


def test_absent_structures_are_pushed_down_even_where_the_target_claims_them() -> None:
    logits, labels = batch()
    labels = labels._replace(targets=torch.ones_like(labels.targets), known=torch.ones_like(labels.known))
    (gradient,) = torch.autograd.grad(masked_negatives(logits, labels), logits)
    assert (gradient[labels.absent] > 0).all()
    assert (gradient[~labels.absent] < 0).any()


def test_large_logits_and_half_precision_stay_finite() -> None:
    _, labels = batch()
    for dtype in (torch.float32, torch.bfloat16):
        logits = (200 * torch.sign(batch()[0].detach())).to(dtype).requires_grad_()
        value = masked_negatives(logits, labels)
        value.backward()  # type: ignore[no-untyped-call]
        assert value.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def test_known_flags_may_be_numbers() -> None:
    logits, labels = batch()
    numbers = labels._replace(known=labels.known.float(), absent=labels.absent.long())
    assert masked_negatives(logits, numbers).item() == masked_negatives(logits, labels).item()


def test_weights_of_the_vocabulary() -> None:
    weights = channel_weights(ANATOMY)
    heavy = {name for name, weight in zip(ANATOMY, weights.tolist(), strict=True) if weight == 3}
    assert heavy == {"visible_lung_right", "visible_lung_left", "drawn_heart"}
    assert set(weights.tolist()) == {1.0, 3.0}
