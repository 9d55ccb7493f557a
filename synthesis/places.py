"""Where an anomaly may lie: in the lungs of a radiograph, or in a part of them that is named."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass

import numpy as np

from artasyn.arrays import LEFT, RIGHT, Mask
from artasyn.errors import DataError, SynthesisError
from artasyn.segment.anatomy.anatomy import Anatomy, Convention
from artasyn.segment.lungs import Lungs, Zone
from artasyn.segment.projection.projection import Projection
from artasyn.segment.structures import find_members
from artasyn.shapes import Bool, UInt8

Found = Lungs | Anatomy | Projection
"""What tells where the lungs of a radiograph are: lungs alone, or all structures."""

_ZONE = re.compile(r"(upper|middle|lower|central|peripheral)(?:_zone)?(?:_(right|left))?")
_SIDES = {"right": RIGHT, "left": LEFT}
_LUNGS = re.compile(r"lungs|lung_(right|left)")
_REGION, _HIDDEN = 4, 8  # the bits of a stored place, above those of the lungs' labels


@dataclass(frozen=True, eq=False)
class Place:
    """The lungs of a radiograph, and the part of them that an anomaly may change.

    Sizes, contrast and the fade at the pleura come from the lungs. So a nodule in a lobe is as large as a nodule
    anywhere else, and an opacity that fills a lobe ends sharply at the fissure.

    Attributes:
        lungs: both lungs.
        region: bool (h, w), the part of the lungs that an anomaly may change.
        hidden: bool (h, w), the part of the lungs behind the heart, where the image tells nothing of the lung's grey;
            None where the lungs are visible everywhere.
        part: the name of the part.
        convention: the extent of the lungs.

    Example:
        >>> labels = np.zeros((60, 80), np.uint8)
        >>> labels[:, 5:35], labels[:, 45:75] = 1, 2
        >>> place = Place.of(Lungs.from_labels(labels), "upper_zone_left")
        >>> place.present.tolist(), int(place.region.sum())
        ([False, True], 600)
    """

    lungs: Lungs
    region: Mask
    hidden: Mask | None = None
    part: str = "lungs"
    convention: Convention = "visible"

    @classmethod
    def of(cls, found: Found | Place, part: str = "lungs", convention: Convention = "visible") -> Place:
        """Finds a part of the lungs by its name.

        Args:
            found: the lungs, an anatomy or a projection; or a place, which is returned as it is.
            part: ``lungs``, ``lung_right`` or ``lung_left``; a zone, such as ``upper``, ``upper_zone_right`` or
                ``peripheral``; or, of an anatomy or a projection, a structure or a group, such as
                ``lung_lower_lobe_left``.
            convention: the extent of the lungs of an anatomy or a projection.

        Raises:
            SynthesisError: lungs alone do not tell this part or what lies behind the heart, the anatomy has no such
                structure, or the place is another one.
        """
        if isinstance(found, Place):
            if (found.part, found.convention) != (part, convention):
                raise SynthesisError(
                    f"the place is {found.part} of the {found.convention} lungs, not {part} of the {convention} lungs; "
                    "give the anatomy itself"
                )
            return found
        lungs = _lungs(found, convention)
        hidden = None
        if convention == "whole" and not isinstance(found, Lungs) and find_members("heart", found.names):
            hidden = np.asarray(lungs.mask & ~_lungs(found, "visible").mask & found.mask("heart"))
        return cls(lungs, _region(found, lungs, part), hidden, part, convention)

    @property
    def present(self) -> Bool[np.ndarray, " 2"]:
        """Whether the part lies in the right and in the left lung."""
        strips = [slice(start, start + 64) for start in range(0, len(self.region), 64)]  # most are not looked at
        return np.array(
            [any((self.region[at] & (self.lungs.labels[at] == side)).any() for at in strips) for side in (RIGHT, LEFT)]
        )

    def coded(self) -> UInt8[np.ndarray, "h w"]:
        """Returns the place as one array of whole numbers, which `decoded` reads."""
        hidden = np.uint8(0) if self.hidden is None else _HIDDEN * self.hidden.astype(np.uint8)
        return np.asarray(self.lungs.labels + _REGION * self.region.astype(np.uint8) + hidden, np.uint8)

    @classmethod
    def decoded(cls, coded: UInt8[np.ndarray, "h w"], part: str = "lungs", convention: Convention = "visible") -> Place:
        """Returns the place of an array that `coded` made.

        Args:
            coded: uint8 (h, w).
            part: the name of the part.
            convention: the extent of the lungs.

        Raises:
            SynthesisError: the array holds other numbers.
        """
        labels = coded & 3
        if int(coded.max(initial=0)) >= 2 * _HIDDEN or (labels > LEFT).any() or (labels[coded > 3] == 0).any():
            raise SynthesisError("the stored lungs are damaged; make the synthetic image anew")
        hidden = np.asarray(coded & _HIDDEN > 0)
        region = np.asarray(coded & _REGION > 0)
        return cls(Lungs.from_labels(labels), region, hidden if hidden.any() else None, part, convention)

    def to_text(self) -> str:
        """Returns the place as text of a few kilobytes, which `from_text` reads."""
        return base64.b64encode(zlib.compress(self.coded().tobytes(), 9)).decode("ascii")

    @classmethod
    def from_text(cls, text: str, shape: tuple[int, int], part: str, convention: Convention) -> Place:
        """Reads a place that `to_text` wrote.

        Args:
            text: the place.
            shape: rows and columns of the radiograph.
            part: the name of the part.
            convention: the extent of the lungs.

        Raises:
            SynthesisError: the text is no place on a grid of this shape.
        """
        size, inflate = shape[0] * shape[1], zlib.decompressobj()
        try:
            data = inflate.decompress(base64.b64decode(text, validate=True), size + 1)
        except (binascii.Error, zlib.error, ValueError) as error:
            raise SynthesisError(f"the stored lungs are damaged ({error}); make the synthetic image anew") from error
        if len(data) != size or not inflate.eof:
            raise SynthesisError(f"the stored lungs are cut short or of another size than the radiograph of {shape}")
        return cls.decoded(np.frombuffer(data, np.uint8).reshape(shape), part, convention)


def _lungs(found: Found, convention: Convention) -> Lungs:
    """Returns the lungs in a convention.

    Raises:
        SynthesisError: lungs alone do not tell what lies behind the heart, or something else is given.
    """
    if isinstance(found, Lungs):
        if convention == "whole":
            raise SynthesisError("lungs alone do not tell what lies behind the heart; give an Anatomy or a Projection")
        return found
    if isinstance(found, Projection):
        return found.lungs("projected" if convention == "whole" else "visible")
    if not isinstance(found, Anatomy):
        raise SynthesisError(
            f"lungs must be Lungs, an Anatomy or a Projection, not {type(found).__name__}; use Lungs.from_array(labels)"
        )
    return found.lungs(convention)


def _region(found: Found, lungs: Lungs, part: str) -> Mask:
    """Returns a part of the lungs by its name.

    Raises:
        SynthesisError: there is no part of this name.
    """
    side: str | None = None
    if whole := _LUNGS.fullmatch(part):
        region, side = lungs.mask, whole[1]
    elif zone := _ZONE.fullmatch(part):
        name: Zone = zone[1]  # type: ignore[assignment]
        region, side = lungs.zone(name), zone[2]
    elif isinstance(found, Lungs):
        raise SynthesisError(
            f"lungs alone do not tell where {part} is; give an Anatomy or a Projection, or a zone: upper, middle, "
            "lower, central or peripheral, also of one side, as upper_zone_right"
        )
    else:
        try:
            region = found.mask(part) & lungs.mask
        except DataError as error:
            raise SynthesisError(f"no such part of the lungs: {error}") from error
    return np.asarray(region & (lungs.labels == _SIDES[side]) if side else region)
