"""The network that reads anatomy as an ONNX file: the same results from onnxruntime, without torch and timm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from artasyn.errors import ModelError
from artasyn.networks.onnx_file import OnnxFile
from artasyn.segment.anatomy.looks import LookMaps, Squares, Turns
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.anatomy.window import STRIDE

INPUTS = ("images", "angle")
"""Names of the file's inputs: (b, 1, size, size) float32 in [0, 1], as `artasyn.segment.anatomy.window.prepare` returns
a radiograph; and (b, 2) float32, sine and cosine of the patient's turn, NaN where it is unknown."""

OUTPUTS = ("structures", "turn")
"""Names of the file's outputs: probabilities (b, k, size / 2, size / 2) float32 in [0, 1] of the structures that the
metadata name; and (b, 2) float32, sine and cosine of the estimated turn."""


class OnnxAnatomyNetwork:
    """The network of an `artasyn.segment.anatomy.net.AnatomyNet`, from the ONNX file that `artasyn export` wrote.

    Args:
        path: the file.
        providers: execution providers of onnxruntime, the best first; None takes CUDA if this onnxruntime has it, then
            the CPU.
        threads: number of threads that work on one batch; None takes onnxruntime's default, the physical cores.

    Attributes:
        settings: the settings that the file states.

    Raises:
        ModelError: the file does not exist or is no reader of anatomy, or a provider is not available.
        ArtasynError: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] | None = None, threads: int | None = None) -> None:
        self._file = OnnxFile(path, providers, threads)
        try:
            self.settings = AnatomySettings.from_metadata(self._file.metadata)
            size, side = self.settings.size, self.settings.size // STRIDE
            (images, angle), (structures, turn) = INPUTS, OUTPUTS
            self._file.check_ports(
                {images: [1, size, size], angle: [2]}, {structures: [len(self.settings.names), side, side], turn: [2]}
            )
        except ModelError as error:
            raise ModelError(
                f"{path}: is no reader of anatomy of artasyn: {error}; write one with artasyn export"
            ) from None

    @property
    def digest(self) -> str:
        """A string that tells two models apart: a hash over the file and all settings."""
        return self._file.digest(self.settings)

    def read(self, images: Squares, turns: Turns) -> tuple[LookMaps, Turns]:
        """Runs the network on prepared radiographs; see `artasyn.segment.anatomy.net.Network`."""
        maps, found = self._file.run(OUTPUTS, dict(zip(INPUTS, (images, turns), strict=True)))
        return maps, found
