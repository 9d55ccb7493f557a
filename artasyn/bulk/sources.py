"""Collections of radiographs and CTs: finds the files, and claims a folder for the results."""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib

from artasyn.errors import DataError, RadiographError
from artasyn.files import atomic
from artasyn.files.ct import MASKS, is_volume_file
from artasyn.files.ct_series import is_slice_file
from artasyn.files.ct_volumes import (
    READABLE,
)
from artasyn.files.radiograph import is_radiograph_file

SETTINGS = "settings.json"
"""The file, in a folder of results, that holds the settings of the results."""


@dataclass(frozen=True)
class Source:
    """A file of a collection and the name that all of its results carry.

    Attributes:
        path: the file.
        name: the file's path below the given folder, without suffix, with ``/``; unique in the collection.
        inputs: further files and folders that the results depend on; a result is made anew when one has changed.
        fault: why the file cannot be read, if the search has found that already.
    """

    path: Path
    name: str
    inputs: tuple[Path, ...] = field(default=(), kw_only=True, repr=False, compare=False)
    fault: str = field(default="", kw_only=True, repr=False, compare=False)


def find_sources(inputs: Iterable[Path]) -> list[Source]:
    """Finds radiograph files in files and folders, searches folders recursively, and sorts by name.

    A file that is an input itself is taken with any suffix. Hidden files in folders are left out. Files whose names
    would be equal without regard to case keep their suffix (``a_png``), and then get a number. A file that is found
    twice counts once.

    Raises:
        DataError: an input does not exist, or there is nothing to read.
    """
    inputs = list(inputs)
    found: dict[Path, tuple[Path, Path]] = {}  # resolved path: path as given, path below the input
    for given in inputs:
        if given.is_dir():
            really = given.resolve()
            for below in visible(given):
                path = given / below
                if _is_wanted(path):
                    found.setdefault(path if given == really else really / below, (path, below))
        elif given.exists():
            found.setdefault(given.parent.resolve() / given.name, (given, Path(given.name)))
        else:
            raise DataError(f"{given}: no such file or folder")
    if not found:
        raise DataError(f"no radiographs in {', '.join(map(str, inputs))}; PNG, JPEG, TIFF and DICOM are read")
    names = unique_names([below for _, below in found.values()])
    sources = [Source(path, name) for (path, _), name in zip(found.values(), names, strict=True)]
    return sorted(sources, key=lambda source: source.name)


def visible(folder: Path) -> list[Path]:
    """Returns the files below a folder, as sorted relative paths, without hidden files and hidden folders."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(folder)
        found += [below / name for name in files if not name.startswith(".")]
    return sorted(found, key=lambda path: path.parts)


def _is_wanted(path: Path) -> bool:
    """Returns whether to read a file; an unreadable file counts, so that it is reported and not skipped."""
    try:
        return is_radiograph_file(path)
    except RadiographError:
        return True


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Returns a unique name for each path: the path without suffix, unless another path has the same one."""
    bare = [path if path.suffix[1:].isdigit() else path.with_suffix("") for path in paths]  # 1.2.840 is a UID
    alike = Counter(name.as_posix().casefold() for name in bare)
    taken = {name for name, count in alike.items() if count == 1}
    names = []
    for path, name in zip(paths, bare, strict=True):
        chosen = name.as_posix()
        if alike[chosen.casefold()] > 1:
            kept = path.suffix.replace(".", "_", 1).lower() if name != path else ""
            wanted = chosen = f"{chosen}{kept}"
            number = 1
            while chosen.casefold() in taken:
                number += 1
                chosen = f"{wanted}_{number}"
            taken.add(chosen.casefold())
        names.append(chosen)
    return names


def available_cores() -> int:
    """Returns the number of cores that this process may use, by its affinity and its container's limits."""
    return int(joblib.cpu_count())


def claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Claims a folder for results of some settings, and deletes temporary files that a killed run left behind.

    The folder keeps its settings in ``settings.json``.

    Args:
        out: the folder; created if it is missing.
        settings: all settings that the results depend on.

    Raises:
        DataError: the folder holds results of other settings, or the path is a file.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; name a folder for the results")
    path = out / SETTINGS
    wanted = json.loads(json.dumps(dict(settings)))
    if path.exists():
        found = _read_settings(path)
        names = sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
        if names:
            changed = "; ".join(f"{n}: {_brief(found.get(n))} there, {_brief(wanted.get(n))} now" for n in names)
            raise DataError(
                f"{out} holds results of other settings ({changed}); choose another folder or delete that one"
            )
    else:
        atomic.write_text(path, json.dumps(wanted, indent=2, sort_keys=True) + "\n")
    for place, _, files in os.walk(out):
        for leftover in fnmatch.filter(files, atomic.LEFTOVER):
            Path(place, leftover).unlink(missing_ok=True)


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged; choose another folder or delete {path.parent}") from error


LABEL_STEM = re.compile(r"[._]([a-z]*labels?|seg|segmentation|mask|nodule|wholelung)$", re.IGNORECASE)
"""Endings of the names of label maps, before the suffix."""


def find_cts(inputs: Sequence[Path]) -> list[Source]:
    """Finds CT volumes in files and folders, searches folders recursively, and sorts by name.

    A volume file is a source. A folder with DICOM files directly inside is a source, too. Hidden files in folders are
    left out. Label maps in folders are left out, too. A file counts as a label map if its name ends, before the suffix,
    in ``_labels``, ``_label``, ``_seg``, ``_segmentation``, ``_mask``, ``_nodule``, ``_lunglabels`` or ``_wholelung``,
    or the file lies in a folder ``segmentations``. A file that is an input itself is taken with any name. A file that
    is found twice counts once. Names follow the rules of `artasyn.bulk.sources.find_sources`.

    Raises:
        DataError: an input does not exist, or there is nothing to read.
    """
    found: dict[Path, tuple[Path, Path]] = {}  # resolved path: path as given, path below the input
    for given in inputs:
        if not given.exists():
            raise DataError(f"{given}: no such file or folder")
        for below in _cts_below(given) if given.is_dir() else [Path()]:
            path = given / below
            found.setdefault(path.resolve(), (path, below if below.name else Path(path.resolve().name)))
    if not found:
        raise DataError(f"no CT volumes in {', '.join(map(str, inputs))}; {READABLE} and DICOM series are read")
    names = unique_names([_with_one_suffix(path, below) for path, below in found.values()])
    sources = [Source(path, name) for (path, _), name in zip(found.values(), names, strict=True)]
    return sorted(sources, key=lambda source: source.name)


def _cts_below(folder: Path) -> list[Path]:
    """Returns the volume files and the folders of slices below a folder, as relative paths."""
    found: dict[Path, None] = {}
    for below in visible(folder):
        if MASKS in below.parts[:-1]:
            continue
        if is_volume_file(below):
            if not LABEL_STEM.search(re.sub(r"(\.nii)?\.\w+$", "", below.name, flags=re.IGNORECASE)):
                found[below] = None
        elif below.parent not in found and is_slice_file(folder / below):
            found[below.parent] = None
    return list(found)


def _with_one_suffix(path: Path, below: Path) -> Path:
    """Returns the path that names a volume; ``.nii.gz`` is one suffix, and dots in a folder's name begin none."""
    if path.is_dir():
        return below.with_name(f"{below.name}.dcm")
    return below.with_suffix("") if below.name.lower().endswith(".nii.gz") else below
