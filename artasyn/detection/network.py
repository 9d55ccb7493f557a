"""The detector's network in torch: reconstruction, head and novelty, with the settings that belong to them."""

# The annotations are not postponed: huggingface_hub reads the class of `config` from the signature.

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.detection.examination import Maps, Squares
from artasyn.detection.head import DiscriminativeHead
from artasyn.detection.novelty import Novelty, Statistics
from artasyn.detection.reconstruction import ReconstructionNet
from artasyn.detection.regions import statistics, zones_of
from artasyn.detection.settings import DetectorSettings, Precision
from artasyn.detection.stored import DETECTOR
from artasyn.errors import ImageError, ModelError
from artasyn.networks.stored import digest_of, replacing_model
from artasyn.shapes import Float
from artasyn.tensors import Images

TOGETHER = 4
"""Radiographs that a processor looks at together; the maps of more of them leave its cache, which costs a fifth."""


class NetworkOutput(NamedTuple):
    """The output of a detector's network for a batch of prepared radiographs.

    Attributes:
        features: the encoder's maps, finest first.
        reconstructions: (b, 1, size, size), not clipped.
        heatmaps: (b, 1, size, size) in [0, 1].
        logits: (b, 1, size, size) of the head; None without a head.
        lungs: (b, 1, size, size), logits of the lungs by the head; None without a head.
    """

    features: list[Tensor]
    reconstructions: Tensor
    heatmaps: Tensor
    logits: Tensor | None
    lungs: Tensor | None


class DetectorNetwork(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="artasyn",
    license="mit",
    tags=["chest-radiograph", "anomaly-detection"],
):
    """The network of an `artasyn.detection.detector.Detector`, as torch trains, runs and stores it.

    The network sees the lungs' window of a radiograph, x, and reconstructs the window as a healthy chest, x'. A
    discriminative head computes the heatmap from the encoder's features and ``x - x'``. This heatmap is the probability
    of an anomaly, as far as synthetic anomalies resemble real ones.

    Without the head the heatmap is ``|G * (x - x')|``. The Gaussian G smooths before the absolute value is taken: edges
    that are reconstructed a pixel off cancel out, and a region that is too dense or too lucent remains.

    The head also marks the lungs, hidden and diseased parts too. It learnt them from the anatomy of healthy
    radiographs, read before an anomaly was put on them.

    `Novelty` measures how far the radiograph as a whole is from normal ones. It shifts the log-odds of the score, and
    those of a head's heatmap.

    `from_pretrained(folder or hub id)` and `save_pretrained(folder)` read and write ``config.json`` and
    ``model.safetensors`` through huggingface_hub.

    Args:
        config: the settings.

    Attributes:
        precision: the numbers that features and maps are computed with; the novelty always takes 32 bits. It is
            not stored; see `compute_in`.

    Source: ART-ASyn (arXiv 2512.00310), with the head as in DRAEM (ICCV 2021).
    """

    regions: Tensor

    def __init__(self, config: DetectorSettings = DetectorSettings()) -> None:
        super().__init__()
        self.settings = config
        self.precision: Precision = "fp32"
        self.network = ReconstructionNet(config.encoder, size=config.size, levels=config.levels)
        self.register_buffer("regions", zones_of(torch.ones(1, 1, config.size, config.size)))
        if config.has_head:
            self.head = DiscriminativeHead(self.channels)
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
        self.novelty = Novelty(self.channels, config.groups)  # afterwards: its matrices are no images

    @property
    def settings(self) -> DetectorSettings:
        """The settings, where huggingface_hub finds them when it saves."""
        config: Any = self._hub_mixin_config
        settings: DetectorSettings = config
        return settings

    @settings.setter
    def settings(self, settings: DetectorSettings) -> None:
        self._hub_mixin_config = settings

    def calibrate(
        self, threshold: float, image_threshold: float, healthy_scores: Sequence[float] | None = None
    ) -> None:
        """Replaces the thresholds; `save_pretrained` writes the new ones."""
        self.settings = self.settings.calibrated(threshold, image_threshold, healthy_scores)

    @property
    def channels(self) -> list[int]:
        """Channels of the encoder's feature maps, finest first."""
        info: Any = self.network.encoder.feature_info
        return [int(c) for c in info.channels()]

    @property
    def device(self) -> torch.device:
        """The device that holds the network."""
        return next(self.network.parameters()).device

    @property
    def digest(self) -> str:
        """A string that tells two models apart: a hash over all weights and all settings."""
        found = digest_of(self.state_dict(), self.settings)
        return found if self.precision == "fp32" else f"{found}-{self.precision}"

    def compute_in(self, precision: Precision) -> None:
        """Sets the numbers that features and maps are computed with; the weights stay 32 bits.

        Raises:
            ModelError: the network's device has no such numbers.
        """
        if precision == "bf16" and not has_bfloat16(self.device):
            raise ModelError(f"this machine does not compute in bfloat16 on {self.device.type}; take precision fp32")
        self.precision = precision

    def look_at(self, lungs: Images) -> None:
        """Sets the regions of the lungs in the window; call it before `statistics`.

        Args:
            lungs: (1, 1, size, size), the mean lung region of normal radiographs.
        """
        self.regions.copy_(zones_of(lungs))

    def look(self, images: Images) -> NetworkOutput:
        """Runs encoder, decoder and head once on prepared radiographs, without mirroring and novelty.

        Args:
            images: (b, 1, size, size) in [0, 1], from `prepare`.
        """
        settings = self.settings
        features = self.network.encode(images)
        reconstructions = self.network.decode(features, images) if settings.has_decoder else images
        if not settings.has_head:
            difference = smoothed(images - reconstructions, settings.smoothing)
            return NetworkOutput(features, reconstructions, difference.abs().clamp(max=1), None, None)
        logits, lungs = self.head(features, images, reconstructions)
        heatmaps = smoothed(torch.sigmoid(logits), settings.smoothing)
        return NetworkOutput(features, reconstructions, heatmaps, logits, lungs)

    def statistics(self, features: list[Tensor]) -> Statistics:
        """Returns the statistics of features over the regions of the lungs, for the novelty."""
        return statistics([each.float() for each in features], self.regions)

    def forward(self, images: Images) -> tuple[Images, Images, Float[Tensor, " b"], Images]:
        """Returns everything that a detector needs of prepared radiographs, in the order of `Maps`.

        Args:
            images: (b, 1, size, size) in [0, 1], from `prepare`.

        Returns:
            Reconstructions (b, 1, size, size), not clipped; heatmaps (b, 1, size, size); novelties (b,), see `Novelty`;
            and lungs (b, 1, size, size) in [0, 1], 1 everywhere without a head.
        """
        mirrored, count = self.settings.mirrored, images.shape[0]
        rounded = nullcontext() if self.precision == "fp32" else torch.autocast(images.device.type, torch.bfloat16)
        with rounded:
            seen = self.look(torch.cat([images, images.flip(-1)]) if mirrored else images)
        heatmaps, novelties = seen.heatmaps.float(), self.novelty(self.statistics(seen.features))
        lungs = torch.ones_like(heatmaps) if seen.lungs is None else torch.sigmoid(seen.lungs.float())
        if mirrored:
            heatmaps, lungs = ((each[:count] + each[count:].flip(-1)) / 2 for each in (heatmaps, lungs))
            novelties = (novelties[:count] + novelties[count:]) / 2
        if self.settings.has_head:
            against = torch.exp((-self.settings.novelty_prior * novelties).clamp(-80, 80))[:, None, None, None]
            heatmaps = heatmaps / (heatmaps + (1 - heatmaps) * against)
        return seen.reconstructions[:count].float(), heatmaps, novelties, lungs

    @torch.inference_mode()
    def maps(self, images: Squares) -> Maps:
        """Runs `forward` on numpy arrays, in evaluation mode; see `artasyn.detection.detector.Network`."""
        size, kind = self.settings.size, next(self.parameters()).dtype
        if images.ndim != 4 or images.shape[1:] != (1, size, size):
            raise ImageError(f"the network takes images of (b, 1, {size}, {size}), not {images.shape}")
        if kind != torch.float32:
            raise ModelError(
                f"the network's weights are {kind}; its thresholds hold for 32 bits, so call float() on it"
            )
        training = self.training
        self.eval()
        given = torch.from_numpy(images).to(self.device)
        parts = torch.split(given, TOGETHER) if self.device.type == "cpu" else (given,)
        found = zip(*(self(part) for part in parts), strict=True)
        if training:
            self.train()
        return Maps(*(torch.cat(each).cpu().numpy() for each in found))

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Writes ``config.json``, ``model.safetensors`` and a model card: all of them or none.

        Args:
            save_directory: the folder to write to; it is created if it is missing.
            **options: options of `huggingface_hub.ModelHubMixin.save_pretrained`.
        """
        if options.get("push_to_hub"):  # the name of the folder is the name on the hub
            return super().save_pretrained(save_directory, **options)
        with replacing_model(Path(save_directory)) as temporary:
            return super().save_pretrained(temporary, **options)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, model: str | Path = "bundled", **options: Any
    ) -> "DetectorNetwork":
        """Loads a network with its settings, in evaluation mode.

        Args:
            model: a folder that `save_pretrained` or training wrote, or the id of a model on the Hugging Face hub;
                ``bundled`` is the one that comes with artasyn (its card: ``artasyn/model/README.md``).
            **options: options of `huggingface_hub.hf_hub_download` (revision, token, ...).

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
        """
        return DETECTOR.load(cls, model, options)


def has_bfloat16(device: torch.device) -> bool:
    """Tells whether a device computes in bfloat16; a processor without instructions for it may still be slow."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def smoothed(images: Images, sigma: float) -> Images:
    """Blurs a batch (b, 1, h, w) with a Gaussian; `sigma` is a fraction of the rows, and edges are replicated."""
    pixels = sigma * images.shape[-2]
    if pixels < 0.3:
        return images
    rows, columns = (_blurring(length, pixels, images) for length in images.shape[-2:])
    return rows @ images @ columns.T


def _blurring(length: int, pixels: float, like: Tensor) -> Tensor:
    """Returns the matrix that blurs a column of so many pixels: its gradient costs far less than a convolution's."""
    reach = max(1, round(3 * pixels))
    offset = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    kernel = torch.exp(-0.5 * (offset / pixels) ** 2)
    points = torch.eye(length, device=like.device, dtype=like.dtype)[None, None]
    padded = F.pad(points, [0, 0, reach, reach], mode="replicate")
    return F.conv2d(padded, (kernel / kernel.sum())[None, None, :, None])[0, 0]
