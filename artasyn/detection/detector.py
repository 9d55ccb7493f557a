"""The detector: a radiograph in, a score, a heatmap, a mask and the healthy reconstruction out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np

from artasyn.arrays import Image
from artasyn.detection.examination import Detection, Novelties, Squares, examine
from artasyn.detection.onnx_network import OnnxNetwork
from artasyn.detection.settings import DetectorSettings
from artasyn.errors import ModelError
from artasyn.segment import Lungs


@runtime_checkable
class Network(Protocol):
    """A trained network with its settings, whatever runs it.

    `artasyn.detection.network.DetectorNetwork` runs in torch, `artasyn.detection.onnx_network.OnnxNetwork` in
    onnxruntime.

    Attributes:
        settings: what the detector goes by; another record may take their place.
    """

    settings: DetectorSettings

    @property
    def digest(self) -> str:
        """Tells two trained networks apart."""

    def maps(self, images: Squares) -> tuple[Squares, Squares, Novelties]:
        """Reconstructions, heatmaps and novelties of prepared radiographs.

        Args:
            images: float32 (b, 1, size, size) in [0, 1], from `artasyn.detection.window.prepare`.

        Returns:
            Two batches (b, 1, size, size), where the reconstruction is not clipped and the heatmap lies in [0, 1], and
            (b,), see `artasyn.detection.novelty`.
        """


@dataclass(frozen=True, eq=False)
class Detector:
    """Finds anomalies on radiographs as what a network trained on normals reconstructs differently.

    The network sees the lungs' window of a film and says how a healthy chest would look, where the film shows an
    anomaly, and how unusual it is as a whole. The detector brings that back to the film's own grid, restricts it to the
    lungs, and makes score and mask of it. It runs on torch (`from_pretrained`) or on onnxruntime (`from_onnx`); torch
    is imported by the first alone.

    Attributes:
        network: runs the network; it holds the settings.

    Source: ART-ASyn (arXiv 2512.00310), where the score is the mean squared error and the threshold depends on the
    test batch.
    """

    network: Network

    @classmethod
    def from_pretrained(cls, model: str | Path = "bundled", *, device: str = "cpu", **options: Any) -> Detector:
        """Loads a detector that runs on torch.

        Args:
            model: a folder that `save_pretrained` or training wrote, or the id of a model on the Hugging Face hub;
                ``bundled`` is the one that comes with artasyn (its card: ``artasyn/model/README.md``).
            device: of torch: cpu, cuda, cuda:1, mps.
            **options: of `huggingface_hub.PyTorchModelHubMixin.from_pretrained` (revision, token, ...).

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
        """
        from artasyn.detection.network import DetectorNetwork  # torch and timm, which an ONNX file does without

        return cls(DetectorNetwork.from_pretrained(model, **options).to(device))

    @classmethod
    def from_onnx(
        cls, path: str | Path, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> Detector:
        """Loads the file that `artasyn export` wrote; it runs on onnxruntime, without torch.

        Args:
            path: the file, which holds the settings too.
            providers: of onnxruntime, the best first; where None, CUDA if this onnxruntime has it, then the CPU.
            threads: that work on one batch; where None, as many as onnxruntime takes, the physical cores.

        Raises:
            ModelError: there is no such file, or it is no detector, or a provider is not there.
            ArtasynError: onnxruntime is not installed.
        """
        return cls(OnnxNetwork(path, providers, threads))

    @property
    def settings(self) -> DetectorSettings:
        """What the detector goes by."""
        return self.network.settings

    @property
    def threshold(self) -> float:
        """Heatmap value from which a pixel belongs to the mask."""
        return self.settings.threshold

    @property
    def image_threshold(self) -> float:
        """Score from which a radiograph counts as abnormal."""
        return self.settings.image_threshold

    @property
    def digest(self) -> str:
        """Tells two trained detectors apart."""
        return self.network.digest

    def calibrate(self, threshold: float, image_threshold: float) -> None:
        """Replaces the thresholds, in what is saved too.

        Args:
            threshold: heatmap value from which a pixel belongs to the mask.
            image_threshold: score from which a radiograph counts as abnormal.
        """
        self.network.settings = self.settings.calibrated(threshold, image_threshold)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors``, for `from_pretrained`.

        Args:
            folder: is made where it is missing.

        Raises:
            ModelError: the detector runs on onnxruntime.
        """
        save = getattr(self.network, "save_pretrained", None)
        if save is None:
            raise ModelError("a detector from an ONNX file has no weights to save; copy the file")
        save(folder)

    @overload
    def __call__(
        self, images: Image, lungs: Lungs | None = None, *, restrict_to_lungs: bool | None = None
    ) -> Detection: ...
    @overload
    def __call__(
        self,
        images: Sequence[Image],
        lungs: Sequence[Lungs | None] | None = None,
        *,
        restrict_to_lungs: bool | None = None,
    ) -> list[Detection]: ...
    def __call__(self, images: Any, lungs: Any = None, *, restrict_to_lungs: bool | None = None) -> Any:
        """Looks for anomalies on one radiograph or on a batch of them, of any sizes.

        Args:
            images: float32 (h, w) in [0, 1], or a sequence of these.
            lungs: the lungs to look at, on the image's grid; found by PBTSeg where None. A film whose lungs are not
                both found is looked at as a whole.
            restrict_to_lungs: look only at the lungs; None for what the settings say.

        Returns:
            A `Detection`, or a list of them.

        Raises:
            ImageError: an image is none, or its lungs are on another grid.
        """
        if isinstance(images, np.ndarray):
            return self([images], [lungs], restrict_to_lungs=restrict_to_lungs)[0]
        settings = self.settings
        if restrict_to_lungs is not None:
            settings = dataclasses.replace(settings, restrict_to_lungs=restrict_to_lungs)
        return examine(images, [None] * len(images) if lungs is None else lungs, settings, self.network.maps)
