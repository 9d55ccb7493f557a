"""Radiographs as SVG: what is drawn, in which order, and that no name becomes markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest

from artasyn.arrays import Mask
from artasyn.errors import ImageError
from artasyn.pictures.hover import Region, hover_picture, outline_path

FILM = np.zeros((60, 80), np.float32)


def square(start: int, stop: int) -> Mask:
    mask = np.zeros(FILM.shape, bool)
    mask[start:stop, start:stop] = True
    return mask


def filled(path: str) -> Mask:
    """The pixels that a path encloses by the rule ``evenodd``."""
    canvas = np.zeros(FILM.shape, np.uint8)
    lines = [
        np.array([[float(number) for number in point.split()] for point in re.split("[ML]", part) if point], np.int32)
        for part in path.split("Z")
        if part
    ]
    cv2.fillPoly(canvas, lines, (1,))
    return np.asarray(canvas > 0)


def test_the_outline_of_a_region_encloses_it() -> None:
    disc = np.hypot(*np.mgrid[-30:30, -40:40]) < 20
    assert np.count_nonzero(filled(outline_path(disc)) != disc) < 0.02 * disc.sum()
    ring = disc & ~(np.hypot(*np.mgrid[-30:30, -40:40]) < 9)
    assert np.count_nonzero(filled(outline_path(ring)) != ring) < 0.12 * ring.sum()  # an outline lies in the hole


def test_small_regions_lie_over_large_ones_and_empty_ones_are_left_out() -> None:
    regions = [Region("small", square(20, 25)), Region("none", square(5, 5)), Region("large", square(2, 50))]
    names = re.findall('aria-label="([^"]*)"', hover_picture(FILM, regions))
    assert names == ["large", "small"]


def test_names_are_text_whatever_they_hold() -> None:
    name = '</text><script>alert("&")</script>'
    tree = ET.fromstring(hover_picture(FILM, [Region(name, square(5, 9))], hint="<i>", marks={"left": "<R>"}))
    texts = [each.text for each in tree.iter() if each.tag.endswith("text")]
    assert texts == ["<i>", name, "<R>"]
    assert not [each for each in tree.iter() if each.tag.endswith("script")]


def test_marks_stand_above_the_film() -> None:
    tree = ET.fromstring(hover_picture(FILM, [], marks={"left": "R", "right": "L"}))
    marks = {each.text: each for each in tree.iter() if each.get("class") == "mark"}
    assert float(marks["R"].attrib["x"]) < 40 < float(marks["L"].attrib["x"])
    assert all(float(mark.attrib["y"]) < 0 for mark in marks.values())


def test_a_region_on_another_grid_is_refused() -> None:
    with pytest.raises(ImageError, match="heart must be"):
        hover_picture(FILM, [Region("heart", np.ones((3, 3), bool))])
