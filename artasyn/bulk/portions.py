"""Portions of a run: machines that share a folder of results each take one, and `artasyn merge` joins them."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from artasyn.errors import DataError
from artasyn.files import atomic

PORTIONS = ".portions"
"""The folder, in a folder of results, with a folder for each portion: its lock, settings, journal and manifest."""

COMMAND = "command.json"
"""The file, in the folder of a portion, that holds the command of the run and its options."""


@dataclass(frozen=True, order=True)
class Portion:
    """One of several portions of a run, each with consecutive sources of the collection.

    Attributes:
        number: which portion it is, from 1.
        of: the number of portions.

    Raises:
        DataError: there is no such portion.

    Example:
        >>> [range(10)[Portion(number, 3).share(10)] for number in (1, 2, 3)]
        [range(0, 3), range(3, 6), range(6, 10)]
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise DataError(f"portion {self} does not exist; write --portion I/N with I from 1 to N, such as 1/8")

    @classmethod
    def parse(cls, text: str) -> Portion:
        """Returns the portion that a text such as ``2/8`` names.

        Raises:
            DataError: the text names no portion.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if not found:
            raise DataError(f"portion {text!r} cannot be read; write --portion I/N with I from 1 to N, such as 1/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def folder(self, out: Path) -> Path:
        """Returns the portion's own folder in a folder of results."""
        return out / PORTIONS / f"{self.number}-of-{self.of}"

    def needs(self, file: str) -> bool:
        """Returns whether the portion has to know a file before it begins: its own, and what says that others exist.

        Args:
            file: its path below the folder of results, with ``/``.
        """
        *folders, name = file.split("/")
        own = self.folder(Path()).as_posix() == "/".join(folders)
        return own or not folders or (folders[0] == PORTIONS and name == COMMAND)

    def writes(self, file: str) -> bool:
        """Returns whether the portion may write a file: not what another portion tells of itself.

        Args:
            file: its path below the folder of results, with ``/``.
        """
        folder = file.rpartition("/")[0]
        return folder == self.folder(Path()).as_posix() or not folder.startswith(PORTIONS)

    def share(self, count: int, together: int = 1) -> slice:
        """Returns the places of the portion's sources. All portions have the same number, or one (group) more or less.

        Args:
            count: number of sources of the collection.
            together: size of the groups of sources that stay together, such as those of a shard.
        """
        groups = -(-count // together)
        first, end = ((number * groups // self.of) * together for number in (self.number - 1, self.number))
        return slice(first, min(end, count))

    def others(self) -> list[Portion]:
        """Returns all portions of the run, this one included, in order."""
        return [Portion(number, self.of) for number in range(1, self.of + 1)]


def portions_in(out: Path) -> list[Portion]:
    """Returns the portions that were begun in a folder of results, in order.

    Raises:
        DataError: they are portions of several divisions.
    """
    names = (path.name for path in (out / PORTIONS).glob("*-of-*"))
    found = sorted(
        Portion(int(each[1]), int(each[2])) for name in names if (each := re.fullmatch(r"(\d+)-of-(\d+)", name))
    )
    counts = sorted({portion.of for portion in found})
    if len(counts) > 1:
        raise DataError(f"{out} holds portions of {' and of '.join(map(str, counts))}; delete it and begin again")
    return found


def check_place(out: Path, portion: Portion | None, journal: Path) -> None:
    """Checks that a portion, or a whole run, may write into a folder of results.

    Args:
        out: the folder.
        portion: the portion; None for a whole run.
        journal: of a whole run.

    Raises:
        DataError: a portion would come beside a whole run or beside portions of another number, or a whole run would
            come beside portions.
    """
    there = portions_in(out)
    if portion is None:
        if there:
            listed = ", ".join(map(str, there))
            raise DataError(
                f"{out} holds portions of a run ({listed}); finish them with --portion, then artasyn merge {out}"
            )
    elif there and there[0].of != portion.of:
        of = there[0].of
        raise DataError(
            f"{out} holds portions of {of}, not of {portion.of}; go on with --portion I/{of}, or choose another folder"
        )
    elif not there and journal.exists():  # with portions beside it, the journal is that of a merge that broke off
        raise DataError(
            f"{out} holds the results of a whole run, or of portions that are merged; go on without --portion, or "
            "choose another folder"
        )


def delete_portions(out: Path) -> None:
    """Deletes what only the portions needed, if it is there.

    A crash in the middle leaves all portions, or none that count but a folder that the next run deletes.
    """
    merged = out / atomic.LEFTOVER.replace("*", "merged")
    shutil.rmtree(merged, ignore_errors=True)
    with suppress(FileNotFoundError):
        (out / PORTIONS).rename(merged)
    shutil.rmtree(merged, ignore_errors=True)
