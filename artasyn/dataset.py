"""Normal radiographs and their lungs, prepared once, and the synthetic anomalies that are made from them on the fly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from artasyn import atomic
from artasyn.arrays import Image, generator, identity
from artasyn.bulk import BulkRun, Outcome, Row, read_manifest
from artasyn.collection import Source
from artasyn.errors import DataError
from artasyn.preparation import prepare
from artasyn.radiograph import read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import LungOpacity

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks a server for newer versions otherwise
import albumentations as A

FINEST = 65535
"""Images are stored in 16 bits: no synthetic anomaly is as faint as that."""


@dataclass(frozen=True, eq=False)
class Normals:
    """Normal radiographs at one size, with their lungs.

    Attributes:
        identities: what each one's random choices start from.
        images: uint16 (n, size, size), 0 to 65535 for 0 to 1.
        labels: uint8 (n, size, size), as `artasyn.arrays.LungLabels`.
    """

    identities: tuple[str, ...]
    images: UInt16[np.ndarray, "n h w"]
    labels: UInt8[np.ndarray, "n h w"]

    def __len__(self) -> int:
        return len(self.identities)

    def image(self, index: int) -> Image:
        """One radiograph, float32 (size, size) in [0, 1]."""
        return np.asarray(self.images[index] / np.float32(FINEST), np.float32)

    def lungs(self, index: int) -> Lungs:
        """The lungs of that radiograph."""
        return Lungs.from_labels(self.labels[index])

    def subset(self, indices: Sequence[int]) -> Normals:
        """Some of them."""
        picked = np.asarray(indices, int)
        return Normals(tuple(self.identities[i] for i in picked), self.images[picked], self.labels[picked])

    def split(self, held_out: float, *, seed: int) -> tuple[Normals, Normals]:
        """Two parts; which part an image goes to depends on the seed and on all images' identities, not on order.

        Args:
            held_out: the share that the second part gets; at least one image.
            seed: of the drawing.

        Raises:
            DataError: fewer than two images.
        """
        if len(self) < 2:
            raise DataError(f"{len(self)} normal radiograph: at least two are needed, one to train and one to validate")
        order = sorted(range(len(self)), key=lambda i: generator(seed, self.identities[i]).random())
        count = min(max(1, round(held_out * len(self))), len(self) - 1)
        return self.subset(sorted(order[count:])), self.subset(sorted(order[:count]))


@dataclass(frozen=True)
class _PrepareOne:
    """Reads, segments and prepares one normal radiograph; writes it to the cache."""

    cache: Path
    size: int
    segmenter: PBTSeg

    def __call__(self, source: Source) -> list[Row]:
        film = read_radiograph(source.path)
        lungs = self.segmenter(film)
        if not lungs.found:
            raise DataError(f"{source.path}: lungs not found ({'; '.join(lungs.reasons)}); left out of training")
        image = np.rint(prepare(film, self.size) * FINEST).astype(np.uint16)
        file = f"{source.name}.npz"
        with atomic.replacing(self.cache / file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, image=image, labels=lungs.resized(image.shape).labels)
        return [{"file": file, "identity": identity(film)}]


def prepare_normals(
    sources: Sequence[Source], cache: Path, *, size: int, segmenter: PBTSeg | None = None, workers: int = 1
) -> list[Outcome]:
    """Reads normal radiographs, finds their lungs and prepares them; what is in the cache already is not done again.

    Args:
        sources: their files.
        cache: a folder for the prepared radiographs; `load_normals` reads it.
        size: rows and columns.
        segmenter: finds the lungs.
        workers: processes.

    Returns:
        What became of each source; those without lungs are left out, with the reason.
    """
    segmenter = segmenter or PBTSeg()
    settings = {"size": size, "segmenter": repr(segmenter)}
    run = BulkRun(cache, settings, ("file", "identity"), files=("file",), workers=workers)
    return run.run(_PrepareOne(cache, size, segmenter), sources, title="prepare normals")


def load_normals(cache: Path) -> Normals:
    """Loads what `prepare_normals` has prepared; the same pixels count once.

    Raises:
        DataError: fewer than two radiographs could be prepared.
    """
    rows = read_manifest(cache / "manifest.csv")
    files = {row["identity"]: row["file"] for row in rows if row["status"] == "ok"}
    if len(files) < 2:
        reasons = "; ".join(row["reason"] for row in rows if row["status"] != "ok")[:500]
        raise DataError(f"{len(files)} usable normal radiographs in {cache}, two are needed. {reasons}")
    stored = [np.load(cache / file) for file in files.values()]
    images, labels = (np.stack([film[key] for film in stored]) for key in ("image", "labels"))
    return Normals(tuple(files), images, labels)


class Sample(TypedDict):
    """One training sample; a batch has the same keys with a leading axis."""

    image: Float[Tensor, "1 h w"]
    """The radiograph, with an anomaly or without."""
    normal: Float[Tensor, "1 h w"]
    """The same radiograph without it."""
    mask: Float[Tensor, "1 h w"]
    """1 where the two differ."""
    lungs: Float[Tensor, "1 h w"]
    """1 inside the lungs."""


class SyntheticAnomalies(torch.utils.data.Dataset[Sample]):
    """Normal radiographs with anomalies made on the fly: the same for a seed, an image and an epoch, in any worker.

    Args:
        normals: the radiographs.
        synthesis: makes the anomalies.
        seed: of everything random.
        epoch: another epoch, other anomalies.
        healthy_probability: of a sample that stays normal.
        vary: whether exposure and position of the normal radiograph vary too, so that another hospital's film is no
            anomaly.
    """

    def __init__(
        self,
        normals: Normals,
        synthesis: LungOpacity,
        *,
        seed: int,
        epoch: int = 0,
        healthy_probability: float = 0.25,
        vary: bool = True,
    ) -> None:
        self.normals, self.synthesis = normals, synthesis
        self.seed, self.epoch = seed, epoch
        self.healthy_probability = healthy_probability
        self.variation = variation() if vary else None

    def __len__(self) -> int:
        return len(self.normals)

    def __getitem__(self, index: int) -> Sample:
        rng = generator(self.seed, self.epoch, self.normals.identities[index])
        normal, lungs = self.normals.image(index), self.normals.lungs(index)
        if self.variation is not None:
            self.variation.set_random_seed(int(rng.integers(2**31)))
            varied = self.variation(image=normal, mask=lungs.labels)
            kept = Lungs.from_labels(varied["mask"])
            normal, lungs = (np.clip(varied["image"], 0, 1), kept) if kept.mask.any() else (normal, lungs)
        image, mask = normal, np.zeros(normal.shape, bool)
        if rng.random() >= self.healthy_probability:
            anomaly = self.synthesis(normal, lungs, rng)
            image, mask = anomaly.image, anomaly.mask
        return {
            "image": torch.from_numpy(image)[None],
            "normal": torch.from_numpy(normal)[None],
            "mask": torch.from_numpy(mask.astype(np.float32))[None],
            "lungs": torch.from_numpy(lungs.mask.astype(np.float32))[None],
        }


def variation() -> A.Compose:
    """How normal radiographs vary between patients and hospitals: position, exposure, noise."""
    return A.Compose(
        [
            A.Affine(scale=(0.9, 1.1), translate_percent=(-0.05, 0.05), rotate=(-5, 5), border_mode=1, p=0.7),
            A.RandomBrightnessContrast(brightness_limit=0.1, contrast_limit=0.15, p=0.5),
            A.RandomGamma(gamma_limit=(75, 135), p=0.5),
            A.GaussNoise(std_range=(0.002, 0.02), p=0.3),
        ]
    )
