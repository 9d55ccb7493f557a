"""Finds the labels of a CT, and reads the CT with its labels."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artasyn.bulk.run import reason_of
from artasyn.bulk.sources import Found, Source, search_cts
from artasyn.errors import ArtasynError, DataError
from artasyn.files.ct import MASKS, read_names
from artasyn.files.ct_volumes import VOLUME_SUFFIXES
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.quality import Quality, check_volume
from artasyn.segment.structures import canonical, find_members

ENDINGS = ("", "_labels", "_label", "_seg", ".seg", "_segmentation")
"""Endings that a label map's name may add to the name of its CT."""

SUFFIXES = tuple(sorted(VOLUME_SUFFIXES, key=len, reverse=True))


def called(mask: Path) -> str:
    """Returns the name of the structure that a mask file holds, from the name of the file.

    Example:
        >>> called(Path("masks/Nodule 1.nii.gz"))
        'nodule_1'
    """
    return canonical(mask.name.split(".")[0])


@dataclass(frozen=True)
class Patients:
    """Reads CTs with their labels, and checks their quality.

    Attributes:
        labels: the label map, or a folder in which `labels_of` searches; None to search beside the CT.
        names: a file with the names of the labels in the label maps.
        masks: further masks of the only CT; each is one structure, named after its file.
        alone: whether there is only one CT.
        resample: whether labels on another grid are resampled to the CT.
        run: identifies one reader; the reader's copies in the worker processes of a run share this value.
    """

    labels: Path | None = None
    names: Path | None = None
    masks: tuple[Path, ...] = ()
    alone: bool = False
    resample: bool = False
    run: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False, compare=False)

    def read(self, ct: Source) -> tuple[Volume, Quality]:
        """Reads a CT with its labels, and checks their quality.

        Every process caches the last CT of this reader. The CT is read again when the modification time of one of its
        files has changed.

        Args:
            ct: the CT.

        Raises:
            DataError: one of the files is missing or cannot be used.
        """
        labels = labels_of(ct, self.labels, alone=self.alone)
        return _LAST.read(self.run, _Files(ct.path, labels, self.names, self.masks, self.resample))

    def marked(self, names: Iterable[str]) -> list[str]:
        """Returns the structures that come from `masks`; a mask with several numbers gives one structure for each.

        Args:
            names: the names of all structures.
        """
        ways = [re.compile(rf"{called(mask)}(_\d+)?") for mask in self.masks]
        return [name for name in names if any(way.fullmatch(name) for way in ways)]


@dataclass(frozen=True)
class _Files:
    """The files of one patient."""

    ct: Path
    labels: Path
    names: Path | None
    masks: tuple[Path, ...]
    resample: bool

    def modified(self) -> tuple[tuple[Path, int | None], ...]:
        """Returns the modification time (ns) of each file and of each file in a folder; None for missing files."""
        named = [path for path in (self.ct, self.labels, self.names, *self.masks) if path is not None]
        inside = [file for path in named if path.is_dir() for file in sorted(path.iterdir())]
        return tuple((path, _modified(path)) for path in (*named, *inside))

    def read(self) -> tuple[Volume, Quality]:
        """Reads the patient, and checks the quality; the notes of the files come first."""
        names = None if self.labels.is_dir() else self.names
        volume = Volume.read(self.ct, self.labels, names, resample=self.resample)
        for mask in self.masks:
            volume = volume.labelled(mask, prefix=called(mask), resample=self.resample)
        quality = check_volume(volume)
        quality = Quality(quality.reasons, (*volume.notes, *quality.notes))
        there = volume.structures
        if not find_members("lungs", there) and any(re.match(r"label_\d", name) for name in there):
            nameless = f"numbers of {self.labels} have no names: give them with --names"
            quality = Quality((*quality.reasons, nameless), quality.notes)
        return volume, quality


class _LastPatient:
    """Caches the patient that was read last, or the reason of its failure; CTs are too large to cache several."""

    def __init__(self) -> None:
        self._key: object = None
        self._patient: tuple[Volume, Quality] | None = None
        self._reason = ""

    def read(self, run: str, files: _Files) -> tuple[Volume, Quality]:
        """Reads a patient, or returns the cached one.

        Raises:
            DataError: one of the files is missing or cannot be used; this failure is cached, too. A lack of memory is
                no failure of the files and may pass, so it is not cached.
        """
        key = (run, files, files.modified())
        if key != self._key:
            self._key = self._patient = None  # frees the old patient before the new one is read
            try:
                self._patient = files.read()
            except ArtasynError as error:
                self._reason = reason_of(error)
            self._key = key
        if self._patient is None:
            raise DataError(self._reason)
        return self._patient


_LAST = _LastPatient()
"""The cache of this process; it is global so that it is never pickled with a reader."""


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def labels_of(ct: Source, labels: Path | None, *, alone: bool) -> Path:
    """Finds the labels of a CT.

    Args:
        ct: the CT.
        labels: a label map; or a folder with NAME.nii.gz, NAME_labels.nii.gz, NAME.dcm or a folder NAME of masks; or
            the folder with the masks of the only CT. None searches beside the CT: for NAME_labels.nii.gz or another of
            `ENDINGS`, or for the folder ``segmentations`` of TotalSegmentator's data set.
        alone: whether this is the only CT.

    Returns:
        The label map, or the folder of masks.

    Raises:
        DataError: there are no labels.
    """
    if labels is not None and not labels.is_dir():
        return labels
    path = ct.path if ct.path.name else ct.path.absolute()
    ending = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    stem = path.name[: len(path.name) - len(ending)]
    places = [path.parent] if labels is None else [labels / Path(ct.name).parent, labels]
    endings = ENDINGS[1:] if labels is None else ENDINGS
    folders = [place / f"{stem}{ending}" for place in places for ending in endings]
    suffixes = SUFFIXES if labels is None else (*SUFFIXES, ".dcm")  # a segmentation; beside a CT it may be a slice
    looked = [folder.with_name(f"{folder.name}{suffix}") for folder in folders for suffix in suffixes]
    found = [file for file in looked if file.is_file() and not file.samefile(path)]
    found += [folder for folder in folders if labels is not None and folder.is_dir() and not folder.samefile(path)]
    beside = path.parent / MASKS
    found += [beside] if labels is None and beside.is_dir() else []
    if found:
        return found[0]
    if labels is not None and alone and any(file.name.lower().endswith(SUFFIXES) for file in labels.iterdir()):
        return labels
    raise DataError(f"{ct.path}: no labels; looked for {looked[0]} and the like; give them with --labels")


def search_patients(
    inputs: Sequence[Path],
    *,
    labels: Path | None = None,
    names: Path | None = None,
    masks: Sequence[Path] = (),
    leave: Path | None = None,
) -> Found:
    """Finds CTs as `artasyn.bulk.sources.search_cts` does, each with the files of its labels among its inputs.

    A folder of labels that lies in a folder of CTs holds no CTs. A CT without labels is found, too; it fails when it is
    read.

    Args:
        inputs: CTs, and folders of them.
        labels: a label map of the only CT, or a folder of labels, see `labels_of`.
        names: a file with the names of the labels in the label maps.
        masks: further masks of the only CT.
        leave: a folder for results. It is left out if it holds results already.

    Raises:
        DataError: there is nothing to read, or labels, names or masks would fail for every CT.
    """
    found = search_cts(inputs, leave=leave)
    cts = _without_labels(found.sources, inputs, labels)
    if len(cts) > 1 and (masks or (labels and labels.is_file())):
        raise DataError(
            f"{len(cts)} CTs were found, but labels of one; give a folder with labels of each, and no masks"
        )
    for path in (labels, *masks):
        if path and not path.exists():
            raise DataError(f"{path} does not exist; check the path")
    if names:
        read_names(names)
    if len({called(mask) for mask in masks}) < len(masks):
        raise DataError(f"two masks are called alike: {', '.join(map(str, masks))}; rename one of the files")
    alone = len(cts) == 1
    return dataclasses.replace(found, sources=[_with_inputs(ct, labels, names, masks, alone=alone) for ct in cts])


def _without_labels(cts: list[Source], inputs: Sequence[Path], labels: Path | None) -> list[Source]:
    """Returns the CTs without the files in the folder of labels, if this folder lies inside an input."""
    if labels is None or not labels.is_dir() or not any(each.resolve() in labels.resolve().parents for each in inputs):
        return cts
    outside = [ct for ct in cts if not ct.path.resolve().is_relative_to(labels.resolve())]
    if not outside:
        raise DataError(f"all CTs lie in {labels}, the folder of the labels; name that folder as the input, too")
    return outside


def _with_inputs(ct: Source, labels: Path | None, names: Path | None, masks: Sequence[Path], *, alone: bool) -> Source:
    """Returns a CT with all files that its films depend on: the labels, their names and further masks."""
    inputs = [*ct.inputs, *masks]
    with contextlib.suppress(DataError):  # without labels the films fail, and are tried again
        found = labels_of(ct, labels, alone=alone)
        inputs += [found, *([names] if names and not found.is_dir() else [])]
    return dataclasses.replace(ct, inputs=tuple(inputs))
