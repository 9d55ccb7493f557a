"""Metrics against scikit-learn, torchmetrics and cases worked out by hand; what is undefined; what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from artasyn.errors import DataError, ImageError
from artasyn.evaluation import evaluation as module
from artasyn.evaluation.evaluation import Evaluation, Interval, Metrics, anatomy_prior
from tests.evaluation.radiographs import EXACT, KINDS, Film, dice, evaluate, evaluation, films, mean_dice, pooled


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


@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_every_figure_is_undefined_or_a_share(seed: int, kind: str, count: int) -> None:
    found = evaluate(films(kind, seed, count), bootstrap=5)
    for field in fields(found):
        figure = getattr(found, field.name)
        if isinstance(figure, Interval):
            for value in (figure.value, figure.low, figure.high):
                assert math.isnan(value) or 0 <= value <= 1
