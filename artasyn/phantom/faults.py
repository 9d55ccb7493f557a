"""Deliberate faults in a CT, as they occur in labels and scans."""

from __future__ import annotations

import dataclasses

import numpy as np

from artasyn.segment.ct.volume import Structure, Volume


def shifted(volume: Volume, voxels: tuple[int, int, int]) -> Volume:
    """Moves the labels of a CT by voxels (z, y, x); labels that leave the volume are lost."""
    moved = {}
    for name, structure in volume.structures.items():
        start = [s + by for s, by in zip(structure.start, voxels, strict=True)]
        kept = tuple(slice(max(0, -s), max(0, limit - s)) for s, limit in zip(start, volume.hu.shape, strict=True))
        if structure.mask[kept].any():
            z, y, x = (max(0, s) for s in start)
            moved[name] = Structure.of(structure.mask[kept], (z, y, x))
    return dataclasses.replace(volume, structures=moved)


def sliced(volume: Volume, kept: np.ndarray) -> Volume:
    """Keeps only some slices, with their labels."""
    structures = {}
    for name, structure in volume.structures.items():
        inside = kept - structure.start[0]
        there = np.flatnonzero((inside >= 0) & (inside < structure.mask.shape[0]))
        if structure.mask[inside[there]].any():
            structures[name] = Structure.of(structure.mask[inside[there]], (int(there[0]), *structure.start[1:]))
    return Volume(np.ascontiguousarray(volume.hu[kept]), volume.affine, structures)


def mirrored(volume: Volume) -> Volume:
    """Exchanges left and right in voxels and labels, but not in the names."""
    structures = {name: Structure.of(volume.mask(name)[:, :, ::-1]) for name in volume.structures}
    return Volume(np.ascontiguousarray(volume.hu[:, :, ::-1]), volume.affine, structures)


def with_table(volume: Volume) -> Volume:
    """Adds a plate behind the patient."""
    hu = volume.hu.copy()
    hu[:, -2:, 6:-6] = -300
    return dataclasses.replace(volume, hu=hu)


def without(volume: Volume, *names: str) -> Volume:
    """Removes some structures."""
    return dataclasses.replace(volume, structures={n: s for n, s in volume.structures.items() if n not in names})
