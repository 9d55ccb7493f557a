"""Walks through folders: every real file once, links followed, and what is not read is named."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

TWICE = "link to what is read already"


@dataclass
class Walk:
    """The files below a folder.

    Attributes:
        files: path below the folder to real path, sorted by path. Files come before links to files.
        faults: links that lead nowhere and folders that cannot be listed, by path below the folder, with the reason.
        passed: what is not read, by path below the folder, with the kind of it.
    """

    files: dict[Path, Path] = field(default_factory=dict)
    faults: dict[Path, str] = field(default_factory=dict)
    passed: dict[Path, str] = field(default_factory=dict)


def walk(folder: Path, *, leave: Path | None = None) -> Walk:
    """Walks through a folder and its subfolders.

    Linked folders are walked after all others. A folder or file that was met before is not taken again, so links that
    lead in a circle end. Hidden files and folders are passed over.

    Args:
        folder: the folder.
        leave: a folder that is left out without a word, such as the results of an earlier run.
    """
    found, links = Walk(), dict[Path, Path]()
    left = leave.resolve() if leave else None
    seen: set[Path] = set()
    plain, linked = deque([(Path(), folder.resolve())]), deque[tuple[Path, Path]]()
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
        for entry in entries:
            path, there = below / entry.name, real / entry.name
            if entry.is_symlink():
                there = Path(os.path.realpath(there))
            if there == left:
                continue
            if entry.name.startswith("."):
                found.passed[path] = "hidden"
            elif entry.is_symlink() and not there.exists():
                found.faults[path] = f"is a link to {there}, which does not exist; mend or delete the link"
            elif entry.is_dir():
                (linked if entry.is_symlink() else plain).append((path, there))
            elif not entry.is_file():
                found.passed[path] = "no regular file"
            else:
                (links if entry.is_symlink() else found.files)[path] = there
    _once(found, links)
    return found


def _once(found: Walk, links: dict[Path, Path]) -> None:
    """Sorts the files, and adds those links that lead to files that are not there yet."""
    real = set[Path]()
    for path, there in [*_sorted(found.files), *_sorted(links)]:
        if there in real:
            found.passed[path] = TWICE
            found.files.pop(path, None)
        else:
            real.add(there)
            found.files[path] = there
    found.files = dict(_sorted(found.files))


def _sorted(files: dict[Path, Path]) -> list[tuple[Path, Path]]:
    return sorted(files.items(), key=lambda item: item[0].parts)
