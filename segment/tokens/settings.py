"""The settings of the small language model that writes masks as words: one frozen record, as config.json holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from artasyn.errors import ModelError
from artasyn.fields import STATED, Count, Within, check_fields
from artasyn.networks.metadata import settings_of
from artasyn.segment.structures import ANATOMY

Width = Annotated[int, Within(8, 2048)]
"""A number of channels."""

View = Literal["frontal", "oblique", "lateral"]
"""How far a patient is turned from straight through the chest: below 30 degrees, up to 60, and beyond."""

OBLIQUE, LATERAL = 30.0, 60.0
"""Turns from straight through the chest from which a view is oblique, and above which it is lateral, degrees."""


@dataclass(frozen=True)
class TokenSettings:
    """Holds everything that defines a writer of masks except its weights and the anatomy network that it looks through.

    Attributes:
        kind: always ``tokens``; it tells this model from others.
        anatomy: digest of the anatomy network whose features the model has learnt from.
        names: structures that the model can write, in the order of its words.
        size: rows and columns of the square that it sees, as `AnatomySettings.size`.
        features: channels of the anatomy network's features, at 1/8 and at 1/4 of the square's side.
        maps: maps of the square that each word makes of the features.
        width: channels of the decoder.
        layers: layers of the decoder.
        heads: heads of attention in each layer; they divide the width.
        inner: channels within each layer.

    Raises:
        ModelError: a number is out of range, a structure stands twice, or the heads do not divide the width.

    Example:
        >>> TokenSettings(names=("heart", "aorta"), width=48, heads=6).codes
        16
    """

    kind: Literal["tokens"] = field(default="tokens", metadata=STATED)
    anatomy: str = ""
    names: Annotated[tuple[str, ...], Count(1, 512)] = ANATOMY
    size: Annotated[int, Within(32, 1024)] = 128
    features: tuple[Width, Width] = (64, 64)
    maps: Annotated[int, Within(1, 64)] = 4
    width: Width = 192
    layers: Annotated[int, Within(1, 64)] = 4
    heads: Annotated[int, Within(1, 64)] = 6
    inner: Width = 384

    def __post_init__(self) -> None:
        check_fields(self, ModelError)
        if len(set(self.names)) < len(self.names):
            raise ModelError("TokenSettings: names holds a structure twice")
        if self.size % 32:
            raise ModelError(f"TokenSettings: size is {self.size}, not a multiple of 32")
        if self.width % self.heads or self.width % 4:
            raise ModelError(f"TokenSettings: width is {self.width}, not a multiple of 4 and of heads, {self.heads}")

    @property
    def codes(self) -> int:
        """The number of codes of a mask: 4 x 4, as PaliGemma has them."""
        return 16

    @classmethod
    def of(cls, values: Any, place: str) -> TokenSettings:
        """Makes settings from the values that JSON holds.

        Args:
            values: the settings by their names.
            place: where the values stand, for the message.

        Raises:
            ModelError: a setting is unknown, or its value is of another type or out of range.
        """
        return settings_of(cls, values, place)
