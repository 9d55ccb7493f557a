"""The command that finds lungs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artasyn.bulk.run import Row
from artasyn.bulk.sources import Source, find_sources
from artasyn.commands.shared import Done, bulk_run, write_sheets
from artasyn.files.radiograph import read_radiograph, write_labels
from artasyn.pictures.overlays import overlay_lungs, write_picture
from artasyn.pictures.thumbnails import thumbnail
from artasyn.segment import PBTSeg


def segment(inputs: Sequence[Path], out: Path, *, segmenter: PBTSeg = PBTSeg(), workers: int = 0) -> Done:
    """Finds the lungs on radiographs, without training.

    Writes to OUT: labels/NAME.png (0 background, 1 the patient's right lung, 2 the left lung), overlays/NAME.png,
    sheet-1.png and following (the overlays, least confident first), manifest.csv, settings.json.

    Args:
        inputs: radiographs (PNG, JPEG, TIFF, DICOM) and folders of them, which are walked recursively.
        out: the folder to write to. A run that was killed goes on there.
        segmenter: options of PBTSeg.
        workers: processes; 0 takes every core.
    """
    columns = ("labels", "overlay", "found", "confidence_right", "confidence_left", "warnings")
    options = {"segmenter": segmenter}
    run = bulk_run("segment", out, columns, options, files=("labels", "overlay"), workers=workers)
    outcomes = run.run(_Segment(out, segmenter), find_sources(inputs), title="segment")
    done = Done((run.manifest,), tuple(outcomes))

    def confidence(item: tuple[str, Row]) -> float:
        return min(float(item[1]["confidence_right"]), float(item[1]["confidence_left"]))

    shown = [(f"{confidence(item):.2f} {item[0]}", item[1]["overlay"]) for item in sorted(done.rows, key=confidence)]
    return dataclasses.replace(done, written=(*write_sheets(out, shown), run.manifest))


@dataclass(frozen=True)
class _Segment:
    out: Path
    segmenter: PBTSeg

    def __call__(self, source: Source) -> list[Row]:
        film = read_radiograph(source.path)
        lungs = self.segmenter(film)
        labels, overlay = f"labels/{source.name}.png", f"overlays/{source.name}.png"
        write_labels(self.out / labels, lungs.labels)
        small = thumbnail(film)
        write_picture(self.out / overlay, overlay_lungs(small, lungs.resized(small.shape).labels))
        right, left = lungs.confidence
        return [
            {
                "labels": labels,
                "overlay": overlay,
                "found": str(lungs.found).lower(),
                "confidence_right": f"{right:.4f}",
                "confidence_left": f"{left:.4f}",
                "warnings": "; ".join(lungs.reasons),
            }
        ]
