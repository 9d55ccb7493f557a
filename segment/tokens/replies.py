"""What a segmenter says to one request about one film: text, boxes and masks of one and the same answer."""

from __future__ import annotations

from dataclasses import dataclass

from artasyn.arrays import Mask
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.tokens.answers import SEPARATOR
from artasyn.segment.tokens.codec import MaskCodec
from artasyn.segment.tokens.crops import Box, in_pixels
from artasyn.segment.tokens.words import Request
from artasyn.segment.tokens.writers import Said


@dataclass(frozen=True, eq=False)
class Reply:
    """The answer to a request.

    Attributes:
        request: what was asked.
        said: what the writer says of each structure of the request; of a caption or a view the one answer.
        judged: the anatomy network's result: the patient's turn, and warnings with reasons.
        shape: rows and columns of the film.
    """

    request: Request
    said: tuple[Said, ...]
    judged: Anatomy
    shape: tuple[int, int]

    @property
    def text(self) -> str:
        """The answer as text; answers of several structures are joined by `` ; ``, and an absent one is empty."""
        return SEPARATOR.join(self.texts)

    @property
    def texts(self) -> tuple[str, ...]:
        """The text of each structure; the one text of a caption or a view."""
        named = self.request.task in ("caption", "view")
        return tuple(each.name if named else each.text() for each in self.said)

    @property
    def boxes(self) -> tuple[Box | None, ...]:
        """The box of each structure in pixels, None for an absent one; the one that a caption was asked for."""
        return tuple(None if each.box is None else in_pixels(each.box, self.shape) for each in self.said)

    @property
    def confidence(self) -> tuple[float, ...]:
        """The probability that the writer gives to each structure's being there, 0 for an absent one.

        A caption and a view have the probability of what is named.
        """
        view = self.request.task == "view"
        return tuple(each.sure if view or each.box is not None else 0.0 for each in self.said)

    def mask(self, structure: str, codec: MaskCodec) -> Mask:
        """Returns the mask of a structure on the film's own grid, bool (h, w), as the codec reads it from the text.

        Args:
            structure: one of the request.
            codec: reads the codes of the writer.
        """
        said = self.said[self.request.structures.index(structure)]
        mask: Mask = codec.masks([said.tokens], self.shape)[0]
        return mask
