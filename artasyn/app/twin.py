"""Synthetic twins: the same film with an anomaly, chosen by its properties or described in words."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from artasyn.app.reading import FRONTAL_MARKS, SIDE, Models, Reading
from artasyn.arrays import Image, Mask
from artasyn.detection.examination import Detection
from artasyn.errors import PromptError, SynthesisError
from artasyn.pictures.hover import Region, hover_picture
from artasyn.pictures.overlays import MASK_COLOUR
from artasyn.pictures.thumbnails import on_grid, thumbnail
from artasyn.segment.lungs import Zone
from artasyn.synthesis.diffusion import FilmRecord, Prompt
from artasyn.synthesis.diffusion.filters import Filters, Verdict
from artasyn.synthesis.finding import FINDINGS, findings
from artasyn.synthesis.opacity import LungOpacity
from artasyn.synthesis.recipe import Recipe

ANYWHERE = "anywhere"
"""The choice of no zone or no side."""

ZONES = (ANYWHERE, *get_args(Zone))
SIDES = (ANYWHERE, "right", "left")

TRIES = 4
"""The most films that are drawn for a prompt until the filters accept one."""


@dataclass(frozen=True)
class Wish:
    """An anomaly by its properties.

    Attributes:
        finding: a key of `FINDINGS`.
        severity: attenuation of the densest parts, as a share of the step from lung to soft tissue, in (0, 1].
        zone: one of `ZONES`.
        side: one of `SIDES`.
        seed: another seed, another anomaly.
    """

    finding: str
    severity: float
    zone: str = ANYWHERE
    side: str = ANYWHERE
    seed: int = 0

    def synthesis(self) -> LungOpacity:
        """Returns the synthesis that makes such an anomaly.

        Raises:
            SynthesisError: a property is out of range or unknown.
        """
        changes: dict[str, Any] = {"severity_range": (self.severity, self.severity)}
        changes |= {} if self.zone == ANYWHERE else {"zones": (self.zone,)}
        changes |= {} if self.side == ANYWHERE else {"sides": (self.side,)}
        return LungOpacity(findings(self.finding, **changes), kinds_range=(1, 1))


@dataclass(frozen=True, eq=False)
class Twin:
    """A film with an anomaly, beside the film that it was made from.

    Attributes:
        original: the film that it was made from.
        image: float32 (h, w) in [0, 1].
        mask: bool (h, w), exactly the pixels that changed.
        findings: the name and the mask of each finding.
        record: JSON that remakes the twin from the film.
        detection: of the detector on the twin.
        verdict: of the filters; None where none were asked.
        notes: of the masks about the prompt.
    """

    original: Reading
    image: Image
    mask: Mask
    findings: tuple[tuple[str, Mask], ...]
    record: str
    detection: Detection
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()

    @property
    def verdict_text(self) -> str:
        """The verdict of the filters as JSON; empty where none were asked."""
        return "" if self.verdict is None else json.dumps(asdict(self.verdict), indent=1) + "\n"


def usual_severity(finding: str) -> float:
    """Returns the middle of the severities that a finding usually has.

    Args:
        finding: a key of `FINDINGS`.

    Example:
        >>> usual_severity("pleural_effusion")
        0.87
    """
    low, high = FINDINGS[finding].severity_range
    return round(float(np.sqrt(low * high)), 2)


def chosen_twin(models: Models, reading: Reading, wish: Wish) -> Twin:
    """Makes the twin of a film with one finding.

    Args:
        models: whose detector looks at the twin.
        reading: of the film.
        wish: the anomaly.

    Raises:
        SynthesisError: the film shows no lungs, or nothing can be added there.
    """
    _check_lungs(reading)
    recipe, anomaly = Recipe.draw(
        reading.image, reading.anatomy, seed=wish.seed, copy=1, segmenter=None, synthesis=wish.synthesis()
    )
    found = tuple(anomaly.findings.items())
    record = recipe.to_json()
    return Twin(reading, anomaly.image, anomaly.mask, found, record, models.detector(anomaly.image))


def described_twin(models: Models, reading: Reading, sentence: str, seed: int) -> Twin:
    """Makes the twin of a film that a sentence describes; films that the filters reject are drawn again.

    Args:
        models: the detector and the reader of anatomy, which the filters ask.
        reading: of the film.
        sentence: a prompt, see `artasyn.synthesis.prompts`.
        seed: another seed, other films.

    Returns:
        The first film that the filters accept. Without one, it is the last film, whose verdict says why.

    Raises:
        PromptError: the sentence cannot be read, or it asks for no finding.
        SynthesisError: no draw shows what the sentence says.
    """
    _check_lungs(reading)
    prompt = Prompt.parse(sentence)
    if not prompt.findings:
        raise PromptError(f"{sentence!r} asks for no finding; name one, such as 'consolidation in the right lung'")
    filters = Filters(models.detector, models.net)
    drawn: Twin | None = None
    failed: dict[str, None] = {}
    for attempt in range(TRIES):
        try:
            record, film = FilmRecord.draw(reading.image, reading.anatomy, prompt, seed=seed, copy=1, attempt=attempt)
        except SynthesisError as error:
            failed[str(error)] = None
            continue
        found = tuple((each.asked.finding, region) for each, region in zip(film.masks.masks, film.regions, strict=True))
        verdict = filters(reading.image, film, before=reading.anatomy)
        detection = models.detector(film.image)
        drawn = Twin(
            reading, film.image, film.mask, found, record.to_json(), detection, verdict, tuple(film.masks.notes)
        )
        if verdict.ok:
            break
    if drawn is None:
        raise SynthesisError(f"no draw shows {sentence!r}: {' | '.join(failed)}")
    return drawn


def twin_picture(twin: Twin) -> str:
    """Returns the twin as SVG, with its findings outlined and named under the pointer."""
    small = np.asarray(thumbnail(twin.image, SIDE), np.float32)
    regions = [Region(name.replace("_", " "), on_grid(mask, small), MASK_COLOUR) for name, mask in twin.findings]
    return hover_picture(small, regions, hint="synthetic twin", marks=FRONTAL_MARKS)


def original_picture(twin: Twin) -> str:
    """Returns the film that a twin was made from as SVG, without outlines."""
    small = np.asarray(thumbnail(twin.original.image, SIDE), np.float32)
    return hover_picture(small, [], hint="the film itself", marks=FRONTAL_MARKS)


def _check_lungs(reading: Reading) -> None:
    """Refuses a film on which not both lungs were read."""
    if not (reading.usable and reading.anatomy.lungs().found):
        why = "; ".join(reading.doubts) or "both lungs must be seen"
        raise SynthesisError(f"{reading.name}: no twin can be made of this film: {why}")
