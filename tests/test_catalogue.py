"""The catalogue is complete, and what holds for all of a kind holds for each: records, segmenters, makers, layouts."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import cv2
import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.cli.catalogue import COMMANDS, command_function, module_of
from artasyn.commands.merge import COMMANDS as MERGED
from artasyn.errors import ArtasynError
from artasyn.files.ct_volumes import VOLUME_SUFFIXES
from artasyn.files.radiograph import read_radiograph
from artasyn.files.rasters import PICTURE_SUFFIXES
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs
from artasyn.testsets import LAYOUTS
from tests.catalogue import CATALOGUE, FURTHER_MAKERS, RECORDS, SEGMENTERS
from tests.files.test_ct import VOLUMES
from tests.test_packaging import sources
from tests.testsets.builders import WRITERS


@cache
def definitions() -> tuple[tuple[str, Any], ...]:
    """Every public class and function that a module of artasyn defines, with its module."""
    found = []
    for name, file in sources():
        if file.stem not in ("__init__", "__main__"):
            module = importlib.import_module(name)
            found += [
                (name, value)
                for key, value in vars(module).items()
                if not key.startswith("_") and getattr(value, "__module__", "") == name
            ]
    return tuple(found)


def classes() -> Iterator[type]:
    return (value for _, value in definitions() if inspect.isclass(value))


def makers_of(kind: str, first: str) -> set[type]:
    """Classes whose objects are called with an argument of that name and give a result of that kind."""
    found = set()
    for each in classes():
        call = vars(each).get("__call__")
        if call is not None and not getattr(each, "_is_protocol", False):
            signature = inspect.signature(call)
            if str(signature.return_annotation) == kind and list(signature.parameters)[1] == first:
                found.add(each)
    return found


def test_every_record_segmenter_and_maker_is_in_the_catalogue() -> None:
    assert {each for each in classes() if hasattr(each, "from_json")} == set(RECORDS)
    assert makers_of("Lungs", "image") == set(SEGMENTERS)
    makers = [makers_of(kind, "image") for kind in ("Anomaly", "ImaginedAnomaly", "Made")]
    assert set.union(*makers) == {kind for kind, _ in CATALOGUE} | FURTHER_MAKERS


def test_every_layout_has_its_reader_and_a_tree_that_is_written_for_tests() -> None:
    readers = {
        value
        for name, value in definitions()
        if name.startswith("artasyn.testsets.") and inspect.isfunction(value)
        if str(inspect.signature(value).return_annotation) == "TestSet | None"
    }
    assert readers == {layout.read for layout in LAYOUTS.values()}
    assert set(WRITERS) == set(LAYOUTS)


def test_every_command_has_its_row() -> None:
    commands = {
        value.__name__
        for name, value in definitions()
        if inspect.isfunction(value) and name.startswith("artasyn.commands.") and name.endswith(f".{value.__name__}")
    }
    assert commands == {module_of(name).rpartition(".")[2] for name in COMMANDS}


def test_every_command_that_takes_portions_can_be_merged() -> None:
    able = {
        name for name in COMMANDS if "machines" in get_type_hints(command_function(name)[1], localns={"KW_ONLY": Any})
    }
    assert able == set(MERGED)


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES))
def test_every_picture_suffix_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"film{suffix}"
    grey = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60) // 10
    known = suffix if cv2.haveImageWriter(f"a{suffix}") else {"j": ".jpg", "a": ".png"}[suffix[1]]
    path.write_bytes(cv2.imencode(known, grey.astype(np.uint8))[1].tobytes())
    image = read_radiograph(path)
    assert np.corrcoef(image.ravel(), grey.ravel())[0, 1] > 0.99


def test_every_volume_suffix_is_read() -> None:
    read = {suffix for suffix in VOLUME_SUFFIXES for name in VOLUMES if name.lower() == f"a{suffix}"}
    assert read == set(VOLUME_SUFFIXES)  # and compared with the others, in test_ct


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_reader_finds_nothing_in_an_empty_folder(name: str, tmp_path: Path) -> None:
    assert LAYOUTS[name].read(tmp_path) is None


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_comes_back_from_json(kind: type[Any]) -> None:
    record = RECORDS[kind]()
    text = record.to_json()
    again = kind.from_json(text)
    assert type(again) is kind
    assert again == record
    assert again.to_json() == text
    for wrong in ("", "{}", "[]", "nothing"):
        with pytest.raises(ArtasynError):
            kind.from_json(wrong)


def images() -> dict[str, Image]:
    rng = np.random.default_rng(0)
    film = Phantom(size=120)(2).image
    return {
        "film": film,
        "cut": film[10:, :77],
        "noise": rng.random((64, 90), dtype=np.float32),
        "black": np.zeros((50, 40), np.float32),
        "white": np.ones((33, 65), np.float32),
    }


@pytest.mark.parametrize("name", images())
@pytest.mark.parametrize("segment", SEGMENTERS.values(), ids=[kind.__name__ for kind in SEGMENTERS])
def test_any_image_gives_lungs_of_its_shape_and_the_same_again(segment: Callable[[Image], Lungs], name: str) -> None:
    image = images()[name]
    before = image.copy()
    lungs = segment(image)
    assert lungs.labels.shape == image.shape
    assert np.isin(lungs.labels, (0, 1, 2)).all()
    np.testing.assert_array_equal(segment(image).labels, lungs.labels)
    np.testing.assert_array_equal(image, before)
