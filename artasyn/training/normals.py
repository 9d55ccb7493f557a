"""Normal radiographs and their lungs, prepared once for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from artasyn.arrays import Image, generator, identity
from artasyn.bulk.run import BulkRun, Outcome, Row, read_manifest
from artasyn.bulk.sources import Source
from artasyn.detection.window import MARGIN, LungWindow, resized
from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.files import atomic
from artasyn.files.radiograph import read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.anatomy.segmenters import AGREEMENT, AnatomyReader, visible_lungs
from artasyn.shapes import UInt8, UInt16
from artasyn.testsets.measured import FilmLungs
from artasyn.training.patients import check_patients, patient_of

FINEST = 65535
"""Largest stored value: images are stored with 16 bits, which is finer than any synthetic anomaly."""

LEAST_GROUP, MOST_GROUPS = 80, 4
"""Fewest radiographs of a group, whose statistics would otherwise not be known well enough; and most groups."""

ROOM = 0.25
"""Margin around the lungs that is stored, measured like `MARGIN`; it is larger so that the window can move and turn."""


@dataclass(frozen=True, eq=False)
class Normals:
    """Normal radiographs at one size, cropped around the lungs, with their lungs as two segmenters tell them.

    Attributes:
        identities: the identity of each radiograph, from which its random choices start.
        folders: the folder of each radiograph.
        images: uint16 (n, stored, stored), 0 to 65535 for 0 to 1, contrast not normalised; `stored_size` gives
            ``stored``.
        labels: uint8 (n, stored, stored), as `artasyn.arrays.LungLabels`: the lungs beside the heart, where anomalies
            are put.
        whole: uint8 (n, stored, stored), the lungs with their parts behind the heart, which the network learns to mark.
        patients: the patient of each radiograph, empty where the patient is unknown; without any, each radiograph
            counts as another patient.
        groups: the group of each radiograph, see `groups_of`, empty if all are of one group.
    """

    identities: tuple[str, ...]
    folders: tuple[str, ...]
    images: UInt16[np.ndarray, "n h w"]
    labels: UInt8[np.ndarray, "n h w"]
    whole: UInt8[np.ndarray, "n h w"]
    patients: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.identities)

    def image(self, index: int) -> Image:
        """Returns one radiograph, float32 (stored, stored) in [0, 1]."""
        return np.asarray(self.images[index] / np.float32(FINEST), np.float32)

    def lungs(self, index: int) -> Lungs:
        """Returns the lungs of one radiograph."""
        return Lungs.from_labels(self.labels[index])

    def subset(self, indices: Sequence[int]) -> Normals:
        """Returns the radiographs at these indices."""
        picked = np.asarray(indices, int)
        names, folders, patients, groups = (
            tuple(values[i] for i in picked) if values else ()
            for values in (self.identities, self.folders, self.patients, self.groups)
        )
        return Normals(names, folders, self.images[picked], self.labels[picked], self.whole[picked], patients, groups)

    def order(self, *, seed: int, epoch: int) -> list[int]:
        """Returns an epoch's samples in random order: as many as there are radiographs, equally many from each folder.

        The radiographs of a small folder are repeated, so that a large folder does not decide alone what is normal.

        Returns:
            Indices of radiographs; ``len(self)`` is added for each repetition of the same radiograph.
        """
        rng = generator(seed, epoch)
        names = sorted(set(self.folders))
        samples: list[int] = []
        for number, name in enumerate(names):
            there = np.flatnonzero(np.array(self.folders) == name)
            wanted = (len(self) * (number + 1)) // len(names) - (len(self) * number) // len(names)
            rounds = -(-wanted // there.size)
            samples += np.concatenate([rng.permutation(there) + len(self) * r for r in range(rounds)])[:wanted].tolist()
        return [samples[i] for i in rng.permutation(len(samples))]

    def split(self, held_out: float, *, seed: int) -> tuple[Normals, Normals]:
        """Splits the radiographs into two parts, which depend on the seed and on all identities but not on the order.

        All radiographs of a patient go to the same part. Patients are drawn one after the other; a patient whose
        radiographs would exceed the share is passed over.

        Args:
            held_out: the share that the second part gets; at least one patient.
            seed: of the split.

        Raises:
            DataError: fewer than two images, or all are of one patient.
        """
        if len(self) < 2:
            raise DataError(f"{len(self)} normal radiograph: at least two are needed, one to train and one to validate")
        groups: dict[str, list[int]] = {}
        for i, (name, patient) in enumerate(zip(self.identities, self.patients or self.identities, strict=True)):
            groups.setdefault(f"patient {patient}" if patient else name, []).append(i)
        if len(groups) < 2:
            raise DataError(
                f"all {len(self)} normal radiographs are of one patient by PatientID, name or folder; at least two are "
                "needed. If they are of several, say how to tell them with the option patients"
            )
        draws = {i: generator(seed, name).random() for i, name in enumerate(self.identities)}
        order = sorted(groups.values(), key=lambda group: min(draws[i] for i in group))
        count = min(max(1, round(held_out * len(self))), len(self) - 1)
        taken: list[int] = []
        for group in order:
            if len(taken) + len(group) <= count:
                taken += group
        taken = taken or min(order, key=len)
        rest = set(range(len(self))) - set(taken)
        return self.subset(sorted(rest)), self.subset(sorted(taken))


def groups_of(folders: Sequence[str]) -> tuple[int, ...]:
    """Returns the group of each radiograph, from 0 on: folders are groups, if they hold enough radiographs.

    A folder with at least `LEAST_GROUP` radiographs is a group, up to `MOST_GROUPS` of them, the largest first. All
    other folders together are one more group, or part of the smallest group if they do not hold enough.

    Args:
        folders: the folder of each radiograph.

    Example:
        >>> groups_of(["children"] * 200 + ["adults"] * 90 + ["others"] * 3)[199:201], groups_of(["a", "b"])
        ((0, 1), (0, 0))
    """
    names, counts = np.unique(folders, return_counts=True)
    order = sorted(range(len(names)), key=lambda n: (-counts[n], names[n]))
    large = [n for n in order if counts[n] >= LEAST_GROUP][: MOST_GROUPS - 1]
    rest = int(counts.sum() - counts[large].sum())
    last = len(large) if rest >= LEAST_GROUP or not large else len(large) - 1
    numbers = {str(names[n]): large.index(n) if n in large else last for n in range(len(names))}
    return tuple(numbers[folder] for folder in folders)


def stored_size(size: int) -> int:
    """Returns the rows and columns that are stored for a network that sees `size`: their middle is its window."""
    return size + 2 * round(size * (ROOM - MARGIN) / (1 + 2 * MARGIN))


@dataclass(frozen=True)
class _PrepareOne:
    """Reads, segments and prepares one normal radiograph; writes it to the cache."""

    cache: Path
    size: int
    lungs: FilmLungs
    patients: str
    anatomy: bool

    def __call__(self, source: Source) -> list[Row]:
        film = read_radiograph(source.path)
        lungs = visible_lungs(self.lungs(film, source))
        if not lungs.found:
            raise DataError(f"{source.path}: lungs not found ({lungs.doubts}); left out of training")
        visible, whole = both_extents(film, lungs) if self.anatomy else (lungs, lungs)
        window, stored = LungWindow.around(lungs, ROOM), stored_size(self.size)
        image = np.rint(np.clip(resized(window.cut(film), stored), 0, 1) * FINEST).astype(np.uint16)
        labels = {
            name: cv2.resize(window.cut(each.labels), image.shape, interpolation=cv2.INTER_NEAREST_EXACT)
            for name, each in (("labels", visible), ("whole", whole))
        }
        file = f"{source.name}.npz"
        with atomic.replacing(self.cache / file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, image=image, **labels)
        about = {"folder": str(source.path.parent), "patient": patient_of(source.path, self.patients)}
        return [{"file": file, "identity": identity(film)} | about]


def both_extents(film: Image, lungs: Lungs) -> tuple[Lungs, Lungs]:
    """Returns the visible and the whole lungs as the network that reads anatomy tells them.

    PBTSeg leaves out what is not dark: lung behind the heart, and dim lung along the ribs and at the base. The network
    is not asked about a radiograph on which both disagree, see `artasyn.segment.anatomy.segmenters.AGREEMENT`.

    Args:
        film: float32 (h, w) in [0, 1].
        lungs: by PBTSeg.

    Returns:
        The lungs beside the heart, and those with the part behind it; the given lungs twice where both disagree.
    """
    anatomy = AnatomyReader()(film)
    visible, whole = anatomy.lungs("visible"), anatomy.lungs("whole")
    if not (visible.found and whole.found) or dice(visible.mask, lungs.mask) < AGREEMENT:
        return lungs, lungs
    return visible, whole


def prepare_normals(
    sources: Sequence[Source],
    cache: Path,
    *,
    size: int,
    lungs: FilmLungs = FilmLungs(),
    workers: int = 1,
    patients: str = "auto",
    anatomy: bool = True,
) -> list[Outcome]:
    """Reads normal radiographs, finds their lungs and prepares them; radiographs in the cache are not prepared again.

    Args:
        sources: their files.
        cache: a folder for the prepared radiographs; `load_normals` reads it.
        size: rows and columns that the network sees.
        lungs: finds the lungs, or reads them.
        workers: processes.
        patients: how patients are told apart, see `artasyn.training.patients.patient_of`.
        anatomy: whether the network that reads anatomy corrects the lungs of PBTSeg, see `both_extents`; lungs that are
            found or given otherwise stay as they are.

    Returns:
        The outcome of each source; sources without lungs are left out, with the reason.
    """
    check_patients(patients)
    settings = {"size": size, "room": ROOM, "segmenter": repr(lungs.segmenter), "patients": patients}
    corrected = anatomy and isinstance(lungs.segmenter, PBTSeg)
    if corrected:
        settings["anatomy"] = AnatomyReader().pinned().digest
    run = BulkRun(cache, settings, ("file", "identity", "folder", "patient"), files=("file",), workers=workers)
    return run.run(_PrepareOne(cache, size, lungs, patients, corrected), sources, title="prepare normals")


def load_normals(cache: Path) -> Normals:
    """Loads the radiographs that `prepare_normals` prepared; radiographs with the same pixels count once.

    Raises:
        DataError: fewer than two radiographs could be prepared, or a prepared radiograph is damaged.
    """
    rows = read_manifest(cache / "manifest.csv")
    kept = {row["identity"]: row for row in rows if row["status"] == "ok"}
    if len(kept) < 2:
        reasons = "; ".join(row["reason"] for row in rows if row["status"] != "ok")[:500]
        raise DataError(f"{len(kept)} usable normal radiographs in {cache}, two are needed. {reasons}")
    stored = [_load(cache / row["file"]) for row in kept.values()]
    images, labels, whole = (np.stack(films) for films in zip(*stored, strict=True))
    folders, patients = (tuple(row.get(column, "") for row in kept.values()) for column in ("folder", "patient"))
    return Normals(tuple(kept), folders, images, labels, whole, patients, groups_of(folders))


def _load(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loads one prepared radiograph and its lungs.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream) as film:  # which unpickles nothing
            image, labels, whole = film["image"], film["labels"], film["whole"]
        held = [(each.dtype.name, each.shape) for each in (image, labels, whole)]
        square = (len(image), len(image))
        if held != [("uint16", square), ("uint8", square), ("uint8", square)]:
            raise ValueError(f"it holds {held}")
    except MemoryError:  # is no fault of the file
        raise
    except Exception as error:  # zip, zlib and numpy raise many types
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: is damaged ({reason}); delete it, and the same command prepares it again") from error
    return image, labels, whole
