"""Records of imagined films: what remakes one film bit for bit from its healthy radiograph."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from artasyn.arrays import Image, generator, identity
from artasyn.errors import SynthesisError
from artasyn.fields import Count, Seed, Within, check_fields
from artasyn.records import read_record, record_text
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis.diffusion.film import FilmGenerator, ImaginedAnomaly
from artasyn.synthesis.diffusion.masks import MaskSampler, PathologyMasks
from artasyn.synthesis.diffusion.record import PromptRecord
from artasyn.synthesis.diffusion.regions import Region
from artasyn.synthesis.places import Found, Place
from artasyn.synthesis.prompts.prompt import MOST, Prompt
from artasyn.version import __version__


@dataclass(frozen=True)
class FilmRecord:
    """Describes how one film was imagined; the record remakes the film bit for bit from the healthy radiograph.

    Attributes:
        identity: of the healthy radiograph, from `artasyn.arrays.identity`.
        seed: the seed that the user gave.
        copy: which film of this radiograph and this prompt it is, from 1.
        attempt: how many films of this copy were rejected before it, see `artasyn.synthesis.diffusion.filters`.
        made: the prompt and the random choices.
        segmenter: the segmenter that found the lungs, and finds them again; None where `places` hold them.
        places: the lungs and the region of each finding, as `artasyn.synthesis.places.Place.to_text` writes them;
            none where the segmenter finds the lungs.
        edges: the width of each region's fade, in heights of the lungs; none where the segmenter finds the lungs.
        millimetres: size of a pixel.
        denoiser: digest of the denoiser that refined the film; empty without one.
        version: the version of artasyn that made the film.
    """

    identity: str
    seed: Seed
    copy: Annotated[int, Within(0, 2**31)]
    attempt: Annotated[int, Within(0, 2**31)]
    made: PromptRecord
    segmenter: PBTSeg | None
    places: Annotated[tuple[str, ...], Count(0, MOST)] = ()
    edges: Annotated[tuple[Annotated[float, Within(0, 1)], ...], Count(0, MOST)] = ()
    millimetres: Annotated[float, Within(1e-4, 1e4)] = 1.0
    denoiser: str = ""
    version: str = __version__

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)
        held = 0 if self.segmenter else len(self.made.drawn)
        if not len(self.places) == len(self.edges) == held:
            raise SynthesisError("FilmRecord: either a segmenter finds the lungs, or there is a place for each finding")

    @classmethod
    def draw(
        cls,
        image: Image,
        found: Found,
        prompt: Prompt,
        *,
        seed: int,
        copy: int,
        attempt: int = 0,
        segmenter: PBTSeg | None = None,
        sampler: MaskSampler = MaskSampler(),
        generate: FilmGenerator = FilmGenerator(),
    ) -> tuple[FilmRecord, ImaginedAnomaly]:
        """Imagines a film, and returns its record with it.

        The random choices depend only on the seed, the radiograph's pixels, the prompt, the copy and the attempt.

        Args:
            image: the healthy radiograph, float32 (h, w) in [0, 1].
            found: its lungs, its anatomy or its projection.
            prompt: what to show.
            seed: the seed that the user gave.
            copy: which film of this radiograph and this prompt it is, from 1.
            attempt: how many films of this copy were rejected before it.
            segmenter: found these lungs; None where they come from elsewhere, and the record holds them.
            sampler: draws the masks.
            generate: makes the film.

        Raises:
            SynthesisError: the radiograph does not show a place that the prompt names, or a finding cannot be seen.
            ImageError: the image is not valid, or the lungs are on another grid.
        """
        name = identity(image)
        said = hashlib.sha256(prompt.text().encode()).hexdigest()[:16]
        masks = sampler(prompt, found, generator(seed, name, said, copy, attempt))
        film = generate(image, masks)
        held = () if segmenter else masks.masks
        record = cls(
            name,
            seed,
            copy,
            attempt,
            film.record,
            segmenter,
            tuple(each.region.place.to_text() for each in held),
            tuple(each.region.edge for each in held),
            masks.millimetres,
            generate.digest,
        )
        return record, film

    def remake(self, image: Image, generate: FilmGenerator = FilmGenerator()) -> ImaginedAnomaly:
        """Makes the film again.

        Args:
            image: the healthy radiograph, float32 (h, w) in [0, 1].
            generate: makes the film; it has the same denoiser as the one that made it first.

        Raises:
            SynthesisError: the image is another radiograph, the denoiser is another one, or the stored lungs are
                damaged.
        """
        if identity(image) != self.identity:
            raise SynthesisError(f"this record is for the radiograph {self.identity}, not for {identity(image)}")
        if generate.digest != self.denoiser:
            made, given = (digest or "none" for digest in (self.denoiser, generate.digest))
            raise SynthesisError(f"this film was made with the denoiser {made}, not with {given}; give the same one")
        if self.segmenter:
            return generate(image, PathologyMasks.of(self.made, self.segmenter(image)))
        shape = image.shape[0], image.shape[1]
        drawn = zip(self.made.drawn, self.places, self.edges, strict=True)
        regions = [Region(Place.from_text(text, shape, each.part, each.convention), edge) for each, text, edge in drawn]
        lungs = regions[0].place.lungs if regions else Lungs.from_labels(np.zeros(shape, np.uint8))
        hidden = regions[0].place.hidden if regions else None
        convention = regions[0].place.convention if regions else "visible"
        place = Place(lungs, lungs.mask, hidden, "lungs", convention)
        return generate(image, PathologyMasks.within(self.made, regions, place, self.millimetres))

    def to_json(self) -> str:
        """Returns this record as JSON; `from_json` reads the JSON back."""
        return record_text(self)

    @classmethod
    def from_json(cls, text: str) -> FilmRecord:
        """Reads a record that `to_json` wrote.

        Raises:
            SynthesisError: the text is no such record.
        """
        return read_record(text, cls, what="the record of an imagined film", error=SynthesisError)
