"""Walks through folders: every real file once, links followed, and what is not read is named."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

TWICE = "link to what is read already"


@dataclass
class Walk:
    """The files below a folder, all as text: a path as an object needs four times the memory.

    Attributes:
        root: the real path of the folder.
        files: path below the folder to real path, sorted by the parts of the path. The real path is "" for a file that
            no link leads to. Files come before links to files.
        faults: links that lead nowhere and folders that cannot be listed, by path below the folder, with the reason.
        passed: what is not read, by path below the folder, with the kind of it.
    """

    root: str
    files: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)

    def real(self, below: str) -> str:
        """Returns the real path of a file or a folder."""
        path = os.path.join(self.root, below)
        return self.files[below] or path if below in self.files else os.path.realpath(path)


def walk(folder: Path, *, leave: Path | None = None) -> Walk:
    """Walks through a folder and its subfolders.

    Linked folders are walked after all others. A folder or file that was met before is not taken again, so links that
    lead in a circle end. Hidden files and folders are passed over.

    Args:
        folder: the folder.
        leave: a folder that is left out without a word, such as the results of an earlier run.
    """
    found, links = Walk(os.path.realpath(folder)), dict[str, str]()
    left = os.path.realpath(leave) if leave else None
    seen: set[str] = set()
    plain, linked = deque([("", found.root)]), deque[tuple[str, str]]()
    while plain or linked:
        below, real = (plain or linked).popleft()
        if real in seen:
            found.passed[below] = TWICE
            continue
        seen.add(real)
        try:
            with os.scandir(real) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            found.faults[below] = f"cannot be listed ({error.strerror}); check its permissions"
            continue
        direct = os.path.join(real, "") == os.path.join(found.root, below, "")
        for entry in entries:
            path = os.path.join(below, entry.name)
            there = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
            if there == left:
                continue
            if entry.name.startswith("."):
                found.passed[path] = "hidden"
            elif entry.is_symlink() and not os.path.exists(there):
                found.faults[path] = f"is a link to {there}, which does not exist; mend or delete the link"
            elif entry.is_dir():
                (linked if entry.is_symlink() else plain).append((path, there))
            elif not entry.is_file():
                found.passed[path] = "no regular file"
            elif entry.is_symlink():
                links[path] = there
            else:
                found.files[path] = "" if direct else there
    _once(found, links)
    return found


def _once(found: Walk, links: dict[str, str]) -> None:
    """Sorts the files, and adds those links that lead to files that are not there yet."""
    found.files = _sorted(found.files)
    reached = {real for real in found.files.values() if real}
    for path, there in _sorted(links).items():
        if there in reached or found.files.get(there.removeprefix(os.path.join(found.root, ""))) == "":
            found.passed[path] = TWICE
        else:
            reached.add(there)
            found.files[path] = there
    if links:
        found.files = _sorted(found.files)


def _sorted(files: dict[str, str]) -> dict[str, str]:
    return {path: files[path] for path in by_parts(files)}


def by_parts(paths: Iterable[str]) -> list[str]:
    """Returns paths in the order of their parts: a folder's files come before those of ``folder 2``."""
    return sorted(paths, key=lambda path: path.replace(os.sep, "\0"))
