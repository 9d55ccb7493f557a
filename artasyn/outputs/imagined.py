"""Films imagined from prompts, as `artasyn imagine` writes them: drawn, filtered, drawn again, and encoded."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from artasyn.arrays import Image, Mask, generator
from artasyn.bulk.run import Row, reason_of
from artasyn.bulk.sources import Source
from artasyn.bulk.stores import KINDS, PARTS, Folders, Kinds, Shards, StoredImage
from artasyn.errors import DataError, SynthesisError
from artasyn.files.radiograph import image_png, labels_png, mask_png, needed_bits, read_radiograph
from artasyn.files.texts import read_text
from artasyn.outputs.coco import described, outlined
from artasyn.outputs.whole_film import WholeFilm
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.segmenters import visible_lungs
from artasyn.segment.projection.projection import Projection
from artasyn.synthesis.diffusion import FilmGenerator, FilmRecord, ImaginedAnomaly, MaskSampler, Prompt
from artasyn.synthesis.diffusion.filters import REASONS, Filters, Verdict
from artasyn.synthesis.places import Found

IMAGINED: Kinds = {
    **KINDS,
    "caption": ("captions", ".txt", "txt"),
    "verdict": ("verdicts", ".json", "verdict.json"),
}
"""The files of every imagined film."""


class ImaginedFolders(Folders):
    """Separate files of imagined films; parts are a mask for each finding and, of projected films, their anatomy."""

    kinds: ClassVar[Kinds] = IMAGINED
    columns: ClassVar[tuple[str, ...]] = (*IMAGINED, PARTS)
    files: ClassVar[tuple[str, ...]] = (*IMAGINED, PARTS)


class ImaginedShards(Shards):
    """Tar files of imagined films with their captions, for WebDataset."""

    kinds: ClassVar[Kinds] = IMAGINED
    columns: ClassVar[tuple[str, ...]] = ("shard", *IMAGINED)


COLUMNS = (
    *("normal", "prompt", "caption_text", "width", "height", "bits", "area", "severity", "findings"),
    *("attempts", "filtered", *(f"score_{name}" for name in REASONS), "reasons", "notes"),
)
"""Columns of the manifest, beside those that locate a film."""

KEPT, REJECTED = "kept", "rejected"


@dataclass(frozen=True)
class ImagineTask(Source):
    """One film to imagine: `path` is the normal radiograph, or the record of a film to project first.

    Attributes:
        prompt: what to show; None for a task with a fault.
        said: the prompt as the user wrote it.
        copy: which film of the prompt it is, from 1.
        normal: the source of the normal radiograph; None where a film is projected first.
    """

    prompt: Prompt | None
    said: str
    copy: int
    normal: Source | None = None


@dataclass(frozen=True)
class MakerSetup:
    """Returns what draws the masks of a run and makes its films; each worker loads the networks once.

    Attributes:
        shapes: ``drawn``, ``learnt``, or the folder or the hub's id of a sampler of shapes.
        denoiser: the folder or the hub's id of a denoiser; empty for none.
    """

    shapes: str
    denoiser: str

    def __call__(self) -> tuple[MaskSampler, FilmGenerator]:
        """Returns both.

        Raises:
            ModelError: there is no such model.
            MissingExtra: diffusers is not installed.
        """
        return _makers(self.shapes, self.denoiser)


@functools.lru_cache(maxsize=2)
def _makers(shapes: str, denoiser: str) -> tuple[MaskSampler, FilmGenerator]:
    sampler, generate = MaskSampler(), FilmGenerator()
    if shapes != "drawn":
        from artasyn.synthesis.diffusion.shapes import ShapeSampler  # needs torch

        sampler = MaskSampler(shapes=ShapeSampler.from_pretrained("bundled" if shapes == "learnt" else shapes))
    if denoiser:
        from artasyn.synthesis.diffusion.denoiser import Denoiser  # needs torch

        generate = FilmGenerator(Denoiser.load(denoiser))
    return sampler, generate


@dataclass(frozen=True)
class MakeImagined:
    """Makes the film of one task.

    Attributes:
        seed: the seed that the user gave.
        tries: the most draws of one film.
        bits: depth of the images, 8 or 16; 0 to choose.
        keep_rejected: whether a film that the filters reject in every draw is written too.
        finder: finds the lungs of normal radiographs, or their anatomy.
        segmenter: what the finder finds lungs with, if it can find them again; None keeps the lungs in the records.
        filters: returns the filters; called in the worker, which loads the networks once.
        makers: returns what draws masks and what makes films of them; called in the worker.
    """

    seed: int
    tries: int
    bits: int
    keep_rejected: bool
    finder: Callable[[Image, Source], Lungs | Anatomy]
    segmenter: PBTSeg | None
    filters: Callable[[], Filters]
    makers: Callable[[], tuple[MaskSampler, FilmGenerator]]

    def __call__(self, task: Source) -> list[StoredImage]:
        """Returns the film with its files, or the reasons why there is none.

        Raises:
            DataError: the normal radiograph has no lungs, or no draw shows what the prompt says.
        """
        assert isinstance(task, ImagineTask)
        assert task.prompt is not None
        image, found, parts = self._healthy(task)
        segmenter = self.segmenter if task.normal is not None else None
        sampler, generate = self.makers()
        drawn = None
        failed: list[str] = []
        for attempt in range(self.tries):
            try:
                record, film = FilmRecord.draw(
                    image,
                    found,
                    task.prompt,
                    seed=self.seed,
                    copy=task.copy,
                    attempt=attempt,
                    segmenter=segmenter,
                    sampler=sampler,
                    generate=generate,
                )
            except SynthesisError as error:
                failed.append(reason_of(error))
                continue
            before = found if isinstance(found, Anatomy) else None
            verdict = self.filters()(image, film, before=before)
            drawn = record, film, verdict
            if verdict.ok:
                break
            failed.append("; ".join(verdict.reasons))
        if drawn is None:
            raise DataError(f"{task.path}: {' | '.join(dict.fromkeys(failed))}")
        return [self._stored(task, image, *drawn, parts)]

    def _healthy(self, task: ImagineTask) -> tuple[Image, Found, dict[str, bytes]]:
        """Returns the radiograph without findings, its lungs or anatomy, and the files that tell of a projected one."""
        if task.normal is not None:
            image = read_radiograph(task.normal.path)
            found = self.finder(image, task.normal)
            lungs = visible_lungs(found)
            if not lungs.found:
                raise DataError(f"{task.path}: lungs not found ({lungs.doubts}); no finding can be placed")
            return image, found, {}
        whole = WholeFilm.from_json(read_text(task.path))
        image, projection = whole.film()
        return image, projection, _anatomy_files(image, projection)

    def _stored(
        self,
        task: ImagineTask,
        image: Image,
        record: FilmRecord,
        film: ImaginedAnomaly,
        verdict: Verdict,
        parts: dict[str, bytes],
    ) -> StoredImage:
        """Returns a film with its files and its row; of a rejected film the row alone, unless it is kept."""
        assert task.prompt is not None
        chosen = needed_bits(image) if task.normal is not None else 16  # healthy.png has 16 bits
        bits: Literal[8, 16] = chosen if self.bits == 0 else 16 if self.bits == 16 else 8
        lungs = film.masks.place.lungs
        findings = list(_findings(film))
        told = described(((name, region, severity) for name, region, severity, _ in findings), lungs)
        row: Row = {
            "normal": task.normal.name if task.normal else "",
            "prompt": task.said,
            "caption_text": task.prompt.text(),
            "height": image.shape[0],
            "width": image.shape[1],
            "bits": bits,
            "area": f"{film.mask.sum() / max(1, int(np.count_nonzero(lungs.labels))):.4f}",
            "severity": f"{max((severity for _, _, severity, _ in findings), default=0):.4f}",
            "findings": " ".join(name for name, *_ in findings),
            "attempts": record.attempt + 1,
            "filtered": KEPT if verdict.ok else REJECTED,
            "reasons": "; ".join(verdict.reasons),
            "notes": "; ".join(film.masks.notes),
        }
        row |= {f"score_{name}": f"{score:.4f}" for name, score in verdict.scores.items()}
        if not (verdict.ok or self.keep_rejected):
            return StoredImage({}, row)
        files = {
            "image": image_png(film.image, bits=bits),
            "mask": mask_png(film.mask),
            "record": record.to_json().encode(),
            "annotations": (json.dumps(told) + "\n").encode(),
            "caption": (task.prompt.text() + "\n").encode(),
            "verdict": (json.dumps(dataclasses.asdict(verdict)) + "\n").encode(),
        }
        masks = {f"{place}_{called}.png": mask_png(region) for place, (_, region, _, called) in enumerate(findings, 1)}
        return StoredImage(files, row, masks | parts)


def _findings(film: ImaginedAnomaly) -> list[tuple[str, Mask, float, str]]:
    """Returns the name, the pixels, the severity and the name with the side of each finding."""
    found: list[tuple[str, Mask, float, str]] = []
    for each, region in zip(film.masks.masks, film.regions, strict=True):
        name = each.asked.finding
        side = each.measured.side
        found.append((name, region, each.measured.severity, f"{name}_{side}" if side else name))
    return found


def _anatomy_files(image: Image, projection: Projection) -> dict[str, bytes]:
    """Returns the files that tell of a film that was projected: the healthy film, its lungs and its structures."""
    masks = {name: projection.mask(name) for name in projection.names}
    return {
        "healthy.png": image_png(image, bits=16),
        "lungs.png": labels_png(projection.lungs("visible").labels),
        "anatomy.json": (json.dumps(outlined(masks)) + "\n").encode(),
    }


def chosen_normal(seed: int, prompt: Prompt, copy: int, count: int) -> int:
    """Draws which of the normal radiographs a film is made on; more prompts or copies change no other film.

    Args:
        seed: the seed that the user gave.
        prompt: the prompt.
        copy: which film of the prompt it is.
        count: number of the radiographs.
    """
    return int(generator(seed, prompt_digest(prompt), copy).integers(count))


def prompt_digest(prompt: Prompt) -> str:
    """Returns eight hexadecimal digits that tell prompts apart."""
    return text_digest(prompt.text())


def text_digest(text: str) -> str:
    """Returns eight hexadecimal digits that tell texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
