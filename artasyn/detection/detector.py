"""The detector: a radiograph in, a score, a heatmap, a mask and the healthy reconstruction out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args, overload

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.arrays import Image
from artasyn.detection.examination import Detection, Examination, Kind, Novelties, Squares, score
from artasyn.detection.head import DiscriminativeHead
from artasyn.detection.novelty import Novelty
from artasyn.detection.reconstruction import ReconstructionNet
from artasyn.errors import ModelError
from artasyn.segment import Lungs
from artasyn.shapes import Float
from artasyn.tensors import Images

__all__ = ["Detection", "Detector", "Kind", "Look", "score", "smoothed"]

BUNDLED = Path(__file__).parents[1] / "model"
"""The detector that comes with artasyn."""


class Look(NamedTuple):
    """What a detector's network says of a batch of prepared radiographs.

    Attributes:
        features: the encoder's maps, finest first.
        reconstructions: (b, 1, size, size), not clipped.
        heatmaps: (b, 1, size, size) in [0, 1].
        logits: (b, 1, size, size) of the head; None without one.
    """

    features: list[Tensor]
    reconstructions: Tensor
    heatmaps: Tensor
    logits: Tensor | None


class Detector(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="artasyn",
    license="mit",
    tags=["chest-radiograph", "anomaly-detection"],
):
    """Finds anomalies on radiographs as what a network trained on normals reconstructs differently.

    The network sees the lungs' window of a film, x, and reconstructs it as a healthy chest, x'. The heatmap is what a
    discriminative head makes of the encoder's features and of ``x - x'``: the probability of an anomaly, as far as
    synthetic ones are like real ones. Without the head it is ``|G * (x - x')|``, smoothed by a Gaussian G before the
    absolute value, so that edges that are drawn a pixel off cancel out and a region that is denser or more lucent
    than it should be remains. `Novelty` says how far the film as a whole is from normal ones; it moves the odds of
    score and heatmap.

    `from_pretrained(folder or hub id)` and `save_pretrained(folder)` read and write ``config.json`` and
    ``model.safetensors`` through huggingface_hub.

    Args:
        encoder: the timm encoder of `ReconstructionNet`.
        size: rows and columns that the network sees.
        kind: what the heatmap is.
        levels: of the encoder that are used, see `ReconstructionNet`.
        threshold: heatmap value from which a pixel belongs to the mask; training calibrates it.
        image_threshold: score from which a radiograph counts as abnormal; training calibrates it.
        smoothing: standard deviation of the Gaussian as a fraction of the window's side.
        top: share of the pixels whose mean is the score.
        restrict_to_lungs: look only at the lungs, found by PBTSeg unless they are given; their convex hulls with a soft
            border count, so that what disease or the heart hides is looked at too.
        novelty_weight: of the novelty in the score's log-odds; 0 for the heatmap alone.
        novelty_prior: of the novelty in the log-odds of every pixel of a head's heatmap: the same shadow means more on
            an unusual film.
        mirrored: whether the heatmap is the mean of the film's and the mirrored film's: steadier, at twice the time.

    Source: ART-ASyn (arXiv 2512.00310), where the score is the mean squared error and the threshold depends on the
    test batch; the head as in DRAEM (ICCV 2021).
    """

    def __init__(
        self,
        encoder: str = "test_resnet",
        size: int = 128,
        kind: Kind = "discriminative",
        levels: int | None = None,
        threshold: float = 0.5,
        image_threshold: float = 0.5,
        smoothing: float = 0.015,
        top: float = 0.1,
        restrict_to_lungs: bool = True,
        novelty_weight: float = 1.0,
        novelty_prior: float = 0.2,
        mirrored: bool = True,
    ) -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise ModelError(f"no kind of detector {kind!r}; choose from {', '.join(get_args(Kind))}")
        self.network = ReconstructionNet(encoder, size=size, levels=levels)
        self.kind = kind
        info: Any = self.network.encoder.feature_info
        channels = [int(c) for c in info.channels()]
        self.novelty = Novelty(channels, size)
        if kind != "reconstruction":
            self.head = DiscriminativeHead(channels)
        self.size, self.smoothing, self.top = size, smoothing, top
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
        self.restrict_to_lungs, self.mirrored = restrict_to_lungs, mirrored
        self.novelty_weight, self.novelty_prior = novelty_weight, novelty_prior
        self.calibrate(threshold, image_threshold)

    def calibrate(self, threshold: float, image_threshold: float) -> None:
        """Sets the thresholds, in the configuration that is saved too."""
        self.threshold, self.image_threshold = float(threshold), float(image_threshold)
        config: dict[str, Any] | None = getattr(self, "_hub_mixin_config", None)
        if config is not None:
            config.update(threshold=self.threshold, image_threshold=self.image_threshold)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def look(self, images: Images) -> Look:
        """All that the network says of prepared radiographs.

        Args:
            images: (b, 1, size, size) in [0, 1], from `prepare`.
        """
        features = self.network.encode(images)
        plain = self.kind == "segmentation"
        reconstructions = images if plain else self.network.decode(features, images)
        if self.kind == "reconstruction":
            difference = smoothed(images - reconstructions, self.smoothing)
            return Look(features, reconstructions, difference.abs().clamp(max=1), None)
        logits: Tensor = self.head(features, images, reconstructions)
        return Look(features, reconstructions, smoothed(torch.sigmoid(logits), self.smoothing), logits)

    def maps(self, images: Images) -> tuple[Images, Images, Float[Tensor, " b"]]:
        """Reconstructions, heatmaps and novelties of prepared radiographs.

        Args:
            images: (b, 1, size, size) in [0, 1], from `prepare`.

        Returns:
            Two batches (b, 1, size, size), where the reconstruction is not clipped, and (b,), see `Novelty`.
        """
        seen = self.look(images)
        heatmaps, novelties = seen.heatmaps, self.novelty(seen.features)
        if self.mirrored:
            turned = self.look(images.flip(-1))
            heatmaps = (heatmaps + turned.heatmaps.flip(-1)) / 2
            novelties = (novelties + self.novelty(turned.features)) / 2
        if self.kind != "reconstruction":
            against = torch.exp(-self.novelty_prior * novelties)[:, None, None, None]
            heatmaps = heatmaps / (heatmaps + (1 - heatmaps) * against)
        return seen.reconstructions, heatmaps, novelties

    @overload
    def __call__(self, images: Image, lungs: Lungs | None = None) -> Detection: ...
    @overload
    def __call__(self, images: Sequence[Image], lungs: Sequence[Lungs | None] | None = None) -> list[Detection]: ...
    def __call__(self, images: Any, lungs: Any = None) -> Any:
        """Looks for anomalies on one radiograph or on a batch of them, of any sizes.

        Args:
            images: float32 (h, w) in [0, 1], or a sequence of these.
            lungs: the lungs to look at, on the image's grid; found by PBTSeg where None. A film whose lungs are not
                both found is looked at as a whole.

        Returns:
            A `Detection`, or a list of them.

        Raises:
            ImageError: an image is none, or its lungs are on another grid.
        """
        return super().__call__(images, lungs)

    @torch.inference_mode()
    def forward(self, images: Any, lungs: Any = None) -> Any:
        """See `__call__`."""
        examination = Examination(self.size, self.threshold, self.top, self.novelty_weight, self.restrict_to_lungs)
        return examination(images, lungs, self._arrays)

    def _arrays(self, prepared: Squares) -> tuple[Squares, Squares, Novelties]:
        """See `maps`, from arrays to arrays, in evaluation mode."""
        training = self.training
        self.eval()
        found = self.maps(torch.from_numpy(prepared).to(self.device))
        self.train(training)
        reconstructions, heatmaps, novelties = (each.float().cpu().numpy() for each in found)
        return reconstructions, heatmaps, novelties

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, model: str | Path = "bundled", **options: Any
    ) -> Detector:
        """Loads a detector.

        Args:
            model: a folder that `save_pretrained` or training wrote, or the id of a model on the Hugging Face hub;
                ``bundled`` is the one that comes with artasyn (its card: ``artasyn/model/README.md``).
            **options: of `huggingface_hub.PyTorchModelHubMixin.from_pretrained` (revision, token, ...).

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
        """
        folder = BUNDLED if model == "bundled" else Path(model)
        if folder.exists():
            for name in ("config.json", "model.safetensors"):
                if not (folder / name).is_file():
                    raise ModelError(f"{folder}: no {name}; give the folder that artasyn train wrote as OUT/model")
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the mixin prints what it loads
                found = str(folder if folder.exists() else model)
                detector: Detector = super().from_pretrained(found, **{"strict": True} | options)
        except Exception as error:  # whatever the hub, JSON and safetensors raise, with the model's name on it
            raise ModelError(f"{model}: cannot be loaded as a detector: {type(error).__name__}: {error}") from error
        return detector.eval()


def smoothed(images: Images, sigma: float) -> Images:
    """A Gaussian blur of a batch (b, 1, h, w); `sigma` as a fraction of the rows, edges replicated."""
    pixels = sigma * images.shape[-2]
    if pixels < 0.3:
        return images
    reach = max(1, round(3 * pixels))
    offset = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offset / pixels) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(images, [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None, :])
