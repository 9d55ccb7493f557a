"""What labels tell of the channels: a name, its parts, nothing that the scan cut off, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.segment.ct.truth import known
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.structures import LOBES, RIBS, VERTEBRAE


def patient(*names: str, cut: tuple[str, ...] = ()) -> Volume:
    """A volume whose structures lie inside, but for those that the scan cuts off."""
    inside = Structure((2, 2, 2), np.ones((2, 2, 2), bool))
    structures = {name: Structure((0, 2, 2), inside.mask) if name in cut else inside for name in names}
    return Volume(np.zeros((8, 8, 8), np.int16), np.diag([-3.0, -3.0, -3.0, 1.0]), structures)


def test_a_ct_without_labels_tells_the_body() -> None:
    assert known(patient()) == ("body",)
    assert known(patient("skeleton", "bronchi")) == ("body",)


def test_lobes_tell_lungs_and_one_lobe_does_not() -> None:
    assert set(known(patient(*LOBES))) == {"body", "lung_right", "lung_left", *LOBES}
    assert known(patient("lung_upper_lobe_left")) == ("body", "lung_upper_lobe_left")
    assert known(patient("lung")) == ("body",)  # of both sides together


def test_a_heart_tells_no_chambers_and_chambers_tell_a_heart() -> None:
    assert known(patient("heart")) == ("body", "heart", "drawn_heart")
    chambers = [f"heart_{part}_{side}" for part in ("atrium", "ventricle") for side in ("right", "left")]
    assert "heart" not in known(patient(*chambers))
    assert {"heart", "drawn_heart"} <= set(known(patient(*chambers, "heart_myocardium")))


def test_lungs_as_drawn_need_what_bounds_them() -> None:
    lungs = ("lung_right", "lung_left")
    assert not {name for name in known(patient(*lungs)) if name.startswith(("visible", "whole"))}
    assert "visible_lung_left" in known(patient(*lungs, "heart"))
    assert "whole_lung_right" in known(patient(*lungs, "spine"))


def test_all_ribs_tell_a_side_and_all_vertebrae_the_spine() -> None:
    assert "ribs_right" in known(patient(*RIBS))
    assert "ribs_right" not in known(patient(*(name for name in RIBS if name != "rib_right_12")))
    assert "spine" in known(patient(*VERTEBRAE))
    assert "spine" not in known(patient("vertebrae_T8"))


@pytest.mark.parametrize(("name", "told"), [("rib_left_12", False), ("clavicula_left", False), ("aorta", True)])
def test_what_the_scan_cuts_off_is_known_only_where_it_runs_on(name: str, told: bool) -> None:
    ended = patient(name, cut=(name,))
    assert (name in known(ended)) is told
    assert (name in known(ended.prolonged(9.0, 9.0))) is told
    assert name in known(ended, cut=True)
