"""Draws the README's picture: ``python benchmarks/overview_picture.py artasyn-demo/training/model``."""

from __future__ import annotations

import argparse
from pathlib import Path

from artasyn import Detector, LungOpacity, PBTSeg, Phantom
from artasyn.arrays import generator
from artasyn.detection.opening import heat_scale
from artasyn.pictures.overlays import contact_sheet, overlay_heatmap, overlay_lungs, overlay_mask, write_picture
from artasyn.synthesis import findings


def main() -> None:
    """Writes docs/overview.png: a row of synthetic data and a row of detections."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model", type=Path, help="folder of the detector")
    detector = Detector.from_pretrained(options.parse_args().model)
    healthy = Phantom(size=320)(11)
    found = PBTSeg()(healthy.image)
    anomaly = LungOpacity(findings("consolidation", severity_range=(0.6, 0.7)))(healthy.image, found, generator(0, 6))
    diseased = Phantom(size=320)(90_017, lesions=True)
    detection = detector(diseased.image)
    tiles = [
        ("phantom radiograph", healthy.image),
        ("its lungs, by PBTSeg", overlay_lungs(healthy.image, found.labels)),
        ("a synthetic opacity", anomaly.image),
        ("its exact mask", overlay_mask(anomaly.image, anomaly.mask)),
        ("lesions never seen in training", diseased.image),
        ("heatmap", overlay_heatmap(diseased.image, detection.heatmap, top=heat_scale(detector).top)),
        ("what the detector marks", overlay_mask(diseased.image, detection.mask)),
        ("ground truth", overlay_mask(diseased.image, diseased.lesions)),
    ]
    sheet = contact_sheet([tile for _, tile in tiles], [caption for caption, _ in tiles], columns=4, tile=320)
    write_picture(Path(__file__).parent.parent / "docs" / "overview.png", sheet)


if __name__ == "__main__":
    main()
