"""Films beside what methods say of them: what is read, what ranks them, what is gathered and what is left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from artasyn.arrays import Heatmap, Image
from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.evaluation.evaluation import Evaluation
from artasyn.files.radiograph import read_labels, read_mask
from artasyn.segment import Lungs
from artasyn.testsets.layouts import find
from artasyn.testsets.measured import Measured, Scored, measure_film, rank_of, score_films
from artasyn.testsets.testset import TestFilm, TestSet

SHAPE = (4, 6)


def a_film(name: str = "a", *, diseased: bool = True, boxes: tuple[Box, ...] = ()) -> TestFilm:
    return TestFilm(Source(Path(f"{name}.png"), name), diseased, boxes=boxes)


def a_measured(film: TestFilm, **changes: object) -> Measured:
    lungs = np.ones(SHAPE, bool)
    heatmap = np.zeros(SHAPE, np.float32)
    heatmap[1, 1:4] = 0.8, 0.6, 0.2
    return dataclasses.replace(Measured.prior(film, SHAPE, lungs).by(0.7, heatmap), **changes)  # type: ignore[arg-type]


def bright(image: Image, lungs: Lungs) -> tuple[float, Heatmap]:
    """A method that says what it is given."""
    return float(lungs.mask.mean()), image


def test_a_film_is_measured_inside_its_true_lungs_and_the_prior_is_those(phantoms: Path) -> None:
    for film in find(phantoms).films:
        assert film.lungs is not None
        found = measure_film(film, {"bright": bright, "lungs alone": None})
        assert list(found) == ["bright", "lungs alone"]
        exact = read_labels(film.lungs) > 0
        for one in found.values():
            np.testing.assert_array_equal(one.lungs, exact)
            assert one.lesions is not None
            truth = phantoms / "ground_truth" / film.source.path.name
            np.testing.assert_array_equal(one.lesions, read_mask(truth) if film.diseased else np.zeros_like(exact))
        np.testing.assert_array_equal(found["lungs alone"].heatmap, exact.astype(np.float32))
        assert found["lungs alone"].score == 0
        assert found["bright"].heatmap.max() > 0.5
        without = measure_film(dataclasses.replace(film, lungs=None), {"bright": bright})["bright"]
        assert without.score == found["bright"].score == pytest.approx(without.lungs.mean())
        assert (without.lungs != exact).any()


def test_dice_pointing_and_score_by_hand() -> None:
    lesions = np.zeros(SHAPE, bool)
    lesions[1, 1:3] = lesions[2, 1:3] = True
    one = a_measured(a_film(boxes=((1.0, 0.0, 1.0, 2.0),)), lesions=lesions)
    assert one.quality("dice", 0.5) == 2 * 2 / (2 + 4)
    assert one.quality("dice", float(np.float32(0.6))) == 2 * 2 / (2 + 4)
    assert one.quality("dice", 0.7) == 2 * 1 / (1 + 4)
    assert one.quality("pointing", 0.5) == 1.0
    assert one.quality("score", 0.5) == 0.7
    elsewhere = a_measured(a_film(boxes=((2.0, 0.0, 1.0, 2.0),)))
    assert elsewhere.quality("pointing", 0.5) == 0.0
    assert elsewhere.quality("dice", 0.5) is None
    healthy = a_measured(a_film(diseased=False))
    assert [healthy.quality(rank, 0.5) for rank in ("dice", "pointing", "score")] == [None, None, None]


def test_what_a_set_is_ranked_by(phantoms: Path) -> None:
    plain, boxed = a_film("plain"), a_film("boxed", boxes=((0.0, 0.0, 2.0, 2.0),))
    assert rank_of(TestSet("folder", (plain,))) == "score"
    assert rank_of(TestSet("folder", (plain, boxed))) == "pointing"
    assert rank_of(find(phantoms)) == "dice"


def test_films_that_cannot_be_measured_are_left_out_of_every_method(phantoms: Path) -> None:
    test = find(phantoms)
    victim = test.films[1]

    def measure(film: TestFilm) -> dict[str, Measured]:
        if film is victim:
            raise DataError("damaged")
        return measure_film(film, {"bright": bright, "lungs alone": None})

    scored = {name: Scored(Evaluation(threshold=0.5), rank_of(test)) for name in ("bright", "lungs alone")}
    assert score_films(test.films, measure, scored) == [(victim, "damaged")]
    names = {film.source.name for film in test.films if film is not victim}
    for one in scored.values():
        assert one.scores.keys() == names
        assert one.quality.keys() == {f.source.name for f in test.films if f.diseased and f is not victim}
        assert one.evaluation.result(bootstrap=0).images == len(names)
    best = scored["lungs alone"].evaluation.result(bootstrap=0)
    assert best.dice.value == pytest.approx(np.mean(list(scored["lungs alone"].quality.values())))


def test_faults_of_a_method_are_no_faults_of_a_film(phantoms: Path) -> None:
    def broken(image: Image, lungs: Lungs) -> tuple[float, Heatmap]:
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        score_films(find(phantoms).films, lambda film: measure_film(film, {"broken": broken}), {})
