"""The command that augments a collection of normal radiographs with synthetic anomalies."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from artasyn.arrays import Picture
from artasyn.bulk.progress import progress
from artasyn.bulk.run import Row
from artasyn.bulk.sources import Source, search_sources
from artasyn.bulk.stores import Folders, Shards, StoredImage
from artasyn.console.lungs import LungOptions, described
from artasyn.console.machines import Machines, placed, portion_done
from artasyn.console.options import (
    FILES,
    OUT,
    PRUNE,
    WORKERS,
    flag,
    option,
    paths,
    python_only,
    remote,
    several,
    spread,
)
from artasyn.console.results import SHEET, Done, bulk_run, note_gone, note_passed_over, without
from artasyn.errors import DataError
from artasyn.files.radiograph import FEW_LEVELS, image_png, mask_png, needed_bits, read_radiograph
from artasyn.files.rasters import decode_picture
from artasyn.outputs.coco import Annotation, annotated, write_coco
from artasyn.outputs.summary import Region, draw_statistics, statistics, write_statistics
from artasyn.pictures.overlays import contact_sheet, grey_picture, overlay_mask, write_picture
from artasyn.pictures.thumbnails import TILE, on_grid, thumbnail
from artasyn.segment import PBTSeg
from artasyn.segment.anatomy.anatomy import Convention
from artasyn.segment.lungs import Zone
from artasyn.synthesis import FINDINGS, LungOpacity
from artasyn.synthesis import findings as presets
from artasyn.synthesis.recipe import Recipe
from artasyn.testsets.measured import FilmLungs

SUMMARY = ("sheet-1.png", "statistics.png", "annotations.json", "statistics.json")
"""The files about the whole collection; they are deleted where there is nothing to sum up."""


@dataclass(frozen=True)
class SynthesiseOptions:
    """Options of `synthesise`.

    Raises:
        DataError: a number, a finding or a range is invalid.
    """

    inputs: Sequence[Path] = field(metadata=remote("films", paths(f"normal {FILES}")))
    out: Path = field(metadata=remote("results", option(OUT)))
    _: KW_ONLY
    findings: Sequence[str] | None = field(
        default=None,
        metadata=several(
            f"the findings to make, instead of the usual mixture: {', '.join(FINDINGS)}", metavar="NAME", main=True
        ),
    )
    severity: tuple[float, float] | None = field(
        default=None,
        metadata=several(
            "attenuation of the densest parts of every finding, in (0, 1]; 1 is soft tissue (default: as usual for "
            "each finding)",
            of=float,
            count=2,
            metavar=("LOW", "HIGH"),
            main=True,
        ),
    )
    zones: Sequence[Zone] | None = field(
        default=None,
        metadata=several(
            f"where the findings may lie: {', '.join(get_args(Zone))} (default: as usual for each finding)",
            of=Zone,
            metavar="ZONE",
            main=True,
        ),
    )
    part: str = field(
        default="lungs",
        metadata=option(
            "the part of the lungs that the anomalies lie in, and end at: lungs, lung_right, lung_left, a zone (upper, "
            "lower_zone_left, peripheral ...), or with --lungs anatomy a structure, such as lung_lower_lobe_left"
        ),
    )
    convention: Convention = field(
        default="visible",
        metadata=option("extent of the lungs with --lungs anatomy: visible, or whole, which is behind the heart too"),
    )
    per_image: int = field(default=1, metadata=option("anomalous images made of each radiograph", main=True))
    seed: int = field(default=0, metadata=option("another seed, other anomalies", main=True))
    bits: int = field(
        default=0,
        metadata=option(
            "depth of the images written, 8 or 16; 0: 8, but 16 for a radiograph of which 8 bits would keep fewer than "
            f"{FEW_LEVELS} grey levels"
        ),
    )
    format: Literal["folders", "shards"] = field(
        default="folders", metadata=option("folders of PNG and JSON files, or tar shards", main=True)
    )
    samples_per_shard: int = field(default=500, metadata=option("synthetic images in a tar file, at most"))
    synthesis: LungOpacity = field(default=LungOpacity(), metadata=python_only())
    by: LungOptions = field(default=LungOptions(), metadata=spread(main=("lungs",)))
    segmenter: PBTSeg = field(default=PBTSeg(), metadata=option("options of PBTSeg"))
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(WORKERS, main=True))
    machines: Machines = field(default=Machines(), metadata=spread("merging"))

    def __post_init__(self) -> None:
        bits, per_image, seed = self.bits, self.per_image, self.seed
        if bits not in (0, 8, 16) or per_image < 1 or seed < 0:
            raise DataError(
                "bits must be 8 or 16 (or 0 to choose), per_image at least 1, seed at least 0; "
                f"not {bits}, {per_image}, {seed}"
            )
        if self.samples_per_shard < per_image:
            raise DataError(
                f"samples_per_shard must hold one radiograph's {per_image} images, not {self.samples_per_shard}"
            )
        self.chosen_synthesis()

    def chosen_synthesis(self) -> LungOpacity:
        """Returns the synthesis with the chosen findings, else with its own, in the chosen severities and zones."""
        changes: dict[str, Any] = {"severity_range": self.severity} if self.severity else {}
        changes |= {"zones": tuple(self.zones)} if self.zones else {}
        if self.findings:
            chosen = presets(*self.findings, **changes)
        else:
            chosen = tuple(dataclasses.replace(finding, **changes) for finding in self.synthesis.findings)
        return dataclasses.replace(self.synthesis, findings=chosen, part=self.part, convention=self.convention)

    def store(self) -> Folders | Shards:
        """Returns the store that the samples are written to."""
        if self.format == "folders":
            return Folders(self.out)
        return Shards(self.out, self.samples_per_shard // self.per_image)

    def settings(self) -> dict[str, Any]:
        """Returns the settings that the samples depend on, besides the radiographs."""
        names = ["per_image", "seed", "bits", "format", "findings", "severity", "zones", "segmenter"]
        names += ["samples_per_shard"] if self.store().sealed else []
        return {name: getattr(self, name) for name in names} | {"synthesis": self.chosen_synthesis()}


def synthesise(options: SynthesiseOptions) -> Done:
    """Makes lung anomalies with exact masks on normal radiographs, one or a hundred thousand.

    For example: artasyn synthesise normals/ --out synthetic --findings nodule mass --severity 0.3 0.6 --zones upper
    A pneumonia of one lobe: --findings consolidation --lungs anatomy --part lung_lower_lobe_left

    Writes to OUT, as folders: images/NAME_K.png, masks/NAME_K.png (0 and 255: exactly the pixels that changed),
    records/NAME_K.json (remakes the image bit for bit), annotations/NAME_K.json (every finding: mask, area, severity,
    zones). As shards: shards/000000.tar and following, for WebDataset, each sample as KEY.image.png, KEY.mask.png,
    KEY.json (the record) and KEY.annotations.json.

    For the whole collection: annotations.json (COCO, run-length encoded, for pycocotools), sheet-1.png (the first
    120 images), statistics.json and statistics.png (areas, severities, findings, zones), manifest.csv,
    passed_over.csv (if files were not read), settings.json. The same seed gives the same files for any number of
    workers. The manifest states the depth of every image (bits): a radiograph that spans a small part of its range is
    written with 16 bits, because 8 would lose its grey levels.

    Args:
        options: what to read, where to write, and what to make.
    """
    store, synthesis = options.store(), options.chosen_synthesis()
    finder = options.by.finder(options.segmenter)
    columns = ("copy", *store.columns, "width", "height", "bits", "area", "severity", "findings")
    run = bulk_run(
        "synthesise",
        options.out,
        columns,
        options.settings() | described(finder),
        files=store.files,
        workers=options.workers,
        batch=store.batch,
        sealed=store.sealed,
        prune=options.prune,
        where=placed("synthesise", options),
    )
    make = _Make(options.per_image, options.seed, options.bits, synthesis, finder)
    found = search_sources(options.inputs, leave=options.out)
    sources = options.by.sources(found.sources)
    outcomes = run.run_batches(store.work(make, columns), sources, title="synthesise")
    if run.portion:
        return portion_done(run, outcomes)
    notes = (*note_passed_over(options.out, found), *note_gone(run, outcomes))
    done = Done((), tuple(outcomes), notes=notes)
    names = list(dict.fromkeys([*FINDINGS, *(finding.name for finding in synthesis.findings)]))
    summary = _summarise(options.out, store, done.rows, names) if done.rows else without(options.out, *SUMMARY)
    tally = {"synthetic images made": len(done.rows)}
    return dataclasses.replace(done, written=(*summary, run.manifest), tally=tally)


@dataclass(frozen=True)
class _Make:
    """Makes the samples of one radiograph."""

    per_image: int
    seed: int
    bits: int
    synthesis: LungOpacity
    finder: FilmLungs

    def __call__(self, source: Source) -> list[StoredImage]:
        film = read_radiograph(source.path)
        place = self.synthesis.place(self.finder(film, source))
        lungs = place.lungs
        if not lungs.found:
            raise DataError(f"{source.path}: lungs not found ({lungs.doubts}); no anomaly can be placed")
        segmenter = self.finder.segmenter if isinstance(self.finder.segmenter, PBTSeg) else None
        bits = needed_bits(film) if self.bits == 0 else 16 if self.bits == 16 else 8
        samples = []
        for copy in range(1, self.per_image + 1):
            recipe, anomaly = Recipe.draw(
                film, place, seed=self.seed, copy=copy, segmenter=segmenter, synthesis=self.synthesis
            )
            described = annotated(anomaly, lungs)
            files = {
                "image": image_png(anomaly.image, bits=bits),
                "mask": mask_png(anomaly.mask),
                "record": json.dumps(recipe, default=vars).encode(),
                "annotations": (json.dumps(described) + "\n").encode(),
            }
            area = float(anomaly.mask.sum()) / max(1, int((lungs.labels > 0).sum()))
            row: Row = {"copy": copy, "height": film.shape[0], "width": film.shape[1], "bits": bits}
            row["area"] = f"{area:.4f}"
            row["severity"] = f"{max(each['severity'] for each in described):.4f}"
            row["findings"] = " ".join(each["finding"] for each in described)
            samples.append(StoredImage(files, row))
        return samples


def _summarise(
    out: Path, store: Folders | Shards, named: Sequence[tuple[str, Row]], names: Sequence[str]
) -> list[Path]:
    """Writes the files about the whole collection and returns the paths to look at; reads each annotation once."""
    rows = [row for _, row in named]
    regions: list[Region] = []

    def described() -> Iterator[list[Annotation]]:
        for text in progress(store.read(rows, "annotations"), title="annotations", total=len(rows), unit="image"):
            each: list[Annotation] = json.loads(text)
            regions.extend(map(Region.of, each))
            yield each

    write_coco(out / "annotations.json", names, map(store.about, rows), described())
    areas = [float(row["area"]) for row in rows]
    figures = statistics(areas, regions, names)
    write_statistics(out / "statistics.json", figures)
    draw_statistics(out / "statistics.png", areas, regions, figures)
    captions = [
        f"{name} {row['copy']}: {row['findings'].replace(' ', ', ').replace('_', ' ')}" for name, row in named[:SHEET]
    ]
    sheet = contact_sheet(list(pairs(store, rows[:SHEET])), captions, columns=6, tile=TILE * 3 // 2)
    write_picture(out / "sheet-1.png", sheet)
    return [out / name for name in SUMMARY[:3]]


def pairs(store: Folders | Shards, rows: Sequence[Row]) -> Iterator[Picture]:
    """Yields synthetic images, each beside the same image with its mask.

    Args:
        store: the store that holds the images.
        rows: rows of the manifest.
    """
    for image, mask in zip(store.read(rows, "image"), store.read(rows, "mask"), strict=True):
        pixels, full = decode_picture(image)
        small = thumbnail(np.asarray(pixels / np.float32(full), np.float32))
        region = on_grid(decode_picture(mask)[0] > 0, small)
        yield np.hstack([grey_picture(small), overlay_mask(small, region)])
