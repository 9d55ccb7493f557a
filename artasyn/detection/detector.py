"""The detector: a radiograph in, a score, a heatmap, a mask and the healthy reconstruction out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol, overload, runtime_checkable

import numpy as np

from artasyn.arrays import GivenImage
from artasyn.detection.examination import Detection, Maps, Squares, examine
from artasyn.detection.onnx_network import OnnxNetwork
from artasyn.detection.settings import DetectorSettings, Precision
from artasyn.errors import ImageError, ModelError
from artasyn.files.radiograph import read_radiograph
from artasyn.segment import Lungs
from artasyn.segment.anatomy.anatomy import Anatomy


@runtime_checkable
class Network(Protocol):
    """A trained network with its settings, independent of the library that runs it.

    `artasyn.detection.network.DetectorNetwork` runs in torch, `artasyn.detection.onnx_network.OnnxNetwork` in
    onnxruntime.

    Attributes:
        settings: the settings of the detector; they can be replaced.
    """

    settings: DetectorSettings

    @property
    def digest(self) -> str:
        """A string that tells two trained networks apart."""

    def maps(self, images: Squares) -> Maps:
        """Returns everything that a detector needs of prepared radiographs.

        Args:
            images: float32 (b, 1, size, size) in [0, 1], from `artasyn.detection.window.prepare`.
        """


def _bundled() -> Network:
    """Returns the network that comes with artasyn."""
    from artasyn.detection.network import DetectorNetwork  # needs torch and timm; from_onnx does not

    return DetectorNetwork.from_pretrained("bundled")


@dataclass(frozen=True, eq=False)
class Detector:
    """Finds anomalies on radiographs with a network that is trained on normal radiographs.

    The network sees the lungs' window of a radiograph. The network gives the healthy reconstruction, a heatmap of
    anomalies, and the novelty of the radiograph as a whole. The detector brings the maps back to the radiograph's own
    grid, restricts the heatmap to the lungs, and computes score and mask.

    A detector runs on torch (`from_pretrained`) or on onnxruntime (`from_onnx`). Only `from_pretrained` imports torch.
    ``Detector()`` is the detector that comes with artasyn, as ``Detector.from_pretrained()``.

    Attributes:
        network: the network with its settings.

    Source: ART-ASyn (arXiv 2512.00310). There the score is the mean squared error, and the threshold depends on the
    test batch.
    """

    network: Network = field(default_factory=_bundled)

    def __post_init__(self) -> None:
        if isinstance(self.network, str | os.PathLike):
            raise ModelError(
                f"a detector needs a network, not a path; use Detector.from_pretrained({os.fspath(self.network)!r}), "
                "or from_onnx for a file of onnxruntime"
            )

    @classmethod
    def from_pretrained(
        cls, model: str | Path = "bundled", *, device: str = "cpu", precision: Precision = "fp32", **options: Any
    ) -> Detector:
        """Loads a detector that runs on torch.

        Args:
            model: a folder that `save_pretrained` or training wrote, or the id of a model on the Hugging Face hub;
                ``bundled`` is the one that comes with artasyn (its card: ``artasyn/model/README.md``).
            device: a device of torch: cpu, cuda, cuda:1, mps.
            precision: ``bf16`` computes in bfloat16, which is faster where the device has instructions for it and moves
                scores a little; thresholds hold for ``fp32``.
            **options: options of `huggingface_hub.hf_hub_download` (revision, token, ...).

        Raises:
            ModelError: there is no such model, its files are damaged or of another kind, or the device has no such
                precision.
        """
        from artasyn.detection.network import DetectorNetwork  # needs torch and timm; from_onnx does not

        network = DetectorNetwork.from_pretrained(model, **options).to(device)
        network.compute_in(precision)
        return cls(network)

    @classmethod
    def from_onnx(
        cls, path: str | Path, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> Detector:
        """Loads a detector from the file that `artasyn export` wrote; the detector runs on onnxruntime, without torch.

        Args:
            path: the file, which also holds the settings.
            providers: execution providers of onnxruntime, the best first; None takes CUDA if this onnxruntime has it,
                then the CPU.
            threads: number of threads that work on one batch; None takes onnxruntime's default, the physical cores.

        Raises:
            ModelError: the file does not exist or is no detector, or a provider is not available.
            ArtasynError: onnxruntime is not installed.
        """
        return cls(OnnxNetwork(path, providers, threads))

    @property
    def settings(self) -> DetectorSettings:
        """The settings of the detector."""
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
        """A string that tells two trained detectors apart."""
        return self.network.digest

    def calibrate(
        self, threshold: float, image_threshold: float, healthy_scores: Sequence[float] | None = None
    ) -> None:
        """Replaces the thresholds; `save_pretrained` writes the new ones.

        Args:
            threshold: heatmap value from which a pixel belongs to the mask.
            image_threshold: score from which a radiograph counts as abnormal.
            healthy_scores: scores of healthy radiographs, for `Detection.percentile`; None keeps those that are there.
        """
        self.network.settings = self.settings.calibrated(threshold, image_threshold, healthy_scores)

    def half(self) -> NoReturn:
        """Refuses half precision.

        Raises:
            ModelError: always; the message says why.
        """
        raise ModelError("a detector keeps its weights in 32 bits; precision='bf16' of from_pretrained computes in 16")

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors``, for `from_pretrained`.

        Args:
            folder: the folder to write to; it is created if it is missing.

        Raises:
            ModelError: the detector runs on onnxruntime.
        """
        save = getattr(self.network, "save_pretrained", None)
        if save is None:
            raise ModelError("a detector from an ONNX file has no weights to save; copy the file")
        save(folder)

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a path of text counts as one image, not as a sequence
        self, images: GivenImage, lungs: Lungs | Anatomy | None = None, *, restrict_to_lungs: bool | None = None
    ) -> Detection: ...
    @overload
    def __call__(
        self,
        images: Sequence[GivenImage],
        lungs: Sequence[Lungs | Anatomy | None] | None = None,
        *,
        restrict_to_lungs: bool | None = None,
    ) -> list[Detection]: ...
    def __call__(self, images: Any, lungs: Any = None, *, restrict_to_lungs: bool | None = None) -> Any:
        """Looks for anomalies on one radiograph or on a batch of them, of any sizes.

        Args:
            images: float32 (h, w) in [0, 1], or the path of a file; or a sequence of these.
            lungs: the lungs to examine, on the image's grid, or an anatomy, whose whole lungs are taken. With None,
                PBTSeg finds them and lays the window, and `DetectorSettings.region` says who tells where they are in
                it. With lungs that are given, scores and thresholds fit less well. A radiograph on which not both lungs
                are found is examined as a whole. A radiograph that is unusable (`Detection.status`) is examined too,
                but never called abnormal.
            restrict_to_lungs: examine only the lungs; None takes the value of the settings.

        Returns:
            A `Detection`, or a list of them.

        Raises:
            ImageError: an image is not valid, or its lungs are on another grid.
            RadiographError: a file cannot be read.
        """
        if not isinstance(images, np.ndarray | Sequence | os.PathLike):
            raise ImageError(
                f"images must be a numpy array (h, w), a path, or a list of these, not {type(images).__name__}; "
                "tensors: image.numpy()"
            )
        if isinstance(images, np.ndarray | str | os.PathLike):
            return self([images], [lungs], restrict_to_lungs=restrict_to_lungs)[0]
        images = [read_radiograph(each) if isinstance(each, str | os.PathLike) else each for each in images]
        settings = self.settings
        if restrict_to_lungs is not None:
            settings = dataclasses.replace(settings, restrict_to_lungs=restrict_to_lungs)
        return examine(images, [None] * len(images) if lungs is None else lungs, settings, self.network.maps)
