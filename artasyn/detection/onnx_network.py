"""The detector's network as an ONNX file: the same answers from onnxruntime, which needs neither torch nor timm."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from artasyn.detection.examination import Novelties, Squares
from artasyn.detection.settings import DetectorSettings
from artasyn.doors import required
from artasyn.errors import ModelError

INPUT = "images"
"""Of the file: (b, 1, size, size) float32 in [0, 1], the lungs' window as
`artasyn.detection.window.prepare` gives it."""

OUTPUTS = ("reconstruction", "heatmap", "novelty")
"""Of the file: two (b, 1, size, size) float32, where the reconstruction is not clipped and the heatmap lies in [0, 1];
and (b,) float32, how unusual each film is."""


class OnnxNetwork:
    """The network of an `artasyn.detection.detector.Detector`, from the ONNX file that `artasyn export` wrote.

    The file holds the settings too: it is all that is needed.

    Args:
        path: the file.
        providers: of onnxruntime, the best first; where None, CUDA if this onnxruntime has it, then the CPU.
        threads: that work on one batch; where None, as many as onnxruntime takes, the physical cores.

    Attributes:
        settings: as the file states them. Size, kind, smoothing, prior and mirroring are parts of the network in the
            file, and do not change with them.
        digest: 16 hexadecimal digits that tell two files apart.

    Raises:
        ModelError: there is no such file, or it is no detector, or a provider is not there.
        ArtasynError: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] | None = None, threads: int | None = None) -> None:
        runtime = required("onnxruntime", extra="onnx")
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
        except Exception as error:  # onnxruntime's own have no common ancestor
            reason = " ".join(str(error).split())
            raise ModelError(f"{path}: cannot be loaded as an ONNX file: {reason}") from error
        try:
            self.settings = DetectorSettings.from_metadata(self._session.get_modelmeta().custom_metadata_map)
            self._check_ports()
        except ModelError as error:
            raise ModelError(f"{path}: is no detector of artasyn: {error}; write one with artasyn export") from None
        self.digest = hashlib.blake2b(content, digest_size=8).hexdigest()

    def _check_ports(self) -> None:
        """Refuses a network of other inputs or outputs."""
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
        """Reconstructions, heatmaps and novelties of prepared radiographs; see `artasyn.detection.detector.Network`."""
        reconstructions, heatmaps, novelties = self._session.run(OUTPUTS, {INPUT: images})
        return reconstructions, heatmaps, novelties
