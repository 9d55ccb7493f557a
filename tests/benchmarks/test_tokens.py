"""Shapes, training and figures of masks as words, on small patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artasyn.arrays import Mask, generator
from artasyn.errors import DataError
from artasyn.segment.structures import ANATOMY
from artasyn.segment.tokens.answers import CODES
from artasyn.segment.tokens.crops import box_of
from artasyn.segment.tokens.mask_autoencoder import MaskAutoencoder
from benchmarks import mask_shapes, score_tokens, tokens_tables, train_tokens_codec
from benchmarks.mask_shapes import LEAST, UNIONS, ShapePlan, make_pool, project_shapes, shapes_of, warped
from benchmarks.train_tokens_codec import Codebook, loss_of, train


def triangle() -> Mask:
    return np.tri(60, 40, dtype=bool)


def test_shapes_are_known_channels_and_complete_groups_of_some_size() -> None:
    masks = np.zeros((len(ANATOMY), 20, 20), bool)
    for name, rows in (("lung_right", 5), ("lung_left", 4), ("heart", 1), ("clavicula_right", 8), ("liver", 9)):
        masks[ANATOMY.index(name), :rows] = True
    masks[ANATOMY.index("lung_left"), 10:15] = True
    known = np.asarray(masks.any(axis=(1, 2)))
    known[ANATOMY.index("liver")] = False
    found = shapes_of(masks, known)
    assert set(found) == {"lung_right", "lung_left", "clavicula_right", "lungs"}  # a heart of 20 pixels is too small
    assert np.count_nonzero(masks[ANATOMY.index("heart")]) < LEAST
    np.testing.assert_array_equal(found["lungs"], found["lung_right"] | found["lung_left"])
    assert all(set(members) <= set(ANATOMY) for members in UNIONS.values())


def test_a_warped_shape_is_another_one_of_about_its_kind() -> None:
    found = [warped(triangle(), np.random.default_rng(seed)) for seed in range(40)]
    shares = [np.count_nonzero(each) / np.prod(np.ptp(np.argwhere(each), axis=0) + 1) for each in found]
    assert len({each.tobytes() for each in found}) == 40
    assert 0.3 < np.quantile(shares, 0.1) < np.quantile(shares, 0.9) < 0.9  # the triangle fills 0.66 of its box
    np.testing.assert_array_equal(warped(triangle(), np.random.default_rng(3)), found[3])


def test_a_pool_is_drawn_from_its_seed() -> None:
    shapes = {"heart": [triangle()], "liver": [~triangle()]}
    pool = make_pool(shapes, 12, seed=1)
    np.testing.assert_array_equal(make_pool(shapes, 12, seed=1), pool)
    assert not np.array_equal(make_pool(shapes, 12, seed=2), pool)
    plain = make_pool(shapes, 12, seed=1, plain=1.0)
    assert len(np.unique(plain.reshape(12, -1), axis=0)) == 2
    assert np.isclose(plain.mean() / 255, 0.5, atol=0.2)


def test_projected_shapes_are_kept_by_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ShapePlan(phantoms=1, variants=0, frontal=1, around=0, size=64)
    made = project_shapes(plan, tmp_path, tmp_path / "shapes")
    assert {"lung_right", "lungs", "spine", "ribs_left"} <= set(made)
    monkeypatch.setattr(mask_shapes, "_patient_shapes", lambda *given: pytest.fail("made again"))
    again = project_shapes(plan, tmp_path, tmp_path / "shapes")
    for name, masks in made.items():
        box = box_of(masks[0])
        assert box == (0, 0, *masks[0].shape)  # cropped
        np.testing.assert_array_equal(again[name][0], masks[0])


def test_a_codebook_finds_clusters_and_replaces_dead_codes() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CODES, 3)).astype(np.float32) * 10
    vectors = torch.from_numpy(np.repeat(centres, 8, axis=0) + rng.normal(0, 1e-3, (CODES * 8, 3)).astype(np.float32))
    book = Codebook.clustered(vectors, seed=0, rounds=30)
    apart = torch.cdist(vectors, book.means).min(dim=1).values
    assert apart.median() < 0.01
    book.sums[5], book.counts[5] = 1e6, 1e-9
    book.follow(vectors, torch.cdist(vectors, book.means).argmin(dim=1), rng)
    assert torch.cdist(vectors, book.means[5:6]).min() < 0.1


def test_the_loss_is_least_at_the_truth() -> None:
    crops = torch.from_numpy(make_pool({"heart": [triangle()]}, 3, seed=0))[:, None].float() / 255
    exact = loss_of(torch.logit(crops, eps=1e-3), crops)
    for wrong in (torch.zeros_like(crops), torch.logit(1 - crops, eps=1e-3), torch.logit(crops.roll(2, 2), eps=1e-3)):
        assert loss_of(wrong, crops) > exact + 0.01


def test_a_training_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_tokens_codec, "WITHOUT", 2)
    monkeypatch.setattr(train_tokens_codec, "EVERY", 3)
    monkeypatch.setattr(train_tokens_codec, "BATCH", 8)
    pool = make_pool({"heart": [triangle()], "liver": [~triangle()]}, 40, seed=0)
    whole = train(pool, pool, 4, tmp_path / "whole", 6, seed=0)
    real_step, calls = train_tokens_codec.step, []

    def failing(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real_step(*given)

    monkeypatch.setattr(train_tokens_codec, "step", failing)
    with pytest.raises(KeyboardInterrupt):
        train(pool, pool, 4, tmp_path / "cut", 6, seed=0)
    again = train(pool, pool, 4, tmp_path / "cut", 6, seed=0)
    assert len(calls) == 5 + 3  # steps 4 to 6
    assert again.digest == whole.digest
    with pytest.raises(DataError, match=r"belongs to another training \(\[4, 6, 0, 40\], not \[4, 7, 0, 40\]\)"):
        train(pool, pool, 4, tmp_path / "cut", 7, seed=0)


def test_figures_weigh_structures_alike_and_keep_ribs_apart() -> None:
    rows = [
        ("phantom_0", "heart", {"16": 0.9, "crop": 1.0}),
        ("icrp_AM", "heart", {"16": 0.7, "crop": 1.0}),
        ("phantom_0", "spine", {"16": 1.0, "crop": 1.0}),
        ("phantom_0", "rib_right_3", {"16": 0.4, "crop": 0.9}),
        ("phantom_0", "ribs", {"16": 0.2, "crop": 0.9}),
    ]
    means = score_tokens.projected(rows)["means"]
    assert means["without ribs"] == pytest.approx({"structures": 2, "masks": 3, "16": 0.9, "crop": 1.0})
    assert means["single ribs"]["16"] == 0.4
    assert means["cages of ribs"]["16"] == 0.2
    assert means["without ribs, icrp"]["16"] == 0.7
    real = score_tokens.real([("JSRT", "heart", {"16": value}) for value in (0.8, 0.9, 1.0)])
    assert real["JSRT"]["heart"]["16"] == pytest.approx(0.9)
    assert 0.8 <= real["JSRT"]["heart"]["16, tenth"] < 0.9


def test_round_trips_are_compared_with_their_own_mask() -> None:
    masks = {"heart": np.pad(triangle(), 5), "liver": np.pad(~triangle(), 5)}
    films = [("phantom_0", masks), ("phantom_1", {})]
    trips: dict[str, score_tokens.RoundTrip] = {
        "crop": score_tokens.through_crop,
        "same": list,
        "swapped": lambda given: list(given)[::-1],
    }
    rows = list(score_tokens.rows_of(films, trips))
    assert [(name, structure) for name, structure, _ in rows] == [("phantom_0", "heart"), ("phantom_0", "liver")]
    for _, _, values in rows:
        assert values == {"crop": 1.0, "same": 1.0, "swapped": 0.0}


def test_the_table_has_a_cell_for_every_column() -> None:
    each = {"masks": 3, "16": 0.9, "64": 0.95, "crop": 1.0}
    result = {
        "projections": {
            "means": dict.fromkeys(tokens_tables.LABELS, {"structures": 2} | each), "structures": {"heart": each},
        },
        "real": {"JSRT": {"lungs": each}},
    }  # fmt: skip
    rows = tokens_tables.tokens_codec(result)
    assert {row.count("|") for row in rows} == {6}
    assert "| `heart` | 3 | 0.900 | 0.950 | 1.000 |" in rows
    assert rows[-1] == "| **JSRT**, drawn by readers: lungs | 3 | 0.900 | 0.950 | 1.000 |"


def test_a_training_step_moves_the_codebook() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MaskAutoencoder().train()
    pool, rng = make_pool({"heart": [triangle()]}, 8, seed=0), generator(0)
    book = Codebook.clustered(train_tokens_codec.vectors_of(network, pool, rng, 2), 0)
    network.codebook.copy_(book.means)
    before = network.codebook.clone()
    loss = train_tokens_codec.step(network, book, train_tokens_codec.batch_of(pool, rng), rng)
    loss.backward()  # type: ignore[no-untyped-call]
    assert not torch.equal(network.codebook, before)
    assert all(weight.grad is not None for weight in network.parameters())
