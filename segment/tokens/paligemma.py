"""PaliGemma as the writer of masks, for users who have its weights: the same requests, tokens and grammar.

A film is a picture of the model's own size. The prompt is the request as text, and the answer is written under
`AnswerGrammar`. A LoRA of rank 16 on the language model adapts it; the vision tower stays as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import torch
from torch import Tensor

from artasyn.arrays import Image
from artasyn.doors import required
from artasyn.errors import DataError, ModelError
from artasyn.files.texts import read_text
from artasyn.records import parse_json
from artasyn.segment.structures import ANATOMY
from artasyn.segment.tokens.answers import CODES, LENGTHS, SEPARATOR
from artasyn.segment.tokens.crops import BINS
from artasyn.segment.tokens.grammar import AnswerGrammar, Expected, Ids, Spoken, TokenIds
from artasyn.segment.tokens.settings import View
from artasyn.segment.tokens.words import Request, name_of
from artasyn.segment.tokens.writers import Said
from artasyn.shapes import Float, Int64

EXTRA = "tokens"
"""The extra that brings transformers and peft."""

RANK = 16
"""Rank of the LoRA."""

ADAPTED = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""The layers that the LoRA adapts: attention and feed-forward of the language model."""

ABOUT = "artasyn.json"
"""The file, beside an adapter, that tells the model it belongs to and its structures."""

TOLD = 64
"""Values of each weight that tell two models apart."""

IGNORED = -100
"""The label of a token that the loss leaves out."""


@dataclass(frozen=True, eq=False)
class PaliGemmaWriter:
    """Writes answers with `transformers.PaliGemmaForConditionalGeneration`, with or without a LoRA by `peft`.

    Attributes:
        model: the model, or the `peft.PeftModel` around it.
        tokenizer: its tokenizer, with PaliGemma's location and segmentation tokens.
        names: structures that it may be asked for.
        base: fingerprint of the model without an adapter.

    Source: PaliGemma (Beyer et al., arXiv 2407.07726); LoRA (Hu et al., arXiv 2106.09685); the layers as CheXanatomy
        (arXiv 2606.08420) adapts them.
    """

    model: Any
    tokenizer: Any
    names: tuple[str, ...] = ANATOMY
    base: str = ""

    @classmethod
    def of(cls, model: Any, tokenizer: Any, names: Sequence[str] = ANATOMY) -> PaliGemmaWriter:
        """Wraps a model without an adapter.

        Args:
            model: a `transformers.PaliGemmaForConditionalGeneration`.
            tokenizer: its tokenizer.
            names: structures that it may be asked for.

        Raises:
            ModelError: another class of model, or a tokenizer without PaliGemma's tokens.
        """
        wanted = required("transformers", extra=EXTRA).PaliGemmaForConditionalGeneration
        if not isinstance(model, wanted):
            raise ModelError(f"{type(model).__name__} is no {wanted.__name__}; load the model with that class")
        writer = cls(model.eval(), tokenizer, tuple(names), fingerprint(model))
        writer.ids  # noqa: B018 (refuses a tokenizer of another model)
        return writer

    @classmethod
    def from_pretrained(
        cls, model: str | Path, adapter: str | Path | None = None, *, device: str = "cpu", **options: Any
    ) -> PaliGemmaWriter:
        """Loads PaliGemma's weights, and an adapter if one is given.

        Args:
            model: a folder with weights and tokenizer, or an id on the Hugging Face hub, such as
                ``google/paligemma-3b-pt-224``.
            adapter: a folder that `save_adapter` wrote.
            device: a device of torch.
            **options: options of `from_pretrained` of transformers (revision, torch_dtype, ...).

        Raises:
            ModelError: there is no such model or adapter, it is damaged, or the adapter belongs to another model.
            MissingExtra: transformers or peft is not installed.
        """
        transformers = required("transformers", extra=EXTRA)
        try:
            network = transformers.PaliGemmaForConditionalGeneration.from_pretrained(model, **options)
            tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"{str(model)[:80]}: cannot be loaded as PaliGemma: {reason}") from error
        writer = cls.of(network.to(device), tokenizer)
        return writer if adapter is None else writer.with_adapter(Path(adapter))

    def adapted(self, seed: int = 0) -> PaliGemmaWriter:
        """Returns the writer with a new LoRA, ready for training: all other weights are frozen.

        The LoRA is put into this writer's own model, because a copy would double its memory: use the new writer alone.

        Args:
            seed: of the first weights of the LoRA.

        Raises:
            ModelError: there is a LoRA already.
            MissingExtra: peft is not installed.
        """
        self._check_bare()
        peft = required("peft", extra=EXTRA)
        config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=ADAPTED, task_type="CAUSAL_LM")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return replace(self, model=peft.get_peft_model(self.model, config))

    def save_adapter(self, folder: str | Path) -> None:
        """Writes the LoRA, without the weights of PaliGemma, for `with_adapter`.

        Args:
            folder: the folder to write to; it is created if it is missing.

        Raises:
            ModelError: there is no LoRA.
        """
        if self.model is getattr(self.model, "base_model", self.model) or not hasattr(self.model, "peft_config"):
            raise ModelError("this writer has no adapter to save; make one with adapted()")
        self.model.save_pretrained(str(folder))
        about = {"kind": "tokens_adapter", "base": self.base, "names": list(self.names)}
        (Path(folder) / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def with_adapter(self, folder: Path) -> PaliGemmaWriter:
        """Returns the writer with a stored LoRA.

        The LoRA is put into this writer's own model, because a copy would double its memory: use the new writer alone.

        Args:
            folder: a folder that `save_adapter` wrote.

        Raises:
            ModelError: there is a LoRA already, or there is no adapter, it is damaged, or it belongs to another model.
            MissingExtra: peft is not installed.
        """
        self._check_bare()
        peft = required("peft", extra=EXTRA)
        try:
            about = parse_json(read_text(folder / ABOUT))
            base, names = str(about["base"]), tuple(map(str, about["names"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{folder}: holds no adapter of a writer ({error}); give a folder of save_adapter"
            ) from error
        if base != self.base:
            raise ModelError(
                f"{folder}: this adapter belongs to another model ({base}, not {self.base}); load that one"
            )
        try:
            model = peft.PeftModel.from_pretrained(self.model, str(folder))
        except Exception as error:  # peft, safetensors and torch raise many types; add the folder
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"{folder}: the adapter cannot be loaded: {reason}; copy it again") from error
        return replace(self, model=model.eval(), names=names)

    def _check_bare(self) -> None:
        if any("lora_" in name for name, _ in self.model.named_parameters()):
            raise ModelError("this writer has an adapter already; load the model again for another one")

    @property
    def digest(self) -> str:
        """A string that tells two writers apart: over the model, and over the adapter's weights."""
        found = hashlib.blake2b(self.base.encode(), digest_size=16)
        for name, value in self.model.state_dict().items():
            if "lora_" in name:
                found.update(name.encode() + value.detach().float().cpu().numpy().tobytes())
        return found.hexdigest()

    @property
    def ids(self) -> TokenIds:
        """The ids of PaliGemma's tokens.

        Raises:
            ModelError: the tokenizer lacks a token.
        """
        known = self.tokenizer.get_vocab()
        wanted = [*(f"<loc{n:04d}>" for n in range(BINS + 1)), *(f"<seg{n:03d}>" for n in range(CODES))]
        lacking = [token for token in wanted if token not in known]
        end = self.tokenizer.eos_token_id
        if lacking or end is None:
            raise ModelError(f"the tokenizer has no {lacking[0] if lacking else 'end of text'}; take PaliGemma's own")
        places = [int(known[token]) for token in wanted]
        return TokenIds(tuple(places[: BINS + 1]), tuple(places[BINS + 1 :]), int(end), self._text(SEPARATOR.rstrip()))

    def _text(self, text: str) -> Ids:
        return tuple(map(int, self.tokenizer(text, add_special_tokens=False)["input_ids"]))

    def expected(self, request: Request) -> list[Expected]:
        """Returns what the answers to a request look like."""
        if request.task == "view":
            return [Expected(choices=tuple(self._text(each) for each in get_args(View)))]
        if request.task == "caption":
            return [Expected(choices=tuple(self._text(name_of(name)) for name in self.names))]
        request.check_known(self.names)
        codes = LENGTHS[0] if request.task == "segment" else 0
        return [Expected(codes, self._text(f" {name_of(name)}")) for name in request.structures]

    @torch.inference_mode()
    def write(self, image: Image, request: Request) -> list[Said]:
        """Answers a request, see `artasyn.segment.tokens.writers.Writer`.

        Args:
            image: float32 (h, w) in [0, 1], bright = dense.
            request: whose structures are among `names`.
        """
        given = self.inputs([image], [request.text()])
        length = given["input_ids"].shape[1]
        expected = self.expected(request)
        grammar = AnswerGrammar(self.ids, [expected], length)
        most = sum(len(each.name) + each.codes + 5 for each in expected) + sum(
            max(map(len, each.choices), default=0) for each in expected
        ) + len(expected) * len(self.ids.separator)  # fmt: skip
        found = self.model.generate(
            **given, max_new_tokens=most, do_sample=False, num_beams=1, logits_processor=[grammar],
            output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
        (spoken,) = grammar.read(found.sequences[:, length:])
        return [self._said(each, request, place, found.scores) for place, each in enumerate(spoken)]

    def _said(self, spoken: Spoken, request: Request, place: int, scores: Sequence[Tensor]) -> Said:
        """Returns an answer with its name, and the probability of its first token's kind."""
        shares = scores[spoken.start][0].float().softmax(dim=0)
        if spoken.choice is not None:
            names = get_args(View) if request.task == "view" else [name_of(name) for name in self.names]
            return Said(names[spoken.choice], request.box, (), float(shares.max()))
        last = place + 1 == len(request.structures)
        absent = float(shares[self.ids.end if last else self.ids.separator[0]])
        return Said(name_of(request.structures[place]), spoken.box, spoken.codes, 1 - absent)

    def loss(self, images: Sequence[Image], prompts: Sequence[str], answers: Sequence[str]) -> Float[Tensor, ""]:
        """Returns the cross-entropy of answers, for a training of the LoRA.

        Args:
            images: float32 (h, w) in [0, 1] each.
            prompts: requests as text; all of the same number of tokens, or one alone.
            answers: as `join_answers` writes them.

        Raises:
            DataError: there is another number of prompts or answers than of images.
        """
        found: Tensor = self.model(**self.inputs(images, prompts, answers)).loss
        return found

    def inputs(
        self, images: Sequence[Image], prompts: Sequence[str], answers: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Returns what the model takes: pixels, ids of places of the picture, of the prompt and of the answer.

        Args:
            images: float32 (h, w) in [0, 1] each.
            prompts: requests as text.
            answers: texts to learn; None to write.

        Raises:
            DataError: there is another number of prompts or answers than of images.
        """
        said = [""] * len(images) if answers is None else list(answers)
        if not len(images) == len(prompts) == len(said):
            raise DataError(
                f"{len(images)} images, {len(prompts)} prompts and {len(said)} answers; give as many of each"
            )
        vision = self.model.config.vision_config
        count = (vision.image_size // vision.patch_size) ** 2
        first = [self.model.config.image_token_id] * count + [self.tokenizer.bos_token_id]
        before = [[*first, *self._text(f"{prompt}\n")] for prompt in prompts]
        after = [[*self._text(text), self.ids.end] if answers is not None else [] for text in said]
        longest = max(len(a) + len(b) for a, b in zip(before, after, strict=True))
        rows = [(a, b, longest - len(a) - len(b)) for a, b in zip(before, after, strict=True)]
        end = self.ids.end

        def filled(of: Any) -> Int64[Tensor, "b tokens"]:
            return torch.tensor([of(*row) for row in rows], device=self.model.device)

        found = {
            "pixel_values": self._pixels(images, vision.image_size),
            "input_ids": filled(lambda a, b, more: [*a, *b] + [end] * more),
            "attention_mask": filled(lambda a, b, more: [1] * (len(a) + len(b)) + [0] * more),
        }
        if answers is not None:
            found["token_type_ids"] = filled(lambda a, b, more: [0] * len(a) + [1] * (len(b) + more))
            found["labels"] = filled(lambda a, b, more: [IGNORED] * len(a) + b + [IGNORED] * more)
        return found

    def _pixels(self, images: Sequence[Image], size: int) -> Float[Tensor, "b 3 size size"]:
        """Returns films as PaliGemma sees pictures: whole, square, three channels in [-1, 1]."""
        squares = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images]
        pixels = torch.from_numpy(np.stack(squares)).to(self.model.device, self.model.dtype)
        return (2 * pixels - 1)[:, None].repeat(1, 3, 1, 1)


def fingerprint(model: Any) -> str:
    """Returns 16 hexadecimal digits over the shapes and the first `TOLD` values of all weights of a model.

    Args:
        model: a model of transformers, in any precision.
    """
    found = hashlib.blake2b(digest_size=8)
    for name, value in sorted(model.named_parameters()):
        found.update(f"{name} {tuple(value.shape)} ".encode())
        found.update(value.detach().flatten()[:TOLD].to(torch.bfloat16).float().cpu().numpy().tobytes())
    return found.hexdigest()
