"""Lung opacities on one radiograph: drawing, rendering and the exact mask of the changed pixels."""

from __future__ import annotations

import contextlib
import functools
import math
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any

import cv2
import numpy as np

from artasyn.arrays import Attenuation, Heatmap, Image, Rng, as_generator, check_image
from artasyn.errors import ImageError, NothingShows, SynthesisError
from artasyn.fields import Count, Within, check_fields
from artasyn.segment.anatomy.anatomy import Convention
from artasyn.shapes import Bool, Float32
from artasyn.synthesis import rendering
from artasyn.synthesis.anomaly import Anomaly, Change, exposed
from artasyn.synthesis.context import FADE_BLUR, Box, Context, Fade, Window, blurred
from artasyn.synthesis.drawing import draw_lesions
from artasyn.synthesis.finding import CountRange, Finding, Findings, chosen, findings
from artasyn.synthesis.lesions import Draws, OpacityRecord
from artasyn.synthesis.places import Found, Place
from artasyn.synthesis.rendering import Lesions
from artasyn.synthesis.textures import DEVIATION, GRID, texture

DRAWS = 8
"""Number of draws that may fail before an image counts as one that nothing can be added to."""

_POINTS = ((np.arange(rendering.POINTS) + 0.5) / rendering.POINTS).astype(np.float32)


@dataclass(frozen=True, init=False)
class LungOpacity:
    """Makes lung opacities on normal radiographs, with exact masks.

    Lesions of one or more findings are drawn, each with its own place, size, shape and density. The lesions are
    *added* as attenuation, so ribs, vessels and noise keep their contrast. A pixel belongs to the mask exactly if it
    changed. The densest possible lesion brings a lung to the grey of soft tissue.

    Places are relative to the lungs, and lengths are fractions of the lungs' height. The same settings therefore fit
    any image size and any cropping.

    Attributes:
        findings: the findings to draw from, by their weights. Names are taken for them: ``LungOpacity(["nodule"])``;
            `artasyn.synthesis.findings` selects and changes them.
        kinds_range: number of different findings in one anomaly.
        tolerance: smallest change of a pixel, in image units; smaller changes are not added. The default is one grey
            level of 8 bits.
        part: the part of the lungs that lesions lie in and may change: ``lungs``, ``lung_right``, ``lung_left``; a zone
            such as ``upper``, ``lower_zone_left`` or ``peripheral``; or, where an `Anatomy` or a `Projection` is given,
            one of its structures or groups, such as ``lung_lower_lobe_left``. The zones of a finding then count within
            this part.
        convention: the extent of the lungs of an `Anatomy` or a `Projection`: ``visible``, as readers draw them, or
            ``whole``, behind the heart too.

    Source: ART-ASyn (Cao, Fan, Cai; WACV 2026; arXiv 2512.00310), texture-based anomaly synthesis. The published
    stamps are composited toward one grey value, which erases half of the texture beneath. Here stamps are attenuation.

    Example:
        >>> from artasyn import Phantom
        >>> chest = Phantom(size=128)(seed=1)
        >>> anomaly = LungOpacity(["nodule", "mass"])(chest.image, chest.lungs, rng=0)
        >>> bool((anomaly.mask == (anomaly.image != chest.image)).all())
        True
    """

    findings: Annotated[tuple[Finding, ...], Count(0, 1000)] = field(default_factory=findings)
    kinds_range: CountRange = (1, 2)
    tolerance: Annotated[float, Within(1e-6, 0.5)] = 1 / 255
    part: str = "lungs"
    convention: Convention = "visible"

    def __init__(
        self,
        findings: Findings | None = None,
        kinds_range: CountRange = (1, 2),
        tolerance: float = 1 / 255,
        part: str = "lungs",
        convention: Convention = "visible",
    ) -> None:
        """Sets the attributes, and refuses settings that cannot be drawn from.

        Args:
            findings: names, findings of one's own, or both; None takes all findings.
            kinds_range: number of different findings in one anomaly.
            tolerance: smallest change of a pixel, in image units.
            part: the part of the lungs that lesions lie in.
            convention: the extent of the lungs.

        Raises:
            SynthesisError: no findings or an unknown one, or a range or tolerance that makes no sense.
        """
        values = (chosen(findings), kinds_range, tolerance, part, convention)
        for each, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, each.name, value)
        check_fields(self, SynthesisError)
        if not self.findings:
            raise SynthesisError("no findings to draw from; leave the option out for all of them")

    def __call__(self, image: Image, lungs: Found | Place, rng: Rng) -> Anomaly:
        """Draws an anomaly and renders it; an anomaly that changes no pixel is drawn again.

        Args:
            image: float32 (h, w) in [0, 1], a normal radiograph.
            lungs: its lungs, its anatomy or its projection, on the same grid.
            rng: the only source of randomness, a generator or a seed.

        Raises:
            SynthesisError: there are no lungs or no such part of them, or they are so bright that nothing can be added
                to them.
            ImageError: the image is not valid, or the lungs are on another grid.
        """
        place, rng = self.place(lungs), as_generator(rng)
        for _ in range(DRAWS - 1):
            with contextlib.suppress(NothingShows):
                return self.render(image, place, self.draw(place, rng))
        return self.render(image, place, self.draw(place, rng))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings."""
        return tuple(finding.name for finding in self.findings)

    def place(self, lungs: Found | Place) -> Place:
        """Returns the part of the lungs that lesions lie in.

        Args:
            lungs: the lungs, the anatomy or the projection of a radiograph.

        Raises:
            SynthesisError: the lungs do not tell where the part is.
        """
        return Place.of(lungs, self.part, self.convention)

    def draw(self, lungs: Found | Place, rng: Rng) -> OpacityRecord:
        """Draws the places, shapes and densities of an anomaly; rendering uses no randomness.

        Args:
            lungs: the lungs, the anatomy or the projection to place the anomaly in; one lung is enough.
            rng: the source of randomness, a generator or a seed.

        Raises:
            SynthesisError: there are no lungs, or no such part of them.
        """
        place = self.place(lungs)
        present = place.present
        if not present.any() and place.lungs.labels.any():
            raise SynthesisError(f"no pixel of these lungs belongs to {self.part}; choose another part")
        lesions = self.draw_batch(present[None], rng).lesions(1)[0]
        return OpacityRecord(lesions, self.tolerance, self.part, self.convention)

    def draw_batch(self, present: Bool[np.ndarray, "b 2"], rng: Rng) -> Draws:
        """Draws an anomaly for each image of a batch.

        Args:
            present: bool (b, 2), whether an image has a right and a left lung.
            rng: the source of randomness, a generator or a seed.

        Raises:
            SynthesisError: an image has no lungs.
        """
        if not present.any(axis=1).all():
            missing = np.flatnonzero(~present.any(axis=1)).tolist()
            raise SynthesisError(
                f"no lungs to place an opacity in, images {missing} of {len(present)}; find them first or leave it out"
            )
        return draw_lesions(self.findings, present, as_generator(rng), kinds_range=self.kinds_range)

    def render(self, image: Image, lungs: Found | Place, record: OpacityRecord) -> Anomaly:
        """Renders a record on a radiograph; the same input always gives the same result.

        Args:
            image: float32 (h, w) in [0, 1].
            lungs: its lungs, its anatomy or its projection, on the same grid.
            record: from `draw`, for these lungs at any size or for other lungs with the same sides.

        Raises:
            NothingShows: no pixel of this image changes.
            SynthesisError: the lungs do not tell where the record's part is.
            ImageError: the image is not valid, or the lungs are on another grid.
        """
        check_image(image)
        place = Place.of(lungs, record.part, record.convention)
        if place.region.shape != image.shape:
            raise ImageError(
                f"lungs are {place.region.shape}, the image is {image.shape}; use lungs.resized(image.shape)"
            )
        change = rendered(image, place, record)
        return Anomaly(change.image, change.mask, change.attenuation, record, change.findings())


def rendered(image: Image, place: Place, record: OpacityRecord) -> Change:
    """Renders a record on an image, in the part that its lesions can change.

    Args:
        image: float32 (h, w) in [0, 1].
        place: its lungs and the part of them that the record may change, on the same grid.
        record: the record to render.

    Raises:
        NothingShows: no pixel of this image changes.
    """
    window = Window.around(place.lungs)
    if window is None or not record.lesions:
        raise NothingShows("no pixel changes: there are no lungs, or the record is empty")
    context = Context.of(image, place, window)
    air_left, step = _air_left(context, record), _finer(context.step)
    more = _replaced(air_left)
    more *= step
    film, inner = window.part(_shown(more, record.tolerance), image.shape)
    more = cv2.resize(more, (window.side, window.side), interpolation=cv2.INTER_LINEAR)[inner]
    changed, mask, added = exposed(image, film, more, place.region, context.soft_tissue, tolerance=record.tolerance)
    if not mask[film].any():
        raise NothingShows(
            "no pixel can be brightened by the tolerance: "
            "the record lies outside these lungs, or they are white or mere slivers"
        )
    return Change(film, changed, mask, added, window, inner, step, air_left, record.tolerance)


@dataclass(frozen=True, eq=False)
class Ground:
    """The lungs that lesions are drawn into, with or without a film.

    Attributes:
        place: the lungs and the part of them that lesions may change.
        window: the window around the lungs.
        context: the lungs, and the film's grey, in the cells of the window.
    """

    place: Place
    window: Window
    context: Context

    @classmethod
    def of(cls, place: Place, image: Image | None = None) -> Ground:
        """Returns the ground of a place.

        Args:
            place: the lungs.
            image: the film, (h, w); without it, the ground tells where lesions lie, but nothing of greys.

        Raises:
            SynthesisError: there are no lungs.
        """
        window = Window.around(place.lungs)
        if window is None:
            raise SynthesisError("no lungs to draw a lesion into; find them first")
        film = np.zeros(place.region.shape, np.float32) if image is None else image
        return cls(place, window, Context.of(film, place, window))

    @property
    def step(self) -> Attenuation:
        """From the grey of the lung to that of soft tissue, float32 (h, w) in image units; 0 outside the part."""
        return self.placed(_finer(self.context.step))

    def replaced(self, record: OpacityRecord) -> Float32[np.ndarray, "grid grid"]:
        """Returns the share of the lung's air that a record replaces, in [0, 1], in the window."""
        return _replaced(_air_left(self.context, record))

    def placed(self, share: Float32[np.ndarray, "grid grid"]) -> Heatmap:
        """Returns values of the window on the grid of the lungs, 0 outside the part."""
        shape = self.place.region.shape
        film, inner = self.window.part((slice(0, GRID), slice(0, GRID)), shape)
        whole = cv2.resize(share, (self.window.side, self.window.side), interpolation=cv2.INTER_LINEAR)
        found = np.zeros(shape, np.float32)
        found[film] = whole[inner] * self.place.region[film]
        return found


def _replaced(air_left: dict[str, Float32[np.ndarray, "grid grid"]]) -> Float32[np.ndarray, "grid grid"]:
    """Returns the share of air that the findings replace together."""
    return np.asarray(1 - functools.reduce(np.multiply, air_left.values()), np.float32)


def _shown(more: Float32[np.ndarray, "grid grid"], tolerance: float) -> tuple[slice, slice]:
    """Returns the part of the grid around all attenuation that can reach the tolerance, with all that it touches."""
    there = more > max(np.float32(tolerance - 1e-6), 0)  # rounding adds less
    left, top, width, height = cv2.boundingRect(there.view(np.uint8))
    if not width:
        return slice(0, 0), slice(0, 0)
    return slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1)


def _air_left(context: Context, record: OpacityRecord) -> dict[str, Float32[np.ndarray, "grid grid"]]:
    """Returns the share of air that every finding leaves."""
    lesions = Lesions.pack(Draws.of([record.lesions]))
    extents = rendering.Extents.of((context.share * context.on_film)[None], np)
    within = extents  # lesions lie within the part, but outward is outward in the whole lungs
    if context.within is not None:
        parts = rendering.Extents.of((context.within * context.on_film)[None], np)
        within = replace(parts, outward=extents.outward)
    rows, columns = (at.astype(np.float32) for at in within.place(lesions.image, lesions.side, lesions.focus, np))
    place, mirrored = rendering.at_the_hilum(lesions, extents, np)
    outward = extents.outward[lesions.image, lesions.side].astype(np.float32)
    height = np.full(1, context.height, np.float32)
    thin = {side: blurred(context.share[side], FADE_BLUR) for side in set(lesions.side.tolist())}
    air_left = {name: np.ones((GRID, GRID), np.float32) for name in record.findings}
    across = outward[:, None] * lesions.stamps[:, :, 1]
    spread = _spread(record, lesions.stamps.shape[1])
    down = _reached(rows, lesions.stamps[:, :, 0], lesions.stamps[:, :, 2], spread, context.height)
    over = _reached(columns, across, lesions.stamps[:, :, 3], spread, context.height)
    starts, flips, textures = place.tolist(), mirrored.tolist(), lesions.texture.tolist()
    fades: dict[tuple[int, float], Fade] = {}
    for number, lesion in enumerate(record.lesions):
        one = slice(number, number + 1)
        side, look = int(lesions.side[number]), lesions.look[number]
        kind = (side, lesion.look.reach)
        if kind not in fades:
            fades[kind] = Fade.of(rendering.fades(thin[side][None], look[None, -1], np)[0])
        found = fades[kind].within(down[number], over[number])
        if found is None:
            continue
        box, points, inner, fade = found
        level = rendering.levels(
            lesions.stamps[one],
            rows[one],
            columns[one],
            outward[one],
            height,
            _POINTS[points[0]],
            _POINTS[points[1]],
            np,
        )[0]
        level = cv2.resize(level, (2 * level.shape[1], 2 * level.shape[0]), interpolation=cv2.INTER_LINEAR)[inner]
        pieces = [
            _piece(textures[number][k], starts[number][k], flips[number][k], box) if look[strength] else None
            for k, strength in enumerate((2, 3, 4))
        ]
        if pieces[2] is not None and lesions.airways[number] > 0:
            pieces[2] = 1 - pieces[2]
        left = air_left[lesion.finding][box]
        cv2.multiply(left, rendering.air_of_one(level, pieces, look[:-1], lesions.severity[number], fade), left)
    return air_left


def _spread(record: OpacityRecord, stamps: int) -> Float32[np.ndarray, "n 1"]:
    """Returns how far from a stamp's middle its lesion can show, relative to the stamp's radius."""
    rims = np.array([[lesion.look.irregularity] for lesion in record.lesions], np.float32)
    return np.asarray(np.sqrt(1 + math.log(stamps) / rendering.SHARPNESS + DEVIATION * rims))


def _reached(focus: Any, offset: Any, radius: Any, spread: Any, height: float) -> list[list[int]]:
    """Returns the range of points along an axis that each lesion can reach, with one point to spare at each end."""
    count = rendering.POINTS
    reach = spread * radius
    low = (focus + height * (offset - reach).min(axis=1)) * count
    high = (focus + height * (offset + reach).max(axis=1)) * count
    ends = zip(low.tolist(), high.tolist(), strict=True)
    return [
        [min(max(math.floor(first) - 1, 0), count), min(max(math.ceil(last) + 1, 0), count)] for first, last in ends
    ]


def _piece(number: int, place: list[int], mirrored: list[int], box: Box) -> Float32[np.ndarray, "rows columns"]:
    """Cuts a box out of the piece of a texture that is mirrored along the axes that `mirrored` flags."""
    rows, columns = (
        slice(start + GRID - at.stop, start + GRID - at.start) if flip else slice(start + at.start, start + at.stop)
        for start, flip, at in zip(place, mirrored, box, strict=True)
    )
    return texture(number)[rows, columns][:: -1 if mirrored[0] else 1, :: -1 if mirrored[1] else 1]


def _finer(values: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, "grid grid"]:
    """Resamples values to the grid."""
    return np.asarray(cv2.resize(values, (GRID, GRID), interpolation=cv2.INTER_LINEAR), np.float32)
