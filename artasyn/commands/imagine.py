"""The command that imagines films from sentences, on normal radiographs or on films that it projects first."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from artasyn.bulk.patients import labels_of, search_patients
from artasyn.bulk.run import Row
from artasyn.bulk.sources import Found, search_sources
from artasyn.bulk.stores import Folders, Shards
from artasyn.commands.synthesise import pairs
from artasyn.console.lungs import LungOptions, described
from artasyn.console.machines import Machines, placed, portion_done
from artasyn.console.options import FILES, MODEL, OUT, PRUNE, WORKERS, flag, option, remote, several, spread
from artasyn.console.results import SHEET, Done, bulk_run, note_gone, note_passed_over, without
from artasyn.errors import DataError, PromptError
from artasyn.files import atomic
from artasyn.files.radiograph import read_radiograph
from artasyn.files.tables import write_table
from artasyn.files.texts import read_text
from artasyn.outputs.coco import Annotation, write_coco
from artasyn.outputs.imagined import (
    COLUMNS,
    KEPT,
    ImaginedFolders,
    ImaginedShards,
    ImagineTask,
    MakeImagined,
    MakerSetup,
    chosen_normal,
    prompt_digest,
    text_digest,
)
from artasyn.outputs.whole_film import WholeFilm
from artasyn.pictures.overlays import contact_sheet, write_picture
from artasyn.pictures.thumbnails import TILE
from artasyn.remote.urls import shown
from artasyn.segment import PBTSeg
from artasyn.segment.anatomy.segmenters import AnatomyReader
from artasyn.synthesis import FINDINGS
from artasyn.synthesis.diffusion import Prompt
from artasyn.synthesis.diffusion.filters import REASONS, Filters, thumbnail, usual_bounds
from artasyn.synthesis.diffusion.imagined import COMMON
from artasyn.testsets.tables import read_table

if TYPE_CHECKING:
    from artasyn.detection.detector import Detector

SUMMARY = ("sheet-1.png", "captions.csv", "annotations.json")
"""The files about the whole collection; they are deleted where there is nothing to sum up."""

CHESTS = "chests"
"""The folder of the records of chests that are projected."""


@dataclass(frozen=True)
class ImagineOptions:
    """Options of `imagine`.

    Raises:
        DataError: a number is invalid, or the options do not fit together.
        PromptError: a sentence of `prompt` cannot be read.
    """

    out: Path = field(metadata=remote("results", option(OUT)))
    _: KW_ONLY
    prompt: Sequence[str] | None = field(
        default=None,
        metadata=several(
            "what to show, a sentence in a radiologist's words; several sentences make several films",
            metavar="SENTENCE",
            main=True,
        ),
    )
    prompts: Path | None = field(
        default=None, metadata=option("a CSV file with a column prompt, and perhaps a column number", main=True)
    )
    number: int = field(default=1, metadata=option("films of each prompt", main=True))
    normal: Sequence[Path] | None = field(
        default=None,
        metadata=remote(
            "films",
            several(
                f"normal {FILES}; each film is made on one of them. Without it the healthy films are projected from "
                "phantoms, or from --ct",
                of=Path,
                metavar="PATH",
                main=True,
            ),
        ),
    )
    ct: Sequence[Path] | None = field(
        default=None,
        metadata=several(
            "CTs with labels, as for `artasyn project`, to project healthy films of", of=Path, metavar="PATH", main=True
        ),
    )
    labels: Path | None = field(default=None, metadata=option("the label map of the CT, or the folder of label maps"))
    names: Path | None = field(default=None, metadata=option("a file with the names of the label maps' numbers"))
    seed: int = field(default=0, metadata=option("another seed, other films", main=True))
    tries: int = field(default=5, metadata=option("draws of one film before its rejection stands"))
    filters: Literal["all", "masks"] = field(
        default="all",
        metadata=option(
            "all: the masks, texture and contrast, and what a detector and the anatomy network see; masks: without the "
            "two networks, ten times as fast",
            main=True,
        ),
    )
    keep_rejected: bool = field(
        default=False, metadata=flag("write films that the filters reject too, each with its verdict")
    )
    against: Sequence[Path] | None = field(
        default=None,
        metadata=several("radiographs that no projected film may copy", of=Path, metavar="PATH"),
    )
    model: str = field(default="bundled", metadata=option(f"the detector of the filters: {MODEL}"))
    shapes: str = field(
        default="drawn",
        metadata=option(
            "drawn: all shapes are drawn from distributions; learnt: consolidation and ground glass as readers outline "
            "them, by the network that comes with artasyn; or the folder of another one"
        ),
    )
    denoiser: str = field(
        default="", metadata=option("the folder or the hub's id of a denoiser that refines the films; none without it")
    )
    bits: int = field(
        default=0,
        metadata=option(
            "depth of the images written, 8 or 16; 0 to choose, as in synthesise, and 16 for projected films"
        ),
    )
    format: Literal["folders", "shards"] = field(
        default="folders", metadata=option("folders of PNG, text and JSON files, or tar shards for WebDataset")
    )
    samples_per_shard: int = field(default=500, metadata=option("films in a tar file, at most"))
    by: LungOptions = field(default=LungOptions("anatomy"), metadata=spread(main=("lungs",)))
    segmenter: PBTSeg = field(default=PBTSeg(), metadata=option("options of PBTSeg, with --lungs pbtseg"))
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(WORKERS, main=True))
    machines: Machines = field(default=Machines(), metadata=spread("merging"))

    def __post_init__(self) -> None:
        if self.bits not in (0, 8, 16) or min(self.number, self.tries, self.samples_per_shard) < 1 or self.seed < 0:
            raise DataError(
                "bits must be 8 or 16 (or 0 to choose), number, tries and samples_per_shard at least 1, seed at least "
                f"0; not {self.bits}, {self.number}, {self.tries}, {self.samples_per_shard}, {self.seed}"
            )
        if self.normal and self.ct:
            raise DataError("healthy films are either normal radiographs or projections of CTs; give normal or ct")
        if (self.labels or self.names) and not self.ct:
            raise DataError("labels and names are those of CTs; give ct")
        if self.normal and self.against:
            raise DataError("a film on a normal radiograph is like that radiograph; give against without normal")
        for sentence in self.prompt or ():
            Prompt.parse(sentence)

    def store(self) -> ImaginedFolders | ImaginedShards:
        """Returns the store that the films are written to."""
        if self.format == "folders":
            return ImaginedFolders(self.out)
        return ImaginedShards(self.out, self.samples_per_shard)

    def settings(self) -> dict[str, Any]:
        """Returns the settings that the films depend on, besides their prompts and radiographs."""
        names = ["seed", "tries", "filters", "keep_rejected", "model", "bits", "format", "segmenter"]
        names += ["samples_per_shard"] if self.store().sealed else []
        against = {"against": [shown(str(path)) for path in self.against or ()]}
        sampler, generate = MakerSetup(self.shapes, self.denoiser)()
        made_by = {"shapes": sampler.digest, "denoiser": generate.digest}
        return {name: getattr(self, name) for name in names} | against | made_by


def imagine(options: ImagineOptions) -> Done:
    """Makes films from sentences: pathology masks that fit the anatomy, images on them, and filters that say why.

    For example: artasyn imagine --prompt "moderate consolidation in the right lower lobe, small left pleural effusion"
    --normal normals/ --number 20 --out imagined
    Or films that never existed, with the masks of all structures: artasyn imagine --prompts prompts.csv --out imagined

    Each film shows what its sentence says: side, lobe, number, size and severity are measured back from the masks.
    Outside the masks not one value changes. A film that a filter rejects is drawn again, up to --tries times. A
    sentence that cannot be read, or that asks for a place that no film shows, is an error that says what to do; of
    --prompts, the others go on. Without a prompt, thirty usual sentences are taken.

    Writes to OUT, for each film F, which is SENTENCE/NUMBER: images/F.png; masks/F.png (0 and 255: exactly the pixels
    that changed); parts/F/1_FINDING_SIDE.png and following (a mask for each finding); records/F.json (remakes the film
    bit for bit on its normal radiograph); annotations/F.json; captions/F.txt; verdicts/F.json (what every filter says).
    Of a projected film also parts/F/healthy.png, lungs.png and anatomy.json (every structure, run-length encoded), and
    chests/ (the records of the healthy films). As shards: the same as members of shards/000000.tar and following.

    For the whole collection: captions.csv, annotations.json (COCO, with codes of RadLex and SNOMED CT), sheet-1.png,
    manifest.csv (every film with its verdict, scores and reasons, also the rejected ones), passed_over.csv (if files
    were not read), settings.json. The same seed gives the same files for any number of workers. Small or faint findings
    are often rejected, because the detector does not see them: --filters masks keeps them.

    Args:
        options: what to show, on what, and where to write it.
    """
    out, store = options.out, options.store()
    finder = options.by.finder(options.segmenter)
    columns = (*store.columns, *COLUMNS)
    run = bulk_run(
        "imagine", out, columns, options.settings() | described(finder), files=store.files,
        workers=options.workers, batch=store.batch if store.sealed else 1, sealed=store.sealed,
        prune=options.prune, own=True, where=placed("imagine", options),
    )  # fmt: skip
    with run.claimed():
        sentences = _sentences(options)
        if not store.sealed:
            run.claim()  # before the first record is written
        found, tasks = _tasks(options, sentences)
        filters = FilterSetup(options.model if options.filters == "all" else "", tuple(map(str, options.against or ())))
        segmenter = finder.segmenter if isinstance(finder.segmenter, PBTSeg) else None
        make = MakeImagined(
            options.seed, options.tries, options.bits, options.keep_rejected, finder, segmenter, filters,
            MakerSetup(options.shapes, options.denoiser),
        )  # fmt: skip
        outcomes = run.run_batches(store.work(make, columns), tasks, title="imagine")
        if run.portion:
            return portion_done(run, outcomes)
        done = Done((), tuple(outcomes))
        notes = (*_rejections(done), *note_passed_over(out, found), *note_gone(run, outcomes))
        rows = [(name, row) for name, row in done.rows if row["image"]]
        summary = _summarise(out, store, rows) if rows else without(out, *SUMMARY)
    kept = sum(row["filtered"] == KEPT for _, row in done.rows)
    tally = {"kept": kept, "rejected": len(done.rows) - kept}
    return dataclasses.replace(done, written=(*summary, run.manifest), notes=notes, tally=tally)


@dataclass(frozen=True)
class FilterSetup:
    """Returns the filters of a run; each worker loads their networks once.

    Attributes:
        model: the detector; empty asks neither a detector nor the anatomy network.
        against: files and folders of films that no film may copy.
        bounds: the lowest and highest accepted score of each filter.
    """

    model: str
    against: tuple[str, ...] = ()
    bounds: tuple[tuple[str, tuple[float, float]], ...] = field(default_factory=lambda: tuple(usual_bounds().items()))

    def __call__(self) -> Filters:
        """Returns the filters.

        Raises:
            ModelError: there is no such detector.
        """
        return _filters(self)


@functools.lru_cache(maxsize=2)
def _filters(setup: FilterSetup) -> Filters:
    known = None
    if setup.against:
        sources = search_sources(map(Path, setup.against)).sources
        known = np.stack([thumbnail(read_radiograph(source.path)) for source in sources])
    if not setup.model:
        return Filters(known=known, bounds=dict(setup.bounds))
    from artasyn.detection.detector import Detector  # needs torch

    detector: Detector = Detector.from_pretrained(setup.model)
    return Filters(detector, AnatomyReader(), known, dict(setup.bounds))


def _sentences(options: ImagineOptions) -> list[tuple[str, int]]:
    """Returns the sentences and the number of films of each.

    Raises:
        DataError: the file cannot be read, has no column prompt, or a number that is none.
    """
    found = [(sentence, options.number) for sentence in options.prompt or ()]
    if options.prompts is not None:
        for line, row in enumerate(read_table(options.prompts, ["prompt"]), 2):
            text = row.get("number", "").strip()
            if text and not (text.isdecimal() and 1 <= int(text) <= 1_000_000):
                raise DataError(f"{options.prompts} line {line}: number is {text!r}; write a whole number from 1 on")
            found.append((row["prompt"], int(text or options.number)))
    return found or [(sentence, options.number) for sentence in COMMON]


def _tasks(options: ImagineOptions, sentences: Sequence[tuple[str, int]]) -> tuple[Found, list[ImagineTask]]:
    """Returns what was searched, and the films to make; a sentence that cannot be read becomes a faulty source."""
    found, chests = Found([]), Found([])
    if options.normal:
        found = search_sources(options.normal, leave=options.out)
        found = dataclasses.replace(found, sources=list(options.by.sources(found.sources)))
    if options.ct:
        found = chests = search_patients(options.ct, labels=options.labels, names=options.names, leave=options.out)
    tasks: dict[str, ImagineTask] = {}
    for said, number in sentences:
        try:
            prompt = Prompt.parse(said)
            if not prompt.findings:
                raise PromptError(f"{said!r} asks for no finding; name one, such as 'consolidation'")
        except PromptError as error:
            name = f"{_slug(said)}_{text_digest(said)}_unread"
            tasks[name] = ImagineTask(
                options.prompts or options.out, name, None, said, 1, fault=f"{said!r} cannot be read: {error}"
            )
            continue
        digest = prompt_digest(prompt)
        for copy in range(1, number + 1):
            name = f"{_slug(said)}_{digest}/{copy:04d}"
            if options.normal:
                normal = found.sources[chosen_normal(options.seed, prompt, copy, len(found.sources))]
                task = ImagineTask(
                    normal.path, name, prompt, said, copy, normal, inputs=normal.inputs, fault=normal.fault
                )
            else:
                task = _projected(options, chests, name, prompt, said, copy)
            tasks.setdefault(name, task)
    return found, list(tasks.values())


def _projected(options: ImagineOptions, chests: Found, name: str, prompt: Prompt, said: str, copy: int) -> ImagineTask:
    """Writes the record of a healthy film, and returns the task of the film on it."""
    digest = prompt_digest(prompt)
    inputs: tuple[Path, ...] = ()
    fault = ""
    if not options.ct:
        record = WholeFilm.draw(options.seed, digest, copy)
    else:
        ct = chests.sources[chosen_normal(options.seed, prompt, copy, len(chests.sources))]
        inputs, fault = (ct.path, *ct.inputs), ct.fault
        labels = Path()
        try:
            labels = labels_of(ct, options.labels, alone=len(chests.sources) == 1)
        except DataError as error:
            fault = fault or str(error)
        names = str(options.names.absolute()) if options.names and not labels.is_dir() else ""
        seed = (options.seed * 1_000_003 + int(digest, 16)) % 2**31
        files = [shown(file) for file in (str(ct.path.absolute()), str(labels.absolute()), names)]
        record = WholeFilm(seed, copy, ct=files[0], labels=files[1], names=files[2])
    path, text = options.out / CHESTS / f"{name}.json", record.to_json()
    if not (path.is_file() and read_text(path) == text):
        atomic.write_text(path, text)
    return ImagineTask(path, name, prompt, said, copy, inputs=inputs, fault=fault)


def _slug(said: str) -> str:
    """Returns a sentence as the beginning of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", said.lower()).strip("-")[:40].strip("-") or "prompt"


def _rejections(done: Done) -> Iterator[str]:
    """Yields sentences that count the films that the filters rejected, by reason."""
    rejected = [row for _, row in done.rows if row["filtered"] != KEPT]
    if rejected:
        reasons = Counter(name for row in rejected for name, reason in REASONS.items() if reason in row["reasons"])
        told = ", ".join(f"{count} {name}" for name, count in reasons.most_common())
        yield (
            f"rejected in every draw: {len(rejected)} of {len(done.rows)} films ({told}); manifest.csv has the scores "
            "and reasons"
        )


def _summarise(out: Path, store: Folders | Shards, named: Sequence[tuple[str, Row]]) -> list[Path]:
    """Writes the files about the whole collection, and returns their paths."""
    rows = [row for _, row in named]
    write_table(
        out / "captions.csv",
        ("image", "caption", "prompt", "filtered"),
        ({**row, "caption": row["caption_text"]} for row in rows),
    )
    about = ({**store.about(row), "caption": row["caption_text"], "prompt": row["prompt"]} for row in rows)
    annotations: Iterator[list[Annotation]] = (json.loads(text) for text in store.read(rows, "annotations"))
    write_coco(out / "annotations.json", list(FINDINGS), about, annotations)
    captions = [("" if row["filtered"] == KEPT else "rejected: ") + row["caption_text"] for row in rows[:SHEET]]
    sheet = contact_sheet(list(pairs(store, rows[:SHEET])), captions, columns=6, tile=TILE * 3 // 2)
    write_picture(out / "sheet-1.png", sheet)
    return [out / name for name in SUMMARY]
