"""The detector's network as an ONNX file: the same results from onnxruntime, without torch and timm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from artasyn.detection.examination import Novelties, Squares
from artasyn.detection.settings import DetectorSettings
from artasyn.doors import required
from artasyn.errors import ModelError

INPUT = "images"
"""Name of the file's input: (b, 1, size, size) float32 in [0, 1], the lungs' window as
`artasyn.detection.window.prepare` returns it."""

OUTPUTS = ("reconstruction", "heatmap", "novelty")
"""Names of the file's outputs: reconstructions (b, 1, size, size) float32, not clipped; heatmaps (b, 1, size, size)
float32 in [0, 1]; and novelties (b,) float32, how unusual each radiograph is."""


class OnnxNetwork:
    """The network of an `artasyn.detection.detector.Detector`, from the ONNX file that `artasyn export` wrote.

    The file also holds the settings, so nothing else is needed.

    Args:
        path: the file.
        providers: execution providers of onnxruntime, the best first; None takes CUDA if this onnxruntime has it, then
            the CPU.
        threads: number of threads that work on one batch; None takes onnxruntime's default, the physical cores.

    Attributes:
        settings: the settings that the file states. Size, kind, smoothing, novelty prior and mirroring are built into
            the network of the file: other settings do not change them.

    Raises:
        ModelError: the file does not exist or is no detector, or a provider is not available.
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
        try:
            self.settings = DetectorSettings.from_metadata(self._session.get_modelmeta().custom_metadata_map)
            self._check_ports()
        except ModelError as error:
            raise ModelError(f"{path}: is no detector of artasyn: {error}; write one with artasyn export") from None
        self._content = hashlib.blake2b(content, digest_size=16)

    @property
    def digest(self) -> str:
        """A string that tells two models apart: a hash over the file and all settings."""
        found = self._content.copy()
        found.update(json.dumps(asdict(self.settings), sort_keys=True).encode())
        return found.hexdigest()

    def _check_ports(self) -> None:
        """Refuses a network with other inputs or outputs."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        names = [each.name for each in inputs], [each.name for each in outputs]
        if names != ([INPUT], list(OUTPUTS)):
            raise ModelError(f"it makes {', '.join(names[1])} of {', '.join(names[0])}")
        size = self.settings.size
        for port in (*inputs, *outputs):
            expected = [] if port.name == "novelty" else [1, size, size]
            if port.type != "tensor(float)" or port.shape[1:] != expected:
                shape = ", ".join(map(str, ["b", *expected]))
                raise ModelError(f"its {port.name} is {port.type} {port.shape}, not float ({shape})")

    def maps(self, images: Squares) -> tuple[Squares, Squares, Novelties]:
        """Runs the network on prepared radiographs; see `artasyn.detection.detector.Network`."""
        reconstructions, heatmaps, novelties = self._session.run(OUTPUTS, {INPUT: images})
        return reconstructions, heatmaps, novelties
