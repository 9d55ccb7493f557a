"""The command that finds lungs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from artasyn.bulk.run import Row
from artasyn.bulk.sources import Source, search_sources
from artasyn.console.lungs import LungOptions, described
from artasyn.console.options import FILES, OUT, PRUNE, WORKERS, flag, option, paths, spread
from artasyn.console.results import UNUSABLE, Done, bulk_run, cautioned, note_gone, note_passed_over, write_sheets
from artasyn.files.radiograph import read_radiograph, write_labels
from artasyn.pictures.overlays import overlay_lungs, write_picture
from artasyn.pictures.thumbnails import thumbnail
from artasyn.segment import PBTSeg
from artasyn.segment.anatomy.segmenters import compared, visible_lungs
from artasyn.testsets.measured import FilmLungs


@dataclass(frozen=True)
class SegmentOptions:
    """Options of `segment`."""

    inputs: Sequence[Path] = field(metadata=paths(FILES))
    out: Path = field(metadata=option(OUT))
    _: KW_ONLY
    by: LungOptions = field(default=LungOptions(), metadata=spread(main=("lungs",)))
    compare: bool = field(
        default=False,
        metadata=flag(
            "where the lungs are not found by PBTSeg, let PBTSeg find them too, and warn (lungs_disagree) where the "
            "Dice of both is below 0.8"
        ),
    )
    segmenter: PBTSeg = field(default=PBTSeg(), metadata=option("options of PBTSeg"))
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(WORKERS, main=True))


def segment(options: SegmentOptions) -> Done:
    """Finds the lungs on radiographs, without training, or reads them with the network that reads structures.

    Writes to OUT: labels/NAME.png (0 background, 1 the patient's right lung, 2 the left lung), overlays/NAME.png,
    sheet-1.png and following (the overlays, least confident first, unusable radiographs at the end), manifest.csv,
    passed_over.csv (if files were not read), settings.json. The manifest names unusable radiographs by status, with
    warnings in words and the reason.

    For example: artasyn segment films/ --out lungs --lungs anatomy --compare
    The network also tells lung in dense disease, where PBTSeg follows the aerated lung; where both disagree, look.
    `artasyn anatomy` writes the other structures, and measures.

    Args:
        options: what to read, where to write, and how.
    """
    out, finder = options.out, options.by.finder(options.segmenter)
    other = options.segmenter if options.compare and finder.segmenter != options.segmenter else None
    columns = ("labels", "overlay", "found", "confidence_right", "confidence_left", "status", "warnings", "reason")
    settings = {"segmenter": options.segmenter} | described(finder) | ({"compare": True} if other else {})
    files = ("labels", "overlay")
    run = bulk_run("segment", out, columns, settings, files=files, workers=options.workers, prune=options.prune)
    found = search_sources(options.inputs, leave=out)
    outcomes = run.run(_Segment(out, finder, other), options.by.sources(found.sources), title="segment")
    notes = (*note_passed_over(out, found), *note_gone(run, outcomes))
    done = Done((run.manifest,), tuple(outcomes), notes=notes)

    def confidence(row: Row) -> float:
        return min(float(row["confidence_right"]), float(row["confidence_left"]))

    def caption(name: str, row: Row) -> str:
        return f"{row['warnings']}: {name}" if row["status"] == UNUSABLE else f"{confidence(row):.2f} {name}"

    ranked = sorted(done.rows, key=lambda item: (item[1]["status"] == UNUSABLE, confidence(item[1])))
    shown = [(caption(name, row), row["overlay"]) for name, row in ranked]
    tally = {"with lungs": sum(row["status"] != UNUSABLE for _, row in ranked)}
    return dataclasses.replace(done, written=(*write_sheets(out, shown), run.manifest), tally=tally)


@dataclass(frozen=True)
class _Segment:
    out: Path
    finder: FilmLungs
    other: PBTSeg | None

    def __call__(self, source: Source) -> list[Row]:
        film = read_radiograph(source.path)
        lungs = visible_lungs(self.finder(film, source))
        lungs = compared(lungs, self.other(film)) if self.other else lungs
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
            }
            | cautioned(lungs)
        ]
