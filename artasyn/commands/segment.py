"""The command that finds lungs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from artasyn.bulk.run import Row
from artasyn.bulk.sources import Source, search_sources
from artasyn.console.lungs import LungOptions, described
from artasyn.console.machines import Machines, placed, portion_done
from artasyn.console.options import (
    ANONYMOUS,
    DICOM,
    FILES,
    OUT,
    PRUNE,
    WORKERS,
    flag,
    option,
    paths,
    remote,
    several,
    spread,
)
from artasyn.console.results import (
    UNUSABLE,
    Done,
    bulk_run,
    cautioned,
    judged_rows,
    note_gone,
    note_passed_over,
    write_sheets,
)
from artasyn.files.opened import open_radiograph
from artasyn.files.radiograph import write_labels
from artasyn.outputs.dicom_files import DicomFiles, with_refusals
from artasyn.outputs.dicom_instance import ARTIFICIAL_INTELLIGENCE, MORPHOLOGICAL, Made, Maker, model_parameters
from artasyn.outputs.dicom_seg import Segment
from artasyn.outputs.dicom_sr import Figure, Report
from artasyn.pictures.overlays import overlay_lungs, write_picture
from artasyn.pictures.thumbnails import thumbnail
from artasyn.segment import PBTSeg
from artasyn.segment.anatomy.segmenters import AnatomyReader, compared, visible_lungs
from artasyn.testsets.measured import FilmLungs


@dataclass(frozen=True)
class SegmentOptions:
    """Options of `segment`."""

    inputs: Sequence[Path] = field(metadata=remote("films", paths(FILES)))
    out: Path = field(metadata=remote("results", option(OUT)))
    _: KW_ONLY
    by: LungOptions = field(default=LungOptions(), metadata=spread(main=("lungs",)))
    compare: bool = field(
        default=False,
        metadata=flag(
            "where the lungs are not found by PBTSeg, let PBTSeg find them too, and warn (lungs_disagree) where the "
            "Dice of both is below 0.8"
        ),
    )
    dicom: Sequence[Made] | None = field(default=None, metadata=several(DICOM, of=Made, metavar="OBJECT"))
    anonymous: bool = field(default=False, metadata=flag(ANONYMOUS))
    segmenter: PBTSeg = field(default=PBTSeg(), metadata=option("options of PBTSeg"))
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(WORKERS, main=True))
    machines: Machines = field(default=Machines(), metadata=spread("merging"))


def segment(options: SegmentOptions) -> Done:
    """Finds the lungs on radiographs, without training, or reads them with the network that reads structures.

    Writes to OUT: labels/NAME.png (0 background, 1 the patient's right lung, 2 the left lung), overlays/NAME.png,
    sheet-1.png and up to 19 more (the overlays, least confident first, unusable radiographs at the end), manifest.csv,
    passed_over.csv (if files were not read), settings.json. The manifest names unusable radiographs by status, with
    warnings in words and the reason.

    With --dicom, also dicom/NAME.seg.dcm (both lungs on the film's stored grid), dicom/NAME.sc.dcm (the overlay) and
    dicom/NAME.sr.dcm (the confidence of each lung), for films that are DICOM. The manifest has the columns seg, sc and
    sr, and dicom_reason where there is no object.

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
    objects = DicomFiles(out, tuple(options.dicom or ()), options.anonymous, _maker(options, finder))
    run = bulk_run(
        "segment",
        out,
        (*columns, *objects.columns),
        settings | objects.settings,
        files=("labels", "overlay", *objects.files),
        workers=options.workers,
        prune=options.prune,
        where=placed("segment", options),
    )
    found = search_sources(options.inputs, leave=out)
    outcomes = run.run(_Segment(out, finder, other, objects), options.by.sources(found.sources), title="segment")
    if run.portion:
        return portion_done(run, outcomes)
    notes = (*note_passed_over(out, found), *note_gone(run, outcomes))
    done = Done((run.manifest,), tuple(outcomes), notes=notes)

    def confidence(row: Row) -> float:
        return min(float(row["confidence_right"]), float(row["confidence_left"]))

    def caption(name: str, row: Row) -> str:
        return f"{row['warnings']}: {name}" if row["status"] == UNUSABLE else f"{confidence(row):.2f} {name}"

    ranked = sorted(done.rows, key=lambda item: (item[1]["status"] == UNUSABLE, confidence(item[1])))
    shown = [(caption(name, row), row["overlay"]) for name, row in ranked]
    every = with_refusals(outcomes)
    tally = {"with lungs": len(judged_rows(every))}
    return dataclasses.replace(done, outcomes=every, written=(*write_sheets(out, shown), run.manifest), tally=tally)


def _maker(options: SegmentOptions, finder: FilmLungs) -> Maker:
    """Returns who finds the lungs, for DICOM objects."""
    by = options.by
    if by.lungs == "pbtseg":
        return Maker("artasyn segment", (("lungs", repr(options.segmenter)),), MORPHOLOGICAL)
    reader = finder.segmenter
    model = model_parameters(reader.model, reader.digest) if isinstance(reader, AnatomyReader) else ()
    return Maker("artasyn segment", (("lungs", by.lungs), *model), ARTIFICIAL_INTELLIGENCE)


@dataclass(frozen=True)
class _Segment:
    out: Path
    finder: FilmLungs
    other: PBTSeg | None
    objects: DicomFiles

    def __call__(self, source: Source) -> list[Row]:
        radiograph = open_radiograph(source.path)
        film = radiograph.image
        lungs = visible_lungs(self.finder(film, source))
        lungs = compared(lungs, self.other(film)) if self.other else lungs
        labels, overlay = f"labels/{source.name}.png", f"overlays/{source.name}.png"
        write_labels(self.out / labels, lungs.labels)
        small = thumbnail(film)
        picture = overlay_lungs(small, lungs.resized(small.shape).labels)
        write_picture(self.out / overlay, picture)
        right, left = lungs.confidence
        objects = self.objects.write(
            source,
            radiograph,
            [Segment.structure("lung_right", lungs.right), Segment.structure("lung_left", lungs.left)],
            picture,
            lambda: Report((Figure("confidence_right", right), Figure("confidence_left", left)), remarks=lungs.reasons),
            unusable=() if lungs.usable else lungs.reasons,
        )
        return [
            objects
            | {
                "labels": labels,
                "overlay": overlay,
                "found": str(lungs.found).lower(),
                "confidence_right": f"{right:.4f}",
                "confidence_left": f"{left:.4f}",
            }
            | cautioned(lungs)
        ]
