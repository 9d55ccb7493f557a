"""PBTSeg on drawn films whose lungs are known, on phantoms, and on real radiographs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from artasyn.arrays import LEFT, RIGHT, Image, LungLabels, Mask
from artasyn.errors import ImageError
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.pbtseg.outline import POINTS

segment = PBTSeg()


def film(h: int, w: int, *, white: int = 0) -> tuple[Image, LungLabels]:
    """A film drawn by formulas on the unit square, and its lungs; the lung of the side `white` is opaque."""
    y, x = ((np.arange(n) + 0.5) / n for n in (h, w))
    y, x = y[:, None], x[None]
    apex, base = (y - 0.12) / 0.68, 0.80 - 0.05 * np.cos((x % 0.5 - 0.22) * 12)
    half_width = 0.36 * np.sqrt(np.clip(apex, 0, 1)) ** 0.7
    chest = (y > 0.12) & (y < base) & (np.abs(x - 0.5) < half_width)
    heart = ((x - 0.55) / 0.13) ** 2 + ((y - 0.66) / 0.18) ** 2 < 1
    lung = chest & (np.abs(x - 0.5) > 0.08) & ~heart
    labels = np.where(lung, np.where(x < 0.5, RIGHT, LEFT), 0).astype(np.uint8)
    body = ((x - 0.5) / 0.47) ** 8 + ((y - 0.62) / 0.56) ** 8 < 1
    ribs = 0.06 * (np.sin(y * 60 + 4 * np.abs(x - 0.5)) > 0.5)
    image = 0.03 + body * (0.6 + 0.1 * y) + 0.2 * (np.abs(x - 0.5) < 0.04)
    image = np.where(lung, np.where(labels == white, 0.85, 0.28 + ribs), image)
    image = image + 0.01 * np.random.default_rng(5).standard_normal((h, w))
    labels[labels == white] = 0
    return cv2.GaussianBlur(image, (0, 0), h / 200).clip(0, 1).astype(np.float32), labels


@pytest.mark.parametrize("shape", [(256, 256), (257, 301), (400, 300), (96, 128), (1200, 1000)])
def test_drawn_lungs_are_found_on_any_grid(shape: tuple[int, int]) -> None:
    image, truth = film(*shape)
    lungs = segment(image)
    assert lungs.found
    assert lungs.reasons == ()
    assert lungs.labels.shape == shape
    assert lungs.labels.dtype == np.uint8
    assert dice(lungs.right, truth == RIGHT) > 0.85
    assert dice(lungs.left, truth == LEFT) > 0.83


@pytest.fixture(scope="module")
def phantom() -> tuple[Image, LungLabels]:
    drawn = Phantom()(3)
    return drawn.image, drawn.lungs.labels


@pytest.fixture(scope="module")
def healthy() -> list[PhantomRadiograph]:
    return [Phantom(size=192)(seed) for seed in range(6)]


def test_lungs_of_phantoms(healthy: list[PhantomRadiograph]) -> None:
    for drawn in healthy + [Phantom(size=192)(seed, lesions=True) for seed in range(6)]:
        lungs = segment(drawn.image)
        assert lungs.reasons == ()
        assert min(lungs.confidence) > 0.7
        assert dice(lungs.right, drawn.lungs.right) > 0.9
        assert dice(lungs.left, drawn.lungs.left) > 0.9


@pytest.mark.parametrize("size", [64, 128, 512, 1024])
def test_the_size_of_the_film_does_not_matter(phantom: tuple[Image, LungLabels], size: int) -> None:
    image = phantom[0]
    other = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if size < 256 else cv2.INTER_CUBIC)
    here, there = segment(image), segment(other.clip(0, 1).astype(np.float32))
    assert dice(here.mask, there.resized((256, 256)).mask) >= 0.95


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "border", [(20, 20, 20, 20), (30, 0, 0, 0), (10, 0, 50, 0), (0, 40, 0, 12), (60, 60, 60, 60)], ids=str
)
def test_even_borders_do_not_matter(
    healthy: list[PhantomRadiograph], border: tuple[int, int, int, int], grey: float
) -> None:
    top, bottom, left, right = border
    for drawn in healthy[:2]:
        around = (top, bottom), (left, right)
        framed = np.pad(drawn.image, around, constant_values=np.float32(grey))
        assert dice(segment(framed).mask, np.pad(segment(drawn.image).mask, around)) > 0.98


@pytest.mark.parametrize("letter", [(4, 10, 5, 9), (4, 10, 250, 258), (120, 128, 5, 11)], ids=str)
def test_letters_in_a_border_do_not_matter(healthy: list[PhantomRadiograph], letter: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = letter
    for drawn in healthy[:2]:
        framed = np.pad(drawn.image, 40)
        framed[top:bottom, left:right] = 1
        assert dice(segment(framed).mask, np.pad(segment(drawn.image).mask, 40)) > 0.98


def test_outlines_are_smooth_on_a_large_film() -> None:
    """They do not follow the steps of the working grid, which are eight pixels here."""
    lungs = segment(film(1600, 1600)[0])
    for lung in (lungs.right, lungs.left):
        contours, _ = cv2.findContours(lung.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        assert len(contours) == 1
        smooth = cv2.GaussianBlur(lung.astype(np.float32), (0, 0), 8) > 0.5
        assert (lung != smooth).sum() < 0.0025 * lung.sum()


@pytest.mark.parametrize("gamma", [0.5, 1.8])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (0.1, 0.6), (0.4, 0.0)])
def test_grey_levels_do_not_matter(
    phantom: tuple[Image, LungLabels], gamma: float, scale: float, offset: float
) -> None:
    image = phantom[0]
    other = (offset + scale * image**gamma).astype(np.float32)
    assert dice(segment(image).mask, segment(other).mask) >= 0.95


def test_sides_are_those_of_the_patient(phantom: tuple[Image, LungLabels]) -> None:
    image = phantom[0]
    for lungs in (segment(image), segment(image[:, ::-1].copy())):
        right, left = (np.nonzero(lung)[1].mean() for lung in (lungs.right, lungs.left))
        assert right < image.shape[1] / 2 < left


def test_opacities_inside_the_outline_are_filled(phantom: tuple[Image, LungLabels]) -> None:
    image, truth = phantom
    sick = image.copy()
    row, column = (int(c.mean()) for c in np.nonzero(truth == RIGHT))
    cv2.circle(sick, (column, row), 16, float(np.quantile(image, 0.9)), cv2.FILLED)
    lungs = segment(cv2.GaussianBlur(sick, (0, 0), 2))
    assert lungs.found
    assert lungs.right[row - 14 : row + 15, column - 9 : column + 10].all()


def test_each_lung_is_one_piece_without_holes(phantom: tuple[Image, LungLabels]) -> None:
    for lung in (segment(phantom[0]).right, segment(phantom[0]).left):
        for region in (lung, np.pad(~lung, 1, constant_values=True)):
            assert cv2.connectedComponents(region.astype(np.uint8), connectivity=8)[0] == 2


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_blank_image_has_no_lungs(level: float) -> None:
    lungs = segment(np.full((90, 120), level, np.float32))
    assert not lungs.found
    assert lungs.confidence == (0.0, 0.0)
    assert lungs.reasons == ("the image is blank",)
    assert not lungs.mask.any()
    assert lungs.labels.shape == (90, 120)


def noise(seed: int, grain: float) -> Image:
    """A film of noise that is blurred by so many pixels."""
    white = np.random.default_rng(seed).standard_normal((256, 256))
    blurred = np.asarray(cv2.GaussianBlur(white, (0, 0), grain) if grain else white)
    return np.asarray((0.5 + 0.2 * blurred / blurred.std()).clip(0, 1), np.float32)


@pytest.mark.parametrize("grain", [0.0, 3.0, 6.0])
def test_noise_has_no_lungs(grain: float) -> None:
    for seed in range(10):
        lungs = segment(noise(seed, grain))
        assert not lungs.found
        assert not lungs.mask.any()
        assert lungs.reasons[0].startswith("nothing looks like two lungs (fit 0.")


def test_blurred_noise_rarely_has_lungs_and_never_sure_ones() -> None:
    """Blobs as large as lungs can lie like lungs by chance."""
    lungs = [segment(noise(seed, grain)) for grain in (12.0, 20.0, 30.0, 45.0) for seed in range(40)]
    assert np.mean([each.found for each in lungs]) < 0.16
    assert max(min(each.confidence) for each in lungs) < 0.5
    assert all(each.reasons for each in lungs if not each.found)


@pytest.mark.parametrize("pattern", ["edge", "half noise", "stripes", "dot"])
def test_patterns_have_no_lungs(pattern: str) -> None:
    image = np.zeros((128, 128), np.float32)
    if pattern == "edge":
        image[:, 64:] = 1
    elif pattern == "half noise":
        image[:, 64:] = np.random.default_rng(0).random((128, 64))
    elif pattern == "stripes":
        image[::8] = 1
    else:
        image[60:64, 60:64] = 1
    lungs = segment(image)
    assert not lungs.found
    assert not lungs.mask.any()
    assert lungs.reasons[0].startswith("nothing looks like two lungs")


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_a_white_lung_is_placed_by_the_other_one_with_little_confidence(side: int) -> None:
    clear, white = segment(film(256, 256)[0]), segment(film(256, 256, white=side)[0])
    assert white.found
    assert white.confidence[side - 1] < min(0.2, white.confidence[2 - side])
    assert f"{'right' if side == RIGHT else 'left'} lung uncertain" in white.reasons
    assert white.confidence[side - 1] < clear.confidence[side - 1] - 0.4
    assert 0.4 < (white.labels == side).sum() / (clear.labels == side).sum() < 2.5


def test_beside_a_white_lung_the_other_one_is_found_about_as_well(healthy: list[PhantomRadiograph]) -> None:
    lost, placed = [], []
    for drawn in healthy[:5]:
        clear = segment(drawn.image)
        for side, other in ((RIGHT, LEFT), (LEFT, RIGHT)):
            lung = cv2.dilate((drawn.lungs.labels == side).astype(np.uint8), np.ones((7, 7), np.uint8))
            opacity = cv2.GaussianBlur(lung.astype(np.float32), (0, 0), 2)
            white = drawn.image + opacity * (np.quantile(drawn.image, 0.8) - drawn.image)
            lungs = segment(white.clip(0, 1).astype(np.float32))
            assert lungs.found
            assert lungs.confidence[side - 1] < min(0.5, lungs.confidence[other - 1])
            assert lungs.confidence[side - 1] < clear.confidence[side - 1] - 0.3
            before, now = (dice(each.labels == other, drawn.lungs.labels == other) for each in (clear, lungs))
            lost.append(before - now)
            placed.append(dice(lungs.labels == side, drawn.lungs.labels == side))
    assert np.mean(lost) < 0.06
    assert max(lost) < 0.16
    assert np.mean(placed) > 0.5
    assert min(placed) > 0.35


WAYS: dict[str, Callable[[Image], Image]] = {
    "upside down": lambda image: image[::-1],
    "rotated by a quarter turn": lambda image: np.rot90(image, 3),
    "rotated by three quarter turns": lambda image: np.rot90(image),
    "inverted; bright must be dense": lambda image: 1 - image,
}


@pytest.mark.parametrize("name", list(WAYS))
def test_a_film_that_is_turned_or_inverted_is_named(healthy: list[PhantomRadiograph], name: str) -> None:
    for drawn in healthy:
        lungs = segment(np.ascontiguousarray(WAYS[name](drawn.image)))
        assert not lungs.found
        assert not lungs.mask.any()
        assert lungs.confidence == (0.0, 0.0)
        assert lungs.reasons == (f"the image seems to be {name}",)


def test_a_poor_film_is_less_sure(phantom: tuple[Image, LungLabels]) -> None:
    image = phantom[0]
    noise = np.random.default_rng(2).standard_normal(image.shape)
    poor = (0.5 + 0.15 * (image - 0.5) + 0.15 * noise).clip(0, 1).astype(np.float32)
    assert min(segment(poor).confidence) < min(segment(image).confidence) <= 1


def test_where_thresholds_find_nothing_edges_still_lead(phantom: tuple[Image, LungLabels]) -> None:
    """Nothing is held to be lung if every pixel but the surest is pulled out of reach."""
    image, truth = phantom
    blind = PBTSeg(trust=1.0, pull=50.0, reach=0.0)
    assert blind.explain(image).thresholded.mean() < 0.25 * segment.explain(image).thresholded.mean()
    assert blind(image).found
    assert dice(blind(image).mask, truth > 0) > 0.9


@pytest.mark.parametrize("shape", [(16, 16), (16, 700), (700, 16)])
def test_a_film_of_any_shape_gets_an_answer(shape: tuple[int, int]) -> None:
    lungs = segment(np.random.default_rng(1).random(shape, np.float32))
    assert lungs.labels.shape == shape
    assert lungs.found or lungs.reasons


def test_the_workings_lead_to_the_lungs(phantom: tuple[Image, LungLabels]) -> None:
    image = np.pad(phantom[0], ((32, 0), (0, 64)), constant_values=np.float32(1))
    workings, lungs = segment.explain(image), segment(image)
    assert workings.frame == pytest.approx((32 / 288, 0.0, 1.0, 256 / 320), abs=0.02)
    assert workings.grey.shape == workings.thresholded.shape == (160, 160)
    assert 0 <= workings.grey.min() < 0.2 < 0.8 < workings.grey.max() <= 1
    assert 0 <= workings.thresholded.min() < workings.thresholded.max() <= 1
    assert workings.start.shape == workings.outlines.shape == (2, POINTS, 2)
    truth = cv2.resize(phantom[1], (160, 160), interpolation=cv2.INTER_NEAREST) > 0
    drawn = []
    for outlines in (workings.start, workings.outlines):
        picture = np.zeros((160, 160), np.uint8)
        cv2.fillPoly(picture, list(np.round(outlines).astype(np.int32)), (1,))
        drawn.append(picture > 0)
    assert dice(workings.thresholded > 0.5, truth) > 0.8
    assert 0.75 < dice(drawn[0], truth) < dice(drawn[1], truth)
    across = lungs.resized((288, 320)).mask[32:, :256].astype(np.uint8)
    assert dice(drawn[1], cv2.resize(across, (160, 160), interpolation=cv2.INTER_NEAREST) > 0) > 0.97


def test_a_film_without_lungs_is_explained_too(phantom: tuple[Image, LungLabels]) -> None:
    workings = segment.explain(phantom[0][::-1].copy())
    assert workings.outlines.shape == (2, POINTS, 2)
    with pytest.raises(ImageError, match=r"must lie in \[0, 1\]"):
        segment.explain(phantom[0] + np.float32(1))


def test_views_are_accepted(phantom: tuple[Image, LungLabels]) -> None:
    image = phantom[0]
    whole = segment(image).labels
    assert (segment(np.asfortranarray(image)).labels == whole).all()
    mirrored = image[:, ::-1]
    assert (segment(mirrored).labels == segment(mirrored.copy()).labels).all()
    assert (segment(image).labels == whole).all()


def test_the_input_is_left_alone(phantom: tuple[Image, LungLabels]) -> None:
    image = phantom[0].copy()
    image.setflags(write=False)
    segment(image)
    assert (image == phantom[0]).all()


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ImageError, match=r"must lie in \[0, 1\]"):
        segment(np.full((32, 32), 2.0, np.float32))


@pytest.mark.parametrize("options", [{"size": 32}, {"steps": 1}, {"trust": 1.5}])
def test_a_useless_configuration_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^PBTSeg: .* is .*, not from"):
        dataclasses.replace(segment, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [64, 96, 128, 256, 320])
def test_the_working_grid_hardly_matters(phantom: tuple[Image, LungLabels], size: int) -> None:
    assert dice(PBTSeg(size=size)(phantom[0]).mask, segment(phantom[0]).mask) > 0.97


def scored(folder: Path, lungs: Path, every: int) -> list[tuple[Lungs, Mask]]:
    """Every n-th radiograph of a folder: what PBTSeg finds, and the mask drawn by hand."""
    files = sorted(folder.iterdir())[::every]
    return [(segment(read_radiograph(file)), read_mask(lungs / f"{file.stem}.png")) for file in files]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "every", "floor", "worst"),
    [
        ("lung_masks/jsrt", 9, 0.933, 0.85),
        ("lung_masks/wingspan", 4, 0.909, 0.8),
        ("lung_masks/v7covid", 8, 0.829, 0.59),
        ("lesions", 3, 0.819, 0.65),
    ],
)
def test_real_lungs(data: Path, name: str, every: int, floor: float, worst: float) -> None:
    results = scored(data / name / "images", data / name / "lungs", every)
    scores = [dice(found.mask, true) for found, true in results]
    assert all(found.found for found, _ in results)
    assert np.mean(scores) >= floor
    assert min(scores) >= worst


@pytest.mark.realdata
def test_real_sides(data: Path) -> None:
    folder = data / "lung_masks" / "jsrt"
    for file in sorted((folder / "images").iterdir())[::13]:
        lungs = segment(read_radiograph(file))
        assert dice(lungs.right, read_mask(folder / "right_lung" / f"{file.stem}.png")) > 0.85
        assert dice(lungs.left, read_mask(folder / "left_lung" / f"{file.stem}.png")) > 0.82


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "every"), [("zhanglab/train/healthy", 50), ("nih_normal", 8)])
def test_normal_films_without_masks_have_two_plausible_lungs(data: Path, name: str, every: int) -> None:
    found = [segment(read_radiograph(file)) for file in sorted((data / name).iterdir())[::every]]
    assert all(lungs.found for lungs in found)
    areas = np.array([(lungs.right.mean(), lungs.left.mean()) for lungs in found])
    assert areas.min() > 0.04
    assert areas.max() < 0.25


@pytest.mark.realdata
@pytest.mark.parametrize("name", list(WAYS))
def test_real_films_that_are_turned_or_inverted_are_named(data: Path, name: str) -> None:
    for file in sorted((data / "lung_masks" / "jsrt" / "images").iterdir())[::11]:
        lungs = segment(np.ascontiguousarray(WAYS[name](read_radiograph(file))))
        assert not lungs.found
        assert lungs.reasons == (f"the image seems to be {name}",)
