"""Draws the pictures of docs/pbtseg.md on a phantom: ``python -m benchmarks.pbtseg_pictures``."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from artasyn import PBTSeg, Phantom
from artasyn.arrays import Image, Outlines, Picture
from artasyn.pictures.overlays import contact_sheet, overlay_lungs, write_picture

DOCS = Path(__file__).parent.parent / "docs"
TILE = 320
COLOURS = ((240, 80, 60), (60, 140, 255))  # right, left


def framed(image: Image) -> Image:
    """A film with a collimator's white border above and at the patient's left."""
    film = np.full((round(1.18 * image.shape[0]), round(1.12 * image.shape[1])), 0.95, np.float32)
    film[-image.shape[0] :, : image.shape[1]] = image
    return film


def drawn(grey: Image, outlines: Outlines) -> Picture:
    """Outlines on a film."""
    picture = cv2.cvtColor((cv2.resize(grey, (TILE, TILE)) * 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    for outline, colour in zip(outlines, COLOURS, strict=True):
        points = np.round(((outline + 0.5) * TILE / len(grey) - 0.5) * 16).astype(np.int32)
        cv2.polylines(picture, [points], True, colour, 2, cv2.LINE_AA, shift=4)
    return np.asarray(picture, np.uint8)


def within(image: Image, frame: tuple[float, float, float, float]) -> Picture:
    """A film with its frame."""
    picture = cv2.cvtColor((image * 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    (top, left, bottom, right), (rows, columns) = frame, image.shape
    corners = (round(left * columns), round(top * rows)), (round(right * columns) - 1, round(bottom * rows) - 1)
    cv2.rectangle(picture, *corners, (255, 220, 0), 3)
    return np.asarray(picture, np.uint8)


def main() -> None:
    """Writes docs/pbtseg.png (the steps) and docs/pbtseg-thresholds.png (the pixels below rising thresholds)."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    segment = PBTSeg()
    film = framed(Phantom(size=384)(6, lesions=True).image)
    workings = segment.explain(film)
    lungs = segment(film)
    steps = [
        ("1 the film and its frame", within(film, workings.frame)),
        ("2 equalised", workings.grey),
        ("3 the mean outline fitted", drawn(workings.grey, workings.start)),
        ("4 the vote of the thresholds", workings.thresholded),
        ("5 outlines bent to the edges", drawn(workings.grey, workings.outlines)),
        (f"6 lungs, sure {min(lungs.confidence):.2f}", overlay_lungs(film, lungs.labels)),
    ]
    sheet = contact_sheet([tile for _, tile in steps], [caption for caption, _ in steps], columns=3, tile=TILE)
    write_picture(DOCS / "pbtseg.png", sheet)
    core = float(np.median(workings.grey[workings.thresholded > 0.9]))
    thresholds = core + np.linspace(-0.1, segment.reach, 8)
    below = [np.asarray(workings.grey <= threshold, np.float32) for threshold in thresholds]
    captions = [f"grey up to {threshold:.2f}" for threshold in thresholds]
    write_picture(DOCS / "pbtseg-thresholds.png", contact_sheet(below, captions, columns=4, tile=200))


if __name__ == "__main__":
    main()
