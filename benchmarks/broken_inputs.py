"""A CT broken on purpose, as labels and scans do get broken."""

from __future__ import annotations

import dataclasses

import numpy as np

from artasyn.segment.volume import Structure, Volume


def shifted(volume: Volume, voxels: tuple[int, int, int]) -> Volume:
    """The same CT with its labels moved; what leaves the volume is lost."""
    moved = {}
    for name in volume.structures:
        mask = np.roll(volume.mask(name), voxels, axis=(0, 1, 2))
        for axis, by in enumerate(voxels):
            lost = [slice(None)] * 3
            lost[axis] = slice(0, by) if by > 0 else slice(by, None) if by < 0 else slice(0, 0)
            mask[tuple(lost)] = False
        if mask.any():
            moved[name] = Structure.of(mask)
    return dataclasses.replace(volume, structures=moved)


def sliced(volume: Volume, kept: np.ndarray) -> Volume:
    """Only some slices, with their labels."""
    masks = {name: volume.mask(name)[kept] for name in volume.structures}
    structures = {name: Structure.of(mask) for name, mask in masks.items() if mask.any()}
    return Volume(np.ascontiguousarray(volume.hu[kept]), volume.affine, structures)


def mirrored(volume: Volume) -> Volume:
    """Left and right exchanged in voxels and labels, but not in the names."""
    structures = {name: Structure.of(volume.mask(name)[:, :, ::-1]) for name in volume.structures}
    return Volume(np.ascontiguousarray(volume.hu[:, :, ::-1]), volume.affine, structures)


def with_table(volume: Volume) -> Volume:
    """A plate behind the patient."""
    hu = volume.hu.copy()
    hu[:, -2:, 6:-6] = -300
    return dataclasses.replace(volume, hu=hu)


def without(volume: Volume, *names: str) -> Volume:
    """Without some structures."""
    return dataclasses.replace(volume, structures={n: s for n, s in volume.structures.items() if n not in names})
