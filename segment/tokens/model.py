"""The segmenter that is asked in words: a film and a request in; an anatomy, boxes or text out."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.arrays import Image, check_image
from artasyn.errors import DataError, ModelError
from artasyn.fields import shown
from artasyn.networks.stored import PACKAGE, is_complete
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.tokens.codec import MaskCodec
from artasyn.segment.tokens.crops import Box, check_mask, in_bins
from artasyn.segment.tokens.replies import Reply
from artasyn.segment.tokens.words import Request, Task, structure_named
from artasyn.segment.tokens.writers import AdaptableWriter, Said, SmallWriter, Writer

FINEST = 512
"""Most rows and columns of the maps of an anatomy; on larger films they are coarser than the film."""

BUNDLED = PACKAGE / "token_model"
"""The folder of the writer that comes with artasyn."""


@dataclass(frozen=True, eq=False)
class TokenSegmenter:
    """Answers requests about radiographs with a language model that writes masks as words.

    The anatomy network judges the film: whether it shows an upright chest, and the patient's turn. On a film that it
    does not read, every structure is absent, and the result says why.

    Attributes:
        writer: the language model: `artasyn.segment.tokens.writers.SmallWriter`, or PaliGemma as
            `artasyn.segment.tokens.paligemma.PaliGemmaWriter`.
        codec: reads the masks; it belongs to the codes that the writer has learnt.
        net: judges the film: an `AnatomyNet`, or anything with its call.

    Source: CheXanatomy (arXiv 2606.08420), whose tasks and separators these are; PaliGemma (Beyer et al., arXiv
        2407.07726), whose tokens these are.
    """

    writer: Writer
    codec: MaskCodec
    net: Callable[..., Anatomy]

    @classmethod
    def from_pretrained(
        cls, model: str | Path = "bundled", *, anatomy: str | Path = "bundled", **options: Any
    ) -> TokenSegmenter:
        """Loads the segmenter with the small writer.

        Args:
            model: a folder that training wrote, or the id of a model on the Hugging Face hub; ``bundled`` is the one
                that comes with artasyn (its card: ``artasyn/token_model/README.md``).
            anatomy: the anatomy network, likewise; its features are what the writer sees.
            **options: options of `huggingface_hub.hf_hub_download` (revision, token, ...).

        Raises:
            ModelError: there is no such model, its files are damaged or of another kind, or it belongs to another
                anatomy network.
            MissingExtra: transformers is not installed.
        """
        if model == "bundled" and not is_complete(BUNDLED):
            raise ModelError(
                "no writer of masks comes with this artasyn; train one with python -m benchmarks.train_tokens OUT "
                "--stock STOCK, and give the folder OUT/model"
            )
        writer = SmallWriter.from_pretrained(model, anatomy, **options)
        return cls(writer, MaskCodec.from_pretrained(), AnatomyNet(writer.anatomy))

    @property
    def names(self) -> tuple[str, ...]:
        """Structures that the writer can write."""
        return self.writer.names

    @property
    def digest(self) -> str:
        """A string that tells the writers of two segmenters apart; the codec and the judging network are not in it."""
        return self.writer.digest

    def adapt(
        self, images: Sequence[Image], masks: Sequence[np.ndarray], word: str, *, seed: int = 0
    ) -> TokenSegmenter:
        """Returns a segmenter that has learnt a new word from a few films; this one stays as it is.

        The word is one linear layer on the anatomy network's features; nothing else is trained. It takes seconds on a
        processor, and `save_adapter` writes it as two files of a kilobyte together. Films without the structure teach
        too: their masks are empty.

        Args:
            images: float32 (h, w) in [0, 1] each, bright = dense; upright chests.
            masks: bool (h, w) each, on its film's grid; one at least is not empty.
            word: such as ``lung opacity``: letters and digits, with spaces between them.
            seed: of the varied copies of the films and of their order, from 0 to 2^63 - 1.

        Raises:
            DataError: the seed is out of range, the word is malformed or in use, there is another number of masks than
                of films, a mask is on another grid than its film, all masks are empty, or a film shows no chest.
            ImageError: not an `Image`, or a mask is no bool array.
            ModelError: the writer is not the small one, which alone learns so; see `PaliGemmaWriter.loss`.

        Example:
            >>> from artasyn import Phantom
            >>> chest = Phantom(size=128)(seed=1)
            >>> taught = TokenSegmenter.from_pretrained().adapt([chest.image], [chest.lungs.right], "better lung")
            >>> taught.names[-1]
            'better_lung'
        """
        name = structure_named(word)
        if not 0 <= seed < 2**63:
            raise DataError(f"seed is {seed}, not from 0 to {2**63 - 1}")
        if name in self.names:
            raise DataError(f"{shown(word)} is learnt already; choose another word")
        if not isinstance(self.writer, SmallWriter):
            raise ModelError(
                f"{type(self.writer).__name__} does not learn from a few films; train its adapter with its loss"
            )
        _check_films(images, masks)
        for number, image in enumerate(images):
            if not any((found := self.net(image)).confidence):
                raise DataError(f"film {number + 1} is not read ({found.doubts}); give upright chests")
        return replace(self, writer=self.writer.taught(name, images, masks, seed))

    def save_adapter(self, folder: str | Path) -> None:
        """Writes what the writer has learnt besides its own words, for `with_adapter`.

        Args:
            folder: the folder to write to; it is created if it is missing.

        Raises:
            ModelError: there is nothing to save.
        """
        self._adaptable().save_adapter(folder)

    def with_adapter(self, folder: str | Path) -> TokenSegmenter:
        """Returns a segmenter with what another one has learnt.

        Args:
            folder: a folder that `save_adapter` wrote.

        Raises:
            ModelError: there is no adapter, it is damaged, it belongs to another writer, or one of its words is learnt
                already.
        """
        return replace(self, writer=self._adaptable().with_adapter(Path(folder)))

    def _adaptable(self) -> AdaptableWriter:
        if not isinstance(self.writer, AdaptableWriter):
            raise ModelError(f"{type(self.writer).__name__} has no adapters")
        return self.writer

    def __call__(self, image: Image, prompt: str, *, spacing: tuple[float, float] | None = None) -> Anatomy:
        """Returns the anatomy that a film shows of the structures that were asked for.

        The confidence of a structure is the probability that the writer gives to its being there; it is 0 for an absent
        one.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.
            prompt: such as ``segment heart ; right lung``. A group, such as ``lungs``, stands for its structures.
            spacing: size of a pixel, mm, rows and columns; None if it is unknown.

        Raises:
            ImageError: not an `Image`.
            DataError: the prompt is malformed, asks for unknown structures, or for anything but masks.
            ModelError: the writer gives values that are not finite.
        """
        request = self._asked(prompt, "segment")
        reply = self.reply(image, request, spacing=spacing)
        rows, columns = reply.shape
        scale = min(1.0, FINEST / max(rows, columns))
        grid = max(1, round(rows * scale)), max(1, round(columns * scale))
        masks = self.codec.masks([each.tokens for each in reply.said], grid)
        return Anatomy(
            request.structures, masks.astype(np.float32), reply.judged.angle, reply.confidence, spacing,
            reply.judged.reasons, reply.judged.warnings, (rows, columns),
        )  # fmt: skip

    def reply(self, image: Image, request: Request, *, spacing: tuple[float, float] | None = None) -> Reply:
        """Returns text, boxes, masks and confidence of one answer at once, and how the film was judged.

        On a film that is not read nothing is said.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.
            request: whose structures are among `names`.
            spacing: size of a pixel, mm, rows and columns; None if it is unknown.

        Raises:
            ImageError: not an `Image`.
            DataError: the request asks for unknown structures.
            ModelError: the writer gives values that are not finite.
        """
        check_image(image, "image")
        request.check_known(self.names)
        judged = self.net(image, spacing=spacing)
        read = any(judged.confidence)
        said = self.writer.write(image, request) if read else [Said("")] * max(1, len(request.structures))
        return Reply(request, tuple(said), judged, (image.shape[0], image.shape[1]))

    def answer(self, image: Image, prompt: str) -> str:
        """Returns the answer to any request as text; answers of several structures are joined by `` ; ``.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.
            prompt: ``segment X ; Y``, ``detect X ; Y``, ``caption`` with four location tokens, or ``view``.

        Raises:
            ImageError: not an `Image`.
            DataError: the prompt is malformed, or asks for unknown structures.
            ModelError: the writer gives values that are not finite.
        """
        return self.reply(image, Request.parse(prompt, self.names)).text

    def detect(self, image: Image, prompt: str) -> dict[str, Box | None]:
        """Returns the boxes of structures in pixels: first row, first column, last row + 1, last column + 1.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.
            prompt: such as ``detect heart ; right lung``.

        Returns:
            A box for each structure; None for an absent one.

        Raises:
            ImageError: not an `Image`.
            DataError: the prompt is malformed, asks for unknown structures, or for anything but boxes.
            ModelError: the writer gives values that are not finite.
        """
        request = self._asked(prompt, "detect")
        return dict(zip(request.structures, self.reply(image, request).boxes, strict=True))

    def caption(self, image: Image, box: Box) -> str:
        """Returns the name of the structure whose box is most probably this one; empty on a film that is not read.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.
            box: first row, first column, last row + 1, last column + 1, in pixels.

        Raises:
            ImageError: not an `Image`.
            DataError: the box is empty, or does not lie on the film.
            ModelError: the writer gives values that are not finite.
        """
        check_image(image, "image")
        rows, columns = image.shape
        top, left, bottom, right = map(operator.index, box)  # small numpy integers would overflow
        if not (0 <= top < bottom <= rows and 0 <= left < right <= columns):
            raise DataError(f"box {tuple(box)} is empty or not on a film of {rows} x {columns}")
        request = Request("caption", box=in_bins((top, left, bottom, right), (rows, columns)))
        return self.reply(image, request).text

    def view(self, image: Image) -> str:
        """Returns the view of a film: ``frontal``, ``oblique`` or ``lateral``; empty on a film that is not read.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.

        Raises:
            ImageError: not an `Image`.
            ModelError: the writer gives values that are not finite.
        """
        return self.reply(image, Request("view")).text

    def _asked(self, prompt: str, task: Task) -> Request:
        """Reads a request that must be for one task."""
        request = Request.parse(prompt, self.names)
        if request.task != task:
            raise DataError(f"{shown(prompt)} asks for {request.task}, not {task}; use answer for any task")
        return request


def _check_films(images: Sequence[Image], masks: Sequence[np.ndarray]) -> None:
    """Refuses films and masks that teach nothing."""
    if len(images) == 0 or len(images) != len(masks):
        raise DataError(f"{len(images)} films and {len(masks)} masks; give one mask for each of one film or more")
    for number, (image, mask) in enumerate(zip(images, masks, strict=True), 1):
        check_image(image, f"film {number}")
        check_mask(mask)
        if image.shape != mask.shape:
            raise DataError(f"film {number} is {image.shape}, and its mask {mask.shape}; one grid for both")
    if not any(mask.any() for mask in masks):
        raise DataError("all masks are empty; give one film at least that shows the structure")
