"""The detector's network as an ONNX file: the same results from onnxruntime, without torch and timm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from artasyn.detection.examination import Maps, Squares
from artasyn.detection.settings import DetectorSettings
from artasyn.errors import ModelError
from artasyn.networks.onnx_file import OnnxFile

INPUT = "images"
"""Name of the file's input: (b, 1, size, size) float32 in [0, 1], the lungs' window as
`artasyn.detection.window.prepare` returns it."""

OUTPUTS = ("reconstruction", "heatmap", "novelty", "lungs")
"""Names of the file's outputs, float32, in the order of `artasyn.detection.examination.Maps`."""


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
        self._file = OnnxFile(path, providers, threads)
        try:
            self.settings = DetectorSettings.from_metadata(self._file.metadata)
            square = [1, self.settings.size, self.settings.size]
            shapes = zip(OUTPUTS, (square, square, [], square), strict=True)
            self._file.check_ports({INPUT: square}, dict(shapes))
        except ModelError as error:
            raise ModelError(f"{path}: is no detector of artasyn: {error}; write one with artasyn export") from None

    @property
    def digest(self) -> str:
        """A string that tells two models apart: a hash over the file and all settings."""
        return self._file.digest(self.settings)

    def maps(self, images: Squares) -> Maps:
        """Runs the network on prepared radiographs; see `artasyn.detection.detector.Network`."""
        return Maps(*self._file.run(OUTPUTS, {INPUT: images}))
