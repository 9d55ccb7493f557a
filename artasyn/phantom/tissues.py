"""The tissues of a thorax, as attenuation along the rays of a film."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.phantom.intervals import Map, covered, length
from artasyn.phantom.organs import abdominal_organs, stomach_gas
from artasyn.phantom.sections import RaySections, straight_grid
from artasyn.phantom.skeleton import Profile, bones, spine, sternum
from artasyn.phantom.thorax import ThoraxRecord
from artasyn.phantom.tubes import Tubes, airways, chords, round_chords, vessels
from artasyn.segment.ct.attenuation import attenuation

TISSUE_HU = {"air": -1000.0, "lung": -865.0, "wall": -20.0, "organ": 45.0, "marrow": 190.0, "cortex": 1050.0}
"""Hounsfield units of healthy tissues; `lung` lies between the visible vessels, `wall` mixes muscle and fat.

Source:
    Standard CT reference ranges (for example Hounsfield 1980; lungs in inspiration -850 to -880).
"""

MU = {name: float(attenuation(np.float32(hu))) for name, hu in TISSUE_HU.items()}
"""Linear attenuation of healthy tissues, 1 / mm."""

STERNUM = 0.8 * (MU["marrow"] - MU["wall"])
"""What the breastbone adds to the attenuation, 1 / mm."""


@dataclass(frozen=True, eq=False)
class Healthy:
    """Line integrals of a healthy thorax along the rays of its film.

    Attributes:
        integral: line integral of the attenuation, float32 (size, size).
        vessels: the part of `integral` that the vessels of the lungs add.
    """

    integral: Map
    vessels: Map


def line_integral(record: ThoraxRecord, shape: RaySections, coarse: RaySections) -> Healthy:
    """Computes the line integrals of a healthy thorax along the rays of its film.

    Args:
        record: the thorax.
        shape: the large structures of the thorax along the rays of the film.
        coarse: the same structures on a `straight_grid`.
    """
    tree = round_chords(record, vessels(record, coarse))
    tree = np.minimum(22 * np.tanh(tree / 22), 0.6 * shape.lung_depth) * np.float32(MU["organ"] - MU["lung"])
    total = MU["wall"] * length(shape.body) + (MU["lung"] - MU["wall"]) * shape.lung_depth
    organs = abdominal_organs(record, shape)
    total += (MU["organ"] - MU["wall"]) * covered(shape.body, (shape.heart, shape.mediastinum, *organs.values()))
    total += STERNUM * record.bone * length(sternum(record, shape))
    tubes = Tubes.joined(*airways(record, coarse).values())
    gas = round_chords(record, tubes) + stomach_gas(record, shape)
    total += (MU["air"] - MU["organ"]) * gas
    total += tree + lung_texture(record, shape) + muscles(record, shape)
    total += skeleton(record) + spine(record, shape)
    blurred = cv2.GaussianBlur(total.astype(np.float32), (0, 0), 0.5 * record.size / record.field)
    grown = np.float32(record.growth)
    return Healthy(grown * np.maximum(np.asarray(blurred), 0), grown * tree)


def skeleton(record: ThoraxRecord) -> Map:
    """Returns the part of the line integral that ribs, collar bones, shoulder blades and upper arms add."""
    parts: dict[Profile, list[Tubes]] = {}
    for bone in bones(record):
        parts.setdefault(bone.profile, []).append(bone.tubes)
    total = np.zeros((record.size, record.size), np.float32)
    for profile, tubes in parts.items():
        whole, core = chords(record, Tubes.joined(*tubes), (profile.outside, profile.inside))
        cortex, marrow = MU["cortex"] - MU["wall"], MU["marrow"] - MU["wall"]
        total += np.float32(profile.mineral) * (np.float32(cortex) * (whole - core) + np.float32(marrow) * core)
    most = np.float32(0.36)  # a straight chord overestimates curved ribs that run along the ray at the chest wall
    return np.asarray(most * np.tanh(np.float32(record.bone) * total / most))


def muscles(record: ThoraxRecord, shape: RaySections) -> Map:
    """Returns the part of the line integral that pectoral muscles and the uneven chest wall add."""
    total = _uneven(
        record,
        shape,
        7,
        ((52.0, 0.05), (26.0, 0.025), (12.0, 0.012), (5.5, 0.008), (2.8, 0.006), (1.5, 0.006)),
    )
    total += 0.16 * np.exp(-(((np.abs(shape.x) - 95) / 42) ** 2) - ((shape.z - 60) / 45) ** 2)
    return total * np.clip(length(shape.body) / 100, 0, 1)


def lung_texture(record: ThoraxRecord, shape: RaySections) -> Map:
    """Returns the part of the line integral that vessels and septa too fine to be drawn add."""
    total = _uneven(record, shape, 9, ((1.4, 0.010), (2.8, 0.012), (5.6, 0.014), (15.0, 0.02)))
    return np.asarray(np.float32(record.texture) * total * np.sqrt(shape.lung_depth / np.float32(170)))


def _uneven(record: ThoraxRecord, shape: RaySections, stream: int, octaves: tuple[tuple[float, float], ...]) -> Map:
    """Returns noise of the body, not of the film, from octaves of grain size in mm and strength."""
    rng = np.random.default_rng([record.seed, stream])
    total = np.zeros_like(shape.x)
    for grain, strength in octaves:
        lattice = rng.standard_normal((int(600 / grain) + 4,) * 2).astype(np.float32)
        columns, rows = (shape.x + 300) / np.float32(grain), (shape.z + 200) / np.float32(grain)
        noise = cv2.remap(lattice, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        total += np.float32(strength) * noise
    return total


def coarse_grid(record: ThoraxRecord) -> RaySections:
    """Returns the large structures on a straight grid of 4 mm, which is fine enough to place vessels and lesions."""
    return straight_grid(record, np.arange(-160, 161, 4.0), np.arange(-140, 321, 4.0))
