"""Every synthetic image can be made again from what is stored beside it."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.errors import SynthesisError
from artasyn.phantom.film import Phantom
from artasyn.segment import PBTSeg
from artasyn.synthesis import LungOpacity, findings
from artasyn.synthesis.recipe import Recipe


def test_a_recipe_read_back_remakes_the_image_bit_for_bit() -> None:
    film = Phantom(size=128)(5).image
    segmenter, synthesis = PBTSeg(), LungOpacity(findings("mass", "consolidation"), tolerance=0.01)
    recipe, anomaly = Recipe.draw(film, segmenter(film), seed=2, copy=1, segmenter=segmenter, synthesis=synthesis)
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    remade = again.remake(film)
    np.testing.assert_array_equal(remade.image, anomaly.image)
    np.testing.assert_array_equal(remade.mask, anomaly.mask)


def test_copies_and_seeds_differ() -> None:
    film = Phantom(size=128)(5).image
    options = {"segmenter": PBTSeg(), "synthesis": LungOpacity()}
    lungs = PBTSeg()(film)
    made = [
        Recipe.draw(film, lungs, seed=seed, copy=copy, **options)[1].image.tobytes()  # type: ignore[arg-type]
        for seed, copy in ((0, 1), (0, 2), (1, 1), (0, 1))
    ]
    assert len(set(made)) == 3
    assert made[0] == made[3]


def test_another_radiograph_and_another_text_are_refused() -> None:
    film, other = Phantom(size=128)(5).image, Phantom(size=128)(6).image
    recipe, _ = Recipe.draw(film, PBTSeg()(film), seed=2, copy=1, segmenter=PBTSeg(), synthesis=LungOpacity())
    with pytest.raises(SynthesisError, match="for the radiograph"):
        recipe.remake(other)
    for text in ("{}", "not JSON", '{"identity": "00"}', recipe.to_json().replace('"stamps"', '"stumps"')):
        with pytest.raises(SynthesisError, match="not the recipe"):
            Recipe.from_json(text)
