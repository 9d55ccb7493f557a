"""Other ways to make anomalies, rebuilt from papers: masks mark what changed, and seeds reproduce."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from artasyn import Phantom
from artasyn.arrays import generator
from benchmarks.rivals.anomaly_peers import AnomalyMaker, jittered, perlin_noise
from benchmarks.rivals.drr_peers import Geometry, NanoDRR
from benchmarks.rivals.lung_networks import unet
from benchmarks.rivals.mediclip import swollen
from benchmarks.speed_rivals import MAKERS

FILM, DONOR = Phantom(size=96)(1), Phantom(size=96)(2)
every_maker = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)


@every_maker
def test_masks_mark_what_changed(maker: AnomalyMaker) -> None:
    shares = []
    for seed in range(8):
        made, mask = maker(FILM.image, FILM.lungs, DONOR.image, DONOR.lungs, generator(seed))
        changed = made != FILM.image
        assert made.dtype == np.float32
        assert 0 <= made.min() <= made.max() <= 1
        assert not (changed & ~mask).any()
        assert mask.any()
        shares.append(changed[mask].mean())
    assert np.median(shares) > 0.9


@every_maker
def test_seeds_reproduce_and_the_films_stay(maker: AnomalyMaker) -> None:
    kept, given = FILM.image.copy(), DONOR.image.copy()
    first, again, other = (
        maker(FILM.image, FILM.lungs, DONOR.image, DONOR.lungs, generator(seed)) for seed in (3, 3, 4)
    )
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert np.array_equal(FILM.image, kept)
    assert np.array_equal(DONOR.image, given)


def test_anat_paste_stays_in_the_lungs() -> None:
    for seed in range(4):
        _, mask = MAKERS["AnatPaste"](FILM.image, FILM.lungs, DONOR.image, DONOR.lungs, generator(seed))
        assert not (mask & ~FILM.lungs.mask).any()


def test_perlin_noise_is_zero_at_the_corners_of_its_cells_and_smooth() -> None:
    noise = perlin_noise((64, 96), (4, 8), generator(1))
    assert np.abs(noise[::16, ::12]).max() == 0
    assert 0.3 < np.abs(noise).max() <= 1
    assert np.abs(np.diff(noise, axis=0)).max() < 0.25


def test_a_swelling_moves_content_away_from_one_point() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 96, dtype=np.float32), (96, 96)).copy()
    made, mask = swollen(ramp, FILM.lungs, DONOR.image, DONOR.lungs, generator(5))
    moved = (made - ramp)[mask]
    assert moved.min() < -0.02  # on one side of the point
    assert moved.max() > 0.02  # on the other


def test_a_jittered_patch_keeps_its_pattern() -> None:
    patch = FILM.image[20:60, 20:60]
    assert np.corrcoef(jittered(patch, generator(1)).ravel(), patch.ravel())[0, 1] > 0.99


def test_a_network_gives_a_mask_for_each_lung() -> None:
    segment, millions = unet()
    found = segment(FILM.image[:32, :32])
    assert found.shape == (2, 32, 32)
    assert found.dtype == torch.bool
    assert 25 < millions < 40


@pytest.mark.filterwarnings("ignore")
def test_nanodrr_gives_the_length_of_a_ray_in_a_cube() -> None:
    pytest.importorskip("nanodrr")
    affine = np.eye(4)
    affine[:3, 3] = -9.5  # a cube of 20 mm around the origin
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[:, :10] = 1
    projector = NanoDRR(np.ones((20, 20, 20), np.float32), affine, labels)
    middle = Geometry(*map(np.array, ([0.0, -500, 0], [0.0, 500, 0], [0.0, 0, -1], [1.0, 0, 0])))
    assert projector(middle, (1, 1))[0, 0] == pytest.approx(20, rel=0.01)
    assert projector.masks(middle, (1, 1))[:, 0, 0] == pytest.approx([10, 10], rel=0.02)
