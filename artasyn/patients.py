"""Where the labels of a CT are, and both read together."""

from __future__ import annotations

import functools
from pathlib import Path

from artasyn.bulk import FAILURES, reason_of
from artasyn.collection import Source
from artasyn.errors import DataError
from artasyn.segment.quality import Quality, check_volume
from artasyn.segment.structures import canonical
from artasyn.segment.volume import Volume

ENDINGS = ("", "_labels", "_label", "_seg", "_segmentation")
"""What a label map's name may have more than its CT's."""

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def called(mask: Path) -> str:
    """The structure that a mask is called by its file."""
    return canonical(mask.name.split(".")[0])


@functools.lru_cache(maxsize=1)
def _read(ct: Path, labels: Path, names: Path | None, masks: tuple[Path, ...]) -> tuple[Volume, Quality] | str:
    """A patient with what quality control says, or why there is none; the last one is kept."""
    try:
        volume = Volume.read(ct, labels, names)
        for mask in masks:
            volume = volume.labelled(mask, prefix=called(mask))
        return volume, check_volume(volume)
    except FAILURES as error:
        return reason_of(error)


def read_patient(
    ct: Source, labels: Path | None, names: Path | None, masks: tuple[Path, ...], *, alone: bool
) -> tuple[Volume, Quality]:
    """A CT with its labels, and what quality control says of them; the last one is remembered.

    Args:
        ct: the CT.
        labels: its label map, or a folder where `labels_of` finds it.
        names: a file with the label map's names.
        masks: further masks, each a structure called by its file.
        alone: whether it is the only CT.

    Raises:
        DataError: one of the files is missing or cannot be used.
    """
    read = _read(ct.path, labels_of(ct, labels, alone=alone), names, masks)
    if isinstance(read, str):
        raise DataError(read)
    return read


def labels_of(ct: Source, labels: Path | None, *, alone: bool) -> Path:
    """Where the labels of a CT are.

    Args:
        ct: the CT.
        labels: a file, a folder that has NAME.nii.gz, NAME_labels.nii.gz or a folder NAME of masks, or the folder
            with the masks of the only CT; None for what lies beside the CT.
        alone: whether it is the only CT.

    Raises:
        DataError: there are none.
    """
    if labels is not None and (labels.is_file() or not labels.exists()):
        return labels
    stem = ct.path.name
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    places = [ct.path.parent] if labels is None else [labels / Path(ct.name).parent, labels]
    endings = ENDINGS[1:] if labels is None else ENDINGS
    looked = [place / f"{stem}{ending}{suffix}" for place in places for ending in endings for suffix in SUFFIXES]
    folders = [place / f"{stem}{ending}" for place in places for ending in endings]
    found = [path for path in looked if path.is_file()] + [path for path in folders if path.is_dir() and labels]
    if found:
        return found[0]
    if labels is not None and alone and any(path.name.endswith(SUFFIXES) for path in labels.iterdir()):
        return labels
    raise DataError(f"{ct.path}: no labels; looked for {looked[0]} and the like; give them with --labels")
