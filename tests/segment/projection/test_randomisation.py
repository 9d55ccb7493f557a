"""Domain randomisation: drawn from the seed alone, remade from the record, within the ranges, exact pairs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.randomisation import DomainRandomisation, Film, ProjectionRecord
from artasyn.segment.projection.view import View
from tests.chest import chest

VIEW = View(size=(128, 128), source_to_detector=6000.0)


@pytest.fixture(scope="module")
def volume() -> Volume:
    return chest(length=420.0)


@pytest.fixture(scope="module")
def records(volume: Volume) -> list[ProjectionRecord]:
    draw = DomainRandomisation().draw
    return [draw(volume, np.random.default_rng(seed), view=VIEW, lesions=("nodule",)) for seed in range(150)]


def test_a_record_depends_on_the_generator_alone(volume: Volume, records: list[ProjectionRecord]) -> None:
    again = DomainRandomisation().draw(volume, np.random.default_rng(7), view=VIEW, lesions=("nodule",))
    assert again == records[7] != records[8]


def test_records_survive_json(records: list[ProjectionRecord]) -> None:
    for record in records[:20]:
        assert ProjectionRecord.from_json(record.to_json()) == record
    more = json.loads(records[0].to_json()) | {"about": {"ct": "a.nii.gz"}}
    assert ProjectionRecord.from_json(json.dumps(more)) == records[0]
    for text in ("{}", "[]", "nothing", json.dumps({"variation": {"lesions": [{}]}, "view": {}, "look": {}})):
        with pytest.raises(DataError, match="not the record"):
            ProjectionRecord.from_json(text)


def test_records_of_earlier_versions_are_read(volume: Volume) -> None:
    rng = np.random.default_rng(3)
    record = DomainRandomisation().draw(volume, rng, view=VIEW, lesions=("nodule", "ground_glass_opacity"))
    older = record.to_json().replace('"ground_glass_opacity"', '"ground_glass"')
    assert older != record.to_json()
    assert ProjectionRecord.from_json(older) == record


def test_what_is_drawn_lies_in_the_ranges_and_fills_them(volume: Volume, records: list[ProjectionRecord]) -> None:
    factors = np.array([factor for record in records for _, factor in record.variation.attenuations])
    assert factors.min() >= 0.1
    assert factors.max() <= 4.0
    counts, edges = np.histogram(np.log(factors), bins=np.log([0.25, 0.5, 0.8, 1.25, 2.0, 4.0]))
    density = counts / np.diff(np.exp(edges))
    assert density.argmax() == 2  # mode 1
    share = np.mean([len(dict(record.variation.attenuations)) / len(volume.structures) for record in records])
    assert 0.4 < share < 0.6
    tilts = np.array([record.view.tilt for record in records])
    assert -5 <= tilts.min() < -4
    assert 4 < tilts.max() <= 5
    assert 0.03 < np.mean([record.view.parallel for record in records]) < 0.2
    assert 0.4 < np.mean([record.look.invert for record in records]) < 0.6
    assert {record.look.marker for record in records} == {"", "L", "R"}


def test_groups_vary_together(records: list[ProjectionRecord]) -> None:
    for record in records:
        factors = dict(record.variation.attenuations)
        lungs = {factor for name, factor in factors.items() if name.startswith("lung_")}
        assert len(lungs) <= 1
    assert any(dict(r.variation.attenuations).get("vertebrae_T8") for r in records)


def test_a_film_is_remade_bit_for_bit(volume: Volume, records: list[ProjectionRecord]) -> None:
    for record in records[:6]:
        film = Film.of(volume, record)
        again = Film.of(chest(length=420.0), ProjectionRecord.from_json(record.to_json()))
        assert np.array_equal(film.image, again.image)
        assert np.array_equal(film.projection.thickness, again.projection.thickness)
        assert film.lesions is not None
        assert again.lesions is not None
        assert np.array_equal(film.lesions, again.lesions)
        assert film.image.shape == film.projection.attenuation.shape == film.lesions.shape


def test_pairs_differ_by_the_lesion(volume: Volume, records: list[ProjectionRecord]) -> None:
    plain = dataclasses.replace(records[3], look=dataclasses.replace(records[3].look, clahe=0.0, scatter=0.0, blur=0.0))
    look = dataclasses.replace(plain.look, noise=0.0, streaks=0.0, collimation=(0.0,) * 4, marker="", contrast=1.0)
    film = Film.of(volume, dataclasses.replace(plain, look=look))
    assert film.healthy is not None
    assert film.lesions is not None
    changed = np.abs(film.image - film.healthy) > 1e-6
    assert (changed <= film.lesions).all()
    assert (changed == film.lesions).mean() > 0.999
    assert film.projection.mask("lesion_1").any()


def test_films_without_lesions_have_none(volume: Volume) -> None:
    record = DomainRandomisation().draw(volume, np.random.default_rng(1), view=VIEW)
    film = Film.of(volume, record)
    assert film.healthy is None
    assert film.lesions is None
    assert film.masks().shape == (len(volume.structures), *film.image.shape)
    assert not film.masks()[:, ~film.field].any()


def test_structures_can_be_chosen(volume: Volume, records: list[ProjectionRecord]) -> None:
    film = Film.of(volume, records[0], structures=["heart", "lung_left"])
    assert film.projection.names == ("heart", "lung_upper_lobe_left", "lung_lower_lobe_left", "lesion_1")
    full = Film.of(volume, records[0])
    assert np.array_equal(film.image, full.image)
    assert np.array_equal(film.projection.depth("heart"), full.projection.depth("heart"))


def test_the_spine_of_varied_laterals_stays_where_it_is(volume: Volume) -> None:
    sides = set()
    for seed in range(12):
        view = View(90.0, size=(96, 96))
        record = DomainRandomisation(turn_range=(-8.0, 8.0)).draw(volume, np.random.default_rng(seed), view=view)
        film = Film.of(volume, record)
        columns = film.projection.depth("spine").sum(axis=0) @ np.arange(film.image.shape[1])
        lungs = film.projection.depth("lungs").sum(axis=0) @ np.arange(film.image.shape[1])
        sides.add(bool(columns / film.projection.depth("spine").sum() > lungs / film.projection.depth("lungs").sum()))
    assert sides == {True}


@pytest.mark.parametrize(
    "options",
    [
        {"tilt_range": (5.0, -5.0)},
        {"invert_share": 1.2},
        {"attenuation_range": (0.0, 4.0)},
        {"distance_range": (150.0, 300.0)},
    ],
)
def test_nonsense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(DataError):
        DomainRandomisation(**options)  # type: ignore[arg-type]
