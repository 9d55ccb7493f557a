"""Quality control: the intact pass, each broken input is rejected with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from artasyn.phantom.faults import mirrored, shifted, sliced, with_table, without
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.quality import check_projection, check_volume
from artasyn.segment.projection.view import View
from artasyn.segment.structures import members
from tests.chest import chest

Break = Callable[[Volume], Volume]


def repeated(volume: Volume) -> Volume:
    """One slice twice."""
    hu = volume.hu + np.random.default_rng(0).integers(-20, 20, volume.hu.shape).astype(np.int16)
    hu[20] = hu[21]
    return dataclasses.replace(volume, hu=np.clip(hu, -1024, 3071))


@pytest.fixture(scope="module")
def volume() -> Volume:
    return chest(length=320.0)


def test_the_intact_passes(volume: Volume) -> None:
    quality = check_volume(volume)
    assert quality.ok
    assert quality.reasons == ()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda v: shifted(v, (0, 0, 3)), "labels shifted"),
        (lambda v: shifted(v, (0, -3, 0)), "labels shifted"),
        (lambda v: shifted(v, (2, 0, 0)), "labels shifted"),
        (lambda v: shifted(v, (0, 0, 25)), "labels shifted"),
        (lambda v: sliced(v, np.arange(20, 64)), "cuts the lungs off: they reach the first slice"),
        (lambda v: sliced(v, np.arange(0, 40)), "cuts the lungs off: they reach the last slice"),
        (mirrored, "lungs are on the wrong sides"),
        (mirrored, "liver is on the left"),
        (with_table, "the table is in the volume"),
        (repeated, "slices 20 and 21 are the same"),
        (lambda v: without(v, *(n for n in v.structures if n.startswith("lung_"))), "no lungs are labelled"),
        (lambda v: without(v, "lung_upper_lobe_left", "lung_upper_lobe_right", "lung_lower_lobe_left"), "have 0."),
    ],
)
def test_what_is_broken_is_rejected_with_its_reason(volume: Volume, broken: Break, reason: str) -> None:
    quality = check_volume(broken(volume))
    assert not quality.ok
    assert any(reason in each for each in quality.reasons), quality.reasons


def test_bones_without_ribs_are_noted(volume: Volume) -> None:
    assert "bones are labelled, but no ribs" in check_volume(volume).notes
    rib = Structure.of(volume.mask("marker"))
    assert "bones are labelled, but no ribs" not in check_volume(volume.with_structures(rib_left_1=rib)).notes


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 180.0])
def test_projections_of_the_intact_pass(angle: float) -> None:
    projection = project(chest(length=420.0), View(angle, size=(160, 160)), frame="film")
    assert check_projection(projection).ok


def test_projections_are_rejected_with_their_reasons(volume: Volume) -> None:
    view = View(size=(160, 160))
    short = project(sliced(volume, np.arange(12, 45)), view)
    assert any("not covered" in reason for reason in check_projection(short).reasons)
    film = project(volume, view, frame="film")
    rows, columns = film.attenuation.shape
    half = film.cropped(slice(0, rows), slice(0, columns // 3))
    assert any("cuts the lungs" in reason for reason in check_projection(half).reasons)
    swapped = {"vertebrae_T8": volume.structures["vertebrae_T9"], "vertebrae_T9": volume.structures["vertebrae_T8"]}
    wrong = project(volume.with_structures(**swapped), view, frame="film")
    assert "vertebrae_T8 lies below vertebrae_T9" in check_projection(wrong).reasons
    heart = Structure.of(volume.mask("heart") | volume.mask("trachea"))
    torn = project(volume.with_structures(heart=heart), view, frame="film")
    assert any("heart is in 2 pieces" in reason for reason in check_projection(torn).reasons)
    small = dataclasses.replace(film, spacing_isocentre=film.spacing_isocentre / 3)
    assert any("footprint has" in reason for reason in check_projection(small).reasons)
    none = project(volume, view, structures=["heart"])
    assert "no lungs are labelled" in check_projection(none).reasons


@pytest.mark.realdata
def test_a_real_ct_passes_and_broken_it_does_not(real_ct: Volume) -> None:
    wanted = ("lungs", "ribs", "liver", "spine", "aorta")
    few = {name for each in wanted for name in members(each, real_ct.structures)}
    volume = without(real_ct, *(real_ct.structures.keys() - few))
    quality = check_volume(volume)
    assert quality.ok
    assert any("contrast agent" in note for note in quality.notes)
    ribs = [name for name in volume.structures if name.startswith("rib_")]
    for broken, reason in (
        (shifted(volume, (0, 0, 6)), "labels shifted"),
        (without(volume, *ribs[::2]), "12 of 24 ribs"),
        (sliced(volume, np.arange(25, 133)), "cuts the lungs off"),
        (sliced(volume, np.r_[0:60, 72:133]), "a gap between slices 59 and 60"),
        (mirrored(volume), "wrong sides"),
    ):
        assert any(reason in each for each in check_volume(broken).reasons), (reason, check_volume(broken).reasons)
    for angle in (0.0, 45.0, 90.0):
        assert check_projection(project(real_ct, View(angle, size=(256, 256)), frame="film")).ok
