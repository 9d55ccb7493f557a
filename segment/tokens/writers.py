"""What a writer of masks says of a film, and the small writer: the anatomy network's features and a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from artasyn.arrays import Image
from artasyn.errors import ModelError
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.window import Window
from artasyn.segment.tokens.answers import CODES, LOCATIONS, MaskTokens
from artasyn.segment.tokens.crops import BINS, Bins
from artasyn.segment.tokens.decoder import CODE, END, LOCATION, VIEW, VOCABULARY, TokenNetwork
from artasyn.segment.tokens.grammar import AnswerGrammar, Expected, TokenIds
from artasyn.segment.tokens.learning import STEPS, examples_of, fitted
from artasyn.segment.tokens.learnt_words import LearntSettings, LearntWords
from artasyn.segment.tokens.settings import View
from artasyn.segment.tokens.words import Request, name_of
from artasyn.shapes import Float, Int64
from artasyn.tensors import on_one_thread


@dataclass(frozen=True)
class Said:
    """What a writer says of one structure.

    Attributes:
        name: of the structure or the view, as answers call it.
        box: top, left, bottom and right edge, 0 to 1023 over the film; None if it is absent.
        codes: of the shape; empty for a box alone.
        sure: probability that the writer gives to this being there, in [0, 1].
    """

    name: str
    box: Bins | None = None
    codes: tuple[int, ...] = ()
    sure: float = 0.0

    @property
    def tokens(self) -> MaskTokens | None:
        """The mask as tokens; None if it is absent, or if there is a box alone."""
        return MaskTokens(self.box, self.codes) if self.box is not None and self.codes else None

    def text(self) -> str:
        """Returns the answer as text; it is empty for an absent structure."""
        if self.box is None:
            return ""
        edges = "".join(f"<loc{edge:04d}>" for edge in self.box)
        return f"{edges}{''.join(f'<seg{code:03d}>' for code in self.codes)} {self.name}"


@runtime_checkable
class Writer(Protocol):
    """A language model that answers requests about a film, independent of the library that runs it."""

    @property
    def names(self) -> tuple[str, ...]:
        """Structures that it can write."""

    @property
    def digest(self) -> str:
        """A string that tells two writers apart."""

    def write(self, image: Image, request: Request) -> list[Said]:
        """Answers a request: one answer for each structure, or one for a caption or a view.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.
            request: whose structures are among `names`.
        """


@runtime_checkable
class AdaptableWriter(Writer, Protocol):
    """A writer that takes adapters: what it has learnt besides its own weights."""

    def with_adapter(self, folder: Path) -> Writer:
        """Returns the writer with an adapter from a folder."""

    def save_adapter(self, folder: str | Path) -> None:
        """Writes the adapter to a folder."""


IDS = TokenIds(tuple(range(LOCATION, LOCATION + BINS + 1)), tuple(range(CODE, CODE + CODES)), END, (END,))
"""The vocabulary of `TokenNetwork`; each of its rows holds one answer."""


@dataclass(frozen=True, eq=False)
class SmallWriter:
    """The small writer: a decoder that looks at films through the frozen anatomy network.

    Attributes:
        network: the decoder.
        anatomy: the network whose features it sees.
        learnt: words that it has learnt besides its own; None for none.

    Raises:
        ModelError: the decoder has learnt from another anatomy network, or the words belong to another decoder.
    """

    network: TokenNetwork
    anatomy: AnatomyNetwork
    learnt: LearntWords | None = None

    def __post_init__(self) -> None:
        settings, own = self.network.settings, self.anatomy.settings
        if settings.size != own.size or settings.anatomy not in ("", self.anatomy.digest):
            raise ModelError(
                f"this writer of masks belongs to another anatomy network ({settings.anatomy or settings.size}, not "
                f"{self.anatomy.digest if settings.size == own.size else own.size}); load it with the anatomy network "
                "that it was trained with, or train it again with python -m benchmarks.train_tokens"
            )
        if self.learnt is not None and self.learnt.settings.base != self.network.digest:
            raise ModelError(
                f"the learnt words {', '.join(self.learnt.settings.names)} belong to another writer of masks "
                f"({self.learnt.settings.base}, not {self.network.digest}); load that writer, or learn them again"
            )
        if self.learnt is not None and (
            self.learnt.settings.shallow != settings.features[1] or {*self.learnt.settings.names} & {*settings.names}
        ):
            raise ModelError(
                f"the learnt words {', '.join(self.learnt.settings.names)} do not fit their writer; copy them again"
            )

    @classmethod
    def from_pretrained(
        cls, model: str | Path = "bundled", anatomy: str | Path = "bundled", **options: Any
    ) -> SmallWriter:
        """Loads a small writer.

        Args:
            model: a folder that training wrote, ``bundled``, or the id of a model on the Hugging Face hub.
            anatomy: the anatomy network, likewise.
            **options: options of `huggingface_hub.hf_hub_download`.

        Raises:
            ModelError: there is no such model, its files are damaged or of another kind, or the two do not fit.
            MissingExtra: transformers is not installed.
        """
        network = TokenNetwork.from_pretrained(model, **options)
        return cls(network, AnatomyNetwork.from_pretrained(anatomy, **options))

    @property
    def names(self) -> tuple[str, ...]:
        """Structures that it can write."""
        return self.speaking.settings.names

    @cached_property
    def digest(self) -> str:
        """A string that tells two writers apart."""
        return self.speaking.digest

    @cached_property
    def speaking(self) -> TokenNetwork:
        """The decoder with all words."""
        return self.network if self.learnt is None else self.network.with_words(self.learnt)

    def with_words(self, learnt: LearntWords) -> SmallWriter:
        """Returns the writer with further learnt words.

        Args:
            learnt: words of this writer.

        Raises:
            ModelError: the words belong to another writer, or one of them is learnt already.
        """
        return replace(self, learnt=learnt if self.learnt is None else self.learnt.joined(learnt))

    def with_adapter(self, folder: Path) -> SmallWriter:
        """Returns the writer with further learnt words, from a folder.

        Args:
            folder: a folder that `save_adapter` wrote.

        Raises:
            ModelError: there are no words, they are damaged, they belong to another writer, or one is learnt already.
        """
        return self.with_words(LearntWords.from_pretrained(folder))

    def save_adapter(self, folder: str | Path) -> None:
        """Writes all learnt words as ``config.json`` and ``model.safetensors``, without the writer itself.

        Args:
            folder: the folder to write to; it is created if it is missing.

        Raises:
            ModelError: no word was learnt.
        """
        if self.learnt is None:
            raise ModelError("this writer has learnt no word that could be saved; teach it one with adapt")
        self.learnt.save_pretrained(folder)

    def taught(self, name: str, images: Sequence[Image], masks: Sequence[np.ndarray], seed: int = 0) -> SmallWriter:
        """Returns a writer that has learnt a word from films: the same bytes for any number of threads.

        Args:
            name: the new structure.
            images: float32 (h, w) in [0, 1], bright = dense.
            masks: bool (h, w), each on its film's grid.
            seed: of the copies of the films and of their order.
        """
        with torch.inference_mode(False), torch.enable_grad(), on_one_thread():
            seen = examples_of(images, masks, self.anatomy, seed)
            layer = fitted(seen, steps=STEPS, seed=seed).layer
        assert layer.bias is not None
        settings = LearntSettings(
            base=self.network.digest, names=(name,), films=(len(images),), shallow=layer.in_channels
        )
        return self.with_words(LearntWords.of(settings, layer.weight[None, :, :, 0, 0], layer.bias[None]))

    @torch.inference_mode()
    def write(self, image: Image, request: Request) -> list[Said]:
        """Answers a request, see `Writer.write`. A caption is the structure whose box is most probably the given one.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.
            request: whose structures are among `names`.

        Raises:
            ModelError: the network gives values that are not finite.
        """
        window = Window.of((image.shape[0], image.shape[1]), self.network.settings.size)
        square = torch.from_numpy(window.prepare(image))[None, None]
        deep, shallow, _ = self.anatomy.trunk(square.contiguous(memory_format=torch.channels_last))
        if request.task == "view":
            return [self._view(deep, shallow)]
        if request.box is not None:
            return [self._caption(deep, shallow, _in_square(request.box, window), request.box)]
        return self._structures(deep, shallow, window, request)

    def _structures(self, deep: Tensor, shallow: Tensor, window: Window, request: Request) -> list[Said]:
        """Writes the boxes or the masks of structures, all at once."""
        request.check_known(self.names)
        codes = self.network.settings.codes if request.task == "segment" else 0
        word = torch.tensor([self.names.index(name) for name in request.structures])
        writing = self.speaking.writing(deep, shallow, torch.zeros_like(word), word)
        grammar = AnswerGrammar(IDS, [(Expected(codes),)] * len(word))
        written, sure = torch.zeros(len(word), 0, dtype=torch.int64), torch.zeros(len(word))
        for step in range(LOCATIONS + codes):
            scores = grammar(written, writing.next(written))
            if step == 0:
                sure = 1 - scores.softmax(dim=1)[:, END]
                scores[:, END] = torch.where(sure >= PRESENT, -torch.inf, torch.inf)  # many bins share what is sure
                if bool((sure < PRESENT).all()):
                    written = scores.argmax(dim=1, keepdim=True)
                    break
            written = torch.cat([written, scores.argmax(dim=1, keepdim=True)], dim=1)
        written = torch.cat([written, torch.full((len(word), 1), END)], dim=1)
        found = []
        for name, (spoken,), share in zip(request.structures, grammar.read(written), sure.tolist(), strict=True):
            box = None if spoken.box is None else _on_film(spoken.box, window)
            found.append(Said(name_of(name), box, spoken.codes, share))
        return found

    def _caption(self, deep: Tensor, shallow: Tensor, square: Bins, box: Bins) -> Said:
        """Finds the structure whose box is most probably the given one."""
        word = torch.arange(len(self.names))
        given = torch.tensor(square).expand(len(word), LOCATIONS)
        writing = self.speaking.writing(deep, shallow, torch.zeros_like(word), word)
        total = torch.zeros(len(word))
        for step in range(LOCATIONS):
            total += _near(writing.next(given[:, :step]), given[:, step], first=step == 0)
        shares = total.softmax(dim=0)
        best = int(shares.argmax())
        return Said(name_of(self.names[best]), box, (), float(shares[best]))

    def _view(self, deep: Tensor, shallow: Tensor) -> Said:
        """Finds the view of the film."""
        word = torch.tensor([len(self.names)])  # the view
        logits = self.speaking.writing(deep, shallow, torch.zeros_like(word), word).next(
            torch.zeros(1, 0, dtype=torch.int64)
        )
        shares = logits[0, VIEW:VOCABULARY].softmax(dim=0)
        best = int(shares.argmax())
        return Said(get_args(View)[best], None, (), float(shares[best]))


PRESENT = 0.5
"""Probability that a structure is there from which its box is written."""

NEAR = 20.0
"""Bins by which a given edge may usually miss the edge that a writer would write, for captions."""


def _near(
    logits: Float[Tensor, "rows vocabulary"], edges: Int64[Tensor, " rows"], *, first: bool
) -> Float[Tensor, " rows"]:
    """Returns the logarithm of the probability of an edge near a given one, for each row."""
    shares = logits[:, LOCATION : LOCATION + BINS + 1]
    if first:
        shares = torch.cat([shares, logits[:, END : END + 1]], dim=1)
    shares = shares.softmax(dim=1)[:, : BINS + 1]
    weights = torch.exp(-(((torch.arange(BINS + 1) - edges[:, None]) / NEAR) ** 2) / 2)
    return (shares * weights).sum(dim=1).clamp(min=1e-9).log()


def _on_film(box: Bins, window: Window) -> Bins:
    """Returns the bins over a film of a box in bins over the square."""
    found = []
    for place, edge in enumerate(box):
        start, length = (window.top, window.height) if place % 2 == 0 else (window.left, window.width)
        share = (edge / BINS * window.size - start) / length
        found.append(min(BINS, max(0, round(BINS * share))))
    return found[0], found[1], found[2], found[3]


def _in_square(box: Bins, window: Window) -> Bins:
    """Returns the bins over the square of a box in bins over a film."""
    found = []
    for place, edge in enumerate(box):
        start, length = (window.top, window.height) if place % 2 == 0 else (window.left, window.width)
        found.append(round((edge / BINS * length + start) / window.size * BINS))
    return found[0], found[1], found[2], found[3]
