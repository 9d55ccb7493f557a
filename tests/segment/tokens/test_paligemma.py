"""PaliGemma as the writer, with a tiny random configuration of the very same class: answers, LoRA, storage."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artasyn.arrays import Image
from artasyn.errors import DataError, MissingExtra, ModelError
from artasyn.phantom.film import Phantom
from artasyn.segment.tokens import MaskCodec, PaliGemmaWriter, TokenSegmenter, parse_answers
from artasyn.segment.tokens.words import Request, name_of
from tests.anatomies import Exact, seen

NAMES = ("heart", "lung_right", "aorta")


def tokenizer() -> Any:
    """A tokenizer of whole words with PaliGemma's location and segmentation tokens."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Sequence, Split
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<bos>", "<eos>", "<unk>", "\n", ";", "segment", "detect", "caption", "view"]
    words += ["frontal", "oblique", "lateral", *sorted({word for name in NAMES for word in name_of(name).split()})]
    tokens = [*(f"<loc{n:04d}>" for n in range(1024)), *(f"<seg{n:03d}>" for n in range(128))]
    known = {word: number for number, word in enumerate([*words, *tokens, "<image>"])}
    made = Tokenizer(WordLevel(known, "<unk>"))
    made.pre_tokenizer = Sequence([Split(Regex(" "), "removed"), Split(Regex(r"<[a-z]+\d+>|;|\n"), "isolated")])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def paligemma(seed: int = 0) -> Any:
    """A PaliGemma of two layers."""
    from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

    count = len(tokenizer().get_vocab())
    text = {
        "model_type": "gemma", "vocab_size": count, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 512,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    vision = {
        "model_type": "siglip_vision_model", "image_size": 28, "patch_size": 14, "hidden_size": 16,
        "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 32,
        "vision_use_head": False,
    }  # fmt: skip
    given: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = PaliGemmaConfig(
        text_config=text, vision_config=vision, image_token_index=count - 1, projection_dim=32, hidden_size=32, **given
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PaliGemmaForConditionalGeneration(config)


@pytest.fixture(scope="module")
def writer() -> PaliGemmaWriter:
    return PaliGemmaWriter.of(paligemma(), tokenizer(), NAMES)


@pytest.fixture(scope="module")
def image() -> Image:
    return Phantom(size=64)(1).image


@pytest.mark.parametrize("prompt", ["segment heart", "segment right lung ; heart", "detect heart ; aorta ; right lung"])
def test_random_weights_write_answers_that_can_be_read(writer: PaliGemmaWriter, image: Image, prompt: str) -> None:
    request = Request.parse(prompt, NAMES)
    said = writer.write(image, request)
    assert len(said) == len(request.structures)
    for each in said:
        assert 0 <= each.sure <= 1
        assert each.name in map(name_of, NAMES)
        if each.box is not None and request.task == "segment":
            assert len(each.codes) == 16
            assert parse_answers(each.text())[0].name == each.name


def test_captions_and_views_are_among_the_choices(writer: PaliGemmaWriter, image: Image) -> None:
    (said,) = writer.write(image, Request("caption", box=(1, 2, 300, 400)))
    assert said.name in map(name_of, NAMES)
    assert said.box == (1, 2, 300, 400)
    (said,) = writer.write(image, Request("view"))
    assert said.name in ("frontal", "oblique", "lateral")


def test_it_stands_behind_the_segmenter(writer: PaliGemmaWriter) -> None:
    segmenter = TokenSegmenter(writer, MaskCodec.from_pretrained(), Exact())
    film = seen()[0]
    found = segmenter(film, "segment heart ; right lung")
    assert found.names == ("heart", "lung_right")
    assert found.grid == film.shape
    assert len(parse_answers(segmenter.answer(film, "segment heart ; right lung"))) == 2


def test_the_lora_adapts_the_language_model_alone(writer: PaliGemmaWriter) -> None:
    adapted = PaliGemmaWriter.of(paligemma(), tokenizer(), NAMES).adapted()
    learns = [name for name, value in adapted.model.named_parameters() if value.requires_grad]
    kinds = Counter(re.search(r"(\w+_proj)\.lora", name)[1] for name in learns)  # type: ignore[index]
    assert set(kinds) == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert all("language_model" in name and "vision" not in name for name in learns)
    shapes = {tuple(value.shape) for name, value in adapted.model.named_parameters() if "q_proj.lora_A" in name}
    assert shapes == {(16, 32)}


def test_a_lora_learns_and_comes_back(tmp_path: Path, image: Image) -> None:
    adapted = PaliGemmaWriter.of(paligemma(), tokenizer(), NAMES).adapted()
    answer = "".join(f"<loc{n:04d}>" for n in (200, 300, 700, 800)) + "<seg005>" * 16 + " heart"
    optimiser = torch.optim.Adam((p for p in adapted.model.parameters() if p.requires_grad), 3e-2)
    losses = []
    for _ in range(12):
        loss = adapted.loss([image, image], ["segment heart", "segment right lung"], [answer, ""])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
    adapted.model.eval()
    adapted.save_adapter(tmp_path / "lora")
    base = PaliGemmaWriter.of(paligemma(), tokenizer(), NAMES)
    again = base.with_adapter(tmp_path / "lora")
    assert again.digest == adapted.digest != base.digest
    request = Request.parse("segment heart", NAMES)
    assert again.write(image, request) == adapted.write(image, request)
    other = PaliGemmaWriter.of(paligemma(seed=1), tokenizer(), NAMES)
    with pytest.raises(ModelError, match="this adapter belongs to another model"):
        other.with_adapter(tmp_path / "lora")
    for file in (tmp_path / "lora").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ModelError, match="the adapter cannot be loaded"):
        PaliGemmaWriter.of(paligemma(), tokenizer(), NAMES).with_adapter(tmp_path / "lora")


def test_stored_weights_are_loaded_with_their_tokenizer(writer: PaliGemmaWriter, image: Image, tmp_path: Path) -> None:
    writer.model.save_pretrained(tmp_path / "base")
    writer.tokenizer.save_pretrained(tmp_path / "base")
    again = PaliGemmaWriter.from_pretrained(tmp_path / "base")
    assert again.base == writer.base
    request = Request.parse("segment heart", NAMES)
    assert again.write(image, request) == writer.write(image, request)


def test_the_loss_sees_the_answer_alone(writer: PaliGemmaWriter, image: Image) -> None:
    given = writer.inputs([image, image], ["segment heart", "view"], ["frontal", ""])
    labels = [[int(label) for label in row if label >= 0] for row in given["labels"]]
    known = writer.tokenizer.get_vocab()
    assert labels == [[known["frontal"], known["<eos>"]], [known["<eos>"]]]
    assert given["pixel_values"].shape == (2, 3, 28, 28)
    assert float(given["pixel_values"].min()) >= -1
    with pytest.raises(DataError, match="2 images, 1 prompts and 2 answers"):
        writer.inputs([image, image], ["view"])


def test_what_is_refused(writer: PaliGemmaWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="Linear is no PaliGemmaForConditionalGeneration"):
        PaliGemmaWriter.of(torch.nn.Linear(1, 1), tokenizer())
    bare = tokenizer()
    monkeypatch.setattr(bare, "get_vocab", lambda: {"<loc0000>": 0})
    with pytest.raises(ModelError, match="the tokenizer has no <loc0001>"):
        PaliGemmaWriter.of(paligemma(), bare)
    with pytest.raises(ModelError, match="cannot be loaded as PaliGemma"):
        PaliGemmaWriter.from_pretrained(tmp_path / "none")
    with pytest.raises(ModelError, match="no adapter to save"):
        writer.save_adapter(tmp_path / "none")
    with pytest.raises(ModelError, match="holds no adapter of a writer"):
        writer.with_adapter(tmp_path)
    (tmp_path / "artasyn.json").write_text(json.dumps({"base": 1}))
    with pytest.raises(ModelError, match="holds no adapter of a writer"):
        writer.with_adapter(tmp_path)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"pip install artasyn\[tokens\]"):
        writer.adapted()


def test_a_film_is_seen_whole(writer: PaliGemmaWriter) -> None:
    film = np.zeros((60, 90), np.float32)
    film[:30] = 1
    pixels = writer.inputs([film], ["view"])["pixel_values"][0]
    np.testing.assert_allclose(pixels[:, :13].numpy(), 1, atol=1e-5)
    np.testing.assert_allclose(pixels[:, 15:].numpy(), -1, atol=1e-5)


def test_a_second_lora_and_unknown_structures_are_refused(image: Image) -> None:
    adapted = PaliGemmaWriter.of(paligemma(), tokenizer(), NAMES).adapted(seed=1)
    with pytest.raises(ModelError, match="has an adapter already"):
        adapted.adapted(seed=2)
    with pytest.raises(DataError, match="cannot write hart"):
        adapted.write(image, Request("segment", ("hart",)))
