"""PBTSeg on drawn films whose lungs are known, on phantoms, and on real radiographs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from time import process_time

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from artasyn.arrays import LEFT, RIGHT, Image, LungLabels, Mask
from artasyn.errors import ImageError
from artasyn.phantom import Phantom
from artasyn.radiograph import read_mask, read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.outline import LungBox, find_box

segment = PBTSeg()


def dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return 2 * float((one & other).sum()) / max(1.0, float(one.sum() + other.sum()))


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
    assert dice(lungs.left, truth == LEFT) > 0.85


@pytest.fixture(scope="module")
def phantom() -> tuple[Image, LungLabels]:
    drawn = Phantom()(3)
    return drawn.image, drawn.lungs.labels


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("lesions", [False, True])
def test_lungs_of_phantoms(seed: int, lesions: bool) -> None:
    drawn = Phantom(size=192)(seed, lesions=lesions)
    lungs = segment(drawn.image)
    assert lungs.found
    assert dice(lungs.mask, drawn.lungs.mask) > 0.8
    assert dice(lungs.right, drawn.lungs.right) > dice(lungs.right, drawn.lungs.left)
    assert dice(lungs.left, drawn.lungs.left) > dice(lungs.left, drawn.lungs.right)


@pytest.mark.parametrize("size", [64, 128, 512, 1024])
def test_the_size_of_the_film_does_not_matter(phantom: tuple[Image, LungLabels], size: int) -> None:
    image = phantom[0]
    other = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if size < 256 else cv2.INTER_CUBIC)
    here, there = segment(image), segment(other.clip(0, 1).astype(np.float32))
    assert dice(here.mask, there.resized((256, 256)).mask) >= 0.95


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


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [0.02, 0.3])
@pytest.mark.parametrize("grain", [0.0, 3.0, 8.0])
def test_noise_has_no_lungs(seed: int, spread: float, grain: float) -> None:
    white = np.random.default_rng(seed).standard_normal((256, 256))
    noise = np.asarray(cv2.GaussianBlur(white, (0, 0), grain) if grain else white)
    image = (0.5 + spread * noise / noise.std()).clip(0, 1).astype(np.float32)
    lungs = segment(image)
    assert not lungs.found
    assert not lungs.mask.any()
    assert lungs.reasons


@pytest.mark.parametrize("pattern", ["edge", "half noise", "stripes"])
def test_patterns_have_no_lungs(pattern: str) -> None:
    image = np.zeros((128, 128), np.float32)
    if pattern == "edge":
        image[:, 64:] = 1
    elif pattern == "half noise":
        image[:, 64:] = np.random.default_rng(0).random((128, 64))
    else:
        image[::8] = 1
    assert segment(image).reasons


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_a_white_lung_is_not_made_up(side: int) -> None:
    lungs = segment(film(256, 256, white=side)[0])
    assert not lungs.found
    assert lungs.reasons
    assert lungs.confidence[side - 1] == 0
    assert not (lungs.labels == side).any()


def test_the_other_lung_is_found_beside_a_white_one() -> None:
    silent, others = [], []
    for seed in range(5):
        drawn = Phantom(size=192)(seed)
        for side, other, name in ((RIGHT, LEFT, "right"), (LEFT, RIGHT, "left")):
            lung = cv2.dilate((drawn.lungs.labels == side).astype(np.uint8), np.ones((7, 7), np.uint8))
            opacity = cv2.GaussianBlur(lung.astype(np.float32), (0, 0), 2)
            white = drawn.image + opacity * (np.quantile(drawn.image, 0.8) - drawn.image)
            lungs = segment(white.clip(0, 1).astype(np.float32))
            assert lungs.confidence[other - 1] > max(0.4, lungs.confidence[side - 1])
            others.append(dice(lungs.labels == other, drawn.lungs.labels == other))
            silent.append(f"{name} lung not found" in lungs.reasons)
    assert np.mean(silent) >= 0.6  # the rest is reported with less confidence
    assert min(others) > 0.6
    assert np.mean(others) > 0.8


def test_a_film_on_its_head_is_named(phantom: tuple[Image, LungLabels]) -> None:
    lungs = segment(phantom[0][::-1].copy())
    assert not lungs.found
    assert lungs.reasons == ("the image seems to be upside down",)


def test_an_inverted_film_is_named(phantom: tuple[Image, LungLabels]) -> None:
    lungs = segment(1 - phantom[0])
    assert not lungs.found
    assert lungs.reasons == ("the image seems to be inverted; bright must be dense",)


def test_a_poor_film_is_less_sure(phantom: tuple[Image, LungLabels]) -> None:
    image = phantom[0]
    noise = np.random.default_rng(2).standard_normal(image.shape)
    poor = (0.5 + 0.15 * (image - 0.5) + 0.15 * noise).clip(0, 1).astype(np.float32)
    assert min(segment(poor).confidence) < min(segment(image).confidence) <= 1


def test_where_the_vote_finds_nothing_a_lung_is_not_made_up(phantom: tuple[Image, LungLabels]) -> None:
    """Nothing is counted as lung if every pixel but the surest is pulled out of reach."""
    lungs = PBTSeg(trust=1.0, pull=50.0, reach=0.0)(phantom[0])
    assert not lungs.found
    assert lungs.reasons[0].startswith("nothing looks like a lung")
    assert not lungs.mask.any()


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
    with pytest.raises(ValueError, match="PBTSeg needs"):
        dataclasses.replace(segment, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [128, 256])
def test_the_working_grid_hardly_matters(phantom: tuple[Image, LungLabels], size: int) -> None:
    assert dice(PBTSeg(size=size)(phantom[0]).mask, segment(phantom[0]).mask) > 0.92


def drawn_outline(box: LungBox, size: int) -> Image:
    """A picture that is exactly the outline in a box."""
    return np.asarray(1 - np.maximum(box.expected(RIGHT, size, 0.01), box.expected(LEFT, size, 0.01)))


@pytest.mark.parametrize("box", [LungBox(0.1, 0.1, 0.78, 0.8), LungBox(0.2, 0.15, 0.58, 0.7)])
def test_the_box_of_a_drawn_outline_is_found(box: LungBox) -> None:
    found = find_box(drawn_outline(box, 192))
    assert found.fit > 0.9
    for got, true in zip(dataclasses.astuple(found)[:4], dataclasses.astuple(box)[:4], strict=True):
        assert got == pytest.approx(true, abs=0.05)


def test_outlines_stay_on_their_side_and_in_their_box() -> None:
    box = LungBox(0.2, 0.1, 0.6, 0.8)
    for side, columns in ((RIGHT, slice(0, 50)), (LEFT, slice(50, 100))):
        expected = box.expected(side, 100, 0.0)
        lung = expected > 0.5
        assert not lung[:20].any()
        assert not lung[80:].any()
        assert 0 <= expected.min() <= expected.max() <= 1
        assert lung[:, columns].sum() == lung.sum() > 800
        rows, across = box.window(side, 100)
        assert lung[rows, across].sum() == lung.sum()
    grown = box.grown(above=0.1, below=0.05, beside=0.02)
    assert dataclasses.astuple(grown) == pytest.approx((0.1, 0.08, 0.75, 0.84, 1.0))


def test_it_is_fast() -> None:
    image = film(256, 256)[0]
    segment(image)
    times = []
    for _ in range(5):
        start = process_time()
        segment(image)
        times.append(process_time() - start)
    assert min(times) < 0.2  # 20 ms without the checks of a test run; this only catches what got far worse


def scored(folder: Path, lungs: Path, every: int) -> list[tuple[Lungs, Mask]]:
    """Every n-th radiograph of a folder: what PBTSeg finds, and the mask drawn by hand."""
    files = sorted(folder.iterdir())[::every]
    return [(segment(read_radiograph(file)), read_mask(lungs / f"{file.stem}.png")) for file in files]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "every", "floor", "worst"),
    [
        ("lung_masks/jsrt", 9, 0.89, 0.8),
        ("lung_masks/wingspan", 4, 0.85, 0.55),
        ("lung_masks/v7covid", 8, 0.82, 0.6),
        ("lesions", 3, 0.79, 0.5),
    ],
)
def test_real_lungs(data: Path, name: str, every: int, floor: float, worst: float) -> None:
    results = scored(data / name / "images", data / name / "lungs", every)
    scores = [dice(found.mask, true) for found, true in results]
    assert np.mean([found.found for found, _ in results]) >= 0.95
    assert np.mean(scores) >= floor
    assert min(scores) >= worst


@pytest.mark.realdata
def test_real_sides(data: Path) -> None:
    folder = data / "lung_masks" / "jsrt"
    for file in sorted((folder / "images").iterdir())[::13]:
        lungs = segment(read_radiograph(file))
        assert dice(lungs.right, read_mask(folder / "right_lung" / f"{file.stem}.png")) > 0.8
        assert dice(lungs.left, read_mask(folder / "left_lung" / f"{file.stem}.png")) > 0.75


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "every"), [("zhanglab/train/healthy", 50), ("nih_normal", 8)])
def test_normal_films_without_masks_have_two_plausible_lungs(data: Path, name: str, every: int) -> None:
    found = [segment(read_radiograph(file)) for file in sorted((data / name).iterdir())[::every]]
    assert np.mean([lungs.found for lungs in found]) >= 0.95
    areas = np.array([(lungs.right.mean(), lungs.left.mean()) for lungs in found if lungs.found])
    assert np.mean((areas > 0.04) & (areas < 0.28)) > 0.95


@pytest.mark.realdata
def test_real_films_on_their_head_or_inverted_are_not_segmented(data: Path) -> None:
    wrong = []
    for file in sorted((data / "lung_masks" / "jsrt" / "images").iterdir())[::11]:
        image = read_radiograph(file)
        wrong += [segment(image[::-1].copy()).found, segment(1 - image).found]
    assert np.mean(wrong) <= 0.1
