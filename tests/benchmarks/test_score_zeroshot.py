"""The benchmark of zero-shot detection on phantoms, its baselines, and the split of the development sets."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from artasyn.bulk.sources import Source
from artasyn.phantom.film import Phantom
from artasyn.training.normals import Normals
from benchmarks import score_zeroshot
from benchmarks.development import HELD_OUT, SETS, held_out, patient_in, training_normals
from benchmarks.rivals.atlas import Atlas
from benchmarks.rivals.presets import presets


@pytest.fixture(scope="module")
def normals() -> Normals:
    chests = [Phantom(size=128)(seed) for seed in range(4)]
    images = np.stack([np.rint(chest.image * 65535).astype(np.uint16) for chest in chests])
    names = tuple(f"{number:04x}" for number in range(4))
    labels = np.stack([chest.lungs.labels for chest in chests])
    return Normals(names, ("folder",) * 4, images, labels, labels)


def test_every_file_is_written_and_the_baselines_stand_beside(
    phantoms: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = str(trained / "model"), tmp_path / "out"
    options = ["--data", str(phantoms), "--compare", f"again={model}", "--out", str(out), "--bootstrap", "20"]
    monkeypatch.setattr(sys, "argv", ["score_zeroshot", *options])
    score_zeroshot.main()
    result = json.loads((out / "zeroshot.json").read_text())
    (methods,) = result["sets"].values()
    assert list(methods) == ["artasyn", "again", "lungs alone"]
    assert methods["lungs alone"]["pixel_auroc_in_lungs"]["value"] == 0.5
    assert methods["artasyn"]["images"] == 5
    assert methods["artasyn"]["pixel_ap"] != methods["again"]["pixel_ap"]
    assert "| pixel AP |" in (out / "table.md").read_text()
    page = (out / "report.html").read_text()
    for heading in ("curves", "worst diseased films", "best diseased films", "healthy films of the highest score"):
        assert heading in page
    assert page.index("worst diseased") < page.index("best diseased")


@pytest.mark.parametrize("name", ["artasyn", "published texture", "pasted patch", "Poisson blending", "Perlin noise"])
def test_every_way_changes_the_film_where_it_says(normals: Normals, name: str) -> None:
    way = presets(normals)[name]
    image, lungs = normals.image(0), normals.lungs(0)
    made = way(image, lungs, np.random.default_rng(1))
    marked = made.attenuation >= 0.02
    assert marked.any()
    assert made.image.shape == image.shape
    assert made.image.dtype == np.float32
    assert 0 <= made.image.min() <= made.image.max() <= 1
    change = np.abs(made.image - image)
    assert change[marked].mean() > 3 * change[~marked].mean()
    again = way(image, lungs, np.random.default_rng(1))
    np.testing.assert_array_equal(again.image, made.image)


def test_the_atlas_sees_what_is_brighter_than_normal(normals: Normals) -> None:
    atlas = Atlas.of(normals, 96)
    image, lungs = normals.image(1), normals.lungs(1)
    place = np.argwhere(lungs.right).mean(axis=0).astype(int)
    ill = image.copy()
    ill[place[0] - 12 : place[0] + 12, place[1] - 8 : place[1] + 8] += 0.3
    (low, _), (high, heatmap) = atlas(image, lungs), atlas(np.clip(ill, 0, 1), lungs)
    assert high > low
    at = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
    assert np.abs(np.array(at) - place).max() < 16


def test_all_films_of_a_patient_are_held_out_or_none() -> None:
    films = [Source(Path(f"NORMAL2-IM-{patient:04d}-0001{k}.jpg"), "") for patient in range(300) for k in ("", "-0002")]
    adults = [Source(Path(f"{patient:08d}_{k:03d}.png"), "") for patient in range(300) for k in (0, 1)]
    kept = [held_out(film, "nih") for film in adults]
    assert kept[::2] == kept[1::2]
    assert abs(np.mean(kept) - HELD_OUT["nih"]) < 0.1
    shares = [held_out(film, "zhanglab") for film in films]
    assert shares[::2] == shares[1::2]
    assert abs(np.mean(shares) - HELD_OUT["zhanglab"]) < 0.08


@pytest.mark.realdata
def test_no_training_film_is_tested_on(data: Path) -> None:
    training = {source.path for source in training_normals(data)}
    tested = {film.source.path for make in SETS.values() for film in make(data).films}
    assert len(training) > 1000
    assert not training & tested


@pytest.mark.realdata
def test_no_patient_and_no_pixels_of_a_training_film_are_tested_on(data: Path) -> None:
    """Films are compared by their patients, and by what they show: a copy under another name is found too."""
    training, tested = training_normals(data), [film.source.path for make in SETS.values() for film in make(data).films]
    patients = {patient_in(source.path) for source in training}
    assert "IM-0115" in patients
    assert not patients & {patient_in(path) for path in tested}
    contents = {hashlib.sha256(source.path.read_bytes()).hexdigest() for source in training}
    assert not contents & {hashlib.sha256(path.read_bytes()).hexdigest() for path in set(tested)}
