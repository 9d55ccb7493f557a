"""The readers of `benchmarks.hostile`, how each case is made from its number, and how its outcome is judged."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.errors import ArtasynError, RadiographError
from benchmarks import (
    hostile_dicom,
    hostile_models,
    hostile_pictures,
    hostile_runs,
    hostile_series,
    hostile_texts,
    hostile_volumes,
)
from benchmarks.hostile_damage import Edit, Rng, Tree, choice, damage_bytes, special_file

OUTCOMES = {
    "refused": "refused clearly",
    "unclear": "refused, the file is not named",
    "right": "accepted and right",
    "changed": "accepted, other values (no checksum)",
    "cut": "accepted, cut short with other values",
    "wrong": "accepted and wrong",
    "leak": "another exception",
    "crash": "the process died",
    "hang": "over the time of a processor, or on the clock",
    "memory": "over the memory",
}
"""The outcomes of a case, from good to bad."""
BAD = ("wrong", "leak", "crash", "hang", "memory")
"""Outcomes that must not occur."""


@dataclass(frozen=True)
class Reader:
    """One of the readers.

    Attributes:
        trees: makes the intact trees, by name.
        edits: damage that knows the format.
        read: reads the target; returns values that are compared with those of the intact tree.
        share: how often the reader is tried, relative to the others.
        needs: packages without which the reader is left out.
        named: whether it takes a path; a refusal must name the file or folder, and the path may be no regular file.
        slow: whether a case takes seconds; the short form leaves such readers out.
    """

    trees: Callable[[], dict[str, Tree]]
    edits: tuple[Edit, ...]
    read: Callable[[Path], Any]
    share: float = 1.0
    needs: tuple[str, ...] = ()
    named: bool = True
    slow: bool = False


def _radiograph(path: Path) -> list[Any]:
    from artasyn.arrays import check_image
    from artasyn.files.opened import open_radiograph

    found = open_radiograph(path)
    try:
        check_image(found.image)
    except ArtasynError as error:
        raise AssertionError(f"accepted, but: {error}") from error
    return [found.image, found.spacing]


def _picture(name: str) -> Callable[[Path], list[Any]]:
    def read(path: Path) -> list[Any]:
        from artasyn.files import radiograph

        values = getattr(radiograph, name)(path)
        if values.ndim != 2 or not np.isfinite(values).all() or values.max() > 2:
            raise AssertionError(f"accepted, but {values.shape}, up to {values.max()}")
        return [values]

    return read


def _volume(path: Path) -> list[Any]:
    from artasyn.files.ct import read_ct

    grid = read_ct(path)
    if grid.values.ndim != 3 or grid.values.dtype != np.int16 or not np.isfinite(grid.affine).all():
        raise AssertionError(f"accepted, but {grid.values.shape} {grid.values.dtype}")
    return [grid.values, np.round(grid.affine, 6)]


def _label_map(path: Path) -> list[Any]:
    from artasyn.files.ct import read_label_map

    grid = read_label_map(path)
    return [grid.values, np.round(grid.affine, 6)]


def _label_maps() -> dict[str, Tree]:
    """Label maps: the volumes whose values are all labels."""
    labels = ((hostile_series.voxels() + 900) % 7).astype(np.int16)
    return hostile_volumes.nifti(labels) | hostile_volumes.nrrd(labels) | hostile_volumes.metaimage(labels)


def _names(path: Path) -> list[Any]:
    from artasyn.files.ct import read_names

    return [sorted(read_names(path).items())]


def _itself() -> dict[str, Tree]:
    """Trees whose files say what shall happen."""
    words = ("fine", "leak", "crash", "hang", "busy", "memory", "calls")
    return {word: Tree({word: word.encode()}, word) for word in words}


def _obeying(path: Path) -> list[Any]:
    """Does what a damaged file says, and reads an intact one."""
    word, _, damaged = path.read_text().partition(" ")
    if damaged and word == "leak":
        raise KeyError(word)
    if damaged and word == "crash":
        os.abort()
    if damaged and word == "hang":
        time.sleep(3600)
    while damaged and word == "busy":
        pass
    if damaged and word == "memory":
        raise RadiographError(f"{path} is refused after {len(bytes(b'x' * 400_000_000))} bytes")
    if damaged and word == "calls":
        os.system("true")
    return [word]


def _told(rng: Rng, tree: Tree) -> Tree:
    return tree.having(tree.target, tree.bytes_of(tree.target) + b" now", "told to")


READERS: Mapping[str, Reader] = {
    "picture": Reader(hostile_pictures.radiographs, (damage_bytes, *hostile_pictures.EDITS), _radiograph, 3),
    "mask": Reader(hostile_pictures.masks, (damage_bytes, *hostile_pictures.EDITS), _picture("read_mask")),
    "labels": Reader(hostile_pictures.labels, (damage_bytes, *hostile_pictures.EDITS), _picture("read_labels"), 0.5),
    "heatmap": Reader(
        hostile_pictures.heatmaps, (damage_bytes, *hostile_pictures.EDITS), _picture("read_heatmap"), 0.5
    ),
    "dicom": Reader(hostile_dicom.radiographs, (damage_bytes, *hostile_dicom.RADIOGRAPH_EDITS), _radiograph, 3),
    "series": Reader(hostile_series.series, (damage_bytes, *hostile_series.SERIES_EDITS), _volume, 1.5),
    "nifti": Reader(hostile_volumes.nifti, hostile_volumes.NIFTI_EDITS, _volume, 1.5),
    "nrrd": Reader(hostile_volumes.nrrd, hostile_volumes.ITK_EDITS, _volume, 2),
    "metaimage": Reader(hostile_volumes.metaimage, hostile_volumes.ITK_EDITS, _volume, 2),
    "label map": Reader(_label_maps, (damage_bytes,), _label_map, 0.5),
    "names": Reader(hostile_volumes.names, hostile_volumes.NAMES_EDITS, _names),
    "layout": Reader(hostile_texts.layouts, hostile_texts.LAYOUT_EDITS, hostile_texts.read_layout, 2.5),
    "record": Reader(hostile_texts.records, hostile_texts.RECORD_EDITS, hostile_texts.read_record, 2.5, named=False),
    "configuration": Reader(
        hostile_texts.configurations, hostile_texts.YAML_EDITS, hostile_texts.read_configuration, 0.5
    ),
    "settings": Reader(
        hostile_texts.settings, (hostile_texts.settings_edit,), hostile_texts.read_settings, 0.3, named=False
    ),
    "model": Reader(hostile_models.models, hostile_models.MODEL_EDITS, hostile_models.read_model, 1.5),
    "onnx": Reader(
        hostile_models.onnx_files, hostile_models.ONNX_EDITS, hostile_models.read_onnx, 0.5, ("onnx", "onnxruntime")
    ),
    "run": Reader(hostile_runs.bulk_runs, hostile_runs.RUN_EDITS, hostile_runs.read_run, 0.7),
    "training": Reader(hostile_runs.trainings, hostile_runs.TRAINING_EDITS, hostile_runs.read_training, 0.2, slow=True),
    "itself": Reader(_itself, (_told,), _obeying, 0, named=False),
}
"""Every reader, by the name that a case carries; "itself" is none, its cases test this program."""


def available() -> dict[str, Reader]:
    """Returns the readers whose packages are installed."""
    return {name: each for name, each in READERS.items() if each.share and all(map(find_spec, each.needs))}


# Cases --------------------------------------------------------------------------------------------------

Intact = dict[str, tuple[Tree, str]]
"""The intact trees of a reader, each with the fingerprint of its values."""


def prepare(names: tuple[str, ...], work: Path) -> None:
    """Makes and reads the intact trees of readers, and stores them with their fingerprints."""
    for name in names:
        intact: Intact = {}
        for kind, tree in READERS[name].trees().items():
            place = work / "intact" / name / kind
            place.mkdir(parents=True)
            try:
                intact[kind] = tree, fingerprint(READERS[name].read(tree.write(place)))
            except (ArtasynError, OSError):
                if not tree.optional:
                    raise
                intact[kind] = tree, "refused"
        (work / f"{name}.pickle").write_bytes(pickle.dumps(intact))


def made(name: str, number: int, seed: int, intact: Intact) -> tuple[str, Tree]:
    """Makes a case from its number: the name of its intact tree, and the damaged tree."""
    rng: Rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    reader, kind = READERS[name], choice(rng, list(intact))
    whole = intact[kind][0]
    if reader.named and rng.random() < 0.02:
        return kind, special_file(rng, whole)
    tree = _damaged(rng, reader.edits, whole)
    if rng.random() < 0.1:
        twice = _damaged(rng, (damage_bytes,), tree)
        tree = dataclasses.replace(twice, damage=f"{tree.damage}; {twice.damage}", refuse=False, cut=False)
    return kind, tree


def _damaged(rng: Rng, edits: tuple[Edit, ...], whole: Tree) -> Tree:
    """Applies an edit; edits leave trees of other formats as they are, and another is chosen."""
    for _ in range(20):
        tree: Tree = choice(rng, edits)(rng, whole)
        if tree is not whole:
            return tree
    return damage_bytes(rng, whole)


def fingerprint(value: Any) -> str:
    """Returns a hash of arrays and plain values."""
    digest = hashlib.blake2b(digest_size=8)
    for each in value:
        if isinstance(each, np.ndarray):
            digest.update(f"{each.shape}{each.dtype}".encode())
            digest.update(np.ascontiguousarray(each).tobytes())
        else:
            digest.update(repr(each).encode())
    return digest.hexdigest()


def judged(reader: Reader, tree: Tree, path: Path, expected: str) -> dict[str, Any]:
    """Reads a case and returns its outcome, the message, the last calls of a leak, and the seconds of a processor."""
    start = time.process_time()
    outcome, message, where = _judged(reader, tree, path, expected)
    message = message.replace(str(path.parent), "").replace("\n", " ")[:300]
    return {"outcome": outcome, "message": message, "where": where, "seconds": time.process_time() - start}


def _judged(reader: Reader, tree: Tree, path: Path, expected: str) -> tuple[str, str, str]:
    try:
        found = fingerprint(reader.read(path))
    except ArtasynError as error:
        message = str(error)
        if any(word in message for word in ("Unable to allocate", "bad_alloc", "Failed to allocate", "MemoryError")):
            return "memory", message, ""
        named = not reader.named or path.name in message or str(path.parent) in message
        return ("refused" if named and message and len(message) < 2000 else "unclear"), message, ""
    except MemoryError as error:
        return "memory", f"MemoryError: {error}", _calls(error)
    except AssertionError as error:
        return "wrong", str(error), ""
    except BaseException as error:  # whatever leaks is what this program looks for
        return "leak", f"{type(error).__name__}: {error}", _calls(error)
    if found == expected:
        return "right", "", ""
    return ("wrong" if tree.refuse else "cut" if tree.cut else "changed"), "", ""


def _calls(error: BaseException) -> str:
    """Returns the last calls before an error: files, lines and functions."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))


class Watched:
    """Notes what a reader must not do: to reach for the network, or to unpickle objects."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, given: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "os.system", "subprocess.Popen"):
            self.seen.append(f"{event} {given[:2]!r}"[:200])
            if event.startswith("socket"):
                raise OSError("no network here")
