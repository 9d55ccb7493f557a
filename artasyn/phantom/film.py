"""Radiographs of synthetic thoraces, with exact lungs and exact lesions.

A thorax is drawn as plain numbers (`artasyn.phantom.thorax`), filled with tissue in Hounsfield units, projected from
back to front by parallel rays, and developed like a film. Lesions are bodies in three dimensions that replace
air inside the lungs before the projection. The diseased and the healthy film of one record share scatter,
tone curve and noise, so that they are equal wherever no ray meets a lesion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, Image, Mask, Rng, as_generator
from artasyn.errors import SynthesisError
from artasyn.phantom.intervals import Map, interval_share
from artasyn.phantom.lesions import KINDS, PhantomLesion, draw_lesion, lesion_body
from artasyn.phantom.sections import RaySections, ray_sections, straight_grid
from artasyn.phantom.thorax import ThoraxRecord
from artasyn.phantom.tissues import MU, Healthy, coarse_grid, line_integral
from artasyn.phantom.variation import draw_thorax
from artasyn.phantom.voxels import PhantomVolume, Voxels
from artasyn.segment.ct.attenuation import attenuation
from artasyn.segment.lungs import Lungs

__all__ = ["Phantom", "PhantomRadiograph", "PhantomVolume", "ThoraxRecord"]


@dataclass(frozen=True, eq=False)
class PhantomRadiograph:
    """One radiograph with its ground truth.

    Attributes:
        image: float32 (h, w) in [0, 1], bright = dense.
        healthy: the same thorax and film without its lesions; equal to `image` where no ray meets a lesion.
        lungs: the visible lungs: rays that cross lung, but not the heart, the mediastinum or the space below
            the domes of the diaphragm.
        lesions: pixels of the visible lungs that the lesions brighten by at least `Phantom.tolerance`.
        findings: the kind of every lesion, in the order of the record.
        record: the record that reproduces the radiograph.
    """

    image: Image
    healthy: Image
    lungs: Lungs
    lesions: Mask
    findings: tuple[str, ...]
    record: ThoraxRecord


@dataclass(frozen=True)
class Phantom:
    """Draws thoraces and turns them into radiographs.

    Attributes:
        size: rows and columns of the film, at least 64 pixels.
        lesions_range: fewest and most lesions of a diseased thorax.
        kinds: the kinds of lesions to draw, from `artasyn.phantom.lesions.KINDS`.
        severity_range: range of the severity in [0, 1], from small and faint to large and dense.
        tolerance: a pixel belongs to the lesions' mask if they brighten it by this much or more, image units.

    Raises:
        SynthesisError: values out of these ranges.

    Example:
        >>> film = Phantom(size=64)(7, lesions=True)
        >>> film.image.shape, film.lungs.found, bool((film.lesions & ~film.lungs.mask).any())
        ((64, 64), True, False)
        >>> again = Phantom().render(ThoraxRecord.from_json(film.record.to_json()))
        >>> bool((again.image == film.image).all())
        True
    """

    size: int = 256
    lesions_range: tuple[int, int] = (1, 3)
    kinds: tuple[str, ...] = KINDS
    severity_range: tuple[float, float] = (0.0, 1.0)
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        if self.size < 64:
            raise SynthesisError(f"size must be at least 64 pixels, not {self.size}")
        if not 1 <= self.lesions_range[0] <= self.lesions_range[1]:
            raise SynthesisError(f"lesions_range must be (fewest, most) from 1 on, not {self.lesions_range}")
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise SynthesisError(f"kinds must be chosen from {', '.join(KINDS)}, not {self.kinds}")
        if not 0 <= self.severity_range[0] <= self.severity_range[1] <= 1:
            raise SynthesisError(f"severity_range must lie in [0, 1], not {self.severity_range}")
        if not self.tolerance > 0:
            raise SynthesisError(f"tolerance must be positive, not {self.tolerance}")

    def __call__(self, seed: int, *, lesions: bool = False) -> PhantomRadiograph:
        """Makes the radiograph of a seed.

        Args:
            seed: not negative; the same seed gives the same thorax with and without lesions.
            lesions: whether the lungs are diseased.
        """
        return self.render(self.draw(np.random.default_rng(seed), lesions=lesions))

    def draw(self, rng: Rng, *, lesions: bool = False) -> ThoraxRecord:
        """Draws one thorax, as plain numbers.

        Args:
            rng: the only source of randomness, a generator or a seed.
            lesions: whether the lungs are diseased; the thorax and its film are the same either way.
        """
        rng = as_generator(rng)
        record = draw_thorax(rng, self.size)
        count = int(rng.integers(self.lesions_range[0], self.lesions_range[1] + 1)) if lesions else 0
        kinds = [self.kinds[int(rng.integers(len(self.kinds)))] for _ in range(count)]
        found = tuple(draw_lesion(rng, kind, float(rng.uniform(*self.severity_range))) for kind in kinds)
        return replace(record, lesions=found)

    def volume(self, record: ThoraxRecord, *, spacing: float = 3.0) -> PhantomVolume:
        """Makes the thorax as a CT volume with labels: the structures that `render` projects, with lesions.

        Args:
            record: the thorax.
            spacing: size of the cubic voxels, mm, in [1, 6].

        Raises:
            SynthesisError: the spacing is out of this range.
        """
        if not 1 <= spacing <= 6:
            raise SynthesisError(f"spacing must lie in [1, 6] mm, not {spacing}")
        voxels = Voxels(record, spacing)
        for lesion in record.lesions:
            voxels.add_lesion(lesion, lesion_centre(lesion, voxels.coarse))
        return voxels.finished()

    def render(self, record: ThoraxRecord) -> PhantomRadiograph:
        """Renders the radiograph of a thorax, in the size of the record, not of the phantom.

        Args:
            record: the thorax, from `draw` or `ThoraxRecord.from_json`.

        Raises:
            SynthesisError: the film does not show both lungs, or the numbers of the thorax give no film.
        """
        side = (np.arange(record.size, dtype=np.float32) + 0.5) / record.size
        x, z = record.place(side[:, None], side[None, :])
        rays, coarse = ray_sections(record, x, z), coarse_grid(record)
        normal, lungs = line_integral(record, rays, coarse), visible_lungs(rays)
        film = FilmResponse.exposed(record, normal.integral, lungs)
        image = healthy = film.developed(normal.integral)
        if not np.isfinite(healthy).all():
            raise SynthesisError("a thorax of these numbers gives no film")
        if record.lesions:
            image = film.developed(normal.integral + lesion_integral(record, rays, coarse, normal))
        mask = lungs.mask & (image - healthy >= self.tolerance)
        return PhantomRadiograph(image, healthy, lungs, mask, tuple(one.kind for one in record.lesions), record)


@dataclass(frozen=True, eq=False)
class FilmResponse:
    """The response of a film to rays, which the healthy thorax determines and lesions do not change.

    Attributes:
        scatter: scattered radiation that reaches every pixel, relative to the rays before the body.
        added: enhanced detail and quantum noise, in units of the line integral.
        slope: slope of the film's response.
        middle: the signal that gives half the film's brightness.
    """

    scatter: Map
    added: Map
    slope: float
    middle: float

    @classmethod
    def exposed(cls, record: ThoraxRecord, integral: Map, lungs: Lungs) -> FilmResponse:
        """Makes the response that shows the lungs of a healthy thorax at the record's brightness.

        Source:
            S-shaped response of film: Hurter and Driffield (1890); edge enhancement as in digital systems.
        """
        pixels = record.size / record.field
        primary = np.exp(-integral)
        scatter = np.float32(record.scatter) * cv2.GaussianBlur(integral * primary, (0, 0), 22 * pixels)
        signal = -np.log(primary + scatter)
        near = cv2.GaussianBlur(signal, (0, 0), 2.5 * pixels)
        wide = cv2.GaussianBlur(signal, (0, 0), 12 * pixels)
        level = float(np.median(signal[lungs.mask]))
        rng = np.random.default_rng([record.seed, 10])
        noise = rng.standard_normal(integral.shape, dtype=np.float32)
        noise *= np.float32(record.noise) * np.sqrt(np.float32(0.1) / (primary + scatter))
        toe = np.float32(1.5) * np.maximum(np.float32(0.55 * level) - near, 0)  # air beside the body is black
        added = np.float32(0.8) * ((signal - near) + (signal - wide)) - toe + noise
        middle = level - float(np.log(record.exposure / (1 - record.exposure))) / record.contrast
        return cls(scatter, added, record.contrast, middle)

    def developed(self, integral: Map) -> Image:
        """Returns the image of line integrals (h, w) on the film."""
        signal = self.added - np.log(np.exp(-integral) + self.scatter)
        answer = 1 / (1 + np.exp(np.float32(self.slope) * (np.float32(self.middle) - signal)))
        return np.asarray(answer, dtype=np.float32)


def visible_lungs(rays: RaySections) -> Lungs:
    """Returns the visible lungs: on each side, the largest region of rays through lung that nothing hides."""
    labels = np.zeros(rays.x.shape, np.uint8)
    for side, chosen in ((RIGHT, ~rays.left), (LEFT, rays.left)):
        region = (rays.visible & chosen).astype(np.uint8)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(region, connectivity=4)
        areas = stats[1:, cv2.CC_STAT_AREA]
        if not areas.size:
            raise SynthesisError("a thorax of these numbers shows no two lungs on its film")
        labels[(parts == 1 + int(np.argmax(areas))) & (region > 0)] = side
    return Lungs.from_labels(labels)


def lesion_centre(lesion: PhantomLesion, coarse: RaySections) -> np.ndarray:
    """Returns the centre of a lesion: x, y and z in straight mm.

    Args:
        lesion: the lesion, placed in fractions of the visible lung.
        coarse: the thorax on a `straight_grid`.
    """
    lung = coarse.visible & (coarse.left == (lesion.side == LEFT))
    rows = np.flatnonzero(lung.sum(axis=1) >= 5)
    if not rows.size:
        raise SynthesisError("a thorax of these numbers has no lung for its lesion")
    row = rows[int(lesion.row * (len(rows) - 1))]
    columns = np.flatnonzero(lung[row])
    column = columns[int(lesion.column * (len(columns) - 1))]
    front, back = coarse.lung[:, row, column]
    return np.array([coarse.x[row, column], front + lesion.layer * (back - front), coarse.z[row, column]])


def lesion_integral(record: ThoraxRecord, rays: RaySections, coarse: RaySections, normal: Healthy) -> Map:
    """Returns the line integrals that lesions add to a healthy thorax; 0 where no ray meets a lesion.

    The vessels of a ray vanish in proportion to the share of the lung that lesions fill along the ray.
    """
    total, filled = np.zeros_like(rays.x), np.zeros_like(rays.x)
    across, deep = 1.5, 3.0
    for lesion in record.lesions:
        centre = lesion_centre(lesion, coarse)
        side = np.arange(-lesion.reach - across, lesion.reach + 2 * across, across)
        layers = np.arange(-lesion.reach, lesion.reach + deep, deep)
        body = lesion_body(lesion, side, layers, side)
        local = straight_grid(record, centre[0] + side, centre[2] + side)
        share = interval_share(local.lung, centre[1] + layers, deep)
        for hole in local.holes:
            share *= 1 - interval_share(hole, centre[1] + layers, deep)
        depth = (body * share).sum(axis=1) * np.float32(deep)
        columns, rows = ((a - c - side[0]) / across for a, c in ((rays.x, centre[0]), (rays.z, centre[2])))
        depth = cv2.remap(
            depth,
            columns.astype(np.float32),
            rows.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )
        total += np.float32(float(attenuation(np.float32(lesion.hu))) - MU["lung"]) * depth
        filled += depth
    room = rays.lung_depth
    total = np.minimum(total, room * np.float32(MU["organ"] - MU["lung"]))
    lost = normal.vessels * np.clip(filled / np.maximum(room, 1), 0, 1)
    return np.asarray((np.maximum(total * np.float32(record.growth) - lost, 0)).astype(np.float32))
