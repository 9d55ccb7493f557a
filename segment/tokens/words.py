"""What may be asked of a writer of masks: tasks, structures by their names and synonyms, and places.

    request = "detect" words / "segment" words / "caption" location tokens / "view"
    words   = word *(";" word)

The words are the closed vocabulary of ``words.csv``: a name for each structure of `artasyn.segment.structures.ANATOMY`,
groups of structures, and synonyms of both. Capitals, hyphens and underscores do not matter.
"""

from __future__ import annotations

import csv
import difflib
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, get_args

from artasyn.errors import DataError
from artasyn.fields import Count, check_fields, shown
from artasyn.segment.structures import GROUPS, canonical
from artasyn.segment.tokens.answers import LOCATIONS
from artasyn.segment.tokens.crops import BINS, Bins

TABLE = Path(__file__).with_name("words.csv")
"""The vocabulary: structures, name, and synonyms with ``|`` between them."""

Task = Literal["detect", "segment", "caption", "view"]
"""What is asked for: boxes, masks, the structure in a box, or the view of the whole film."""

VIEWS = ("view", "which view is this", "which view")
"""Texts that ask for the view."""

MOST = 512
"""Most structures that one request may ask for."""

LONGEST = 64
"""Most characters of a new word."""

_NEW_WORD = re.compile(r"[a-z0-9]+( [a-z0-9]+)*")
_LOCATION = re.compile(r"<loc(\d{4})>", re.ASCII)


@functools.lru_cache(maxsize=1)
def vocabulary() -> dict[str, tuple[str, ...]]:
    """Returns the structures that each name and each synonym stands for; the names come before the synonyms."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {_plain(row["name"]): tuple(row["structures"].split()) for row in rows}
    for row in rows:
        for synonym in filter(None, row["synonyms"].split("|")):
            found.setdefault(_plain(synonym), tuple(row["structures"].split()))
    return found


@functools.lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [(row["structures"].split(), row["name"]) for row in csv.DictReader(file)]
    return {structures[0]: name for structures, name in rows if len(structures) == 1}


def name_of(structure: str) -> str:
    """Returns the name by which an answer calls a structure; a structure without a row keeps its own.

    Example:
        >>> name_of("lung_upper_lobe_right"), name_of("rib_left_3")
        ('right upper lobe', 'left third rib')
    """
    return _names().get(structure, structure.replace("_", " "))


def structures_of(word: str, known: Sequence[str] | None = None) -> tuple[str, ...]:
    """Returns the structures that a word stands for, in the order of the table.

    Args:
        word: a name, a synonym, or the structure itself, such as ``RUL``, ``clavicles`` or ``lung_right``.
        known: structures that a model can write; None for any.

    Raises:
        DataError: the word is not in the vocabulary, or the model knows none of its structures. The message names the
            nearest words.

    Example:
        >>> structures_of("RUL"), structures_of("clavicles")
        (('lung_upper_lobe_right',), ('clavicula_right', 'clavicula_left'))
        >>> structures_of("right lunge")
        Traceback (most recent call last):
        artasyn.errors.DataError: no structure 'right lunge'; the nearest are: right lung, ...
    """
    plain = _plain(word)
    own = {name.casefold(): name for name in known or ()}
    exact = own.get(plain.replace(" ", "_")) or own.get(word.strip().casefold())
    found = (exact,) if exact else vocabulary().get(plain) or vocabulary().get(_plain(canonical(word)))
    spelt = canonical(word)
    if found is None and spelt in _names():
        found = (spelt,)
    if found is None:
        raise DataError(f"no structure {shown(word.strip())}; {_nearest(plain, known)}")
    able = tuple(name for name in found if known is None or name in known)
    if not able:
        raise DataError(f"this model does not write {shown(word.strip())}; {_nearest(plain, known)}")
    return able


def _nearest(plain: str, known: Sequence[str] | None) -> str:
    """Returns a sentence with the words that are spelt most alike, of those that a model knows."""
    words = [word for word, of in vocabulary().items() if known is None or set(of) & set(known)]
    words += [name for name in known or () if name not in _names()]
    near = difflib.get_close_matches(plain, words, n=4, cutoff=0.4) or words[:4]
    return f"the nearest are: {', '.join(near)}" if near else "it knows no structure"


def _plain(word: str) -> str:
    return re.sub(r"^the ", "", " ".join(re.split(r"[\s_-]+", word.strip().casefold())).strip())


def structure_named(word: str) -> str:
    """Returns the structure that a new word names.

    Args:
        word: letters and digits, with single spaces, hyphens or underscores between them, such as ``lung opacity``.

    Raises:
        DataError: the word is malformed, it is in the vocabulary already, or it would count as a part of a group, such
            as ``heart lesion`` of the heart.

    Example:
        >>> structure_named("Lung opacity")
        'lung_opacity'
    """
    plain = _plain(word)
    if not _NEW_WORD.fullmatch(plain) or len(plain) > LONGEST:
        raise DataError(
            f"{shown(word)} cannot be a new word: it takes letters and digits with spaces between them, at most "
            f"{LONGEST} of all"
        )
    if plain in vocabulary() or canonical(plain) in _names():
        raise DataError(f"{shown(word)} is in the vocabulary already ({structures_of(word)[0]}); choose another")
    name = plain.replace(" ", "_")
    if taking := [group for group, patterns in GROUPS.items() if any(fnmatchcase(name, each) for each in patterns)]:
        raise DataError(f"{shown(word)} would count as a part of {taking[0]}; choose a word that begins otherwise")
    return name


@dataclass(frozen=True)
class Request:
    """A task and what it is about.

    Attributes:
        task: what is asked for.
        structures: structures whose boxes or masks are asked for, each once.
        box: place whose structure is asked for: top, left, bottom and right edge, 0 to 1023; None for other tasks.

    Raises:
        DataError: the structures or the box do not belong to the task, or the box has its edges in another order.

    Example:
        >>> Request.parse("segment heart ; RUL").structures
        ('heart', 'lung_upper_lobe_right')
        >>> Request.parse("caption <loc0100><loc0200><loc0400><loc0450>").box
        (100, 200, 400, 450)
    """

    task: Task
    structures: Annotated[tuple[str, ...], Count(0, MOST)] = ()
    box: Bins | None = None

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if bool(self.structures) != (self.task in ("detect", "segment")) or (self.box is None) == (
            self.task == "caption"
        ):
            raise DataError(f"Request: {self.task} with {len(self.structures)} structures and box {self.box}")
        if len(set(self.structures)) < len(self.structures):
            raise DataError(f"Request: {', '.join(self.structures)} holds a structure twice; ask for each once")
        if self.box is not None and (self.box[2] < self.box[0] or self.box[3] < self.box[1]):
            raise DataError(f"Request: box is {self.box}; the order is top, left, bottom, right")

    def check_known(self, names: Sequence[str]) -> None:
        """Refuses structures that a model cannot write.

        Args:
            names: structures that it can write.

        Raises:
            DataError: the request asks for others.
        """
        if unknown := [name for name in self.structures if name not in names]:
            raise DataError(f"this model cannot write {', '.join(unknown)}; `names` holds what it can")

    def text(self) -> str:
        """Returns the request as text, with the names of the structures."""
        if self.box is not None:
            return f"caption {''.join(f'<loc{edge:04d}>' for edge in self.box)}"
        return f"{self.task} {' ; '.join(map(name_of, self.structures))}".strip()

    @classmethod
    def parse(cls, text: str, known: Sequence[str] | None = None) -> Request:
        """Reads a request.

        Args:
            text: such as ``segment heart ; right lung``.
            known: structures that a model can write; None for any.

        Raises:
            DataError: there is no such task, a structure is missing or unknown, or a place is malformed. The message
                says what was found and what is allowed.
        """
        plain = " ".join(text.split())
        if plain.casefold().rstrip("?").strip() in VIEWS:
            return cls("view")
        task, _, rest = plain.partition(" ")
        task = task.casefold()
        if task == "caption":
            edges = [int(edge) for edge in _LOCATION.findall(rest)]
            if _LOCATION.sub("", rest).strip() or len(edges) != LOCATIONS or max(edges) > BINS:
                raise DataError(
                    f"{shown(text)}: caption takes four location tokens, from <loc0000> to <loc{BINS:04d}>: top, left, "
                    "bottom and right edge"
                )
            return cls("caption", box=(edges[0], edges[1], edges[2], edges[3]))
        if task == "view":
            raise DataError(f"{shown(text)}: view takes nothing after it")
        if task not in ("detect", "segment"):
            listed = ", ".join(get_args(Task))
            raise DataError(f"{shown(text)}: no task {shown(task)}; begin with one of {listed}")
        if not all(word.strip() for word in rest.split(";")):
            raise DataError(f"{shown(text)}: a structure is missing; write {task} heart ; right lung")
        found = [name for word in rest.split(";") for name in structures_of(word, known)]
        return cls("detect" if task == "detect" else "segment", tuple(dict.fromkeys(found)))
