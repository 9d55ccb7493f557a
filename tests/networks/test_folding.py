"""Encoders whose normalisations are folded into their convolutions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from artasyn.networks.encoders import create_encoder
from artasyn.networks.folding import Folding, folded


def trained(encoder: nn.Module) -> nn.Module:
    """An encoder with normalisations that have seen images."""
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(2):
            encoder.train()(torch.rand(4, 1, 64, 64))
    return encoder.eval()


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "mobilenetv3_small_100"])
@torch.no_grad()
def test_a_folded_encoder_gives_the_same_without_normalisations(name: str) -> None:
    encoder = trained(create_encoder(name, pretrained=False, size=64, levels=None))
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    fast, film = folded(encoder), torch.rand(2, 1, 64, 64)
    assert not any(isinstance(each, nn.modules.batchnorm._BatchNorm) for each in fast.modules())
    for ours, plain in zip(fast(film), encoder(film), strict=True):
        assert torch.allclose(ours, plain, rtol=1e-3, atol=1e-4)
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())


@torch.no_grad()
def test_a_changed_encoder_is_folded_anew() -> None:
    norm, film, folding = nn.BatchNorm2d(4), torch.rand(1, 1, 8, 8), Folding()
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3), norm).eval()
    first = folding(encoder)
    assert folding(encoder) is first
    norm.get_buffer("running_mean").add_(1)
    again = folding(encoder)
    assert again is not first
    assert torch.allclose(again(film), encoder(film), atol=1e-6)
    assert not torch.allclose(first(film), encoder(film), atol=0.1)
    assert copy.deepcopy(folding)(encoder) is not again


def test_what_cannot_be_folded_stays_as_it_is() -> None:
    convolution, norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
    without = nn.Sequential(convolution, nn.ReLU()).eval()
    assert folded(without) is without
    twice = folded(nn.Sequential(convolution, norm, convolution, nn.ReLU()).eval())  # one convolution, in two places
    assert isinstance(twice.get_submodule("1"), nn.BatchNorm2d)

    class Moody(nn.Sequential):
        def forward(self, film: torch.Tensor) -> torch.Tensor:
            return film if film.sum() > 0 else self[0](film)

    moody = Moody(convolution, norm).eval()
    assert folded(moody) is moody
    with torch.inference_mode():
        uncounted = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).eval()
    assert Folding()(uncounted) is uncounted
