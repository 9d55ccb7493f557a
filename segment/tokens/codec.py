"""Masks as words: a mask becomes location tokens and segmentation tokens, and the tokens become the mask again.

The location tokens hold the place and the size of the mask, the codes its shape alone. A mask that is moved, or whose
film is padded, cropped or enlarged by a whole factor, keeps its codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from artasyn.arrays import Mask, StructureMasks
from artasyn.errors import DataError, ImageError, ModelError
from artasyn.segment.tokens.answers import CODES, Grid, MaskTokens, parse_answers
from artasyn.segment.tokens.crops import SIDE, box_of, check_mask, cropped, in_bins, in_pixels, placed
from artasyn.shapes import Float32, Int64

Crops = Float32[np.ndarray, "b 64 64"]
"""Several `artasyn.segment.tokens.crops.Crop`."""
Codes = Int64[np.ndarray, "b codes"]
"""The codes of several masks, row by row, each from 0 to 127."""

BATCH = 256
"""Masks that the network sees at once."""


@runtime_checkable
class MaskDecoder(Protocol):
    """Makes shapes of codes; any decoder with these two members can stand in for the bundled one.

    PaliGemma's public decoder (``vae-oid.npz``) is such a decoder once it is wrapped. The wrapper has ``grid`` 4. Its
    ``decode`` looks up the codes in the codebook of the file, runs the decoder of the file on the 4 x 4 vectors, and
    maps the result from [-1, 1] to [0, 1] as ``(value + 1) / 2``, so that its border 0 becomes 0.5.

    """

    @property
    def grid(self) -> int:
        """Rows and columns of the codes of a mask: 4 or 8."""

    def decode(self, codes: Codes) -> Crops:
        """Returns the shapes of codes.

        Args:
            codes: int64 (b, grid * grid), 0 to 127, row by row.

        Returns:
            float32 (b, 64, 64) in [0, 1]. A cell belongs to the mask from 0.5 on. Row 0 is at the top edge of the box,
            column 0 at its left edge.
        """


@runtime_checkable
class MaskEncoder(Protocol):
    """Makes codes of shapes: the counterpart of a `MaskDecoder`, with the same codebook."""

    def encode(self, crops: Crops) -> Codes:
        """Returns the codes of shapes.

        Args:
            crops: float32 (b, 64, 64): the share of every cell that the mask covers, in [0, 1].

        Returns:
            int64 (b, grid * grid), 0 to 127, row by row.
        """


@dataclass(frozen=True, eq=False)
class MaskCodec:
    """Writes masks as PaliGemma's tokens, and reads masks from them.

    Attributes:
        decoder: makes shapes of codes.
        encoder: makes codes of shapes; None for a codec that only reads tokens.

    Source: the tokens are those of PaliGemma (Beyer et al., arXiv 2407.07726). CheXanatomy (arXiv 2606.08420) writes
        the anatomy of radiographs with them.
    """

    decoder: MaskDecoder
    encoder: MaskEncoder | None = None

    @classmethod
    def from_pretrained(cls, model: str | Path = "bundled", *, grid: Grid = 4, **options: Any) -> MaskCodec:
        """Loads a codec with an autoencoder of artasyn; this imports torch.

        Args:
            model: a folder that training wrote, or the id of a model on the Hugging Face hub; ``bundled`` is one that
                comes with artasyn (its card: ``artasyn/mask_model/README.md``).
            grid: rows and columns of codes of the bundled one: 4 for 16 codes, as PaliGemma has them, or 8 for 64
                codes, which keep thin structures better.
            **options: options of `huggingface_hub.hf_hub_download` (revision, token, ...).

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.

        Example:
            >>> codec = MaskCodec.from_pretrained()
            >>> mask = np.zeros((200, 100), bool)
            >>> mask[20:80, 30:60] = True
            >>> text = codec.encode(mask)
            >>> text[:36]
            '<loc0102><loc0307><loc0409><loc0614>'
            >>> bool((codec.decode(text, mask.shape) == mask).mean() > 0.98)
            True
        """
        from artasyn.segment.tokens.mask_autoencoder import MaskAutoencoder  # needs torch; other decoders do not

        network = MaskAutoencoder.from_pretrained(model, grid=grid, **options)
        return cls(network, network)

    @property
    def codes(self) -> int:
        """The number of codes of a mask: 16 or 64."""
        return self.decoder.grid**2

    def encode(self, mask: Mask) -> str:
        """Returns the tokens of a mask as text; the text of an empty mask is empty.

        Args:
            mask: bool (h, w).

        Raises:
            ImageError: the mask is no bool array (h, w).
            ModelError: the codec has no encoder.
        """
        (tokens,) = self.tokens([mask])
        return "" if tokens is None else tokens.text()

    def decode(self, text: str, shape: tuple[int, int]) -> Mask:
        """Returns the mask of one answer.

        Args:
            text: the tokens of one mask, with or without a name behind them; empty for an absent structure.
            shape: rows and columns of the film.

        Returns:
            bool (h, w); empty where the structure is absent.

        Raises:
            DataError: the text is malformed, holds several answers, or codes for another grid than the codec's.
        """
        answers = parse_answers(text)
        if len(answers) > 1:
            raise DataError(f"the text holds {len(answers)} answers, expected one; read it with parse_answers")
        mask: Mask = self.masks([answers[0].tokens], shape)[0]
        return mask

    def tokens(self, masks: Sequence[np.ndarray] | StructureMasks) -> list[MaskTokens | None]:
        """Returns the tokens of several masks; None for an empty mask.

        Args:
            masks: bool (h, w) each; their shapes may differ.

        Raises:
            ImageError: a mask is no bool array (h, w).
            ModelError: the codec has no encoder, or the encoder gives anything but codes of the codec's grid.
        """
        if self.encoder is None:
            raise ModelError("this codec has no encoder; give MaskCodec the encoder that belongs to its decoder")
        for mask in masks:
            check_mask(mask)
        boxes = [box_of(mask) for mask in masks]
        seen = [(mask, box) for mask, box in zip(masks, boxes, strict=True) if box is not None]
        codes: list[tuple[int, ...]] = []
        for first in range(0, len(seen), BATCH):
            part = np.stack([cropped(mask, box) for mask, box in seen[first : first + BATCH]])
            found = self.encoder.encode(part)
            if found.shape != (len(part), self.codes) or not ((found >= 0) & (found < CODES)).all():
                raise ModelError(f"the encoder must give {self.codes} codes from 0 to {CODES - 1}, not {found.shape}")
            codes += [tuple(map(int, each)) for each in found]
        left = iter(codes)
        return [
            None if box is None else MaskTokens(in_bins(box, mask.shape), next(left))
            for mask, box in zip(masks, boxes, strict=True)
        ]

    def masks(self, tokens: Sequence[MaskTokens | None], shape: tuple[int, int]) -> StructureMasks:
        """Returns the masks of several structures on one film.

        Args:
            tokens: of each structure; None for an absent one.
            shape: rows and columns of the film.

        Returns:
            bool (k, h, w); empty where the structure is absent.

        Raises:
            DataError: tokens hold codes for another grid than the codec's.
            ImageError: the shape has no rows or no columns.
            ModelError: the decoder gives anything but values in [0, 1] on 64 x 64 cells.
        """
        if len(shape) != 2 or min(shape) < 1:
            raise ImageError(f"the shape must be rows and columns of a film, at least 1 each, not {tuple(shape)}")
        seen = [(place, each) for place, each in enumerate(tokens) if each is not None]
        for place, each in seen:
            if each.grid != self.decoder.grid:
                raise DataError(
                    f"mask {place + 1} holds {len(each.codes)} codes, expected {self.codes}; "
                    f"take the codec with grid={each.grid}"
                )
        masks = np.zeros((len(tokens), *shape), bool)
        for first in range(0, len(seen), BATCH):
            part = seen[first : first + BATCH]
            crops = self.decoder.decode(np.array([each.codes for _, each in part], np.int64))
            if crops.shape != (len(part), SIDE, SIDE) or not ((crops >= 0) & (crops <= 1)).all():
                raise ModelError(f"the decoder must give values in [0, 1] on {SIDE} x {SIDE} cells, not {crops.shape}")
            for crop, (place, each) in zip(crops, part, strict=True):
                masks[place] = placed(crop, in_pixels(each.box, shape), shape)
        return masks
