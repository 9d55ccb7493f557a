"""Losses worked out by hand, by plain loops in numpy, and by what their gradients do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from artasyn.training.losses import discriminative, feature_alignment, region_focused, soft_dice, soft_mask


def batch(*rows: list[list[float]], dtype: torch.dtype = torch.float32) -> Tensor:
    """A batch of images, each given by its rows."""
    return torch.tensor(rows, dtype=dtype)[:, None]


def random_batch(seed: int = 0, size: tuple[int, int] = (6, 5)) -> tuple[Tensor, Tensor, Tensor]:
    """A reconstruction, a normal and a mask, three of each; the second mask is empty."""
    rng = np.random.default_rng(seed)
    made = rng.random((2, 3, 1, *size)), rng.random((3, 1, *size)) < 0.3
    made[1][1] = False
    made[1][[0, 2], 0, 1, 1] = True
    return torch.tensor(made[0][0]), torch.tensor(made[0][1]), torch.tensor(made[1], dtype=torch.float64)


# Region -----------------------------------------------------------------------------------------------------


def test_region_worked_out_by_hand() -> None:
    normal = torch.zeros(3, 1, 2, 2)
    reconstruction = batch([[1, 2], [9, 9]], [[9, 9], [9, 0.5]], [[9, 9], [9, 9]])
    mask = batch([[1, 1], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [0, 0]])
    # (1 + 4) / 2 and 0.25 / 1; the third has no anomaly and does not enter the mean
    assert region_focused(reconstruction, normal, mask).item() == (2.5 + 0.25) / 2


@pytest.mark.parametrize("seed", range(3))
def test_region_as_a_plain_loop(seed: int) -> None:
    reconstruction, normal, mask = random_batch(seed)
    means = []
    for x, y, m in zip(reconstruction.numpy(), normal.numpy(), mask.numpy() > 0, strict=True):
        if m.any():
            means.append(float(np.mean((x - y)[m] ** 2)))
    assert len(means) == 2
    assert region_focused(reconstruction, normal, mask).item() == pytest.approx(sum(means) / 2)


def test_region_without_any_anomaly_is_zero_with_zero_gradient() -> None:
    reconstruction, normal, mask = random_batch()
    reconstruction.requires_grad_()
    loss = region_focused(reconstruction, normal, 0 * mask)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert reconstruction.grad is not None
    assert (reconstruction.grad == 0).all()


@pytest.mark.parametrize("size", [(8, 8), (64, 48)])
@pytest.mark.parametrize("area", [1, 4, 30])
def test_region_weighs_lesions_of_all_areas_and_images_of_all_sizes_alike(area: int, size: tuple[int, int]) -> None:
    mask = torch.zeros(1, 1, *size)
    mask.view(-1)[:area] = 1
    normal = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    reconstruction = normal + 0.3 * mask + 5 * (1 - mask)  # what lies outside does not matter
    reconstruction.requires_grad_()
    loss = region_focused(reconstruction, normal, mask)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(0.09, rel=1e-5)
    assert reconstruction.grad is not None
    assert reconstruction.grad[mask == 0].abs().max() == 0
    assert reconstruction.grad.sum().item() == pytest.approx(0.6, rel=1e-5)  # the pull on the lesion as a whole


# Alignment --------------------------------------------------------------------------------------------------


def test_alignment_worked_out_by_hand() -> None:
    features = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]]).T.reshape(1, 2, 2, 2)
    normal = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, -5.0], [0.0, -1.0]]).T.reshape(1, 2, 2, 2)
    cosines = [1, 0, -1, math.sqrt(0.5)]
    assert feature_alignment(features, normal).item() == pytest.approx(1 - sum(cosines) / 4)


def test_alignment_as_a_plain_loop_and_blind_to_lengths() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2, 5, 3, 4))
    cosines = [
        a[i, :, y, x] @ b[i, :, y, x] / (np.linalg.norm(a[i, :, y, x]) * np.linalg.norm(b[i, :, y, x]))
        for i in range(2)
        for y in range(3)
        for x in range(4)
    ]
    found = feature_alignment(torch.tensor(a), torch.tensor(b)).item()
    assert found == pytest.approx(1 - np.mean(cosines))
    lengths = rng.uniform(0.5, 3, (2, 1, 3, 4))
    assert feature_alignment(torch.tensor(a * lengths), torch.tensor(b)).item() == pytest.approx(found)


def test_no_gradient_reaches_the_normal_branch() -> None:
    encoder = torch.nn.Conv2d(1, 4, 3)
    anomalous, normal = torch.rand(2, 2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    features, normal_features = encoder(anomalous), encoder(normal)
    normal_features.retain_grad()
    feature_alignment(features, normal_features).backward()  # type: ignore[no-untyped-call]
    assert normal_features.grad is None
    shared = encoder.weight.grad
    constant = feature_alignment(encoder(anomalous), encoder(normal).detach())
    (alone,) = torch.autograd.grad(constant, [encoder.weight])
    assert shared is not None
    assert torch.equal(shared, alone)
    assert shared.abs().max() > 0


def test_alignment_of_features_that_are_all_zero_is_finite() -> None:
    features = torch.zeros(1, 3, 2, 2, requires_grad=True)
    loss = feature_alignment(features, torch.ones(1, 3, 2, 2))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 1
    assert features.grad is not None
    assert features.grad.isfinite().all()


# Soft mask and Dice -----------------------------------------------------------------------------------------


def test_soft_mask_worked_out_by_hand() -> None:
    difference = batch([[0.0, 0.2], [-0.2, 0.5]], dtype=torch.float64)
    found = soft_mask(difference, threshold=0.2, temperature=0.1)
    low, high = 1 / (1 + math.exp(2)), 1 / (1 + math.exp(-3))
    assert found.flatten().tolist() == pytest.approx([low, 0.5, 0.5, high])
    hard = soft_mask(difference, threshold=0.3, temperature=1e-6)
    assert hard.flatten().tolist() == pytest.approx([0, 0, 0, 1])


def test_dice_worked_out_by_hand() -> None:
    prediction = batch([[1, 0.5], [0, 0]], [[0, 0], [0, 0]], [[0, 1], [1, 0]])
    mask = batch([[1, 1], [1, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]])
    # (2 * 1.5 + 1) / (1.5 + 3 + 1); an empty mask with an empty prediction; with a prediction of two pixels
    each = [1 - 4 / 5.5, 0, 1 - 1 / 3]
    assert soft_dice(prediction, mask).item() == pytest.approx(sum(each) / 3)
    assert soft_dice(prediction[:1], mask[:1], smoothing=0.0).item() == pytest.approx(1 - 3 / 4.5)


@pytest.mark.parametrize("seed", range(3))
def test_dice_of_hard_masks_as_a_plain_loop(seed: int) -> None:
    first, second, mask = random_batch(seed)
    prediction = ((first + second) > 1).double()
    expected = []
    for p, m in zip(prediction.numpy() > 0, mask.numpy() > 0, strict=True):
        expected.append(1 - (2 * np.count_nonzero(p & m) + 1) / (p.sum() + m.sum() + 1))
    assert soft_dice(prediction, mask).item() == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("empty", [False, True])
def test_a_step_down_the_gradient_marks_more_of_the_lesion_and_less_beside_it(empty: bool) -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:5, 2:6] = not empty
    sign = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    difference = (0.03 * sign.sign()).requires_grad_()  # on the threshold, of either sign
    optimiser = torch.optim.SGD([difference], lr=0.01)
    before = soft_mask(difference)
    loss = soft_dice(before, mask)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    after = soft_mask(difference)
    assert soft_dice(after, mask).item() < loss.item()
    assert (after[mask == 0] < before[mask == 0]).all()
    assert (after[mask == 1] > before[mask == 1]).all()


# The head ---------------------------------------------------------------------------------------------------


def test_discriminative_worked_out_by_hand() -> None:
    logits = batch([[0, 0], [0, 0]], [[math.log(3), 0], [0, -math.log(3)]])
    mask = batch([[1, 1], [0, 0]], [[1, 0], [0, 0]])
    # probabilities are one half, and then 3/4, 1/2, 1/2, 1/4
    entropy = -(6 * math.log(0.5) + 2 * math.log(0.75)) / 8
    dice = [1 - (2 * 1 + 20) / (2 + 2 + 20), 1 - (2 * 0.75 + 20) / (2 + 1 + 20)]
    assert discriminative(logits, mask).item() == pytest.approx(entropy + 0.5 * sum(dice) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_discriminative_as_a_plain_loop(seed: int) -> None:
    first, second, mask = random_batch(seed)
    logits = 8 * (first - second)
    entropies, dice = [], []
    for z, m in zip(logits.numpy(), mask.numpy(), strict=True):
        p = 1 / (1 + np.exp(-z))
        entropies += [-math.log(a if b else 1 - a) for a, b in zip(p.ravel(), m.ravel(), strict=True)]
        dice.append(1 - (2 * p[m > 0].sum() + 20) / (p.sum() + m.sum() + 20))
    assert discriminative(logits, mask).item() == pytest.approx(np.mean(entropies) + 0.5 * np.mean(dice))


def test_discriminative_of_logits_beyond_all_measure_is_finite_and_pulls_them_back() -> None:
    logits = batch([[1e4, -1e4], [1e4, -1e4]]).requires_grad_()
    mask = batch([[1, 1], [0, 0]])
    loss = discriminative(logits, mask)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(5000 + 0.5 * (1 - 22 / 24))
    assert logits.grad is not None
    # those that are right stay; of the others each pulls by a quarter of the mean over four pixels
    assert logits.grad.flatten().tolist() == pytest.approx([0, -0.25, 0.25, 0])


# Gradients --------------------------------------------------------------------------------------------------


def test_gradients_are_those_of_finite_differences() -> None:
    reconstruction, normal, mask = random_batch()
    reconstruction.requires_grad_()
    features = torch.rand(2, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    features.requires_grad_()
    other = features.detach().flip(1) + 0.1

    def dice_of_difference(images: Tensor) -> Tensor:
        return soft_dice(soft_mask(images - normal, threshold=0.2, temperature=0.2), mask)

    assert gradcheck(lambda x: region_focused(x, normal, mask), reconstruction)
    assert gradcheck(lambda x: feature_alignment(x, other), features)
    assert gradcheck(lambda x: soft_dice(x, mask), reconstruction)
    assert gradcheck(dice_of_difference, reconstruction)
    assert gradcheck(lambda x: discriminative(3 * x, mask), reconstruction)
