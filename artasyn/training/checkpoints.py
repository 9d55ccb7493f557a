"""Checkpoints of a training: written whole or not at all, and read without running anything that they hold."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from artasyn.errors import DataError
from artasyn.files import atomic

LAST, BEST = "last.ckpt", "best.ckpt"
"""The checkpoints of a training: after its last epoch so far, and after its best one."""


class Checkpoints(TorchCheckpointIO):
    """Writes and reads the checkpoints of a `lightning.Trainer`.

    A checkpoint holds tensors and plain values alone. A checkpoint that calls for anything else is refused, and nothing
    of it is run.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint beside its file and renames it.

        Args:
            checkpoint: the state of model and trainer.
            path: the file.
            storage_options: not used.
        """
        with atomic.replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Reads a checkpoint.

        Args:
            path: the file.
            map_location: the device.
            weights_only: always True here.

        Raises:
            DataError: the file is damaged, or holds more than tensors and plain values.
        """
        return _placed(read_checkpoint(Path(path), map_location), Path(path).resolve().parent)


def read_checkpoint(path: Path, map_location: Any = "cpu", *, remedy: str = "") -> dict[str, Any]:
    """Reads a checkpoint; nothing that it holds is run.

    Args:
        path: the file.
        map_location: the device.
        remedy: what to do where the file is damaged; empty for deleting it, after which the training goes on.

    Raises:
        DataError: the file is missing or damaged, or holds more than tensors and plain values.
    """
    remedy = remedy or "delete it, and the same command goes on without it"
    try:
        found = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path}: is damaged, or holds more than tensors and plain values; nothing of it was run; {remedy}"
        ) from error
    except MemoryError:  # is no fault of the file
        raise
    except Exception as error:  # a damaged archive raises many types
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as a checkpoint ({reason}); {remedy}") from error
    if not isinstance(found, dict) or not isinstance(found.get("state_dict"), dict):
        raise DataError(f"{path}: is no checkpoint of a training; {remedy}")
    return found


def check_checkpoint(
    path: Path, like: Mapping[str, Tensor], *, remedy: str = "", thresholds: bool = True
) -> dict[str, Any]:
    """Reads a checkpoint and compares it with the training that it shall go into.

    Args:
        path: the file.
        like: the weights of the training's module by name.
        remedy: as for `read_checkpoint`.
        thresholds: whether the checkpoint must hold the thresholds of a detector.

    Raises:
        DataError: under the conditions of `read_checkpoint`, or if weights are missing, unknown or of another shape, or
            the thresholds are missing.
    """
    found = read_checkpoint(path, remedy=remedy)
    shapes = {name: tuple(getattr(value, "shape", ())) for name, value in found["state_dict"].items()}
    wanted = {name: tuple(value.shape) for name, value in like.items()}
    differing = sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
    held = found.get("thresholds")
    if not differing and (not thresholds or (isinstance(held, (tuple, list)) and len(held) == 2)):
        return found
    what = f"{differing[0]} is missing, unknown or of another shape" if differing else "it has no thresholds"
    remedy = remedy or "delete it, and the same command goes on without it"
    raise DataError(f"{path}: does not belong to this training ({what}); {remedy}")


def _placed(checkpoint: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Returns a checkpoint whose notes about files name the folder that the checkpoint lies in now.

    Lightning notes the best checkpoint by its absolute path, and forgets which one is best where the folder was moved.
    """

    def here(noted: Any) -> Any:
        return str(folder / Path(noted).name) if isinstance(noted, str) and noted else noted

    for state in checkpoint.get("callbacks", {}).values():
        if isinstance(state, dict) and "best_k_models" in state:
            state["dirpath"] = str(folder)
            state["best_k_models"] = {here(file): value for file, value in state["best_k_models"].items()}
            for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                state[name] = here(state.get(name, ""))
    return checkpoint


def resumable(folder: Path) -> Path | None:
    """Returns the checkpoint that a training goes on from: the last one, else the best one, else None.

    Args:
        folder: of the checkpoints.
    """
    return next((folder / name for name in (LAST, BEST) if (folder / name).exists()), None)


EXHAUSTED = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "no space left",
    "failed writing file",
    "killed by signal",
    "exited unexpectedly",
)
"""What torch says, in lower case, where memory or disk are used up, or where the system ended a worker for that."""


@contextmanager
def going_on(out: Path) -> Iterator[None]:
    """Reports memory or disk that are used up during a training in one sentence.

    Args:
        out: the folder of the training.

    Raises:
        DataError: memory or disk are used up, or a file cannot be written.
        KeyboardInterrupt: Ctrl-C, which Lightning turns into an exit.
    """
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    except (OSError, MemoryError, RuntimeError) as error:
        said = " ".join(str(error).split())[:300]
        if isinstance(error, RuntimeError) and not any(words in said.lower() for words in EXHAUSTED):
            raise
        what = said or "memory is used up"
        raise DataError(
            f"{out}: the training stopped ({what}); free memory or disk, or take smaller batches, and the same command "
            "goes on from the last epoch"
        ) from error
