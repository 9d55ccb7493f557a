"""The reading of one film: it is what the library finds, in the words and pictures of the page."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

from artasyn.app.reading import (
    Models,
    Reading,
    anatomy_picture,
    heat_picture,
    measures_picture,
    refusal,
    spoken,
    verdict,
)
from artasyn.errors import RadiographError
from artasyn.files.radiograph import write_image
from artasyn.phantom.film import Phantom
from artasyn.segment.structures import ANATOMY


def test_a_file_is_read_as_detector_and_anatomy_network_read_it(models: Models, tmp_path: Path) -> None:
    film = Phantom(size=200)(3).image
    write_image(tmp_path / "film.png", film, bits=16)
    reading = models.read(tmp_path / "film.png")
    found = models.detector(reading.image)
    assert reading.name == "film.png"
    assert (reading.detection.score, reading.detection.percentile) == (found.score, found.percentile)
    np.testing.assert_array_equal(reading.anatomy.maps, models.net(reading.image).maps)
    assert reading.measures == reading.anatomy.measure()
    assert reading.usable


@pytest.mark.usefixtures("small")
def test_a_phantom_is_read_with_and_without_lesions(models: Models) -> None:
    healthy, ill = (models.phantom(1, lesions=lesions) for lesions in (False, True))
    assert (healthy.name, ill.name) == ("phantom 1", "phantom 1 with lesions")
    np.testing.assert_array_equal(healthy.image, Phantom(size=128)(1).image)
    np.testing.assert_array_equal(ill.image, Phantom(size=128)(1, lesions=True).image)


def test_the_pictures_show_the_anatomy_the_heatmap_and_the_measures(healthy: Reading) -> None:
    svg = anatomy_picture(healthy)
    names = re.findall('aria-label="([^"]*)"', svg)
    assert {"right lung", "left lung", "heart", "right upper lobe", "right rib 7", "vertebra T8"} <= set(names)
    assert len(names) == len(set(names)) > 40
    assert 'class="mark"' in svg
    drawn = measures_picture(healthy)
    assert drawn is not None
    assert drawn.shape == (256, 256, 3)


def test_heat_is_drawn_on_flagged_films_alone(healthy: Reading) -> None:
    found = dataclasses.replace(healthy.detection, heatmap=healthy.image, abnormal=False)
    plain = heat_picture(dataclasses.replace(healthy, detection=found))
    hot = heat_picture(dataclasses.replace(healthy, detection=dataclasses.replace(found, abnormal=True)))
    middle = slice(100, 400)
    assert (plain[middle, middle].max(axis=2) == plain[middle, middle].min(axis=2)).all()
    assert (hot[middle, middle].max(axis=2) > hot[middle, middle].min(axis=2)).mean() > 0.9


def test_the_verdict_has_threshold_and_percentile(healthy: Reading) -> None:
    word, sentence = verdict(healthy)
    assert word == ("Flagged" if healthy.detection.abnormal else "Not flagged")
    assert f"{healthy.detection.score:.3f}" in sentence
    assert f"{healthy.image_threshold:.3f}" in sentence
    assert " % of healthy films" in sentence
    for percentile, told in ((98.6, "99 %"), (99.7, "More than 99 %"), (100.0, "More than 99 %")):
        found = dataclasses.replace(healthy.detection, percentile=percentile)
        assert verdict(dataclasses.replace(healthy, detection=found))[1].endswith(
            f" {told} of healthy films have a lower score."
        )
    ill = dataclasses.replace(healthy.detection, abnormal=True, percentile=math.nan)
    word, sentence = verdict(dataclasses.replace(healthy, detection=ill))
    assert word == "Flagged"
    assert "%" not in sentence


def test_a_film_without_a_chest_is_not_judged(models: Models) -> None:
    rows, columns = np.mgrid[:200, :200] / 200
    waves = np.asarray(0.5 + 0.4 * np.sin(20 * columns) * np.cos(14 * rows), np.float32)
    reading = models.reading("waves.png", waves)
    assert not reading.usable
    assert verdict(reading)[0] == "Not judged"
    assert f"{reading.detection.score:.3f}" not in verdict(reading)[1]
    assert any("chest" in doubt for doubt in reading.doubts)
    assert 'class="mark"' not in anatomy_picture(reading)
    assert measures_picture(reading) is None


def test_every_structure_has_a_name_that_people_say() -> None:
    names = [spoken(name) for name in ANATOMY]
    assert len(set(names)) == len(names)
    assert not any("_" in name for name in names)


def test_a_refusal_names_the_file_and_not_the_servers_folder(models: Models, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "film.png"
    path.parent.mkdir()
    path.write_text("this is no image")
    with pytest.raises(RadiographError) as caught:
        models.read(path)
    told = refusal(caught.value, path)
    assert told.startswith("film.png begins with")
    assert str(tmp_path) not in told
    assert refusal(RadiographError("is odd"), path) == "film.png: is odd"
