"""The segmenter that is asked in words: results, text, boxes, captions, views, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artasyn.arrays import Image
from artasyn.errors import DataError, MissingExtra, ModelError
from artasyn.evaluation.overlap import dice
from artasyn.phantom.film import Phantom
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.tokens import MaskCodec, TokenSegmenter, parse_answers
from artasyn.segment.tokens import model as model_file
from artasyn.segment.tokens.decoder import CODE, END, LOCATION, VOCABULARY, TokenNetwork
from artasyn.segment.tokens.settings import TokenSettings
from artasyn.segment.tokens.words import Request
from artasyn.segment.tokens.writers import Said, SmallWriter
from tests.anatomies import Exact, seen
from tests.conftest import ROOT
from tests.segment.tokens.conftest import NAMES, SMALL

Stored = tuple[Path, Path]


@dataclasses.dataclass(frozen=True)
class Whole:
    """A writer that sees the middle of every film as the heart, and nothing else."""

    names: tuple[str, ...] = ("heart", "aorta")
    digest: str = "whole"

    def write(self, image: Image, request: Request) -> list[Said]:
        box = MaskCodec.from_pretrained().tokens([middle()])[0]
        assert box is not None
        heart = Said("heart", box.box, box.codes if request.task == "segment" else (), 0.9)
        if request.task in ("view", "caption"):
            return [Said("frontal" if request.task == "view" else "heart", request.box, (), 1.0)]
        return [heart if name == "heart" else Said(name, sure=0.2) for name in request.structures]


def middle() -> np.ndarray:
    mask = np.zeros((100, 80), bool)
    mask[30:70, 20:60] = True
    return mask


@pytest.fixture(scope="module")
def image() -> Image:
    return seen()[0]


@pytest.fixture(scope="module")
def segmenter() -> TokenSegmenter:
    return TokenSegmenter(Whole(), MaskCodec.from_pretrained(), Exact())


@pytest.fixture(scope="module")
def small(stored: Stored) -> TokenSegmenter:
    return TokenSegmenter.from_pretrained(stored[0], anatomy=stored[1])


@pytest.fixture
def tall() -> Image:
    """A film of another shape than the square of the network."""
    return np.ascontiguousarray(Phantom(size=96)(1).image[:, 10:70])


def test_an_anatomy_holds_what_was_asked_for(segmenter: TokenSegmenter, image: Image) -> None:
    found = segmenter(image, "segment cor ; aorta", spacing=(0.5, 0.5))
    assert isinstance(found, Anatomy)
    assert found.names == ("heart", "aorta")
    assert found.confidence == (0.9, 0.0)
    assert found.spacing == (0.5, 0.5)
    assert found.grid == image.shape
    rows, _ = np.nonzero(found.mask("heart"))
    share = np.array([rows.min(), rows.max() + 1]) / image.shape[0]
    np.testing.assert_allclose(share, [0.3, 0.7], atol=0.02)
    assert not found.mask("aorta").any()


def test_a_large_film_has_coarser_maps(
    segmenter: TokenSegmenter, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file, "FINEST", 64)
    found = segmenter(image, "segment heart")
    assert max(found.maps.shape) == 64
    assert found.mask("heart").shape == image.shape


def test_the_anatomy_network_judges_the_film(segmenter: TokenSegmenter) -> None:
    noise = np.random.default_rng(0).random((90, 80), np.float32)
    found = segmenter(noise, "segment heart ; aorta")
    assert found.warnings == ("not_a_chest",)
    assert not found.usable
    assert found.confidence == (0.0, 0.0)
    assert not found.maps.any()
    assert segmenter.answer(noise, "segment heart ; aorta") == " ; "
    assert segmenter.detect(noise, "detect heart") == {"heart": None}
    assert segmenter.view(noise) == ""


def test_boxes_text_captions_and_views(segmenter: TokenSegmenter, image: Image) -> None:
    rows, columns = image.shape
    (top, left, bottom, right), none = segmenter.detect(image, "detect heart ; aorta").values()  # type: ignore[misc]
    np.testing.assert_allclose(
        [top / rows, left / columns, bottom / rows, right / columns], [0.3, 0.25, 0.7, 0.75], atol=0.01
    )
    assert none is None
    text = segmenter.answer(image, "segment heart ; aorta")
    heart, aorta = parse_answers(text)
    assert (heart.name, aorta.tokens) == ("heart", None)
    assert re.fullmatch(r"(<loc\d{4}>){4} heart", segmenter.answer(image, "detect heart"))
    assert segmenter.caption(image, (10, 10, 60, 60)) == "heart"
    assert segmenter.view(image) == segmenter.answer(image, "which view is this?") == "frontal"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s, image: s(image, "detect heart"), "'detect heart' asks for detect, not segment; use answer"),
        (lambda s, image: s.detect(image, "segment heart"), "asks for segment, not detect"),
        (lambda s, image: s(image, "segment liver"), "this model does not write 'liver'; the nearest are"),
        (lambda s, image: s(image, "segment lever"), "no structure 'lever'"),
        (lambda s, image: s.caption(image, (50, 10, 40, 20)), r"box \(50, 10, 40, 20\) is empty or not on a film"),
        (lambda s, image: s.caption(image, (0, 0, 9999, 20)), "is empty or not on a film"),
    ],
)
def test_what_is_refused(segmenter: TokenSegmenter, image: Image, ask: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ask(segmenter, image)


def test_untrained_weights_write_answers_that_can_be_read(small: TokenSegmenter, tall: Image) -> None:
    writer = small.writer
    for prompt in ("segment aorta", "segment aorta ; drawn heart ; visible lungs", "detect aorta"):
        for each in writer.write(tall, Request.parse(prompt, small.names)):
            assert 0 <= each.sure <= 1
            assert len(each.codes) == (16 if each.box and prompt.startswith("segment") else 0)
            assert len(parse_answers(each.text() if each.codes else "")) == 1
    (said,) = writer.write(tall, Request("caption", box=(10, 20, 500, 600)))
    assert said.name in ("aorta", "drawn heart", "visible right lung", "visible left lung")
    (said,) = writer.write(tall, Request("view"))
    assert said.name in ("frontal", "oblique", "lateral")


def test_the_same_answer_alone_and_beside_others(small: TokenSegmenter, tall: Image) -> None:
    every = small.writer.write(tall, Request("segment", small.names))
    for name, beside in zip(small.names, every, strict=True):
        (alone,) = small.writer.write(tall, Request("segment", (name,)))
        assert alone.box == beside.box
        assert alone.codes == beside.codes
        assert alone.sure == pytest.approx(beside.sure, abs=1e-5)


def test_writing_one_by_one_gives_the_logits_of_the_whole(small: TokenSegmenter) -> None:
    network = small.writer.network  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(0)
    deep, shallow = torch.randn(2, 16, 8, 8, generator=generator), torch.randn(2, 16, 16, 16, generator=generator)
    film, word = torch.tensor([0, 1, 1]), torch.tensor([0, 2, 4])
    boxes = torch.tensor([[0, 0, 500, 600], [100, 200, 300, 900], [5, 5, 5, 5]])
    codes = torch.randint(0, 128, (3, 16), generator=generator)
    with torch.inference_mode():
        whole = network(deep, shallow, film, word, boxes, codes)
        writing = network.writing(deep, shallow, film, word)
        written = torch.cat([boxes + LOCATION, codes + CODE], dim=1)
        for step in range(20):
            torch.testing.assert_close(writing.next(written[:, :step]), whole[:, step], atol=1e-4, rtol=1e-4)
    assert whole.shape == (3, 20, VOCABULARY)


def test_weights_that_are_not_finite_are_told(stored: Stored, tall: Image) -> None:
    writer = SmallWriter.from_pretrained(*stored)
    with torch.no_grad():
        assert writer.network.out.bias is not None
        writer.network.out.bias[END] = torch.nan
    with pytest.raises(ModelError, match="not finite; its weights are damaged"):
        writer.write(tall, Request("segment", ("aorta",)))


def test_a_stored_writer_comes_back(small: TokenSegmenter, stored: Stored, tmp_path: Path) -> None:
    network = small.writer.network  # type: ignore[attr-defined]
    network.save_pretrained(tmp_path / "again")
    again = TokenNetwork.from_pretrained(tmp_path / "again")
    assert again.digest == network.digest
    assert small.digest == network.digest
    assert not any("encoder" in name for name in again.state_dict())  # the anatomy network's weights are not in it


def test_damaged_and_foreign_models_are_refused(stored: Stored, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"kind is missing|cannot be loaded as a writer of masks"):
        TokenSegmenter.from_pretrained(stored[1], anatomy=stored[1])
    with pytest.raises(ModelError, match="belongs to another anatomy network"):
        TokenSegmenter.from_pretrained(stored[0])
    with pytest.raises(ModelError, match=r"there is no such folder.*python -m benchmarks\.train_tokens"):
        TokenSegmenter.from_pretrained(tmp_path / "none")
    folder = tmp_path / "damaged"
    shutil.copytree(stored[0], folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded as a writer of masks"):
        TokenSegmenter.from_pretrained(folder, anatomy=stored[1])
    config = json.loads((stored[0] / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"heads": 5}))
    with pytest.raises(ModelError, match="width is 24, not a multiple of 4 and of heads, 5"):
        TokenSegmenter.from_pretrained(folder, anatomy=stored[1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 100}, "size is 100, not a multiple of 32"),
        ({"names": ("heart", "heart")}, "names holds a structure twice"),
        ({"layers": 0}, "layers is 0, not from 1 to 64"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TokenSettings(**{"names": NAMES, **SMALL, **values})


def test_without_a_bundled_model_the_error_says_how_to_train_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(model_file, "BUNDLED", tmp_path)
    with pytest.raises(ModelError, match=r"no writer of masks comes with this artasyn; train one with python -m"):
        TokenSegmenter.from_pretrained()


def test_without_transformers_the_error_says_what_to_install(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install artasyn\[tokens\]"):
        TokenSegmenter.from_pretrained(stored[0], anatomy=stored[1])


def test_the_bundled_writer_finds_the_lungs_of_a_phantom() -> None:
    segmenter, chest = TokenSegmenter.from_pretrained(), Phantom(size=192)(4)
    found = segmenter(chest.image, "segment visible lungs ; drawn heart")
    lungs = found.lungs()
    assert dice(lungs.right, chest.lungs.right) > 0.85
    assert dice(lungs.left, chest.lungs.left) > 0.85
    assert min(found.confidence) > 0.5
    assert found.measure().cardiothoracic_ratio is not None
    assert len(parse_answers(segmenter.answer(chest.image, "segment heart ; RUL ; spine"))) == 3


def test_the_bundled_writer_is_small_and_holds_no_second_encoder() -> None:
    weights = model_file.BUNDLED / "model.safetensors"
    assert weights.stat().st_size < 8_000_000
    shared = set(AnatomyNetwork.from_pretrained().state_dict())
    assert not shared & set(TokenNetwork.from_pretrained().state_dict())


def test_the_example_of_the_page_asks_for_structures() -> None:
    page = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    anatomy, text, box, named = done.stdout.splitlines()
    assert anatomy.startswith("('visible_lung_right', 'visible_lung_left', 'drawn_heart')")
    assert [answer.name for answer in parse_answers(text)] == ["aorta", "right upper lobe"]
    assert box.startswith("{'heart': (")
    assert named.endswith("| frontal")


def test_a_writer_refuses_structures_that_it_does_not_know(small: TokenSegmenter, tall: Image) -> None:
    with pytest.raises(DataError, match="cannot write hart"):
        small.writer.write(tall, Request("segment", ("hart",)))
