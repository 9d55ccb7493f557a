"""A stock of views, held in memory in the form that films are composed from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artasyn.arrays import StructureMasks
from artasyn.bulk.progress import progress
from artasyn.errors import DataError
from artasyn.segment.anatomy.footprints import frontal_turn
from artasyn.segment.projection.projection import THRESHOLD
from artasyn.segment.structures import ANATOMY
from artasyn.shapes import Bool, Float32, Float64, UInt8
from artasyn.stock.views import StockView

LUNG_DEPTHS = ("lung_right", "lung_left")
"""Structures whose thickness films need, besides the attenuation of `TISSUES`: opacities lie in the lungs."""

VIEWS = "views"
"""The folder, in a stock, that holds the views."""


@dataclass(frozen=True, eq=False)
class Packed:
    """One view, packed.

    Attributes:
        maps: float32 (h, w, c): line integrals of `TISSUES`, then the thickness of `LUNG_DEPTHS` in metres.
        bits: uint8 (h, w, b): the masks of `ANATOMY`, eight in a byte.
        known: bool (k,): which masks are known.
        box: first row, first column, last row and last column of the lungs as they are drawn.
        angle: angle of the view, degrees.
        patient: name of the patient.
    """

    maps: Float32[np.ndarray, "h w c"]
    bits: UInt8[np.ndarray, "h w b"]
    known: Bool[np.ndarray, " k"]
    box: tuple[float, float, float, float]
    angle: float
    patient: str

    @classmethod
    def of(cls, view: StockView) -> Packed:
        """Packs a view.

        Raises:
            DataError: the view shows no lungs.
        """
        masks, known = view.channels()
        depths = [view.thickness[view.names.index(name)] / np.float16(1000) for name in LUNG_DEPTHS]
        maps = np.stack([*view.integrals, *depths], axis=-1).astype(np.float32)
        bits = np.packbits(np.moveaxis(masks, 0, -1), axis=-1)
        box = _box(masks, known, np.stack(depths) > THRESHOLD / 1000)
        return cls(maps, bits, known, box, view.view.angle, view.patient)

    @property
    def frontal(self) -> bool:
        """Whether the view is turned by less than 30 degrees from straight through the chest."""
        return frontal_turn(self.angle) < 30


def _box(
    masks: StructureMasks, known: np.ndarray, footprints: Bool[np.ndarray, "sides h w"]
) -> tuple[float, float, float, float]:
    """Returns the box of the lungs as they are drawn, or of their footprints where it is not known how they are drawn.

    Args:
        masks: the channels `ANATOMY`.
        known: which of them are known.
        footprints: of both lungs, bool (2, h, w).
    """
    places = [ANATOMY.index(name) for name in ("visible_lung_right", "visible_lung_left")]
    for each in ([masks[places]] if known[places].all() else []) + [footprints]:
        if each.any(axis=(1, 2)).all():
            rows, columns = (np.flatnonzero(each.any(axis=(0, axis))) for axis in (2, 1))
            return float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1)
    raise DataError("a view without lungs cannot become a film")


@dataclass(frozen=True, eq=False)
class Stock:
    """Views in memory, from which films are composed.

    Attributes:
        views: the views.
        shares: the probability of each view, float64 (n,).
    """

    views: tuple[Packed, ...]
    shares: Float64[np.ndarray, " n"]

    def split(self, patients: Sequence[str]) -> tuple[Stock, Stock]:
        """Returns the views of all other patients, and those of the given patients.

        Raises:
            DataError: a part is empty.
        """
        chosen = np.array([view.patient in set(patients) for view in self.views])
        if chosen.all() or not chosen.any():
            raise DataError(f"{int(chosen.sum())} of {len(chosen)} views are held out; hold out some, but not all")
        rest, held = (
            Stock(tuple(v for v, c in zip(self.views, part, strict=True) if c), _shares(self.shares[part]))
            for part in (~chosen, chosen)
        )
        return rest, held

    def identity(self) -> str:
        """Returns a fingerprint of the views and their shares."""
        found = hashlib.blake2b(digest_size=8)
        for view, share in zip(self.views, self.shares, strict=True):
            found.update(f"{view.patient} {view.angle:.3f} {view.box} {share:.9f} ".encode())
            found.update(view.known.tobytes())
        return f"{len(self.views)} views, {found.hexdigest()}"

    @classmethod
    def read(cls, *folders: Path, weights: Sequence[float] | None = None) -> Stock:
        """Reads stocks that `artasyn stock` wrote.

        Args:
            *folders: the folders of the stocks.
            weights: share of the films that each folder gives, in any unit; None for shares by the number of views.

        Raises:
            DataError: a folder has no views, or a view is damaged.
        """
        views: list[Packed] = []
        shares: list[float] = []
        for number, folder in enumerate(folders):
            files = sorted((folder / VIEWS).glob("**/*.npz"))
            if not files:
                raise DataError(f"{folder}: no views of a stock; give the folder that artasyn stock wrote to")
            found = [
                Packed.of(StockView.read(file)) for file in progress(files, title=f"read {folder.name}", unit="view")
            ]
            views += found
            shares += [1.0 if weights is None else weights[number] / len(found)] * len(found)
        return cls(tuple(views), _shares(np.array(shares)))


def _shares(values: np.ndarray) -> Float64[np.ndarray, " n"]:
    """Returns positive numbers divided by their sum."""
    return np.asarray(values / values.sum(), np.float64)
