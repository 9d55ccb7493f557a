"""The small network that turns crops of masks into codes and back: a vector-quantised autoencoder in torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.errors import ModelError
from artasyn.fields import Within, check_fields
from artasyn.networks.metadata import settings_of
from artasyn.networks.stored import PACKAGE, ModelKind, digest_of, save_model
from artasyn.segment.tokens.answers import CODES, Grid
from artasyn.segment.tokens.codec import Codes, Crops
from artasyn.shapes import Float, Int64

PATCH = 4
"""Rows and columns of cells that the network sees as one place with more channels."""

Width = Annotated[int, Within(8, 512)]
"""A number of channels."""

CropBatch = Float[Tensor, "b 1 64 64"]
Indices = Int64[Tensor, "b grid grid"]
Vectors = Float[Tensor, "b vector grid grid"]


@dataclass(frozen=True)
class MaskAutoencoderSettings:
    """Holds everything that defines an autoencoder of masks except its weights.

    Attributes:
        grid: rows and columns of codes; 4 for 16 codes, 8 for 64.
        widths: channels of the maps of 16 x 16, 8 x 8 and 4 x 4 places.
        fine: channels of the decoder's map of 32 x 32 places.
        vector: length of the vectors in the codebook.

    Raises:
        ModelError: a number is out of range.

    Example:
        >>> MaskAutoencoderSettings(grid=8).codes
        64
    """

    grid: Grid = 4
    widths: tuple[Width, Width, Width] = (32, 64, 72)
    fine: Width = 16
    vector: Annotated[int, Within(1, 512)] = 32

    def __post_init__(self) -> None:
        check_fields(self, ModelError)

    @property
    def codes(self) -> int:
        """The number of codes of a mask."""
        return self.grid**2

    @classmethod
    def of(cls, values: Any, place: str) -> MaskAutoencoderSettings:
        """Makes settings from the values that JSON holds.

        Args:
            values: the settings by their names.
            place: where the values stand, for the message.

        Raises:
            ModelError: a setting is unknown, or its value is of another type or out of range.
        """
        return settings_of(cls, values, place)


def _kind(grid: Grid) -> ModelKind[MaskAutoencoderSettings]:
    return ModelKind(
        noun="an autoencoder of masks",
        settings=MaskAutoencoderSettings,
        bundled=PACKAGE / "mask_model" / str(grid**2),
        command="python -m benchmarks.train_tokens_codec",
        from_onnx="nothing: no ONNX file of an autoencoder of masks can be loaded",
    )


MASK_MODELS = {grid: _kind(grid) for grid in get_args(Grid)}
"""The autoencoders of masks among the stored models, by the rows of their grid of codes."""


class Residual(nn.Module):
    """Adds to its input what two convolutions make of it; at the start they add nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner, outer = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(outer.weight)
        self.inner = nn.Sequential(nn.ReLU(), inner, nn.ReLU(inplace=True), outer)

    def forward(self, features: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """Returns features of the same shape."""
        more: Tensor = self.inner(features)
        return features + more


class MaskAutoencoder(nn.Module):
    """Encodes crops of masks as codes of a codebook, and decodes codes as soft crops.

    The encoder halves the crop's grid until one place is left for each code, and the nearest vector of the codebook
    stands for the place. The decoder sees all codes, and doubles the grid until it has the crop's.

    Args:
        settings: the grid of codes and the widths.

    Source: van den Oord et al., Neural discrete representation learning (arXiv 1711.00937).

    Example:
        >>> network = MaskAutoencoder(MaskAutoencoderSettings(grid=4)).eval()
        >>> codes = network.encode(np.zeros((2, 64, 64), np.float32))
        >>> codes.shape, network.decode(codes).shape
        ((2, 16), (2, 64, 64))
    """

    codebook: Tensor

    def __init__(self, settings: MaskAutoencoderSettings = MaskAutoencoderSettings()) -> None:
        super().__init__()
        self.settings = settings
        wide, middle, deep = settings.widths
        down: list[nn.Module] = [nn.PixelUnshuffle(PATCH), nn.Conv2d(PATCH**2, wide, 3, padding=1), Residual(wide)]
        down += [nn.Conv2d(wide, middle, 2, stride=2), Residual(middle)]
        up: list[nn.Module] = [nn.ConvTranspose2d(middle, wide, 2, stride=2), Residual(wide), Residual(wide)]
        last = middle
        if settings.grid == 4:
            down += [nn.Conv2d(middle, deep, 2, stride=2)]
            up = [nn.ConvTranspose2d(deep, middle, 2, stride=2), Residual(middle), *up]
            last = deep
        self.down = nn.Sequential(*down, Residual(last), nn.Conv2d(last, settings.vector, 1))
        self.register_buffer("codebook", torch.randn(CODES, settings.vector))
        start = [nn.Conv2d(settings.vector, last, 3, padding=1), Residual(last), Residual(last)]
        fine = [nn.ReLU(), nn.Conv2d(wide, 4 * settings.fine, 1), nn.PixelShuffle(2), nn.ReLU()]
        self.up = nn.Sequential(*start, *up, *fine, nn.Conv2d(settings.fine, 4, 3, padding=1), nn.PixelShuffle(2))
        self.to(memory_format=torch.channels_last)

    def vectors(self, crops: CropBatch) -> Vectors:
        """Returns a vector for each code, before it is replaced by the nearest one of the codebook.

        Args:
            crops: (b, 1, 64, 64) in [0, 1].
        """
        found: Tensor = self.down(2 * crops - 1)
        return found

    def nearest(self, vectors: Vectors) -> Indices:
        """Returns the index of the nearest vector of the codebook for each place."""
        given = vectors.float().permute(0, 2, 3, 1)
        book = self.codebook.to(given.dtype)
        return ((book**2).sum(1) - 2 * given @ book.T).argmin(dim=-1)

    def looked_up(self, indices: Indices) -> Vectors:
        """Returns the vectors of the codebook with these indices."""
        return F.embedding(indices, self.codebook).permute(0, 3, 1, 2)

    def logits(self, vectors: Vectors) -> CropBatch:
        """Returns the logit of every cell.

        Args:
            vectors: from `looked_up`.
        """
        found: Tensor = self.up(vectors)
        return found

    @torch.inference_mode()
    def encode(self, crops: Crops) -> Codes:
        """Returns the codes of crops, see `artasyn.segment.tokens.codec.MaskEncoder`."""
        given = torch.from_numpy(np.ascontiguousarray(crops))[:, None].to(self.codebook.device)
        found = self.nearest(self.vectors(given)).flatten(1)
        return np.asarray(found.cpu().numpy(), np.int64)

    @torch.inference_mode()
    def decode(self, codes: Codes) -> Crops:
        """Returns the crops of codes, see `artasyn.segment.tokens.codec.MaskDecoder`."""
        grid = self.settings.grid
        given = torch.from_numpy(np.ascontiguousarray(codes)).to(self.codebook.device)
        found = torch.sigmoid(self.logits(self.looked_up(given.reshape(-1, grid, grid))))
        return np.asarray(found[:, 0].float().cpu().numpy(), np.float32)

    @property
    def grid(self) -> int:
        """Rows and columns of codes."""
        return self.settings.grid

    @property
    def digest(self) -> str:
        """A string that tells two models apart: a hash over all weights and all settings."""
        return digest_of(self.state_dict(), self.settings)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors`` in half precision: both or none.

        Args:
            folder: the folder to write to; it is created if it is missing.
        """
        save_model(Path(folder), self.state_dict(), self.settings)

    @classmethod
    def from_pretrained(cls, model: str | Path = "bundled", *, grid: Grid = 4, **options: Any) -> MaskAutoencoder:
        """Loads an autoencoder with its settings, in evaluation mode.

        Args:
            model: a folder that `save_pretrained` wrote, or the id of a model on the Hugging Face hub; ``bundled`` is
                one that comes with artasyn (its card: ``artasyn/mask_model/README.md``).
            grid: rows and columns of codes of the bundled one.
            **options: options of `huggingface_hub.hf_hub_download`.

        Raises:
            ModelError: there is no such model or no such grid, or its files are damaged or of another kind.
        """
        return MASK_MODELS[MaskAutoencoderSettings(grid=grid).grid].load(cls, model, options)
