"""Rows of the open word, few films of new targets and their rivals, and the ladder of writers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY
from artasyn.segment.tokens import MaskCodec
from artasyn.segment.tokens.answers import LOCATIONS
from artasyn.segment.tokens.crops import box_of, in_bins
from artasyn.segment.tokens.decoder import TokenNetwork
from artasyn.segment.tokens.settings import TokenSettings
from artasyn.segment.tokens.writers import SmallWriter
from artasyn.stock.films import Films
from artasyn.stock.packed import Packed, Stock
from artasyn.stock.views import Patient
from benchmarks import few_shots, score_few_shots, tokens_tables, train_tokens
from benchmarks.few_shots import Learners, Shot, drawn, projected_shots
from benchmarks.token_films import TokenFilms, compose
from benchmarks.token_heads import Bank, blob, rough
from benchmarks.train_tokens import Rows, train
from benchmarks.train_without import KEPT_OUT, without
from tests.chest import chest

SIZE = 32
CODEC = MaskCodec.from_pretrained()


@pytest.fixture(scope="module")
def stock() -> Stock:
    patient = Patient.of(chest((8.0, 8.0, 8.0), length=330.0), "")
    views = tuple(
        Packed.of(dataclasses.replace(patient.seen(View(angle), 64)[0], patient=f"{angle}"))
        for angle in (0.0, 10.0, 70.0)
    )
    return Stock(views, np.full(3, 1 / 3))


@pytest.fixture(scope="module")
def films(stock: Stock) -> TokenFilms:
    made = [compose(stock, Films(), SIZE, CODEC, (0, number)) for number in range(6)]
    return TokenFilms(*(np.concatenate([getattr(f, n) for f in made]) for n in ("images", "tokens", "turns")))


@pytest.fixture(scope="module")
def anatomy() -> AnatomyNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AnatomyNetwork(AnatomySettings(encoder="test_efficientnet", size=SIZE, widths=(16, 16, 16))).eval()


@pytest.fixture(scope="module")
def bank(films: TokenFilms, anatomy: AnatomyNetwork) -> Bank:
    return Bank.learnt(films, anatomy, CODEC, 20, seed=0)


def shallow_of(anatomy: AnatomyNetwork, films: TokenFilms) -> torch.Tensor:
    return train_tokens.features(anatomy, films.images)[1]


def test_a_bank_learns_structures_that_films_show(films: TokenFilms, bank: Bank) -> None:
    assert 10 <= len(bank.layers) == len(bank.structures) <= 20
    assert {len(each) for each in bank.structures} == {1, 2}
    for chosen in bank.structures:
        assert (films.tokens[:, chosen, 0] >= 0).all(axis=1).any()


def test_open_rows_tell_the_mask_of_their_film(films: TokenFilms, anatomy: AnatomyNetwork, bank: Bank) -> None:
    shallow = shallow_of(anatomy, films)
    rows = bank.rows(films, np.arange(6), shallow, 5, np.random.default_rng(0))
    assert rows.film.tolist() == np.repeat(np.arange(6), 5).tolist()
    assert rows.maps.shape == (30, SIZE // 2, SIZE // 2)
    shown = rows.tokens[:, 0] >= 0
    assert shown.sum() > 15
    boxes = rows.tokens[shown][:, :LOCATIONS]
    assert (boxes[:, 2] > boxes[:, 0]).all()
    assert (boxes[:, 3] > boxes[:, 1]).all()
    given = rows.tokens[shown][:, LOCATIONS : 2 * LOCATIONS]
    assert np.abs(given - boxes).max() <= 1023 / (2 * SIZE) + 1  # a pixel of the masks beside, at most
    assert (given != boxes).any()
    again = bank.rows(films, np.arange(6), shallow, 5, np.random.default_rng(0))
    np.testing.assert_array_equal(again.tokens, rows.tokens)


def test_the_mask_of_tokens_is_the_one_that_was_written(films: TokenFilms, bank: Bank) -> None:
    lung = ANATOMY.index("lung_right")
    number = int(np.flatnonzero(films.tokens[:, lung, 0] >= 0)[0])
    mask = bank.mask(films.tokens[number], (lung,))
    box = box_of(mask)
    assert box is not None
    edges = films.tokens[number, lung, LOCATIONS : 2 * LOCATIONS]
    assert np.abs(np.array(in_bins(box, mask.shape)) - edges).max() <= 1023 / mask.shape[0] + 1
    assert not bank.mask(np.full_like(films.tokens[number], -1), (lung,)).any()


def test_rough_maps_are_like_their_blobs() -> None:
    sizes, likeness = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        mask = blob(rng, 128)
        sizes.append(mask.mean())
        if mask.mean() > 0.02:
            small = mask.reshape(32, 4, 32, 4).mean(axis=(1, 3)) >= 0.5
            likeness.append(dice(rough(rng, mask) >= 0.5, small))
    assert 0 < min(sizes) < 0.01 < 0.15 < max(sizes)
    assert 0.6 < np.median(likeness) < 0.97


def test_a_training_with_open_rows_goes_on(
    films: TokenFilms, anatomy: AnatomyNetwork, bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FILMS", 2), ("WORDS", 4), ("OPEN", 3), ("EVERY", 2), ("CHECKED", 1)):
        monkeypatch.setattr(train_tokens, name, value)
    settings = TokenSettings(
        anatomy=anatomy.digest, size=SIZE, features=(16, 16), maps=2, width=24, layers=1, heads=2, inner=16
    )
    network = train((films, films), anatomy, settings, tmp_path / "run", 2, 0, bank)
    assert train((films, films), anatomy, settings, tmp_path / "run", 2, 0, bank).digest == network.digest
    assert train((films, films), anatomy, settings, tmp_path / "closed", 2, 0).digest != network.digest
    with pytest.raises(DataError, match="belongs to another training"):
        train((films, films), anatomy, settings, tmp_path / "run", 2, 0)
    rows = Rows.drawn(films, ANATOMY, np.array([0, 1]), np.random.default_rng(0))
    rows = rows.opened(bank.rows(films, np.array([0, 1]), shallow_of(anatomy, films), 3, np.random.default_rng(1)), 88)
    assert rows.first is not None
    assert rows.word[-6:].tolist() == [88] * 6
    deep, shallow = train_tokens.features(anatomy, films.images[:2])
    given = deep, shallow, rows.film, rows.word, rows.given, rows.codes
    plain, opened = network(*given), network(*given, rows.first)
    assert torch.equal(plain[:-6], opened[:-6])
    assert not torch.equal(plain[-6:], opened[-6:])


def test_a_stock_without_the_heart_tells_all_else(stock: Stock) -> None:
    told = without(stock)
    for before, after in zip(stock.views, told.views, strict=True):
        lost = {ANATOMY[place] for place in np.flatnonzero(before.known & ~after.known)}
        assert lost <= set(KEPT_OUT)
        assert "heart" in lost
        assert after.known.sum() == before.known.sum() - len(lost)


def test_draws_take_as_many_patients_and_are_repeatable(stock: Stock) -> None:
    empty = np.zeros((4, 4), np.float32), np.zeros((4, 4), bool)
    shots = [Shot(*empty, patient) for patient in "aabbcde"]
    for count in (1, 3, 50):
        found = [shot.patient for shot in drawn(shots, list("abcd"), count, 3)]
        assert len(set(found)) == len(found) == min(count, 4)
        assert found == [shot.patient for shot in drawn(shots, list("abcd"), count, 3)]
        assert "e" not in found
    projections = projected_shots(stock, "heart", 5, 0)
    assert sorted(shot.patient for shot in projections) == ["0.0", "10.0"]  # 70 degrees is no frontal film
    assert all(shot.mask.any() and shot.image.shape == shot.mask.shape for shot in projections)


def test_all_learners_learn_a_dark_square(anatomy: AnatomyNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artasyn.segment.tokens.learning.COPIES", 8)
    monkeypatch.setattr(few_shots, "WHOLE_STEPS", 80)
    rng = np.random.default_rng(0)
    shots = []
    for number in range(6):
        image = rng.uniform(0.6, 0.9, (64, 64)).astype(np.float32)
        mask = np.zeros((64, 64), bool)
        top, left = rng.integers(4, 30, 2)
        mask[top : top + 28, left : left + 28] = True
        image[mask] *= 0.2
        shots.append(Shot(image, mask, str(number)))
    settings = TokenSettings(
        anatomy=anatomy.digest, size=SIZE, features=(16, 16), maps=2, width=24, layers=1, heads=2, inner=16
    )
    learners = Learners(SmallWriter(TokenNetwork(settings).eval(), anatomy), CODEC)
    before = anatomy.digest
    for way in ("head", "all", "scratch"):
        assert score_few_shots.scored(getattr(learners, way)(shots[:5], 0), shots[5:]) > 0.5, way
    learnt = learners.word(shots[:5], 0)(shots[5].image)  # an untrained decoder writes anything, but on this grid
    assert learnt.shape == shots[5].mask.shape
    assert anatomy.digest == before


def test_tables_and_picture_hold_what_was_measured(tmp_path: Path) -> None:
    shots = {count: {way: [0.5, 0.6] for way in score_few_shots.WAYS} for count in ("1", "5", "50")}
    shots["5"]["word"] = [0.7, 0.9]
    of: dict[str, Any] = {
        "tests": 9,
        "shots": shots,
        "films": {"1": 1, "5": 5, "50": 20},
        "detector": 0.4,
        "lungs": 0.3,
    }
    result = {"targets": {"opacity": of, "heart": of | {"films": {"1": 1, "5": 5, "50": 50}}}}
    table = tokens_tables.tokens_few_shots(result)
    assert {row.count("|") for row in table} == {8}
    assert any("| 5 | 0.800 (0.70 to 0.90) | 0.550 (0.50 to 0.60)" in row and row.endswith("+0.250 |") for row in table)
    score_few_shots.picture(result["targets"], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000
    rung = {"size": 128, "weights": {"layers": 1_800_000, "all": 2_800_000}} | dict.fromkeys(
        ("frontal", "all angles", "ribs", "JSRT lungs", "JSRT heart", "wingspan lungs", "wingspan heart"), 0.5
    )
    ladder = tokens_tables.tokens_ladder({"rungs": {"2 M": rung}})
    assert ladder[-1].startswith("| 2 M, 128 pixels | 1.8 M, 2.8 M | 0.500 ")
