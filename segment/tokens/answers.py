"""The text of masks: location tokens, then segmentation tokens, as PaliGemma writes them.

    answers = answer *(";" answer)
    answer  = "" / 4 location tokens, 16 or 64 segmentation tokens [name]
    location tokens      <loc0000> to <loc1023>: top, left, bottom and right edge of the box
    segmentation tokens  <seg000> to <seg127>: the codes of the shape, row by row

Spaces around an answer and around its name do not matter. An empty answer says that a structure is absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from artasyn.errors import DataError
from artasyn.fields import Count, Within, check_fields, shown
from artasyn.segment.tokens.crops import BINS, Bins

CODES = 128
"""The number of codes in the codebook."""

Grid = Literal[4, 8]
"""Rows and columns of the codes of a mask."""

LENGTHS = (16, 64)
"""The numbers of codes that a mask may have: a grid of 4 x 4, or of 8 x 8."""

LOCATIONS = 4
"""The number of location tokens of a mask."""

SEPARATOR = " ; "
"""Stands between the answers of one text."""

Code = Annotated[int, Within(0, CODES - 1)]
"""The index of a code in the codebook."""

_TOKEN = re.compile(r"<loc(\d{4})>|<seg(\d{3})>", re.ASCII)


@dataclass(frozen=True)
class MaskTokens:
    """A mask as numbers: where it lies, and its shape.

    Attributes:
        box: top, left, bottom and right edge of the mask's box as shares of the film's height and width, 0 to 1023.
        codes: 16 or 64 codes of the shape within the box, from 0 to 127, row by row.

    Raises:
        DataError: a number is out of range, the bottom lies above the top, or the right edge left of the left one.

    Source: PaliGemma (Beyer et al., arXiv 2407.07726).

    Example:
        >>> tokens = MaskTokens((102, 256, 512, 1023), (7,) * 16)
        >>> tokens.text()[:45]
        '<loc0102><loc0256><loc0512><loc1023><seg007><'
        >>> MaskTokens.parse(tokens.text()) == tokens
        True
    """

    box: Bins
    codes: Annotated[tuple[Code, ...], Count(min(LENGTHS), max(LENGTHS))]

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if len(self.codes) not in LENGTHS:
            raise DataError(f"MaskTokens: codes holds {len(self.codes)} items, not {_or(LENGTHS)}")
        top, left, bottom, right = self.box
        if bottom < top or right < left:
            edges = f"bottom {bottom} above top {top}" if bottom < top else f"right {right} before left {left}"
            raise DataError(f"MaskTokens: box has its {edges}; the order is top, left, bottom, right")

    @property
    def grid(self) -> int:
        """Rows and columns of the codes: 4 or 8."""
        return math.isqrt(len(self.codes))

    def text(self) -> str:
        """Returns the tokens as text."""
        return "".join([*(f"<loc{edge:04d}>" for edge in self.box), *(f"<seg{code:03d}>" for code in self.codes)])

    @classmethod
    def parse(cls, text: str) -> MaskTokens:
        """Reads the tokens of one mask.

        Raises:
            DataError: the text is empty, holds anything but the tokens of one mask, or tokens that are out of range.
        """
        (answer, *more) = parse_answers(text)
        if answer.tokens is None or more or answer.name:
            found = f"{1 + len(more)} masks" if more else repr(answer.name) if answer.tokens else "no mask"
            raise DataError(f"{shown(text)} holds {found}, expected the tokens of one mask; use parse_answers")
        return answer.tokens


@dataclass(frozen=True)
class Answer:
    """What a text says of one structure.

    Attributes:
        tokens: its mask; None if the structure is absent.
        name: its name; empty if the text does not tell it, and always for an absent one.

    Raises:
        DataError: the name would not come back from the text, or an absent structure has one.
    """

    tokens: MaskTokens | None
    name: str = ""

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if self.name and self.tokens is None:
            raise DataError(f"Answer: {self.name!r} has no tokens; the answer for an absent structure is empty")
        if self.name != self.name.strip() or set(self.name) & set("<>;"):
            raise DataError(f"Answer: name is {shown(self.name)}; leave out <, >, ; and spaces around it")

    def text(self) -> str:
        """Returns the answer as text; it is empty for an absent structure."""
        return "" if self.tokens is None else f"{self.tokens.text()} {self.name}".rstrip()


def join_answers(answers: Iterable[Answer]) -> str:
    """Returns the text of several answers.

    Example:
        >>> tokens = MaskTokens((0, 0, 9, 9), (1,) * 16)
        >>> join_answers([Answer(None), Answer(tokens, "heart")])[:22]
        ' ; <loc0000><loc0000><'
    """
    return SEPARATOR.join(answer.text() for answer in answers)


def parse_answers(text: str) -> tuple[Answer, ...]:
    """Reads the text of one or several answers.

    Args:
        text: answers with ``;`` between them. An empty text is the answer for one absent structure.

    Raises:
        DataError: the text does not follow the grammar above. The message tells the answer, the character, what was
            found there and what was expected.

    Example:
        >>> text = "<loc0010><loc0020><loc0110><loc0220>" + "<seg005>" * 16
        >>> [answer.name for answer in parse_answers(f"{text} heart ; {text} aorta")]
        ['heart', 'aorta']
        >>> parse_answers("")
        (Answer(tokens=None, name=''),)
        >>> parse_answers("<loc0010><loc0020><seg005>")
        Traceback (most recent call last):
        artasyn.errors.DataError: answer 1, character 19: found '<seg005>', expected location token 3 of 4, ...
    """
    return tuple(_answer(part, number, start) for number, (part, start) in enumerate(_parts(text), 1))


def _parts(text: str) -> Iterator[tuple[str, int]]:
    """Yields the texts between semicolons, and the number of characters before each."""
    start = 0
    for part in text.split(";"):
        yield part, start
        start += len(part) + 1


def _answer(part: str, number: int, start: int) -> Answer:
    """Reads one answer; number and start tell its place in the whole text."""
    if not part.strip():
        return Answer(None)
    place = len(part) - len(part.lstrip())
    box: list[int] = []
    codes: list[int] = []

    def refuse(expected: str) -> DataError:
        return DataError(f"answer {number}, character {start + place + 1}: found {_found(part, place)}, {expected}")

    while (token := _TOKEN.match(part, place)) is not None:
        location, code = token.groups()
        if location is not None and codes:
            raise refuse("expected no location token after a segmentation token; write ; between two answers")
        if (location is None) != (len(box) == LOCATIONS) or len(codes) == max(LENGTHS):
            raise refuse(_expected(len(box), len(codes)))
        if int(location or 0) > BINS or int(code or 0) >= CODES:
            raise refuse(_expected(len(box), len(codes)))
        (codes if location is None else box).append(int(token[1] or token[2]))
        place = token.end()
    name = part[place:].strip()
    if len(box) < LOCATIONS or len(codes) not in LENGTHS or set(name) & set("<>"):
        raise refuse(_expected(len(box), len(codes)))
    try:
        return Answer(MaskTokens((box[0], box[1], box[2], box[3]), tuple(codes)), name)
    except DataError as error:
        raise DataError(f"answer {number}: {error}") from error


def _expected(edges: int, codes: int) -> str:
    """Returns what may follow so many location tokens and segmentation tokens."""
    if edges < LOCATIONS:
        return f"expected location token {edges + 1} of {LOCATIONS}, from <loc0000> to <loc{BINS:04d}>"
    if codes in LENGTHS:
        more = f", or segmentation token {codes + 1} of {LENGTHS[-1]}" if codes < LENGTHS[-1] else ""
        return f"expected ;, a name or the end{more}"
    return f"expected segmentation token {codes + 1} of {_or(LENGTHS)}, from <seg000> to <seg{CODES - 1:03d}>"


def _found(part: str, place: int) -> str:
    """Returns the token or the text at a place, for a message."""
    rest = part[place:].strip()
    token = re.match(r"<[^<>\s]{0,20}>?", rest)
    return shown(token[0] if token else rest[:20]) if rest else "the end of the answer"


def _or(numbers: Iterable[int]) -> str:
    return " or ".join(map(str, numbers))
