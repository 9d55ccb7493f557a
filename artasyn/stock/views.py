"""One view of a stock: the thickness of every structure and the attenuation of every kind of tissue along its rays."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from artasyn.arrays import Flags, StructureMasks
from artasyn.errors import DataError
from artasyn.fields import Count, Within, build
from artasyn.files import atomic
from artasyn.records import parse_json
from artasyn.segment.anatomy.footprints import BELOW, BETWEEN, footprints, with_landmarks
from artasyn.segment.ct.attenuation import attenuation
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.projection.projection import COVERED, Projection, rays_of, thickness_of
from artasyn.segment.projection.rays import Rays
from artasyn.segment.projection.tone import BODY, Tone
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY, READ, find_members
from artasyn.shapes import Float

TISSUES = {
    "lung": ("lungs",),
    "heart": ("heart", "great_vessels", "mediastinum", "esophagus"),
    "abdomen": ("abdomen", "diaphragm_right", "diaphragm_left"),
    "breast": ("breast_right", "breast_left"),
    "ribs": ("ribs", "costal_cartilages"),
    "spine": ("spine",),
    "girdle": ("clavicles", "scapulae", "humerus_right", "humerus_left", "sternum"),
    "soft": (),
}
"""Kinds of tissue, and the structures and groups that each consists of; ``soft`` is the rest of the body. A later kind
takes what two kinds share."""

BLOOD = 55
"""Hounsfield units to which heart, vessels and abdomen are cut, because a contrast agent brightens them."""

WIDER = 1.5
"""Side of the detector's field, relative to the lungs' largest extent in the view."""

Depths = Float[np.ndarray, "n h w"]
Integrals = Float[np.ndarray, "t h w"]

Names = Annotated[tuple[str, ...], Count(0, 1000)]
"""Names of structures."""


@dataclass(frozen=True, eq=False)
class StockView:
    """One view of a volume.

    Attributes:
        thickness: length of every ray in each structure, mm, float16 (n, h, w).
        names: names of the n structures; groups have their members' sum where the volume has the members.
        integrals: line integrals of attenuation for each of `TISSUES`, float16 (8, h, w).
        view: the view.
        spacing: size of a pixel at the isocentre, mm.
        patient: name of the patient.
        told: the channels of `ANATOMY` that the volume's labels tell; None for all whose structures are among `names`.
    """

    thickness: Depths
    names: tuple[str, ...]
    integrals: Integrals
    view: View
    spacing: float
    patient: str
    told: tuple[str, ...] | None = None

    def channels(self) -> tuple[StructureMasks, Flags]:
        """Returns the masks of `ANATOMY`, bool (k, h, w), and which of them are known, bool (k,)."""
        body = np.asarray(self.integrals.astype(np.float32).sum(axis=0) > BODY)
        masks, known = footprints(self.thickness.astype(np.float32), self.names, body, self.view.angle)
        if self.told is not None:
            known &= np.isin(ANATOMY, self.told)
        masks[~known] = False
        return masks, known

    def write(self, path: Path) -> None:
        """Writes the view as NPZ, whole or not at all."""
        about = {
            "names": self.names,
            "view": dataclasses.asdict(self.view),
            "spacing": self.spacing,
            "patient": self.patient,
            "told": self.told,
        }
        held = io.BytesIO()
        np.savez_compressed(held, thickness=self.thickness, integrals=self.integrals, about=np.array(json.dumps(about)))
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(held.getvalue())

    @classmethod
    def read(cls, path: Path) -> StockView:
        """Reads a view that `write` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            with path.open("rb") as held, np.load(held, allow_pickle=False) as file:
                about = build(_About, parse_json(str(file["about"])))
                thickness, integrals = file["thickness"], file["integrals"]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: cannot be read as a view of a stock ({error}); make the stock again") from error
        shapes = (len(about.names), *integrals.shape[1:]), (len(TISSUES), *thickness.shape[1:])
        if (thickness.shape, integrals.shape) != shapes or {thickness.dtype, integrals.dtype} != {np.dtype(np.float16)}:
            raise DataError(f"{path}: is no view of a stock; make the stock again")
        return cls(thickness, about.names, integrals, about.view, about.spacing, about.patient, about.told)


@dataclass(frozen=True)
class _About:
    """What a file says of a view besides its maps, see `StockView`."""

    names: Names
    view: View
    spacing: Annotated[float, Within(1e-6, 1e5)]
    patient: str
    told: Names | None = None


@dataclass(frozen=True, eq=False)
class Patient:
    """A volume that is ready to be seen from any side.

    Attributes:
        volume: the volume with its landmarks.
        tissues: attenuation per mm of each of `TISSUES`, with its first voxel.
        name: name of the patient.
        told: see `StockView`.
    """

    volume: Volume
    tissues: tuple[tuple[tuple[int, int, int], np.ndarray], ...]
    name: str
    told: tuple[str, ...] | None = None

    @classmethod
    def of(cls, volume: Volume, name: str, told: tuple[str, ...] | None = None) -> Patient:
        """Prepares a volume.

        Args:
            volume: the patient, with lungs by their sides.
            name: name of the patient.
            told: see `StockView`.

        Raises:
            DataError: there are no lungs.
        """
        volume = with_landmarks(volume)
        kind = np.full(volume.hu.shape, len(TISSUES) - 1, np.uint8)
        for number, wanted in enumerate(TISSUES.values()):
            for group in wanted:
                for member in find_members(group, volume.structures):
                    part = kind[volume.structures[member].box]
                    part[volume.structures[member].mask] = number
        hu = volume.hu.copy()
        cut = (kind == 1) | (kind == 2)
        hu[cut] = np.minimum(hu[cut], BLOOD)
        mu = attenuation(hu).astype(np.float32)
        mu[hu <= -1000] = 0
        tissues = []
        for number in range(len(TISSUES)):
            there = (kind == number) & (mu > 0)
            if not there.any():
                tissues.append(((0, 0, 0), np.zeros((1, 1, 1), np.float32)))
                continue
            box = Structure.of(there).box
            start = (box[0].start, box[1].start, box[2].start)
            tissues.append((start, np.ascontiguousarray(mu[box] * there[box])))
        return cls(volume, tuple(tissues), name, told)

    @property
    def middle(self) -> tuple[float, float, float]:
        """The middle of the lungs' box, RAS+ mm."""
        z, y, x = self._lungs
        place = self.volume.place(np.array([(part.start + part.stop - 1) / 2 for part in (z, y, x)]))
        return float(place[0]), float(place[1]), float(place[2])

    @property
    def extent(self) -> float:
        """The largest side of the lungs' box, mm."""
        sides = zip(self._lungs, self.volume.spacing, strict=True)
        return max(float(part.stop - part.start) * size for part, size in sides)

    @property
    def _lungs(self) -> tuple[slice, slice, slice]:
        return Structure.of(self.volume.mask("lungs")).box

    def placed(self, view: View, size: int) -> View:
        """Returns a view whose detector of `size` pixels shows the lungs and what lies around them."""
        pixel = WIDER * self.extent * view.magnification / size
        return dataclasses.replace(view, size=(size, size), pixel=pixel, isocentre=self.middle)

    def seen(self, view: View, size: int) -> tuple[StockView, Projection]:
        """Returns the patient as a view of a stock, and the same rays as a projection, whose quality can be checked.

        Args:
            view: the view; its detector is placed by `placed`.
            size: rows and columns.
        """
        view = self.placed(view, size)
        rays = rays_of(self.volume, view)
        wanted = [name for name in ANATOMY if name not in READ and name != "body"]
        known: dict[str, Sequence[str]] = {name: find_members(name, self.volume.structures) for name in wanted}
        known |= {name: [name] for name in (BELOW, BETWEEN) if name in self.volume.structures}
        single = list(dict.fromkeys(member for members in known.values() for member in members))
        depths = dict(zip(single, thickness_of(self.volume, single, rays), strict=True))
        names = tuple(name for name, members in known.items() if members)
        thickness = np.stack([np.sum([depths[member] for member in known[name]], axis=0) for name in names])
        integrals = np.stack([_integral(rays, start, mu) for start, mu in self.tissues])
        seen = StockView(
            thickness.astype(np.float16), names, integrals.astype(np.float16), view, rays.pixel, self.name, self.told
        )
        for helper in (BELOW, BETWEEN):
            depths.pop(helper, None)
        attenuation, coverage = integrals.sum(axis=0), rays.coverage(Structure.of(self.volume.hu > -1000).box)
        projection = Projection(
            attenuation, np.stack(list(depths.values())), tuple(depths), coverage,
            Tone.film(attenuation, coverage >= COVERED), view, rays.exposure.pixel, rays.pixel,
        )  # fmt: skip
        return seen, projection


def _integral(rays: Rays, start: tuple[int, int, int], mu: np.ndarray) -> np.ndarray:
    whole = np.zeros(rays.exposure.size, np.float32)
    part, integral = rays.through(mu, start)
    whole[part] = integral
    return whole
