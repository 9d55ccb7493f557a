"""What speaks for and against lungs: turned, inverted, sideways and flat films, odd shapes."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.phantom.film import Phantom
from artasyn.segment import PBTSeg
from artasyn.segment.pbtseg.judgement import judge
from artasyn.segment.pbtseg.pbtseg import Workings

segment = PBTSeg()


@pytest.fixture(scope="module")
def workings() -> Workings:
    return segment.explain(Phantom()(3).image)


def test_a_good_film_is_trusted_on_both_sides(workings: Workings) -> None:
    judgement = judge(workings.grey, workings.outlines, 0.85)
    assert 0.6 < min(judgement.confidence) <= max(judgement.confidence) <= 1
    assert judgement.reasons == judgement.warnings == ()


def test_the_better_the_fit_the_surer(workings: Workings) -> None:
    sure = [min(judge(workings.grey, workings.outlines, fit).confidence) for fit in (0.45, 0.6, 0.75, 0.9)]
    assert sure == sorted(sure)
    assert sure[0] < 0.8 * sure[-1]


@pytest.mark.parametrize(
    ("turned", "name"),
    [
        (lambda grey: grey[::-1], "upside down"),
        (lambda grey: np.rot90(grey), "rotated"),
        (lambda grey: 1 - grey, "inverted"),
    ],
)
def test_what_fits_better_another_way_round_is_named(workings: Workings, turned: object, name: str) -> None:
    grey = np.ascontiguousarray(turned(workings.grey))  # type: ignore[operator]
    confidence, (reason,), (word,) = judge(grey, workings.outlines, 0.3)
    assert word == ("inverted" if name == "inverted" else "turned")
    assert confidence == (0.0, 0.0)
    assert name in reason


def test_a_film_without_edges_has_no_lungs(workings: Workings) -> None:
    flat = np.asarray(0.5 + 0.05 * (workings.grey - 0.5), np.float32)
    assert judge(flat, workings.outlines, 0.65).reasons == ("nothing looks like two lungs (fit 0.65)",)
    assert judge(flat, workings.outlines, 0.5).reasons == ("nothing looks like two lungs (fit 0.50)",)


def test_a_poor_fit_has_no_lungs(workings: Workings) -> None:
    grey = np.full_like(workings.grey, 0.5)
    assert judge(grey, workings.outlines, 0.39).reasons == (
        "nothing looks like two lungs (fit 0.39), nor like a chest",
    )
    assert judge(grey, workings.outlines, 0.39).warnings == ("not_a_chest",)


def test_a_lung_without_edges_is_the_less_sure_one(workings: Workings) -> None:
    grey = workings.grey.copy()
    middle = len(grey) // 2
    grey[:, middle:] = cv2.GaussianBlur(grey, (0, 0), 12)[:, middle:]
    right, left = judge(grey, workings.outlines, 0.8).confidence
    right_before, left_before = judge(workings.grey, workings.outlines, 0.8).confidence
    assert left < right
    assert left < left_before
    assert right == pytest.approx(right_before, abs=0.15)  # of the blur, a little crosses the middle
    assert left_before - left > 4 * abs(right_before - right)


def test_an_odd_shape_is_less_sure(workings: Workings) -> None:
    odd = workings.outlines.copy()
    odd[1, :, 1] = odd[1, :, 1].min() + 0.5 * (odd[1, :, 1] - odd[1, :, 1].min())  # half as high
    assert (
        judge(workings.grey, odd, 0.8).confidence[1] < 0.7 * judge(workings.grey, workings.outlines, 0.8).confidence[1]
    )


def test_dark_between_the_lungs_is_said_to_be_a_side_view(workings: Workings) -> None:
    grey = workings.grey.copy()
    inner = slice(round(float(workings.outlines[0, :, 0].max())), round(float(workings.outlines[1, :, 0].min())))
    grey[:, inner] = np.median(grey[:, inner]) * 0.3
    confidence, reasons, warnings = judge(grey, workings.outlines, 0.8)
    assert max(confidence) < 0.5
    assert warnings == ("uncertain",)
    assert "hardly brighter between the lungs, as in a side view" in reasons


def projected(path: Path, axis: int) -> Image:
    """A radiograph by sums of attenuation through a NIfTI volume of int16 HU and axes left, anterior, superior."""
    content = gzip.decompress(path.read_bytes())
    assert np.frombuffer(content, "<i2", 1, 70)[0] == 4  # int16
    shape, start = np.frombuffer(content, "<i2", 3, 42), int(np.frombuffer(content, "<f4", 1, 108)[0])
    volume = np.frombuffer(content, "<i2", int(np.prod(shape, dtype=int)), start).reshape(shape, order="F")[::2, ::2]
    attenuation = np.where(volume < -990, 0, volume.clip(-1000, 1500) / 1000 + 1)
    film = cv2.resize(attenuation.sum(axis=axis)[:, ::-1].T, (360, 332))
    return np.asarray((film / film.max()) ** 0.7, np.float32)


@pytest.mark.realdata
def test_side_views_of_a_real_patient_are_not_trusted(data: Path) -> None:
    path = data / "ct" / "lidc_0001.nii.gz"
    side = projected(path, axis=0)
    for film in (side, side[:, ::-1].copy()):
        assert max(segment(film).confidence) < 0.5
        assert segment(film).reasons
    assert min(segment(projected(path, axis=1)).confidence) > 0.5
