"""Where the labels of a CT are, and both read together."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from artasyn.bulk.run import FAILURES, reason_of
from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.files.ct import MASKS
from artasyn.files.ct_volumes import VOLUME_SUFFIXES
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.quality import Quality, check_volume
from artasyn.segment.structures import canonical, find_members

ENDINGS = ("", "_labels", "_label", "_seg", "_segmentation")
"""What a label map's name may have more than its CT's."""

SUFFIXES = tuple(sorted(VOLUME_SUFFIXES, key=len, reverse=True))


def called(mask: Path) -> str:
    """The structure that a mask is called by its file.

    Example:
        >>> called(Path("masks/Nodule 1.nii.gz"))
        'nodule_1'
    """
    return canonical(mask.name.split(".")[0])


@dataclass(frozen=True)
class Patients:
    """Reads CTs with their labels, and says what quality control finds in them.

    Attributes:
        labels: the label map, or a folder where `labels_of` finds it.
        names: a file with the label maps' names.
        masks: further masks of the only CT, each a structure called by its file.
        alone: whether there is only one CT.
        since: what was read earlier than that is read anew, ns.
    """

    labels: Path | None = None
    names: Path | None = None
    masks: tuple[Path, ...] = ()
    alone: bool = False
    since: int = field(default_factory=time.time_ns)

    def read(self, ct: Source) -> tuple[Volume, Quality]:
        """A CT with its labels, and what quality control says of them; the last one is remembered.

        Args:
            ct: the CT.

        Raises:
            DataError: one of the files is missing or cannot be used.
        """
        read = _read(ct.path, labels_of(ct, self.labels, alone=self.alone), self.names, self.masks, self.since)
        if isinstance(read, str):
            raise DataError(read)
        return read

    def marked(self, names: Iterable[str]) -> list[str]:
        """Those structures that the further masks have brought: one for each of their numbers.

        Args:
            names: of all structures.
        """
        ways = [re.compile(rf"{called(mask)}(_\d+)?") for mask in self.masks]
        return [name for name in names if any(way.fullmatch(name) for way in ways)]


@functools.lru_cache(maxsize=1)
def _read(
    ct: Path, labels: Path, names: Path | None, masks: tuple[Path, ...], since: int
) -> tuple[Volume, Quality] | str:
    """A patient with what quality control says, or why there is none; the last one is kept."""
    try:
        volume = Volume.read(ct, labels, None if labels.is_dir() else names)
        for mask in masks:
            volume = volume.labelled(mask, prefix=called(mask))
        quality = check_volume(volume)
    except FAILURES as error:
        return reason_of(error)
    nameless = not find_members("lungs", volume.structures) and any(re.match(r"label_\d", n) for n in volume.structures)
    if nameless:
        quality = Quality(
            (*quality.reasons, f"numbers of {labels} have no names: give them with --names"), quality.notes
        )
    return volume, quality


def labels_of(ct: Source, labels: Path | None, *, alone: bool) -> Path:
    """Where the labels of a CT are.

    Args:
        ct: the CT.
        labels: a file, a folder that has NAME.nii.gz, NAME_labels.nii.gz or a folder NAME of masks, or the folder
            with the masks of the only CT; None for what lies beside the CT: NAME_labels.nii.gz or the like, or the
            folder ``segmentations`` of TotalSegmentator's data set.
        alone: whether it is the only CT.

    Raises:
        DataError: there are none.
    """
    if labels is not None and not labels.is_dir():
        return labels
    path = ct.path if ct.path.name else ct.path.absolute()
    ending = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    stem = path.name[: len(path.name) - len(ending)]
    places = [path.parent] if labels is None else [labels / Path(ct.name).parent, labels]
    endings = ENDINGS[1:] if labels is None else ENDINGS
    folders = [place / f"{stem}{ending}" for place in places for ending in endings]
    looked = [folder.with_name(f"{folder.name}{suffix}") for folder in folders for suffix in SUFFIXES]
    found = [file for file in looked if file.is_file() and not file.samefile(path)]
    found += [folder for folder in folders if labels is not None and folder.is_dir() and not folder.samefile(path)]
    beside = path.parent / MASKS
    found += [beside] if labels is None and beside.is_dir() else []
    if found:
        return found[0]
    if labels is not None and alone and any(file.name.lower().endswith(SUFFIXES) for file in labels.iterdir()):
        return labels
    raise DataError(f"{ct.path}: no labels; looked for {looked[0]} and the like; give them with --labels")
