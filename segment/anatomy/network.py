"""The network that reads anatomy, in torch: a radiograph in, a logit for every structure and the patient's turn out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.errors import ImageError, ModelError
from artasyn.networks.blocks import block, enlarged
from artasyn.networks.encoders import create_encoder, feature_maps
from artasyn.networks.onnx_export import write_onnx
from artasyn.networks.stored import PACKAGE, ModelKind, digest_of, save_model
from artasyn.segment.anatomy.looks import LookMaps, Squares, Turns
from artasyn.segment.anatomy.onnx_network import INPUTS, OUTPUTS
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.anatomy.window import STRIDE
from artasyn.shapes import Float
from artasyn.tensors import Images

ANATOMY_MODEL = ModelKind(
    noun="a reader of anatomy",
    settings=AnatomySettings,
    bundled=PACKAGE / "anatomy_model",
    command="artasyn train-anatomy",
    from_onnx="AnatomyNet.from_onnx",
)
"""The readers of anatomy among the stored models."""

ABOUT = """A reader of anatomy on chest radiographs, written by artasyn. Input: the whole radiograph, bright = dense, as
artasyn.segment.anatomy.window.prepare gives it, and the patient's turn, where it is known. AnatomyNet.from_onnx of
artasyn does all the rest."""

REDUCTIONS = (4, 8, 16)
"""Pixels of the input, in rows and in columns, for one pixel of the encoder's maps that the decoder uses."""

Angles = Float[Tensor, "b 2"]
"""The turns of a batch of patients about the body's axis, as sine and cosine of `View.angle`."""


class AnatomyNetwork(nn.Module):
    """Reads structures, which may overlap, on radiographs at any angle.

    A timm encoder gives maps at 1/4, 1/8 and 1/16 of the input's side. A decoder brings the coarsest map to 1/4, and
    its last layer gives `STRIDE` x `STRIDE` pixels of every structure for each of its own.

    The turn of the patient is estimated from the coarsest map. Where the turn is known, it scales and shifts the
    channels of this map before the decoder (Perez et al., "FiLM", AAAI 2018); where it is unknown, another learnt scale
    and shift does.

    Args:
        settings: encoder, size, names of the structures and widths of the decoder.
        pretrained: start from weights learnt on photographs (`artasyn.networks.pretrained`).

    Raises:
        ModelError: timm does not know the encoder, or the encoder has no maps at 1/4, 1/8 and 1/16.

    Example:
        >>> settings = AnatomySettings(encoder="test_efficientnet", size=64, names=("heart", "spine"))
        >>> network = AnatomyNetwork(settings).eval()
        >>> logits, turn = network(torch.zeros(3, 1, 64, 64))
        >>> logits.shape, turn.shape
        (torch.Size([3, 2, 32, 32]), torch.Size([3, 2]))
    """

    def __init__(self, settings: AnatomySettings = AnatomySettings(), *, pretrained: bool = False) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = create_encoder(settings.encoder, pretrained=pretrained, size=settings.size, levels=4)
        info: Any = self.encoder.feature_info
        places = dict(zip(map(int, info.reduction()), range(len(info.reduction())), strict=True))
        if not set(REDUCTIONS) <= set(places):
            raise ModelError(
                f"{settings.encoder!r} has no maps at 1/4, 1/8 and 1/16 of the input's side; choose another"
            )
        self.used = [places[reduction] for reduction in REDUCTIONS]
        fine, middle, coarse = (int(info.channels()[place]) for place in self.used)
        wide, step, narrow = settings.widths
        self.turn = nn.Linear(coarse, 2)
        self.film = nn.Linear(3, 2 * coarse)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        self.deep = nn.Sequential(block(coarse + middle, wide), nn.Conv2d(wide, step, 1))
        self.shallow = block(step + fine, narrow)
        self.head = nn.Conv2d(narrow, STRIDE**2 * len(settings.names), 1)
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU

    @torch.no_grad()
    def start_at(self, shares: Float[Tensor, " k"]) -> None:
        """Makes an untrained network answer with each structure's usual share of the pixels.

        A training need not learn first how rare each structure is (Lin et al., "Focal loss for dense object detection",
        ICCV 2017, section 3.3).

        Args:
            shares: mean share of the pixels of each structure, in [0, 1].
        """
        usual = torch.logit(shares.to(self.head.weight).clamp(0.001, 0.9))
        assert self.head.bias is not None
        self.head.bias.copy_(usual.repeat_interleave(STRIDE**2))

    def forward(self, images: Images, angle: Angles | None = None) -> tuple[Float[Tensor, "b k y x"], Angles]:
        """Returns the logits of all structures, and the estimated turns.

        Args:
            images: (b, 1, size, size) in [0, 1], from `artasyn.segment.anatomy.window.prepare`.
            angle: known turns (b, 2); a row with NaN is unknown, and None leaves all unknown.

        Returns:
            Logits (b, k, size / 2, size / 2), and turns (b, 2). The estimate does not see the known turns. It is not
            of length 1: the less sure the turn, the shorter.
        """
        _, shallow, turn = self.trunk(images, angle)
        return F.pixel_shuffle(self.head(shallow), STRIDE), turn

    def trunk(
        self, images: Images, angle: Angles | None = None
    ) -> tuple[Float[Tensor, "b d _ _"], Float[Tensor, "b n _ _"], Angles]:
        """Returns what the last layer sees of radiographs, and the estimated turns.

        Args:
            images: (b, 1, size, size) in [0, 1], from `artasyn.segment.anatomy.window.prepare`.
            angle: known turns, as for `forward`.

        Returns:
            Features (b, d, size / 8, size / 8) and, of the last layer, (b, n, size / 4, size / 4), and turns (b, 2).
        """
        maps = feature_maps(self.encoder, images)
        fine, middle, coarse = (maps[place] for place in self.used)
        turn: Tensor = self.turn(coarse.mean(dim=(2, 3)))
        scale, shift = self.film(self._told(angle, turn)).chunk(2, dim=1)
        coarse = coarse * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
        deep: Tensor = self.deep(torch.cat([enlarged(coarse, middle), middle], dim=1))
        shallow: Tensor = self.shallow(torch.cat([enlarged(deep, fine), fine], dim=1))
        return deep, shallow, turn

    @staticmethod
    def _told(angle: Angles | None, like: Angles) -> Float[Tensor, "b 3"]:
        """Returns sine, cosine and 1 of known turns, and zeros of unknown ones."""
        if angle is None:
            return like.new_zeros(len(like), 3)
        known = angle.isfinite().all(dim=1, keepdim=True)
        return torch.cat([torch.where(known, angle, 0.0), known.to(angle.dtype)], dim=1)

    @property
    def device(self) -> torch.device:
        """The device that holds the network."""
        return self.turn.weight.device

    @property
    def digest(self) -> str:
        """A string that tells two models apart: a hash over all weights and all settings."""
        return digest_of(self.state_dict(), self.settings)

    @torch.inference_mode()
    def read(self, images: Squares, turns: Turns) -> tuple[LookMaps, Turns]:
        """Runs the network on numpy arrays, in evaluation mode; see `artasyn.segment.anatomy.net.Network`."""
        size = self.settings.size
        if images.shape[1:] != (1, size, size):
            raise ImageError(f"the network takes images of (b, 1, {size}, {size}), not {images.shape}")
        if training := self.training:  # each switch walks over all modules, which takes milliseconds
            self.eval()
        given = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        logits, turn = self(given, torch.from_numpy(turns).to(self.device))
        if training:
            self.train()
        maps = torch.sigmoid(logits).cpu().contiguous().numpy()
        return np.asarray(maps, np.float32), np.asarray(turn.cpu().numpy(), np.float32)

    def export_onnx(self, path: Path) -> None:
        """Writes the network with its settings as one ONNX file, for batches of any size.

        Args:
            path: the file to write, complete or not at all; its folder is created.

        Raises:
            ArtasynError: onnx or onnxscript is not installed, or torch is too old.
        """
        size = self.settings.size
        images = torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(0))
        write_onnx(
            _Probabilities(copy.deepcopy(self)),
            path,
            inputs=dict(zip(INPUTS, (images, torch.tensor([[0.0, 1.0], [torch.nan, torch.nan]])), strict=True)),
            outputs=OUTPUTS,
            metadata=self.settings.to_metadata(),
            about=ABOUT,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors`` in half precision: both or none.

        Args:
            folder: the folder to write to; it is created if it is missing.
        """
        save_model(Path(folder), self.state_dict(), self.settings)

    @classmethod
    def from_pretrained(cls, model: str | Path = "bundled", **options: Any) -> AnatomyNetwork:
        """Loads a network with its settings, in evaluation mode.

        Args:
            model: a folder that `save_pretrained` or training wrote, or the id of a model on the Hugging Face hub;
                ``bundled`` is the one that comes with artasyn (its card: ``artasyn/anatomy_model/README.md``).
            **options: options of `huggingface_hub.hf_hub_download` (revision, token, ...).

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
        """
        return ANATOMY_MODEL.load(cls, model, options)


class _Probabilities(nn.Module):
    """The network as an ONNX file has it: with probabilities in the place of logits."""

    def __init__(self, network: AnatomyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Images, angle: Angles) -> tuple[Float[Tensor, "b k y x"], Angles]:
        logits, turn = self.network(images, angle)
        return torch.sigmoid(logits), turn
