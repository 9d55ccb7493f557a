"""Stored models: another file is another model, damaged ones are named, nothing is unpickled and no hub is asked."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from artasyn.detection.detector import Detector
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.settings import DetectorSettings
from artasyn.errors import ImageError, ModelError
from artasyn.networks.encoders import create_encoder
from artasyn.networks.stored import is_complete, is_hub_id
from artasyn.phantom.film import Phantom
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that is not trained."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("stored") / "model"
    DetectorNetwork(DetectorSettings(size=32, levels=3)).save_pretrained(folder)
    return folder


@pytest.fixture
def model(stored: Path, tmp_path: Path) -> Path:
    """A copy of the model, to be damaged."""
    return Path(shutil.copytree(stored, tmp_path / "model"))


def configured(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def weighted(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


# Another model.


def test_any_setting_and_any_weight_is_another_model(stored: Path) -> None:
    network = DetectorNetwork.from_pretrained(stored)
    digests = {network.digest, DetectorNetwork.from_pretrained(stored).digest}
    assert len(digests) == 1
    settings = network.settings
    for changes in ({"threshold": 0.4}, {"top": 0.2}, {"mirrored": False}, {"novelty_weight": 0.9}):
        network.settings = dataclasses.replace(settings, **changes)
        digests.add(network.digest)
    network.settings = settings
    state = network.state_dict()
    for value in (*list(state.values())[::40], state["novelty.mean"], state["novelty.spread"]):
        kept = value.clone()
        with torch.no_grad():
            value.view(-1)[:1] = 3 if value.dtype == torch.int64 else 0.123  # in place, one number of one tensor
        digests.add(network.digest)
        value.copy_(kept)
    with torch.no_grad():  # the same numbers at other places
        state["network.bottleneck.0.weight"].copy_(state["network.bottleneck.0.weight"].flip(0))
    digests.add(network.digest)
    assert len(digests) == 1 + 4 + len(list(state.values())[::40]) + 2 + 1


def test_the_digest_of_the_bundled_model_is_the_same_on_every_machine() -> None:
    assert DetectorNetwork.from_pretrained().digest == "c371b47bcca6f5541c59df1d6866b6aa"


# Damaged models.


def empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def huge_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def pickled_under_the_name(folder: Path) -> None:
    torch.save({"a": torch.zeros(1)}, folder / "model.safetensors")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def latin(folder: Path) -> None:
    (folder / "config.json").write_bytes('{"encoder": "é"}'.encode("latin-1"))


def a_folder_as_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


def first(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    """Changes one tensor of floating-point numbers."""

    def change_first(weights: dict[str, torch.Tensor]) -> None:
        weights["novelty.mean"] = change(weights["novelty.mean"]).contiguous()

    return lambda folder: weighted(folder, change_first)


def text(content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(content)


def setting(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: configured(folder, **changes)


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: weighted(folder, lambda weights: weights.__delitem__(name))


def more(weights: dict[str, torch.Tensor]) -> None:
    weights["more"] = torch.zeros(2)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty weights": (empty, r"model\.safetensors: cannot be loaded"),
    "cut weights": (cut, r"model\.safetensors: cannot be loaded"),
    "huge header": (huge_header, r"model\.safetensors: cannot be loaded"),
    "pickle alone": (pickled, r"no model\.safetensors"),
    "pickle under the name": (pickled_under_the_name, r"model\.safetensors: cannot be loaded"),
    "no config": (no_config, r"no config\.json"),
    "folder": (a_folder_as_config, r"no config\.json"),
    "latin": (latin, r"config\.json: is no text in UTF-8"),
    "no JSON": (text("{"), r"config\.json: is no JSON"),
    "list": (text("[]"), r"config\.json: .*settings is \[\], not an object"),
    "null": (text("null"), r"config\.json: .*not an object"),
    "deep": (text("[" * 10_000), r"config\.json: is no JSON"),
    "NaN": (text('{"threshold": NaN}'), r"config\.json: is no JSON .*NaN"),
    "unknown setting": (setting(colour=1), r"config\.json: .*settings\.colour is unknown"),
    "type": (setting(top="much"), r"settings\.top is 'much', not a number"),
    "null setting": (setting(novelty_prior=None), r"settings\.novelty_prior is None, not a number"),
    "bool": (setting(size=True), r"settings\.size is True, not a whole number"),
    "range": (setting(threshold=1.5), r"settings\.threshold is 1\.5, not from 0 to 1"),
    "size": (setting(size=10**9), r"settings\.size is 1000000000, not from"),
    "other size": (setting(size=1024), r"regions has the shape \(7, 32, 32\), not \(7, 1024, 1024\)"),
    "levels": (setting(levels=31), r"config\.json: .*has no 31 levels"),
    "unknown encoder": (setting(encoder="net"), r"config\.json: .*'net' is no timm model"),
    "giant encoder": (setting(encoder="vit_gigantic_patch14_224", size=224, levels=None), "do not belong"),
    "kind": (setting(kind="other"), r"settings\.kind is 'other'; choose from discriminative"),
    "other kind": (setting(kind="reconstruction"), r"an unknown head\."),
    "missing tensor": (without("novelty.mean"), r"no novelty\.mean"),
    "one tensor more": (lambda folder: weighted(folder, more), "an unknown more"),
    "NaN weight": (first(lambda value: value * torch.nan), "holds a value that is not finite"),
    "infinite weight": (first(lambda value: value + torch.inf), "holds a value that is not finite"),
    "shape": (first(lambda value: value[None]), "has the shape"),
    "dtype": (first(lambda value: value.to(torch.int64)), r"is torch\.int64, not torch\.float32"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_refused_in_a_sentence_with_its_file(model: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    change(model)
    with pytest.raises(ModelError, match=message) as found:
        Detector.from_pretrained(model)
    assert str(found.value).startswith(str(model))


def test_weights_that_overflow_are_refused_when_they_are_used(model: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        for value in weights.values():
            value.fill_(3e38 if value.ndim == 4 else 1)

    weighted(model, change)
    detector = Detector.from_pretrained(model)
    with pytest.raises(ModelError, match="values that are not finite"):
        detector(np.random.default_rng(0).random((40, 40), dtype=np.float32))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read_as_32_bits(model: Path, kind: torch.dtype) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights |= {name: value.to(kind) for name, value in weights.items() if value.is_floating_point()}

    weighted(model, change)
    detector = Detector.from_pretrained(model)
    assert 0 <= detector(np.random.default_rng(0).random((40, 40), dtype=np.float32)).score <= 1


def test_extreme_settings_give_scores_in_range(model: Path) -> None:
    film = Phantom(size=64)(1).image
    for changes in ({"novelty_weight": 100, "novelty_prior": 100.0}, {"top": 0.0}, {"smoothing": 1.0}, {"top": 1}):
        configured(model, **changes)
        network = DetectorNetwork.from_pretrained(model)
        network.novelty.spread.fill_(1e-6)  # novelties of millions
        network.novelty.center.fill_(-7.0)
        found = Detector(network)(film)
        assert 0 <= found.score <= 1
        assert 0 <= found.heatmap.min() <= found.heatmap.max() <= 1


# Precision and arrays that are no images.


def test_half_precision_is_refused_in_a_sentence(stored: Path) -> None:
    film = np.zeros((40, 40), np.float32)
    network = DetectorNetwork.from_pretrained(stored)
    with pytest.raises(ModelError, match="32 bits"):
        Detector(network).half()
    with pytest.raises(ModelError, match=r"float16.*32 bits"):
        Detector(network.half())(film)
    network.float()
    with pytest.raises(ImageError, match="must be float32"):
        Detector(network)(film.astype(np.float16))


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(40, 40),
        [torch.zeros(40, 40)],
        torch.zeros(2, 1, 40, 40),
        np.zeros((2, 40, 40), np.float32),
        np.zeros((1, 1, 40, 40), np.float32),
        np.zeros((), np.float32),
        None,
        7,
        [np.zeros(40, np.float32)],
    ],
    ids=lambda images: f"{type(images).__name__} {getattr(images, 'shape', '')}",
)
def test_what_is_no_image_is_refused_in_a_sentence(stored: Path, images: Any) -> None:
    with pytest.raises(ImageError, match="must"):
        Detector.from_pretrained(stored)(images)
    with pytest.raises(ImageError, match="must be Lungs"):
        Detector.from_pretrained(stored)(np.zeros((40, 40), np.float32), np.zeros((40, 40), np.uint8))  # type: ignore


def test_maps_of_another_shape_are_refused(stored: Path) -> None:
    network = DetectorNetwork.from_pretrained(stored)
    with pytest.raises(ImageError, match=r"takes images of \(b, 1, 32, 32\)"):
        network.maps(np.zeros((1, 1, 64, 64), np.float32))


# The hub.


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Refuses every connection; returns the addresses that were tried."""
    tried: list[Any] = []

    def refuse(*address: Any, **options: Any) -> NoReturn:
        tried.append(address)
        raise OSError("no network in this test")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


ENCODERS = (
    "hf-hub:owner/name",
    "hf_hub:timm/resnet18.a1_in1k",
    "local-dir:/tmp",
    "https://example.org/model",
    "timm/resnet18",
    "../resnet18",
    "resnet18:x",
    "",
)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_no_encoder_leads_to_a_hub(model: Path, no_network: list[Any], encoder: str) -> None:
    configured(model, encoder=encoder)
    with pytest.raises(ModelError, match="is no timm model"):
        Detector.from_pretrained(model)
    with pytest.raises(ModelError, match="is no timm model"):
        create_encoder(encoder, pretrained=True, size=32, levels=None)
    assert not no_network


@pytest.mark.parametrize(
    "name",
    [
        "modle",
        "./runs/model",
        "/nowhere/model",
        "~/model",
        "../model",
        "a/b/model",
        "runs\\model",
        "owner/detector.onnx",
        "owner/model.safetensors",
        "owner/",
        "/name",
        "owner/..",
        "artasyn/modle",  # a folder artasyn is there
        "tests/model",
        " owner/name",
        "owner/na me",
        "",
        "owner/" + "x" * 300,
        "x" * 300 + "/name",
    ],
)
def test_a_mistyped_folder_is_a_missing_folder(
    no_network: list[Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert not is_hub_id(name)
    for model in (name, Path(name)):
        with pytest.raises(ModelError, match=r"there is no such folder|no config\.json|cannot be read"):
            Detector.from_pretrained(model)
    assert not no_network


def test_an_id_is_looked_for_on_the_hub(no_network: list[Any], tmp_path: Path, stored: Path) -> None:
    assert is_hub_id("owner-1/name_2.x")
    with pytest.raises(ModelError, match="owner-1/name: there is no such folder, and it cannot be had"):
        Detector.from_pretrained("owner-1/name", cache_dir=tmp_path, local_files_only=True)
    snapshot = tmp_path / "models--owner-1--name" / "snapshots" / "0"  # as an earlier download leaves it
    shutil.copytree(stored, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0")
    found = Detector.from_pretrained("owner-1/name", cache_dir=tmp_path, local_files_only=True)
    assert found.digest == Detector.from_pretrained(stored).digest


# Whole or not at all.


@pytest.mark.parametrize("there", [False, True])
def test_a_model_is_written_whole_or_not_at_all(
    stored: Path, tmp_path: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the writing stops, the folder holds the model of before, the new one, or no settings."""
    before = DetectorNetwork.from_pretrained(stored)
    network = DetectorNetwork.from_pretrained(stored)
    network.calibrate(0.25, 0.75)
    with torch.no_grad():
        network.novelty.mean.fill_(2.0)

    class Killed(BaseException):
        pass

    done = False
    number = 0
    while not done:
        number += 1
        folder = tmp_path / str(number)
        if there:
            shutil.copytree(stored, folder)
        steps = iter(range(1, number + 1))

        def step(original: Callable[..., Any], steps: Any = steps, last: int = number) -> Callable[..., Any]:
            def stopping(*arguments: Any, **options: Any) -> Any:
                if next(steps, None) == last:
                    raise Killed
                return original(*arguments, **options)

            return stopping

        with monkeypatch.context() as patch:
            for name in ("rename", "replace", "unlink", "write_text"):
                patch.setattr(Path, name, step(getattr(Path, name)))
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a killed process cleans nothing
            try:
                network.save_pretrained(folder)
                done = True
            except Killed:
                pass
        if is_complete(folder):
            assert DetectorNetwork.from_pretrained(folder).digest in (before.digest, network.digest)
    assert number > 3
    assert DetectorNetwork.from_pretrained(folder).digest == network.digest
    network.save_pretrained(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    network.save_pretrained(tmp_path / "1")  # also over what a kill left
    assert DetectorNetwork.from_pretrained(tmp_path / "1").digest == network.digest
    assert not list(tmp_path.glob("1.*"))
