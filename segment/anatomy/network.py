"""The network that reads anatomy, in torch: a radiograph in, a logit for every structure and the patient's turn out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.errors import ModelError
from artasyn.networks.blocks import block, enlarged
from artasyn.networks.encoders import create_encoder, feature_maps
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.anatomy.window import STRIDE
from artasyn.shapes import Float
from artasyn.tensors import Images

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

    def forward(self, images: Images, angle: Angles | None = None) -> tuple[Float[Tensor, "b k y x"], Angles]:
        """Returns the logits of all structures, and the estimated turns.

        Args:
            images: (b, 1, size, size) in [0, 1], from `artasyn.segment.anatomy.window.prepare`.
            angle: known turns (b, 2); a row with NaN is unknown, and None leaves all unknown.

        Returns:
            Logits (b, k, size / 2, size / 2), and turns (b, 2). The estimate does not see the known turns. It is not
            of length 1: the less sure the turn, the shorter.
        """
        maps = feature_maps(self.encoder, images)
        fine, middle, coarse = (maps[place] for place in self.used)
        turn: Tensor = self.turn(coarse.mean(dim=(2, 3)))
        scale, shift = self.film(self._told(angle, turn)).chunk(2, dim=1)
        coarse = coarse * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
        deep: Tensor = self.deep(torch.cat([enlarged(coarse, middle), middle], dim=1))
        shallow: Tensor = self.shallow(torch.cat([enlarged(deep, fine), fine], dim=1))
        return F.pixel_shuffle(self.head(shallow), STRIDE), turn

    @staticmethod
    def _told(angle: Angles | None, like: Angles) -> Float[Tensor, "b 3"]:
        """Returns sine, cosine and 1 of known turns, and zeros of unknown ones."""
        if angle is None:
            return like.new_zeros(len(like), 3)
        known = angle.isfinite().all(dim=1, keepdim=True)
        return torch.cat([torch.where(known, angle, 0.0), known.to(angle.dtype)], dim=1)
