"""Checkpoints and stops: nothing is unpickled, damaged files are named, and a training goes on after any stop."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artasyn.bulk.sources import Source, find_sources
from artasyn.detection.detector import Detector
from artasyn.detection.network import DetectorNetwork
from artasyn.errors import DataError
from artasyn.files.radiograph import read_radiograph, write_image
from artasyn.training.checkpoints import Checkpoints, going_on, read_checkpoint, resumable
from artasyn.training.normals import load_normals
from artasyn.training.run import TrainingRun

RUN = TrainingRun(size=64, epochs=2, batch_size=2, held_out=0.34, seed=3)
"""The training of the fixture `trained`."""


@pytest.fixture
def sources(phantoms: Path) -> list[Source]:
    return find_sources([phantoms / "train"])


@pytest.fixture
def out(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished training, at another place."""
    return Path(shutil.copytree(trained, tmp_path / "out"))


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("how", ["value", "bare pickle", "state_dict"])
def test_a_payload_is_refused_and_not_run(out: Path, sources: list[Source], tmp_path: Path, how: str) -> None:
    shutil.rmtree(out / "model")
    last, made = out / "checkpoints" / "last.ckpt", tmp_path / "made"
    checkpoint = torch.load(last, weights_only=True)
    if how == "bare pickle":
        last.write_bytes(pickle.dumps(Payload(made)))
    elif how == "value":
        torch.save(checkpoint | {"callbacks": {"one": Payload(made)}}, last)
    else:
        torch.save(checkpoint | {"state_dict": Payload(made)}, last)
    with pytest.raises(DataError, match=r"last\.ckpt: .*[Dd]elete it, and the same command goes on"):
        RUN.fit(sources, out)
    assert not made.exists()
    last.unlink()
    torch.save(checkpoint | {"callbacks": Payload(made)}, out / "checkpoints" / "best.ckpt")
    with pytest.raises(DataError, match=r"best\.ckpt: .*[Dd]elete it, and the same command goes on"):
        RUN.fit(sources, out)
    assert not made.exists()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "cut at the end": lambda data: data[:-30],
    "text": lambda data: b"no checkpoint",
    "zeros": lambda data: bytes(len(data)),
    "inside": lambda data: data[:200] + b"\xff" * 200 + data[400:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_with_what_to_do(trained: Path, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "last.ckpt"
    file.write_bytes(DAMAGES[damage]((trained / "checkpoints" / "last.ckpt").read_bytes()))
    with pytest.raises(DataError, match=r"last\.ckpt: .*[Dd]elete it, and the same command goes on"):
        read_checkpoint(file)
    for other in ([1], {"state_dict": 1}, {}):
        torch.save(other, file)
        with pytest.raises(DataError, match="is no checkpoint of a training"):
            read_checkpoint(file)


def test_a_training_goes_on_from_the_best_epoch_where_the_last_is_gone_and_at_another_place(
    out: Path, trained: Path, sources: list[Source]
) -> None:
    shutil.rmtree(out / "model")
    (out / "checkpoints" / "last.ckpt").unlink()
    assert resumable(out / "checkpoints") == out / "checkpoints" / "best.ckpt"
    RUN.fit(sources, out)
    noted = Checkpoints().load_checkpoint(out / "checkpoints" / "best.ckpt")["callbacks"]
    assert str(trained) not in str(noted)
    folder = (out / "checkpoints").resolve()
    paths = [Path(path) for state in noted.values() if (path := state.get("best_model_path"))]
    assert folder / "best.ckpt" in paths
    assert {path.parent for path in paths} == {folder}
    states = [DetectorNetwork.from_pretrained(folder / "model").state_dict() for folder in (trained, out)]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "last.ckpt"
    Checkpoints().save_checkpoint({"state_dict": {"a": torch.zeros(3)}}, file)

    def full(checkpoint: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        Checkpoints().save_checkpoint({"state_dict": {}}, file)
    assert read_checkpoint(file)["state_dict"]["a"].tolist() == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("[enforce fail at inline_container.cc:603] . PytorchStreamWriter failed writing file data/1"),
        RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_memory_and_disk_that_are_used_up_are_said(error: Exception, tmp_path: Path) -> None:
    message = r"the training stopped .*; free memory or disk.* the same command goes on"
    with pytest.raises(DataError, match=message), going_on(tmp_path):
        raise error


def test_other_errors_are_not_hidden_and_an_interrupt_stays_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"), going_on(tmp_path):
        raise RuntimeError("shapes differ")
    with pytest.raises(KeyboardInterrupt), going_on(tmp_path):
        raise SystemExit(1)  # as Lightning ends after Ctrl-C


def test_other_radiographs_are_refused_and_named(out: Path, sources: list[Source], tmp_path: Path) -> None:
    RUN.fit(sources, out)  # the same ones, without training
    before = (out / "cache" / "manifest.csv").read_bytes()
    with pytest.raises(DataError, match=r"on other radiographs \(1 missing, such as healthy/"):
        RUN.fit(sources[1:], out)
    new = Source(sources[0].path, "other/name")
    with pytest.raises(DataError, match=r"1 new, such as other/name"):
        RUN.fit([*sources, new], out)
    with pytest.raises(DataError, match=r"1 new, .*; 1 missing, "):
        RUN.fit([new, *sources[1:]], out)
    assert (out / "cache" / "manifest.csv").read_bytes() == before
    RUN.fit(sources[::-1], out)  # another order is no other collection
    shutil.rmtree(out / "model")
    with pytest.raises(DataError, match="1 missing"):
        RUN.fit(sources[1:], out)


def test_a_radiograph_that_changed_under_its_name_is_refused(out: Path, sources: list[Source], tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    write_image(other, read_radiograph(sources[0].path)[:, ::-1].copy())
    with pytest.raises(DataError, match=f"1 changed, such as {sources[0].name}"):
        RUN.fit([Source(other, sources[0].name), *sources[1:]], out)


@pytest.mark.parametrize("left", ["config.json", "model.safetensors", ""])
def test_a_model_that_was_written_by_half_is_written_again(out: Path, sources: list[Source], left: str) -> None:
    whole = Detector.from_pretrained(out / "model").digest
    for file in (out / "model").iterdir():
        if file.name != left:
            file.unlink()
    (out / "model.artasyn-0.tmp").mkdir()
    RUN.fit(sources, out)
    found = Detector.from_pretrained(out / "model")
    assert isinstance(found.network, DetectorNetwork)
    assert found.digest == whole
    assert {path.name for path in (out / "model").iterdir()} >= {"config.json", "model.safetensors"}


LABELS: dict[str, Any] = dict.fromkeys(("labels", "whole"), np.zeros((82, 82), np.uint8))
NPZ: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no archive"),
    "pickle": lambda path: path.write_bytes(pickle.dumps([1])),
    "objects": lambda path: np.savez(path, image=np.array([{}], object), labels=np.zeros(1), whole=np.zeros(1)),
    "name": lambda path: np.savez(path, image=np.zeros((82, 82), np.uint16), labels=np.zeros((82, 82), np.uint8)),
    "shape": lambda path: np.savez(path, image=np.zeros((82, 80), np.uint16), **LABELS),
    "dtype": lambda path: np.savez(path, image=np.zeros((82, 82)), **LABELS),
    "number": lambda path: np.savez(path, image=np.uint16(1), labels=np.uint8(1), whole=np.uint8(1)),
}


@pytest.mark.parametrize("damage", NPZ)
def test_a_damaged_radiograph_of_the_cache_is_named(trained: Path, tmp_path: Path, damage: str) -> None:
    cache = Path(shutil.copytree(trained / "cache", tmp_path / "cache"))
    file = min(cache.rglob("*.npz"))
    NPZ[damage](file)
    with pytest.raises(DataError, match=r"\.npz: is damaged .*; delete it, and the same command prepares it again"):
        load_normals(cache)


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("fault", ["shape", "lost", "thresholds"])
def test_a_checkpoint_of_another_training_is_refused_before_it_is_used(
    out: Path, sources: list[Source], name: str, fault: str
) -> None:
    shutil.rmtree(out / "model")
    file = out / "checkpoints" / name
    if name == "best.ckpt":  # a training goes on from it where the last one is lost
        (out / "checkpoints" / "last.ckpt").unlink()
    checkpoint = torch.load(file, weights_only=True)
    weights = checkpoint["state_dict"]
    if fault == "thresholds":
        del checkpoint["thresholds"]
    elif fault == "lost":
        del weights[min(weights)]
    else:
        weights[min(weights)] = weights[min(weights)].reshape(-1)[:1]
    torch.save(checkpoint, file)
    with pytest.raises(DataError, match=rf"{name}: does not belong to this training .*delete"):
        RUN.fit(sources, out)


def test_a_lack_of_memory_is_no_damage_of_a_checkpoint(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(MemoryError):
        read_checkpoint(out / "checkpoints" / "last.ckpt")
