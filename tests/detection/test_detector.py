"""The detector: maps on the film's own grid, stored and loaded, restricted to lungs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.morphology import convex_hull_image
from torch import Tensor

from artasyn.arrays import Image, Mask
from artasyn.detection.detector import Detector
from artasyn.detection.examination import score
from artasyn.detection.network import DetectorNetwork, smoothed
from artasyn.detection.settings import DetectorSettings, Kind
from artasyn.detection.stored import BUNDLED
from artasyn.detection.window import prepare
from artasyn.errors import ImageError, ModelError, RadiographError
from artasyn.files.radiograph import read_radiograph, write_image
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs
from artasyn.tensors import Images

KINDS: tuple[Kind, ...] = get_args(Kind)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def networks() -> dict[Kind, DetectorNetwork]:
    """One of each kind, not trained."""
    made = {}
    for kind in KINDS:
        torch.manual_seed(0)
        settings = DetectorSettings(size=64, kind=kind, levels=4, threshold=0.4, image_threshold=0.02)
        made[kind] = DetectorNetwork(settings).eval()
    return made


@pytest.fixture(scope="module")
def detectors(networks: dict[Kind, DetectorNetwork]) -> dict[Kind, Detector]:
    """Detectors with these networks."""
    return {kind: Detector(network) for kind, network in networks.items()}


@pytest.fixture
def network(networks: dict[Kind, DetectorNetwork]) -> DetectorNetwork:
    return networks["discriminative"]


@pytest.fixture
def detector(detectors: dict[Kind, Detector]) -> Detector:
    return detectors["discriminative"]


@pytest.fixture(scope="module")
def film() -> Image:
    return Phantom(size=160)(3).image[:, 5:150]


@pytest.fixture(scope="module")
def lungs() -> Lungs:
    """Of the film, the right one with a notch; their box is rows 30 to 125, columns 20 to 119."""
    labels = np.zeros((160, 145), np.uint8)
    labels[30:126, 20:60], labels[35:120, 85:120] = 1, 2
    labels[60:100, 45:60] = 0
    return Lungs.from_labels(labels)


WINDOW = np.s_[30 - 8 : 126 + 8, 20 - 8 : 120 + 8]
"""The box with 8 % of 96 rows and of 100 columns on every side."""


def around(lungs: Lungs) -> Mask:
    """Where the window is."""
    there = np.zeros(lungs.labels.shape, bool)
    there[WINDOW] = True
    return there


def test_paths_are_read(detector: Detector, film: Image, tmp_path: Path) -> None:
    write_image(tmp_path / "film.png", film)
    found = detector(read_radiograph(tmp_path / "film.png"))
    one, (two, three) = detector(tmp_path / "film.png"), detector([str(tmp_path / "film.png"), film])
    np.testing.assert_array_equal(one.heatmap, found.heatmap)
    np.testing.assert_allclose(two.heatmap, found.heatmap, atol=1e-5)  # a batch rounds otherwise
    assert three.heatmap.shape == film.shape
    with pytest.raises(RadiographError, match=r"none.png does not exist"):
        detector(tmp_path / "none.png")


def test_the_network_that_comes_with_artasyn_and_no_path_to_another() -> None:
    assert Detector().digest == Detector.from_pretrained().digest
    path: Any = Path("model")
    with pytest.raises((ModelError, TypeCheckError), match=r"Detector.from_pretrained\('model'\)|Type-check"):
        Detector(path)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_on_the_films_own_grid(detectors: dict[Kind, Detector], film: Image, kind: Kind) -> None:
    found = detectors[kind](film)
    assert found.heatmap.shape == found.mask.shape == found.reconstruction.shape == film.shape
    assert 0 <= found.heatmap.min() < found.heatmap.max() <= 1
    assert 0 <= found.reconstruction.min() < found.reconstruction.max() <= 1
    assert 0 < found.score <= found.heatmap.max() + 1e-6
    np.testing.assert_array_equal(found.mask, found.heatmap >= np.float32(0.4))
    assert found.lungs is not None
    assert found.heatmap[found.lungs.mask].all()


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_lungs_hulls_and_a_border_around_them_are_looked_at(
    detectors: dict[Kind, Detector], film: Image, lungs: Lungs, kind: Kind
) -> None:
    heatmap = detectors[kind](film, lungs).heatmap
    hulls = np.zeros(film.shape, bool)
    for lung in (lungs.right, lungs.left):
        hulls |= convex_hull_image(lung, offset_coordinates=False)  # type: ignore[no-untyped-call]
    assert hulls[80, 52]
    assert not lungs.mask[80, 52]
    assert heatmap[hulls].min() > 0
    # the border is 3 % of the window's 116 columns wide, and four times as much on its way to nothing
    assert not heatmap[distance_transform_edt(~hulls) > 5 * 0.03 * 116 * 1.45].any()
    assert not heatmap[~around(lungs)].any()


@pytest.mark.parametrize("kind", KINDS)
def test_unrestricted_the_whole_window_is_looked_at(
    detectors: dict[Kind, Detector], film: Image, lungs: Lungs, kind: Kind
) -> None:
    detector = detectors[kind]
    found, other = detector(film, lungs, restrict_to_lungs=False), detector(film, lungs)
    assert found.lungs is None
    assert other.lungs is lungs
    np.testing.assert_array_equal(found.heatmap > 0, around(lungs))
    assert (found.heatmap >= other.heatmap - 1e-6).all()
    np.testing.assert_allclose(found.heatmap[60:90, 25:40], other.heatmap[60:90, 25:40], rtol=0.01)  # inside a lung
    np.testing.assert_array_equal(found.reconstruction, other.reconstruction)


def test_a_call_may_say_otherwise_than_the_settings_and_leaves_them(
    networks: dict[Kind, DetectorNetwork], film: Image, lungs: Lungs
) -> None:
    free = DetectorNetwork(DetectorSettings(size=64, levels=4, restrict_to_lungs=False))
    free.load_state_dict(networks["discriminative"].state_dict())
    for network in (free, networks["discriminative"]):
        detector, said = Detector(network), network.settings
        found = {asked: detector(film, lungs, restrict_to_lungs=asked) for asked in (None, False, True)}
        assert [each.lungs for each in found.values()] == [lungs if said.restrict_to_lungs else None, None, lungs]
        np.testing.assert_array_equal(found[None].heatmap, found[said.restrict_to_lungs].heatmap)
        assert [each.lungs for each in detector([film, film], [lungs, lungs], restrict_to_lungs=True)] == [lungs] * 2
        assert network.settings is said


def test_maps_come_back_to_the_place_they_are_of(
    network: DetectorNetwork, film: Image, lungs: Lungs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def maps(images: Images) -> tuple[Images, Images, Tensor, Images]:
        hot, none = torch.zeros_like(images), torch.zeros(len(images))
        hot[..., 16:20, 8:12] = 1
        return images, hot, none, torch.ones_like(images)

    monkeypatch.setattr(network, "forward", maps)
    heatmap = Detector(network)(film, lungs).heatmap
    rows, columns = np.nonzero(heatmap > 0.5)
    # of 64 rows those from 16 to 19, which is from 112 * 16 / 64 to 112 * 20 / 64; of 116 columns likewise
    assert (rows.min(), rows.max()) == pytest.approx((22 + 28, 22 + 35 - 1), abs=1)
    assert (columns.min(), columns.max()) == pytest.approx((12 + 14.5, 12 + 21.75 - 1), abs=1)


def test_the_network_sees_the_window_and_nothing_else(
    detectors: dict[Kind, Detector], film: Image, lungs: Lungs
) -> None:
    detector = detectors["segmentation"]  # whose reconstruction is what it sees
    seen = detector(film, lungs).reconstruction[WINDOW]
    assert np.abs(prepare(seen, 64) - prepare(film[WINDOW], 64)).mean() < 0.03
    other = film.copy()
    other[~around(lungs)] = 0.5
    np.testing.assert_array_equal(detector(other, lungs).reconstruction[WINDOW], seen)
    other[60:80, 90:110] = 1
    assert np.abs(detector(other, lungs).reconstruction[WINDOW] - seen).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_films_of_several_sizes_is_the_same_as_one_by_one(
    detectors: dict[Kind, Detector], film: Image, lungs: Lungs, kind: Kind
) -> None:
    noise = np.random.default_rng(0).random((80, 70), dtype=np.float32)
    films, given = [film, noise, film[::-1].copy()], [lungs, Lungs.from_labels(np.zeros((80, 70), np.uint8)), lungs]
    batch = detectors[kind](films, given)
    for one, other in zip(batch, map(detectors[kind], films, given), strict=True):
        np.testing.assert_allclose(one.heatmap, other.heatmap, atol=1e-5)
        np.testing.assert_allclose(one.reconstruction, other.reconstruction, atol=1e-4)
        assert one.score == pytest.approx(other.score, abs=1e-5)
    assert detectors[kind]([]) == []


def test_films_without_both_lungs_are_searched_whole(detector: Detector) -> None:
    noise = np.random.default_rng(0).random((80, 80), dtype=np.float32)
    whole = detector(noise)
    assert whole.lungs is None
    assert (whole.heatmap > 0).all()
    labels = np.zeros((80, 80), np.uint8)
    labels[20:60, 10:30] = 1
    one = detector(noise, Lungs.from_labels(labels))
    assert one.lungs is None
    np.testing.assert_array_equal(one.heatmap, whole.heatmap)


@pytest.mark.parametrize(
    ("kind", "matters"), [("reconstruction", True), ("discriminative", True), ("segmentation", False)]
)
@torch.no_grad()
def test_what_the_heatmap_is_made_of(networks: dict[Kind, DetectorNetwork], kind: Kind, matters: bool) -> None:
    network = networks[kind]
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    seen = network.look(images)
    assert len(seen.features) == 4
    assert (seen.logits is None) == (kind == "reconstruction")
    if kind == "segmentation":
        assert torch.equal(seen.reconstructions, images)
    else:
        torch.testing.assert_close(seen.reconstructions, network.network(images))
    reconstructions, heatmaps, novelties, lungs = network(images)
    assert torch.equal(reconstructions, seen.reconstructions)
    assert torch.equal(novelties, torch.zeros(2))  # no normal films were learnt
    turned = network.look(images.flip(-1))
    torch.testing.assert_close(heatmaps, (seen.heatmaps + turned.heatmaps.flip(-1)) / 2)
    if seen.lungs is None or turned.lungs is None:
        assert torch.equal(lungs, torch.ones_like(images))
    else:
        torch.testing.assert_close(lungs, (seen.lungs.sigmoid() + turned.lungs.sigmoid().flip(-1)) / 2)
    settings = network.settings
    network.settings = dataclasses.replace(settings, mirrored=False)
    torch.testing.assert_close(network(images)[1], seen.heatmaps)
    network.settings = settings
    bias = network.network.head.get_parameter("bias")  # of what the decoder draws
    bias.add_(2)
    changed = network(images)[1]
    bias.sub_(2)
    assert (not torch.equal(changed, heatmaps)) == matters


@torch.no_grad()
def test_the_heatmap_of_a_head_is_its_probability_smoothed(
    network: DetectorNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    logits = torch.linspace(-6, 6, 64).expand(1, 1, 64, 64)

    def head(features: list[Tensor], image: Tensor, healthy: Tensor) -> tuple[Tensor, Tensor]:
        return logits, logits

    monkeypatch.setattr(network.head, "forward", head)
    monkeypatch.setattr(network, "settings", dataclasses.replace(network.settings, mirrored=False))
    expected = gaussian_filter(1 / (1 + np.exp(-logits[0, 0].numpy())), 0.015 * 64, mode="nearest", truncate=3.0)
    np.testing.assert_allclose(network(images)[1][0, 0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_novel_film_has_more_evidence_in_score_and_heatmap(kind: Kind) -> None:
    torch.manual_seed(1)
    settings = DetectorSettings(size=64, kind=kind, levels=4, novelty_weight=0.5, novelty_prior=0.25)
    network = DetectorNetwork(settings).eval()
    images = torch.rand(12, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    before = network(images[:2])[1]
    statistics = network.statistics(network.network.encode(images))
    network.novelty.fit([statistics[:6]], [statistics[6:]])
    odd = (images[:2] * 0.2 + 0.6).clamp(0, 1)
    usual = network(images[6:])[2]
    assert network(odd)[2].min() > usual.max() + 2
    after, novelties = network(images[:2])[1:3]
    views = (images[:2], images[:2].flip(-1))
    single = torch.stack([network.novelty(network.statistics(network.network.encode(view))) for view in views])
    torch.testing.assert_close(novelties, single.mean(dim=0))
    added = torch.logit(after) - torch.logit(before)
    expected = 0.25 * novelties[:, None, None, None] if kind != "reconstruction" else torch.zeros(2, 1, 1, 1)
    torch.testing.assert_close(added, expected.expand_as(added), rtol=1e-3, atol=1e-3)
    square = odd[0, 0].numpy()
    plain = DetectorNetwork(dataclasses.replace(settings, novelty_weight=0.0))
    plain.load_state_dict(network.state_dict())
    one, other = Detector(plain)(square), Detector(network)(square)
    np.testing.assert_array_equal(one.heatmap, other.heatmap)
    assert one.novelty == other.novelty > 0.5
    assert np.log(other.score / (1 - other.score)) - np.log(one.score / (1 - one.score)) == pytest.approx(
        0.5 * one.novelty, rel=1e-3
    )


def test_bad_input_is_named(detector: Detector, film: Image) -> None:
    with pytest.raises(ImageError, match="image 1 must be float32"):
        detector([film, (255 * film).astype(np.uint8)])
    with pytest.raises(ImageError, match="lungs for 1"):
        detector([film, film], [None])
    with pytest.raises(ImageError, match="lungs are"):
        detector(film, Lungs.from_labels(np.ones((20, 20), np.uint8)))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_it_says_the_same(
    detectors: dict[Kind, Detector], film: Image, lungs: Lungs, tmp_path: Path, kind: Kind
) -> None:
    detector = detectors[kind]
    detector.calibrate(0.0123, 0.045)
    detector.save_pretrained(tmp_path / "model")
    digest = detector.digest
    detector.calibrate(0.4, 0.02)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["threshold"], config["image_threshold"]) == (0.0123, 0.045)
    loaded = Detector.from_pretrained(tmp_path / "model")
    assert isinstance(loaded.network, DetectorNetwork)
    assert not loaded.network.training
    assert loaded.digest == digest != detector.digest  # which has other thresholds again
    assert (loaded.threshold, loaded.image_threshold) == (0.0123, 0.045)
    assert loaded.settings == dataclasses.replace(detector.settings, threshold=0.0123, image_threshold=0.045)
    ours, theirs = detector(film, lungs), loaded(film, lungs)
    np.testing.assert_array_equal(theirs.heatmap, ours.heatmap)
    np.testing.assert_array_equal(theirs.reconstruction, ours.reconstruction)
    assert theirs.score == ours.score


@pytest.mark.parametrize(
    ("kind", "other"), [("reconstruction", "discriminative"), ("discriminative", "reconstruction")]
)
def test_weights_of_another_kind_are_refused_and_not_replaced_by_chance(
    detectors: dict[Kind, Detector], tmp_path: Path, kind: Kind, other: Kind
) -> None:
    detectors[kind].save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"kind": other}))
    with pytest.raises(ModelError, match=r"cannot be loaded as a detector: (.|\n)*head\."):
        Detector.from_pretrained(tmp_path / "model")


def test_a_model_that_cannot_be_loaded_is_named(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty: no config\.json"):
        Detector.from_pretrained(tmp_path / "empty")
    detector.save_pretrained(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded as a detector"):
        Detector.from_pretrained(tmp_path / "model")


def test_the_detector_that_comes_with_artasyn_looks_at_a_film(film: Image) -> None:
    found = Detector.from_pretrained()(film)
    assert found.lungs is not None
    assert 0 < found.score < 1
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 12e6


def test_training_mode_is_left_as_it_was(film: Image) -> None:
    network = DetectorNetwork(DetectorSettings(size=64))
    network.train()
    Detector(network)(film)
    assert network.network.training


def test_smoothing_is_scipys_gaussian() -> None:
    values = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(1))
    ours = smoothed(values, 0.05)
    for one, raw in zip(ours[:, 0], values[:, 0], strict=True):
        theirs = gaussian_filter(raw.numpy(), 2.0, mode="nearest", truncate=3.0)
        np.testing.assert_allclose(one.numpy(), theirs, atol=1e-5)
    assert torch.equal(smoothed(values, 0.0), values)


@torch.no_grad()
def test_edges_that_are_a_pixel_off_cancel_out_and_a_denser_region_remains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = DetectorNetwork(DetectorSettings(size=64, kind="reconstruction", smoothing=0.03, mirrored=False)).eval()

    def heatmap(image: Tensor, healthy: Tensor) -> Tensor:
        monkeypatch.setattr(network.network, "decode", lambda features, images: healthy)
        maps: Images = network(image)[1]
        return maps

    stripes: Images = (torch.arange(64) % 4 < 2).float().expand(1, 1, 64, 64)
    assert heatmap(stripes, stripes.roll(1, -1))[..., 8:-8].max() < 0.15  # of a difference of 1
    denser = stripes * 0.5
    denser[..., 20:40, 20:40] += 0.3
    assert heatmap(denser, stripes * 0.5)[0, 0, 30, 30].item() == pytest.approx(0.3, abs=1e-4)
    assert heatmap(stripes * 0.5, denser)[0, 0, 30, 30].item() == pytest.approx(0.3, abs=1e-4)  # or more lucent


def test_score_is_the_mean_of_the_highest_values() -> None:
    values = np.arange(100, dtype=np.float32)[np.random.default_rng(0).permutation(100)].reshape(10, 10)
    assert score(values, top=0.1) == pytest.approx(np.mean(np.arange(90, 100)))
    assert score(values, top=1e-9) == 99


def test_the_score_is_of_the_lungs_alone(detectors: dict[Kind, Detector], film: Image, lungs: Lungs) -> None:
    for kind in KINDS:
        found = detectors[kind](film, lungs)
        top = np.sort(found.heatmap[lungs.mask])[-round(0.1 * lungs.mask.sum()) :]
        assert found.score == pytest.approx(top.mean(), rel=0.08)
