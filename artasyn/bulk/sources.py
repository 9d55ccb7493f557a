"""Collections of radiographs and CTs: finds the files, and claims a folder for the results."""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artasyn.bulk.fingerprints import with_detached
from artasyn.bulk.walk import Walk, walk
from artasyn.errors import DataError, RadiographError
from artasyn.files import atomic
from artasyn.files.ct import MASKS, is_volume_file
from artasyn.files.ct_series import is_slice_file
from artasyn.files.ct_volumes import READABLE
from artasyn.files.radiograph import RADIOGRAPH_SUFFIXES, is_radiograph_file
from artasyn.files.texts import read_text
from artasyn.records import parse_json

SETTINGS = "settings.json"
"""The file, in a folder of results, that holds the settings of the results."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        sources: the files to read, sorted by name.
        passed_over: the files that are not read, each with its kind: a suffix, ``hidden`` and so on.
    """

    sources: list[Source]
    passed_over: tuple[tuple[Path, str], ...] = ()


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
    search = _Search(leave)
    for given in inputs:
        if given.is_dir():
            search.walk(given, _films_below)
        elif given.exists():
            search.add(given, Path(given.name), given.resolve())
        else:
            raise DataError(f"{given}: no such file or folder")
    if not search.found:
        raise DataError(f"no radiographs in {', '.join(map(str, inputs))}; PNG, JPEG, TIFF and DICOM are read")
    return search.result([below for _, below in search.found.values()])


class _Search:
    """What a search has found until now."""

    def __init__(self, leave: Path | None) -> None:
        self.leave = leave if leave and (leave / SETTINGS).exists() else None
        self.found: dict[Path, tuple[Path, Path]] = {}  # real path: path as given, path below the input
        self.faults: dict[Path, str] = {}
        self.inputs: dict[Path, tuple[Path, ...]] = {}
        self.passed_over: dict[Path, str] = {}

    def add(self, path: Path, below: Path, real: Path) -> None:
        """Adds a file or folder to read, unless it was found before."""
        self.found.setdefault(real, (path, below))

    def walk(self, given: Path, pick: Callable[[Path, Walk], Iterable[Path]]) -> None:
        """Walks through a folder and adds what to read.

        Args:
            given: the folder.
            pick: returns the files and folders to read; takes files that are read with them out of the walk.
        """
        walked = walk(given, leave=self.leave)
        if reason := walked.faults.get(Path()):
            raise DataError(f"{given} {reason}")
        for below in pick(given, walked):
            real = walked.files.pop(below) if below in walked.files else (given / below).resolve()
            self.add(given / below, below, real)
        for below, reason in walked.faults.items():
            path = given / below
            if _may_be_read(below):
                self.add(path, below, path.parent.resolve() / path.name)
                self.faults[path] = f"{path} {reason}"
            else:
                walked.passed[below] = "link that leads nowhere"
        kinds = {below: below.suffix.lower() or "without suffix" for below in walked.files}
        self.passed_over |= {given / below: kind for below, kind in {**kinds, **walked.passed}.items()}

    def result(self, named: Sequence[Path]) -> Found:
        """Returns the sources, called after these paths, and what was passed over."""
        sources = [
            Source(path, name, inputs=self.inputs.get(path, ()), fault=self.faults.get(path, ""))
            for (path, _), name in zip(self.found.values(), unique_names(named), strict=True)
        ]
        taken = {source.path for source in sources}
        passed = tuple((path, kind) for path, kind in sorted(self.passed_over.items()) if path not in taken)
        return Found(sorted(sources, key=lambda source: source.name), passed)


def _may_be_read(path: Path) -> bool:
    """Returns whether a path that cannot be looked into may be one to read, by its name."""
    suffix = path.suffix.lower()
    return suffix in {"", ".ima", *RADIOGRAPH_SUFFIXES} or suffix[1:].isdigit() or is_volume_file(path)


def _films_below(folder: Path, walked: Walk) -> list[Path]:
    """Returns the radiograph files below a folder, as relative paths; most are told by their suffix."""
    suffixes = frozenset(RADIOGRAPH_SUFFIXES)
    return [below for below in walked.files if below.suffix.lower() in suffixes or _is_wanted(folder / below)]


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
    """Deletes temporary files in a folder."""
    for place, _, files in os.walk(out):
        for leftover in fnmatch.filter(files, atomic.LEFTOVER):
            Path(place, leftover).unlink(missing_ok=True)


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
    search = _Search(leave)
    for given in inputs:
        if not given.exists():
            raise DataError(f"{given}: no such file or folder")
        if given.is_dir():
            search.walk(given, _cts_below)
            continue
        search.add(given, Path(given.name), given.resolve())
        if not is_volume_file(given):
            search.inputs[given] = (given.parent,)  # the other slices of its series
    if not search.found:
        raise DataError(f"no CT volumes in {', '.join(map(str, inputs))}; {READABLE} and DICOM series are read")
    return search.result([_with_one_suffix(path, below) for path, below in search.found.values()])


def _cts_below(folder: Path, walked: Walk) -> list[Path]:
    """Returns the volume files and the folders of slices below a folder, as relative paths."""
    found: dict[Path, None] = {}
    for below in [*walked.files]:
        if MASKS in below.parts[:-1]:
            walked.passed[below] = "label map"
        elif is_volume_file(below):
            if LABEL_STEM.search(re.sub(r"(\.nii)?\.\w+$", "", below.name, flags=re.IGNORECASE)):
                walked.passed[below] = "label map"
            else:
                found[below] = None
                for data in with_detached([folder / below])[1:]:
                    walked.files.pop(data.relative_to(folder), None) if data.is_relative_to(folder) else None
        elif is_slice_file(folder / below):
            found[below.parent] = None
            del walked.files[below]
    return list(found)


def _with_one_suffix(path: Path, below: Path) -> Path:
    """Returns the path that names a volume; ``.nii.gz`` is one suffix, and dots in a folder's name begin none."""
    if path.is_dir():
        below = below if below.name else Path(path.resolve().name)
        return below.with_name(f"{below.name}.dcm")
    return below.with_suffix("") if below.name.lower().endswith(".nii.gz") else below
