"""The lesions of one finding, drawn in the window of the lungs and fitted to number, size and severity."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from artasyn.arrays import RIGHT, Heatmap, Mask
from artasyn.errors import SynthesisError
from artasyn.shapes import Bool, Float32, Float64
from artasyn.synthesis.diffusion.adherence import FAINTEST, Measured, measure
from artasyn.synthesis.diffusion.plans import ROUND, Plan, inner
from artasyn.synthesis.diffusion.regions import Region
from artasyn.synthesis.drawing import draw_lesions
from artasyn.synthesis.lesions import Lesion, OpacityRecord, Stamp
from artasyn.synthesis.opacity import Ground
from artasyn.synthesis.places import Place
from artasyn.synthesis.prompts.said import PromptFinding, Size
from artasyn.synthesis.rendering import Extents

CANDIDATES = 80
"""Lesions that are drawn to find room for those of one finding."""
GAP = 2
"""Least distance of separate lesions, in points of the grid."""
WHOLE = 0.8
"""Least share of a round lesion within its region; a nodule that is cut is no nodule."""
STEPS = 8
"""Steps that fit a size."""
LEAST_AREA = 0.25
"""Least area of a lesion, in squares of its longest diameter, with which a place counts as too small for all."""
LARGEST = 6.0
"""Largest factor that a size is changed by."""
GROWN = 1.5
"""Largest factor that a learnt shape is changed by, about its own middle."""

LEARNT = frozenset({"consolidation", "ground_glass_opacity"})
"""The findings whose shapes can be learnt from what readers outline."""

Grid = Float32[np.ndarray, "grid grid"]


class NoRoom(SynthesisError):
    """There is no room for as many separate lesions as were asked for."""


@runtime_checkable
class Shapes(Protocol):
    """Draws shapes of opacities, such as `artasyn.synthesis.diffusion.shapes.ShapeSampler`."""

    @property
    def digest(self) -> str:
        """Tells samplers of shapes apart, for the settings of a run."""

    def ellipses(
        self, lung: Mask, part: Mask, mirrored: bool, size: Size | None, rng: np.random.Generator
    ) -> Float64[np.ndarray, "n 4"]:
        """Returns the ellipses of a shape in a part of a lung: row, column, half the height, half the width."""


@dataclass(frozen=True, eq=False)
class Easel:
    """Draws and fits the lesions of one finding in the window of the lungs.

    Attributes:
        asked: the finding.
        plan: its plan.
        ground: the lungs that lesions are drawn into.
        fade: the fade of the region, in the window.
        place: the lungs and the region, in the window.
        millimetres: size of a point of the window's grid.
        shapes: draws shapes as readers outline them; None leaves all to the distributions of the finding.
    """

    asked: PromptFinding
    plan: Plan
    ground: Ground
    fade: Grid
    place: Place
    millimetres: float
    shapes: Shapes | None = None

    @classmethod
    def of(cls, asked: PromptFinding, region: Region, millimetres: float, shapes: Shapes | None = None) -> Easel:
        """Returns the easel of a finding in its region.

        Args:
            asked: the finding.
            region: the part of the lungs.
            millimetres: size of a pixel of the radiograph.
            shapes: draws shapes as readers outline them, or None.
        """
        ground = Ground.of(region.place)
        window = ground.window
        side = window.side / ground.window.sampled(region.fade).shape[0]
        here = Place(
            replace(region.place.lungs, labels=window.sampled(region.place.lungs.labels)),
            window.sampled(region.place.region),
            part=region.place.part,
        )
        return cls(asked, Plan.of(asked), ground, window.sampled(region.fade), here, millimetres * side, shapes)

    def lesions(self, rng: np.random.Generator) -> tuple[Lesion, ...]:
        """Draws lesions with the number, size and severity that the plan says.

        Raises:
            NoRoom: there is no room for that many separate lesions.
        """
        plan = self.plan
        sides = self._sides(rng)
        number = max(int(rng.integers(plan.number[0], plan.number[1] + 1)), int(sides.sum()) if not plan.apart else 1)
        size = plan.size and math.exp(rng.uniform(*np.log(inner(plan.size))))
        if plan.measure == "level":
            lesions = self._fluid(sides, size, rng)
        elif self.shapes and self._is_one_shape():
            lesions = self._shaped(self.shapes, sides, rng)
        else:
            lesions = self._apart(number, sides, size if plan.measure == "diameter" else None, rng)
            if size and plan.measure == "share":
                lesions = self._filling(lesions, size)
        if plan.graded:
            lesions = self._graded(lesions, math.exp(rng.uniform(*np.log(inner(plan.severity)))))
        return lesions

    def share(self, lesions: tuple[Lesion, ...]) -> Grid:
        """Returns the share of the air that lesions replace within the region, in the window."""
        return np.asarray(self.ground.replaced(OpacityRecord(lesions)) * self.fade, np.float32)

    def measured(self, lesions: tuple[Lesion, ...]) -> Measured:
        """Measures lesions in the window."""
        return measured_map(self.share(lesions), self.asked, self.place, self.millimetres)

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

    def _is_one_shape(self) -> bool:
        """Returns whether a learnt shape is what the prompt asks for: one opacity in a lung, or in a lobe or zone."""
        asked = self.asked
        spread = asked.number or asked.amount or asked.distribution or asked.area
        return asked.finding in LEARNT and not spread

    def _shaped(self, shapes: Shapes, sides: Bool[np.ndarray, " 2"], rng: np.random.Generator) -> tuple[Lesion, ...]:
        """Draws a learnt shape in each lung, of its own share, or of the nearest one that was said.

        Borders and clouds take from a shape, so it grows a little about its own middle until its share is reached.

        Raises:
            NoRoom: no shape shows in the region.
        """
        found, covered = [], np.zeros(self.fade.shape, np.uint8)
        for side in np.flatnonzero(sides):
            lung = np.asarray(self.place.lungs.labels == side + RIGHT)
            part = np.asarray(lung & self.place.region)
            if not part.any():
                continue
            base = self._draw(np.asarray(np.arange(2) == side), rng)
            row, column, outward = self._focus(base)
            said = self.asked.size if (part == lung).all() else None
            ellipses = shapes.ellipses(lung, part, outward > 0, said, rng)
            for down, across, tall, wide in ellipses:
                cv2.ellipse(covered, ((across, down), (2 * wide, 2 * tall), 0), 1, -1)
            if len(ellipses):
                unit = self.ground.context.height * len(self.fade)
                offsets = [(ellipses[:, 0] - row) / unit, outward * (ellipses[:, 1] - column) / unit]
                stamps = np.stack([*offsets, ellipses[:, 2] / unit, ellipses[:, 3] / unit], axis=1).round(4).tolist()
                found.append(replace(base, stamps=tuple((down, out, tall, wide) for down, out, tall, wide in stamps)))
        region = self.place.region
        share = float((covered[region] > 0).mean() if region.any() else 0)
        if not found or not share:
            raise NoRoom
        if self.plan.size:
            share = float(np.clip(share, *inner(self.plan.size)))
        low, high = 1 / GROWN, GROWN
        for _ in range(STEPS):
            middle = math.sqrt(low * high)
            lesions = grown(tuple(found), middle)
            low, high = (middle, high) if self.measured(lesions).share < share else (low, middle)
        return lesions

    def _focus(self, lesion: Lesion) -> tuple[float, float, float]:
        """Returns the row and column of a lesion's focus in the window, and 1 where ribs are at higher columns."""
        context = self.ground.context
        extents = Extents.of((context.share * context.on_film)[None], np)
        within = extents if context.within is None else Extents.of((context.within * context.on_film)[None], np)
        image, side = np.zeros(1, int), np.array([lesion.side - RIGHT])
        where = replace(within, outward=extents.outward).place(image, side, np.array([lesion.focus]), np)
        row, column = (float(at[0]) * len(self.fade) - 0.5 for at in where)
        return row, column, float(extents.outward[0, lesion.side - RIGHT])

    def _apart(
        self, number: int, sides: Bool[np.ndarray, " 2"], size: float | None, rng: np.random.Generator
    ) -> tuple[Lesion, ...]:
        """Draws lesions, which lie apart where their number was said.

        Raises:
            NoRoom: there is no room for that many separate lesions.
        """
        if size and self.plan.apart:
            room = float(np.count_nonzero(self.place.region)) * self.millimetres**2
            if number * LEAST_AREA * size**2 > room:
                raise NoRoom
        taken = np.zeros(self.fade.shape, bool)
        found: list[Lesion] = []
        for _ in range(CANDIDATES):
            here = np.arange(2) == len(found) if sides.all() and len(found) < 2 else sides
            lesion = self._draw(here, rng)
            if found and self.plan.apart:  # lesions that are counted are alike, so that the faintest counts too
                lesion = replace(lesion, severity=found[0].severity)
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
        raise NoRoom

    def _sized(self, lesion: Lesion, size: float) -> Lesion:
        """Scales a lesion to a diameter in mm, from its shape alone."""
        reach = np.array([(abs(a) + r, abs(b) + c) for a, b, r, c in lesion.stamps]).max()
        height = self.ground.window.height * self.millimetres * self.fade.shape[0] / self.ground.window.side
        lesion = scaled((lesion,), size / (2 * reach * height))[0]
        for _ in range(2):
            if found := self.measured((lesion,)).diameter:
                lesion = scaled((lesion,), float(np.clip(size / found, 1 / LARGEST, LARGEST)))[0]
        return lesion

    def _filling(self, lesions: tuple[Lesion, ...], share: float) -> tuple[Lesion, ...]:
        """Scales lesions until they fill a share of the region."""
        low, high = 1 / LARGEST, LARGEST
        for _ in range(STEPS):
            middle = math.sqrt(low * high)
            if self.measured(scaled(lesions, middle)).share < share:
                low = middle
            else:
                high = middle
        return scaled(lesions, math.sqrt(low * high))

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
            lesions = denser(lesions, severity / max(found, 1e-3))
        return lesions


def measured_map(soft: Heatmap, asked: PromptFinding, place: Place, millimetres: float) -> Measured:
    """Measures the soft map of a finding.

    Args:
        soft: the map, (h, w).
        asked: the finding.
        place: the lungs and the region, on the same grid.
        millimetres: size of a pixel.
    """
    patterned = asked.finding not in ROUND
    return measure(soft, place.region, place.lungs.labels, millimetres=millimetres, patterned=patterned)


def scaled(lesions: tuple[Lesion, ...], factor: float) -> tuple[Lesion, ...]:
    """Makes lesions larger about their places."""

    def stamp(of: Stamp) -> Stamp:
        down, across, tall, wide = (round(factor * value, 5) for value in of)
        return down, across, max(tall, 2e-4), max(wide, 2e-4)

    return tuple(replace(lesion, stamps=tuple(map(stamp, lesion.stamps))) for lesion in lesions)


def grown(lesions: tuple[Lesion, ...], factor: float) -> tuple[Lesion, ...]:
    """Makes lesions larger about their own middles, which need not be their places."""

    def about_its_middle(lesion: Lesion) -> Lesion:
        stamps = np.array(lesion.stamps)
        middle = np.average(stamps[:, :2], axis=0, weights=stamps[:, 2] * stamps[:, 3])
        stamps[:, :2] = middle + factor * (stamps[:, :2] - middle)
        stamps[:, 2:] = np.maximum(factor * stamps[:, 2:], 2e-4)
        rows = stamps.round(5).tolist()
        return replace(lesion, stamps=tuple((down, out, tall, wide) for down, out, tall, wide in rows))

    return tuple(map(about_its_middle, lesions))


def denser(lesions: tuple[Lesion, ...], factor: float) -> tuple[Lesion, ...]:
    """Multiplies the severities of lesions."""
    return tuple(
        replace(lesion, severity=round(float(np.clip(factor * lesion.severity, 1e-6, 1)), 6)) for lesion in lesions
    )
