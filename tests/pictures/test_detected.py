"""The drawn detection: sizes, one scale of heat, marks on flagged films alone, sides, and the legend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import PIL.ImageFont
import pytest

from artasyn.pictures.detected import (
    CONTOUR,
    LARGEST,
    SMALLEST,
    Scale,
    Verdict,
    _legend,
    _texts,
    overlay_detection,
    reading_size,
    wrapped,
)
from artasyn.pictures.overlays import FONT, PAPER, grey_picture

SCALE, VERDICT = Scale(0.2, 1.0), Verdict(True, 0.97, 0.9)


def case(height: int = 600, width: int = 640) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    image = np.linspace(0.2, 0.8, height * width, dtype=np.float32).reshape(height, width)
    heatmap = np.zeros((height, width), np.float32)
    heatmap[height // 4 : height // 2, width // 8 : width // 3] = 0.6
    labels = np.zeros((height, width), np.uint8)
    labels[height // 8 : -height // 8, width // 10 : width // 2 - 20] = 1
    labels[height // 8 : -height // 8, width // 2 + 20 : -width // 10] = 2
    return image, heatmap, heatmap >= 0.2, labels


def coloured(picture: np.ndarray) -> np.ndarray:
    return np.asarray(np.ptp(picture.astype(int), axis=2) > 12)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((600, 640), (600, 640)), ((3000, 2400), (1024, 819)), ((128, 100), (512, 400)), ((16, 1024), (16, 1024))],
)
def test_films_have_the_size_for_reading(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape, np.float32)
    small = reading_size(image)
    assert small.shape == expected
    assert SMALLEST <= max(small.shape) <= LARGEST
    assert small.dtype == np.float32
    assert 0 <= small.min() <= small.max() <= 1
    mask = np.zeros(shape, bool)
    picture = overlay_detection(image, 0 * image, mask, mask.astype(np.uint8), SCALE, VERDICT)
    assert picture.shape[1] == expected[1]
    assert picture.shape[0] > expected[0]


def test_a_flagged_film_has_heat_and_contour_and_stays_clear_elsewhere() -> None:
    image, heatmap, mask, labels = case()
    picture = overlay_detection(image, heatmap, mask, labels, SCALE, VERDICT)
    film = picture[:600]
    drawn = (film == CONTOUR).all(axis=2)
    rows, columns = np.nonzero(drawn)
    assert abs(rows.min() - 150) <= 2
    assert abs(rows.max() - 299) <= 2
    assert abs(columns.min() - 80) <= 2
    assert coloured(film)[200:250, 120:180].all()
    np.testing.assert_array_equal(film[310:], grey_picture(image)[310:])
    np.testing.assert_array_equal(picture, overlay_detection(image, heatmap, mask, labels, SCALE, VERDICT))


def test_the_same_heat_has_the_same_colour_on_every_film() -> None:
    image, heatmap, mask, labels = case()
    image = np.full_like(image, 0.5)
    one = overlay_detection(image, heatmap, mask, labels, SCALE, VERDICT)
    hotter = heatmap.copy()
    hotter[400:500, 400:500] = 1.0
    other = overlay_detection(image, hotter, hotter >= 0.2, labels, SCALE, replace(VERDICT, score=0.99))
    np.testing.assert_array_equal(one[200:250, 120:180], other[200:250, 120:180])
    bar = one[600:][(one[600:].astype(int).max(axis=2) > 60).sum(axis=1).argmax()]
    place = 10 + round(0.6 * (640 - 20))
    assert np.abs(bar[place - 6 : place + 6].astype(int) - one[225, 150].astype(int)).max(axis=1).min() <= 4


def test_a_film_that_is_not_flagged_or_not_judged_is_plain() -> None:
    image, heatmap, mask, labels = case()
    for verdict in (replace(VERDICT, flagged=False), replace(VERDICT, flagged=False, unusable="inverted")):
        film = overlay_detection(image, heatmap, mask, labels, SCALE, verdict)[:600]
        np.testing.assert_array_equal(film[60:], grey_picture(image)[60:])
        assert not coloured(film).any()
        assert (film != grey_picture(image)).any() != bool(verdict.unusable)  # the letters of the sides


@pytest.mark.parametrize("mirrored", [False, True])
def test_sides_lie_where_the_lungs_are(mirrored: bool) -> None:
    image, heatmap, mask, labels = case()
    turned = labels[:, ::-1].copy() if mirrored else labels
    verdict = replace(VERDICT, flagged=False)
    usual, film = (overlay_detection(0 * image, heatmap, mask, each, SCALE, verdict)[:60] for each in (labels, turned))
    left, right = usual[:, :60], usual[:, -60:]
    assert (left > 100).any()
    assert (right > 100).any()
    assert bool((film[:, :60] == left).all()) != mirrored
    one_lung = overlay_detection(0 * image, heatmap, mask, (labels == 1).astype(np.uint8), SCALE, verdict)
    assert not one_lung[:60].any()


def test_the_legend_says_what_is_drawn() -> None:
    def said(verdict: Verdict, *, marked: bool = True, sides: tuple[str, str] | None = ("R", "L")) -> str:
        return " ".join(" ".join(part) for part in _texts(SCALE, verdict, marked=marked, sides=sides))

    assert "FLAGGED: score 0.970, threshold 0.900 cyan contour: heat of 0.20" in said(VERDICT)
    assert "flagged as a whole" in said(VERDICT, marked=False)
    assert "by convention" in said(VERDICT)
    assert "DICOM header states" in said(replace(VERDICT, sides="header"))
    assert "sides not known" in said(VERDICT, sides=None)
    assert "drawn on flagged films only" in said(replace(VERDICT, flagged=False))
    assert "NOT JUDGED: turned" in said(replace(VERDICT, unusable="turned"))
    for verdict in (VERDICT, replace(VERDICT, flagged=False), replace(VERDICT, unusable="turned")):
        assert "research use" in said(verdict)


@pytest.mark.parametrize("width", [40, 200, 512, 1024])
def test_a_legend_fits_its_width(width: int) -> None:
    strip = _legend(width, Scale(0.3, 0.9), VERDICT, marked=True, sides=("R", "L"))
    assert strip.shape[1] == width
    assert (strip[:, -2:] == PAPER).all() or width == 40  # nothing is cut
    threshold = (strip == CONTOUR).all(axis=2)
    assert threshold.any()


def test_texts_break_between_words() -> None:
    font = PIL.ImageFont.truetype(FONT, 12)
    lines = wrapped(["one two three four", "five", "six"], font, 70)
    assert " ".join(lines).replace(" | ", " ").split() == ["one", "two", "three", "four", "five", "six"]
    assert all(font.getlength(line) <= 70 for line in lines)
