"""Pictures of measures: lines where it was measured, letters that are legible and hide little."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from artasyn.errors import ImageError
from artasyn.pictures import measures as module
from artasyn.pictures.measures import HEART_COLOUR, SPINE_COLOUR, THORAX_COLOUR, draw_measures
from artasyn.pictures.overlays import LEFT_COLOUR, RIGHT_COLOUR, Colour
from artasyn.segment.measures.cardiothoracic import cardiothoracic_ratio
from artasyn.segment.measures.cobb import cobb_angle
from artasyn.segment.measures.lung_areas import lung_areas
from artasyn.segment.measures.measures import Measures, measure
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.view import View
from tests.chest import chest


def masks(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Lungs as labels and a heart, of a film of side x side."""
    labels = np.zeros((side, side), np.uint8)
    tenth = side // 10
    labels[tenth : 8 * tenth, tenth : 4 * tenth], labels[tenth : 8 * tenth, 6 * tenth : 9 * tenth] = 1, 2
    heart = np.zeros((side, side), bool)
    heart[5 * tenth : 8 * tenth, 4 * tenth : 7 * tenth] = True
    return labels, heart


def measured(side: int) -> Measures:
    labels, heart = masks(side)
    bend = np.radians(np.linspace(-15, 15, 9))
    spine = side * np.stack([0.5 + 1.5 * np.sin(bend), 1.5 * np.cos(bend) - 1], axis=1)
    return Measures(
        cardiothoracic_ratio(heart, labels > 0),
        cobb_angle(spine, [f"vertebrae_T{number}" for number in range(3, 12)]),
        lung_areas(labels == 1, labels == 2, 300 / side),
        spacing=300 / side,
    )


def painted(picture: np.ndarray, colour: Colour) -> np.ndarray:
    """Where a colour is, on a grey film."""
    return np.asarray((np.abs(picture.astype(int) - colour) < 40).all(axis=-1))


def film(side: int) -> np.ndarray:
    return np.full((side, side), 0.4, np.float32)


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_lines_are_where_it_was_measured(side: int) -> None:
    measures = measured(side)
    assert measures.cardiothoracic_ratio is not None
    (row, left), (_, right) = measures.cardiothoracic_ratio.thorax
    picture = draw_measures(film(side), dataclasses.replace(measures, cobb_angle=None, lung_areas=None))
    thorax = painted(picture, THORAX_COLOUR)[round(row) - 1 : round(row) + 2]
    columns = np.flatnonzero(thorax.any(axis=0))
    np.testing.assert_allclose(columns[[0, -1]], [left, right], atol=side / 200 + 1)
    assert columns.size > 0.9 * np.ptp(columns)  # but where the midline crosses
    row = measures.cardiothoracic_ratio.heart_left.end[0]
    heart = np.asarray(painted(picture, HEART_COLOUR)[round(row) - 1 : round(row) + 2]).any(axis=0)
    ends = measures.cardiothoracic_ratio.heart_right.start[1], measures.cardiothoracic_ratio.heart_left.end[1]
    np.testing.assert_allclose(np.flatnonzero(heart)[[0, -1]], ends, atol=side / 200 + 1)
    assert not painted(picture, SPINE_COLOUR).any()


def test_the_heart_is_drawn_below_a_vessel_at_the_hilum() -> None:
    labels, heart = masks(500)
    heart[270:280, 150:200] = True
    ratio = cardiothoracic_ratio(heart, labels > 0)
    picture = draw_measures(film(500), Measures(ratio))
    assert not painted(picture, HEART_COLOUR)[270:280, 150:195].any()
    row, column = ratio.heart_right.start
    assert column == pytest.approx(199.5, abs=1)
    assert painted(picture, HEART_COLOUR)[round(row), round(column) + 5]


@pytest.mark.parametrize("side", [512, 1024])
def test_everything_is_there_and_grows_with_the_film(side: int) -> None:
    labels, heart = masks(side)
    picture = draw_measures(film(side), measured(side), lungs=labels, heart=heart)
    assert f"{picture.dtype} {picture.shape}" == f"uint8 ({side}, {side}, 3)"
    shares = [painted(picture, colour).mean() for colour in (HEART_COLOUR, THORAX_COLOUR, SPINE_COLOUR)]
    assert min(shares) > 0.003
    for colour, lung in ((RIGHT_COLOUR, labels == 1), (LEFT_COLOUR, labels == 2)):
        assert painted(picture, colour)[lung].mean() > 0.003
    assert np.mean(np.asarray(picture == 102).all(axis=-1)) > 0.75


def test_shares_are_alike_at_both_sizes() -> None:
    small, large = (draw_measures(film(side), measured(side)) for side in (512, 1024))
    for colour in (HEART_COLOUR, THORAX_COLOUR, SPINE_COLOUR):
        assert painted(small, colour).mean() == pytest.approx(painted(large, colour).mean(), rel=0.35)


def test_labels_say_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    label = module._Canvas.label

    def noted(canvas: module._Canvas, text: str, *rest: object) -> None:
        texts.append(text)
        label(canvas, text, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module._Canvas, "label", noted)
    measures = measured(500)
    draw_measures(film(500), measures)
    assert texts == ["T4", "T10", "Cobb 22°", "thorax 240 mm", "heart 90 mm\nCTR 0.38", "189 cm²", "189 cm²"]
    texts.clear()
    draw_measures(film(500), Measures(measures.cardiothoracic_ratio))
    assert texts == ["thorax", "heart\nCTR 0.38"]


def test_labels_keep_apart_and_within() -> None:
    canvas = module._Canvas(film(256))
    for _ in range(4):
        canvas.label("252 mm", [(2.0, 250.0)], THORAX_COLOUR)
    canvas.finished()
    letters = canvas.taken > 0
    assert letters[:, -1].any()
    font = canvas.size
    assert letters.sum() > 2 * 0.8 * font * 3 * font  # not all on one another


def test_nothing_measured_leaves_the_film() -> None:
    image = np.random.default_rng(0).random((64, 80)).astype(np.float32)
    empty = np.zeros((64, 80), np.uint8)
    picture = draw_measures(image, Measures(), lungs=empty, heart=empty > 0)
    np.testing.assert_array_equal(picture, np.repeat(np.rint(image * 255)[:, :, None], 3, axis=2).astype(np.uint8))


def test_stray_components_are_not_outlined() -> None:
    labels, _ = masks(500)
    clean = draw_measures(film(500), Measures(), lungs=labels)
    labels[460:480, 100:140] = 1
    np.testing.assert_array_equal(draw_measures(film(500), Measures(), lungs=labels), clean)


def test_the_film_and_what_was_measured_stay_as_they_are() -> None:
    image, measures = film(256), measured(256)
    labels, heart = masks(256)
    before = [image.copy(), labels.copy(), heart.copy()]
    first = draw_measures(image, measures, lungs=labels, heart=heart)
    np.testing.assert_array_equal(draw_measures(image, measures, lungs=labels, heart=heart), first)
    for now, then in zip((image, labels, heart), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_what_is_refused() -> None:
    with pytest.raises(ImageError, match=r"outside of an image of \(256, 256\)"):
        draw_measures(film(256), measured(512))
    with pytest.raises(ImageError, match="lie in"):
        draw_measures(film(256) * 3, measured(256))


def test_a_projection() -> None:
    film = project(chest((5.0, 4.0, 4.0)), View(size=(300, 300)), structures=["lungs", "heart", "spine"])
    picture = draw_measures(film.image, measure(film), lungs=film.lungs("projected").labels, heart=film.mask("heart"))
    rows, columns = np.nonzero(painted(picture, THORAX_COLOUR))
    outer = np.flatnonzero(film.mask("lungs").any(axis=0))[[0, -1]]
    np.testing.assert_allclose([columns.min(), columns.max()], outer, atol=3)
    assert np.ptp(rows) < 30
