"""The small language model that writes masks as words, in torch: features of a film and a word in, tokens out.

Its layers are those of GPT-2 with cross-attention, by `transformers`. What is asked for is one word, such as
``aorta``. The word makes a few maps of the anatomy network's features; the first begins as that network's own channel.
Three things see the maps: the start of the answer sees their extents along rows and columns, the cross-attention sees
them on a coarse grid, and each code sees the part of the written box that it describes.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.doors import required
from artasyn.errors import ModelError
from artasyn.networks.stored import PACKAGE, ModelKind, digest_of, save_model
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.window import STRIDE
from artasyn.segment.tokens.answers import CODES, LOCATIONS
from artasyn.segment.tokens.crops import BINS
from artasyn.segment.tokens.learnt_words import LearntWords
from artasyn.segment.tokens.settings import TokenSettings, View
from artasyn.shapes import Float, Int64

COARSE = 8
"""Rows and columns of the grid that the cross-attention sees."""

GLIMPSE, PATCH = 32, 4
"""Rows and columns that are sampled from the maps in a box, and those of one place of the first convolution."""

WAVES = 8
"""Octaves of the waves by which the network sees the place of an edge."""

LOCATION, CODE, END, VIEW = 0, BINS + 1, BINS + 1 + CODES, BINS + 2 + CODES
"""The ids of the first location token, the first code, the end of an answer, and the first view."""

VOCABULARY = VIEW + len(get_args(View))
"""The number of ids."""

BY_WORD = ("words", "levels", "named.weight")
"""The weights that have a row for each word."""

TOKEN_MODEL = ModelKind(
    noun="a writer of masks",
    settings=TokenSettings,
    bundled=PACKAGE / "token_model",
    command="python -m benchmarks.train_tokens",
    from_onnx="nothing: no ONNX file of a writer of masks can be loaded",
)
"""The writers of masks among the stored models."""

Deep = Float[Tensor, "films d _ _"]
Shallow = Float[Tensor, "films n _ _"]
Rows = Int64[Tensor, " rows"]
WordMaps = Float[Tensor, "rows maps side side"]
Boxes = Int64[Tensor, "rows 4"]
Embedded = Float[Tensor, "rows _ width"]


class TokenNetwork(nn.Module):
    """Writes the tokens of structures on films.

    A row is one word about one film; several rows may look at the same film. The word after the last structure asks for
    the view. The last word is open: a new word that is learnt from a few films begins as it, see
    `artasyn.segment.tokens.learning`.

    Args:
        settings: structures and widths.

    Raises:
        MissingExtra: transformers is not installed.

    Source: the answers are those of PaliGemma (Beyer et al., arXiv 2407.07726), one mask at a time; the layers those of
        GPT-2 (Radford et al. 2019).
    """

    def __init__(self, settings: TokenSettings = TokenSettings()) -> None:
        super().__init__()
        transformers = required("transformers", extra="tokens")
        self.settings = settings
        width, side = settings.width, settings.size // STRIDE
        deep, shallow = settings.features
        config = transformers.GPT2Config(
            vocab_size=1, bos_token_id=None, eos_token_id=None, n_positions=1 + LOCATIONS + settings.codes,
            n_embd=width, n_layer=settings.layers, n_head=settings.heads, n_inner=settings.inner,
            add_cross_attention=True, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        )  # fmt: skip
        self.layers = transformers.GPT2Model(config)
        given = inspect.signature(transformers.GPT2Model.forward).parameters
        self._cache_name = "cache" if "cache" in given else "past_key_values"
        count = len(settings.names) + 2
        self.words = nn.Parameter(0.02 * torch.randn(count, settings.maps * STRIDE**2, shallow))
        self.levels = nn.Parameter(torch.zeros(count, settings.maps * STRIDE**2))
        self.named = nn.Embedding(count, width)
        self.extents = nn.Sequential(
            nn.Linear(2 * settings.maps * side, width), nn.GELU(), nn.Linear(width, LOCATIONS * width)
        )
        self.scene = nn.Linear(4 * deep, width)
        self.marked = nn.Linear(settings.maps * (side // COARSE) ** 2, width)
        self.places = nn.Parameter(0.02 * torch.randn(COARSE**2, width))
        self.edges = nn.Linear(2 * WAVES + 1, width)
        self.codes = nn.Embedding(CODES, width)
        seen = settings.maps * PATCH**2
        self.glimpse = nn.Sequential(
            *(nn.Conv2d(seen, 128, 3, padding=1), nn.ReLU(), nn.Conv2d(128, 128, 3, padding=1), nn.ReLU()),
            nn.Conv2d(128, width, 2, stride=2),
        )
        self.out = nn.Linear(width, VOCABULARY)

    @torch.no_grad()
    def start_at(self, network: AnatomyNetwork) -> None:
        """Starts the first map of each word at the channel of that structure, where an anatomy network has one.

        Args:
            network: the anatomy network whose features this one sees.
        """
        assert network.head.bias is not None
        for place, name in enumerate(self.settings.names):
            if name in network.settings.names:
                first = network.settings.names.index(name) * STRIDE**2
                part = slice(first, first + STRIDE**2)
                self.words[place, : STRIDE**2] = network.head.weight[part, :, 0, 0]
                self.levels[place, : STRIDE**2] = network.head.bias[part]

    def maps(self, shallow: Shallow, film: Rows, word: Rows) -> WordMaps:
        """Returns the maps that words make of films, in [0, 1].

        Args:
            shallow: features at 1/4 of the square's side.
            film: the film of each row.
            word: the word of each row.
        """
        pixels = shallow.flatten(2)[film]
        found = torch.baddbmm(self.levels[word][..., None], self.words[word], pixels)
        return torch.sigmoid(F.pixel_shuffle(found.reshape(*found.shape[:2], *shallow.shape[2:]), STRIDE))

    def memory(self, deep: Deep, film: Rows, maps: WordMaps) -> Embedded:
        """Returns what the cross-attention sees of each row: (rows, 64, width).

        Args:
            deep: features at 1/8 of the square's side.
            film: the film of each row.
            maps: of each row.
        """
        coarse = F.pixel_unshuffle(F.adaptive_avg_pool2d(deep, 2 * COARSE), 2).flatten(2).transpose(1, 2)
        marks = F.pixel_unshuffle(maps, maps.shape[-1] // COARSE).flatten(2).transpose(1, 2)
        seen: Tensor = self.scene(coarse)[film] + self.marked(marks) + self.places
        return seen

    def begun(self, word: Rows, maps: WordMaps) -> Embedded:
        """Returns what the answer begins with, and what is added at each further edge: (rows, 4, width)."""
        along = torch.cat([maps.amax(dim=3), maps.amax(dim=2)], dim=1).flatten(1)
        found: Tensor = self.extents(along).unflatten(1, (LOCATIONS, -1))
        return torch.cat([found[:, :1] + self.named(word)[:, None], found[:, 1:]], dim=1)

    def edge(self, places: Int64[Tensor, "rows edges"]) -> Embedded:
        """Returns the embedding of edges.

        Args:
            places: in bins of the square, 0 to 1023.
        """
        at = places[..., None] / BINS
        waves = math.pi * at * 2 ** torch.arange(WAVES, device=at.device)
        found: Tensor = self.edges(torch.cat([at, waves.sin(), waves.cos()], dim=-1))
        return found

    def glimpses(self, maps: WordMaps, boxes: Boxes) -> Embedded:
        """Returns what each code sees of its part of a box: (rows, 16, width).

        Args:
            maps: of each row.
            boxes: top, left, bottom and right edge in bins of the square.
        """
        edges = boxes / BINS * 2 - 1
        steps = (torch.arange(GLIMPSE, device=maps.device) + 0.5) / GLIMPSE
        rows = edges[:, :1] + steps * (edges[:, 2:3] - edges[:, :1])
        columns = edges[:, 1:2] + steps * (edges[:, 3:] - edges[:, 1:2])
        shape = (len(boxes), GLIMPSE, GLIMPSE)
        grid = torch.stack([columns[:, None].expand(shape), rows[..., None].expand(shape)], dim=-1)
        found = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
        seen: Tensor = self.glimpse(F.pixel_unshuffle(found, PATCH))
        return seen.flatten(2).transpose(1, 2)

    def forward(
        self,
        deep: Deep,
        shallow: Shallow,
        film: Rows,
        word: Rows,
        boxes: Boxes,
        codes: Int64[Tensor, "rows codes"],
        first: Float[Tensor, "some side side"] | None = None,
    ) -> Float[Tensor, "rows steps vocabulary"]:
        """Returns the logits of every token of known answers, each from the tokens before it.

        Args:
            deep: features of the films at 1/8 of the square's side.
            shallow: features of the films at 1/4 of the square's side.
            film: the film of each row.
            word: the word of each row.
            boxes: the edges, in bins of the square.
            codes: the codes of the shape.
            first: for the last rows, what stands in the place of their first maps; None for none.
        """
        maps = self.maps(shallow, film, word)
        if first is not None:
            known, rest = maps.tensor_split([len(maps) - len(first)])
            maps = torch.cat([known, torch.cat([first[:, None], rest[:, 1:]], dim=1)])
        start, edges = self.begun(word, maps), self.edge(boxes)
        begun = torch.cat([start[:, :1], start[:, 1:] + edges[:, :-1]], dim=1)
        shape = self.glimpses(maps, boxes) + torch.cat([edges[:, -1:], self.codes(codes[:, :-1])], dim=1)
        given = torch.cat([begun, shape], dim=1)
        found = self.layers(
            inputs_embeds=given, encoder_hidden_states=self.memory(deep, film, maps), use_cache=False
        ).last_hidden_state
        logits: Tensor = self.out(found)
        return logits

    def writing(self, deep: Deep, shallow: Shallow, film: Rows, word: Rows) -> Writing:
        """Begins answers, which are then written token by token.

        Args:
            deep: features of the films at 1/8 of the square's side.
            shallow: features of the films at 1/4 of the square's side.
            film: the film of each row.
            word: the word of each row.
        """
        return Writing(self, deep, shallow, film, word)

    @torch.no_grad()
    def with_words(self, learnt: LearntWords) -> TokenNetwork:
        """Returns a network that has learnt words too, behind its own; it is a copy.

        Args:
            learnt: words for networks with this one's features.
        """
        names = learnt.settings.names
        with torch.random.fork_rng(devices=[]):  # its first weights are replaced
            network = TokenNetwork(replace(self.settings, names=self.settings.names + names))
        state, own = self.state_dict(), len(self.settings.names)
        new = {name: state[name][-1:].repeat(len(names), *[1] * (state[name].ndim - 1)) for name in BY_WORD}
        new["words"][:, : STRIDE**2] = learnt.words
        new["levels"][:, : STRIDE**2] = learnt.levels
        for name, rows in new.items():
            state[name] = torch.cat([state[name][:own], rows, state[name][own:]])
        network.load_state_dict(state)
        return network.eval()

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
    def from_pretrained(cls, model: str | Path = "bundled", **options: Any) -> TokenNetwork:
        """Loads a network with its settings, in evaluation mode.

        Args:
            model: a folder that `save_pretrained` or training wrote, or the id of a model on the Hugging Face hub;
                ``bundled`` is the one that comes with artasyn.
            **options: options of `huggingface_hub.hf_hub_download`.

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
            MissingExtra: transformers is not installed.
        """
        return TOKEN_MODEL.load(cls, model, options)


class Writing:
    """Answers that are being written: every row has the same number of tokens.

    Args:
        network: the network.
        deep: features of the films at 1/8 of the square's side.
        shallow: features of the films at 1/4 of the square's side.
        film: the film of each row.
        word: the word of each row.
    """

    def __init__(self, network: TokenNetwork, deep: Deep, shallow: Shallow, film: Rows, word: Rows) -> None:
        transformers = required("transformers", extra="tokens")
        self.network = network
        self.maps = network.maps(shallow, film, word)
        self.memory = network.memory(deep, film, self.maps)
        self.start = network.begun(word, self.maps)
        self.shape: Tensor | None = None
        self.cache = transformers.EncoderDecoderCache(transformers.DynamicCache(), transformers.DynamicCache())

    def next(self, written: Int64[Tensor, "rows tokens"]) -> Float[Tensor, "rows vocabulary"]:
        """Returns the logits of the next token of each row.

        Args:
            written: ids of all tokens so far; one more than at the last call, and none at the first.

        Raises:
            ModelError: the network gives values that are not finite.
        """
        count, network = written.shape[1], self.network
        if count < LOCATIONS:
            given = self.start[:, count]
            if count:
                given = given + network.edge(written[:, -1:].clamp(max=BINS) - LOCATION)[:, 0]
        else:
            if self.shape is None:
                self.shape = network.glimpses(self.maps, written[:, :LOCATIONS].clamp(max=BINS) - LOCATION)
            last = written[:, -1]
            before = (
                network.edge(last[:, None].clamp(max=BINS) - LOCATION)[:, 0]
                if count == LOCATIONS
                else network.codes((last - CODE).clamp(0, CODES - 1))
            )
            given = self.shape[:, count - LOCATIONS] + before
        found = network.layers(
            inputs_embeds=given[:, None],
            encoder_hidden_states=self.memory,
            use_cache=True,
            **{network._cache_name: self.cache},
        ).last_hidden_state
        logits: Tensor = network.out(found[:, 0])
        if not logits.isfinite().all():
            raise ModelError("the network gives values that are not finite; its weights are damaged")
        return logits
