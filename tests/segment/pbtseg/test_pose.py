"""Films that are turned, inverted, from the side or of no chest are told by the right word; frontal films are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.files.radiograph import read_radiograph
from artasyn.phantom.film import Phantom
from artasyn.segment import PBTSeg, View, Volume, project
from artasyn.segment.pbtseg.pose import find_pose

segment = PBTSeg()

Change = Callable[[Image], np.ndarray]

POSES: dict[str, tuple[Change, set[str]]] = {
    "quarter turn": (lambda film: np.rot90(film), {"turned"}),
    "half turn": (lambda film: np.rot90(film, 2), {"turned"}),
    "three quarter turns": (lambda film: np.rot90(film, 3), {"turned"}),
    "upside down mirrored": (lambda film: film[::-1], {"turned"}),
    "transposed": (lambda film: film.T, {"turned"}),
    "inverted": (lambda film: 1 - film, {"inverted"}),
    "inverted and turned": (lambda film: 1 - np.rot90(film), {"inverted", "turned"}),
    "inverted upside down": (lambda film: 1 - np.rot90(film, 2), {"inverted", "turned"}),
}
LOOKS: dict[str, Change] = {
    "plain": lambda film: film,
    "brighter": lambda film: film**0.6,
    "darker": lambda film: film**1.6,
    "cropped": lambda film: film[len(film) // 16 : -len(film) // 16, len(film) // 16 : -len(film) // 16],
    "black border": lambda film: np.pad(film, len(film) // 12),
    "white border": lambda film: np.pad(film, len(film) // 12, constant_values=1),
    "taller": lambda film: cv2.resize(film, (len(film), len(film) * 5 // 4), interpolation=cv2.INTER_AREA),
    "mirrored": lambda film: film[:, ::-1],
    "in part of the range": lambda film: 0.3 + 0.4 * film,
}


@cache
def drawn(size: int, seed: int) -> Image:
    return Phantom(size=size)(seed).image


def words(film: np.ndarray) -> set[str]:
    lungs = segment(np.ascontiguousarray(film, np.float32))
    if not lungs.usable:
        assert not lungs.found
        assert not lungs.mask.any()
        assert len(lungs.reasons) == len(lungs.warnings)
    return {word for word in lungs.warnings if word not in ("uncertain", "clipped", "low_range")}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("size", [96, 224])
def test_phantoms_are_told_in_every_pose(look: str, size: int) -> None:
    for seed in range(3):
        film = LOOKS[look](drawn(size, seed))
        assert words(film) == set(), seed
        for name, (turned, expected) in POSES.items():
            assert words(turned(film)) == expected, (seed, name)


def test_a_diseased_phantom_is_usable() -> None:
    for seed in range(6):
        assert words(Phantom(size=160)(seed, lesions=True).image) == set()


@pytest.fixture(scope="module")
def sides() -> list[Image]:
    """Side views of phantoms that no mean chest is made of."""
    views = []
    for seed in (101, 102, 103, 104):
        phantom = Phantom()
        record = replace(phantom.draw(np.random.default_rng(seed)), arm=150.0)  # arms are raised for side views
        volume = Volume.of_phantom(phantom.volume(record, spacing=4.0))
        views += [
            project(volume, View(angle=angle, size=(192, 192)), frame="film", structures=["lungs"]).image
            for angle in (90.0, -90.0)
        ]
    return views


@pytest.mark.parametrize("look", LOOKS)
def test_side_views_are_told(sides: list[Image], look: str) -> None:
    """Phantoms are tighter around the lungs, so that their side views resemble frontal ones more than patients'."""
    assert sum(words(LOOKS[look](side)) == {"lateral"} for side in sides) >= 0.75 * len(sides)


def test_what_is_no_chest_is_told() -> None:
    rows, columns = np.mgrid[:160, :160].astype(np.float32) / 160
    disk = ((rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.1).astype(np.float32)
    for image in (disk, 1 - disk, rows, columns, np.sin(40 * rows) / 2 + 0.5, np.full_like(rows, 0.3)):
        assert not segment(np.asarray(image, np.float32)).usable


def test_a_chest_without_lungs_is_told() -> None:
    """Lungs painted over from their borders, which leaves traces of ribs and fissures, and the abdomen below them."""
    told = []
    for seed in (1, 2, 3, 4, 5):
        phantom = Phantom(size=192)(seed)
        around = cv2.dilate(phantom.lungs.mask.astype(np.uint8), np.ones((7, 7), np.uint8))
        painted = cv2.inpaint(np.rint(phantom.image * 255).astype(np.uint8), around, 5, cv2.INPAINT_TELEA)
        told.append(segment(painted / np.float32(255)).warnings)
        assert words(phantom.image[138:]) in ({"no_lungs"}, {"not_a_chest"})
    assert all({"no_lungs", "uncertain"} & set(warnings) for warnings in told)
    assert sum("no_lungs" in warnings for warnings in told) >= 2


def test_a_phantom_resembles_its_own_pose_most() -> None:
    grey = segment.explain(Phantom()(5).image).grey
    for pose in range(8):
        turned = np.rot90(grey, pose % 4)
        found = find_pose(np.ascontiguousarray(1 - turned if pose >= 4 else turned))
        assert found.frontal.argmax() == pose
        assert found.frontal[pose] > 0.6
        assert (found.lead > 0.2) == (pose == 0)


# Real radiographs -------------------------------------------------------------------------------------------


def some(data: Path, folder: str, count: int) -> list[Image]:
    paths = [path for path in sorted((data / folder).iterdir()) if path.suffix in (".png", ".jpg", ".jpeg")]
    return [read_radiograph(path) for path in paths[:: max(1, len(paths) // count)]]


FRONTAL = (
    "zhanglab/train/healthy",
    "zhanglab/val/diseased",
    "nih_normal",
    "lung_masks/jsrt/images",
    "lung_masks/wingspan/images",
    "lung_masks/v7covid/images",
    "lesions/images",
    "openist/images",
    "covid_hannover",
)


@pytest.mark.realdata
def test_real_frontal_films_are_usable_and_told_when_turned_or_inverted(data: Path) -> None:
    films = [film for folder in FRONTAL for film in some(data, folder, 8)]
    assert sum(words(film) != set() for film in films) <= 1
    for turned, expected in (POSES["half turn"], POSES["quarter turn"], POSES["inverted"]):
        told = sum(words(turned(film)) == expected for film in films)
        assert told >= 0.95 * len(films)


@pytest.mark.realdata
def test_real_side_views_and_hands_are_told(data: Path) -> None:
    sides, hands = some(data, "lateral", 100), some(data, "other", 100)
    assert sum(words(side) == {"lateral"} for side in sides) >= 0.9 * len(sides)
    assert sum(words(np.fliplr(side)) == {"lateral"} for side in sides) >= 0.9 * len(sides)
    assert all(words(hand) == {"not_a_chest"} for hand in hands)
