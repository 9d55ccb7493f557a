"""Shapes that the autoencoders of masks learn: crops of projected structures of phantoms and CTs, varied at random.

The patients are phantoms and variants of the labelled development CT, seen from all sides. Every channel of
`ANATOMY` and every group of `UNIONS` that a view shows is a shape.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from artasyn.arrays import Flags, Mask, StructureMasks, generator
from artasyn.errors import SynthesisError
from artasyn.segment.structures import ANATOMY, RIBS, SIDES
from artasyn.segment.tokens.crops import SIDE, box_of, cropped
from artasyn.shapes import UInt8
from artasyn.stock.patients import CTRecord, PatientRecord, Views, draw_phantom, draw_variant

UNIONS: dict[str, tuple[str, ...]] = {
    **{name: tuple(f"{part}_{side}" for side in SIDES) for name, part in (
        ("lungs", "lung"), ("visible_lungs", "visible_lung"), ("whole_lungs", "whole_lung"), ("breasts", "breast"),
        ("clavicles", "clavicula"), ("scapulae", "scapula"), ("ribs", "ribs"), ("diaphragm", "diaphragm"),
    )},
    "airways": ("trachea", "bronchus_right", "bronchus_left"),
    "great_vessels": ("aorta", "pulmonary_artery", "superior_vena_cava", "inferior_vena_cava"),
}  # fmt: skip
"""Groups of structures that a prompt may ask for as one mask, and the channels that each unites."""

CAGE = ("ribs", *(f"ribs_{side}" for side in SIDES))
"""Whole cages of ribs: the hardest shapes, because each holds a dozen thin structures."""

LEAST = 30
"""Least pixels of a shape."""

WEIGHTS = dict.fromkeys(RIBS, 0.4) | dict.fromkeys(CAGE, 1.5)
"""How often a name is drawn, where not once: single ribs are many and alike, cages are hard."""

PLAIN = 0.3
"""Share of the shapes that are not warped."""

CT = ("lidc_0001.nii.gz", "lidc_0001_labels.nii.gz", "structures.csv")
"""The development CT, its labels and their names, in the folder ``ct``."""

Pool = UInt8[np.ndarray, "n 64 64"]
"""Crops, 255 where a cell is covered."""


@dataclass(frozen=True)
class ShapePlan:
    """What the shapes are made from.

    Attributes:
        phantoms: number of phantoms.
        variants: number of patients made from the CT.
        frontal: frontal views of each patient.
        around: views of each patient from any side.
        size: rows and columns of a view.
        seed: another seed, other patients.
    """

    phantoms: int = 120
    variants: int = 40
    frontal: int = 2
    around: int = 3
    size: int = 256
    seed: int = 0


def patients(plan: ShapePlan, data: Path) -> Iterator[PatientRecord]:
    """Yields the records of the patients."""
    views = Views(frontal=plan.frontal, around=plan.around, turn=10.0)
    for number in range(plan.phantoms):
        yield draw_phantom(views, plan.seed, number)
    ct, labels, names = (str(data / "ct" / name) for name in CT)
    for number in range(plan.variants):
        yield draw_variant(CTRecord(ct, labels, names), "lidc_0001", views, plan.seed, number)


def shapes_of(masks: StructureMasks, known: Flags) -> dict[str, Mask]:
    """Returns the shapes of a view by their names: known structures and groups with at least `LEAST` pixels.

    Args:
        masks: bool (k, h, w), the channels `ANATOMY`.
        known: bool (k,).
    """
    found = {name: mask for name, mask, told in zip(ANATOMY, masks, known, strict=True) if told}
    for name, members in UNIONS.items():
        parts = [found[member] for member in members if member in found]
        if len(parts) == len(members):
            found[name] = np.asarray(np.any(parts, axis=0))
    return {name: mask for name, mask in found.items() if np.count_nonzero(mask) >= LEAST}


def project_shapes(plan: ShapePlan, data: Path, folder: Path) -> dict[str, list[Mask]]:
    """Returns the shapes of all patients by their names, cropped to their boxes; each patient is kept in a folder.

    Args:
        plan: the patients.
        data: folder of real data.
        folder: keeps the shapes of every patient, so that a run that was cut off goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Mask]] = {}
    total = plan.phantoms + plan.variants
    for number, record in enumerate(tqdm(patients(plan, data), "projections", total, unit="patient")):
        digest = hashlib.blake2b(f"{record.to_json()} {plan.size}".encode(), digest_size=6).hexdigest()
        file = folder / f"{number:04d}_{digest}.npz"
        if not file.exists():
            with (folder / "partial").open("wb") as held:
                np.savez_compressed(held, allow_pickle=False, **_patient_shapes(record, plan.size))
            (folder / "partial").replace(file)
        with np.load(file) as kept:
            for key in kept:
                found.setdefault(key.rpartition(" ")[0], []).append(kept[key])
    return found


def _patient_shapes(record: PatientRecord, size: int) -> dict[str, Mask]:
    try:
        patient = record.patient()
    except SynthesisError:  # the numbers give no thorax
        return {}
    found = {}
    for number, view in enumerate(record.views):
        for name, mask in shapes_of(*patient.seen(view, size)[0].channels()).items():
            box = box_of(mask)
            assert box is not None
            found[f"{name} {number}"] = mask[box[0] : box[2], box[1] : box[3]]
    return found


def warped(mask: Mask, rng: np.random.Generator) -> Mask:
    """Returns a shape turned, sheared, stretched, bent and on a coarser or finer grid.

    Args:
        mask: bool (h, w), cropped to its box.
        rng: the random choices.
    """
    height, width = mask.shape
    scale = np.exp(rng.uniform(np.log(0.5), np.log(1.6)))
    scale = float(np.clip(scale, 12 / max(height, width), 320 / max(height, width)))
    turn, (tall, wide), shear = rng.normal(0, 12), np.exp(rng.normal(0, 0.15, 2)), rng.normal(0, 0.15)
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[wide, shear], [0, tall]]) * scale
    corners = linear @ np.array([[-width, -width, width, width], [-height, height, -height, height]]) / 2
    across, down = (max(4, round(1.25 * float(np.ptp(each)))) for each in corners)
    back = np.linalg.inv(linear)
    x, y = np.meshgrid(np.arange(across) - (across - 1) / 2, np.arange(down) - (down - 1) / 2)
    cells = int(rng.integers(3, 7))
    knots = rng.normal(0, rng.uniform(0, 0.35) / cells, (cells, cells, 2)).astype(np.float32)
    bend = cv2.resize(knots, (across, down), interpolation=cv2.INTER_CUBIC)
    columns = back[0, 0] * x + back[0, 1] * y + (width - 1) / 2 + bend[..., 0] * width
    rows = back[1, 0] * x + back[1, 1] * y + (height - 1) / 2 + bend[..., 1] * height
    values = cv2.remap(
        mask.astype(np.float32), columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )  # fmt: skip
    return np.asarray(values >= 0.5)


def make_pool(shapes: Mapping[str, Sequence[Mask]], count: int, seed: int, plain: float = PLAIN) -> Pool:
    """Returns crops of shapes that are drawn by `WEIGHTS` and varied.

    Args:
        shapes: cropped masks by their names.
        count: number of crops.
        seed: of the choices.
        plain: share of the shapes that are not warped.
    """
    rng = generator(seed, count)
    names = sorted(shapes)
    weights = np.array([WEIGHTS.get(name, 1.0) for name in names])
    pool = np.empty((count, SIDE, SIDE), np.uint8)
    for place in tqdm(range(count), "variations", unit="shape"):
        box = None
        while box is None:
            of = shapes[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
            mask = of[int(rng.integers(len(of)))]
            mask = mask if rng.random() < plain else warped(mask, rng)
            box = box_of(mask)
        pool[place] = np.rint(255 * cropped(mask, box))
    return pool


def pooled(plan: ShapePlan, data: Path, out: Path, count: int, plain: float = PLAIN) -> Pool:
    """Returns the crops of a plan; they are kept in OUT/pool.npy, and made again for another plan.

    Args:
        plan: the patients.
        data: folder of real data.
        out: the folder of the run.
        count: number of crops.
        plain: share of the shapes that are not warped.
    """
    about = json.dumps(asdict(plan) | {"count": count, "plain": plain, "weights": WEIGHTS})
    file, told = out / "pool.npy", out / "pool.json"
    if not (file.exists() and told.exists() and told.read_text() == about):
        told.unlink(missing_ok=True)
        np.save(file, make_pool(project_shapes(plan, data, out / "shapes"), count, plan.seed, plain))
        told.write_text(about)
    pool: Pool = np.load(file)
    return pool
