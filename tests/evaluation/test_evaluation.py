"""Metrics against scikit-learn, torchmetrics, plain loops and cases worked out by hand."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_f1_score

from artasyn.arrays import Heatmap, Mask
from artasyn.errors import DataError, ImageError
from artasyn.evaluation import evaluation as module
from artasyn.evaluation.bootstrap import resample_weights
from artasyn.evaluation.boxes import Box, inside_boxes, pointing
from artasyn.evaluation.curves import average_precision
from artasyn.evaluation.evaluation import Evaluation, Interval, Metrics, anatomy_prior
from artasyn.evaluation.levels import level_thresholds, quantise

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Film:
    """One radiograph as `Evaluation.add` takes it."""

    score: float
    diseased: bool
    heatmap: Heatmap
    lesions: Mask
    lungs: Mask
    boxes: tuple[Box, ...] = ()


def draw(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Heatmap:
    heatmap = {
        "random": rng.random(shape),
        "tied": rng.integers(0, 9, shape) / 8,
        "binary": rng.integers(0, 2, shape) / 1,
        "zero": np.zeros(shape),
        "one": np.ones(shape),
        "low": 0.1 * rng.random(shape) ** 3,
        "saturated": 1 / (1 + np.exp(-8 * rng.normal(size=shape))),
    }[kind]
    return heatmap.astype(np.float32)


def films(kind: str, seed: int = 0, count: int = 7) -> list[Film]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        rows, columns = rng.integers(6, 15, 2).tolist()
        diseased = number % 2 == 1
        lesions = (rng.random((rows, columns)) < 0.2) & diseased
        lesions[2, 2] = diseased
        lungs = rng.random((rows, columns)) < 0.5
        lungs[2, 2:4] = True
        heatmap = draw(kind, (rows, columns), rng)
        score, boxes = rng.integers(0, 5) / 4 + 0.5 * diseased, ((1.0, 2.0, 3.0 + number % 4, 5.0),) * diseased
        made.append(Film(score, diseased, heatmap, lesions, lungs, boxes))
    return made


def evaluation(of: list[Film], threshold: float | None = 0.5, image_threshold: float | None = 0.75) -> Evaluation:
    made = Evaluation(threshold=threshold, image_threshold=image_threshold)
    for number, film in enumerate(of):
        made.add(
            str(number),
            film.score,
            diseased=film.diseased,
            heatmap=film.heatmap,
            lesions=film.lesions,
            lungs=film.lungs,
            boxes=film.boxes,
        )
    return made


def evaluate(of: list[Film], bootstrap: int = 0, seed: int = 0, threshold: float | None = 0.5) -> Metrics:
    return evaluation(of, threshold).result(bootstrap=bootstrap, seed=seed)


def pooled(of: list[Film], lungs: bool = False) -> tuple[npt.NDArray[np.bool_], Values]:
    insides = [film.lungs if lungs else np.ones_like(film.lungs) for film in of]
    truth = np.concatenate([film.lesions[inside] for film, inside in zip(of, insides, strict=True)])
    values = np.concatenate([film.heatmap[inside] for film, inside in zip(of, insides, strict=True)])
    return truth, values.astype(np.float64)


def naive_aupro(of: list[Film], limit: float = 0.3) -> float:
    """By the definition: every threshold, every region, one after the other."""
    healthy = sum((~film.lesions).sum() for film in of)
    regions = []
    for film in of:
        labels = label(film.lesions, connectivity=2)  # type: ignore[no-untyped-call]
        regions += [film.heatmap[labels == region] for region in range(1, labels.max() + 1)]
    points = [(0.0, 0.0)]
    for threshold in sorted({float(v) for film in of for v in film.heatmap.ravel()}, reverse=True):
        alarms = sum(((film.heatmap >= threshold) & ~film.lesions).sum() for film in of)
        points.append((alarms / healthy, float(np.mean([(region >= threshold).mean() for region in regions]))))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def dice(prediction: Mask, truth: Mask) -> float:
    return binary_f1_score(torch.from_numpy(prediction).int(), torch.from_numpy(truth).int()).item()


def naive_pointing(film: Film) -> float:
    """Every pixel one after the other."""
    hits = []
    for (row, column), value in np.ndenumerate(film.heatmap):
        if value == film.heatmap.max():
            inside = [r <= row < r + h and c <= column < c + w for r, c, h, w in film.boxes]  # of whole pixels
            hits.append(any(inside))
    return sum(hits) / len(hits)


def mean_dice(of: list[Film], threshold: float) -> float:
    return float(np.mean([dice(f.heatmap >= np.float32(threshold), f.lesions) for f in of if f.lesions.any()]))


EXACT = ["tied", "binary", "zero", "one"]  # nothing is lost by quantising
KINDS = [*EXACT, "random", "low", "saturated"]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_as_scikit_learn_and_torchmetrics_without_quantising(kind: str, seed: int) -> None:
    of = films(kind, seed)
    found = evaluate(of)
    assert found.pixel_auroc_error <= (0 if kind in EXACT else 0.002)
    assert found.pixel_ap_error <= (0 if kind in EXACT else 0.05)
    for lungs, auroc, ap, base in (
        (False, found.pixel_auroc, found.pixel_ap, found.pixel_base_rate),
        (True, found.pixel_auroc_in_lungs, found.pixel_ap_in_lungs, found.pixel_base_rate_in_lungs),
    ):
        truth, values = pooled(of, lungs)
        assert auroc.value == pytest.approx(roc_auc_score(truth, values), abs=found.pixel_auroc_error + 1e-12)
        assert ap.value == pytest.approx(average_precision_score(truth, values), abs=found.pixel_ap_error + 1e-12)
        assert base.value == pytest.approx(truth.mean())
        tensors = torch.from_numpy(values), torch.from_numpy(truth).int()
        assert auroc.value == pytest.approx(binary_auroc(*tensors).item(), abs=0.002)
        assert ap.value == pytest.approx(binary_average_precision(*tensors).item(), abs=0.005)


@pytest.mark.parametrize("kind", KINDS)
def test_inside_lungs_of_each_image_is_a_mean_over_those_with_both_classes(kind: str) -> None:
    of = films(kind)
    expected = [roc_auc_score(f.lesions[f.lungs], f.heatmap[f.lungs]) for f in of if f.diseased]
    assert evaluate(of).pixel_auroc_in_lungs_per_image.value == pytest.approx(np.mean(expected), abs=0.01)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_aupro_as_a_plain_loop(kind: str, seed: int) -> None:
    of = films(kind, seed)
    assert evaluate(of).aupro.value == pytest.approx(naive_aupro(of), abs=1e-12 if kind in EXACT else 0.003)


def test_aupro_worked_out_by_hand() -> None:
    lesions = np.zeros((4, 4), bool)
    lesions[0, 0] = lesions[1, 1] = True  # touch at a corner: one region of two pixels
    lesions[3, 0:2] = True  # the other, so 12 healthy pixels are left
    heatmap = np.zeros((4, 4), np.float32)
    heatmap[0, 0] = heatmap[3, 0] = heatmap[3, 1] = 0.75
    heatmap[0, 3], heatmap[1, 3], heatmap[2, 3] = 0.75, 0.5, 0.5
    film = Film(1.0, True, heatmap, lesions, np.ones((4, 4), bool))
    # (FPR, PRO): (0, 0), (1/12, 3/4) at 0.75, (3/12, 3/4) at 0.5, (1, 1) at 0; so 3/4 + 1/60 at a FPR of 0.3
    area = 1 / 12 * 3 / 8 + 2 / 12 * 3 / 4 + 0.05 * (3 / 4 + 3 / 4 + 1 / 60) / 2
    assert evaluate([film]).aupro.value == pytest.approx(area / 0.3, abs=1e-12)


def test_a_perfect_heatmap_reaches_one_and_its_opposite_zero() -> None:
    of = films("zero")
    best = evaluate([Film(f.score, f.diseased, f.lesions.astype(np.float32), f.lesions, f.lungs) for f in of])
    for name in ("pixel_auroc", "pixel_auroc_in_lungs", "pixel_ap", "pixel_ap_in_lungs", "aupro", "dice"):
        assert getattr(best, name).value == 1
    assert best.oracle_dice.value == best.oracle_threshold.value == 1
    assert best.false_positive_pixels_on_healthy.value == 0
    worst = evaluate([Film(f.score, f.diseased, 1 - f.lesions.astype(np.float32), f.lesions, f.lungs) for f in of])
    assert worst.pixel_auroc.value == worst.aupro.value == worst.dice.value == 0
    assert worst.false_positive_pixels_on_healthy.value == 1


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_dice_as_torchmetrics_over_images_with_lesions(kind: str, threshold: float) -> None:
    of = films(kind)
    found = evaluate(of, threshold=threshold)
    assert found.dice.value == pytest.approx(mean_dice(of, threshold), abs=1e-6)
    shares = [np.mean(f.heatmap >= np.float32(threshold)) for f in of if not f.diseased]
    assert found.false_positive_pixels_on_healthy.value == pytest.approx(np.mean(shares))


@pytest.mark.parametrize("kind", KINDS)
def test_oracle_dice_is_the_best_of_all_thresholds_and_reached_at_its_own(kind: str) -> None:
    of = films(kind, count=5)
    found = evaluate(of)
    best = max(mean_dice(of, value) for value in np.unique(pooled(of)[1]).tolist())
    assert found.oracle_dice.value == pytest.approx(best, abs=1e-6 if kind in EXACT else 0.01)
    assert found.oracle_dice.value <= best + 1e-6
    assert mean_dice(of, found.oracle_threshold.value) == pytest.approx(found.oracle_dice.value, abs=1e-6)


@pytest.mark.parametrize("ties", [True, False])
def test_images_as_scikit_learn_and_torchmetrics(ties: bool) -> None:
    rng = np.random.default_rng(3)
    diseased = rng.random(60) < 0.3
    scores = rng.normal(size=60) + diseased
    scores = np.round(scores) if ties else scores
    made = Evaluation(image_threshold=1.0)
    for number, (score, sick) in enumerate(zip(scores.tolist(), diseased.tolist(), strict=True)):
        made.add(str(number), score, diseased=sick)
    found = made.result(bootstrap=0)
    assert (found.images, found.diseased) == (60, diseased.sum())
    assert found.image_auroc.value == pytest.approx(roc_auc_score(diseased, scores), abs=1e-12)
    assert found.image_ap.value == pytest.approx(average_precision_score(diseased, scores), abs=1e-12)
    tensors = torch.from_numpy(scores).sigmoid(), torch.from_numpy(diseased).int()
    assert found.image_auroc.value == pytest.approx(binary_auroc(*tensors).item(), abs=1e-6)
    assert found.image_ap.value == pytest.approx(binary_average_precision(*tensors).item(), abs=1e-6)
    assert found.image_base_rate.value == pytest.approx(diseased.mean())
    assert found.sensitivity.value == pytest.approx((scores >= 1)[diseased].mean())
    assert found.flagged_healthy.value == pytest.approx((scores >= 1)[~diseased].mean())
    assert math.isnan(found.pixel_auroc.value)
    assert math.isnan(found.dice.value)


def undefined(found: Metrics) -> set[str]:
    """The figures that are NaN, checked to have no interval either."""
    names = set()
    for field in fields(found):
        figure = getattr(found, field.name)
        if math.isnan(figure.value if isinstance(figure, Interval) else figure):
            names.add(field.name)
            assert not isinstance(figure, Interval) or (math.isnan(figure.low) and math.isnan(figure.high))
    return names


IN_LUNGS = {
    "pixel_auroc_in_lungs",
    "pixel_auroc_in_lungs_per_image",
    "pixel_ap_in_lungs",
    "pixel_base_rate_in_lungs",
}
ORACLE = {"oracle_dice", "oracle_threshold"}
RANKED = {"pixel_auroc", "pixel_ap", "aupro", "pixel_auroc_error", "pixel_ap_error"} | IN_LUNGS
RANKED -= {"pixel_base_rate_in_lungs"}


def test_only_healthy_is_undefined_but_for_its_false_positives() -> None:
    found = evaluate([film for film in films("random") if not film.diseased], bootstrap=20)
    image = {"image_auroc", "image_ap", "sensitivity"}
    assert undefined(found) == image | RANKED | ORACLE | {"dice", "pointing"}
    assert found.image_base_rate.value == found.pixel_base_rate.value == 0
    assert 0 < found.false_positive_pixels_on_healthy.value < 1


def test_only_lesions_is_undefined_but_for_their_dice() -> None:
    everything = np.ones((4, 4), bool)
    film = Film(1.0, True, np.full((4, 4), 0.5, np.float32), everything, everything)
    found = evaluate([film, film], bootstrap=20)
    image = {"image_auroc", "image_ap", "flagged_healthy", "pointing"}
    assert undefined(found) == image | RANKED | {"false_positive_pixels_on_healthy"}
    assert found.pixel_base_rate.value == found.dice.value == found.oracle_dice.value == 1


def test_a_diseased_image_with_an_empty_mask_counts_as_diseased_and_its_pixels_as_healthy() -> None:
    sick, empty = films("random")[1], films("random")[3]
    nothing = np.zeros_like(empty.lesions)
    found = evaluate([sick, Film(empty.score, True, empty.heatmap, nothing, empty.lungs)])
    assert found.diseased == 2
    assert found.dice.value == pytest.approx(dice(sick.heatmap >= 0.5, sick.lesions))
    assert found.pixel_base_rate.value == sick.lesions.sum() / (sick.lesions.size + nothing.size)
    assert math.isnan(found.false_positive_pixels_on_healthy.value)


def test_without_masks_lungs_or_thresholds_what_needs_them_is_undefined() -> None:
    of = films("random")
    bare, unmasked, nowhere = Evaluation(), Evaluation(threshold=0.5, image_threshold=0.5), Evaluation()
    for number, film in enumerate(of):
        name, heatmap, lesions = str(number), film.heatmap, film.lesions
        bare.add(name, film.score, diseased=film.diseased, heatmap=heatmap, lesions=lesions)
        unmasked.add(name, film.score, diseased=film.diseased, heatmap=heatmap, lungs=film.lungs)
        lungs = np.zeros_like(film.lungs)
        nowhere.add(name, film.score, diseased=film.diseased, heatmap=heatmap, lesions=lesions, lungs=lungs)
    at_threshold = {"dice", "false_positive_pixels_on_healthy", "sensitivity", "flagged_healthy", "pointing"}
    assert undefined(bare.result(bootstrap=20)) == IN_LUNGS | at_threshold
    assert undefined(nowhere.result(bootstrap=20)) == IN_LUNGS | at_threshold
    assert undefined(unmasked.result(bootstrap=20)) == RANKED | IN_LUNGS | ORACLE | {
        "pixel_base_rate",
        "dice",
        "pointing",
    }


@pytest.mark.parametrize("top", [1.0, 0.1, 1e-6])
def test_quantising_costs_little_wherever_the_values_lie(top: float) -> None:
    rng = np.random.default_rng(0)
    lesions = rng.random((300, 400)) < 0.1
    heatmap = (top / (1 + np.exp(-rng.normal(size=lesions.shape) - lesions))).astype(np.float32)
    found = evaluate([Film(1.0, True, heatmap, lesions, ~lesions)])
    assert found.pixel_auroc.value == pytest.approx(roc_auc_score(lesions.ravel(), heatmap.ravel()), abs=1e-5)
    assert found.pixel_ap.value == pytest.approx(average_precision_score(lesions.ravel(), heatmap.ravel()), abs=1e-4)
    assert found.pixel_auroc_error < 2e-3


def test_precision_inside_a_level_is_not_taken_from_its_end() -> None:
    counts = np.array([[10.0]]), np.array([[10.0]])
    assert average_precision(*counts, np.array([False])) == 0.5
    assert average_precision(*counts, np.array([True])) == 5.5 / 10.5


def test_a_nearly_constant_heatmap_is_undefined_rather_than_chance() -> None:
    film = films("random")[1]
    narrow = (0.4 + 1e-5 * film.heatmap).astype(np.float32)
    found = evaluate([Film(film.score, True, narrow, film.lesions, film.lungs)])
    assert found.pixel_auroc_error == pytest.approx(0.5)
    assert math.isnan(found.pixel_auroc.value)
    constant = evaluate([Film(film.score, True, np.full_like(narrow, 0.4), film.lesions, film.lungs)])
    assert constant.pixel_auroc.value == 0.5


def test_bootstrap_as_a_plain_loop_over_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    of, seed, resamples = films("tied", count=8), 6, 40  # both classes in each
    monkeypatch.setattr("artasyn.evaluation.histograms._RADIOGRAPHS", 3)
    monkeypatch.setattr("artasyn.evaluation.bootstrap._RESAMPLES", 7)
    found = evaluate(of, bootstrap=resamples, seed=seed)
    draws: dict[str, list[float]] = {}
    weights = resample_weights(len(of), resamples, seed)
    assert weights.shape == (resamples, len(of))
    assert (weights.sum(axis=1) == len(of)).all()
    for row in weights:
        drawn = [of[i] for i in np.repeat(np.arange(len(of)), row)]
        sick = [film for film in drawn if film.diseased]
        labels, scores = [film.diseased for film in drawn], [film.score for film in drawn]
        thresholds = np.arange(8, -1, -1) / 8
        values = [mean_dice(drawn, t) for t in thresholds.tolist()]
        each = [roc_auc_score(f.lesions[f.lungs], f.heatmap[f.lungs]) for f in sick]
        for name, value in {
            "image_auroc": roc_auc_score(labels, scores),
            "image_ap": average_precision_score(labels, scores),
            "image_base_rate": np.mean(labels),
            "flagged_healthy": np.mean([film.score >= 0.75 for film in drawn if not film.diseased]),
            "pixel_auroc": roc_auc_score(*pooled(drawn)),
            "pixel_auroc_in_lungs": roc_auc_score(*pooled(drawn, lungs=True)),
            "pixel_auroc_in_lungs_per_image": np.mean(each),
            "pixel_ap": average_precision_score(*pooled(drawn)),
            "pixel_ap_in_lungs": average_precision_score(*pooled(drawn, lungs=True)),
            "pixel_base_rate": pooled(drawn)[0].mean(),
            "aupro": naive_aupro(drawn),
            "dice": mean_dice(drawn, 0.5),
            "pointing": np.mean([naive_pointing(film) for film in sick]),
            "oracle_dice": max(values),
            "oracle_threshold": thresholds[int(np.argmax(np.round(values, 5)))],
        }.items():
            draws.setdefault(name, []).append(float(value))
    for name, values in draws.items():
        low, high = np.percentile(values, (2.5, 97.5))
        interval = getattr(found, name)
        assert (interval.low, interval.high) == (
            pytest.approx(low, abs=1e-6),
            pytest.approx(high, abs=1e-6),
        ), name
        assert low < high


def test_intervals_follow_the_seed_and_hold_the_value() -> None:
    of = films("random", count=30)
    first, again, other = (evaluate(of, bootstrap=200, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.image_auroc.value == other.image_auroc.value
    assert first.image_auroc.low != other.image_auroc.low
    for field in fields(first):
        figure = getattr(first, field.name)
        if isinstance(figure, Interval):
            assert 0 <= figure.low <= figure.high <= 1
            assert figure.low <= figure.value <= figure.high or field.name.startswith("oracle")


def test_resamples_of_one_class_do_not_enter_the_interval() -> None:
    found = evaluate(films("tied", count=2), bootstrap=100)
    assert found.image_auroc.low == found.image_auroc.high == found.image_auroc.value


def test_neither_order_nor_blocks_change_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    of = films("low", count=9)
    found, reverse = evaluate(of), evaluate(of[::-1])
    monkeypatch.setattr("artasyn.evaluation.histograms._RADIOGRAPHS", 2)
    for other in (reverse, evaluate(of)):
        for field in fields(found):
            mine, theirs = getattr(found, field.name), getattr(other, field.name)
            if isinstance(mine, Interval):
                mine, theirs = mine.value, theirs.value
            assert mine == pytest.approx(theirs, abs=1e-12)


def test_the_anatomy_prior_knows_nothing_inside_the_lungs() -> None:
    of = [Film(0.0, f.diseased, anatomy_prior(f.lungs), f.lesions, f.lungs) for f in films("random")]
    found = evaluate(of)
    for figure in (found.pixel_auroc_in_lungs, found.pixel_auroc_in_lungs_per_image, found.image_auroc):
        assert figure.value == 0.5
    assert found.pixel_ap_in_lungs.value == pytest.approx(found.pixel_base_rate_in_lungs.value)
    assert found.pixel_auroc.value == pytest.approx(roc_auc_score(*pooled(of)), abs=1e-12)
    assert found.oracle_threshold.value in (0, 1)


def test_json_has_every_figure_and_null_for_what_is_undefined() -> None:
    found = evaluate([film for film in films("random") if not film.diseased], bootstrap=20)
    text = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert list(text) == [field.name for field in fields(Metrics)]
    assert text["images"] == 4
    assert text["image_auroc"] == {"value": None, "low": None, "high": None}
    assert text["flagged_healthy"]["value"] == found.flagged_healthy.value
    assert text["pixel_auroc_error"] is None


def test_pointing_worked_out_by_hand() -> None:
    heatmap = np.zeros((4, 6), np.float32)
    box = (1.0, 2.0, 2.0, 3.0)  # rows 1 and 2, columns 2 to 4
    assert inside_boxes([box], (4, 6)).nonzero()[0].tolist() == [1, 1, 1, 2, 2, 2]
    assert pointing(heatmap, [box]) == 6 / 24  # the same everywhere: chance, no lucky hit
    heatmap[0, 0] = heatmap[2, 4] = 0.25
    assert pointing(heatmap, [box]) == 0.5
    heatmap[1, 2] = 0.5
    assert pointing(heatmap, [box]) == 1
    heatmap[3, 2] = 0.75
    assert pointing(heatmap, [box]) == 0
    assert pointing(heatmap, [box, (3.5, 2.5, 4.0, 1.0)]) == 1  # from the middle of that pixel to beyond the edge
    assert pointing(heatmap, [box, (3.0, 1.5, 1.0, 1.0)]) == 0  # up to its middle
    made = Evaluation()
    made.add("normal", 0.0, diseased=False, heatmap=heatmap)
    made.add("hit", 1.0, diseased=True, heatmap=heatmap, boxes=[(3.0, 0.0, 1.0, 6.0)])
    made.add("miss", 1.0, diseased=True, heatmap=heatmap, boxes=[box])
    made.add("unmarked", 1.0, diseased=True, heatmap=heatmap)
    found = made.result(bootstrap=200, seed=1)
    assert found.pointing == Interval(0.5, 0.0, 1.0)
    assert made.result(bootstrap=0).pointing.value == 0.5


def test_memory_does_not_grow_with_pixels() -> None:
    rng = np.random.default_rng(0)
    heatmap = rng.random((768, 768), np.float32)
    lesions = np.zeros((768, 768), bool)
    lesions[100:300, 100:300] = True
    made = Evaluation(threshold=0.5)
    tracemalloc.start()
    for number in range(8):
        made.add(str(number), 0.0, diseased=True, heatmap=heatmap, lesions=lesions, lungs=~lesions)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 8 * heatmap.nbytes / 10


def test_what_does_not_fit_is_refused() -> None:
    film = films("random")[1]
    heatmap, lesions, lungs = film.heatmap, film.lesions, film.lungs
    made = evaluation([film])
    with pytest.raises(DataError, match="added before"):
        made.add("0", 0.0, diseased=True, heatmap=heatmap, lesions=lesions, lungs=lungs)
    for score in (math.nan, math.inf):
        with pytest.raises(DataError, match="finite"):
            made.add("1", score, diseased=True, heatmap=heatmap, lesions=lesions, lungs=lungs)
    with pytest.raises(DataError, match="healthy but has lesions"):
        made.add("1", 0.0, diseased=False, heatmap=heatmap, lesions=lesions, lungs=lungs)
    with pytest.raises(DataError, match="has boxes but is labelled healthy"):
        made.add("1", 0.0, diseased=False, heatmap=heatmap, lungs=lungs, boxes=film.boxes)
    with pytest.raises(DataError, match="has boxes but no heatmap"):
        made.add("1", 0.0, diseased=True, boxes=film.boxes)
    with pytest.raises(DataError, match="without a lesion mask"):
        made.add("1", 0.0, diseased=True, heatmap=heatmap, lungs=lungs)
    with pytest.raises(DataError, match="without lungs"):
        made.add("1", 0.0, diseased=True, heatmap=heatmap, lesions=lesions)
    with pytest.raises(DataError, match="without a heatmap"):
        made.add("1", 0.0, diseased=True)
    for value in (-0.1, 1.1, math.nan):
        with pytest.raises(ImageError, match=r"must lie in \[0, 1\]"):
            made.add("1", 0.0, diseased=True, heatmap=np.full_like(heatmap, value), lesions=lesions, lungs=lungs)
    assert made.result(bootstrap=0).images == 1
    with pytest.raises(DataError, match="nothing to evaluate"):
        Evaluation().result()
    bare = Evaluation()
    bare.add("0", 0.0, diseased=False)
    with pytest.raises(DataError, match="with a heatmap"):
        bare.add("1", 0.0, diseased=True, heatmap=heatmap)


def test_wrong_arrays_are_refused() -> None:
    film = films("random")[1]
    for heatmap in (film.heatmap.astype(np.float64), film.heatmap[0], film.heatmap[:0]):
        with pytest.raises(ImageError, match="must be float32"):
            module._check_arrays("a", heatmap, None, None)
    for mask in (film.lesions[1:], film.lesions.astype(np.uint8)):
        with pytest.raises(ImageError, match="the lesions of a must be bool"):
            module._check_arrays("a", film.heatmap, mask, None)
        with pytest.raises(ImageError, match="the lungs of a must be bool"):
            module._check_arrays("a", film.heatmap, None, mask)


unit = st.floats(0, 1, width=32)


@given(st.lists(unit, min_size=2, max_size=30))
def test_levels_keep_the_order_and_start_at_their_threshold(values: list[float]) -> None:
    heatmap = np.sort(np.array([values], np.float32))
    levels = quantise(heatmap)
    assert (np.diff(levels) >= 0).all()
    threshold = level_thresholds(levels)
    assert (threshold <= heatmap).all()
    assert (quantise(threshold) == levels).all()
    below = np.nextafter(threshold, np.float32(-1))[threshold > 0]
    assert (quantise(below[None])[0] < levels[threshold > 0]).all()
    room = np.minimum(heatmap, 1 - heatmap)
    assert (heatmap - threshold <= np.where(heatmap < 2**-32, 2**-32, room / 128 + 2**-24)).all()


TRANSFORMS: dict[str, Callable[[Heatmap], Heatmap]] = {
    "square": lambda heatmap: heatmap**2,
    "root": lambda heatmap: heatmap**0.5,
    "faint": lambda heatmap: heatmap / 100,
    "inverted": lambda heatmap: 1 - heatmap,
}


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(TRANSFORMS)))
@settings(max_examples=25, deadline=None)
def test_rising_transforms_change_ranks_by_no_more_than_quantising(seed: int, transform: str) -> None:
    of = films("random", seed, count=4)
    heatmaps = [TRANSFORMS[transform](film.heatmap).astype(np.float32) for film in of]
    changed = [Film(f.score, f.diseased, h, f.lesions, f.lungs) for f, h in zip(of, heatmaps, strict=True)]
    before, after = evaluate(of), evaluate(changed)
    room = before.pixel_auroc_error + after.pixel_auroc_error + 1e-5  # float32 rounding may tie two values
    for name in ("pixel_auroc", "pixel_auroc_in_lungs"):
        first, second = getattr(before, name).value, getattr(after, name).value
        assert second == pytest.approx(1 - first if transform == "inverted" else first, abs=room)
    if transform != "inverted":
        room = before.pixel_ap_error + after.pixel_ap_error + 1e-3
        assert after.pixel_ap.value == pytest.approx(before.pixel_ap.value, abs=room)
        assert after.aupro.value == pytest.approx(before.aupro.value, abs=0.01)


@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_every_figure_is_undefined_or_a_share(seed: int, kind: str, count: int) -> None:
    found = evaluate(films(kind, seed, count), bootstrap=5)
    for field in fields(found):
        figure = getattr(found, field.name)
        if isinstance(figure, Interval):
            for value in (figure.value, figure.low, figure.high):
                assert math.isnan(value) or 0 <= value <= 1
