"""Reading with a network that knows its films: looks, batches, angles, refusals; and a real one that is stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from safetensors.torch import load_file

from artasyn.cautions import UNUSABLE
from artasyn.cli.main import main
from artasyn.detection.detector import Detector
from artasyn.detection.stored import BUNDLED
from artasyn.errors import ImageError, ModelError, RadiographError
from artasyn.evaluation.overlap import dice
from artasyn.files.opened import open_radiograph
from artasyn.segment.anatomy.looks import aligned, looks_at, mirrored_order, told_turns
from artasyn.segment.anatomy.net import AnatomyNet, Network
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.anatomy.window import Window
from artasyn.segment.lungs import Lungs
from artasyn.segment.structures import ANATOMY
from tests.files.made import dicom
from tests.segment.anatomy.reading import NAMES, GreyNetwork, film


@pytest.fixture(autouse=True)
def nothing_to_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """PBTSeg has no doubts about films of discs, except where a test gives it some."""
    doubt_with(monkeypatch)


def doubt_with(monkeypatch: pytest.MonkeyPatch, *words: Any) -> None:
    def find(self: Any, image: np.ndarray) -> Lungs:
        return Lungs(np.zeros(image.shape, np.uint8), (0.0, 0.0), words, words)

    monkeypatch.setattr("artasyn.segment.pbtseg.pbtseg.PBTSeg.__call__", find)


def reader(doubt: float = 0.0, **changes: Any) -> AnatomyNet:
    """Reads whole films, because `GreyNetwork` tells structures by their place on the film; see `test_closer`."""
    return AnatomyNet(GreyNetwork(AnatomySettings(size=96, names=NAMES, closer=False, **changes), doubt))


@pytest.mark.parametrize("shape", [(240, 200), (200, 240), (96, 96), (700, 500)])
@pytest.mark.parametrize("looks", [1, 2, 4])
def test_a_film_is_read_on_its_own_grid(shape: tuple[int, int], looks: int) -> None:
    image, truth = film(shape)
    anatomy = reader(looks=looks)(image)
    assert anatomy.grid == shape
    for name, part in truth.items():
        assert dice(anatomy.mask(name), part >= 0.5) > (0.85 if name == "spine" else 0.93), name
    assert anatomy.warnings == ()
    assert min(anatomy.confidence) > 0.55
    assert anatomy.spacing is None


def test_an_inverted_film_has_the_same_masks_and_says_so() -> None:
    image, truth = film()
    anatomy, inverted = reader()(image), reader()(1 - image)
    np.testing.assert_allclose(inverted.maps, anatomy.maps, atol=1e-4)
    assert inverted.warnings == ("inverted",)
    assert inverted.reasons
    assert dice(inverted.mask("visible_lung_left"), truth["visible_lung_left"] >= 0.5) > 0.93


def test_a_mirrored_film_has_mirrored_masks_and_the_opposite_turn() -> None:
    image, _ = film(turn=0.3)
    anatomy, mirrored = reader()(image), reader()(image[:, ::-1].copy())
    assert 5 < anatomy.angle == pytest.approx(-mirrored.angle, abs=1.0)
    one, other = anatomy.mask("visible_lung_left"), mirrored.mask("visible_lung_right")[:, ::-1]
    assert dice(one, other) > 0.97


def test_what_the_looks_see() -> None:
    image, _ = film((200, 240))
    window = Window.of((200, 240), 96)
    looks = looks_at(window.prepare(image), window, 4)
    assert looks.shape == (4, 1, 96, 96)
    rows, columns = window.inside
    inside = looks[:, 0, rows, columns]
    np.testing.assert_allclose(inside[1], 1 - inside[0, :, ::-1], atol=1e-6)
    np.testing.assert_allclose(inside[2], inside[0] ** 1.5, atol=1e-6)
    np.testing.assert_array_equal(inside[3], inside[0, :, ::-1])
    assert not looks[:, :, : window.top].any()
    assert np.isnan(told_turns(None, 2)).all()
    np.testing.assert_allclose(told_turns(30.0, 2), [[0.5, 0.75**0.5], [-0.5, 0.75**0.5]], atol=1e-6)
    order = mirrored_order(ANATOMY)
    assert sorted(order) == list(range(len(ANATOMY)))
    assert [order[place] for place in order] == list(range(len(ANATOMY)))
    maps = np.arange(2 * 6 * 4, dtype=np.float32).reshape(2, 6, 2, 2)
    np.testing.assert_array_equal(aligned(maps, NAMES)[1, 0], maps[1, 1, :, ::-1])


def test_batches_are_films_one_by_one() -> None:
    films = [film(shape, turn=turn)[0] for shape, turn in (((240, 200), 0), ((200, 240), 0.2), ((120, 100), 0))] * 4
    net = reader()
    angles: list[float | None] = [None, 12.0, None] * 4
    spacings = [None, (0.2, 0.2), None] * 4
    found = net(films, angles, spacing=spacings)
    for image, angle, spacing, each in zip(films, angles, spacings, found, strict=True):
        alone = net(image, angle, spacing=spacing)
        np.testing.assert_array_equal(alone.maps, each.maps)
        assert (alone.angle, alone.confidence, alone.spacing) == (each.angle, each.confidence, each.spacing)
    assert found[1].angle == 12.0
    assert net([]) == []


def test_confidence_is_what_the_looks_agree_about() -> None:
    image, _ = film()
    sure, unsure = reader()(image), reader(doubt=0.3)(image)
    assert all(one > other for one, other in zip(sure.confidence, unsure.confidence, strict=True))
    assert reader(doubt=0.3, agreements=(0.3,) * len(NAMES))(image).confidence == (1.0,) * len(NAMES)
    usual = reader().usual_agreements([image, film((200, 240))[0]])
    np.testing.assert_allclose(usual, sure.confidence, atol=0.1)
    empty = reader(floor=1.0)(image)
    assert not empty.probabilities.any()
    assert len(empty.measure().reasons) == 5
    lower = reader(thresholds=(0.2,) * len(NAMES))(image)
    assert lower.mask("spine").sum() > sure.mask("spine").sum()


def test_nothing_is_made_up_where_there_is_no_chest(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).random((120, 100), np.float32)
    cases = {"blank": np.full((120, 100), 0.4, np.float32), "noise": noise}
    for name, image in cases.items():
        anatomy = reader()(image)
        assert not anatomy.maps.any(), name
        assert not any(anatomy.confidence), name
        assert UNUSABLE & set(anatomy.warnings), name
        assert anatomy.reasons, name
        lungs = anatomy.lungs()
        assert not lungs.found
        assert not lungs.usable
        assert len(anatomy.measure().reasons) == 5
    image, _ = film()
    doubt_with(monkeypatch, "not_a_chest")
    assert reader()(image).warnings == ()  # the network is sure
    assert reader(doubt=0.7)(image).warnings == ("not_a_chest",)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_film_is_not_read(quarters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = film()
    doubt_with(monkeypatch, "turned")
    turned = reader()(np.rot90(image, quarters).copy())
    words = {1: "rotated by three quarter turns", 2: "upside down", 3: "rotated by a quarter turn"}
    assert turned.warnings == ("turned",)
    assert words[quarters] in turned.reasons[0]
    assert not turned.maps.any()


def test_a_side_view_says_so_and_is_read() -> None:
    image, _ = film()
    anatomy = reader()(image, 85.0)
    assert anatomy.warnings == ("lateral",)
    assert "turned by 85 degrees" in anatomy.reasons[0]
    assert anatomy.mask("drawn_heart").any()
    assert not anatomy.usable
    assert reader()(image, 180.0).usable


@pytest.mark.parametrize("images", [torch.zeros(40, 40), np.zeros((2, 40, 40), np.float32), None])
def test_what_is_no_image_is_refused(images: Any) -> None:
    with pytest.raises(ImageError, match="must"):
        reader()(images)


def test_paths_are_read_with_their_spacing(tmp_path: Path) -> None:
    stored = np.rint(4095 * film()[0]).astype(np.uint16)
    dicom(stored, ImagerPixelSpacing=[0.2, 0.3]).save_as(tmp_path / "film.dcm", enforce_file_format=True)
    opened = open_radiograph(tmp_path / "film.dcm")
    assert opened.spacing == (0.2, 0.3)
    one = reader()(tmp_path / "film.dcm")
    several = reader()([str(tmp_path / "film.dcm"), opened.image], spacing=[(0.5, 0.5), None])
    for each in (one, *several):
        np.testing.assert_array_equal(each.maps, one.maps)
    assert [each.spacing for each in (one, *several)] == [(0.2, 0.3), (0.5, 0.5), None]
    with pytest.raises(RadiographError, match=r"none.png does not exist"):
        reader()(tmp_path / "none.png")


def test_the_network_that_comes_with_artasyn_and_no_path_to_another() -> None:
    assert AnatomyNet().digest == AnatomyNet.from_pretrained().digest
    path: Any = "model"
    with pytest.raises((ModelError, TypeCheckError), match=r"AnatomyNet.from_pretrained\('model'\)|Type-check"):
        AnatomyNet(path)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ImageError, match="2 images, but 1 angles"):
        reader()([film()[0]] * 2, [None])

    class Broken(GreyNetwork):
        def read(self, images: Any, turns: Any) -> Any:
            return super().read(images, turns)[0] * np.nan, turns

    with pytest.raises(ModelError, match="values that are not finite"):
        AnatomyNet(Broken(AnatomySettings(size=96, names=NAMES)))(film()[0])


# A real network, not trained.

TINY = AnatomySettings(encoder="test_efficientnet", size=64, names=NAMES, widths=(16, 16, 16))


@pytest.fixture(scope="module")
def network() -> AnatomyNetwork:
    torch.manual_seed(0)
    network = AnatomyNetwork(TINY).eval()
    torch.nn.init.normal_(network.film.weight)
    return network


def test_a_network_is_stored_in_half_precision_and_read_again(network: AnatomyNetwork, tmp_path: Path) -> None:
    net = AnatomyNet(network)
    assert isinstance(network, Network)
    net.calibrate(thresholds=[0.4] * 6, agreements=[0.5] * 6)
    net.save_pretrained(tmp_path / "model")
    again = AnatomyNet.from_pretrained(tmp_path / "model")
    assert again.settings == dataclasses.replace(TINY, thresholds=(0.4,) * 6, agreements=(0.5,) * 6)
    kinds = {name: value.dtype for name, value in load_file(tmp_path / "model" / "model.safetensors").items()}
    assert kinds["head.weight"] == torch.float16
    assert kinds["head.bias"] == torch.float32
    squares = np.random.default_rng(0).random((3, 1, 64, 64), np.float32)
    turns = np.array([[0, 1], [0.5, 0.8], [np.nan, np.nan]], np.float32)
    for one, other in zip(network.read(squares, turns), again.network.read(squares, turns), strict=True):
        np.testing.assert_allclose(one, other, atol=0.01)
    again.save_pretrained(tmp_path / "copy")
    assert AnatomyNet.from_pretrained(tmp_path / "copy").digest == again.digest != net.digest
    with pytest.raises(ModelError, match=r"config\.json: cannot be loaded as a detector"):
        Detector.from_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="cannot be loaded as a reader of anatomy"):
        AnatomyNet.from_pretrained(BUNDLED)
    with pytest.raises(ModelError, match="no maps at 1/4"):
        AnatomyNetwork(dataclasses.replace(TINY, encoder="test_vit"))


def test_a_known_turn_changes_the_maps_and_not_the_estimate(network: AnatomyNetwork) -> None:
    squares = np.random.default_rng(1).random((1, 1, 64, 64), np.float32).repeat(3, axis=0)
    turns = np.array([[0, 1], [1, 0], [np.nan, 0]], np.float32)
    maps, found = network.read(squares, turns)
    assert maps.shape == (3, 6, 32, 32)
    np.testing.assert_allclose(found, found[:1].repeat(3, axis=0), atol=1e-5)
    assert np.abs(maps[0] - maps[1]).max() > 1e-4
    none, _ = network(torch.from_numpy(squares))
    np.testing.assert_allclose(maps[2], none[2].sigmoid().detach().numpy(), atol=1e-5)
    with pytest.raises(ImageError, match=r"takes images of \(b, 1, 64, 64\)"):
        network.read(squares[..., :32, :32].copy(), turns)


def test_an_exported_reader_is_the_same_without_torch(network: AnatomyNetwork, tmp_path: Path) -> None:
    AnatomyNet(network).save_pretrained(tmp_path / "model")
    path = tmp_path / "anatomy.onnx"
    assert main(["export", "--out", str(path), "--model", str(tmp_path / "model")]) == 0
    net, again = AnatomyNet.from_pretrained(tmp_path / "model"), AnatomyNet.from_onnx(path, ["CPUExecutionProvider"])
    assert again.settings == net.settings
    assert again.digest != net.digest
    squares = np.random.default_rng(2).random((3, 1, 64, 64), np.float32)
    turns = np.array([[0, 1], [0.5, 0.8], [np.nan, np.nan]], np.float32)
    for one, other in zip(net.network.read(squares, turns), again.network.read(squares, turns), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert again(film()[0]).maps.shape == net(film()[0]).maps.shape
    with pytest.raises(ModelError, match="no weights to write"):
        again.save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="is no detector of artasyn"):
        Detector.from_onnx(path)
