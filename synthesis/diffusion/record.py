"""Records of imagined films: the random choices of a prompt, and all that remakes one film bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from artasyn.errors import SynthesisError
from artasyn.fields import Count, Seed, Within, check_fields
from artasyn.records import read_record, record_text
from artasyn.segment import PBTSeg
from artasyn.synthesis.diffusion.prompt import MOST, Prompt
from artasyn.synthesis.lesions import OpacityRecord
from artasyn.version import __version__


@dataclass(frozen=True)
class PromptRecord:
    """Holds the random choices of a prompt's findings as plain numbers; they fit any radiograph that shows the places.

    Attributes:
        prompt: the prompt.
        drawn: the lesions of each of its findings, in order.
    """

    prompt: Prompt
    drawn: Annotated[tuple[OpacityRecord, ...], Count(0, MOST)]

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)
        if len(self.drawn) != len(self.prompt.findings):
            raise SynthesisError(
                f"PromptRecord: lesions of {len(self.drawn)} findings for a prompt of {len(self.prompt.findings)}"
            )
        for asked, record in zip(self.prompt.findings, self.drawn, strict=True):
            if not record.lesions or set(record.findings) != {asked.finding}:
                raise SynthesisError(f"PromptRecord: {record.findings or 'no lesions'} for {asked.words()!r}")

    def to_json(self) -> str:
        """Returns this record as JSON; `from_json` reads the JSON back."""
        return record_text(self)

    @classmethod
    def from_json(cls, text: str) -> PromptRecord:
        """Reads a record that `to_json` wrote.

        Raises:
            SynthesisError: the text is no such record.
        """
        return read_record(text, cls, what="the record of a prompt", error=SynthesisError)


@dataclass(frozen=True)
class FilmRecord:
    """Describes how one film was imagined; the record remakes the film bit for bit from the healthy radiograph.

    Attributes:
        identity: of the healthy radiograph, from `artasyn.arrays.identity`.
        seed: the seed that the user gave.
        copy: which film of this radiograph and this prompt it is, from 1.
        attempt: how many films of this copy were rejected before, see `artasyn.synthesis.diffusion.filters`.
        made: the prompt and the random choices.
        segmenter: the segmenter that found the lungs, and finds them again; None where `places` hold them.
        places: the lungs and the region of each finding, as `artasyn.synthesis.places.Place.to_text` writes them;
            none where the segmenter finds the lungs.
        edges: the width of each region's fade, in heights of the lungs; none where the segmenter finds the lungs.
        millimetres: size of a pixel.
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
    version: str = __version__

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)
        held = 0 if self.segmenter else len(self.made.drawn)
        if not len(self.places) == len(self.edges) == held:
            raise SynthesisError("FilmRecord: either a segmenter finds the lungs, or there is a place for each finding")

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
