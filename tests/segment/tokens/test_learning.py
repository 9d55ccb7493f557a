"""New words from a few films: what they learn, how they are stored, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artasyn.arrays import Image, Mask
from artasyn.errors import DataError, ImageError, ModelError
from artasyn.evaluation.overlap import dice
from artasyn.phantom.film import Phantom
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.window import STRIDE, prepare
from artasyn.segment.tokens import MaskCodec, TokenSegmenter
from artasyn.segment.tokens import learning as learning_file
from artasyn.segment.tokens.learning import Examples, copies_of, example, fitted
from artasyn.segment.tokens.learnt_words import LearntSettings, LearntWords
from artasyn.segment.tokens.words import Request, structure_named
from artasyn.segment.tokens.writers import SmallWriter
from tests.anatomies import Exact, seen
from tests.segment.tokens.test_model import Whole

Stored = tuple[Path, Path]


@pytest.fixture(scope="module")
def film() -> Image:
    return seen()[0]


@pytest.fixture(scope="module")
def mask() -> Mask:
    return np.asarray(seen()[1].mask("visible_lung_right"))


@pytest.fixture
def small(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> TokenSegmenter:
    """An untrained writer, which learns from few copies and for few steps."""
    monkeypatch.setattr(learning_file, "COPIES", 6)
    monkeypatch.setattr("artasyn.segment.tokens.writers.STEPS", 5)
    return TokenSegmenter(SmallWriter.from_pretrained(*stored), MaskCodec.from_pretrained(), Exact())


def upper(lung: Mask) -> Mask:
    """The upper half of a lung."""
    rows = np.flatnonzero(lung.any(axis=1))
    half = lung.copy()
    half[(rows[0] + rows[-1]) // 2 :] = False
    return np.asarray(half)


def test_the_bundled_writer_learns_a_part_of_the_lung_from_three_phantoms(tmp_path: Path) -> None:
    films = [Phantom(size=192)(seed) for seed in range(1, 4)]
    base = TokenSegmenter.from_pretrained()
    taught = base.adapt([f.image for f in films], [upper(f.lungs.right) for f in films], "right upper half")
    unseen = Phantom(size=192)(9)
    found = taught(unseen.image, "segment right upper half ; left lung")
    assert found.names == ("right_upper_half", "lung_left")
    assert dice(found.mask("right_upper_half"), upper(unseen.lungs.right)) > 0.75
    assert taught.answer(unseen.image, "detect Right-Upper-Half").endswith(" right upper half")
    assert base.answer(unseen.image, "segment left lung") == taught.answer(unseen.image, "segment left lung")
    assert base.view(unseen.image) == taught.view(unseen.image)
    assert "right_upper_half" not in base.names
    with pytest.raises(DataError, match="no structure 'right upper half'"):
        base(unseen.image, "segment right upper half")

    taught.save_adapter(tmp_path / "half")
    assert sorted(path.name for path in (tmp_path / "half").iterdir()) == ["config.json", "model.safetensors"]
    assert sum(path.stat().st_size for path in (tmp_path / "half").iterdir()) < 3000
    again = TokenSegmenter.from_pretrained().with_adapter(tmp_path / "half")
    assert again.digest == taught.digest != base.digest
    assert again.answer(unseen.image, "segment right upper half") == found_text(taught, unseen.image)


def found_text(segmenter: TokenSegmenter, image: Image) -> str:
    return segmenter.answer(image, "segment right upper half")


def test_a_map_learns_what_its_features_tell() -> None:
    generator = torch.Generator().manual_seed(0)
    shallow = torch.randn(12, 8, 16, 16, generator=generator)
    targets = (shallow[:, 2] > 0.5).float().repeat_interleave(STRIDE, 1).repeat_interleave(STRIDE, 2)
    layer = fitted(Examples(shallow, targets), steps=200, seed=0)
    assert ((layer(shallow) > 0) == (targets > 0)).float().mean() > 0.9


def test_words_do_not_depend_on_threads_or_on_what_was_drawn_before(
    small: TokenSegmenter, film: Image, mask: Mask
) -> None:
    digests = set()
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        torch.rand(3)
        state = torch.random.get_rng_state()
        digests.add(small.adapt([film], [mask], "new thing").digest)
        assert torch.equal(state, torch.random.get_rng_state())
        assert torch.get_num_threads() == threads
        torch.set_num_threads(before)
    assert len(digests) == 1
    assert small.adapt([film], [mask], "new thing", seed=1).digest not in digests


def test_words_add_up(small: TokenSegmenter, film: Image, mask: Mask, tmp_path: Path) -> None:
    two = small.adapt([film], [mask], "one thing").adapt([film, film], [mask, ~mask], "other thing")
    assert two.names[-2:] == ("one_thing", "other_thing")
    two.save_adapter(tmp_path / "both")
    assert json.loads((tmp_path / "both" / "config.json").read_text())["films"] == [1, 2]
    assert small.with_adapter(tmp_path / "both").digest == two.digest
    small.adapt([film], [mask], "third").save_adapter(tmp_path / "third")
    assert two.with_adapter(tmp_path / "third").names[-3:] == ("one_thing", "other_thing", "third")
    with pytest.raises(ModelError, match="'third' is learnt already"):
        two.with_adapter(tmp_path / "third").with_adapter(tmp_path / "third")


def test_every_answer_of_a_new_word_is_well_formed(small: TokenSegmenter, film: Image, mask: Mask) -> None:
    said = small.adapt([film], [mask], "new thing").writer.write(film, Request("segment", ("new_thing",)))
    assert said[0].box is None or len(said[0].codes) == 16


@pytest.mark.parametrize(
    ("images", "masks", "word", "message"),
    [
        (1, 1, "heart", "'heart' is in the vocabulary already"),
        (1, 1, "RUL", r"'RUL' is in the vocabulary already \(lung_upper_lobe_right\)"),
        (1, 1, "a ; b", "cannot be a new word: it takes letters and digits"),
        (1, 1, "", "cannot be a new word"),
        (1, 1, "../up", "cannot be a new word"),
        (1, 1, "heart lesion", "'heart lesion' would count as a part of heart; choose a word that begins otherwise"),
        (1, 1, "rib fracture", "would count as a part of ribs"),
        (1, 1, "x" * 65, "at most 64"),
        (0, 0, "thing", "0 films and 0 masks"),
        (2, 1, "thing", "2 films and 1 masks"),
    ],
)
def test_words_and_films_that_teach_nothing_are_refused(
    small: TokenSegmenter, film: Image, mask: Mask, images: int, masks: int, word: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        small.adapt([film] * images, [mask] * masks, word)


def test_masks_and_films_are_checked_one_by_one(small: TokenSegmenter, film: Image, mask: Mask) -> None:
    with pytest.raises(DataError, match=r"film 2 is \(112, 130\), and its mask \(56, 130\)"):
        small.adapt([film, film], [mask, mask[::2]], "thing")
    with pytest.raises(DataError, match="all masks are empty"):
        small.adapt([film], [np.zeros_like(mask)], "thing")
    with pytest.raises(DataError, match=r"film 2 is not read \("):
        small.adapt([film, film[::-1].copy()], [mask, mask], "thing")
    with pytest.raises(ImageError, match="a mask must be bool"):
        small.adapt([film], [mask.astype(np.uint8)], "thing")
    for seed in (-1, 2**63):
        with pytest.raises(DataError, match=r"seed is .*, not from 0 to"):
            small.adapt([film], [mask], "thing", seed=seed)
    with pytest.raises(DataError, match="'one' is learnt already"):
        small.adapt([film], [mask], "one").adapt([film], [mask], "one")


def test_adapters_of_other_writers_and_damaged_ones_are_refused(
    small: TokenSegmenter, film: Image, mask: Mask, tmp_path: Path
) -> None:
    small.adapt([film], [mask], "thing").save_adapter(tmp_path / "thing")
    with pytest.raises(ModelError, match="the learnt words thing belong to another writer of masks"):
        TokenSegmenter.from_pretrained().with_adapter(tmp_path / "thing")
    with pytest.raises(ModelError, match="there is no such folder"):
        small.with_adapter(tmp_path / "none")
    damaged = tmp_path / "damaged"
    shutil.copytree(tmp_path / "thing", damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match="cannot be loaded as learnt words"):
        small.with_adapter(damaged)
    learnt = LearntWords.from_pretrained(tmp_path / "thing")
    other = LearntWords(dataclasses.replace(learnt.settings, shallow=24))
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="the learnt words thing do not fit their writer"):
        small.with_adapter(tmp_path / "other")
    with pytest.raises(ModelError, match="no word that could be saved"):
        small.save_adapter(tmp_path / "nothing")
    with pytest.raises(ModelError, match="Whole does not learn from a few films"):
        TokenSegmenter(Whole(), MaskCodec.from_pretrained(), Exact()).adapt([film], [mask], "thing")
    with pytest.raises(ModelError, match="Whole has no adapters"):
        TokenSegmenter(Whole(), MaskCodec.from_pretrained(), Exact()).with_adapter(tmp_path / "thing")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"names": ("heart",)}, "'heart' is in the vocabulary already"),
        ({"names": ("Thing",)}, "must be written 'thing'"),
        ({"names": ("one", "one"), "films": (1, 1)}, "2 numbers of films for the words"),
        ({"names": ("one", "two")}, "1 numbers of films for the words"),
        ({"names": ("../one",)}, "cannot be a new word"),
        ({"films": (0,)}, r"films\[0\] is 0"),
    ],
)
def test_settings_of_learnt_words_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        LearntSettings(**values)


def test_weights_that_are_not_finite_are_told(tmp_path: Path) -> None:
    settings = LearntSettings(shallow=16)
    LearntWords.of(settings, torch.full((1, 4, 16), torch.nan), torch.zeros(1, 4)).save_pretrained(tmp_path / "words")
    with pytest.raises(ModelError, match="words holds a value that is not finite"):
        LearntWords.from_pretrained(tmp_path / "words")


def test_names_become_structures_that_files_can_bear() -> None:
    assert structure_named("The  Lung-Opacity") == "lung_opacity"
    assert structure_named("kerley_b 2") == "kerley_b_2"


def test_copies_keep_film_and_mask_together(film: Image, mask: Mask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask that is the bright part of its film stays the bright part of every copy."""
    monkeypatch.setattr(learning_file, "COPIES", 20)
    image = np.where(mask, np.float32(0.9), np.float32(0.2))
    squares, targets = copies_of([image, film], [mask, mask], 64, seed=3)
    assert squares.shape == (20, 1, 64, 64)
    assert targets.shape == (20, 32, 32)
    small = torch.nn.functional.avg_pool2d(squares[::2], 2)[:, 0]
    for square, target in zip(small, targets[::2], strict=True):
        assert dice(np.asarray(square > 0.6), np.asarray(target > 0.5)) > 0.9
    assert len({float(target.sum()) for target in targets[::2]}) == 10
    again, _ = copies_of([image, film], [mask, mask], 64, seed=3)
    assert torch.equal(again, squares)


def test_the_first_copy_is_the_film_as_the_network_sees_it(film: Image, mask: Mask) -> None:
    square, target = example(film, mask, 64, None)
    assert np.abs(square - prepare(film, 64)).mean() < 0.02
    assert target.sum() * (130 / 32) ** 2 == pytest.approx(mask.sum(), rel=0.03)


def test_the_anatomy_network_stays_as_it_was(small: TokenSegmenter, stored: Stored, film: Image, mask: Mask) -> None:
    small.adapt([film], [mask], "thing")
    assert isinstance(small.writer, SmallWriter)
    assert small.writer.anatomy.digest == AnatomyNetwork.from_pretrained(stored[1]).digest
