"""Films imagined from prompts, as a synthesis that goes wherever `LungOpacity` goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from artasyn.arrays import Image, Rng, as_generator
from artasyn.errors import PromptError, SynthesisError
from artasyn.fields import Count, check_fields
from artasyn.synthesis.diffusion.film import FilmGenerator, ImaginedAnomaly
from artasyn.synthesis.diffusion.masks import MaskSampler, PathologyMasks
from artasyn.synthesis.diffusion.record import PromptRecord
from artasyn.synthesis.places import Found, Place
from artasyn.synthesis.prompts.prompt import Prompt

COMMON = (
    "consolidation in the right lower lobe",
    "consolidation in the left lower lobe",
    "mild consolidation in the right upper lobe",
    "severe consolidation in the right middle lobe",
    "moderate consolidation in the left upper lobe",
    "patchy bilateral consolidation",
    "multifocal consolidation in both lower zones",
    "large consolidation in the left lung",
    "mild ground glass opacity in both lungs",
    "moderate peripheral ground glass opacity in both lungs",
    "diffuse bilateral ground glass opacity",
    "patchy ground glass opacity at the right base",
    "ground glass opacity in the left upper zone",
    "bilateral perihilar opacity",
    "mild perihilar opacity in the right lung",
    "bilateral peribronchial thickening",
    "bilateral reticular pattern at the bases",
    "diffuse nodular pattern in both lungs",
    "septal thickening at both bases",
    "small right pleural effusion",
    "moderate left pleural effusion",
    "small bilateral pleural effusions",
    "consolidation in the right lower lobe and small right pleural effusion",
    "bilateral perihilar opacity and small bilateral pleural effusions",
    "linear atelectasis at the left base",
    "nodule in the right upper lobe",
    "two nodules in the left lung",
    "several nodules in both lungs",
    "mass in the left upper lobe",
    "cavity in the right upper lobe",
)
"""The prompts that are drawn from where none are given: what films of the chest most often show."""

DRAWS = 4
"""Draws of prompts before a radiograph counts as one that shows none of them."""


@dataclass(frozen=True)
class Imagined:
    """Makes anomalies from prompts, with exact masks; a `artasyn.synthesis.anomaly.Synthesis`.

    Attributes:
        prompts: the prompts to draw from, each as likely; each must ask for a finding.
        sampler: draws the masks.
        generator: makes the film.

    Raises:
        PromptError: there are no prompts, or one asks for no finding.

    Example:
        >>> from artasyn import Phantom
        >>> chest = Phantom(size=128)(seed=1)
        >>> anomaly = Imagined.of("large left pleural effusion")(chest.image, chest.lungs, rng=0)
        >>> list(anomaly.findings), anomaly.masks.masks[0].measured.side
        (['pleural_effusion'], 'left')
    """

    prompts: Annotated[tuple[Prompt, ...], Count(0, 100_000)] = field(
        default_factory=lambda: tuple(map(Prompt.parse, COMMON))
    )
    sampler: MaskSampler = field(default_factory=MaskSampler)
    generator: FilmGenerator = field(default_factory=FilmGenerator)

    def __post_init__(self) -> None:
        check_fields(self, PromptError)
        if not self.prompts:
            raise PromptError("no prompts to draw from; leave the option out for the usual ones")
        for prompt in self.prompts:
            if not prompt.findings:
                raise PromptError(f"{prompt.text()!r} asks for no finding, so no anomaly can be made from it")

    @classmethod
    def of(cls, *sentences: str) -> Imagined:
        """Makes a synthesis from sentences.

        Raises:
            PromptError: a sentence cannot be read; see `Prompt.parse`.
        """
        return cls(tuple(map(Prompt.parse, sentences)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings, each once."""
        return tuple(dict.fromkeys(asked.finding for prompt in self.prompts for asked in prompt.findings))

    def __call__(self, image: Image, lungs: Found | Place, rng: Rng) -> ImaginedAnomaly:
        """Draws a prompt and makes an anomaly that shows it; a prompt that cannot be shown is replaced by another.

        Args:
            image: float32 (h, w) in [0, 1], a normal radiograph.
            lungs: its lungs, its anatomy or its projection, on the same grid.
            rng: the only source of randomness, a generator or a seed.

        Raises:
            SynthesisError: none of the prompts that were drawn can be shown.
            ImageError: the image is not valid, or the lungs are on another grid.
        """
        rng = as_generator(rng)
        for attempt in range(DRAWS):
            prompt = self.prompts[int(rng.integers(len(self.prompts)))]
            try:
                return self.generator(image, self.sampler(prompt, lungs, rng))
            except SynthesisError:
                if attempt == DRAWS - 1:
                    raise
        raise AssertionError

    def render(self, image: Image, lungs: Found | Place, record: PromptRecord) -> ImaginedAnomaly:
        """Renders a record on a radiograph; the same input always gives the same result.

        Args:
            image: float32 (h, w) in [0, 1].
            lungs: its lungs, its anatomy or its projection, on the same grid.
            record: the random choices, for these lungs at any size or for other lungs that show the same places.

        Raises:
            SynthesisError: the lungs do not show a place that the prompt names, or nothing changes.
            ImageError: the image is not valid, or the lungs are on another grid.
        """
        return self.generator(image, PathologyMasks.of(record, lungs))
