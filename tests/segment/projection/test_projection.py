"""Projections: chords of known solids, sides and directions, what is covered, lungs, and a real CT."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from artasyn.arrays import LEFT, RIGHT
from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.phantom.solids import SOLIDS, VIEWS, Solid, as_beam, errors, solid_volume
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.projection.projection import Projection, project, rays_of
from artasyn.segment.projection.tone import Tone
from artasyn.segment.projection.view import View
from artasyn.synthesis import LungOpacity
from tests.chest import chest, grid

PARALLEL = View(source_to_detector=None, size=(130, 160))


@pytest.fixture(scope="module")
def solids() -> Volume:
    return solid_volume()


@pytest.fixture(scope="module")
def patient() -> Volume:
    return chest()


def balls(**centres: tuple[float, float, float]) -> Volume:
    """Balls of 10 mm radius in a cube of 160 mm."""
    affine, places = grid((2.0, 2.0, 2.0), (160.0, 160.0, 160.0))
    masks = {name: Solid(centre, (10, 10, 10)).holds(places) for name, centre in centres.items()}
    hu = np.where(np.any(list(masks.values()), axis=0), np.int16(0), np.int16(-1000))
    return Volume(hu, affine, {name: Structure.of(mask) for name, mask in masks.items()})


def place(film: Projection, name: str) -> np.ndarray:
    """The centre (row, column) of a structure's thickness, mm at the isocentre from the picture's middle."""
    depth = film.depth(name)
    index = np.indices(depth.shape).reshape(2, -1) @ depth.ravel() / depth.sum()
    return np.asarray((index - (np.array(depth.shape) - 1) / 2) * film.spacing_isocentre)


def turned(volume: Volume, degrees: float, axis: int = 2) -> Volume:
    """The patient turned in the world, about the body axis or another."""
    one, other = (i for i in range(3) if i != axis)
    angle, turn = np.radians(degrees), np.eye(4)
    turn[[one, other], [one, other]] = np.cos(angle)
    turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
    return dataclasses.replace(volume, affine=turn @ volume.affine)


# Known chords ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam", ["parallel", "cone"])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{view.angle:g}")
def test_thickness_is_the_chord_of_every_ray(solids: Volume, view: View, beam: str) -> None:
    found = errors(solids, as_beam(view, beam))
    assert found.beyond <= found.diagonal
    assert found.total < 0.002
    assert found.worst_total < 0.02  # the thinnest plate
    assert found.interior < 0.01
    if beam == "parallel":
        assert found.integral < 0.005


def test_a_cone_from_far_away_is_parallel(solids: Volume) -> None:
    for angle, tilt in ((0.0, 0.0), (45.0, 10.0), (90.0, -15.0)):
        near, far = (
            project(solids, View(angle, tilt, source_to_detector=distance, size=(80, 100), pixel=1.5))
            for distance in (None, 1e7)
        )
        np.testing.assert_allclose(far.thickness, near.thickness, atol=0.3)
        np.testing.assert_allclose(far.attenuation, near.attenuation, atol=0.006)
        assert far.spacing_isocentre == pytest.approx(1.5, rel=1e-4)


def test_a_cone_magnifies(solids: Volume) -> None:
    view = View(source_to_detector=1000.0, source_to_patient=500.0, size=(400, 440), pixel=0.7)
    ball = balls(ball=(0.0, 0.0, 0.0))
    film = project(ball, view)
    assert film.spacing == pytest.approx(0.7)
    assert film.spacing_isocentre == pytest.approx(0.35)
    volume = ball.structures["ball"].voxels * ball.voxel_volume
    assert film.depth("ball").sum() * 0.35**2 == pytest.approx(volume, rel=0.005)
    near, far = (project(balls(ball=(0.0, y, 0.0)), view).depth("ball").sum() for y in (-60.0, 60.0))
    assert near / far == pytest.approx((560 / 440) ** 2, rel=0.02)


# Which way is what ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [None, 1200.0])
def test_left_is_at_image_right_and_the_head_is_up(patient: Volume, distance: float | None) -> None:
    for angle in (0.0, 30.0, 60.0, 120.0, 135.0, 180.0, 225.0, -45.0, -80.0):
        film = project(patient, View(angle, source_to_detector=distance, size=(64, 64)))
        assert place(film, "marker")[1] > 15
        assert place(film, "lung_left")[1] > place(film, "lung_right")[1]
        assert place(film, "trachea")[0] < place(film, "liver")[0]


@pytest.mark.parametrize("name", ["lateral", "left_lateral", "right_lateral"])
def test_the_spine_is_at_image_right_in_laterals(patient: Volume, name: str) -> None:
    film = project(patient, View.named(name, size=(64, 64)))
    assert place(film, "spine")[1] > 30
    assert place(film, "heart")[1] < -10


def test_what_is_nearer_to_the_source_is_larger() -> None:
    volume = balls(left=(-60.0, 0.0, 0.0), right=(60.0, 0.0, 0.0))
    for name, larger, smaller in (("left_lateral", "right", "left"), ("right_lateral", "left", "right")):
        film = project(volume, View.named(name, source_to_detector=800.0, size=(200, 200)))
        assert film.mask(larger).sum() > 1.2 * film.mask(smaller).sum()


def test_a_tilted_beam_looks_from_below() -> None:
    volume = balls(front=(0.0, 50.0, 0.0), back=(0.0, -50.0, 0.0))
    for angle, first, second in ((0.0, "back", "front"), (180.0, "front", "back")):
        film = project(volume, View(angle, tilt=20.0, source_to_detector=None, size=(150, 150)))
        # rays that rise on their way meet the far ball lower than the near one
        assert place(film, second)[0] - place(film, first)[0] == pytest.approx(100 * np.sin(np.radians(20)), abs=0.5)
        assert place(film, second)[1] == pytest.approx(place(film, first)[1], abs=0.1)


@pytest.mark.parametrize("angle", [0.0, 180.0])
def test_a_roll_turns_the_patient_clockwise(angle: float) -> None:
    volume = balls(head=(0.0, 0.0, 60.0), left=(-60.0, 0.0, 0.0))
    film = project(volume, View(angle, roll=30.0, source_to_detector=None, size=(150, 150)))
    np.testing.assert_allclose(place(film, "head"), (-60 * np.cos(np.pi / 6), 30), atol=0.5)
    np.testing.assert_allclose(place(film, "left"), (30, 60 * np.cos(np.pi / 6)), atol=0.5)


@pytest.mark.parametrize("distance", [None, 900.0])
def test_a_shifted_detector_shows_another_part(solids: Volume, distance: float | None) -> None:
    plain, moved = (
        project(solids, View(20.0, source_to_detector=distance, size=(70, 80), pixel=1.5, shift=shift))
        for shift in ((0.0, 0.0), (10.5, -6.0))
    )
    np.testing.assert_allclose(moved.thickness[:, :-7, 4:], plain.thickness[:, 7:, :-4], atol=0.02)


def test_the_isocentre_is_in_the_middle() -> None:
    volume = balls(ball=(-30.0, 10.0, 25.0))
    for angle in (0.0, 50.0, 90.0):
        film = project(volume, View(angle, tilt=7.0, size=(100, 100), pixel=1.0, isocentre=(-30.0, 10.0, 25.0)))
        np.testing.assert_allclose(place(film, "ball"), 0, atol=0.1)


# The patient's place in the world -------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [None, 900.0])
@pytest.mark.parametrize(("angle", "by"), [(0.0, 35.0), (20.0, -60.0), (100.0, 70.0)])
def test_turning_the_patient_is_turning_the_view(
    solids: Volume, angle: float, by: float, distance: float | None
) -> None:
    view = View(angle, tilt=8.0, roll=-5.0, source_to_detector=distance, size=(80, 90), pixel=1.5)
    turned_view = dataclasses.replace(view, angle=angle + by)
    assert view.mirrored == turned_view.mirrored
    one, other = project(solids, view), project(turned(solids, by), turned_view)
    np.testing.assert_allclose(one.thickness, other.thickness, atol=0.02)
    np.testing.assert_allclose(one.image, other.image, atol=2e-3)
    np.testing.assert_allclose(one.coverage, other.coverage, atol=1e-3)


def test_leaning_the_patient_is_tilting_the_view(solids: Volume) -> None:
    view = View(tilt=0.0, size=(80, 90), pixel=1.5)
    leaning = project(turned(solids, 15.0, axis=0), dataclasses.replace(view, tilt=15.0))
    np.testing.assert_allclose(project(solids, view).thickness, leaning.thickness, atol=0.02)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_the_order_of_the_voxels_does_not_matter(
    solids: Volume, order: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    forth = np.zeros((4, 4))  # from the new index to the old one
    forth[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        forth[old, new], forth[old, 3] = flip, 0 if flip > 0 else solids.hu.shape[old] - 1

    def stored(voxels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(voxels.transpose(order)[tuple(slice(None, None, f) for f in flips)])

    structures = {name: Structure.of(stored(solids.mask(name))) for name in solids.structures}
    other = Volume(stored(solids.hu), solids.affine @ forth, structures)
    fine = {"size": (200, 220), "pixel": 0.5}  # finer than slices are added for
    for view in (View(30.0, tilt=10.0, **fine), View(60.0, source_to_detector=None, **fine)):  # type: ignore[arg-type]
        one, two = project(solids, view), project(other, view)
        np.testing.assert_allclose(one.thickness, two.thickness, atol=0.02)
        np.testing.assert_allclose(one.attenuation, two.attenuation, atol=1e-3)


# What a projection holds ----------------------------------------------------------------------------------


def test_structures_overlap_and_are_chosen(solids: Volume) -> None:
    film = project(solids, PARALLEL)
    assert film.names == tuple(SOLIDS)
    assert film.masks().sum(axis=0).max() >= 3
    some = project(solids, PARALLEL, structures=["plate", "box", "plate"])
    assert some.names == ("plate", "box")
    assert (some.depth("box") == film.depth("box")).all()
    with pytest.raises(DataError, match="no structure and no group 'heart'"):
        project(solids, PARALLEL, structures=["box", "heart"])
    with pytest.raises(DataError, match="no structure and no group 'bax'; there are: plate, box"):
        some.depth("bax")
    with pytest.raises(DataError, match="no structure and no group 'lungs'"):
        some.lungs()


def test_masks_follow_thickness_in_millimetres(solids: Volume) -> None:
    film = project(solids, PARALLEL)
    depth = film.depth("ball")
    assert depth.max() == pytest.approx(30, abs=1)
    for threshold in (0.5, 2.0, 20.0):
        radius = np.sqrt(15**2 - (threshold / 2) ** 2)
        area = film.mask("ball", threshold).sum() * film.spacing**2
        assert np.sqrt(area / np.pi) == pytest.approx(radius, abs=1)  # half of the largest width of a voxel
    ball = film.names.index("ball")
    assert (film.masks(20.0)[ball] == film.mask("ball", 20.0)).all()
    soft = film.soft_masks(10.0)[ball]
    assert (soft[depth >= 20] == 1).all()
    assert (soft[depth == 0] == 0).all()
    assert ((soft > 0.5) == film.mask("ball", 10.0)).all()


def test_a_group_is_the_sum_of_its_structures(patient: Volume) -> None:
    film = project(patient, View(size=(64, 64)))
    upper, lower = film.depth("lung_upper_lobe_left"), film.depth("lung_lower_lobe_left")
    np.testing.assert_allclose(film.depth("lung_left"), upper + lower, atol=1e-4)
    assert (film.mask("spine") == (film.depth("vertebrae_T8") + film.depth("vertebrae_T9") > 2)).all()


def test_the_image_is_a_film(patient: Volume) -> None:
    film = project(patient, View(size=(128, 128)))
    assert film.image.dtype == np.float32
    assert film.image.min() >= 0
    assert film.image.max() <= 1
    order = np.argsort(film.attenuation, axis=None)
    assert (np.diff(film.image.ravel()[order]) >= -1e-6).all()  # the more is in the way, the brighter
    lung = film.lungs().mask & (film.depth("lungs") > 60)
    assert np.median(film.image[film.mask("heart")]) > np.median(film.image[lung]) + 0.15
    assert np.median(film.image[film.coverage == 0]) < np.median(film.image[lung])


def test_attenuation_is_that_of_water(solids: Volume) -> None:
    union = dataclasses.replace(solids, structures={"all": Structure.of(solids.hu == 0)})
    film = project(union, as_beam(View(30.0), "cone"))
    np.testing.assert_allclose(film.attenuation, 0.0192 * film.depth("all"), atol=2e-3)


def test_a_given_tone_makes_the_image(solids: Volume) -> None:
    tone = Tone((0.0, 4.0), (0.0, 1.0))
    film = project(solids, PARALLEL, tone=tone)
    np.testing.assert_allclose(film.image, np.minimum(film.attenuation / 4, 1), atol=1e-6)


def test_projecting_twice_gives_the_same(patient: Volume) -> None:
    one, two = (project(patient, View(33.0, tilt=3.0, size=(64, 64))) for _ in range(2))
    assert (one.image == two.image).all()
    assert (one.thickness == two.thickness).all()


# What is covered ------------------------------------------------------------------------------------------


def test_coverage_lacks_where_rays_leave_through_the_ends(patient: Volume) -> None:
    film = project(patient, View(tilt=25.0, source_to_detector=None, size=(200, 200)))
    seen = film.attenuation > 0.1
    middle, top = film.coverage[95:105, 90:110], film.coverage[np.flatnonzero(seen.any(axis=1))[:3], 90:110]
    assert (middle > 0.999).all()
    assert (top < 0.5).all()
    assert (film.coverage[:, 0] == 0).all()
    assert (film.coverage[seen] > 0).mean() > 0.99  # but for half a voxel at the ends
    assert (film.covered == (film.coverage >= 0.98)).all()
    assert project(patient, View(source_to_detector=None, size=(200, 200))).covered[film.attenuation > 9].all()


def test_cropping_to_what_is_covered_leaves_no_rims(patient: Volume) -> None:
    film = project(patient, View(tilt=15.0, source_to_detector=1000.0, size=(200, 200)))
    part = film.in_coverage()
    assert (part.covered | (part.attenuation < 0.15)).all()
    assert (part.attenuation > 0.15).any(axis=1).all()
    assert part.attenuation.shape[0] < (film.attenuation > 0.15).any(axis=1).sum()
    assert part.image.shape == part.attenuation.shape == part.coverage.shape == part.thickness.shape[1:]
    assert part.spacing == film.spacing
    assert part.tone == film.tone
    with pytest.raises(DataError, match="fewer than 16 rows of this view are covered"):
        project(chest(length=100.0), View(tilt=50.0, size=(200, 200))).in_coverage()


def test_a_film_shows_the_lungs_with_a_margin(patient: Volume) -> None:
    film = project(patient, View(size=(200, 200)))
    rows, columns = film.film_field()
    part = film.as_film()
    assert part.image.shape == film.image[rows, columns].shape
    assert part.mask("lungs").sum() == film.mask("lungs").sum()
    assert not part.mask("lungs")[:, :4].any()
    assert part.mask("lungs")[:, 4:20].any()
    assert part.image.size < 0.8 * film.image.size
    with pytest.raises(DataError, match="no lungs in this view"):
        project(patient, View(size=(64, 64), pixel=1.0, shift=(0.0, 180.0))).film_field()


@pytest.mark.parametrize("frame", ["covered", "film"])
@pytest.mark.parametrize("options", [{}, {"angle": 60.0, "tilt": 12.0, "source_to_detector": 1100.0}])
def test_only_the_wanted_part_is_projected_and_is_the_same(
    patient: Volume, frame: str, options: dict[str, float]
) -> None:
    view = View(size=(160, 170), **options)  # type: ignore[arg-type]
    whole = project(patient, view)
    part = project(patient, view, frame="film" if frame == "film" else "covered")
    expected = whole.as_film() if frame == "film" else whole.in_coverage()
    assert part.start == expected.start
    assert part.field == expected.field
    assert (whole.attenuation[part.field] == part.attenuation).all()
    assert part.names == whole.names
    np.testing.assert_allclose(part.image, expected.image, atol=1e-6)
    np.testing.assert_allclose(part.thickness, expected.thickness, atol=0.05)
    again = part.cropped(slice(3, 20), slice(5, 25))
    assert (whole.attenuation[again.field] == again.attenuation).all()


# Lungs ----------------------------------------------------------------------------------------------------


def test_visible_lungs_leave_out_what_hides_them(patient: Volume) -> None:
    film = project(patient, View(size=(200, 200)))
    projected, visible = film.lungs("projected"), film.lungs()
    assert projected.found
    assert visible.found
    assert (projected.mask == film.mask("lungs")).all()
    hidden = np.any([film.mask(name) for name in ("heart", "liver", "spleen", "stomach")], axis=0)
    assert (visible.mask == (projected.mask & ~hidden)).all()
    assert 0.3 < visible.mask.sum() / projected.mask.sum() < 0.9
    assert (projected.labels[:, :60] != LEFT).all()
    assert (projected.labels[:, -60:] != RIGHT).all()
    assert (projected.right & film.mask("lung_right")).sum() == projected.right.sum()


def test_lungs_without_sides_are_told_apart_on_the_film(patient: Volume) -> None:
    lungs = Structure.of(patient.mask("lungs"))
    film = project(dataclasses.replace(patient, structures={"lung": lungs}), View(size=(128, 128)))
    found = film.lungs()
    assert (found.mask == film.mask("lungs")).all()
    assert not found.left[:, :40].any()
    assert not found.right[:, -40:].any()


@pytest.mark.parametrize("convention", ["visible", "projected"])
@pytest.mark.parametrize("view", ["pa", "ap", "30"])
def test_lung_opacities_lie_in_projected_lungs(patient: Volume, convention: str, view: str) -> None:
    film = project(patient, View.named(view, size=(192, 192))).as_film()
    lungs = film.lungs("visible" if convention == "visible" else "projected")
    anomaly = LungOpacity()(film.image, lungs, np.random.default_rng(4))
    assert (anomaly.mask == (anomaly.image != film.image)).all()
    assert anomaly.mask.any()
    assert (anomaly.mask & lungs.mask).sum() > 0.8 * anomaly.mask.sum()


def test_a_lung_opacity_is_put_into_one_lobe(patient: Volume) -> None:
    film = project(patient, View(size=(192, 192)))
    lobe = film.mask("lung_upper_lobe_left") & film.lungs().mask
    lungs = film.lungs(part="lung_upper_lobe_left")
    np.testing.assert_array_equal(lungs.mask, lobe)
    assert not (lungs.mask & film.mask("heart")).any()
    anomaly = LungOpacity()(film.image, lungs, np.random.default_rng(5))
    assert anomaly.mask.any()
    assert (anomaly.mask & lobe).sum() > 0.8 * anomaly.mask.sum()


# A real CT ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(real_ct: Volume, data: Path) -> Volume:
    return real_ct.labelled(data / "ct" / "lidc_0001_nodule.nii.gz", prefix="nodule")


@pytest.mark.realdata
def test_a_real_ct_from_behind(real: Volume) -> None:
    film = project(real, View(source_to_detector=None, size=None), structures=["lungs", "trachea", "heart", "liver"])
    assert film.depth("lungs").max() == pytest.approx(177, abs=3)
    assert film.depth("trachea").max() == pytest.approx(real.mask("trachea").sum(axis=1).max() * 0.703125, abs=0.1)
    native = real.mask("lungs").sum(axis=1) * 0.703125
    assert (native > 2).sum() / (native > 0).sum() == pytest.approx(0.996, abs=0.001)
    area = (native > 2).sum() * real.spacing[0] * real.spacing[2]
    assert film.mask("lungs").sum() * film.spacing**2 == pytest.approx(area, rel=0.01)
    assert place(film, "heart")[1] > place(film, "trachea")[1] + 10
    assert place(film, "liver")[1] < place(film, "trachea")[1] - 20
    assert place(film, "liver")[0] > place(film, "heart")[0] > place(film, "trachea")[0]
    for name in ("lung_upper_lobe_left", "lung_middle_lobe_right", "liver", "trachea"):
        found = film.depth(name).sum(dtype=np.float64) * film.spacing**2
        assert found == pytest.approx(real.structures[name].voxels * real.voxel_volume, rel=0.005)


@pytest.mark.realdata
def test_lungs_of_a_real_ct_as_films_show_them(real: Volume) -> None:
    hiding = ["lungs", "heart", "liver", "spleen", "stomach"]
    film = project(real, View(source_to_detector=None, size=None), structures=hiding)
    share = film.lungs("visible").mask.sum() / film.lungs("projected").mask.sum()
    assert share == pytest.approx(0.56, abs=0.02)


@pytest.mark.realdata
@pytest.mark.parametrize("angle", [0.0, 45.0, 90.0])
def test_a_real_nodules_mask_covers_its_projection(real: Volume, angle: float) -> None:
    depths = []
    for side in (512, 2048):
        depth = np.zeros((side, side), np.float32)
        rays = rays_of(real, View(angle, size=(side, side)))
        part, depth_there = rays.through(real.structures["nodule"].mask, real.structures["nodule"].start)
        depth[part] = depth_there
        depths.append(depth)
    truth, found = depths[1].reshape(512, 4, 512, 4).mean(axis=(1, 3)) > 2, depths[0] > 2
    assert dice(truth, found) > 0.95
