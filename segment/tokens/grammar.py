"""The grammar of answers: what a language model may write next, so that it can write nothing malformed.

`AnswerGrammar` has the call of a `transformers.LogitsProcessor`. It closes every token but those that the answer
allows: four locations in order, the codes, the name of the structure, the separator, the end. Whatever the logits are,
the answer can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from artasyn.errors import DataError
from artasyn.segment.tokens.answers import CODES, LOCATIONS
from artasyn.segment.tokens.crops import BINS, Bins
from artasyn.shapes import Float, Int64

Ids = tuple[int, ...]
"""Ids of a vocabulary, one after the other."""


@dataclass(frozen=True)
class TokenIds:
    """The ids of the tokens in the vocabulary of a language model.

    Attributes:
        locations: of the 1024 location tokens, in order.
        codes: of the 128 segmentation tokens, in order.
        end: of the end of the text.
        separator: of what stands between two answers.

    Raises:
        DataError: there is another number of tokens, or no separator.
    """

    locations: Ids
    codes: Ids
    end: int
    separator: Ids

    def __post_init__(self) -> None:
        if (len(self.locations), len(self.codes)) != (BINS + 1, CODES) or not self.separator:
            raise DataError(
                f"a vocabulary needs {BINS + 1} locations, {CODES} codes and a separator, not {len(self.locations)}, "
                f"{len(self.codes)} and {len(self.separator)} ids"
            )


@dataclass(frozen=True)
class Expected:
    """What one answer is: a box with codes and a name, or one of several choices.

    Attributes:
        codes: codes after the four locations: 16, 64, or 0 for a box alone.
        name: what follows them.
        choices: texts of which one is the answer; empty for a box.
    """

    codes: int = 0
    name: Ids = ()
    choices: tuple[Ids, ...] = ()


@dataclass(frozen=True)
class Spoken:
    """One answer that was read from ids.

    Attributes:
        box: top, left, bottom and right edge, 0 to 1023; None for an absent structure or a choice.
        codes: of the shape.
        choice: number of the choice; None for a box.
        start: number of ids before the answer.
    """

    box: Bins | None = None
    codes: tuple[int, ...] = ()
    choice: int | None = None
    start: int = 0


def follow(written: Sequence[int], expected: Sequence[Expected], ids: TokenIds) -> tuple[list[Spoken], Ids]:
    """Reads ids that follow the grammar, and returns the finished answers and the ids that may come next.

    Args:
        written: ids so far, each of them allowed.
        expected: the answers.
        ids: of the vocabulary.

    Example:
        >>> ids = TokenIds(tuple(range(1024)), tuple(range(1024, 1152)), 1152, (1153,))
        >>> found, after = follow([5, 6, 7], [Expected()], ids)
        >>> after[0], after[-1], len(after)
        (6, 1023, 1018)
        >>> follow([5, 6, 7, 8, 1152], [Expected()], ids)[0][0].box
        (5, 6, 7, 8)
    """
    rest, found = list(written), list[Spoken]()
    for number, each in enumerate(expected, 1):
        after = (ids.end,) if number == len(expected) else ids.separator
        start = len(written) - len(rest)
        length, spoken, allowed = _read(rest, each, after[0], ids, start)
        if allowed:
            return found, allowed
        found.append(spoken)
        rest = rest[length:]
        if len(rest) < len(after):
            return found, (after[len(rest)],)
        rest = rest[len(after) :]
    return found, (ids.end,)


def _read(rest: Sequence[int], each: Expected, after: int, ids: TokenIds, start: int) -> tuple[int, Spoken, Ids]:
    """Reads one answer: its length, the answer, and what may come next if it is not finished."""
    if each.choices:
        length = next((place for place, token in enumerate(rest) if token == after), len(rest))
        said = tuple(rest[:length])
        if length < len(rest):
            return length, Spoken(choice=each.choices.index(said), start=start), ()
        longer = {choice[length] for choice in each.choices if len(choice) > length and choice[:length] == said}
        return length, Spoken(), tuple(sorted(longer | ({after} if said in each.choices else set())))
    if rest and rest[0] == after:
        return 0, Spoken(start=start), ()
    length = LOCATIONS + each.codes + len(each.name)
    if len(rest) < length:
        return len(rest), Spoken(), _next(rest, each, after, ids)
    top, left, bottom, right = (ids.locations.index(token) for token in rest[:LOCATIONS])
    codes = tuple(ids.codes.index(token) for token in rest[LOCATIONS : LOCATIONS + each.codes])
    return length, Spoken((top, left, bottom, right), codes, start=start), ()


def _next(rest: Sequence[int], each: Expected, after: int, ids: TokenIds) -> Ids:
    """Returns what may come next in a box with codes and a name: a last edge does not come before the first one."""
    count = len(rest)
    if count < LOCATIONS:
        lowest = ids.locations.index(rest[count - 2]) if count >= 2 else 0
        return ids.locations[lowest:] + ((after,) if count == 0 else ())
    if count < LOCATIONS + each.codes:
        return ids.codes
    return (each.name[count - LOCATIONS - each.codes],)


class AnswerGrammar:
    """Closes all tokens that would make an answer malformed; `generate` of transformers takes it as a logits processor.

    Args:
        ids: of the vocabulary.
        rows: the expected answers of each row.
        prompt: number of ids before the answer, the same in all rows.
    """

    def __init__(self, ids: TokenIds, rows: Sequence[Sequence[Expected]], prompt: int = 0) -> None:
        self.ids, self.rows, self.prompt = ids, rows, prompt

    def __call__(
        self, input_ids: Int64[Tensor, "rows tokens"], scores: Float[Tensor, "rows vocabulary"]
    ) -> Float[Tensor, "rows vocabulary"]:
        """Returns the scores with minus infinity for every token that may not come next.

        Values that are not finite become finite where a token may come next, so that one of these tokens is chosen.

        Args:
            input_ids: ids so far, with the prompt.
            scores: of the next token.
        """
        lowest = torch.finfo(scores.dtype).min
        closed = torch.full_like(scores, -torch.inf)
        for row, expected in enumerate(self.rows):
            _, allowed = follow(input_ids[row, self.prompt :].tolist(), expected, self.ids)
            places = torch.tensor(allowed, device=scores.device)
            closed[row, places] = torch.nan_to_num(scores[row, places], nan=lowest, neginf=lowest)
        return closed

    def read(self, written: Int64[Tensor, "rows tokens"]) -> list[list[Spoken]]:
        """Returns the answers of each row, from ids without the prompt."""
        return [follow(row.tolist(), expected, self.ids)[0] for row, expected in zip(written, self.rows, strict=True)]
