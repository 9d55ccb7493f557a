"""The settings of a network that reads anatomy: one frozen record, as config.json and as an ONNX file's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from artasyn.errors import ModelError
from artasyn.fields import STATED, Count, Share, Within, check_fields
from artasyn.networks.metadata import from_metadata, settings_of, to_metadata
from artasyn.segment.structures import ANATOMY

MULTIPLE = 16
"""The side of the network's input is a multiple of this: the coarsest map of the encoder has one pixel for 16."""

Width = Annotated[int, Within(1, 1024)]
"""A number of channels."""

Shares = Annotated[tuple[Share, ...], Count(0, 512)]
"""One number in [0, 1] for each structure."""


@dataclass(frozen=True)
class AnatomySettings:
    """Holds everything that defines a reader of anatomy except the weights of its network.

    Attributes:
        kind: always ``anatomy``; it tells this model from a detector.
        encoder: the timm encoder of `artasyn.segment.anatomy.network.AnatomyNetwork`.
        size: rows and columns that the network sees, a multiple of 16.
        names: names of the structures, in the order of the channels.
        widths: channels of the decoder: at 1/8 of the input's side, at the step to 1/4, and at 1/4.
        thresholds: probability from which a pixel belongs to each structure; training calibrates them. Empty for 0.5.
        agreements: usual agreement of each structure's maps under mirroring and tone, on held-out films; a structure
            that agrees as well as usual has the confidence 1. Training calibrates them. Empty for 1.
        floor: confidence below which a structure counts as not seen: its mask is empty.
        looks: how often the network looks at a film: 1 the film alone, 2 also the mirrored negative, 3 also a darker
            film, 4 also the mirrored film. More looks take more time. Confidence needs 2 or more.
        closer: whether the network then reads the lungs' part of the film again, with more pixels.

    Raises:
        ModelError: a number is out of range, or a list has another length than the names.

    Example:
        >>> settings = AnatomySettings(size=96, names=("lung_right", "heart"), thresholds=(0.5, 0.4))
        >>> settings.threshold("heart"), settings.threshold("lung_right")
        (0.4, 0.5)
        >>> AnatomySettings.from_metadata(settings.to_metadata()) == settings
        True
    """

    kind: Literal["anatomy"] = field(default="anatomy", metadata=STATED)
    encoder: str = "efficientnet_lite0"
    size: Annotated[int, Within(32, 1024)] = 192
    names: Annotated[tuple[str, ...], Count(1, 512)] = ANATOMY
    widths: tuple[Width, Width, Width] = (96, 64, 64)
    thresholds: Shares = ()
    agreements: Shares = ()
    floor: Share = 0.1
    looks: Annotated[int, Within(1, 4)] = 2
    closer: bool = True

    def __post_init__(self) -> None:
        check_fields(self, ModelError)
        if self.size % MULTIPLE:
            raise ModelError(f"AnatomySettings: size is {self.size}, not a multiple of {MULTIPLE}")
        if len(set(self.names)) < len(self.names):
            raise ModelError("AnatomySettings: names holds a structure twice")
        for name in ("thresholds", "agreements"):
            if (count := len(getattr(self, name))) not in (0, len(self.names)):
                raise ModelError(f"AnatomySettings: {name} holds {count} items for {len(self.names)} names")

    def threshold(self, name: str) -> float:
        """Returns the probability from which a pixel belongs to a structure."""
        return self.thresholds[self.names.index(name)] if self.thresholds else 0.5

    def calibrated(
        self, thresholds: Sequence[float] | None = None, agreements: Sequence[float] | None = None
    ) -> AnatomySettings:
        """Returns the same settings with other thresholds or agreements; None keeps what is there."""
        return replace(
            self,
            thresholds=self.thresholds if thresholds is None else tuple(map(float, thresholds)),
            agreements=self.agreements if agreements is None else tuple(map(float, agreements)),
        )

    def to_metadata(self) -> dict[str, str]:
        """Returns the names and values of an ONNX file's metadata, each value as JSON."""
        return to_metadata(self)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> AnatomySettings:
        """Reads the settings from an ONNX file's metadata.

        Raises:
            ModelError: a setting is missing, cannot be read or is out of range.
        """
        return from_metadata(cls, metadata)

    @classmethod
    def of(cls, values: Any, place: str) -> AnatomySettings:
        """Makes settings from the values that JSON holds; where one is missing, its default is taken.

        Args:
            values: the settings by their names.
            place: where the values stand, for the message.

        Raises:
            ModelError: a setting is unknown, or its value is of another type or out of range. The message continues a
                sentence that begins with the file's name.
        """
        return settings_of(cls, values, place)
