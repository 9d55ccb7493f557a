"""A network as an ONNX file that artasyn wrote: onnxruntime runs it, without torch and timm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from artasyn.doors import required
from artasyn.errors import ModelError


class OnnxFile:
    """An ONNX file, ready to run.

    Args:
        path: the file.
        providers: execution providers of onnxruntime, the best first; None takes CUDA if this onnxruntime has it, then
            the CPU.
        threads: number of threads that work on one batch; None takes onnxruntime's default, the physical cores.

    Attributes:
        metadata: names and values of the file's metadata.

    Raises:
        ModelError: the file does not exist or is no ONNX file, or a provider is not available.
        ArtasynError: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] | None = None, threads: int | None = None) -> None:
        runtime = required("onnxruntime", extra="onnx")
        if Path(path).exists() and not Path(path).is_file():  # a pipe or a device has no end
            raise ModelError(f"{path}: is no file; write one with artasyn export")
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}; write one with artasyn export") from error
        available: list[str] = runtime.get_available_providers()
        usual = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
        chosen = usual if providers is None else list(providers)
        if missing := [name for name in chosen if name not in available]:
            raise ModelError(f"this onnxruntime has no {', '.join(missing)}, but {', '.join(available)}")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors
        try:
            self._session = runtime.InferenceSession(content, options, providers=chosen)
        except Exception as error:  # onnxruntime's exceptions have no common base class
            reason = " ".join(str(error).split())
            raise ModelError(f"{path}: cannot be loaded as an ONNX file: {reason}") from error
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._content = hashlib.blake2b(content, digest_size=16)

    def digest(self, settings: Any) -> str:
        """Returns a string that tells two models apart: a hash over the file and all settings."""
        found = self._content.copy()
        found.update(json.dumps(asdict(settings), sort_keys=True).encode())
        return found.hexdigest()

    def check_ports(self, inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> None:
        """Refuses a network with other inputs or outputs.

        Args:
            inputs: names, and shapes without the batch.
            outputs: the same.

        Raises:
            ModelError: the names, a shape or a type is another. The message continues a sentence.
        """
        ports = self._session.get_inputs(), self._session.get_outputs()
        names = tuple([each.name for each in side] for side in ports)
        if names != (list(inputs), list(outputs)):
            raise ModelError(f"it makes {', '.join(names[1])} of {', '.join(names[0])}")
        for port in (*ports[0], *ports[1]):
            expected = (inputs | outputs)[port.name]
            if port.type != "tensor(float)" or port.shape[1:] != expected:
                shape = ", ".join(map(str, ["b", *expected]))
                raise ModelError(f"its {port.name} is {port.type} {port.shape}, not float ({shape})")

    def run(self, outputs: Sequence[str], inputs: dict[str, Any]) -> list[Any]:
        """Runs the network once.

        Args:
            outputs: names of the arrays that are wanted.
            inputs: arrays by their names.
        """
        found: list[Any] = self._session.run(list(outputs), inputs)
        return found
