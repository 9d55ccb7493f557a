"""Stored models: finds a model's folder, and reads settings and weights with every name, type and number checked."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from artasyn.errors import DataError, ModelError
from artasyn.files.atomic import LEFTOVER
from artasyn.files.texts import read_text
from artasyn.records import parse_json

PACKAGE = Path(__file__).parents[1]
"""The folder of artasyn, which holds the bundled models."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files of a model."""

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
"""The id of a model on the Hugging Face hub: owner and name."""

FILES = (".onnx", ".safetensors", ".ckpt", ".json", ".bin", ".pt", ".pth")
"""Endings of files; no id ends so."""

_Settings = TypeVar("_Settings")
_Made = TypeVar("_Made", covariant=True)
_Network = TypeVar("_Network", bound=nn.Module)


@runtime_checkable
class _Readable(Protocol[_Made]):
    """A class of settings that JSON values make."""

    def of(self, values: Any, place: str) -> _Made: ...


@dataclass(frozen=True)
class ModelKind(Generic[_Settings]):
    """A kind of stored model: a folder with settings and weights.

    Attributes:
        noun: what the model is, with its article, for messages.
        settings: the class of its settings.
        bundled: the folder of the model that comes with artasyn.
        command: the command that writes such a model.
        from_onnx: the function that loads such a model from an ONNX file.
        unbounded: weights that may be infinite.
        place: where the command writes the model, for messages; empty where the user names the folder itself.
    """

    noun: str
    settings: _Readable[_Settings]
    bundled: Path
    command: str
    from_onnx: str
    unbounded: tuple[str, ...] = ()
    place: str = " as OUT/model"

    def load(self, build: Callable[[_Settings], _Network], model: str | Path, options: Mapping[str, Any]) -> _Network:
        """Loads the network of a stored model, in evaluation mode.

        Args:
            build: makes a network from its settings.
            model: a folder, ``bundled``, or an id.
            options: options of `huggingface_hub.hf_hub_download`.

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
        """
        try:
            folder = self.find(model, options)
            settings = self.read_settings(folder)
            try:
                with torch.device("meta"):  # without memory: settings may claim any size
                    expected = build(settings).state_dict()
            except ModelError as error:
                raise ModelError(f"{folder / CONFIG}: cannot be loaded as {self.noun}: {error}") from error
            weights = self.read_weights(folder, expected)
        except OSError as error:
            raise ModelError(f"{str(model)[:80]}: cannot be read ({error.strerror})") from error
        network = build(settings)
        network.load_state_dict(weights)
        return network.eval()

    def find(self, model: str | Path, options: Mapping[str, Any]) -> Path:
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
            return self.bundled
        folder = Path(model)
        if folder.is_dir():
            return folder
        if folder.exists():
            hint = f"use {self.from_onnx}" if folder.suffix == ".onnx" else "give the folder that holds it"
            raise ModelError(f"{model}: is a file, not the folder of a model; {hint}")
        name = str(model)
        if isinstance(model, Path) or not is_hub_id(name):
            half = f" in {folder.parent}" if folder.parent.is_dir() else ""
            raise ModelError(
                f"{name}: there is no such folder{half}; give the folder that {self.command} wrote{self.place}, or "
                "the id of a model on the Hugging Face hub, which looks like owner/name and like no path"
            )
        try:
            files = [Path(hf_hub_download(name, file, **options)) for file in (CONFIG, WEIGHTS)]
        except Exception as error:  # the hub and the network raise many types; add the model's name
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{name}: there is no such folder, and it cannot be had from the Hugging Face hub: {reason}"
            ) from error
        return files[0].parent

    def read_settings(self, folder: Path) -> _Settings:
        """Reads the settings of a stored model.

        Args:
            folder: the folder of the model.

        Raises:
            ModelError: a file of the model is missing, or its settings are damaged or of another version.
        """
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise ModelError(f"{folder}: no {name}; give the folder that {self.command} wrote{self.place}")
        values = read_config(folder)
        try:
            return self.settings.of(values, "settings")
        except ModelError as error:
            raise ModelError(
                f"{folder / CONFIG}: cannot be loaded as {self.noun}: {error}; the file is damaged, or of another "
                "version than this artasyn"
            ) from error

    def read_weights(self, folder: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
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
                self._check_names(path, set(file.keys()), expected.keys())
                for name, wanted in expected.items():
                    shape = tuple(file.get_slice(name).get_shape())
                    if shape != tuple(wanted.shape):
                        raise self._other(path, f"{name} has the shape {shape}, not {tuple(wanted.shape)}")
                weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in expected}
        except (SafetensorError, OSError, ValueError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"{path}: cannot be loaded as {self.noun}: {error}; copy the file again") from error
        for name, value in weights.items():
            if value.is_floating_point() != expected[name].is_floating_point():
                raise self._other(path, f"{name} is {value.dtype}, not {expected[name].dtype}")
            if value.isnan().any() or (name not in self.unbounded and not value.isfinite().all()):
                raise ModelError(f"{path}: {name} holds a value that is not finite; the file is damaged, copy it again")
        return weights

    def _check_names(self, path: Path, found: set[str], wanted: Any) -> None:
        """Refuses weights with other names than the network's."""
        faults = [f"{word} {', '.join(sorted(names)[:3])}" for word, names in (
            ("no", wanted - found), ("an unknown", found - wanted)
        ) if names]  # fmt: skip
        if faults:
            raise self._other(path, f"there is {' and '.join(faults)}")

    def _other(self, path: Path, fault: str) -> ModelError:
        return ModelError(
            f"{path}: cannot be loaded as {self.noun}: {fault}; these weights do not belong to the {CONFIG} beside them"
        )


def read_config(folder: Path) -> Any:
    """Returns the values of the settings of a stored model, of whatever kind.

    Args:
        folder: the folder of the model.

    Raises:
        ModelError: the file cannot be read, or is no JSON.
    """
    path = folder / CONFIG
    try:
        return parse_json(read_text(path))
    except DataError as error:
        raise ModelError(f"{path}: {error}") from error
    except ValueError as error:
        raise ModelError(f"{path}: is no JSON ({error}); train again, or copy the model again") from error


def is_hub_id(name: str) -> bool:
    """Returns whether a name looks like the id of a model on the hub and not like a path.

    Example:
        >>> is_hub_id("owner/name"), is_hub_id("./model"), is_hub_id("runs/a/model"), is_hub_id("model")
        (True, False, False, False)
    """
    if not HUB_ID.fullmatch(name) or name.lower().endswith(FILES) or ".." in name or "--" in name:
        return False
    return not Path(name).parent.exists()


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


def save_model(folder: Path, state: Mapping[str, Tensor], settings: Any) -> None:
    """Writes the settings and the weights of a model, the weights in half precision: both files or none.

    Lists of numbers, as norms and biases have them, are small, and may be out of the range of half precision: they stay
    as they are.

    Args:
        folder: the folder to write to; it is created if it is missing.
        state: every parameter and buffer by its name.
        settings: a dataclass of plain values.
    """
    weights = {
        name: (value.half() if value.is_floating_point() and value.ndim > 1 else value).cpu().contiguous()
        for name, value in state.items()
    }
    with replacing_model(folder) as temporary:
        temporary.mkdir()
        save_file(weights, temporary / WEIGHTS)
        (temporary / CONFIG).write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")


def digest_of(state: Mapping[str, Tensor], settings: Any) -> str:
    """Returns 32 hexadecimal digits over all weights and all settings: the same for the same model on every machine.

    Args:
        state: every parameter and buffer by its name.
        settings: a dataclass of plain values.
    """
    found = hashlib.blake2b(digest_size=16)
    found.update(json.dumps(asdict(settings), sort_keys=True).encode())
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
