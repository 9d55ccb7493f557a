"""A chest of ellipsoids: a small CT with lobes, fissures, organs, a spine and vessels, on any grid."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from artasyn.phantom.solids import Floats, Solid
from artasyn.segment.ct.volume import Structure, Volume

BODY = Solid((0, 0, 0), (150, 95, 400))
LUNG_RIGHT, LUNG_LEFT = Solid((68, 0, 5), (52, 70, 110)), Solid((-68, 0, 5), (52, 70, 110))
ORGANS = {
    "heart": Solid((-25, 30, -40), (50, 35, 45)),
    "liver": Solid((60, 15, -100), (75, 65, 40)),
    "spleen": Solid((-95, -30, -105), (30, 35, 30)),
    "stomach": Solid((-55, 30, -105), (35, 40, 25)),
    "vertebrae_T8": Solid((0, -60, 0), (18, 18, 12), box=True),
    "vertebrae_T9": Solid((0, -60, -30), (18, 18, 12), box=True),
    "trachea": Solid((0, -20, 90), (9, 9, 40)),
}
HU = {"heart": 40, "liver": 60, "spleen": 50, "stomach": 20, "vertebrae_T8": 300, "vertebrae_T9": 300, "trachea": -1000}
MARKER = Solid((-130, 0, 60), (8, 8, 8))
"""A marker on the patient's left, which makes the sides distinguishable."""
PARTS = [f"{part}_{side}" for part in ("lung_upper_lobe", "lung_lower_lobe", "vessels") for side in ("right", "left")]
NUMBERS = {name: number for number, name in enumerate([*PARTS, *ORGANS, "marker"], 1)}
"""Label numbers of the structures. In a label map the vessels leave holes in the lungs."""


def above_fissure(places: Floats) -> np.ndarray:
    """Whether places belong to an upper lobe."""
    return np.asarray(places[..., 2] + 0.8 * places[..., 1] > 0)


def grid(spacing: tuple[float, float, float], extent: tuple[float, float, float]) -> tuple[np.ndarray, Floats]:
    """The affine of a grid around 0, and the RAS+ positions of the voxels in mm (z, y, x, 3).

    Args:
        spacing: voxel spacing along z, y and x, mm.
        extent: size of the grid along z, y and x, mm.
    """
    shape = [round(e / s) for e, s in zip(extent, spacing, strict=True)]
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = [-s for s in spacing]
    affine[[2, 1, 0], 3] = [(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)]
    affine[3, 3] = 1
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return affine, np.asarray(index @ affine[:3, :3].T + affine[:3, 3])


def chest(spacing: tuple[float, float, float] = (5.0, 4.0, 4.0), *, length: float = 260.0) -> Volume:
    """The chest on a grid.

    Args:
        spacing: voxel spacing along z, y and x, mm.
        length: length of the scan along z, mm.
    """
    affine, places = grid(spacing, (length, 220.0, 330.0))
    organs = {name: solid.holds(places) for name, solid in ORGANS.items()}
    taken = np.any(list(organs.values()), axis=0)
    hu = np.where(BODY.holds(places), 30, -1000)
    masks = {}
    for side, lung in (("right", LUNG_RIGHT), ("left", LUNG_LEFT)):
        whole = lung.holds(places) & ~taken
        hu[whole] = -850
        masks[f"lung_upper_lobe_{side}"] = whole & above_fissure(places)
        masks[f"lung_lower_lobe_{side}"] = whole & ~above_fissure(places)
        y, z = places[..., 1], places[..., 2]
        vessels = whole & (np.hypot((y + 20) % 40 - 20, (z + 20) % 40 - 20) < 5)  # tubes from side to side
        hu[vessels] = 45
        masks[f"vessels_{side}"] = vessels
    for name, mask in organs.items():
        hu[mask] = HU[name]
    masks |= organs | {"marker": MARKER.holds(places)}
    structures = {name: Structure.of(mask) for name, mask in masks.items() if mask.any()}
    return Volume(hu.astype(np.int16), affine, structures)


def write_chest(path: Path, volume: Volume, *, labels: Path | None = None) -> None:
    """Writes a volume and its label map as NIfTI. `write_names` writes the names of the labels.

    Args:
        path: path of the CT, which ends in ``.nii.gz``.
        volume: a `chest`, or a part of it.
        labels: path of the label map; None for a file beside the CT.
    """
    numbers = np.zeros(volume.hu.shape, np.uint8)
    for name, structure in volume.structures.items():
        numbers[structure.box][structure.mask] = NUMBERS[name]
    write_nifti(path, volume.hu, volume.affine)
    write_nifti(labels or path.with_name(path.name.replace(".nii", "_labels.nii")), numbers, volume.affine)


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    """Writes an array as NIfTI. The affine states the order of the array's axes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), affine), path)


def write_names(path: Path) -> Path:
    """Writes the numbers and names of the labels that `write_chest` uses, as CSV."""
    path.write_text("id,structure\n" + "".join(f"{number},{name}\n" for name, number in NUMBERS.items()))
    return path
