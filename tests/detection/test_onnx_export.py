"""The detector as an ONNX file: the same maps as torch's, all settings in the file, what is refused."""

from __future__ import annotations

import contextlib
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from artasyn.arrays import Image
from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.commands.models import export as exporting
from artasyn.detection.detector import Detector
from artasyn.detection.examination import Squares
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.onnx_export import export_onnx, largest_difference, prepared_phantoms
from artasyn.detection.onnx_network import OnnxNetwork
from artasyn.detection.settings import DetectorSettings, Kind
from artasyn.errors import ArtasynError, ImageError, ModelError
from artasyn.files.radiograph import read_heatmap
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs
from artasyn.version import __version__
from tests.conftest import ROOT

CPU = ["CPUExecutionProvider"]
KINDS = get_args(Kind)
Networks = dict[str, tuple[DetectorNetwork, Path]]


def a_network(kind: Kind, **options: Any) -> DetectorNetwork:
    """A network whose weights are drawn, and whose statistics are those of phantoms: its features are alive."""
    torch.manual_seed(KINDS.index(kind))
    small = {"size": 48, "levels": 2, "kind": kind, "threshold": 0.02, "image_threshold": 0.04}
    network = DetectorNetwork(DetectorSettings(**small | options))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    films = torch.from_numpy(prepared_phantoms(network.settings.size, 24))
    with torch.no_grad():
        network(films)
        statistics = network.eval().statistics(network.network.encode(films))
        network.novelty.fit([statistics[:14]], [statistics[14:]])
    return network


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """For each kind a network and its file; torch takes seconds for each."""
    folder, made = tmp_path_factory.mktemp("onnx"), {}
    for kind in KINDS:
        mirrored = kind == "discriminative"  # once is enough: torch takes twice the time for it
        network, path = a_network(kind, mirrored=mirrored).train(), folder / f"{kind}.onnx"
        export_onnx(network, path)
        assert network.network.training  # it stays as it is
        made[kind] = network.eval(), path
    return made


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[DetectorNetwork, Path, list[str]]:
    """A network with a pretrained encoder's layers, the file that the command made of it, and what it printed."""
    folder = tmp_path_factory.mktemp("exported")
    network = a_network("discriminative", encoder="efficientnet_lite0", size=96, levels=4, mirrored=False)
    network.save_pretrained(folder / "model")
    path, printed = folder / "detector.onnx", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["export", "--out", str(path), "--model", str(folder / "model")]) == 0
    return network, path, printed.getvalue().splitlines()


@pytest.fixture(scope="module")
def squares() -> Squares:
    """Radiographs as the small detectors see them."""
    return prepared_phantoms(48, 5)


@pytest.fixture(scope="module")
def films() -> list[Image]:
    """Radiographs of several sizes, one without lungs."""
    first, second = (Phantom(size=120)(seed, lesions=True).image for seed in (3, 4))
    return [first[:, 5:110], second, np.random.default_rng(0).random((60, 70), dtype=np.float32)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 3, 5])
def test_maps_are_torchs_for_any_batch(kind: Kind, count: int, networks: Networks, squares: Squares) -> None:
    network, path = networks[kind]
    ours = network.maps(squares[:count])
    theirs = OnnxNetwork(path, CPU, threads=1).maps(squares[:count])
    for one, other in zip(ours, theirs, strict=True):
        assert other.shape == one.shape
        np.testing.assert_allclose(one, other, atol=1e-4 if one.ndim > 1 else 1e-3, rtol=1e-4)
    assert theirs.heatmaps.std() > 1e-4
    assert theirs.novelties.shape == (count,)
    assert np.abs(theirs.novelties).min() > 1e-3
    assert (theirs.lungs.std() > 1e-4) == (kind != "reconstruction")
    assert (np.abs(theirs.reconstructions - squares[:count]).max() > 1e-3) == (kind != "segmentation")


@pytest.mark.parametrize("kind", KINDS)
def test_detections_are_torchs(kind: Kind, networks: Networks, films: list[Image]) -> None:
    network, path = networks[kind]
    detector, other = Detector(network), Detector.from_onnx(path, CPU)
    ours = detector(films)
    middle = float(np.median(ours[0].heatmap[ours[0].heatmap > 0]))
    detector.calibrate(middle, 0.1)
    other.calibrate(middle, 0.1)
    ours, theirs = detector(films), other(films)
    assert [each.lungs is None for each in theirs] == [False, False, True]
    for one, same in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.heatmap, same.heatmap, atol=1e-4)
        np.testing.assert_allclose(one.reconstruction, same.reconstruction, atol=1e-4)
        sure = np.abs(one.heatmap - middle) > 1e-4
        np.testing.assert_array_equal(one.mask[sure], same.mask[sure])
        assert one.score == pytest.approx(same.score, abs=1e-4)
        assert one.novelty == pytest.approx(same.novelty, abs=1e-3)
        assert (one.lungs is None) == (same.lungs is None)
    assert 0 < theirs[0].mask.mean() < 1
    detector.calibrate(0.02, 0.04)


WITHOUT_TORCH = """
import pickle, sys
for name in ("torch", "timm", "huggingface_hub", "lightning"):
    sys.modules[name] = None
from artasyn import Detector, Phantom
film = Phantom(size=120)(3, lesions=True).image
found = Detector.from_onnx(sys.argv[1], ["CPUExecutionProvider"], threads=1)(film)
pickle.dump((film, found.score, found.novelty, found.heatmap, found.mask, found.reconstruction), sys.stdout.buffer)
"""


def test_a_file_runs_where_there_is_no_torch(networks: Networks) -> None:
    network, path = networks["discriminative"]
    found = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(path)], cwd=ROOT, capture_output=True, timeout=300)
    assert found.returncode == 0, found.stderr.decode()
    film, score, novelty, heatmap, mask, reconstruction = pickle.loads(found.stdout)
    ours = Detector(network)(film)
    assert ours.lungs is not None
    np.testing.assert_allclose(heatmap, ours.heatmap, atol=1e-4)
    np.testing.assert_allclose(reconstruction, ours.reconstruction, atol=1e-4)
    assert (score, novelty) == pytest.approx((ours.score, ours.novelty), abs=1e-3)
    sure = np.abs(ours.heatmap - network.settings.threshold) > 1e-4
    np.testing.assert_array_equal(mask[sure], ours.mask[sure])
    assert heatmap.std() > 1e-4


def test_a_detector_of_a_file_is_calibrated_but_not_saved_as_a_model(networks: Networks, tmp_path: Path) -> None:
    detector = Detector.from_onnx(networks["segmentation"][1], CPU)
    detector.calibrate(0.3, 0.6)
    assert (detector.threshold, detector.image_threshold) == (0.3, 0.6)
    with pytest.raises(ModelError, match="copy the file"):
        detector.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_one_film_given_lungs_and_no_films(networks: Networks, films: list[Image]) -> None:
    network, path = networks["discriminative"]
    detector, other = Detector(network), Detector.from_onnx(path, CPU)
    labels = np.zeros(films[1].shape, np.uint8)
    labels[30:80, 20:50], labels[30:80, 60:100] = 1, 2
    lungs = Lungs.from_labels(labels)
    found = other(films[1], lungs)
    assert found.lungs is lungs
    np.testing.assert_allclose(found.heatmap, detector(films[1], lungs).heatmap, atol=1e-4)
    assert other(films[1], lungs, restrict_to_lungs=False).lungs is None
    assert other(films[1], lungs).lungs is lungs
    assert other([]) == []
    with pytest.raises(ImageError, match="image 0 must be float32"):
        other((255 * films[1]).astype(np.uint8))
    with pytest.raises(ImageError, match="lungs for 1"):
        other(films, [None])


def test_the_file_alone_holds_all_settings(networks: Networks) -> None:
    for kind, (network, path) in networks.items():
        found = Detector.from_onnx(path, CPU)
        assert found.settings == network.settings
        assert found.settings.kind == kind
        assert (found.threshold, found.image_threshold, found.settings.restrict_to_lungs) == (0.02, 0.04, True)
        stated = {each.key: each.value for each in onnx.load(path).metadata_props}
        assert stated["artasyn.license"] == '"MIT"'
        assert stated["artasyn.version"] == f'"{__version__}"'
    assert len({Detector.from_onnx(path, CPU).digest for _, path in networks.values()}) == 3


def test_the_file_is_valid_one_piece_and_says_nothing_of_this_machine(
    networks: Networks,
) -> None:
    path = networks["discriminative"][1]
    proto = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(proto, full_check=True)
    assert not any(onnx.external_data_helper.uses_external_data(each) for each in proto.graph.initializer)
    assert [each.name for each in path.parent.iterdir() if not each.name.endswith(".onnx")] == []
    content = path.read_bytes()
    for place in (ROOT, Path(sys.prefix)):
        assert str(place).encode() not in content
    assert b"stack_trace" not in content


@pytest.mark.slow
def test_a_pretrained_encoders_odd_maps_are_torchs(exported: tuple[DetectorNetwork, Path, list[str]]) -> None:
    network, path, _ = exported
    assert largest_difference(network, OnnxNetwork(path, CPU)) < 1e-4


def test_what_is_no_detector_is_named(networks: Networks, tmp_path: Path) -> None:
    path = networks["segmentation"][1]
    with pytest.raises(ModelError, match=r"nothing\.onnx: cannot be read"):
        Detector.from_onnx(tmp_path / "nothing.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"damaged\.onnx: cannot be loaded"):
        Detector.from_onnx(damaged)
    proto = onnx.load(path)
    settings = {each.key: each.value for each in proto.metadata_props}
    foreign = tmp_path / "foreign.onnx"
    for changed, message in (
        ({}, r"foreign\.onnx: is no detector of artasyn: there is no artasyn\.encoder"),
        (settings | {"artasyn.top": "much"}, "its artasyn.top is 'much'"),
        (settings | {"artasyn.kind": '"other"'}, "its artasyn.kind is 'other'; choose from discriminative"),
        (settings | {"artasyn.size": "64"}, "its images is"),
    ):
        onnx.helper.set_model_props(proto, changed)
        onnx.save(proto, foreign)
        with pytest.raises(ModelError, match=message):
            Detector.from_onnx(foreign)
    onnx.helper.set_model_props(proto, settings)
    proto.graph.output.pop()
    onnx.save(proto, foreign)
    with pytest.raises(ModelError, match="it makes reconstruction, heatmap, novelty of images"):
        Detector.from_onnx(foreign)
    with pytest.raises(ModelError, match="this onnxruntime has no AbacusExecutionProvider"):
        Detector.from_onnx(path, ["AbacusExecutionProvider"])


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_its_extra(
    missing: str, networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, path = networks["segmentation"]
    network.save_pretrained(tmp_path / "model")
    out = tmp_path / "out" / "detector.onnx"
    monkeypatch.setitem(sys.modules, missing, None)
    refused = pytest.raises(ArtasynError, match=rf"{missing} is not installed .*; pip install artasyn\[onnx\]")
    with refused:
        exporting.export(exporting.ExportOptions(out, model=str(tmp_path / "model")))
    with refused:
        Detector.from_onnx(path) if missing == "onnxruntime" else export_onnx(network, out)
    assert not out.parent.exists()


def test_an_old_torch_is_refused(networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.4.1+cpu")
    with pytest.raises(ArtasynError, match=r"export needs torch 2\.9 or newer, not 2\.4\.1"):
        export_onnx(networks["segmentation"][0], tmp_path / "detector.onnx")


def test_export_command_writes_a_file_that_detect_takes(
    exported: tuple[DetectorNetwork, Path, list[str]], phantoms: Path, tmp_path: Path
) -> None:
    _, model, printed = exported
    assert printed == [str(model)]
    film = str(min((phantoms / "test/diseased").iterdir()))
    heatmaps = {}
    for name, each in (("onnx", model), ("torch", model.with_name("model"))):
        out = tmp_path / name
        assert main(["detect", film, "--model", str(each), "--out", str(out), "--workers", "1", "--device", "cpu"]) == 0
        (row,) = read_manifest(out / "manifest.csv")
        heatmaps[name] = read_heatmap(out / row["heatmap"])
    np.testing.assert_allclose(heatmaps["onnx"], heatmaps["torch"], atol=1e-4)


def test_export_command_refuses_what_differs_and_leaves_nothing(
    networks: Networks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network, path = networks["discriminative"]
    network.save_pretrained(tmp_path / "model")

    def slightly_off(_: DetectorNetwork, out: Path) -> None:
        proto = onnx.load(path)
        bias = next(each for each in proto.graph.initializer if each.name.endswith("head.compare.1.bias"))
        bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(0.1), bias.name))
        onnx.save(proto, out)

    monkeypatch.setattr(exporting, "export_onnx", slightly_off)
    out = tmp_path / "out" / "detector.onnx"
    assert main(["export", "--out", str(out), "--model", str(tmp_path / "model")]) == 2
    assert "onnxruntime's maps differ from torch's by up to 0.0" in capsys.readouterr().err
    assert not list(out.parent.iterdir())
    assert main(["export", "--out", str(tmp_path / "detector"), "--model", str(tmp_path / "model")]) == 2
    assert "must end in .onnx" in capsys.readouterr().err


def test_help_tells_what_export_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as shown:
        main(["export", "--help-all"])
    assert shown.value.code == 0
    text = capsys.readouterr().out
    assert "Writes to OUT" in text
    assert "pip install artasyn[onnx]" in text
