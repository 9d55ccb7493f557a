"""The settings of a reader of anatomy: what is refused, and JSON and metadata that give them again."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from artasyn.errors import ModelError
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.structures import ANATOMY


def test_json_and_metadata_give_the_same_settings() -> None:
    settings = AnatomySettings(size=96, looks=3).calibrated([0.4] * len(ANATOMY), [0.8] * len(ANATOMY))
    assert AnatomySettings.of(json.loads(json.dumps(asdict(settings))), "settings") == settings
    assert AnatomySettings.from_metadata(settings.to_metadata()) == settings
    assert settings.calibrated() == settings
    assert (settings.threshold("drawn_heart"), AnatomySettings().threshold("drawn_heart")) == (0.4, 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 100}, "size is 100, not a multiple of 16"),
        ({"size": 10**6}, "size is 1000000, not from 32 to 1024"),
        ({"names": ()}, "names holds 0 items"),
        ({"names": ("heart", "heart")}, "names holds a structure twice"),
        ({"names": ("heart",), "thresholds": (0.5, 0.5)}, "thresholds holds 2 items for 1 names"),
        ({"agreements": (0.5,)}, "agreements holds 1 items for 87 names"),
        ({"widths": (96, 64)}, "widths holds 2 items, not 3"),
        ({"looks": 5}, "looks is 5, not from 1 to 4"),
        ({"floor": float("nan")}, "floor is nan, not a finite number"),
        ({"kind": "discriminative"}, "kind is 'discriminative'; choose from anatomy"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        AnatomySettings.of(json.loads(json.dumps({"kind": "anatomy"} | changes)), "settings")


def test_a_detector_is_no_reader_of_anatomy() -> None:
    with pytest.raises(ModelError, match=r"its settings\.kind is missing"):
        AnatomySettings.of({"size": 96}, "settings")
    with pytest.raises(ModelError, match=r"there is no artasyn\.kind in its metadata"):
        AnatomySettings.from_metadata({})
