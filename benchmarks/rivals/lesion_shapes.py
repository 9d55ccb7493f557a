"""Shapes of lesions in one lung, real and synthetic, as signed distances on 32 x 32 cells of the lung's own box.

Real shapes are the masks that readers drew on the films of `lesions`. Further ones are the projections of lesions put
into two CTs. The frame is the same for all: the left lung is mirrored, and the box of the lung fills the cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from artasyn.arrays import LEFT, RIGHT, Mask
from artasyn.errors import DataError
from artasyn.files.radiograph import read_mask
from artasyn.findings import LesionKind
from artasyn.segment.ct.lesion import CTLesion, insert_lesion
from artasyn.segment.ct.volume import Volume
from artasyn.segment.lungs import Lungs
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.view import View
from artasyn.shapes import Float32
from artasyn.synthesis.diffusion.plans import SIZES, WORDS
from artasyn.synthesis.diffusion.shapes import Distances, Frame, ShapeSettings, finer, signed
from artasyn.synthesis.prompts.said import Size
from benchmarks.rivals.realism import MaskedRadiograph, read_film, small
from benchmarks.train_denoiser import patient_of

LEAST = SIZES["share"][0]
"""Share of the lung from which a shape counts."""
PEAK = 0.25
"""Share of the peak of a soft map from which a reader is taken to outline it."""
LIKE_READERS: tuple[LesionKind, ...] = ("consolidation", "ground_glass_opacity")
SIDE = ShapeSettings().side


@dataclass(frozen=True, eq=False)
class Shape:
    """A lesion in a lung.

    Attributes:
        lung: the lung.
        lesion: the lesion, within the lung.
        kind: what it is, one of `artasyn.synthesis.diffusion.shapes.KINDS`.
        patient: whose it is.
    """

    lung: Distances
    lesion: Distances
    kind: str
    patient: str

    @property
    def share(self) -> float:
        """The share of the lung that the lesion covers."""
        inside = finer(self.lung) > 0
        return float(((finer(self.lesion) > 0) & inside).sum() / max(1, inside.sum()))

    @property
    def size(self) -> Size:
        """The word for this share; smaller than small counts as small."""
        return WORDS[int(np.clip(np.searchsorted(SIZES["share"], self.share) - 1, 0, len(WORDS) - 1))]


def binary(lesion: Distances, lung: Distances) -> Mask:
    """The points of a lesion within its lung."""
    return np.asarray((finer(lesion) > 0) & (finer(lung) > 0))


def framed(mask: Mask, lungs: Lungs, side: int) -> tuple[Distances, Distances]:
    """The distances of a lung and of a mask in its box."""
    lung = np.asarray(lungs.labels == side)
    frame = Frame.of(lung, side == LEFT, SIDE)
    return signed(frame.points(lung)), signed(frame.points(np.asarray(mask & lung)))


def shapes_of(mask: Mask, lungs: Lungs, kind: str, patient: str, sides: Iterable[int] = (RIGHT, LEFT)) -> list[Shape]:
    """The shapes of a mask in the lungs that it covers a part of."""
    found = []
    for side in sides:
        if (lungs.labels == side).any() and (mask & (lungs.labels == side)).any():
            shape = Shape(*framed(mask, lungs, side), kind, patient)
            if shape.share >= LEAST:
                found.append(shape)
    return found


def outlined(soft: Float32[np.ndarray, "h w"]) -> Mask:
    """The mask that a reader would outline of a soft map."""
    return np.asarray(soft >= max(PEAK * float(soft.max()), 1e-6))


@dataclass(frozen=True, eq=False)
class Drawn:
    """A film of `lesions` with the mask that readers drew."""

    film: MaskedRadiograph
    mask: Mask
    patient: str

    @property
    def shapes(self) -> list[Shape]:
        """The shapes in both lungs."""
        return shapes_of(self.mask, self.film.lungs, "reader", self.patient)


def read_drawn(data: Path) -> list[Drawn]:
    """The films of `lesions`."""
    found = []
    for file in sorted((data / "lesions" / "images").iterdir()):
        film = read_film(file, data / "lesions" / "lungs" / f"{file.stem}.png")
        mask = small(read_mask(data / "lesions" / "masks" / f"{file.stem}.png")) >= 0.5
        found.append(Drawn(film, mask, patient_of(file.stem)))
    return found


def ct_shapes(data: Path, views: int, lesions: int) -> list[Shape]:
    """Shapes of lesions put into two CTs: as many views of each, and as many lesions in each view."""
    found: list[Shape] = []
    scans = (
        ("lidc_0001", "lidc_0001_labels", "structures.csv"),
        ("cptac_c3n00249", "cptac_c3n00249_autolabels", "cptac_autolabels_names.csv"),
    )
    for number, (name, labels, names) in enumerate(scans):
        ct = data / "ct"
        volume = Volume.read(ct / f"{name}.nii.gz", ct / f"{labels}.nii.gz", ct / names).resampled(3.0)
        for at in tqdm(range(views), desc=name, unit="view"):
            rng = np.random.default_rng([number, at])
            angle, tilt, roll = rng.choice([0.0, 180.0]) + rng.uniform(-8, 8), rng.uniform(-5, 5), rng.uniform(-4, 4)
            view = View(angle=float(angle), tilt=float(tilt), roll=float(roll), size=(160, 160))
            lungs = project(volume, view, frame="covered", structures=("lungs",)).lungs("visible")
            for _ in range(lesions):
                kind = LIKE_READERS[int(rng.integers(2))]
                try:
                    ill = insert_lesion(volume, CTLesion.draw(volume, rng, kind=kind), name="lesion")
                except DataError:  # the place holds no air
                    continue
                depth = project(ill, view, frame="covered", structures=("lungs", "lesion")).thickness[-1]
                found += shapes_of(outlined(np.asarray(depth, np.float32)), lungs, kind, name)
    return found
