"""The picture of an anatomy: which colour is where, and a legend that names what was found."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import jaxtyping
import numpy as np
import pytest

from artasyn.errors import ImageError
from artasyn.pictures.anatomy import (
    COLOURS,
    PALETTE,
    SIDE,
    colours_of,
    legend,
    main_structures,
    overlay_anatomy,
    overlay_named,
)
from tests.anatomies import seen


def test_every_structure_has_its_colour_on_its_contour() -> None:
    image, anatomy = seen()
    picture = overlay_anatomy(image, anatomy)
    film = picture[: image.shape[0]]
    masks = main_structures(anatomy)
    assert set(masks) == set(COLOURS) - {"clavicles"}
    for name, mask in masks.items():
        coloured = (film == COLOURS[name]).all(axis=2)
        assert coloured.any(), name
        near = np.zeros_like(mask)
        for row in (-2, 0, 2):
            for column in (-2, 0, 2):
                near |= np.roll(mask, (row, column), (0, 1))
        assert not (coloured & ~near).any(), name
        assert (picture[image.shape[0] :] == COLOURS[name]).all(axis=2).sum() > 20, name
    assert not (picture == COLOURS["clavicles"]).all(axis=2).any()


def test_large_films_are_reduced_and_nothing_is_made_up() -> None:
    small, anatomy = seen()
    image = np.repeat(np.repeat(small, 6, axis=0), 6, axis=1)
    large = replace(anatomy, shape=image.shape)
    assert max(overlay_anatomy(image, large).shape[:2]) < SIDE + 40 * 4
    assert overlay_anatomy(image, large).shape[1] <= SIDE
    nothing = replace(large, maps=np.zeros_like(anatomy.maps))
    film = overlay_anatomy(image, nothing)
    assert (film[..., 0] == film[..., 1])[:300].all()
    with pytest.raises((ImageError, jaxtyping.TypeCheckError)):
        overlay_anatomy(image.astype(np.float64), large)


def test_legends_break_lines_and_colours_differ() -> None:
    names = list(COLOURS)
    wide, narrow = legend(names, 512), legend(names, 128)
    assert wide.shape[1] == 512
    assert narrow.shape[0] > 2 * legend(names[:1], 128).shape[0]
    for name in names:
        assert (narrow == COLOURS[name]).all(axis=2).any(), name
    assert legend([], 200).any()
    for one, other in combinations(COLOURS.values(), 2):
        assert np.abs(np.subtract(one, other)).max() > 60


def test_named_regions_have_contours_and_a_legend_and_empty_ones_have_neither() -> None:
    image = np.zeros((120, 200), np.float32)
    box = np.zeros(image.shape, bool)
    box[30:60, 50:90] = True
    names = ("aorta", "left lung", "liver")
    picture = overlay_named(image, {"liver": box, "left lung": np.zeros_like(box)}, names)
    colours = colours_of(names)
    rows, columns = np.nonzero((picture[:120] == colours["liver"]).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 59, 50, 89)
    assert not (picture[:120][35:55, 55:85]).any()
    assert (picture[120:] == colours["liver"]).all(axis=2).any()
    assert not (picture == colours["left lung"]).all(axis=2).any()
    nothing, told = (overlay_named(image, {}, (), *more) for more in ((), ("frontal",)))
    assert (nothing[120:] != told[120:]).any()


def test_names_have_their_own_colours_whatever_else_is_named() -> None:
    few, many = colours_of(("drawn heart", "aorta")), colours_of((*(f"rib {n}" for n in range(20)), "heart", "trachea"))
    assert few["drawn heart"] == many["heart"] == COLOURS["heart"]
    for name, colour in many.items():
        if name.startswith("rib"):
            assert colour in PALETTE
            assert min(np.abs(np.subtract(colour, many[other])).max() for other in ("heart", "trachea")) > 60
    assert len(set(list(many.values())[:5])) == 5


def test_structures_of_two_extents_have_two_colours() -> None:
    names = ("right lung", "visible right lung", "whole right lung", "heart", "drawn heart", "visible heart")
    assert len(set(colours_of(names).values())) == len(names)
