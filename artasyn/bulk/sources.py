"""Collections of radiographs and CTs: finds the files, and claims a folder for the results."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from artasyn.bulk.fingerprints import with_detached
from artasyn.bulk.walk import Walk, by_parts, walk
from artasyn.errors import DataError, RadiographError
from artasyn.files import atomic
from artasyn.files.ct import MASKS, is_volume_file
from artasyn.files.ct_series import is_slice_file
from artasyn.files.ct_volumes import READABLE
from artasyn.files.radiograph import RADIOGRAPH_SUFFIXES, is_radiograph_file
from artasyn.files.texts import read_text
from artasyn.records import parse_json
from artasyn.remote.urls import url_of

SETTINGS = "settings.json"
"""The file, in a folder of results, that holds the settings of the results."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a collection and the name that all of its results carry.

    Attributes:
        file: the file. It is kept as text, because a path as an object needs four times the memory.
        name: the file's path below the given folder, without suffix, with ``/``; unique in the collection.
        inputs: further files and folders that the results depend on; a result is made anew when one has changed.
        fault: why the file cannot be read, if the search has found that already.
    """

    file: str | os.PathLike[str]
    name: str
    inputs: tuple[Path, ...] = field(default=(), kw_only=True, repr=False, compare=False)
    fault: str = field(default="", kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", os.fspath(self.file))

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.file)

    @property
    def folder(self) -> str:
        """The folder of the file."""
        return os.path.dirname(self.file)


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        sources: the files to read, sorted by name.
        passed_over: the files that are not read, as text, each with its kind: a suffix, ``hidden`` and so on.
    """

    sources: list[Source]
    passed_over: tuple[tuple[str, str], ...] = ()


def find_sources(inputs: Iterable[Path]) -> list[Source]:
    """Finds radiograph files in files and folders, as `search_sources` does, and returns the sources alone."""
    return search_sources(inputs).sources


def search_sources(inputs: Iterable[Path], *, leave: Path | None = None) -> Found:
    """Finds radiograph files in files and folders, searches folders recursively, and sorts by name.

    A file in a folder is taken for its suffix or for its content. A file that is an input itself is taken in any case.
    Hidden files in folders are left out. Links are followed; a file that is found twice counts once. A link that leads
    nowhere and a folder that cannot be listed become sources with a fault. Files whose names would be equal without
    regard to case keep their suffix (``a_png``), and then get a number.

    Args:
        inputs: files and folders.
        leave: a folder for results. It is left out if it holds results already.

    Raises:
        DataError: an input does not exist, or there is nothing to read.
    """
    inputs = list(inputs)
    search = _Search(inputs, leave)
    for given in inputs:
        if given.is_dir():
            search.walk(given, _films_below)
        elif given.exists():
            search.add(str(given), given.name, os.path.realpath(given))
        else:
            raise DataError(f"{given}: no such file or folder")
    if not search.paths:
        raise DataError(f"no radiographs in {', '.join(map(str, inputs))}; PNG, JPEG, TIFF and DICOM are read")
    return search.result(search.below)


def with_names_for(out: Path, sources: list[Source]) -> list[Source]:
    """Returns the sources; those get a fault whose results can have no name in the store that they go to.

    Args:
        out: the folder of results; another folder than that of a URL takes every name.
        sources: the sources.
    """
    if not url_of(out, "results"):
        return sources
    fault = "{} has a name that is no UTF-8, which stores need; rename it"
    return [
        source
        if source.fault or source.name.encode("utf-8", "ignore").decode() == source.name
        else replace(source, fault=fault.format(source.file))
        for source in sources
    ]


class _Search:
    """What a search has found until now, with paths as text."""

    def __init__(self, inputs: Sequence[Path], leave: Path | None) -> None:
        self.leave = leave if leave and (leave / SETTINGS).exists() else None
        self.paths: list[str] = []
        self.below: list[str] = []  # the paths below the inputs
        self.faults: dict[str, str] = {}
        self.inputs: dict[str, tuple[Path, ...]] = {}
        self.passed_over: dict[str, str] = {}
        self._met: set[str] | None = set() if len(inputs) > 1 else None  # a walk meets every file once

    def add(self, path: str, below: str, real: str) -> None:
        """Adds a file or folder to read, unless it was found before, in another input."""
        if self._met is not None:
            if real in self._met:
                return
            self._met.add(real)
        self.paths.append(path)
        self.below.append(below)

    def walk(self, given: Path, pick: Callable[[Path, Walk], Iterable[str]]) -> None:
        """Walks through a folder and adds what to read.

        Args:
            given: the folder.
            pick: returns the files and folders to read; takes files that are read with them out of the walk.
        """
        walked = walk(given, leave=self.leave)
        if reason := walked.faults.get(""):
            raise DataError(f"{given} {reason}")
        start = str(given / "_")[:-1]
        for below in pick(given, walked):
            self.add(start + below if below else str(given), below, walked.real(below))
            walked.files.pop(below, None)
        for below, reason in walked.faults.items():
            path = start + below
            if _may_be_read(below):
                self.add(path, below, str(Path(path).parent.resolve() / Path(path).name))
                self.faults[path] = f"{path} {reason}"
            else:
                walked.passed[below] = "link that leads nowhere"
        kinds = {below: sys.intern(_suffix(below).lower() or "without suffix") for below in walked.files}
        for each in (kinds, walked.passed):
            self.passed_over |= {start + below: kind for below, kind in each.items()}

    def result(self, named: Sequence[str]) -> Found:
        """Returns the sources, called after these paths, and what was passed over."""
        sources = [
            Source(path, name, inputs=self.inputs.get(path, ()), fault=self.faults.get(path, ""))
            for path, name in zip(self.paths, unique_names(named), strict=True)
        ]
        taken = set(self.paths) if self.passed_over else set[str]()
        passed = tuple((path, self.passed_over[path]) for path in by_parts(self.passed_over) if path not in taken)
        return Found(sorted(sources, key=lambda source: source.name), passed)


def _suffix(path: str) -> str:
    """Returns the last suffix of a path with its dot; "" if there is none."""
    suffix = os.path.splitext(path)[1]
    return "" if suffix == "." else suffix


def _may_be_read(path: str) -> bool:
    """Returns whether a path that cannot be looked into may be one to read, by its name."""
    suffix = _suffix(path).lower()
    return suffix in {"", ".ima", *RADIOGRAPH_SUFFIXES} or suffix[1:].isdigit() or is_volume_file(Path(path))


def _films_below(folder: Path, walked: Walk) -> list[str]:
    """Returns the radiograph files below a folder, as relative paths; most are told by their suffix."""
    suffixes = frozenset(RADIOGRAPH_SUFFIXES)
    return [below for below in walked.files if _suffix(below).lower() in suffixes or _is_wanted(folder / below)]


def _is_wanted(path: Path) -> bool:
    """Returns whether to read a file; an unreadable file counts, so that it is reported and not skipped."""
    try:
        return is_radiograph_file(path)
    except RadiographError:
        return True


def unique_names(paths: Sequence[str]) -> list[str]:
    """Returns a unique name for each path: the path without suffix, unless another path has the same one."""
    bare = [_bare(path) for path in paths]
    alike = Counter(folded if (folded := name.casefold()) != name else name for name in bare)  # the text once
    if len(alike) == len(bare):
        return bare
    taken = {name for name, count in alike.items() if count == 1}
    names = []
    for path, chosen in zip(paths, bare, strict=True):
        if alike[chosen.casefold()] > 1:
            kept = "" if _is_number(_suffix(path)) else _suffix(path).replace(".", "_", 1).lower()
            wanted = chosen = f"{chosen}{kept}"
            number = 1
            while chosen.casefold() in taken:
                number += 1
                chosen = f"{wanted}_{number}"
            taken.add(chosen.casefold())
        names.append(chosen)
    return names


def _bare(path: str) -> str:
    """Returns a path without its suffix and with ``/``; 1.2.840 is a UID, and its last number no suffix."""
    suffix = _suffix(path)
    return (path if _is_number(suffix) else path.removesuffix(suffix)).replace(os.sep, "/")


def _is_number(suffix: str) -> bool:
    return suffix[1:].isdigit()


def available_cores() -> int:
    """Returns the number of cores that this process may use, by its affinity and its container's limits."""
    import joblib  # takes half a second to import

    return int(joblib.cpu_count())


def processes(workers: int) -> int:
    """Returns a number of processes; 0 takes every core.

    Raises:
        DataError: the number is negative.
    """
    if workers < 0:
        raise DataError(f"workers is {workers}; give 1 or more, or 0 for every core")
    return workers or available_cores()


def claim(out: Path, settings: Mapping[str, Any], *, sweep: bool = True) -> None:
    """Claims a folder for results of some settings, and deletes temporary files that a killed run left behind.

    The folder keeps its settings in ``settings.json``.

    Args:
        out: the folder; created if it is missing.
        settings: all settings that the results depend on.
        sweep: whether to delete temporary files, which no other process writes now.

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
    if sweep:
        _sweep(out)


@contextmanager
def swept(out: Path, *, sweep: bool = True) -> Iterator[None]:
    """Deletes temporary files if the block raises: workers that are ended then leave some, which fill a full disk.

    Args:
        out: the folder of results.
        sweep: whether to do so, because no other process writes into the folder now.
    """
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the folder may be what the error is about
            if sweep:
                _sweep(out)
        raise


def _sweep(out: Path) -> None:
    """Deletes temporary files and folders in a folder."""
    for place, folders, files in os.walk(out):
        for leftover in fnmatch.filter(files, atomic.LEFTOVER):
            Path(place, leftover).unlink(missing_ok=True)
        for leftover in fnmatch.filter(folders, atomic.LEFTOVER):
            shutil.rmtree(Path(place, leftover), ignore_errors=True)


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return dict(parse_json(read_text(path)))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged; choose another folder or delete {path.parent}") from error


LABEL_STEM = re.compile(r"[._]([a-z]*labels?|seg|segmentation|mask|nodule|wholelung)$", re.IGNORECASE)
"""Endings of the names of label maps, before the suffix, in upper or lower case; `find_cts` lists them."""


def find_cts(inputs: Sequence[Path]) -> list[Source]:
    """Finds CT volumes in files and folders, searches folders recursively, and sorts by name.

    A volume file is a source. A folder with DICOM files directly inside is a source, too. Hidden files in folders are
    left out. Label maps in folders are left out, too. A file counts as a label map if its name ends, before the suffix,
    in ``_labels``, ``_label``, ``_seg``, ``_segmentation``, ``_mask``, ``_nodule`` or ``_wholelung``; letters may stand
    before labels (``_lunglabels``), and a dot in place of the underscore (``.seg.nrrd``). A file in a folder
    ``segmentations`` counts, too. A file that is an input itself is taken with any name. A file that
    is found twice counts once. Names follow the rules of `artasyn.bulk.sources.find_sources`.

    Raises:
        DataError: an input does not exist, or there is nothing to read.
    """
    return search_cts(inputs).sources


def search_cts(inputs: Sequence[Path], *, leave: Path | None = None) -> Found:
    """Finds CT volumes as `find_cts` does, and tells what is not read.

    Args:
        inputs: files and folders.
        leave: a folder for results. It is left out if it holds results already.

    Raises:
        DataError: an input does not exist, or there is nothing to read.
    """
    search = _Search(inputs, leave)
    for given in inputs:
        if not given.exists():
            raise DataError(f"{given}: no such file or folder")
        if given.is_dir():
            search.walk(given, _cts_below)
            continue
        search.add(str(given), given.name, os.path.realpath(given))
        if not is_volume_file(given):
            search.inputs[str(given)] = (given.parent,)  # the other slices of its series
    if not search.paths:
        raise DataError(f"no CT volumes in {', '.join(map(str, inputs))}; {READABLE} and DICOM series are read")
    return search.result([*map(_with_one_suffix, search.paths, search.below)])


def _cts_below(folder: Path, walked: Walk) -> list[str]:
    """Returns the volume files and the folders of slices below a folder, as relative paths."""
    found: dict[str, None] = {}
    for below in [*walked.files]:
        path = folder / below
        if MASKS in Path(below).parts[:-1]:
            walked.passed[below] = "label map"
        elif is_volume_file(path):
            if LABEL_STEM.search(re.sub(r"(\.nii)?\.\w+$", "", path.name, flags=re.IGNORECASE)):
                walked.passed[below] = "label map"
            else:
                found[below] = None
                for data in with_detached([path])[1:]:
                    walked.files.pop(str(data.relative_to(folder)), None) if data.is_relative_to(folder) else None
        elif is_slice_file(path):
            found[os.path.dirname(below)] = None
            del walked.files[below]
    return list(found)


def _with_one_suffix(path: str, below: str) -> str:
    """Returns the path that names a volume; ``.nii.gz`` is one suffix, and dots in a folder's name begin none."""
    if os.path.isdir(path):
        return f"{below or os.path.basename(os.path.realpath(path))}.dcm"
    return below[: -len(".gz")] if below.lower().endswith(".nii.gz") else below
