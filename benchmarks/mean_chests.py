"""The mean simulated chests of `artasyn/segment/pbtseg/pose.py`: ``python -m benchmarks.mean_chests``.

Prints the frontal and the side view, a digit for a pixel: phantoms of 20 seeds at three sizes, side views of ten
phantoms from the left and from the right, and the CT LIDC-IDRI-0001 (CC BY 3.0) in each view. Radiographs are no part.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Image
from artasyn.phantom.film import Phantom
from artasyn.segment import PBTSeg, View, Volume, project

ROOT = Path(__file__).parent.parent
GRID = 20
RAISED = 150.0
"""Degrees by which arms are raised for side views."""

Small = npt.NDArray[np.float32]


def small(image: Image) -> Small:
    """The equalised image on a coarse grid."""
    fine = cv2.resize(PBTSeg().explain(image).grey, (2 * GRID, 2 * GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(fine, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)


def seen(volume: Volume, *angles: float) -> Small:
    """The mean of a volume's films at some angles."""
    views = (View(angle=angle, size=(256, 256)) for angle in angles)
    films = [small(project(volume, view, frame="film", structures=["lungs"]).image) for view in views]
    return np.asarray(np.mean(films, axis=0), np.float32)


def digits(chest: Small) -> str:
    """A blurred chest as rows of digits."""
    soft = cv2.GaussianBlur(chest, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
    return "\n".join("".join(map(str, row)) for row in np.rint(9 * soft).astype(int).tolist())


def main() -> None:
    """Prints both chests."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder with ct/lidc_0001.nii.gz and its labels")
    folder = Path(options.parse_args().data) / "ct"
    cv2.setNumThreads(1)
    patient = Volume.read(folder / "lidc_0001.nii.gz", folder / "lidc_0001_labels.nii.gz", folder / "structures.csv")
    films = [small(Phantom(size=size)(seed).image) for size in (128, 256, 384) for seed in range(20)]
    frontal = (2 * np.mean(films, axis=0) + seen(patient, 0)) / 3
    phantom = Phantom()
    records = (replace(phantom.draw(np.random.default_rng(seed)), arm=RAISED) for seed in range(10))
    volumes = [Volume.of_phantom(phantom.volume(record, spacing=3.0)) for record in records]
    lateral = (np.mean([seen(volume, 90, -90) for volume in volumes], axis=0) + seen(patient, 90, -90)) / 2
    print(digits(np.asarray((frontal + frontal[:, ::-1]) / 2, np.float32)), "\n")
    print(digits(np.asarray(lateral, np.float32)))


if __name__ == "__main__":
    main()
