"""Films, training and figures of the writer of masks, on a small patient."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artasyn.errors import DataError
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY
from artasyn.segment.tokens import MaskCodec, TokenSegmenter
from artasyn.segment.tokens.decoder import CODE, END, VIEW, VOCABULARY
from artasyn.segment.tokens.settings import TokenSettings
from artasyn.stock.films import Films
from artasyn.stock.packed import Packed, Stock
from artasyn.stock.views import Patient
from benchmarks import token_films, token_model, tokens_tables, train_tokens
from benchmarks.token_films import ABSENT, UNKNOWN, TokenFilms, pooled
from benchmarks.train_tokens import WORDS, Rows, loss_of, train, view_of
from tests.chest import chest

SIZE = 32


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> TokenFilms:
    """Films of one chest of ellipsoids from two sides."""
    patient = Patient.of(chest((8.0, 8.0, 8.0), length=330.0), "")
    views = tuple(
        Packed.of(dataclasses.replace(patient.seen(View(angle), 64)[0], patient=f"{angle}")) for angle in (0.0, 70.0)
    )
    stock, codec = Stock(views, np.full(2, 0.5)), MaskCodec.from_pretrained()
    folder = tmp_path_factory.mktemp("films")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_films, "SHARD", 4)
        made = pooled(stock, Films(), SIZE, codec, 8, (0, 0), folder)
        patch.setattr(token_films, "compose", lambda *given: pytest.fail("made again"))
        again = pooled(stock, Films(), SIZE, codec, 8, (0, 0), folder)
        np.testing.assert_array_equal(again.tokens, made.tokens)
    return made


def test_films_hold_the_tokens_of_what_they_show(films: TokenFilms) -> None:
    assert films.images.shape == (8, SIZE, SIZE)
    assert films.tokens.shape == (8, len(ANATOMY), 24)
    first = films.tokens[..., 0]
    assert (first == UNKNOWN).any()
    lungs = films.tokens[:, ANATOMY.index("lung_right")]
    shown = lungs[lungs[:, 0] >= 0]
    assert len(shown) >= 6
    assert (shown[:, 2] > shown[:, 0]).all()
    assert (shown[:, 3] > shown[:, 1]).all()
    assert (abs(shown[:, :4] - shown[:, 4:8]) <= 1023 / SIZE + 1).all()  # a pixel beside, at most
    assert ((shown[:, 8:] >= 0) & (shown[:, 8:] < 128)).all()


def test_rows_ask_for_what_is_known(films: TokenFilms) -> None:
    rows = Rows.drawn(films, ANATOMY, np.array([0, 3]), np.random.default_rng(0))
    assert rows.film.tolist() == [0] * (WORDS + 1) + [1] * (WORDS + 1)
    asked = rows.word[rows.view < 0]
    known = films.tokens[[0, 3]][:, :, 0] != UNKNOWN
    assert all(known[film, word] for film, word in zip(rows.film[rows.view < 0], asked, strict=True))
    assert rows.word[rows.view >= 0].tolist() == [len(ANATOMY)] * 2


@pytest.mark.parametrize(("angle", "view"), [(0, 0), (180, 0), (-29, 0), (45, 1), (150, 1), (90, 2), (-100, 2)])
def test_views_by_their_turn(angle: float, view: int) -> None:
    turn = np.radians(angle)
    assert view_of(np.array([np.sin(turn), np.cos(turn)], np.float32)) == view


def test_the_loss_is_least_at_the_truth(films: TokenFilms) -> None:
    rows = Rows.drawn(films, ANATOMY, np.arange(8), np.random.default_rng(1))
    logits = torch.zeros(len(rows.film), 20, VOCABULARY)
    for row in range(len(rows.film)):
        if rows.view[row] >= 0:
            logits[row, 0, VIEW + rows.view[row]] = 20
        elif rows.boxes[row, 0] == ABSENT:
            logits[row, 0, END] = 20
        else:
            bins = torch.arange(1024)
            logits[row, range(4), :1024] = -(((rows.boxes[row][:, None] - bins) / train_tokens.BELL) ** 2) / 2
            logits[row, 0, END] = -20
            logits[row, range(4, 20), CODE + rows.codes[row]] = 20
    exact, none = loss_of(logits, rows), loss_of(torch.zeros_like(logits), rows)
    for name in ("edges", "codes", "view"):
        assert exact[name] < 0.6 * none[name]


def test_a_training_learns_and_goes_on_where_it_was_cut_off(
    films: TokenFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FILMS", 2), ("WORDS", 4), ("EVERY", 3), ("CHECKED", 1)):
        monkeypatch.setattr(train_tokens, name, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        anatomy = AnatomyNetwork(AnatomySettings(encoder="test_efficientnet", size=SIZE, widths=(16, 16, 16))).eval()
    settings = TokenSettings(
        anatomy=anatomy.digest, size=SIZE, features=(16, 16), maps=1, width=24, layers=1, heads=2, inner=16
    )
    whole = train((films, films), anatomy, settings, tmp_path / "whole", 6, seed=0)
    real_loss, calls = train_tokens.loss_of, []

    def failing(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:  # one call at the checkpoint
            raise KeyboardInterrupt
        return real_loss(*given)

    monkeypatch.setattr(train_tokens, "loss_of", failing)
    with pytest.raises(KeyboardInterrupt):
        train((films, films), anatomy, settings, tmp_path / "cut", 6, seed=0)
    again = train((films, films), anatomy, settings, tmp_path / "cut", 6, seed=0)
    assert again.digest == whole.digest
    with pytest.raises(DataError, match="belongs to another training"):
        train((films, films), anatomy, settings, tmp_path / "cut", 7, seed=0)
    whole.save_pretrained(tmp_path / "model")
    anatomy.half().float().save_pretrained(tmp_path / "anatomy")
    with pytest.raises(Exception, match="belongs to another anatomy network"):
        TokenSegmenter.from_pretrained(tmp_path / "model")


def test_figures_weigh_structures_alike_and_keep_views_apart() -> None:
    def values(ours: float, theirs: float) -> dict[str, float]:
        silent = {"silent": 0.0, "network silent": 0.0}
        return {"writer": ours, "network": theirs, "box": ours, "network box": theirs} | silent

    rows = [
        ("phantom_0", 0.0, "heart", values(0.9, 1.0)),
        ("phantom_0", 90.0, "heart", values(0.5, 0.8)),
        ("icrp_AM", 180.0, "spine", values(0.7, 0.7)),
        ("phantom_0", 0.0, "rib_right_3", values(0.2, 0.4)),
    ]
    found = token_model.means(rows)
    assert found["means"]["without ribs"]["writer"] == pytest.approx(0.7)
    assert found["means"]["without ribs, frontal"]["writer"] == pytest.approx(0.8)
    assert found["means"]["without ribs, frontal, icrp"]["network"] == pytest.approx(0.7)
    assert found["means"]["single ribs"]["masks"] == 1
    each = dict.fromkeys(token_model.KEPT, 0.9)
    result = {
        "projections": found,
        "real": {"JSRT": {"films": 2, "writer": each, "network": each}},
        "absent": {"structures": 3, "writer": 0.5, "network": 1.0},
        "answers": {"asked": 8, "well-formed": 1.0}, "captions": {"boxes": 5, "named": 0.5, "chance": 0.01},
        "views": {"films": 3, "told": 0.9, "names": ["frontal"]}, "seconds": {"films": 4, "processor": 0.1},
    }  # fmt: skip
    table = tokens_tables.tokens_model(result)
    assert {row.count("|") for row in table} == {6}
    assert "| frontal: `heart` | 1 | 0.900 | 1.000 | -0.100 |" in table
    assert {row.count("|") for row in tokens_tables.tokens_model_tasks(result)} == {4}


def test_boxes_overlap() -> None:
    one, two = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    one[:4, :4], two[2:6, :4] = True, True
    assert token_model.box_overlap(one, two) == pytest.approx(8 / 24)
    assert token_model.box_overlap(one, one) == 1.0
    assert token_model.box_overlap(one, np.zeros((10, 10), bool)) == 0.0
