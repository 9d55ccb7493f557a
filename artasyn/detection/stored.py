"""Stored models: finds a model's folder, and reads settings and weights with every name, type and number checked."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError, safe_open
from torch import Tensor

from artasyn.detection.settings import DetectorSettings
from artasyn.errors import DataError, ModelError
from artasyn.files.atomic import LEFTOVER
from artasyn.files.texts import read_text
from artasyn.records import parse_json

BUNDLED = Path(__file__).parents[1] / "model"
"""The folder of the detector that comes with artasyn."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files of a model."""

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
"""The id of a model on the Hugging Face hub: owner and name."""

FILES = (".onnx", ".safetensors", ".ckpt", ".json", ".bin", ".pt", ".pth")
"""Endings of files; no id ends so."""

UNBOUNDED = "novelty.spread"
"""The only weight that may be infinite: it is infinite before the novelty is fitted."""


def find_model(model: str | Path, options: Mapping[str, Any]) -> Path:
    """Returns the folder of a model; only for an id the hub is contacted.

    A name counts as an id if it looks like ``owner/name`` and no path of this name exists even in part: a mistyped
    folder is a missing folder.

    Args:
        model: a folder, ``bundled``, or an id.
        options: options of `huggingface_hub.hf_hub_download`.

    Raises:
        ModelError: there is no such model.
    """
    if model == "bundled":
        return BUNDLED
    folder = Path(model)
    if folder.is_dir():
        return folder
    if folder.exists():
        hint = "use Detector.from_onnx" if folder.suffix == ".onnx" else "give the folder that holds it"
        raise ModelError(f"{model}: is a file, not the folder of a model; {hint}")
    name = str(model)
    if isinstance(model, Path) or not is_hub_id(name):
        half = f" in {folder.parent}" if folder.parent.is_dir() else ""
        raise ModelError(
            f"{name}: there is no such folder{half}; give the folder that artasyn train wrote as OUT/model, or the "
            "id of a model on the Hugging Face hub, which looks like owner/name and like no path"
        )
    try:
        files = [Path(hf_hub_download(name, file, **options)) for file in (CONFIG, WEIGHTS)]
    except Exception as error:  # the hub and the network raise many types; add the model's name
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{name}: there is no such folder, and it cannot be had from the Hugging Face hub: {reason}"
        ) from error
    return files[0].parent


def is_hub_id(name: str) -> bool:
    """Returns whether a name looks like the id of a model on the hub and not like a path.

    Example:
        >>> is_hub_id("owner/name"), is_hub_id("./model"), is_hub_id("runs/a/model"), is_hub_id("model")
        (True, False, False, False)
    """
    if not HUB_ID.fullmatch(name) or name.lower().endswith(FILES) or ".." in name or "--" in name:
        return False
    return not Path(name).parent.exists()


def read_settings(folder: Path) -> DetectorSettings:
    """Reads the settings of a stored model.

    Args:
        folder: the folder of the model.

    Raises:
        ModelError: a file of the model is missing, or its settings are damaged or of another version.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: no {name}; give the folder that artasyn train wrote as OUT/model")
    path = folder / CONFIG
    try:
        values = parse_json(read_text(path))
    except DataError as error:
        raise ModelError(f"{path}: {error}") from error
    except ValueError as error:
        raise ModelError(f"{path}: is no JSON ({error}); train again, or copy the model again") from error
    try:
        return DetectorSettings.of(values, "settings")
    except ModelError as error:
        raise ModelError(
            f"{path}: cannot be loaded as a detector: {error}; the file is damaged, or of another version than this "
            "artasyn"
        ) from error


def read_weights(folder: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reads the weights of a stored model.

    Args:
        folder: the folder of the model.
        expected: tensors with the names, shapes and types that the settings call for; their values do not matter.

    Raises:
        ModelError: the file is damaged, holds weights of another network, or holds a value that is not finite.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, "pt") as file:
            _check_names(path, set(file.keys()), expected.keys())
            for name, wanted in expected.items():
                shape = tuple(file.get_slice(name).get_shape())
                if shape != tuple(wanted.shape):
                    raise _other(path, f"{name} has the shape {shape}, not {tuple(wanted.shape)}")
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in expected}
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: cannot be loaded as a detector: {error}; copy the file again") from error
    for name, value in weights.items():
        if value.is_floating_point() != expected[name].is_floating_point():
            raise _other(path, f"{name} is {value.dtype}, not {expected[name].dtype}")
        if value.isnan().any() or (name != UNBOUNDED and not value.isfinite().all()):
            raise ModelError(f"{path}: {name} holds a value that is not finite; the file is damaged, copy it again")
    return weights


def _check_names(path: Path, found: set[str], wanted: Any) -> None:
    """Refuses weights with other names than the network's."""
    faults = [f"{word} {', '.join(sorted(names)[:3])}" for word, names in (
        ("no", wanted - found), ("an unknown", found - wanted)
    ) if names]  # fmt: skip
    if faults:
        raise _other(path, f"there is {' and '.join(faults)}")


def _other(path: Path, fault: str) -> ModelError:
    return ModelError(
        f"{path}: cannot be loaded as a detector: {fault}; these weights do not belong to the {CONFIG} beside them"
    )


def is_complete(folder: Path) -> bool:
    """Returns whether a folder holds all files of a model."""
    return all((folder / name).is_file() for name in (CONFIG, WEIGHTS))


@contextmanager
def replacing_model(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder beside the folder of a model, and renames it when the block succeeds.

    In a folder that exists, the files are replaced one by one. Its settings are deleted first and written last, so that
    it never holds the settings of one model and the weights of another.

    Args:
        folder: the folder to write; its parents are created.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f"{folder.name}{LEFTOVER}"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.with_name(folder.name + LEFTOVER.replace("*", uuid.uuid4().hex))
    try:
        yield temporary
        if not folder.exists():
            temporary.rename(folder)
            return
        (folder / CONFIG).unlink(missing_ok=True)
        for file in sorted(temporary.iterdir(), key=lambda file: file.name == CONFIG):
            if file.name in (CONFIG, WEIGHTS) or not (folder / file.name).exists():
                file.replace(folder / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def digest_of(state: Mapping[str, Tensor], settings: DetectorSettings) -> str:
    """Returns 32 hexadecimal digits over all weights and all settings: the same for the same model on every machine.

    Args:
        state: every parameter and buffer by its name.
        settings: of the detector.
    """
    found = hashlib.blake2b(digest_size=16)
    found.update(json.dumps(asdict(settings), sort_keys=True).encode())
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
