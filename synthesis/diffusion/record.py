"""The random choices that fulfil a prompt, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from artasyn.errors import SynthesisError
from artasyn.fields import Count, check_fields
from artasyn.records import read_record, record_text
from artasyn.synthesis.lesions import OpacityRecord
from artasyn.synthesis.prompts.prompt import MOST, Prompt


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
