"""Pathology masks: soft maps of the findings of a prompt, in the anatomy of one radiograph."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from artasyn.arrays import Heatmap
from artasyn.errors import SynthesisError
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.shapes import Bool, Float32
from artasyn.synthesis.diffusion.adherence import FAINTEST, Measured, disagreements, measure
from artasyn.synthesis.diffusion.plans import LUNG_HEIGHT, ROUND, Plan, inner
from artasyn.synthesis.diffusion.prompt import Prompt
from artasyn.synthesis.diffusion.record import PromptRecord
from artasyn.synthesis.diffusion.regions import Region, extent_of
from artasyn.synthesis.diffusion.said import PromptFinding
from artasyn.synthesis.drawing import draw_lesions
from artasyn.synthesis.lesions import Lesion, OpacityRecord, Stamp
from artasyn.synthesis.opacity import Ground
from artasyn.synthesis.places import Found, Place

TRIES = 24
"""Draws of one finding before it counts as one that these lungs cannot show."""
CANDIDATES = 80
"""Lesions that are drawn to find room for those of one finding."""
GAP = 2
"""Least distance of separate lesions, in points of the grid."""
WHOLE = 0.8
"""Least share of a round lesion within its region; a nodule that is cut is no nodule."""
STEPS = 8
"""Steps that fit a size."""
LARGEST = 6.0
"""Largest factor that a size is changed by."""

Grid = Float32[np.ndarray, "grid grid"]


@dataclass(frozen=True, eq=False)
class PathologyMask:
    """The soft map of one finding of a prompt.

    Attributes:
        asked: the finding.
        record: its lesions as plain numbers.
        region: the part of the lungs that it may change.
        soft: float32 (h, w) in [0, 1], the share of the lung's air that the finding replaces; 0 outside the region.
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
        soft = ground.placed(ground.replaced(record)) * region.fade
        found = _measure(soft, asked, region.place, millimetres)
        return cls(asked, record, region, soft, found)

    def at(self, severity: float, *, millimetres: float) -> PathologyMask:
        """Returns the same shape with another severity.

        Args:
            severity: the severity of the densest lesion, in (0, 1]; the other lesions keep their relation to it.
            millimetres: size of a pixel.
        """
        most = max(lesion.severity for lesion in self.record.lesions)
        record = replace(self.record, lesions=_denser(self.record.lesions, severity / most))
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

    Example:
        >>> from artasyn import Phantom
        >>> prompt = Prompt.parse("two small nodules in the left upper zone")
        >>> masks = MaskSampler()(prompt, Phantom(size=128)(seed=1).lungs, np.random.default_rng(0))
        >>> masks.masks[0].measured.number, masks.masks[0].measured.side
        (2, 'left')
    """

    tolerance: float = 1 / 255

    def __call__(self, prompt: Prompt, anatomy: Found | Place, rng: np.random.Generator) -> PathologyMasks:
        """Draws the masks of a prompt.

        Args:
            prompt: what to show; a prompt that only denies gives no masks.
            anatomy: the lungs, the anatomy or the projection of a radiograph.
            rng: the only source of randomness.

        Raises:
            SynthesisError: the radiograph does not show a place that the prompt names, or has no room for the finding.
        """
        scene = _Scene.of(prompt, anatomy)
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
        easel = _Easel.of(asked, region, millimetres)
        wrong: tuple[str, ...] = ()
        for _ in range(TRIES):
            with contextlib.suppress(_NoRoom):
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


class _NoRoom(Exception):
    """No place was found for a lesion."""


@dataclass(frozen=True, eq=False)
class _Easel:
    """Draws and fits the lesions of one finding in the window of the lungs."""

    asked: PromptFinding
    plan: Plan
    ground: Ground
    fade: Grid
    place: Place
    millimetres: float

    @classmethod
    def of(cls, asked: PromptFinding, region: Region, millimetres: float) -> _Easel:
        ground = Ground.of(region.place)
        window = ground.window
        side = window.side / ground.window.sampled(region.fade).shape[0]
        here = Place(
            replace(region.place.lungs, labels=window.sampled(region.place.lungs.labels)),
            window.sampled(region.place.region),
            part=region.place.part,
        )
        return cls(asked, Plan.of(asked), ground, window.sampled(region.fade), here, millimetres * side)

    def lesions(self, rng: np.random.Generator) -> tuple[Lesion, ...]:
        """Draws lesions with the number, size and severity that the plan says.

        Raises:
            _NoRoom: there is no room for that many separate lesions.
        """
        plan = self.plan
        sides = self._sides(rng)
        number = max(int(rng.integers(plan.number[0], plan.number[1] + 1)), sides.sum() if not plan.apart else 1)
        size = plan.size and math.exp(rng.uniform(*np.log(inner(plan.size))))
        if plan.measure == "level":
            lesions = self._fluid(sides, size, rng)
        else:
            lesions = self._apart(number, sides, size if plan.measure == "diameter" else None, rng)
            if size and plan.measure == "share":
                lesions = self._filling(lesions, size)
        if plan.graded:
            lesions = self._graded(lesions, math.exp(rng.uniform(*np.log(inner(plan.severity)))))
        return lesions

    def share(self, lesions: tuple[Lesion, ...]) -> Grid:
        """The share of the air that lesions replace within the region, in the window."""
        return np.asarray(self.ground.replaced(OpacityRecord(lesions)) * self.fade, np.float32)

    def measured(self, lesions: tuple[Lesion, ...]) -> Measured:
        return _measure(self.share(lesions), self.asked, self.place, self.millimetres)

    def _sides(self, rng: np.random.Generator) -> Bool[np.ndarray, " 2"]:
        """Draws the lungs that the lesions lie in, where the prompt leaves it open."""
        present = self.place.present
        spread = self.asked.distribution == "diffuse" or rng.random() < self.plan.finding.bilateral_probability
        if not present.all() or spread:
            return present
        return np.asarray(np.arange(2) == rng.integers(2))

    def _draw(self, sides: Bool[np.ndarray, " 2"], rng: np.random.Generator) -> Lesion:
        finding = replace(self.plan.finding, number_range=(1, 1), bilateral_probability=0.0, sides=("right", "left"))
        return draw_lesions((finding,), sides[None], rng, kinds_range=(1, 1)).lesions(1)[0][0]

    def _apart(
        self, number: int, sides: Bool[np.ndarray, " 2"], size: float | None, rng: np.random.Generator
    ) -> tuple[Lesion, ...]:
        """Draws lesions, which lie apart where their number was said."""
        taken = np.zeros(self.fade.shape, bool)
        found: list[Lesion] = []
        for _ in range(CANDIDATES):
            here = np.arange(2) == len(found) if sides.all() and len(found) < 2 else sides
            lesion = self._draw(here, rng)
            if size:
                lesion = self._sized(lesion, size)
            whole = self.ground.replaced(OpacityRecord((lesion,)))
            shown = whole * self.fade
            if shown.max() < FAINTEST:
                continue
            if self.asked.finding in ROUND and shown.sum() < WHOLE * whole.sum():
                continue
            seen = (shown >= 0.05 * shown.max()).astype(np.uint8)
            if self.plan.apart and (taken & (seen > 0)).any():
                continue
            taken |= cv2.dilate(seen, np.ones((2 * GAP + 1, 2 * GAP + 1), np.uint8)) > 0
            found.append(lesion)
            if len(found) == number:
                return tuple(found)
        raise _NoRoom

    def _sized(self, lesion: Lesion, size: float) -> Lesion:
        """Scales a lesion to a diameter in mm, from its shape alone."""
        reach = np.array([(abs(a) + r, abs(b) + c) for a, b, r, c in lesion.stamps]).max()
        height = self.ground.window.height * self.millimetres * self.fade.shape[0] / self.ground.window.side
        lesion = _scaled((lesion,), size / (2 * reach * height))[0]
        for _ in range(2):
            if found := self.measured((lesion,)).diameter:
                lesion = _scaled((lesion,), float(np.clip(size / found, 1 / LARGEST, LARGEST)))[0]
        return lesion

    def _filling(self, lesions: tuple[Lesion, ...], share: float) -> tuple[Lesion, ...]:
        """Scales lesions until they fill a share of the region."""
        low, high = 1 / LARGEST, LARGEST
        for _ in range(STEPS):
            middle = math.sqrt(low * high)
            if self.measured(_scaled(lesions, middle)).share < share:
                low = middle
            else:
                high = middle
        return _scaled(lesions, math.sqrt(low * high))

    def _fluid(
        self, sides: Bool[np.ndarray, " 2"], level: float | None, rng: np.random.Generator
    ) -> tuple[Lesion, ...]:
        """Draws a fluid in each lung, of the level that was said."""
        found = []
        for side in np.flatnonzero(sides):
            seed, finding = int(rng.integers(2**32)), self.plan.finding
            height = level or math.exp(rng.uniform(*np.log(finding.size_range)))
            for _ in range(4):
                lesion = self._fluid_of(height, int(side), seed)
                reached = self.measured((lesion,)).level
                if not level:
                    break
                height = float(np.clip(height * level / max(reached, 0.02), 0.03, 0.95))
            found.append(lesion)
        return tuple(found)

    def _fluid_of(self, height: float, side: int, seed: int) -> Lesion:
        finding = replace(
            self.plan.finding, size_range=(height, height), bilateral_probability=0.0, sides=("right", "left")
        )
        only = np.arange(2) == side
        return draw_lesions((finding,), only[None], np.random.default_rng(seed), kinds_range=(1, 1)).lesions(1)[0][0]

    def _graded(self, lesions: tuple[Lesion, ...], severity: float) -> tuple[Lesion, ...]:
        """Makes lesions denser or fainter until their densest parts have a severity."""
        for _ in range(3):
            found = self.measured(lesions).severity
            lesions = _denser(lesions, severity / max(found, 1e-3))
        return lesions


def _measure(soft: Heatmap, asked: PromptFinding, place: Place, millimetres: float) -> Measured:
    patterned = asked.finding not in ROUND
    return measure(soft, place.region, place.lungs.labels, millimetres=millimetres, patterned=patterned)


def _scaled(lesions: tuple[Lesion, ...], factor: float) -> tuple[Lesion, ...]:
    """Makes lesions larger about their places."""

    def stamp(of: Stamp) -> Stamp:
        down, across, tall, wide = (round(factor * value, 5) for value in of)
        return down, across, max(tall, 2e-4), max(wide, 2e-4)

    return tuple(replace(lesion, stamps=tuple(map(stamp, lesion.stamps))) for lesion in lesions)


def _denser(lesions: tuple[Lesion, ...], factor: float) -> tuple[Lesion, ...]:
    """Multiplies the severities of lesions."""
    return tuple(
        replace(lesion, severity=round(float(np.clip(factor * lesion.severity, 1e-6, 1)), 6)) for lesion in lesions
    )


def _pixel(anatomy: Found, place: Place, prompt: Prompt) -> tuple[float, tuple[str, ...]]:
    """Returns the size of a pixel in mm, and a note where an adult's lungs stand for it."""
    known = anatomy.pixel if isinstance(anatomy, Anatomy) else getattr(anatomy, "pixel", None)
    if isinstance(known, float):
        return known, ()
    rows = int(np.count_nonzero((place.lungs.labels > 0).any(axis=1)))
    lengths = any(Plan.of(each).measure == "diameter" and Plan.of(each).size for each in prompt.findings)
    note = f"the radiograph does not tell the size of a pixel; its lungs are taken to be {LUNG_HEIGHT:g} mm high"
    return LUNG_HEIGHT / max(1, rows), (note,) * lengths
