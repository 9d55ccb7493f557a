"""Masks as files: every format holds the same masks, and a format that is not wanted is not there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as rle

from artasyn.files.radiograph import read_mask
from artasyn.outputs.masks import MASK_FILES, MaskFiles, Output

GRID = (30, 20)
NAMES = tuple(f"structure_{number}" for number in range(10))
"""More than eight, so that the packed masks need a second byte; every third mask is empty."""


def drawn(name: str) -> np.ndarray:
    number = int(name.rpartition("_")[2])
    mask = np.zeros(GRID, bool)
    if number % 3:
        mask[number : number + 5, 2 : 4 + number] = True
    return mask


def written(out: Path, *outputs: Output) -> tuple[MaskFiles, dict[str, object]]:
    files = MaskFiles(out, NAMES, frozenset(outputs))
    return files, files.write("ward/a", GRID, 12.0, drawn, lambda name: int(name[-1]) / 10)


def test_every_format_holds_the_masks(tmp_path: Path) -> None:
    files, row = written(tmp_path, "png", "npz", "coco")
    assert set(row) == {*MASK_FILES, "structures"}
    assert row["structures"] == 6
    with np.load(tmp_path / str(row["npz"])) as file:
        packed = np.unpackbits(file["masks"], axis=0, count=len(file["names"])) > 0
        np.testing.assert_allclose(file["confidence"], np.arange(10) / 10, atol=1e-6)
        assert (tuple(file["names"]), float(file["angle"])) == (NAMES, 12.0)
    described = {each["structure"]: each for each in json.loads((tmp_path / str(row["annotations"])).read_text())}
    for place, name in enumerate(NAMES):
        np.testing.assert_array_equal(packed[place], drawn(name))
        picture = tmp_path / str(row["masks"]) / f"{name}.png"
        assert picture.exists() == (name in described) == drawn(name).any()
        if picture.exists():
            np.testing.assert_array_equal(read_mask(picture), drawn(name))
            np.testing.assert_array_equal(rle.decode(described[name]["segmentation"]) > 0, drawn(name))
    (path,) = files.collect([(Path("a.png"), {**row, "width": "20", "height": "30"})])
    whole = json.loads(path.read_text())
    assert [each["name"] for each in whole["categories"]] == list(NAMES)
    assert len(whole["annotations"]) == 6


def test_a_format_that_is_not_wanted_is_not_written_and_an_old_collection_goes(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("{}")
    files, row = written(tmp_path, "npz")
    assert set(row) == {"npz", "structures"}
    assert files.collect([(Path("a.png"), row)]) == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["npz"]
