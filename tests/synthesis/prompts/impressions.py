"""Impressions in the style of reports, each with its meaning as a person wrote it down; the texts are our own."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artasyn.errors import PromptError
from artasyn.synthesis.diffusion import Prompt, PromptAbsence, PromptFinding

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Impression:
    """A text with its meaning.

    ``refused`` is the finding that cannot be drawn, where the text asks for one, or ``choice`` where the text leaves
    open which finding is meant.
    """

    text: str
    findings: frozenset[PromptFinding]
    absent: frozenset[PromptAbsence]
    unused: tuple[str, ...]
    refused: str = ""

    def is_read(self) -> bool:
        """Whether the text is read exactly."""
        try:
            prompt = Prompt.parse(self.text)
        except PromptError as error:
            if self.refused == "choice":
                return "leaves open which is meant" in str(error)
            return bool(self.refused) and f"cannot draw {self.refused.replace('_', ' ')}" in str(error)
        whole = len(prompt.findings) == len(self.findings) and len(prompt.absent) == len(self.absent)
        same = set(prompt.findings) == self.findings and set(prompt.absent) == self.absent
        return not self.refused and whole and same and prompt.unused == self.unused


def impressions(name: str) -> list[Impression]:
    """The impressions of a table. Columns: the text, its meaning, the words that a prompt cannot use."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return [_impression(row) for row in csv.DictReader(file, delimiter="|")]


def _impression(row: dict[str, str]) -> Impression:
    unused = tuple(filter(None, row["unused"].split(", ")))
    found: list[PromptFinding] = []
    absent: list[PromptAbsence] = []
    if row["reading"].startswith("error "):
        return Impression(row["impression"], frozenset(), frozenset(), (), row["reading"].removeprefix("error "))
    for entry in row["reading"].split("; "):
        words = entry.split()
        denied = words[0] == "no"
        values: dict[str, Any] = dict(word.split("=") for word in words[1 + denied :])
        for name, kind in (("number", int), ("millimetres", float), ("certain", "yes".__eq__), ("elsewhere", bool)):
            if name in values:
                values[name] = kind(values[name])
        side = values.pop("side", None)
        for each in ("right", "left") if side == "both" else (side,):
            if denied:
                absent.append(PromptAbsence(words[1], side=each, **values))
            else:
                found.append(PromptFinding(words[0], side=each, **values))  # type: ignore[arg-type]
    return Impression(row["impression"], frozenset(found), frozenset(absent), unused)
