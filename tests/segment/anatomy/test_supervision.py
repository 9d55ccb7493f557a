"""Ways to train on partly known labels: each by its definition, and all on a small problem that can be learnt."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from artasyn.errors import ModelError
from artasyn.segment.anatomy.partial import PartialLabels, masked, masked_negatives, masked_shares
from artasyn.segment.anatomy.supervision import SUPERVISIONS, Annotations, Direct, JointLatent, Supervision, Teacher

EVERY = list(SUPERVISIONS.items())
CHANNELS = 5


class Pair(nn.Module):
    """A small network that returns logits and something else, with statistics of batches, as the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, CHANNELS, 3, padding=1))
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.layers(images)
        return logits, logits.mean(dim=(1, 2, 3))


def problem(seed: int = 0, count: int = 6) -> tuple[Tensor, PartialLabels]:
    """Radiographs of bands of grey, one for each structure; the last structure shows in every other radiograph."""
    torch.manual_seed(seed)
    images = torch.rand(count, 1, 16, 16)
    low = torch.arange(CHANNELS) / CHANNELS
    targets = ((images >= low[:, None, None]) & (images < low[:, None, None] + 0.4)).float()
    known, absent = torch.rand(count, CHANNELS) < 0.6, torch.zeros(count, CHANNELS, dtype=torch.bool)
    absent[::2, -1] = True
    targets[::2, -1] = 0
    return images, PartialLabels(targets, known & ~absent, absent)


@pytest.mark.parametrize(("name", "way"), EVERY)
def test_every_way_learns_what_is_known(name: str, way: Supervision) -> None:
    torch.manual_seed(1)
    network = Pair()
    beside = way.beside(network, CHANNELS)
    trained = [each for each in (*network.parameters(), *beside.parameters()) if each.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=0.02)
    images, labels = problem()
    losses = []
    for _ in range(40):
        loss = way.loss(network(images)[0], labels, torch.ones(CHANNELS), images, beside)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]
    found = way.probabilities(network(images)[0])
    assert found.min() >= 0
    assert found.max() <= 1
    if name == "car":
        assert torch.allclose(found.sum(dim=1), torch.ones(()))


@pytest.mark.parametrize(("name", "way"), EVERY)
def test_a_batch_without_labels_gives_no_nan(name: str, way: Supervision) -> None:
    network = Pair()
    images, labels = problem()
    nothing = torch.zeros_like(labels.known)
    loss = way.loss(
        network(images)[0], PartialLabels(labels.targets, nothing, nothing), None, images, way.beside(network, CHANNELS)
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(each.grad is None or each.grad.isfinite().all() for each in network.parameters())
    if name in ("masked", "masked_negatives", "teacher"):
        assert loss.item() == 0


def test_direct_ways_are_their_losses() -> None:
    images, labels = problem()
    logits = Pair()(images)[0]
    weights = torch.arange(1.0, CHANNELS + 1)
    assert Direct().loss(logits, labels, weights, images, nn.Identity()) == masked_negatives(logits, labels, weights)


def test_shares_of_two_structures_have_the_loss_of_their_sigmoids() -> None:
    _, labels = problem()
    two = PartialLabels(labels.targets[:, :2], labels.known[:, :2], labels.absent[:, :2])
    logits = torch.randn(6, 2, 16, 16)
    logits[:, 1] = -logits[:, 0]
    weights = torch.tensor([1.0, 3.0])
    softmax = masked_shares((logits / 2).softmax(dim=1), two, weights)
    assert softmax.item() == pytest.approx(masked(logits, two, weights).item(), rel=1e-5)


def test_the_teacher_keeps_the_truth_and_adds_only_what_it_is_sure_of() -> None:
    targets = torch.zeros(1, 5, 4, 4)
    targets[0, 0, 0] = 1
    labels = PartialLabels(
        targets, torch.tensor([[True, False, False, False, False]]), torch.tensor([[False, True] + 3 * [False]])
    )
    found = torch.zeros(1, 5, 4, 4)
    found[0, 0, 3], found[0, 1, 3], found[0, 2, 3], found[0, 3, 3], found[0, 4] = 0.99, 0.99, 0.99, 0.6, 0.01
    done = Teacher(sure=0.9).completed(labels, found)
    assert done.known.tolist() == [[True, False, True, False, False]]
    assert done.absent.tolist() == labels.absent.tolist()
    assert (done.targets[0, 0] == targets[0, 0]).all()
    assert (done.targets[0, 2] == (found[0, 2] > 0.5)).all()


def test_the_teacher_is_a_moving_average_that_follows_once_a_step() -> None:
    torch.manual_seed(0)
    network = Pair()
    images, labels = problem()
    way = Teacher(decay=0.75)
    beside = way.beside(network, CHANNELS)
    assert not any(each.requires_grad for each in beside.parameters())
    expected = copy.deepcopy(network.state_dict())
    for step in range(3):
        with torch.no_grad():
            for each in network.parameters():
                each.add_(0.1)
        logits = network(images)[0]
        way.loss(logits, labels, None, images, beside)
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                kept = 0.75 if step else 0.0  # the first step copies the network
                expected[name] = kept * expected[name] + (1 - kept) * value
    average = beside.copy.module.state_dict()  # type: ignore[union-attr]
    assert network.training
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(average[name], value)


def test_the_joint_latent_as_its_definition() -> None:
    torch.manual_seed(0)
    images, labels = problem()
    logits = torch.randn(6, CHANNELS, 16, 16, requires_grad=True)
    way = JointLatent(latent=0.7, restored=1.3, width=8)
    beside = way.beside(nn.Identity(), CHANNELS)
    assert isinstance(beside, Annotations)
    p = logits.sigmoid()
    y = p.detach().clone()
    for i in range(6):
        for k in range(CHANNELS):
            if labels.absent[i, k]:
                y[i, k] = 0
            elif labels.known[i, k]:
                y[i, k] = labels.targets[i, k]
    (of_p, restored_p), (of_y, restored_y) = beside(images, p), beside(images, y)
    cosine = torch.stack(
        [(a * b).sum() / a.norm() / b.norm() for a, b in zip(of_p.flatten(1), of_y.flatten(1), strict=True)]
    ).mean()
    errors = ((restored_p.sigmoid() - p.detach()) ** 2).mean() + ((restored_y.sigmoid() - y) ** 2).mean()
    expected = masked_negatives(logits, labels) + 0.7 * 0.5 * (1 - cosine) + 1.3 * errors
    found = way.loss(logits, labels, None, images, beside)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,), (wanted,) = torch.autograd.grad(found, logits), torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, wanted, atol=1e-7, rtol=1e-4)


def test_as_published_negatives_are_not_used() -> None:
    torch.manual_seed(0)
    images, labels = problem()
    way = JointLatent(shares="softmax", width=8)
    beside = way.beside(nn.Identity(), CHANNELS)
    logits = torch.randn(6, CHANNELS, 16, 16)
    unknown = labels._replace(absent=torch.zeros_like(labels.absent))
    first, second = (way.loss(logits, each, None, images, beside).item() for each in (labels, unknown))
    assert first == second


def test_settings_are_checked() -> None:
    with pytest.raises(ModelError, match=r"sure is 1\.5, not from 0 to 1"):
        Teacher(sure=1.5)
    with pytest.raises(ModelError, match=r"latent is -1\.0"):
        JointLatent(latent=-1.0)
