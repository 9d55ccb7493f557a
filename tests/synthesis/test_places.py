"""Parts of the lungs that anomalies lie in: zones of lungs, structures of an anatomy or a projection, hidden lung."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

from artasyn.errors import ImageError, SynthesisError
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import BatchLungOpacity, LungOpacity, OpacityRecord, Recipe, findings
from artasyn.synthesis.places import Place
from tests.anatomies import projected, seen

LOBES = [f"lung_{level}_lobe_{side}" for level in ("upper", "lower") for side in ("right", "left")]
PARTS = [
    *(("lungs", "visible"), ("lungs", "whole"), ("lung_left", "visible"), ("heart", "whole")),
    *((zone, "visible") for zone in ("upper", "middle_zone_left", "peripheral_right", "lower_zone_right")),
    *((lobe, "whole") for lobe in LOBES),
]
SOLID = findings("consolidation", "mass", "nodule")


def settings(part: str, convention: Any = "visible") -> LungOpacity:
    return LungOpacity(SOLID, part=part, convention=convention)


@pytest.mark.parametrize(("part", "convention"), PARTS)
def test_an_anomaly_stays_in_its_part_and_replays(part: str, convention: Any) -> None:
    image, anatomy = seen()
    synthesis = settings(part, convention)
    region = Place.of(anatomy, part, convention).region
    for seed in range(3):
        made = synthesis(image, anatomy, np.random.default_rng(seed))
        assert made.mask.any()
        assert not (made.mask & ~region).any()
        np.testing.assert_array_equal(made.mask, made.image != image)
        assert (made.record.part, made.record.convention) == (part, convention)
        again = LungOpacity().render(image, anatomy, OpacityRecord.from_json(made.record.to_json()))
        np.testing.assert_array_equal(again.image, made.image)


def test_regions_are_what_their_names_say() -> None:
    _, anatomy = seen()
    lungs = anatomy.lungs("whole")
    left = Place.of(anatomy, "lung_lower_lobe_left", "whole")
    assert left.present.tolist() == [False, True]
    np.testing.assert_array_equal(left.region, anatomy.mask("lung_lower_lobe_left") & lungs.mask)
    zones = [Place.of(anatomy, f"{level}_zone_right").region for level in ("upper", "middle", "lower")]
    np.testing.assert_array_equal(np.sum(zones, axis=0), anatomy.lungs().right)
    both = [Place.of(anatomy, f"central{side}").region for side in ("", "_right", "_left")]
    np.testing.assert_array_equal(both[0], both[1] | both[2])
    film = projected()
    np.testing.assert_array_equal(Place.of(film, "upper").region, film.lungs().zone("upper"))


def test_a_whole_lung_by_its_name_is_rendered_as_in_both_lungs() -> None:
    """Sizes, places and contrast come from both lungs, so the same lesion looks the same."""
    image, anatomy = seen()
    drawn = dataclasses.replace(settings("lung_right"), findings=findings("consolidation")).draw(
        anatomy, np.random.default_rng(3)
    )
    assert {lesion.side for lesion in drawn.lesions} == {1}
    part = LungOpacity().render(image, anatomy, drawn)
    whole = LungOpacity().render(image, anatomy, dataclasses.replace(drawn, part="lungs"))
    np.testing.assert_array_equal(part.image, whole.image)


def test_only_whole_lungs_reach_behind_the_heart() -> None:
    image, anatomy = seen()
    place = Place.of(anatomy, "lungs", "whole")
    assert place.hidden is not None
    assert place.hidden.sum() > 100
    assert Place.of(anatomy).hidden is None
    behind = settings("heart", "whole")(image, anatomy, np.random.default_rng(1))
    assert behind.attenuation[place.hidden].max() > 0.05
    with pytest.raises(SynthesisError, match="belongs to trachea"):
        settings("trachea")(image, anatomy, np.random.default_rng(1))


def test_lungs_alone_have_zones_but_no_lobes() -> None:
    chest = Phantom(size=128)(1)
    made = settings("lower_zone_left")(chest.image, chest.lungs, np.random.default_rng(0))
    assert not (made.mask & ~(chest.lungs.zone("lower") & chest.lungs.left)).any()
    with pytest.raises(SynthesisError, match="do not tell where lung_lower_lobe_left is"):
        settings("lung_lower_lobe_left")(chest.image, chest.lungs, np.random.default_rng(0))
    with pytest.raises(SynthesisError, match="behind the heart"):
        settings("lungs", "whole")(chest.image, chest.lungs, np.random.default_rng(0))
    image, anatomy = seen()
    with pytest.raises(SynthesisError, match=r"no such part of the lungs.*wing"):
        settings("wing")(image, anatomy, np.random.default_rng(0))
    place = Place.of(anatomy, "upper")
    with pytest.raises(SynthesisError, match="the place is upper"):
        LungOpacity()(image, place, np.random.default_rng(0))
    with pytest.raises(ImageError, match="the image is"):
        settings("upper")(image[2:], anatomy, np.random.default_rng(0))


def test_a_record_of_an_older_version_means_the_lungs() -> None:
    chest = Phantom(size=96)(1)
    record = LungOpacity(SOLID).draw(chest.lungs, np.random.default_rng(1))
    older = json.loads(record.to_json())
    assert older.pop("part") == "lungs"
    assert older.pop("convention") == "visible"
    assert OpacityRecord.from_json(json.dumps(older)) == record


def test_places_come_back_from_numbers_and_from_text() -> None:
    image, anatomy = seen()
    for part, convention in (("lungs", "whole"), ("lung_lower_lobe_left", "whole"), ("upper", "visible")):
        place = Place.of(anatomy, part, convention)  # type: ignore[arg-type]
        again = Place.from_text(place.to_text(), (image.shape[0], image.shape[1]), part, place.convention)
        np.testing.assert_array_equal(again.coded(), place.coded())
        np.testing.assert_array_equal(again.lungs.labels, place.lungs.labels)
        assert (again.hidden is None) == (place.hidden is None or not place.hidden.any())
    text = Place.of(anatomy).to_text()
    for wrong in ("", "!", text[:-8], "A" * 400):
        with pytest.raises(SynthesisError, match="stored lungs"):
            Place.from_text(wrong, (image.shape[0], image.shape[1]), "lungs", "visible")
    with pytest.raises(SynthesisError, match="another size"):
        Place.from_text(text, (7, 5), "lungs", "visible")
    for value in (3, 4, 16):
        with pytest.raises(SynthesisError, match="damaged"):
            Place.decoded(np.full((16, 16), value, np.uint8))


def test_a_recipe_holds_lungs_that_pbtseg_did_not_find() -> None:
    image, anatomy = seen()
    synthesis = settings("lung_lower_lobe_right", "whole")
    recipe, made = Recipe.draw(image, anatomy, seed=1, copy=1, segmenter=None, synthesis=synthesis)
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    np.testing.assert_array_equal(again.remake(image).image, made.image)
    with pytest.raises(SynthesisError, match="either a segmenter"):
        dataclasses.replace(recipe, lungs="")
    chest = Phantom(size=96)(1)
    lungs = PBTSeg()(chest.image)
    found, _ = Recipe.draw(chest.image, lungs, seed=1, copy=1, segmenter=PBTSeg(), synthesis=settings("upper"))
    older = json.loads(found.to_json())
    assert older.pop("lungs") == ""
    assert Recipe.from_json(json.dumps(older)) == found
    assert found.remake(chest.image).mask.any()


def test_a_batch_takes_an_anatomy_of_each_image_and_refuses_parts() -> None:
    image, anatomy = seen()
    images = torch.from_numpy(np.stack([image, image[:, ::-1].copy()])[:, None])
    mirrored = Lungs.from_labels(anatomy.lungs().labels[:, ::-1].copy())
    labels = torch.from_numpy(np.stack([anatomy.lungs().labels, mirrored.labels])[:, None])
    batch = BatchLungOpacity(LungOpacity(SOLID))
    made = batch(images, [anatomy, mirrored], np.random.default_rng(0))
    torch.testing.assert_close(made.images, batch(images, labels, np.random.default_rng(0)).images)
    again = batch.render(images, [anatomy, mirrored], made.records)
    assert (again.images == made.images).all()
    with pytest.raises(SynthesisError, match="use LungOpacity for a part"):
        BatchLungOpacity(settings("upper"))
    with pytest.raises(SynthesisError, match="use LungOpacity for a part"):
        batch.render(images, labels, [dataclasses.replace(record, part="upper") for record in made.records])
    for wrong in ([anatomy], [], [anatomy, Lungs.from_labels(np.zeros((20, 20), np.uint8))]):
        with pytest.raises(ImageError, match="give lungs for each image"):
            batch(images, wrong, np.random.default_rng(0))


@pytest.mark.parametrize("at", [0, 63, 64, 199])
def test_a_part_is_present_wherever_it_lies(at: int) -> None:
    labels = np.zeros((200, 40), np.uint8)
    labels[:, 5:15], labels[:, 25:35] = 1, 2
    region = np.zeros(labels.shape, bool)
    region[at, 30] = True
    assert Place(Lungs.from_labels(labels), region).present.tolist() == [False, True]
