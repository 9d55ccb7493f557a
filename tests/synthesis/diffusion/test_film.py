"""Films from masks, and their records: what changes is exactly what the masks say, and a record remakes it all."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from artasyn.errors import ImageError, NothingShows, SynthesisError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis.diffusion import (
    FilmGenerator,
    FilmRecord,
    Imagined,
    ImaginedAnomaly,
    MaskSampler,
    PathologyMasks,
    Prompt,
    PromptRecord,
)
from artasyn.synthesis.diffusion.denoiser import Denoiser, DenoiserSettings
from artasyn.synthesis.places import Found
from tests.anatomies import projected

SAID = (
    "moderate consolidation in the right lower lobe, small left pleural effusion, two nodules in the left upper zone",
    "diffuse bilateral ground glass opacity",
    "mass in the left upper zone and consolidation in the left upper zone",
    "miliary pattern",
    "severe reticular pattern at both bases, no pneumothorax",
)


@cache
def chest() -> PhantomRadiograph:
    return Phantom(size=112)(1)


@cache
def made(said: str, seed: int = 0) -> ImaginedAnomaly:
    masks = MaskSampler()(Prompt.parse(said), chest().lungs, np.random.default_rng(seed))
    return FilmGenerator()(chest().image, masks)


@pytest.mark.parametrize("said", SAID)
def test_the_film_differs_from_the_healthy_one_exactly_in_the_masks(said: str) -> None:
    healthy, film = chest().image, made(said)
    np.testing.assert_array_equal(film.mask, film.image != healthy)
    np.testing.assert_array_equal(np.any(film.regions, axis=0), film.mask)
    np.testing.assert_array_equal(np.any(list(film.findings.values()), axis=0), film.mask)
    np.testing.assert_array_equal(film.image[~film.mask], healthy[~film.mask])
    assert not (film.mask & ~np.any([each.region.stated for each in film.masks.masks], axis=0)).any()
    assert film.image.dtype == np.float32
    assert healthy.max() <= film.image.max() <= 1
    assert (film.attenuation[film.mask] >= np.float32(1 / 255)).all()
    assert not film.attenuation[~film.mask].any()
    np.testing.assert_allclose(film.image - healthy, film.attenuation, atol=1e-7)
    prompt = Prompt.parse(said)
    assert list(film.findings) == list(dict.fromkeys(each.finding for each in prompt.findings))
    assert len(film.regions) == len(prompt.findings)
    for each, region in zip(film.masks.masks, film.regions, strict=True):
        assert region.any(), each.asked
        assert not (region & (each.soft == 0)).any()
        brightest = each.soft >= 0.8 * each.soft.max()
        assert region[brightest].mean() > 0.8  # where a finding is densest, it is seen


@pytest.mark.parametrize("said", SAID)
def test_a_record_of_the_prompt_makes_the_same_film_on_the_same_lungs(said: str) -> None:
    film = made(said)
    record = PromptRecord.from_json(film.record.to_json())
    assert record == film.record
    again = Imagined.of("mass").render(chest().image, chest().lungs, record)
    np.testing.assert_array_equal(again.image, film.image)
    for one, other in zip(again.regions, film.regions, strict=True):
        np.testing.assert_array_equal(one, other)
    elsewhere = Phantom(size=112)(4)
    other_film = Imagined.of("mass").render(elsewhere.image, elsewhere.lungs, record)
    assert list(other_film.findings) == list(film.findings)
    assert not (other_film.mask & ~np.any([each.region.stated for each in other_film.masks.masks], axis=0)).any()


def test_findings_over_each_other_may_come_in_any_order() -> None:
    masks = made(SAID[2]).masks
    turned = dataclasses.replace(masks, masks=masks.masks[::-1])
    one, other = (FilmGenerator()(chest().image, each) for each in (masks, turned))
    np.testing.assert_allclose(one.image, other.image, atol=1e-6)
    both = one.regions[0] & one.regions[1]
    assert both.any() == bool((masks.masks[0].soft * masks.masks[1].soft > 0.1).any())


def test_a_prompt_that_only_denies_gives_the_healthy_film() -> None:
    film = made("no consolidation, no pleural effusion")
    np.testing.assert_array_equal(film.image, chest().image)
    assert not film.mask.any()
    assert film.regions == ()
    assert film.image is not chest().image


def test_what_is_no_film_for_these_masks_is_refused() -> None:
    masks = made(SAID[1]).masks
    with pytest.raises(ImageError, match=r"masks are \(112, 112\), the image is \(96, 96\)"):
        FilmGenerator()(Phantom(size=96)(1).image, masks)
    with pytest.raises(ImageError):
        FilmGenerator()((2 * chest().image).astype(np.float32), masks)
    with pytest.raises(NothingShows, match="ground glass opacity"):
        FilmGenerator()(np.ones((112, 112), np.float32), masks)
    with pytest.raises(SynthesisError, match="lung"):
        Imagined.of("mass")(
            np.zeros((96, 96), np.float32), Lungs.from_labels(np.zeros((96, 96), np.uint8)), np.random.default_rng(0)
        )


def lungs_of(kind: str) -> tuple[np.ndarray, Found, PBTSeg | None, str]:
    if kind == "pbtseg":
        return chest().image, PBTSeg()(chest().image), PBTSeg(), SAID[0]
    if kind == "lungs":
        return chest().image, chest().lungs, None, SAID[0]
    whole = "retrocardiac consolidation, nodule in the right upper lobe"
    return projected(128).image, projected(128), None, whole


@pytest.mark.parametrize("kind", ["pbtseg", "lungs", "projection"])
def test_a_record_remakes_the_film_bit_for_bit(kind: str) -> None:
    image, found, segmenter, said = lungs_of(kind)
    record, film = FilmRecord.draw(image, found, Prompt.parse(said), seed=3, copy=2, segmenter=segmenter)
    again = FilmRecord.from_json(record.to_json())
    assert again == record
    remade = again.remake(image)
    np.testing.assert_array_equal(remade.image, film.image)
    np.testing.assert_array_equal(remade.attenuation, film.attenuation)
    np.testing.assert_array_equal(remade.masks.soft, film.masks.soft)
    for one, other in zip(remade.regions, film.regions, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not remade.masks.disagreements()
    assert [each.measured for each in remade.masks.masks] == [each.measured for each in film.masks.masks]
    same, _ = FilmRecord.draw(image, found, Prompt.parse(said), seed=3, copy=2, segmenter=segmenter)
    assert same == record
    for changed in ({"seed": 4}, {"copy": 3}, {"attempt": 1}):
        asked = {"seed": 3, "copy": 2, "segmenter": segmenter} | changed
        assert FilmRecord.draw(image, found, Prompt.parse(said), **asked)[0].made != record.made  # type: ignore[arg-type]
    turned = np.ascontiguousarray(image[:, ::-1])
    with pytest.raises(SynthesisError, match="this record is for the radiograph"):
        again.remake(turned)


def test_a_record_without_findings_remakes_the_healthy_film() -> None:
    record, _ = FilmRecord.draw(chest().image, chest().lungs, Prompt.parse("no mass"), seed=3, copy=1)
    np.testing.assert_array_equal(FilmRecord.from_json(record.to_json()).remake(chest().image).image, chest().image)


def test_damaged_records_are_refused() -> None:
    record, _ = FilmRecord.draw(chest().image, chest().lungs, Prompt.parse(SAID[0]), seed=3, copy=2)
    for damaged in (record.places[0][:-8], "", "no place", Phantom(size=96)(1).lungs.labels.tobytes().hex()):
        with pytest.raises(SynthesisError, match="stored lungs"):
            dataclasses.replace(record, places=(damaged, *record.places[1:])).remake(chest().image)
    for changes in (
        {"places": record.places[:-1]},
        {"edges": record.edges[:-1]},
        {"places": (), "edges": ()},
        {"segmenter": PBTSeg()},
    ):
        with pytest.raises(SynthesisError, match="a place for each finding"):
            dataclasses.replace(record, **changes)
    with pytest.raises(SynthesisError, match="lesions of 2 findings for a prompt of 3"):
        PromptRecord(record.made.prompt, record.made.drawn[:2])
    with pytest.raises(SynthesisError, match=r"for 'two nodules|for '2 nodules|for 'moderate"):
        PromptRecord(record.made.prompt, record.made.drawn[::-1])
    with pytest.raises(SynthesisError, match="not the record of an imagined film"):
        FilmRecord.from_json(record.made.to_json())


def test_masks_of_other_lungs_are_other_masks() -> None:
    record = made(SAID[0]).record
    small = Phantom(size=96)(1)
    masks = PathologyMasks.of(record, small.lungs)
    assert masks.soft.shape == (96, 96)
    same = made(SAID[0]).masks
    for each, other in zip(masks.masks, same.masks, strict=True):  # the same chest, on another grid
        assert each.measured.side == other.measured.side
        assert each.measured.severity == pytest.approx(other.measured.severity, abs=0.08)


def test_a_denoiser_moves_attenuation_within_the_masks_and_the_record_asks_for_the_same_one() -> None:
    torch_free, chests = FilmGenerator(), chest()
    one, other = (
        FilmGenerator(Denoiser.untrained(DenoiserSettings(side=16, channels=(8, 16), steps=2), seed)) for seed in (1, 2)
    )
    record, film = FilmRecord.draw(chests.image, chests.lungs, Prompt.parse(SAID[0]), seed=3, copy=1, generate=one)
    plain = torch_free(chests.image, film.masks)
    np.testing.assert_array_equal(film.mask, film.image != chests.image)
    np.testing.assert_array_equal(film.mask, plain.mask)
    assert (film.attenuation >= 0).all()
    assert (film.image != plain.image).sum() > 0.5 * film.mask.sum()
    held = FilmRecord.from_json(record.to_json())
    assert held.denoiser == one.digest != other.digest
    np.testing.assert_array_equal(held.remake(chests.image, one).image, film.image)
    for wrong in (torch_free, other):
        with pytest.raises(SynthesisError, match=f"with the denoiser {one.digest}, not with {wrong.digest or 'none'}"):
            held.remake(chests.image, wrong)
