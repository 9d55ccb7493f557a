"""Draws every finding, without and with the outline of its mask: ``python -m benchmarks.synthesis_pictures``.

The program draws the findings on phantoms and writes docs/findings.png. With ``--real SHEET.png`` it draws them on real
radiographs, beside real opacities, for visual inspection. Sheets of real radiographs stay out of the repository.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import numpy as np

from artasyn import Phantom
from artasyn.arrays import Image, Mask, Picture, generator
from artasyn.errors import SynthesisError
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.pictures.overlays import MASK_COLOUR, contact_sheet, write_picture
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import FINDINGS, LungOpacity

ROOT = Path(__file__).parent.parent
TILE = 280
MARGIN = 0.04
"""Margin that is shown around the lungs' box, as a share of the box."""
LESIONS = (
    "auntminnie-d",
    "93FE0BB1",
    "parapneumonic",
    "covid-19-pneumonia-14",
    "nCoV-radiol",
    "pneumocystis-pneumonia-8",
)
"""Real opacities, by the beginnings of their file names."""


def pair(image: Image, mask: Mask, lungs: Lungs) -> list[Picture]:
    """The lungs without and with a thin outline of the mask, with the contrast stretched to the region shown."""
    rows, columns = (np.flatnonzero(lungs.mask.any(axis=axis)) for axis in (1, 0))
    top, first = (int(at[0] - MARGIN * np.ptp(at)) for at in (rows, columns))
    shown = (
        slice(max(0, top), int(rows[-1] + MARGIN * np.ptp(rows)) + 1),
        slice(max(0, first), int(columns[-1] + MARGIN * np.ptp(columns)) + 1),
    )
    scale = TILE / max(image[shown].shape)
    size = tuple(max(1, round(scale * length)) for length in image[shown].shape[::-1])
    low, high = np.quantile(image[shown], (0.005, 0.995))
    stretched = np.clip((image[shown] - low) / max(high - low, 1e-3), 0, 1)
    grey = cv2.resize((255 * stretched).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    plain = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    region = cv2.resize(mask[shown].astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    contours, _ = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlined = cv2.drawContours(plain.copy(), contours, -1, MASK_COLOUR, 1)
    return [np.asarray(plain, np.uint8), np.asarray(outlined, np.uint8)]


def synthetic(image: Image, lungs: Lungs, name: str, seed: int) -> list[Picture]:
    """A finding on a film, without and with its outline; the film alone where the finding cannot be made."""
    try:
        anomaly = LungOpacity(findings=(FINDINGS[name],))(image, lungs, generator(seed))
    except SynthesisError:
        return pair(image, np.zeros(image.shape, bool), lungs)
    return pair(anomaly.image, anomaly.mask, lungs)


def on_phantoms(size: int) -> Picture:
    """Every finding on a phantom of its own, beside the outline of its mask."""
    tiles, captions = [], []
    for seed, name in enumerate(FINDINGS, start=3):
        phantom = Phantom(size=size)(seed)
        for tile, caption in zip(synthetic(phantom.image, phantom.lungs, name, seed), (name, "its mask"), strict=True):
            tiles.append(tile)
            captions.append(caption.replace("_", " "))
    return contact_sheet(tiles, captions, columns=4, tile=TILE)


def on_films(data: Path, seed: int) -> Picture:
    """A column of real opacities and a column of every finding. Each film is shown without outlines, then with them."""
    normals = sorted((data / "nih_normal").iterdir())[5::35][: len(LESIONS)]
    tiles: list[Picture] = []
    captions: list[str] = []
    for number, (beginning, file) in enumerate(zip(LESIONS, normals, strict=True)):
        (lesion,) = (data / "lesions" / "images").glob(f"{beginning}*")
        mask, lungs = (read_mask(data / "lesions" / kind / f"{lesion.stem}.png") for kind in ("masks", "lungs"))
        image = read_radiograph(file)
        found = PBTSeg()(image)
        columns = [pair(read_radiograph(lesion), mask, Lungs.from_mask(lungs))]
        columns += [synthetic(image, found, name, seed + 100 * number + at) for at, name in enumerate(FINDINGS)]
        for row in range(2):
            tiles += [column[row] for column in columns]
            captions += ["REAL", *(name.replace("_", " ") for name in FINDINGS)] if row == 0 else [""] * len(columns)
    return contact_sheet(tiles, captions, columns=1 + len(FINDINGS), tile=TILE)


def main() -> None:
    """Draws one of the sheets."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--real", type=Path, help="draw on real radiographs, into this file")
    options.add_argument("--seed", type=int, default=0, help="of the findings on real radiographs")
    options.add_argument("--size", type=int, default=512, help="of the phantoms")
    given = options.parse_args()
    if given.real:
        write_picture(given.real, on_films(given.data, given.seed))
    else:
        write_picture(ROOT / "docs" / "findings.png", on_phantoms(given.size))


if __name__ == "__main__":
    main()
