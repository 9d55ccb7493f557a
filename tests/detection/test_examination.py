"""A detector's verdict on radiographs that cannot be judged, with lungs that are found and that are given."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.cautions import UNUSABLE
from artasyn.detection.examination import Detection, Maps, examine
from artasyn.detection.settings import DetectorSettings
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs
from tests.anatomies import seen

SETTINGS = DetectorSettings(size=32, image_threshold=0.5)


def told(images: np.ndarray, heat: float, novelty: float = 0.0) -> Maps:
    """The maps of a network that sees the same everywhere; it takes the upper half of the window for lungs."""
    lungs = np.ones_like(images)
    lungs[:, :, SETTINGS.size // 2 :] = 0
    return Maps(images, 0 * images + np.float32(heat), np.full(len(images), novelty, np.float32), lungs)


def alarmed(images: np.ndarray) -> Maps:
    """A network that finds everything abnormal."""
    return told(images, 0.9)


def examined(image: np.ndarray, lungs: Lungs | None = None) -> Detection:
    return examine([np.ascontiguousarray(image, np.float32)], [lungs], SETTINGS, alarmed)[0]


@pytest.fixture(scope="module")
def film() -> Image:
    return Phantom(size=128)(2).image


def test_a_good_radiograph_is_abnormal_by_its_score(film: Image) -> None:
    found = examined(film)
    assert (found.status, found.abnormal, found.warnings, found.reason) == ("ok", True, (), "")
    calm = examine([film], [None], SETTINGS, lambda images: told(images, 0.0))[0]
    assert (calm.status, calm.abnormal) == ("ok", False)


def test_an_unusable_radiograph_has_a_reason_and_is_never_abnormal(film: Image) -> None:
    bad = {
        "turned": np.rot90(film, 2),
        "inverted": 1 - film,
        "not_a_chest": np.random.default_rng(0).random((96, 128)),
    }
    for word, image in bad.items():
        found = examined(image)
        assert found.warnings == (word,)
        assert word in UNUSABLE
        assert (found.status, found.abnormal) == ("unusable", False)
        assert found.reason
        assert 0.5 < found.score <= 1
        assert found.heatmap.shape == image.shape


def test_given_lungs_do_not_hide_a_turned_film(film: Image) -> None:
    lungs = Phantom(size=128)(2).lungs
    assert examined(film, lungs).abnormal
    turned = Lungs.from_labels(np.ascontiguousarray(lungs.labels[::-1]))
    found = examined(film[::-1], turned)
    assert found.warnings == ("turned",)
    assert found.reason == "the image seems to be upside down"
    assert not found.abnormal
    assert found.lungs is not None


def test_given_lungs_answer_doubts_about_lungs(film: Image) -> None:
    """A white lung is uncertain to PBTSeg, but not to a caller who gives it; an empty mask is a film without lungs."""
    lungs = Phantom(size=128)(2).lungs
    white = np.where(lungs.right, np.float32(0.6), film)
    assert "uncertain" in examined(white).warnings or examined(white).warnings == ()
    assert examined(white, lungs).warnings == ()
    none = examined(film, Lungs.from_labels(np.zeros_like(lungs.labels)))
    assert (none.warnings, none.status, none.abnormal) == (("no_lungs",), "unusable", False)
    one = examined(film, Lungs.from_labels(np.where(lungs.right, lungs.labels, 0).astype(np.uint8)))
    assert (one.warnings, one.status) == (("one_lung",), "ok")


def test_a_dim_film_is_cautioned_and_judged(film: Image) -> None:
    found = examined(0.4 + 0.05 * film)
    assert "low_range" in found.warnings
    assert "levels of grey" in found.reason
    assert (found.status, found.abnormal) == ("ok", True)


def test_without_given_lungs_the_network_tells_where_they_are(film: Image) -> None:
    lungs = Phantom(size=128)(2).lungs
    found, given = examined(film), examined(film, lungs)
    rows = np.flatnonzero(found.region.any(axis=1))
    assert found.lungs is not None
    top, base = (np.flatnonzero(found.lungs.mask.any(axis=1))[k] for k in (0, -1))
    assert abs(rows[0] - top) < 0.15 * (base - top)
    assert abs(rows[-1] - (top + base) / 2) < 0.1 * (base - top)
    np.testing.assert_array_equal(found.heatmap > 0, found.region > 0)
    assert given.region[lungs.mask].min() > 0.4
    assert given.heatmap[lungs.mask].min() > 0.35


def test_the_novelty_counts_by_its_weight(film: Image) -> None:
    looks = [functools.partial(told, heat=0.5, novelty=novelty) for novelty in (0.0, 2.0)]
    scores = [examine([film], [None], SETTINGS, look)[0].score for look in looks]
    odds = [np.log(score / (1 - score)) for score in scores]
    assert odds[1] - odds[0] == pytest.approx(2 * SETTINGS.novelty_weight, abs=1e-4)


def test_a_score_is_told_as_a_percentile_of_healthy_films(film: Image) -> None:
    known = replace(SETTINGS, healthy_scores=(0.1, 0.3, 0.5, 0.7, 0.9))
    (found,) = examine([film], [None], known, lambda images: told(images, 0.6))
    assert found.percentile == pytest.approx(62.5, abs=0.1)
    assert np.isnan(examined(film).percentile)


def test_an_anatomy_stands_for_its_whole_lungs() -> None:
    image, anatomy = seen(320)
    read = replace(anatomy, shape=image.shape)
    (by_anatomy,) = examine([image], [read], SETTINGS, alarmed)
    (by_lungs,) = examine([image], [read.lungs("whole")], SETTINGS, alarmed)
    assert by_anatomy.score == by_lungs.score
    np.testing.assert_array_equal(by_anatomy.heatmap, by_lungs.heatmap)
