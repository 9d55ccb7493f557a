"""The command that asks a writer of masks in words about radiographs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artasyn.arrays import Mask, Picture
from artasyn.bulk.run import Row
from artasyn.bulk.sources import Source, search_sources
from artasyn.console.machines import Machines, placed, portion_done
from artasyn.console.options import FILES, MASKS, OUT, PRUNE, WORKERS, flag, option, paths, remote, several, spread
from artasyn.console.results import (
    UNUSABLE,
    Done,
    bulk_run,
    cautioned,
    first_looks,
    not_judged,
    note_gone,
    note_passed_over,
    write_sheets,
)
from artasyn.errors import DataError, ModelError
from artasyn.files import atomic
from artasyn.files.opened import open_radiograph
from artasyn.outputs.answered import answers_text, read_answers, write_answers
from artasyn.outputs.masks import MASK_FILES, MaskFiles, Output
from artasyn.pictures.anatomy import SIDE, overlay_named
from artasyn.pictures.overlays import write_picture
from artasyn.pictures.report import Section, write_report
from artasyn.pictures.thumbnails import thumbnail
from artasyn.remote.urls import shown
from artasyn.segment.tokens.answers import SEPARATOR
from artasyn.segment.tokens.words import Request, name_of

if TYPE_CHECKING:
    from artasyn.segment.tokens.model import TokenSegmenter
    from artasyn.segment.tokens.replies import Reply

FILES_OF = ("answers", "overlay", *MASK_FILES)
"""The columns of the manifest that name a file; the masks are a folder."""

SHOWN = ("prompt", "answer", "confidence", "box", "writer", "angle", "status", "warnings", "reason")
"""The columns of the manifest about the answer."""

LEAST_SURE = 12
"""The number of radiographs that the report shows."""


@dataclass(frozen=True)
class TokensOptions:
    """Options of `tokens`.

    Raises:
        DataError: no format of masks is chosen.
    """

    inputs: Sequence[Path] = field(metadata=remote("films", paths(FILES)))
    out: Path = field(metadata=remote("results", option(OUT)))
    _: KW_ONLY
    prompt: str = field(
        metadata=option(
            'what to ask of every radiograph: "segment heart ; right lung" for masks, "detect heart" for boxes, '
            '"caption <loc0100><loc0200><loc0600><loc0700>" for the structure in a box, view for the view'
        )
    )
    model: str = field(
        default="bundled",
        metadata=option(
            "the writer: bundled is the one that comes with artasyn; or a folder that a training wrote, or the id of a "
            "model on the Hugging Face hub"
        ),
    )
    anatomy: str = field(
        default="bundled",
        metadata=option(
            "the anatomy network that the writer was trained with, and that judges the radiographs: bundled, a folder "
            "or an id, likewise"
        ),
    )
    adapter: Sequence[Path] | None = field(
        default=None,
        metadata=several(
            "folders of words that TokenSegmenter.adapt has learnt and save_adapter has written; the prompt may ask "
            "for them",
            of=Path,
            metavar="DIR",
        ),
    )
    outputs: Sequence[Output] = field(
        default=("png", "npz", "coco"), metadata=several(MASKS, of=Output, metavar="FORMAT", main=True)
    )
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(WORKERS, main=True))
    machines: Machines = field(default=Machines(), metadata=spread("merging"))

    def __post_init__(self) -> None:
        if not self.outputs:
            raise DataError("outputs names no format; choose from png, npz, coco")

    def reader(self) -> TokenReader:
        """Returns the reader of the models."""
        return TokenReader(self.model, self.anatomy, tuple(map(str, self.adapter or ())))


def tokens(options: TokensOptions) -> Done:
    """Asks for structures in words, and writes masks, boxes or names of what each radiograph shows.

    For example: artasyn tokens films/ --prompt "segment heart ; right lung" --out hearts
                 artasyn tokens films/ --prompt "detect aorta ; lungs" --out boxes
                 artasyn tokens films/ --prompt "caption <loc0100><loc0200><loc0600><loc0700>" --out captions
                 artasyn tokens films/ --prompt view --out views

    Structures have names and synonyms (heart or cor, right upper lobe or RUL); a group, such as lungs or clavicles,
    stands for its structures; words that were learnt from a few films come with --adapter. The edges of a caption's box
    are top, left, bottom and right, from 0 to 1023 over the height and the width of the radiograph. A prompt that
    cannot be read is refused before any radiograph is.

    Writes to OUT, for each radiograph: answers/NAME.json (prompt; answer as text; digests of the models; for each
    structure its confidence and its box in pixels: first row, first column, last row + 1, last column + 1),
    overlays/NAME.png (masks or boxes, with a legend). For segment, too: masks/NAME/STRUCTURE.png (0 and 255),
    npz/NAME.npz (names; masks, packed in bits: numpy.unpackbits(file["masks"], axis=0, count=len(file["names"]));
    confidence; angle), annotations/NAME.json (COCO annotations, run-length encoded). A mask is what MaskCodec reads
    from the answer on the radiograph's own grid. A structure that is not there has an empty answer, no box, no picture
    and an empty mask.

    For the whole collection: report.html, sheet-1.png and up to 19 more (the overlays, least sure first, unusable
    radiographs at the end), answers.csv (a row for each structure of each radiograph), annotations.json (COCO, for
    pycocotools), manifest.csv (prompt, answer, confidence and box of each structure, digest of the writer),
    passed_over.csv (if files were not read), settings.json.

    The confidence is the probability that the writer gives to a structure's being there; it was not calibrated. For
    outlines and measures of whole films `artasyn anatomy` is better. A radiograph that is unusable (inverted, turned,
    not a chest) has this status with the reason, and the exit status is 1.

    Args:
        options: what to ask, where to write, and how.
    """
    out = options.out
    request = Request.parse(options.prompt, options.reader().segmenter.names)
    reader = options.reader().pinned()
    masks = MaskFiles(out, request.structures, frozenset(options.outputs if request.task == "segment" else ()))
    settings: dict[str, Any] = {"prompt": request.text(), "model": options.model, "anatomy": options.anatomy}
    settings |= {"weights": reader.digests, "outputs": sorted(masks.outputs)}
    settings |= {"adapter": reader.adapters} if reader.adapters else {}
    columns = (*FILES_OF, "width", "height", "spacing", "structures", *SHOWN)
    where, workers, prune = placed("tokens", options), options.workers, options.prune
    run = bulk_run("tokens", out, columns, settings, files=FILES_OF, workers=workers, prune=prune, where=where)
    found = search_sources(options.inputs, leave=out)
    outcomes = run.run(_Ask(out, reader, request, masks), found.sources, title="tokens")
    if run.portion:
        return portion_done(run, outcomes, strict=True)
    notes = (*note_passed_over(out, found), *note_gone(run, outcomes))
    done = Done((), tuple(outcomes), notes=notes, strict=True)
    ranked = sorted(done.rows, key=lambda item: (item[1]["status"] == UNUSABLE, sorted(_sure(item[1])), item[0]))
    tables = (_write_answers(out, done), *masks.collect(done.paths))
    shown = [(_caption(*item, request), item[1]["overlay"]) for item in ranked]
    sheets = tuple(write_sheets(out, shown, columns=6))
    sections = _sections(out, done, ranked, request)
    write_report(out / "report.html", f"Answers to: {request.text()}", sections)
    written = (out / "report.html", *sheets, *tables, run.manifest)
    tally = {"answered": len(done.rows) - len(done.unusable)}
    return dataclasses.replace(done, written=written, sections=sections, tally=tally)


@dataclass(frozen=True)
class TokenReader:
    """Answers requests with a stored writer, which each process loads when it is first asked.

    Attributes:
        model: of the writer: ``bundled``, a folder or a model id, as for `TokenSegmenter.from_pretrained`.
        anatomy: the anatomy network, likewise.
        adapters: folders of learnt words, as for `TokenSegmenter.with_adapter`.
        digests: of the writer and of the anatomy network that are wanted, see `pinned`; None takes those that lie
            there.
    """

    model: str = "bundled"
    anatomy: str = "bundled"
    adapters: tuple[str, ...] = ()
    digests: tuple[str, str] | None = None

    @property
    def segmenter(self) -> TokenSegmenter:
        """The segmenter.

        Raises:
            ModelError: there is no such model, or another one lies there now.
        """
        return _load(self)

    def pinned(self) -> TokenReader:
        """Returns the same reader, which refuses any other models than those that lie there now."""
        return dataclasses.replace(self, digests=_digests(self.segmenter))


@functools.lru_cache(maxsize=2)
def _load(reader: TokenReader) -> TokenSegmenter:
    from artasyn.segment.tokens.model import TokenSegmenter  # needs torch, which takes seconds to import

    segmenter = TokenSegmenter.from_pretrained(reader.model, anatomy=reader.anatomy)
    for folder in reader.adapters:
        segmenter = segmenter.with_adapter(folder)
    if reader.digests and _digests(segmenter) != reader.digests:
        raise ModelError(
            f"{', '.join((reader.model, reader.anatomy, *reader.adapters))}: one was replaced by another model during "
            "this run; start again with another --out"
        )
    return segmenter


def _digests(segmenter: TokenSegmenter) -> tuple[str, str]:
    """Returns the digests of the writer and of the network that judges."""
    return segmenter.digest, getattr(segmenter.net, "digest", "")


@dataclass(frozen=True)
class _Ask:
    """Asks about one radiograph, and writes the answer."""

    out: Path
    reader: TokenReader
    request: Request
    masks: MaskFiles

    def __call__(self, source: Source) -> list[Row]:
        radiograph = open_radiograph(source.path)
        segmenter = self.reader.segmenter
        reply = segmenter.reply(radiograph.image, self.request, spacing=radiograph.spacing)
        row: Row = {"answers": f"answers/{source.name}.json", "overlay": f"overlays/{source.name}.png"}
        row |= {"height": reply.shape[0], "width": reply.shape[1]}
        row["spacing"] = "" if reply.judged.pixel is None else f"{reply.judged.pixel:.4f}"
        row["structures"] = sum(box is not None for box in reply.boxes) if self.request.structures else ""
        row |= {"prompt": self.request.text(), "answer": reply.text, "writer": segmenter.digest}
        row["confidence"] = SEPARATOR.join(f"{sure:.4f}" for sure in reply.confidence)
        row["box"] = SEPARATOR.join("" if box is None else " ".join(map(str, box)) for box in reply.boxes)
        row["angle"] = f"{reply.judged.angle:.1f}"
        if self.request.task == "segment":
            row |= self._write_masks(source.name, reply)
        writer, anatomy = _digests(segmenter)
        atomic.write_text(self.out / row["answers"], answers_text(reply, {"writer": writer, "anatomy": anatomy}))
        small = np.asarray(thumbnail(radiograph.image, SIDE), np.float32)
        reduced = dataclasses.replace(reply, shape=(small.shape[0], small.shape[1]))
        write_picture(self.out / row["overlay"], self._picture(small, reduced))
        return [row | cautioned(reply.judged)]

    def _write_masks(self, name: str, reply: Reply) -> Row:
        """Writes the masks, and returns the manifest's columns."""
        sure = dict(zip(self.request.structures, reply.confidence, strict=True))
        mask = functools.partial(reply.mask, codec=self.reader.segmenter.codec)
        return self.masks.write(name, reply.shape, reply.judged.angle, mask, sure.__getitem__)

    def _picture(self, small: np.ndarray, reply: Reply) -> Picture:
        """Returns the radiograph with masks or boxes on its own grid."""
        if self.request.task == "view":
            return overlay_named(small, {}, (), reply.text or "not read")
        if self.request.task == "segment":
            found = [reply.mask(structure, self.reader.segmenter.codec) for structure in self.request.structures]
        else:
            found = [_filled(box, reply.shape) for box in reply.boxes]
        names = tuple(map(name_of, self.request.structures)) or (reply.text,)
        return overlay_named(small, dict(zip(names, found, strict=True)), names)


def _filled(box: tuple[int, int, int, int] | None, shape: tuple[int, int]) -> Mask:
    """Returns the pixels of a box; none without a box."""
    mask = np.zeros(shape, bool)
    if box is not None:
        mask[box[0] : box[2], box[1] : box[3]] = True
    return mask


def _sure(row: Row) -> list[float]:
    """Returns the confidence of each structure, or of the answer to a caption or a view."""
    return [float(each) for each in str(row["confidence"]).split(SEPARATOR)]


def _caption(name: str, row: Row, request: Request) -> str:
    if row["status"] == UNUSABLE:
        return f"unusable ({row['warnings']}): {name}"
    return f"{min(_sure(row)):.2f} {name}" if request.structures else f"{min(_sure(row)):.2f} {row['answer']}: {name}"


def _write_answers(out: Path, done: Done) -> Path:
    """Writes the table of the whole collection."""
    known = []
    for outcome in done.outcomes:
        about = {"name": outcome.source.name, "source": shown(str(outcome.source.path))}
        if outcome.reason:
            known.append(({**about, "status": "failed", "reason": outcome.reason}, None))
        judged = ({**about, "status": row["status"], "reason": row["reason"]} for row in outcome.rows)
        known += [(each, out / row["answers"]) for each, row in zip(judged, outcome.rows, strict=True)]
    write_answers(out / "answers.csv", known)
    return out / "answers.csv"


def _sections(out: Path, done: Done, ranked: Sequence[tuple[str, Row]], request: Request) -> tuple[Section, ...]:
    """Returns the sections of the report: what was answered, the least sure and the unusable radiographs."""
    good = [(name, row) for name, row in ranked if row["status"] != UNUSABLE]
    text = (
        f"{len(done.outcomes)} radiographs: {len(good)} read, {len(done.unusable)} unusable, {len(done.failures)} not "
        "readable. The confidence is the probability that the writer gives to what it found, from 0 to 1; it was not "
        "calibrated. All answers are in answers.csv."
    )
    sure: dict[str, list[float]] = {name_of(structure): [] for structure in request.structures}
    for _, row in good:
        for each in read_answers(out / row["answers"]):
            name = each["answer"] if each["structure"] is None else name_of(each["structure"])
            sure.setdefault(name, []).extend([each["confidence"]] if each["answer"] else [])
    sections = [Section("Answers", text, _ANSWERED, [_summary(*item) for item in sure.items()])]
    shown = [(_caption(*item, request), item[1]["overlay"]) for item in good[:LEAST_SURE]]
    said = "The radiographs to look at first: a structure is missing, or the writer is least sure of one."
    sections += first_looks(out, shown, said)
    sections += not_judged(done, "No answer about these radiographs can be relied on.")
    return tuple(sections)


_ANSWERED = ("answer", "radiographs", "median confidence", "5 %", "95 %")
"""The header of the table of answers in the report."""


def _summary(name: str, sure: Sequence[float]) -> list[str]:
    """Returns a line about one structure or one answer."""
    figures = [f"{figure:.3f}" for figure in np.quantile(sure, (0.5, 0.05, 0.95))] if sure else ["-"] * 3
    return [name, str(len(sure)), *figures]
