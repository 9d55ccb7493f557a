"""Anomalies: what holds for every one of them, and each ingredient against a plain way of making it."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import math
import pkgutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import jaxtyping
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn import synthesis as package
from artasyn.arrays import LEFT, RIGHT, Image, LungLabels
from artasyn.errors import ArtasynError, ImageError, NothingShows, SynthesisError
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_mask, read_radiograph, write_image
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.segment.lungs import Lungs
from artasyn.synthesis import FINDINGS, Anomaly, LungOpacity, LungVolume, OpacityRecord, findings
from artasyn.synthesis.anomaly import expose
from artasyn.synthesis.noise import clouds, crystallised, hashed, lattice
from tests.catalogue import CATALOGUE
from tests.conftest import ROOT
from tests.synthesis.anomalies import WRONG, digest

Values = npt.NDArray[np.float64]

every = pytest.mark.parametrize(
    "synthesis",
    [pytest.param(kind(**arguments), id=f"{kind.__name__}-{n}") for n, (kind, arguments) in enumerate(CATALOGUE)],
)


@cache
def chest(size: int = 160, seed: int = 1) -> PhantomRadiograph:
    return Phantom(size=size)(seed)


def made(synthesis: LungOpacity, seed: int = 0, size: int = 160) -> Anomaly:
    film = chest(size)
    return synthesis(film.image, film.lungs, np.random.default_rng(seed))


def fine_detail(image: Image) -> Values:
    """What is finer than about two pixels."""
    return np.asarray(image.astype(np.float64) - cv2.GaussianBlur(image.astype(np.float64), (0, 0), 1.5))


def assert_exact(anomaly: Anomaly, normal: Image, lungs: Lungs, tolerance: float) -> None:
    """What holds for every anomaly on whatever radiograph."""
    image, mask, attenuation = anomaly.image, anomaly.mask, anomaly.attenuation
    assert image.shape == mask.shape == attenuation.shape == normal.shape
    assert [str(array.dtype) for array in (image, mask, attenuation)] == ["float32", "bool", "float32"]
    assert image.min() >= 0
    assert image.max() <= 1
    assert mask.any()
    assert not (mask & ~lungs.mask).any()
    assert ((image.view(np.uint32) != normal.view(np.uint32)) == mask).all()  # bit for bit
    assert ((attenuation >= np.float32(tolerance)) == mask).all()
    assert (attenuation == image - normal).all()
    assert not attenuation[~mask].any()
    assert set(anomaly.findings) == set(anomaly.record.findings)
    assert (np.logical_or.reduce(list(anomaly.findings.values())) == mask).all()


def public_kinds() -> set[type]:
    """Every public class of the package, wherever in it, that draws and renders."""
    modules = [package] + [
        importlib.import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__)
    ]
    return {
        value
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value) and not name.startswith("_") and value.__module__.startswith(package.__name__)
        if hasattr(value, "draw") and hasattr(value, "render")  # on one image; batches are in test_batch
        if value is not LungVolume  # moves the lungs: what holds for what is added does not hold for it
    }


def test_the_catalogue_is_complete() -> None:
    assert public_kinds() == {kind for kind, _ in CATALOGUE}
    assert {kind for kind, arguments in CATALOGUE if not arguments} == public_kinds()  # each as it comes
    alone = [arguments["findings"][0].name for _, arguments in CATALOGUE if len(arguments.get("findings", ())) == 1]
    assert alone == list(FINDINGS)  # every finding alone


# What holds for all of the catalogue.


@every
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_mask_is_exact_and_nothing_else_changes(synthesis: LungOpacity, seed: int) -> None:
    film = chest()
    assert_exact(made(synthesis, seed), film.image, film.lungs, synthesis.tolerance)


@every
def test_seeds_decide_everything(synthesis: LungOpacity) -> None:
    digests = [digest(made(synthesis, seed)) for seed in (5, 6, 7)]
    assert len(set(digests)) == 3
    assert digest(made(synthesis, 5)) == digests[0]
    assert made(synthesis, 5).record == made(synthesis, 5).record != made(synthesis, 6).record


@every
def test_records_replay_bit_for_bit(synthesis: LungOpacity) -> None:
    film, first = chest(), made(synthesis, 3)
    read = OpacityRecord.from_json(first.record.to_json())
    assert read == first.record
    assert digest(synthesis.render(film.image, film.lungs, read)) == digest(first)


REPLAY = """
import json, sys
import numpy as np
from artasyn.segment.lungs import Lungs
from artasyn.synthesis import OpacityRecord
from tests.catalogue import CATALOGUE
from tests.synthesis.anomalies import digest
film = np.load(sys.argv[1])
lungs = Lungs.from_labels(film["labels"])
records = json.loads(sys.stdin.read())
for (kind, arguments), record in zip(CATALOGUE, records, strict=True):
    anomaly = kind(**arguments).render(film["image"], lungs, OpacityRecord.from_json(record))
    sys.stdout.write(digest(anomaly) + chr(10))
"""


def test_records_replay_in_another_process(tmp_path: Path) -> None:
    film = chest()
    np.savez(tmp_path / "film.npz", image=film.image, labels=film.lungs.labels)
    anomalies = [made(kind(**arguments), 4) for kind, arguments in CATALOGUE]
    run = subprocess.run(
        [sys.executable, "-c", REPLAY, str(tmp_path / "film.npz")],
        input=json.dumps([anomaly.record.to_json() for anomaly in anomalies]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert run.stdout.split() == [digest(anomaly) for anomaly in anomalies]


@every
def test_neither_the_input_nor_global_generators_are_touched(synthesis: LungOpacity) -> None:
    film = chest()
    image, labels = film.image.copy(), film.lungs.labels.copy()
    before, torch_before = repr(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    synthesis(image, Lungs.from_labels(labels), np.random.default_rng(1))
    assert repr(np.random.get_state()) == before  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)  # Python's own: see USER, as beartype uses it
    assert (image == film.image).all()
    assert (labels == film.lungs.labels).all()


@every
def test_read_only_and_strided_inputs_give_the_same(synthesis: LungOpacity) -> None:
    film = chest()
    image = np.repeat(film.image, 2, axis=1)[:, ::2]
    labels = np.asfortranarray(film.lungs.labels)
    image.flags.writeable = labels.flags.writeable = False
    anomaly = synthesis(image, Lungs.from_labels(labels), np.random.default_rng(2))
    assert digest(anomaly) == digest(made(synthesis, 2))


@every
def test_the_mask_stays_exact_in_8_bits(synthesis: LungOpacity, tmp_path: Path) -> None:
    film, anomaly = chest(), made(synthesis, 8)
    write_image(tmp_path / "normal.png", film.image)
    write_image(tmp_path / "anomaly.png", anomaly.image)
    normal, image = read_radiograph(tmp_path / "normal.png"), read_radiograph(tmp_path / "anomaly.png")
    assert ((image != normal) == anomaly.mask).all()


@every
@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_one_lung_is_enough(synthesis: LungOpacity, side: int) -> None:
    film = chest()
    lungs = Lungs.from_labels(np.where(film.lungs.labels == side, film.lungs.labels, 0).astype(np.uint8))
    anomaly = synthesis(film.image, lungs, np.random.default_rng(1))
    assert_exact(anomaly, film.image, lungs, synthesis.tolerance)


@every
@pytest.mark.parametrize("shape", [(97, 97), (120, 160), (333, 301)])
def test_a_record_serves_the_same_lungs_at_any_size(synthesis: LungOpacity, shape: tuple[int, int]) -> None:
    film = chest(240)
    image = cv2.resize(film.image, shape[::-1], interpolation=cv2.INTER_AREA)
    lungs = film.lungs.resized(shape)
    anomaly = made(synthesis, 9, size=240)
    if shape[0] != shape[1]:  # on a film as wide as it is high, brushes are round: compare like with like
        tall = (shape[0] * 2, shape[1] * 2)
        other = cv2.resize(film.image, tall[::-1], interpolation=cv2.INTER_LINEAR)
        anomaly = synthesis.render(other, film.lungs.resized(tall), anomaly.record)
    resized = cv2.resize(anomaly.mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT) > 0
    found = synthesis.render(image, lungs, anomaly.record).mask
    if anomaly.record.findings == ("linear_atelectasis",):  # a thin line may lie a cell higher or lower
        middles = [np.array(np.nonzero(mask)).mean(axis=1) for mask in (found, resized)]
        assert np.abs(middles[0] - middles[1]).max() < max(shape) / 40
        assert 0.7 < found.sum() / resized.sum() < 1.4
        return
    rim = 1 - 6 / np.sqrt(resized.sum())  # of small opacities, much is rim
    assert dice(found, resized) >= min(0.9, rim)


@every
def test_texture_shows_through(synthesis: LungOpacity) -> None:
    film, kept = chest(240), []
    for seed in range(4):
        anomaly = made(synthesis, seed, size=240)
        before, after = (fine_detail(image)[anomaly.mask] for image in (film.image, anomaly.image))
        kept.append((after**2).sum() / (before**2).sum())
    fluid = any(finding.dependent for finding in synthesis.findings) and len(synthesis.findings) == 1
    most = 1.7 if synthesis.part == "lungs" else 1.9  # in a part of the lungs, much of an opacity is its rim
    if len(synthesis.findings) == 1 and synthesis.findings[0].name in ("linear_atelectasis", "cavity"):
        most = 4.0  # lines and walls are fine detail themselves
    assert (0.4 if fluid else 0.6) <= np.mean(kept) <= most  # nets and nodules add detail, dense fluids saturate


@every
def test_no_lungs_are_an_error(synthesis: LungOpacity) -> None:
    film = chest()
    nothing = Lungs.from_labels(np.zeros_like(film.lungs.labels))
    with pytest.raises(SynthesisError, match="no lungs"):
        synthesis.draw(nothing, np.random.default_rng(0))
    with pytest.raises(NothingShows):  # a record of other lungs
        synthesis.render(film.image, nothing, made(synthesis).record)


@every
def test_where_nothing_can_show_that_is_an_error(synthesis: LungOpacity) -> None:
    film = chest()
    white = np.maximum(film.image, film.lungs.mask.astype(np.float32))
    with pytest.raises(NothingShows, match="white"):
        synthesis(white, film.lungs, np.random.default_rng(0))


@every
def test_lungs_on_another_grid_are_refused(synthesis: LungOpacity) -> None:
    film, record = chest(), made(synthesis).record
    with pytest.raises(ImageError, match=r"lungs are \(80, 90\), the image is \(160, 160\)"):
        synthesis.render(film.image, film.lungs.resized((80, 90)), record)


@every
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_images_are_refused(synthesis: LungOpacity, wrong: str) -> None:
    film, record = chest(), made(synthesis).record
    with pytest.raises((ImageError, jaxtyping.TypeCheckError)):  # the latter only where tests check types
        synthesis.render(WRONG[wrong](film.image), film.lungs, record)


USER = """
import random, sys
import numpy as np
from artasyn.errors import ImageError
from artasyn.phantom.film import Phantom
from tests.catalogue import CATALOGUE
from tests.synthesis.anomalies import WRONG
film = Phantom(size=64)(1)
before = random.getstate()
for kind, arguments in CATALOGUE:
    synthesis = kind(**arguments)
    record = synthesis(film.image, film.lungs, np.random.default_rng(0)).record
    for name, spoil in WRONG.items():
        try:
            synthesis.render(spoil(film.image), film.lungs, record)
        except ImageError as error:
            sys.stdout.write(name + ": " + str(error) + chr(10))
sys.stdout.write("untouched: " + str(random.getstate() == before))
"""


def test_without_type_checks_the_library_itself_refuses_wrong_images_and_leaves_random_alone() -> None:
    """In a process whose types no one checks, as at the user's."""
    run = subprocess.run(
        [sys.executable, "-c", USER], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    *messages, generator = run.stdout.splitlines()
    assert generator == "untouched: True"
    assert [line.split(":")[0] for line in messages] == [*WRONG] * len(CATALOGUE)
    assert all(": image must " in line for line in messages)


# Drawing again.


def test_a_second_draw_is_made_where_the_first_does_not_show() -> None:
    """With one lung white and one lesion in one lung at a time, about every second draw is in vain."""
    film, synthesis = chest(), LungOpacity(findings("mass"))
    half = np.where(film.lungs.right, np.float32(1), film.image)
    vain = 0
    for seed in range(12):
        try:
            first = synthesis.draw(film.lungs, np.random.default_rng(seed))
            synthesis.render(half, film.lungs, first)
        except NothingShows:
            vain += 1
        anomaly = synthesis(half, film.lungs, np.random.default_rng(seed))
        assert not (anomaly.mask & film.lungs.right).any()
        assert_exact(anomaly, half, film.lungs, synthesis.tolerance)
    assert 2 <= vain <= 10


def test_denser_records_brighten_more() -> None:
    film, record = chest(), made(LungOpacity(findings("consolidation"))).record
    added = [
        LungOpacity()
        .render(film.image, film.lungs, replace(record, lesions=tuple(replace(k, severity=s) for k in record.lesions)))
        .attenuation.sum()
        for s in (0.1, 0.2, 0.4, 0.8)
    ]
    assert (np.diff(added) > 0).all()


def test_findings_cover_what_changed_and_are_where_they_alone_would_be() -> None:
    film = chest()
    synthesis = LungOpacity(findings("mass", "ground_glass_opacity", "pleural_effusion"), kinds_range=(3, 3))
    for seed in range(6):
        anomaly = made(synthesis, seed)
        assert (
            set(anomaly.findings)
            == {"mass", "ground_glass_opacity", "pleural_effusion"}
            == set(anomaly.record.findings)
        )
        assert (np.logical_or.reduce(list(anomaly.findings.values())) == anomaly.mask).all()
        for name, mask in anomaly.findings.items():
            alone = replace(anomaly.record, lesions=tuple(k for k in anomaly.record.lesions if k.finding == name))
            with contextlib.suppress(NothingShows):
                expected = synthesis.render(film.image, film.lungs, alone).mask
                assert (expected & ~mask).sum() <= 0.03 * expected.sum() + 8  # decided on the grid of the lesions


def test_what_cannot_be_drawn_is_refused() -> None:
    for arguments, message in (
        ({"findings": ()}, "no findings"),
        ({"kinds_range": (0, 1)}, "kinds_range"),
        ({"kinds_range": (3, 2)}, "kinds_range"),
        ({"tolerance": 0.0}, "tolerance"),
    ):
        with pytest.raises(SynthesisError, match=message):
            LungOpacity(**arguments)


# Records.


def lesion(**changes: Any) -> str:
    """A record of one lesion with some of its fields changed, as JSON."""
    fields = json.loads(GOLDEN)
    for name, value in changes.items():
        if value is None:
            del fields["lesions"][0][name]
        else:
            fields["lesions"][0][name] = value
    return json.dumps(fields)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "3",
        "[]",
        "{}",
        '{"lesions": []}',
        '{"lesions": 7, "tolerance": 0.01}',
        '{"lesions": [], "tolerance": 0}',
        '{"lesions": [], "tolerance": NaN}',
        '{"lesions": [{}], "tolerance": 0.01}',
        '{"lesions": [], "tolerance": 1' + 400 * "0" + "}",
    ],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(SynthesisError, match="not the record of a lung opacity") as caught:
        OpacityRecord.from_json(text)
    assert isinstance(caught.value, ArtasynError)


@pytest.mark.parametrize(
    "changes",
    [
        {"severity": 0},
        {"severity": 1.5},
        {"severity": math.nan},
        {"severity": None},
        {"seed": -1},
        {"seed": 2**32},
        {"seed": 1.5},
        {"seed": True},
        {"side": 0},
        {"side": 3},
        {"side": "right"},
        {"focus": [0.5]},
        {"focus": [0.5, math.inf]},
        {"stamps": []},
        {"stamps": [[0, 0, 0.1]]},
        {"stamps": [[0, 0, 0.1, 0]]},
        {"stamps": [[0, 0, 0.1, -1]]},
        {"stamps": [["a", 0, 0.1, 0.1]]},
        {"look": {}},
        {"look": {"edge": 0}},
        {"look": {"edge": 1, "texture": "wool"}},
        {"look": {"edge": 1, "colour": 1}},
        {"look": {"edge": 1, "irregularity": -0.1}},
        {"look": None},
    ],
)
def test_a_record_of_an_impossible_lesion_is_refused(changes: dict[str, Any]) -> None:
    OpacityRecord.from_json(lesion())
    with pytest.raises(SynthesisError, match="not the record of a lung opacity"):
        OpacityRecord.from_json(lesion(**changes))


def test_a_record_without_lesions_shows_nothing() -> None:
    film = chest()
    with pytest.raises(NothingShows):
        LungOpacity().render(film.image, film.lungs, OpacityRecord(()))


GOLDEN = """{"tolerance": 0.00392156862745098, "lesions": [
{"finding": "mass", "side": 1, "focus": [0.5, 0.5], "severity": 0.5, "seed": 20260,
 "stamps": [[0, 0, 0.2, 0.2], [0.1, 0.1, 0.1, 0.15]],
 "look": {"edge": 1.0, "solidity": 1.0, "irregularity": 0.1, "cloudiness": 0.1, "texture": "none", "share": 0,
          "reach": 0}},
{"finding": "consolidation", "side": 2, "focus": [0.7, 0.4], "severity": 0.8, "seed": 7,
 "stamps": [[0, 0, 0.25, 0.15]],
 "look": {"edge": 1.2, "solidity": 0, "irregularity": 0.5, "cloudiness": 0.1, "texture": "bronchi", "share": 0.4,
          "reach": 0.4}}]}"""


def test_a_stored_record_still_means_the_same() -> None:
    """What a record of version 0.1.0 looked like, to within what versions of OpenCV may differ by."""
    labels = np.zeros((128, 120), np.uint8)
    labels[24:100, 16:54], labels[24:100, 66:104] = RIGHT, LEFT
    image = np.where(labels > 0, np.float32(0.3), np.float32(0.7))
    anomaly = LungOpacity().render(image, Lungs.from_labels(labels), OpacityRecord.from_json(GOLDEN))
    rows, columns = np.nonzero(anomaly.mask)
    assert anomaly.mask.sum() == pytest.approx(1593, rel=0.02)
    assert anomaly.attenuation.sum() == pytest.approx(246.1, rel=0.02)
    assert (rows.mean(), columns.mean()) == (pytest.approx(68.9, abs=0.5), pytest.approx(55.3, abs=0.5))
    assert set(anomaly.findings) == {"mass", "consolidation"}
    assert not (anomaly.findings["mass"] & (labels == LEFT)).any()


# Exposing.


def test_exposing_by_hand() -> None:
    image = np.array([[0.0, 0.5, 0.5, 0.95, 1.0, 0.75]], np.float32)
    added = np.array([[0.25, 0.25, 0.05, 0.5, 0.5, 0.5]], np.float32)
    result, mask, attenuation = expose(image, added, tolerance=0.1)
    assert result.tolist() == np.array([[0.25, 0.75, 0.5, 0.95, 1.0, 1.0]], np.float32).tolist()
    assert mask.tolist() == [[True, True, False, False, False, True]]
    assert attenuation.tolist() == [[0.25, 0.25, 0, 0, 0, 0.25]]


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.floats(0.0009765625, 0.5, width=32))
@settings(max_examples=100, deadline=None)
def test_exposing_any_pixel(value: float, added: float, tolerance: float) -> None:
    image, more = np.full((1, 1), value, np.float32), np.full((1, 1), added, np.float32)
    result, mask, attenuation = expose(image, more, tolerance=tolerance)
    assert mask.item() == (result.item() != image.item()) == (attenuation.item() >= tolerance)
    assert attenuation.item() in (0, np.float32(result.item()) - np.float32(value))
    assert image.item() <= result.item() <= 1
    if added < tolerance - 1e-6:
        assert not mask.item()
    if min(added, 1 - value) > tolerance + 1e-6:
        assert result.item() == pytest.approx(min(1, value + added), abs=1e-6)


# Noise.


def finalised(seed: int, index: int) -> float:
    """MurmurHash3's 64-bit finaliser in whole numbers."""
    key = seed * 2**32 + index
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        key = (key ^ (key >> 33)) * multiplier % 2**64
    return ((key ^ (key >> 33)) >> 40) / 2**24


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**32 - 1), max_size=5))
@settings(max_examples=50, deadline=None)
def test_hashed_in_whole_numbers(seed: int, index: list[int]) -> None:
    assert hashed(seed, np.array(index, np.int64)).tolist() == [finalised(seed, i) for i in index]


def test_hashed_is_fixed_for_all_time() -> None:
    """Stored records replay only as long as these numbers stand."""
    expected = [0.9280595779418945, 0.39136171340942383, 0.6187887191772461]
    assert hashed(7, np.arange(3)).tolist() == expected
    assert hashed(12345, np.array(678)).tolist() == 0.09778141975402832
    assert hashed(2**32 - 1, np.array([[2**32 - 1]])).tolist() == [[0.3933936357498169]]
    for dtype in (np.uint8, np.int32, np.uint64):
        assert hashed(7, np.arange(3, dtype=dtype)).tolist() == expected


@pytest.mark.parametrize("seed", [0, 1, 77, 2**31, 2**32 - 1])
def test_hashed_is_uniform(seed: int) -> None:
    values = hashed(seed, np.arange(100_000))
    assert values.min() >= 0
    assert values.max() < 1
    for scale in (1, 256):  # the leading and the trailing bits
        counts = np.bincount((values * scale % 1 * 100).astype(int), minlength=100)
        assert 50 < ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-square, 99 degrees of freedom, p > 1e-4
    pairs = np.bincount((values[::2] * 10).astype(int) * 10 + (values[1::2] * 10).astype(int), minlength=100)
    assert 50 < ((pairs - 500) ** 2 / 500).sum() < 160


def test_streams_of_seeds_are_unrelated() -> None:
    seeds = [0, 1, 2, 3, 7919, 7920, 2**16, 2**31, 2**32 - 2, 2**32 - 1]
    streams = np.stack([hashed(seed, np.arange(1, 20_001)) for seed in seeds])
    streams = np.concatenate([streams, streams[:, ::-1][:2], np.roll(streams[:2], 1, axis=1)])
    related = np.corrcoef(streams) - np.eye(len(streams))
    assert np.abs(related).max() < 5 / np.sqrt(20_000)


def test_a_lattice_does_not_depend_on_its_size() -> None:
    large = lattice(3, (40, 70))
    for shape in ((1, 1), (40, 3), (7, 70), (12, 13)):
        assert (lattice(3, shape) == large[: shape[0], : shape[1]]).all()
    assert len(np.unique(large)) > 0.99 * large.size


@pytest.mark.parametrize("shape", [(64, 64), (150, 40), (33, 500), (3, 2), (1, 1)])
@pytest.mark.parametrize("coarsest", [1.0, 2.0, 7.3, 40.0])
def test_clouds_are_in_range(shape: tuple[int, int], coarsest: float) -> None:
    texture = clouds(shape, seed=4, coarsest=coarsest)
    assert texture.shape == shape
    assert texture.dtype == np.float32
    assert texture.min() >= 0
    assert texture.max() <= 1


def test_clouds_are_half_dense_on_average_and_vary() -> None:
    textures = np.stack([clouds((96, 96), seed=seed, coarsest=12.0) for seed in range(30)])
    assert textures.mean() == pytest.approx(0.5, abs=0.01)
    assert textures.mean(axis=0) == pytest.approx(0.5, abs=0.2)  # nowhere in particular
    assert (textures.std(axis=(1, 2)) > 0.08).all()
    assert np.abs(np.corrcoef(textures.reshape(30, -1)) - np.eye(30)).max() < 0.5


@pytest.mark.parametrize("coarsest", [4, 8])
def test_one_octave_goes_through_its_knots(coarsest: int) -> None:
    texture = clouds((41, 57), seed=6, coarsest=float(coarsest), octaves=1)
    knots = texture[::coarsest, ::coarsest]
    assert knots == pytest.approx(lattice(6, (20, 20))[1 : 1 + len(knots), 1 : 1 + knots.shape[1]], abs=1e-5)


@pytest.mark.parametrize("coarsest", [8, 16, 32])
def test_coarser_clouds_are_larger(coarsest: int) -> None:
    """Neighbours at a quarter of the coarsest distance are alike, at twice that distance unrelated."""
    around = np.stack([clouds((128, 128), seed=seed, coarsest=float(coarsest)) for seed in range(40)]) - 0.5
    for distance, low, high in ((coarsest // 4, 0.5, 1), (2 * coarsest, -0.1, 0.1)):
        alike = (around[..., :-distance] * around[..., distance:]).mean() / (around**2).mean()
        assert low < alike < high


def test_octaves_finer_than_two_pixels_are_left_out() -> None:
    assert (
        clouds((50, 50), seed=1, coarsest=7.0, octaves=9) == clouds((50, 50), seed=1, coarsest=7.0, octaves=2)
    ).all()
    assert (clouds((50, 50), seed=1, coarsest=7.0, octaves=1) != clouds((50, 50), seed=1, coarsest=7.0)).any()


# Cells.


@pytest.mark.parametrize(("shape", "cells"), [((12, 12), 4), ((17, 31), 20), ((40, 9), 7), ((30, 30), 1)])
@pytest.mark.parametrize("seed", [1, 2])
def test_cells_against_the_nearest_centre(shape: tuple[int, int], cells: int, seed: int) -> None:
    """Cells are read off where a map of random values is flat, and looked up centre by centre."""
    values = np.random.default_rng(seed).random(shape, np.float32)
    result = crystallised(values, seed=seed, cells=cells)
    level, cell = np.unique(result, return_inverse=True)
    cell = cell.reshape(shape)
    assert cells / 2 <= len(level) <= 2 * cells
    step = math.sqrt(shape[0] * shape[1] / cells)
    down, across = max(1, round(shape[0] / step)), max(1, round(shape[1] / step))
    place = lattice(seed, (down, 2 * across))
    centres = {
        (
            int((i + float(place[i, 2 * j])) * shape[0] / down),
            int((j + float(place[i, 2 * j + 1])) * shape[1] / across),
        )
        for i in range(down)
        for j in range(across)
    }
    assert len(level) == len(centres)
    owner = {int(cell[centre]): centre for centre in centres}
    assert len(owner) == len(centres)  # every centre lies in its own cell
    for pixel in np.ndindex(*shape):
        nearest = min(math.dist(pixel, centre) for centre in centres)
        assert math.dist(pixel, owner[int(cell[pixel])]) <= 1.05 * nearest + 1e-9  # a chamfer distance
    for number, mean in enumerate(level):
        assert mean == pytest.approx(values[cell == number].mean(), abs=1e-6)
    assert result.mean() == pytest.approx(values.mean(), abs=1e-6)


@pytest.mark.parametrize("cells", [1, 10, 500, 10_000])
def test_flat_maps_stay_flat_and_means_are_kept(cells: int) -> None:
    flat = np.full((35, 50), 0.3, np.float32)
    assert crystallised(flat, seed=3, cells=cells) == pytest.approx(flat, abs=1e-6)
    values = np.random.default_rng(0).random((35, 50), np.float32)
    result = crystallised(values, seed=3, cells=cells)
    assert result.mean() == pytest.approx(values.mean(), abs=1e-6)
    assert result.std() <= values.std() + 1e-6


def test_seeds_break_a_map_differently() -> None:
    values = np.random.default_rng(0).random((40, 40), np.float32)
    first, second = (crystallised(values, seed=seed, cells=30) for seed in (1, 2))
    assert (first != second).mean() > 0.9


# Any lungs on any radiograph.


@st.composite
def radiographs(draw: st.DrawFn) -> tuple[Image, LungLabels]:
    """A noisy film, and lungs as ellipses: one or two, large or a few pixels, some cut by the film's edge."""
    shape = draw(st.integers(64, 600)), draw(st.integers(64, 600))
    labels = np.zeros(shape, np.uint8)
    for side in draw(st.sampled_from([(RIGHT,), (LEFT,), (RIGHT, LEFT)])):
        centre = draw(st.integers(0, shape[1] - 1)), draw(st.integers(0, shape[0] - 1))
        radius = draw(st.one_of(st.integers(0, 3), st.integers(4, shape[0] // 2)))
        width = draw(st.integers(radius // 3, radius))
        cv2.ellipse(labels, centre, (width, radius), 0, 0, 360, side, cv2.FILLED)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    level = draw(st.floats(0.0, 0.5))
    image = np.clip(level + 0.1 * rng.random(shape, np.float32), 0, 1).astype(np.float32)
    return np.where(labels > 0, image, np.float32(0.8)), labels


@given(radiographs(), st.integers(0, 2**32 - 1), st.sampled_from(range(len(CATALOGUE))))
@settings(max_examples=40, deadline=None)
def test_any_lungs_on_any_radiograph(film: tuple[Image, LungLabels], seed: int, entry: int) -> None:
    image, lungs = film[0], Lungs.from_labels(film[1])
    kind, arguments = CATALOGUE[entry]
    synthesis = kind(**arguments)
    try:
        anomaly = synthesis(image, lungs, np.random.default_rng(seed))
    except NothingShows:
        assert is_sliver(lungs)
        return
    assert_exact(anomaly, image, lungs, synthesis.tolerance)
    again = synthesis.render(image, lungs, OpacityRecord.from_json(anomaly.record.to_json()))
    assert digest(again) == digest(anomaly)


@pytest.mark.parametrize("shape", [(64, 64), (65, 127), (2048, 2047), (333, 512), (1025, 771)])
@pytest.mark.parametrize("name", FINDINGS)
def test_every_finding_at_any_size(shape: tuple[int, int], name: str) -> None:
    film, synthesis = chest(240), LungOpacity(findings(name))
    image = np.clip(cv2.resize(film.image, shape[::-1], interpolation=cv2.INTER_LINEAR), 0, 1)
    lungs = film.lungs.resized(shape)
    anomaly = synthesis(image, lungs, np.random.default_rng(shape[0]))
    assert_exact(anomaly, image, lungs, synthesis.tolerance)


def is_sliver(lungs: Lungs) -> bool:
    """Whether a nodule may lie between the lungs' pixels, or one of the lungs is nowhere thick."""
    height = np.ptp(np.flatnonzero(lungs.mask.any(axis=1))) + 1
    radii = [
        cv2.distanceTransform(np.pad(side.astype(np.uint8), 1), cv2.DIST_L2, 5).max()
        for side in (lungs.right, lungs.left)
        if side.any()
    ]
    return bool(height < 40 or min(radii) <= max(3, height / 30))


# Real radiographs.


@pytest.mark.realdata
@pytest.mark.parametrize("number", [0, 7, 19, 42])
def test_on_real_radiographs(data: Path, number: int, tmp_path: Path) -> None:
    folder = data / "lung_masks" / "jsrt"
    masks = sorted((folder / "lungs").glob("*.png"))
    mask = masks[number % len(masks)]
    normal = read_radiograph(folder / "images" / f"{mask.stem}.jpg")
    lungs = Lungs.from_mask(read_mask(mask)).resized(normal.shape)
    assert lungs.found
    kept = []
    for seed, (kind, arguments) in enumerate(CATALOGUE):
        synthesis = kind(**arguments)
        anomaly = synthesis(normal, lungs, np.random.default_rng(seed))
        assert_exact(anomaly, normal, lungs, synthesis.tolerance)
        again = synthesis.render(normal, lungs, OpacityRecord.from_json(anomaly.record.to_json()))
        assert digest(again) == digest(anomaly)
        before, after = (fine_detail(image)[anomaly.mask] for image in (normal, anomaly.image))
        if arguments.get("findings") in (findings("ground_glass_opacity"), findings("consolidation")):
            kept.append((after**2).sum() / (before**2).sum())
        shape = normal.shape[0] // 2, normal.shape[1] // 2
        small = cv2.resize(normal, shape[::-1], interpolation=cv2.INTER_AREA)
        smaller = synthesis.render(small, lungs.resized(shape), anomaly.record).mask
        half = cv2.resize(anomaly.mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT) > 0
        if "linear_atelectasis" not in anomaly.record.findings:  # a thin line may lie a cell higher or lower
            assert dice(smaller, half) >= min(0.9, 1 - 5 / np.sqrt(half.sum()))
    assert 0.8 <= np.mean(kept) <= 1.5
    write_image(tmp_path / "normal.png", normal)
    write_image(tmp_path / "anomaly.png", anomaly.image)
    stored = [read_radiograph(tmp_path / name) for name in ("normal.png", "anomaly.png")]
    assert ((stored[0] != stored[1]) == anomaly.mask).all()
