"""The discriminative head with feature maps of every kind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from artasyn.detection.head import DiscriminativeHead
from artasyn.detection.reconstruction import ReconstructionNet

CHANNELS = [(7,), (5, 12), (8, 16, 32), (4, 6, 10, 20), (16, 24, 40, 112, 320), (3, 5, 7, 9, 11, 13)]


def maps(channels: tuple[int, ...], count: int = 2, side: int = 32, seed: int = 0) -> list[Tensor]:
    """Feature maps, each half as fine as the one before."""
    source = torch.Generator().manual_seed(seed)
    sides = [max(1, side >> (1 + level)) for level in range(len(channels))]
    return [torch.rand(count, c, s, s, generator=source) for c, s in zip(channels, sides, strict=True)]


def images(count: int = 2, rows: int = 32, columns: int = 32, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Images and reconstructions."""
    source = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, rows, columns, generator=source), torch.rand(count, 1, rows, columns, generator=source)


def made(channels: tuple[int, ...]) -> DiscriminativeHead:
    torch.manual_seed(0)
    return DiscriminativeHead(channels)


@pytest.mark.parametrize("channels", CHANNELS, ids=len)
def test_any_number_of_maps_gives_logits_and_gradients_to_all(channels: tuple[int, ...]) -> None:
    head, features, (image, healthy) = made(channels), maps(channels), images()
    for tensor in (*features, image, healthy):
        tensor.requires_grad_()
    logits, lungs = head(features, image, healthy)
    assert logits.shape == lungs.shape == image.shape
    assert logits.isfinite().all()
    assert lungs.isfinite().all()
    ((logits - 3).square().mean() + (lungs + 3).square().mean()).backward()
    assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []
    used = [feature.grad is not None and bool(feature.grad.any()) for feature in features]
    assert used == [len(channels) <= 3, *[True] * (len(channels) - 1)]  # the finest of more than three is left out
    assert image.grad is not None
    assert image.grad.any()
    assert healthy.grad is not None
    assert healthy.grad.any()


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
@pytest.mark.parametrize("encoder", ["test_resnet", "efficientnet_lite0"])
@torch.no_grad()
def test_real_encoders_and_images_that_are_no_squares(encoder: str, levels: int) -> None:
    net = ReconstructionNet(encoder, size=64, levels=levels).eval()
    image, healthy = images(1, 50, 71)
    features = net.encode(image)
    assert len(features) == levels
    head = made(tuple(feature.shape[1] for feature in features))
    assert [logits.shape for logits in head(features, image, healthy)] == [image.shape] * 2


@torch.no_grad()
def test_a_batch_is_the_same_as_one_by_one() -> None:
    channels = (8, 16, 32)
    head, features, (image, healthy) = made(channels), maps(channels, 3), images(3)
    together = head(features, image, healthy)
    for n in range(3):
        alone = head([feature[n : n + 1] for feature in features], image[n : n + 1], healthy[n : n + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[n], rtol=1e-4, atol=1e-5)
    assert (together[0][0] - together[0][1]).abs().max() > 0.01


def test_where_both_differ_is_learnt_from_the_difference_alone() -> None:
    """Features say nothing: squares brighter than their reconstruction are the anomaly, darker ones are none."""
    source = torch.Generator().manual_seed(0)

    def films() -> tuple[Tensor, Tensor, Tensor]:
        healthy = torch.rand(4, 1, 32, 32, generator=source)
        mask = (torch.rand(4, 1, 4, 4, generator=source) < 0.5).float().repeat_interleave(8, 2).repeat_interleave(8, 3)
        return healthy + 0.6 * mask - 0.3, healthy, mask

    head, features = made((4, 8)), [torch.zeros(4, 4, 16, 16), torch.zeros(4, 8, 8, 8)]
    optimizer = torch.optim.Adam(head.parameters(), 0.005)
    for _ in range(60):
        image, healthy, mask = films()
        loss = F.binary_cross_entropy_with_logits(head(features, image, healthy)[0], mask)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    image, healthy, mask = films()
    right = (head(features, image, healthy)[0] > 0) == (mask > 0)
    assert right.float().mean().item() > 0.85


@torch.no_grad()
def test_the_lungs_do_not_depend_on_the_difference() -> None:
    channels = (8, 16, 32)
    head, features, (image, healthy) = made(channels), maps(channels), images()
    marked, lungs = head(features, image, healthy)
    again, same = head(features, image, 1 - healthy)
    assert torch.equal(lungs, same)
    assert not torch.equal(marked, again)
