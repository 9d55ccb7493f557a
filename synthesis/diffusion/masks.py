"""Pathology masks: soft maps of the findings of a prompt, in the anatomy of one radiograph."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from artasyn.arrays import Heatmap, Rng, as_generator
from artasyn.errors import SynthesisError
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.synthesis.diffusion.adherence import Measured, disagreements
from artasyn.synthesis.diffusion.easel import Easel, NoRoom, Shapes, denser, measured_map
from artasyn.synthesis.diffusion.plans import LUNG_HEIGHT, Plan
from artasyn.synthesis.diffusion.record import PromptRecord
from artasyn.synthesis.diffusion.regions import Region, extent_of
from artasyn.synthesis.lesions import OpacityRecord
from artasyn.synthesis.opacity import Ground
from artasyn.synthesis.places import Found, Place
from artasyn.synthesis.prompts.prompt import Prompt
from artasyn.synthesis.prompts.said import PromptFinding

TRIES = 24
"""Draws of one finding before it counts as one that these lungs cannot show."""


@dataclass(frozen=True, eq=False)
class PathologyMask:
    """The soft map of one finding of a prompt.

    Attributes:
        asked: the finding.
        record: its lesions as plain numbers.
        region: the part of the lungs that it may change.
        soft: float32 (h, w) in [0, 1], the share of the lung's air that the finding replaces; 0 outside
            `Region.stated`.
        measured: what the map shows.
    """

    asked: PromptFinding
    record: OpacityRecord
    region: Region
    soft: Heatmap
    measured: Measured

    @classmethod
    def of(cls, asked: PromptFinding, record: OpacityRecord, region: Region, *, millimetres: float) -> PathologyMask:
        """Makes the map of a record; the same input always gives the same map.

        Args:
            asked: the finding.
            record: its lesions.
            region: the part of the lungs.
            millimetres: size of a pixel.
        """
        ground = Ground.of(region.place)
        soft = region.filled(ground.placed(ground.replaced(record)) * region.fade)
        found = measured_map(soft, asked, region.place, millimetres)
        return cls(asked, record, region, soft, found)

    def at(self, severity: float, *, millimetres: float) -> PathologyMask:
        """Returns the same shape with another severity.

        Args:
            severity: the severity of the densest lesion, in (0, 1]; the other lesions keep their relation to it.
            millimetres: size of a pixel.
        """
        most = max(lesion.severity for lesion in self.record.lesions)
        record = replace(self.record, lesions=denser(self.record.lesions, severity / most))
        return PathologyMask.of(self.asked, record, self.region, millimetres=millimetres)


@dataclass(frozen=True, eq=False)
class PathologyMasks:
    """The soft maps of a prompt on one radiograph.

    Attributes:
        prompt: the prompt.
        masks: one for each of its findings, in order.
        place: the lungs.
        millimetres: size of a pixel; of an adult's lungs where the radiograph does not tell.
        notes: what stands for something that the radiograph does not show, in sentences.
    """

    prompt: Prompt
    masks: tuple[PathologyMask, ...]
    place: Place
    millimetres: float
    notes: tuple[str, ...] = ()

    @property
    def soft(self) -> Heatmap:
        """The share of the lung's air that all findings replace together, float32 (h, w)."""
        left = np.ones(self.place.region.shape, np.float32)
        for each in self.masks:
            left *= 1 - each.soft
        return 1 - left

    @classmethod
    def of(cls, record: PromptRecord, found: Found | Place) -> PathologyMasks:
        """Makes the masks of a record again, on these or on other lungs.

        Args:
            record: the random choices.
            found: the lungs, the anatomy or the projection of a radiograph.

        Raises:
            SynthesisError: the radiograph does not show a place that the prompt names.
        """
        scene = _Scene.of(record.prompt, found)
        return replace(cls.within(record, scene.regions, scene.place, scene.millimetres), notes=scene.notes)

    @classmethod
    def within(
        cls, record: PromptRecord, regions: Sequence[Region], place: Place, millimetres: float
    ) -> PathologyMasks:
        """Makes the masks of a record in regions that are known.

        Args:
            record: the random choices.
            regions: the region of each finding.
            place: the lungs.
            millimetres: size of a pixel.
        """
        each = zip(record.prompt.findings, record.drawn, regions, strict=True)
        masks = [PathologyMask.of(asked, drawn, region, millimetres=millimetres) for asked, drawn, region in each]
        return cls(record.prompt, tuple(masks), place, millimetres)

    def disagreements(self) -> tuple[str, ...]:
        """Returns what the maps show otherwise than the prompt says, in sentences."""
        return tuple(
            wrong
            for each in self.masks
            for wrong in disagreements(each.asked, Plan.of(each.asked), each.measured, millimetres=self.millimetres)
        )


@dataclass(frozen=True)
class MaskSampler:
    """Draws pathology masks that fit an anatomy and say what a prompt says.

    Lesions come from the distributions of `LungOpacity`. They are drawn into the region that the prompt names, and
    fitted: separate lesions lie apart, and sizes and severities that are said are reached. What is drawn is then
    measured back from the maps alone, and drawn again where it disagrees with the prompt.

    Attributes:
        tolerance: smallest change of a pixel, in image units, as in `LungOpacity`.
        shapes: draws consolidation and ground glass as readers outline them, such as
            `artasyn.synthesis.diffusion.shapes.ShapeSampler`; with None, their shapes are those of `LungOpacity`.

    Example:
        >>> from artasyn import Phantom
        >>> prompt = Prompt.parse("two small nodules in the left upper zone")
        >>> masks = MaskSampler()(prompt, Phantom(size=128)(seed=1).lungs, np.random.default_rng(0))
        >>> masks.masks[0].measured.number, masks.masks[0].measured.side
        (2, 'left')
    """

    tolerance: float = 1 / 255
    shapes: Shapes | None = None

    @property
    def digest(self) -> str:
        """Tells samplers of shapes apart; empty without one."""
        return self.shapes.digest if self.shapes else ""

    def __call__(self, prompt: Prompt, anatomy: Found | Place, rng: Rng) -> PathologyMasks:
        """Draws the masks of a prompt.

        Args:
            prompt: what to show; a prompt that only denies gives no masks.
            anatomy: the lungs, the anatomy or the projection of a radiograph.
            rng: the only source of randomness, a generator or a seed.

        Raises:
            SynthesisError: the radiograph does not show a place that the prompt names, or has no room for the finding.
        """
        scene, rng = _Scene.of(prompt, anatomy), as_generator(rng)
        masks = [
            self._drawn(asked, region, scene.millimetres, rng)
            for asked, region in zip(prompt.findings, scene.regions, strict=True)
        ]
        return PathologyMasks(prompt, tuple(masks), scene.place, scene.millimetres, scene.notes)

    def _drawn(
        self, asked: PromptFinding, region: Region, millimetres: float, rng: np.random.Generator
    ) -> PathologyMask:
        """Draws one finding until its map says what the prompt says.

        Raises:
            SynthesisError: no draw does.
        """
        easel = Easel.of(asked, region, millimetres, self.shapes)
        wrong: tuple[str, ...] = ()
        for _ in range(TRIES):
            with contextlib.suppress(NoRoom):
                record = OpacityRecord(easel.lesions(rng), self.tolerance, region.place.part, region.place.convention)
                mask = PathologyMask.of(asked, record, region, millimetres=millimetres)
                wrong = disagreements(asked, easel.plan, mask.measured, millimetres=millimetres)
                if not wrong:
                    return mask
        told = "; ".join(wrong) or f"there is no room for {asked.words()!r}"
        raise SynthesisError(f"these lungs do not show what was asked for, in {TRIES} draws: {told}")


@dataclass(frozen=True, eq=False)
class _Scene:
    """The lungs of one radiograph with the regions of a prompt's findings."""

    place: Place
    regions: tuple[Region, ...]
    millimetres: float
    notes: tuple[str, ...]

    @classmethod
    def of(cls, prompt: Prompt, given: Found | Place) -> _Scene:
        found = given.lungs if isinstance(given, Place) else given
        extent = extent_of(prompt.findings, found)
        place = Place.of(found, "lungs", extent)
        regions = tuple(Region.of(asked, found, extent) for asked in prompt.findings)
        millimetres, notes = _pixel(found, place, prompt)
        return cls(place, regions, millimetres, tuple(dict.fromkeys((*notes, *(n for r in regions for n in r.notes)))))


def _pixel(anatomy: Found, place: Place, prompt: Prompt) -> tuple[float, tuple[str, ...]]:
    """Returns the size of a pixel in mm, and a note where an adult's lungs stand for it."""
    known = anatomy.pixel if isinstance(anatomy, Anatomy) else getattr(anatomy, "pixel", None)
    if isinstance(known, float):
        return known, ()
    rows = int(np.count_nonzero((place.lungs.labels > 0).any(axis=1)))
    lengths = any(Plan.of(each).measure == "diameter" and Plan.of(each).size for each in prompt.findings)
    note = f"the radiograph does not tell the size of a pixel; its lungs are taken to be {LUNG_HEIGHT:g} mm high"
    return LUNG_HEIGHT / max(1, rows), (note,) * lengths
