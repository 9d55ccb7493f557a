"""Damaged folders of runs for `benchmarks.hostile`: a killed training and its checkpoints, and a killed `segment`."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.errors import DataError
from benchmarks.hostile_damage import (
    Edit,
    Rng,
    Tree,
    choice,
    damage_bytes,
    damage_cells,
    damage_json,
    damage_text,
)

FILMS = 6


def _films(folder: Path) -> None:
    from artasyn.files.radiograph import write_image
    from artasyn.phantom.film import Phantom

    for number in range(FILMS):
        write_image(folder / f"{number}.png", Phantom(size=64)(number).image)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Changes to a folder, so that all paths of a run are relative."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _tree(make: Callable[[], object], *without: str) -> Tree:
    """The films of a run and what the run wrote, without some of it."""
    with tempfile.TemporaryDirectory() as place, _inside(Path(place)):
        _films(Path("films"))
        make()
        for name in without:
            shutil.rmtree(name) if Path(name).is_dir() else Path(name).unlink()
        files = {p.as_posix(): p.read_bytes() for p in sorted(Path().rglob("*")) if p.is_file()}
    return Tree(files, "out")


# Training -----------------------------------------------------------------------------------------------


def _train() -> Any:
    from artasyn.bulk.sources import find_sources
    from artasyn.training.run import TrainingRun

    run = TrainingRun(size=32, epochs=1, batch_size=2, held_out=0.34, seed=3)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return run.fit(find_sources([Path("films")]), Path("out"), trainer={"accelerator": "cpu"})


def trainings() -> dict[str, Tree]:
    """A training that was killed after its last epoch, before it wrote the model."""
    tree = _tree(_train, "out/model", "out/logs")
    return {"training": dataclasses.replace(tree, optional=True)}


class _Payload:
    """An object whose unpickling runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def checkpoint_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages a checkpoint: its archive, its tensors, or what its pickle does."""
    import torch

    name = choice(rng, [name for name in tree.files if name.endswith(".ckpt")])
    kind = choice(rng, ("bytes", "payload", "payload beside", "old payload", "NaN", "lost", "shape", "empty", "other"))
    if kind == "bytes":
        return _bytes(rng, tree, name)
    buffer = io.BytesIO()
    state = torch.load(io.BytesIO(tree.bytes_of(name)), map_location="cpu", weights_only=False)
    weights = state["state_dict"]
    one = choice(rng, [key for key, value in weights.items() if value.is_floating_point()])
    if kind == "payload":
        return tree.having(name, _with_pickle(tree.bytes_of(name), pickle.dumps(_Payload())), f"checkpoint: {kind}")
    if kind == "old payload":
        return tree.having(name, pickle.dumps({"state_dict": _Payload()}), f"checkpoint: {kind}")
    if kind == "payload beside":
        state["more"] = _Payload()
    elif kind == "NaN":
        weights[one] = weights[one] * float("nan")
    elif kind == "lost":
        del state[choice(rng, list(state))]
    elif kind == "shape":
        weights[one] = weights[one].reshape(-1)[:1]
    elif kind == "empty":
        state = {}
    else:
        state = [1, 2]
    torch.save(state, buffer)
    return tree.having(name, buffer.getvalue(), f"checkpoint: {kind}")


def _bytes(rng: Rng, tree: Tree, name: str) -> Tree:
    """Damages the bytes of one file of a larger tree."""
    damaged = damage_bytes(rng, Tree({name: tree.files[name]}, name))
    return tree.having(name, damaged.files[name], f"checkpoint: {damaged.damage}")


def _with_pickle(data: bytes, content: bytes) -> bytes:
    """A checkpoint's archive with another pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry.endswith("data.pkl") else old.read(entry))
    return out.getvalue()


def read_training(path: Path) -> list[Any]:
    """Goes on with the training; the thresholds of its model must be finite."""
    with _inside(path.parent):
        detector = _train()
    if not np.isfinite([detector.threshold, detector.image_threshold]).all():
        raise AssertionError(f"accepted, but thresholds {detector.threshold}, {detector.image_threshold}")
    return [detector.digest, detector.image_threshold]


# Bulk runs ----------------------------------------------------------------------------------------------


def _segment() -> tuple[int, str]:
    from artasyn.cli.main import main

    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        status = main(["segment", "films", "--out", "out", "--workers", "1"])
    return status, said.getvalue()


def bulk_runs() -> dict[str, Tree]:
    """A finished run of `segment`, and one that was killed."""
    return {"finished": _tree(_segment), "killed": _tree(_segment, "out/manifest.csv", "out/sheet-1.png")}


def run_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages the manifest, the journal, the settings or a result of a run."""
    listed = [name for name in tree.files if name.endswith((".csv", ".json", ".jsonl"))]
    name = choice(rng, listed) if rng.random() < 0.8 else choice(rng, [n for n in tree.files if n.startswith("out")])
    if name not in listed:
        return _bytes(rng, tree, name)
    text = tree.bytes_of(name).decode()
    if rng.random() < 0.3:
        return tree.having(name, *damage_text(rng, text))
    if name.endswith(".csv"):
        return tree.having(name, *damage_cells(rng, text))
    lines = text.splitlines() if name.endswith("l") else [text]
    at = int(rng.integers(len(lines)))
    if lines[at]:
        lines[at], damage = damage_json(rng, lines[at])
        return tree.having(name, "\n".join(lines).encode("utf-8", "surrogatepass"), damage)
    return tree


def read_run(path: Path) -> list[Any]:
    """Goes on with the run; its labels must be those of a run that was not disturbed."""
    from artasyn.files.radiograph import read_labels

    with _inside(path.parent):
        status, said = _segment()
        if status == 2:
            raise DataError(f"{path}: {said[-500:]}")
        if "Traceback" in said:
            raise AssertionError(said[-300:])
        return [status, *(read_labels(file) for file in sorted(Path("out/labels").glob("*.png")))]


TRAINING_EDITS: tuple[Edit, ...] = (checkpoint_edit,)
RUN_EDITS: tuple[Edit, ...] = (run_edit,)
