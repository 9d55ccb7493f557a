"""Normal radiographs and their lungs, prepared once for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from artasyn.arrays import Image, generator, identity
from artasyn.bulk.run import BulkRun, Outcome, Row, read_manifest
from artasyn.bulk.sources import Source
from artasyn.detection.window import MARGIN, LungWindow, resized
from artasyn.errors import DataError
from artasyn.files import atomic
from artasyn.files.radiograph import read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.shapes import UInt8, UInt16

FINEST = 65535
"""Images are stored in 16 bits: no synthetic anomaly is as faint as that."""

ROOM = 0.25
"""Margin around the lungs that is kept of a film, as `MARGIN`, so that the window can be moved and turned."""


@dataclass(frozen=True, eq=False)
class Normals:
    """Normal radiographs around the lungs at one size, with these.

    Attributes:
        identities: what each one's random choices start from.
        folders: where each one is from.
        images: uint16 (n, stored, stored), 0 to 65535 for 0 to 1, as exposed; `stored_size` tells how many.
        labels: uint8 (n, stored, stored), as `artasyn.arrays.LungLabels`.
    """

    identities: tuple[str, ...]
    folders: tuple[str, ...]
    images: UInt16[np.ndarray, "n h w"]
    labels: UInt8[np.ndarray, "n h w"]

    def __len__(self) -> int:
        return len(self.identities)

    def image(self, index: int) -> Image:
        """One radiograph, float32 (stored, stored) in [0, 1]."""
        return np.asarray(self.images[index] / np.float32(FINEST), np.float32)

    def lungs(self, index: int) -> Lungs:
        """The lungs of that radiograph."""
        return Lungs.from_labels(self.labels[index])

    def subset(self, indices: Sequence[int]) -> Normals:
        """Some of them."""
        picked = np.asarray(indices, int)
        names, folders = (tuple(names[i] for i in picked) for names in (self.identities, self.folders))
        return Normals(names, folders, self.images[picked], self.labels[picked])

    def order(self, *, seed: int, epoch: int) -> list[int]:
        """An epoch's samples in random order, as many as there are radiographs, as many from each folder.

        A small collection is gone through several times, so that a large one does not decide alone what is normal.

        Returns:
            Numbers of radiographs; ``len(self)`` is added for each time that the same one comes again.
        """
        rng = generator(seed, epoch)
        names = sorted(set(self.folders))
        samples: list[int] = []
        for number, name in enumerate(names):
            there = np.flatnonzero(np.array(self.folders) == name)
            wanted = (len(self) * (number + 1)) // len(names) - (len(self) * number) // len(names)
            rounds = -(-wanted // there.size)
            samples += np.concatenate([rng.permutation(there) + len(self) * r for r in range(rounds)])[:wanted].tolist()
        return [samples[i] for i in rng.permutation(len(samples))]

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


def stored_size(size: int) -> int:
    """Rows and columns that are kept of a film for a network that sees `size`: the middle is the network's window."""
    return size + 2 * round(size * (ROOM - MARGIN) / (1 + 2 * MARGIN))


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
        window, stored = LungWindow.around(lungs, ROOM), stored_size(self.size)
        image = np.rint(resized(window.cut(film), stored) * FINEST).astype(np.uint16)
        labels = cv2.resize(window.cut(lungs.labels), image.shape, interpolation=cv2.INTER_NEAREST_EXACT)
        file = f"{source.name}.npz"
        with atomic.replacing(self.cache / file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, image=image, labels=labels)
        return [{"file": file, "identity": identity(film), "folder": str(source.path.parent)}]


def prepare_normals(
    sources: Sequence[Source], cache: Path, *, size: int, segmenter: PBTSeg | None = None, workers: int = 1
) -> list[Outcome]:
    """Reads normal radiographs, finds their lungs and prepares them; what is in the cache already is not done again.

    Args:
        sources: their files.
        cache: a folder for the prepared radiographs; `load_normals` reads it.
        size: rows and columns that the network sees.
        segmenter: finds the lungs.
        workers: processes.

    Returns:
        What became of each source; those without lungs are left out, with the reason.
    """
    segmenter = segmenter or PBTSeg()
    settings = {"size": size, "room": ROOM, "segmenter": repr(segmenter)}
    run = BulkRun(cache, settings, ("file", "identity", "folder"), files=("file",), workers=workers)
    return run.run(_PrepareOne(cache, size, segmenter), sources, title="prepare normals")


def load_normals(cache: Path) -> Normals:
    """Loads what `prepare_normals` has prepared; the same pixels count once.

    Raises:
        DataError: fewer than two radiographs could be prepared.
    """
    rows = read_manifest(cache / "manifest.csv")
    kept = {row["identity"]: row for row in rows if row["status"] == "ok"}
    if len(kept) < 2:
        reasons = "; ".join(row["reason"] for row in rows if row["status"] != "ok")[:500]
        raise DataError(f"{len(kept)} usable normal radiographs in {cache}, two are needed. {reasons}")
    stored = [np.load(cache / row["file"]) for row in kept.values()]
    images, labels = (np.stack([film[key] for film in stored]) for key in ("image", "labels"))
    return Normals(tuple(kept), tuple(row["folder"] for row in kept.values()), images, labels)
