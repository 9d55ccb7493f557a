"""Seeds, names and paths stand for generators, findings and images, where people give them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from artasyn.arrays import as_generator
from artasyn.errors import ArtasynError, DataError, SynthesisError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.segment import CTLesion, DomainRandomisation, PBTSeg, View
from artasyn.synthesis import FINDINGS, BatchLungOpacity, LungOpacity, LungVolume, findings
from artasyn.synthesis.diffusion import Imagined, MaskSampler, Prompt
from tests.chest import chest as ct


@cache
def chest() -> PhantomRadiograph:
    return Phantom(size=96)(1)


def batch(rng: Any) -> Any:
    image, lungs = (torch.from_numpy(values)[None, None] for values in (chest().image, chest().lungs.labels))
    return BatchLungOpacity(["nodule"])(image, lungs, rng).records


EFFUSION = "large left pleural effusion"
DRAWS: dict[str, Callable[[Any], Any]] = {
    "LungOpacity": lambda rng: LungOpacity()(chest().image, chest().lungs, rng).record,
    "LungOpacity.draw": lambda rng: LungOpacity().draw(chest().lungs, rng),
    "BatchLungOpacity": batch,
    "LungVolume": lambda rng: LungVolume()(chest().image, chest().lungs, rng).record,
    "LungVolume.draw": lambda rng: LungVolume().draw(rng),
    "Imagined": lambda rng: Imagined.of(EFFUSION)(chest().image, chest().lungs, rng).record,
    "MaskSampler": lambda rng: MaskSampler()(Prompt.parse(EFFUSION), chest().lungs, rng).masks[0].record,
    "CTLesion": lambda rng: CTLesion.draw(ct(), rng, kind="nodule"),
    "DomainRandomisation": lambda rng: DomainRandomisation().draw(ct(), rng, view=View(size=(32, 32))),
    "DomainRandomisation.draw_lesions": lambda rng: DomainRandomisation.draw_lesions(ct(), rng, ["nodule", "nodule"]),
    "Phantom": lambda rng: Phantom(size=64).draw(rng, lesions=True),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_stands_for_a_generator(name: str) -> None:
    made = DRAWS[name](5)
    assert made == DRAWS[name](np.random.default_rng(5)) == DRAWS[name](np.int64(5))
    assert made != DRAWS[name](6)


@pytest.mark.parametrize("rng", [-1, True, None, 1.5, "0", np.random.RandomState(0)])
def test_what_is_no_source_of_randomness_is_refused(rng: Any) -> None:
    with pytest.raises((DataError, jaxtyping.TypeCheckError), match=r"a seed of 0 or more, not|Type-check") as caught:
        as_generator(rng)
    if isinstance(rng, int):  # the others are found by the types that tests check
        assert isinstance(caught.value, ArtasynError)


def test_names_stand_for_findings() -> None:
    assert LungOpacity(["nodule", "mass"]) == LungOpacity(findings("nodule", "mass"))
    assert LungOpacity("nodule") == LungOpacity((FINDINGS["nodule"],))
    apical = findings("mass", zones=("upper",))
    assert LungOpacity(["nodule", *apical]).findings == (FINDINGS["nodule"], *apical)
    assert LungOpacity(None) == LungOpacity()
    assert LungOpacity().names == tuple(FINDINGS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["lump"], "no finding 'lump'; choose from ground_glass_opacity"),
        ([], "no findings to draw from"),
        ({"nodule"}, "findings must be a list of names or of findings, not set"),
        ([FINDINGS["nodule"], 7], "a finding must be a name or a Finding, not int"),
        ([{"name": "nodule"}], "a finding must be a name or a Finding, not dict"),
    ],
)
def test_what_is_no_finding_is_refused(given: Any, message: str) -> None:
    with pytest.raises((SynthesisError, jaxtyping.TypeCheckError), match=rf"{message}|Type-check"):
        LungOpacity(given)


def test_lungs_of_another_kind_are_refused() -> None:
    lungs: Any = chest().lungs.labels
    with pytest.raises((SynthesisError, jaxtyping.TypeCheckError), match=r"Lungs.from_array\(labels\)|Type-check"):
        LungOpacity()(chest().image, lungs, 0)


def test_pbtseg_reads_a_path(tmp_path: Path) -> None:
    from artasyn.files.radiograph import read_radiograph, write_image

    write_image(tmp_path / "film.png", chest().image)
    found = PBTSeg()(read_radiograph(tmp_path / "film.png"))
    for path in (tmp_path / "film.png", str(tmp_path / "film.png")):
        assert (PBTSeg()(path).labels == found.labels).all()
        assert (PBTSeg().explain(path).grey == PBTSeg().explain(read_radiograph(path)).grey).all()
    with pytest.raises(ArtasynError, match=r"none.png does not exist"):
        PBTSeg()(tmp_path / "none.png")
