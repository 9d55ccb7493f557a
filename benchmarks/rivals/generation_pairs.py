"""Pairs of a healthy and a diseased film for the residual flow, and how much of each pairing is disease.

No patient is radiographed healthy and ill at the same moment, so the healthy half of a real diseased film is a guess.
Three guesses are compared: inpainting, the mirrored lung, and the combination of normal films that fits what is seen
outside the lesion. The same guess is made for normal films under the same masks (a placebo): what it finds there is
anatomy that it missed, not disease. The ratio of both variances tells how much of a residual is honest.

Everything is in the cells of the window around the lungs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from artasyn.errors import DataError
from artasyn.findings import LesionKind
from artasyn.segment.ct.lesion import CTLesion, insert_lesion
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.pair import Pair
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.view import View
from artasyn.synthesis.context import Window
from artasyn.synthesis.diffusion.denoiser import LUNG, TISSUE, Cells, in_cells, standard
from benchmarks.rivals.realism import MaskedRadiograph

SIDE = 64
COMPONENTS = 40
RIDGE = 0.02
"""Variance of the noise against that of a component."""
SEEN = 0.05
"""Share of lesion in a cell up to which the cell counts as outside."""
FEWEST = 40
"""Cells; smaller lesions and rests of lung are left out."""
SMOOTH = 1.5
"""Standard deviation of the blur of the attenuation of real films, in cells: finer structure stays with the film."""
EDGES = (1.0, 2.0, 4.0, 8.0)
"""Cells over which the attenuation of a fitted opacity rises from its rim."""


@dataclass(frozen=True, eq=False)
class Half:
    """A film in cells: grey, share of lung, share of lesion; each (side, side)."""

    film: Cells
    air: Cells
    lesion: Cells
    patient: str = ""


@dataclass(frozen=True, eq=False)
class Example:
    """A pair: the healthy film in image units, what the lesion adds, its mask and the lungs, (side, side) each.

    `honest` is the share of the residual's deviation that is disease and no missed anatomy: 1 for a CT.
    """

    normal: Cells
    added: Cells
    mask: Cells
    air: Cells
    patient: str
    honest: float = 1.0


def half(film: MaskedRadiograph, lesion: np.ndarray | None = None, patient: str = "") -> Half:
    """A film and its lesion in cells."""
    window = Window.around(film.lungs)
    if window is None:
        raise DataError(f"{film.name}: no lungs")
    empty = np.zeros(film.image.shape, np.float32)
    cells = [
        in_cells(np.asarray(values, np.float32), window, SIDE)
        for values in (film.image, film.lungs.mask, empty if lesion is None else lesion)
    ]
    return Half(cells[0], cells[1], cells[2] * cells[1], patient or film.name)


@dataclass(frozen=True, eq=False)
class Normals:
    """Components of normal films, as `standard` shows them: the mean, the components and their variances."""

    mean: np.ndarray
    components: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, films: Sequence[Half]) -> Normals:
        """Learns the components of films and of their mirror images."""
        both = [standard(film.film, film.air) for film in films]
        rows = np.stack([each.ravel() for one in both for each in (one, one[:, ::-1])])
        mean = rows.mean(axis=0)
        _, spread, found = np.linalg.svd(rows - mean, full_matrices=False)
        return cls(mean, found[:COMPONENTS], spread[:COMPONENTS] ** 2 / len(rows))

    def healthy(self, ill: Half) -> Cells:
        """The healthy film that fits an ill one outside its lesion."""
        lesion = cv2.dilate((ill.lesion > SEEN).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        rest = np.where(lesion, 0, ill.air).astype(np.float32)
        air = rest if (rest > 0.5).sum() > FEWEST else ill.air
        grey = float(np.quantile(ill.film[air > 0.5], LUNG))
        span = max(float(np.quantile(ill.film, TISSUE)) - grey, 0.1)
        known = ~lesion.ravel()
        seen = ((ill.film - grey) / span).ravel()[known] - self.mean[known]
        basis = np.vstack([self.components[:, known], np.ones(known.sum()), self.mean[known]])
        prior = np.r_[RIDGE / self.variance, 20 * RIDGE, 20 * RIDGE]
        weight = np.linalg.solve(basis @ basis.T + np.diag(prior), basis @ seen)
        whole = self.mean + weight[:-2] @ self.components + weight[-2] + weight[-1] * self.mean
        return np.asarray(whole.reshape(ill.film.shape) * span + grey, np.float32)


def inpainted(ill: Half) -> Cells:
    """The film with its lesion filled in from the border (Telea)."""
    pixels = np.clip(255 * ill.film, 0, 255).astype(np.uint8)
    filled = cv2.inpaint(pixels, (ill.lesion > SEEN).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return filled.astype(np.float32) / 255


def mirrored(ill: Half) -> Cells:
    """The other lung, where it is free of lesions."""
    return np.where(ill.lesion[:, ::-1] < SEEN, ill.film[:, ::-1], inpainted(ill))


def soft_shape(mask: Cells, edge: float) -> Cells:
    """A shape that rises smoothly from the rim of a mask, to 1 over `edge` cells."""
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    rise = np.clip(inside / edge, 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), np.float32)


def step_of(normal: Cells) -> Cells:
    """From the local grey to that of soft tissue, as in `artasyn.synthesis.context.Context`."""
    return np.asarray(np.maximum(np.quantile(normal, TISSUE) - cv2.GaussianBlur(normal, (0, 0), 4), 0), np.float32)


def severity(added: Cells, physics: Cells) -> float:
    """The factor with which the physics fits the attenuation best, 0 or more."""
    return max(float((added * physics).sum()) / max(float((physics**2).sum()), 1e-6), 0.0)


def smoothed(values: Cells, mask: Cells, sigma: float) -> Cells:
    """Values blurred within a mask."""
    inside = (mask > 0.5).astype(np.float32)
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-3)
    return np.asarray(cv2.GaussianBlur(values * inside, (0, 0), sigma) / weight, np.float32)


def residual_bands(ill: Half, normal: Cells) -> list[float] | None:
    """Deviation of what a fitted opacity leaves, fine to coarse (1, 2, 4 cells), in units of the film's step."""
    inside = ill.lesion > 0.5
    if inside.sum() < FEWEST:
        return None
    added, step = ill.film - normal, step_of(normal)
    rests = []
    for edge in EDGES:
        physics = soft_shape(ill.lesion, edge) * step
        rests.append(added - severity(added * inside, physics * inside) * physics)
    rest = min(rests, key=lambda one: float((one[inside] ** 2).sum()))
    span = max(float(np.quantile(ill.film, TISSUE) - np.quantile(ill.film[ill.air > 0.5], 0.1)), 0.1)
    levels = [rest, *(smoothed(rest, ill.lesion, sigma) for sigma in (1, 2, 4)), np.zeros_like(rest)]
    bands = [(fine - coarse)[inside] for fine, coarse in itertools.pairwise(levels)]
    return [float(band.std()) / span for band in bands]


def transplanted(mask: Cells, of: Cells, onto: Cells) -> Cells:
    """A lesion moved from the box of one patient's lungs to that of another's."""
    x, y, w, h = cv2.boundingRect((of > 0.5).astype(np.uint8))
    column, row, width, height = cv2.boundingRect((onto > 0.5).astype(np.uint8))
    moved = np.zeros_like(mask)
    moved[row : row + height, column : column + width] = cv2.resize(mask[y : y + h, x : x + w], (width, height))
    return np.asarray(moved * onto, np.float32)


def honesty(ill: Sequence[Half], normals: Sequence[Half]) -> dict[str, dict[str, list[float]]]:
    """For every pairing the deviations of the residual by band, of real lesions and of a placebo, and their ratio.

    Half of the normal films teach the components, the other half are the placebo.
    """
    taught, placebo = normals[::2], normals[1::2]
    ways: dict[str, Callable[[Half], Cells]] = {
        "inpainting": inpainted,
        "mirrored lung": mirrored,
        "fit of normal films": Normals.of(taught).healthy,
    }
    masked = []
    for at, film in enumerate(placebo):
        donor = ill[at % len(ill)]
        masked.append(Half(film.film, film.air, transplanted(donor.lesion, donor.air, film.air)))
    result = {}
    for name, guess in ways.items():
        real, anatomy = (
            np.array([bands for one in films if (bands := residual_bands(one, guess(one)))]) for films in (ill, masked)
        )
        ratio = (real**2).mean(axis=0) / np.maximum((anatomy**2).mean(axis=0), 1e-9)
        found = {"real": np.median(real, axis=0), "placebo": np.median(anatomy, axis=0), "variance_ratio": ratio}
        result[name] = {key: [round(float(value), 4) for value in values] for key, values in found.items()}
    return result


def film_pairs(ill: Sequence[Half], normals: Sequence[Half], honest: float = 1.0) -> list[Example]:
    """Pairs of real diseased films: what the fit of normal films does not explain, smoothed, is the lesion.

    The healthy half is the film less this smooth attenuation, so that texture, ribs and noise are the same in both.
    """
    fit = Normals.of(normals)
    found = []
    for one in ill:
        added = smoothed(one.film - fit.healthy(one), one.lesion, SMOOTH) * cv2.GaussianBlur(one.lesion, (0, 0), 0.7)
        added = np.maximum(added, 0)
        if (one.lesion > 0.5).sum() >= FEWEST:
            found.append(Example(one.film - added, added, one.lesion, one.air, one.patient, honest))
    return found


def ct_pairs(data: Path, views: int, lesions: int) -> list[Example]:
    """Pairs of projections of two CTs, healthy and with one to three lesions: exact, but the lesions are made."""
    found = []
    scans = (
        ("lidc_0001", "lidc_0001_labels", "structures.csv"),
        ("cptac_c3n00249", "cptac_c3n00249_autolabels", "cptac_autolabels_names.csv"),
    )
    for number, (name, labels, names) in enumerate(scans):
        ct = data / "ct"
        volume = Volume.read(ct / f"{name}.nii.gz", ct / f"{labels}.nii.gz", ct / names).resampled(2.0)
        for view in tqdm(range(views), desc=name, unit="view"):
            rng = np.random.default_rng([number, view])
            found += _of_view(volume, rng, lesions, name)
    return found


def _of_view(volume: Volume, rng: np.random.Generator, lesions: int, patient: str) -> list[Example]:
    """Pairs of one view of a CT."""
    angle, tilt, roll = rng.choice([0.0, 180.0]) + rng.uniform(-6, 6), rng.uniform(-4, 4), rng.uniform(-3, 3)
    view = View(angle=float(angle), tilt=float(tilt), roll=float(roll), size=(256, 256))
    healthy = project(volume, view, frame="covered", structures=("lungs",))
    lungs = healthy.lungs("projected")
    window = Window.around(lungs)
    found: list[Example] = []
    if window is None:
        return found
    normal, air = (in_cells(np.asarray(each, np.float32), window, SIDE) for each in (healthy.image, lungs.mask))
    for _ in range(lesions):
        ill = volume
        try:
            for at in range(int(rng.integers(1, 4))):
                kind: LesionKind = "consolidation" if rng.uniform() < 0.5 else "ground_glass_opacity"
                ill = insert_lesion(ill, CTLesion.draw(volume, rng, kind=kind), name=f"lesion_{at}")
            pair = Pair.between(healthy, volume, ill)
        except DataError:  # the lesion does not show in this view
            continue
        added = in_cells(pair.diseased.image, window, SIDE) - normal
        blurred = cv2.GaussianBlur(added, (0, 0), 1.0)
        mask = (blurred > 0.25 * np.quantile(blurred, 0.99)).astype(np.float32) * (air > 0.5)
        if mask.sum() >= FEWEST:
            found.append(Example(normal, added, mask, air, patient))
    return found
