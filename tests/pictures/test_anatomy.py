"""The picture of an anatomy: which colour is where, and a legend that names what was found."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import jaxtyping
import numpy as np
import pytest

from artasyn.errors import ImageError
from artasyn.pictures.anatomy import COLOURS, SIDE, legend, main_structures, overlay_anatomy
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
