"""Masks as words with the bundled autoencoders: what comes back, what changes the words, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from artasyn.arrays import Mask
from artasyn.errors import DataError, ImageError, ModelError
from artasyn.evaluation.overlap import dice
from artasyn.segment.tokens import MaskCodec, MaskDecoder, MaskEncoder, MaskTokens
from artasyn.segment.tokens.codec import Codes, Crops
from artasyn.segment.tokens.crops import box_of
from tests.conftest import ROOT


@pytest.fixture(scope="module", params=[4, 8])
def codec(request: pytest.FixtureRequest) -> MaskCodec:
    return MaskCodec.from_pretrained(grid=request.param)


def ellipse(shape: tuple[int, int], centre: tuple[float, float], radii: tuple[float, float], turn: float = 0.0) -> Mask:
    """An ellipse on a film; its centre and radii are shares of the film's sides."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    y, x = (y + 0.5) / shape[0] - centre[0], (x + 0.5) / shape[1] - centre[1]
    cosine, sine = np.cos(turn), np.sin(turn)
    return np.asarray(((cosine * y - sine * x) / radii[0]) ** 2 + ((sine * y + cosine * x) / radii[1]) ** 2 <= 1)


def drawings() -> dict[str, Mask]:
    """Masks that are no anatomy, so that no training has seen them."""
    heart = ellipse((300, 260), (0.6, 0.55), (0.15, 0.3), 0.4)
    rng = np.random.default_rng(0)
    return {
        "ellipse": heart,
        "crescent": heart & ~ellipse((300, 260), (0.55, 0.5), (0.14, 0.25), 0.4),
        "two parts": ellipse((300, 260), (0.4, 0.3), (0.25, 0.14)) | ellipse((300, 260), (0.4, 0.7), (0.3, 0.13)),
        "rectangle": np.pad(np.ones((90, 40), bool), ((100, 110), (20, 200))),
        "blob": ellipse((300, 260), (0.5, 0.45), (0.4, 0.4))
        & (ndimage.gaussian_filter(rng.normal(size=(300, 260)), 30) > 0),
    }


@pytest.mark.parametrize(("name", "mask"), drawings().items())
def test_a_mask_comes_back_from_its_text(codec: MaskCodec, name: str, mask: Mask) -> None:
    text = codec.encode(mask)
    assert (text.count("<loc"), text.count("<seg")) == (4, codec.codes)
    again = codec.decode(text, mask.shape)
    assert box_of(again) == box_of(mask)
    assert dice(again, mask) > 0.9


@pytest.mark.parametrize("mask", drawings().values(), ids=list(drawings()))
def test_place_and_scale_of_the_film_change_the_location_tokens_alone(codec: MaskCodec, mask: Mask) -> None:
    """The oracle: films that are padded, cropped and enlarged by whole factors."""
    (tokens,) = codec.tokens([mask])
    box = box_of(mask)
    assert tokens is not None
    assert box is not None
    changed = {
        "padded": np.pad(mask, ((30, 0), (0, 70))),
        "cropped": mask[box[0] :, box[1] : box[3]],
        "twice as large": np.kron(mask, np.ones((2, 2), bool)),
        "three times as wide": np.kron(mask, np.ones((1, 3), bool)),
    }
    for way, other in changed.items():
        (found,) = codec.tokens([np.ascontiguousarray(other)])
        assert found is not None
        assert found.codes == tokens.codes, way
        assert (found.box != tokens.box) == (way in ("padded", "cropped")), way


def test_the_same_tokens_give_the_same_shape_on_any_grid(codec: MaskCodec) -> None:
    mask = drawings()["ellipse"]
    text = codec.encode(mask)
    for factor in (0.5, 2, 7):
        shape = (int(300 * factor), int(260 * factor))
        assert dice(codec.decode(text, shape), ellipse(shape, (0.6, 0.55), (0.15, 0.3), 0.4)) > 0.9


def test_an_absent_structure_is_an_empty_answer(codec: MaskCodec) -> None:
    nothing = np.zeros((40, 50), bool)
    assert codec.encode(nothing) == ""
    assert not codec.decode("", (40, 50)).any()
    masks = [nothing, drawings()["ellipse"], nothing]
    tokens = codec.tokens(masks)
    assert [each is None for each in tokens] == [True, False, True]
    found = codec.masks(tokens, (300, 260))
    assert found.shape == (3, 300, 260)
    assert found.any(axis=(1, 2)).tolist() == [False, True, False]


def test_a_single_pixel_and_a_whole_film_come_back(codec: MaskCodec) -> None:
    pixel = np.zeros((400, 300), bool)
    pixel[399, 0] = True
    for mask in (pixel, ~np.zeros((400, 300), bool), np.ones((1, 1), bool)):
        again = codec.decode(codec.encode(mask), mask.shape)
        assert box_of(again) == box_of(mask)
        assert dice(again, mask) > 0.97


def test_a_batch_equals_single_masks(codec: MaskCodec) -> None:
    masks = list(drawings().values())
    together = codec.tokens(masks)
    assert together == [codec.tokens([mask])[0] for mask in masks]
    for one, tokens in zip(codec.masks(together, (300, 260)), together, strict=True):
        np.testing.assert_array_equal(codec.masks([tokens], (300, 260))[0], one)


def test_a_name_behind_the_tokens_is_allowed_and_a_second_answer_is_not(codec: MaskCodec) -> None:
    mask = drawings()["ellipse"]
    text = codec.encode(mask)
    np.testing.assert_array_equal(codec.decode(f"{text} heart", mask.shape), codec.decode(text, mask.shape))
    with pytest.raises(DataError, match="the text holds 2 answers, expected one; read it with parse_answers"):
        codec.decode(f"{text} ; {text}", mask.shape)
    with pytest.raises(DataError, match="answer 1, character 1: found 'heart'"):
        codec.decode("heart", mask.shape)


def test_codes_of_another_grid_are_refused(codec: MaskCodec) -> None:
    other = 80 - codec.codes
    tokens = MaskTokens((0, 0, 9, 9), (1,) * other)
    with pytest.raises(DataError, match=f"mask 2 holds {other} codes, expected {codec.codes}; take .* grid="):
        codec.masks([None, tokens], (40, 40))


def test_what_is_no_mask_and_what_is_no_film_are_refused(codec: MaskCodec) -> None:
    with pytest.raises(ImageError, match="the shape must be rows and columns"):
        codec.decode("", (0, 40))
    with pytest.raises(ImageError, match=r"must have rows and columns, not \(0, 4\)"):
        codec.encode(np.zeros((0, 4), bool))


# Other decoders.


@dataclass(frozen=True)
class Quarters:
    """A decoder and an encoder without torch: a code is the share of its place that the mask covers."""

    grid: int = 4

    def encode(self, crops: Crops) -> Codes:
        shares = crops.reshape(-1, 4, 16, 4, 16).mean(axis=(2, 4))
        return np.asarray(np.rint(127 * shares).reshape(len(crops), 16), np.int64)

    def decode(self, codes: Codes) -> Crops:
        covered = codes.reshape(-1, 4, 4) >= 64
        return np.asarray(np.kron(covered, np.ones((16, 16))), np.float32)


def test_any_decoder_that_follows_the_protocol_stands_in() -> None:
    assert isinstance(Quarters(), MaskDecoder)
    assert isinstance(Quarters(), MaskEncoder)
    codec = MaskCodec(Quarters(), Quarters())
    mask = np.zeros((100, 100), bool)
    mask[20:60, 10:50] = True
    mask[20:30, 10:20] = False
    text = codec.encode(mask)
    assert text.count("<seg127>") == 15
    assert text[36:44] == "<seg000>"  # row by row: the first code is the upper left one
    np.testing.assert_array_equal(codec.decode(text, mask.shape), mask)
    reader = MaskCodec(Quarters())
    np.testing.assert_array_equal(reader.decode(text, mask.shape), mask)
    with pytest.raises(ModelError, match="this codec has no encoder; give MaskCodec the encoder that belongs"):
        reader.encode(mask)


@dataclass(frozen=True)
class Broken(Quarters):
    """Gives values and codes out of range."""

    def encode(self, crops: Crops) -> Codes:
        return np.asarray(super().encode(crops) + 1, np.int64)

    def decode(self, codes: Codes) -> Crops:
        return np.asarray(2 * super().decode(codes) - 1, np.float32)


def test_a_decoder_that_breaks_the_protocol_is_told() -> None:
    codec = MaskCodec(Broken(), Broken())
    mask = np.ones((8, 8), bool)
    with pytest.raises(ModelError, match="the encoder must give 16 codes from 0 to 127"):
        codec.encode(mask)
    with pytest.raises(ModelError, match=r"the decoder must give values in \[0, 1\] on 64 x 64 cells"):
        codec.decode(MaskTokens((0, 0, 9, 9), (0,) * 16).text(), (8, 8))


def test_the_codec_without_its_autoencoder_needs_no_torch() -> None:
    script = "import sys, artasyn.segment.tokens.codec, artasyn.segment.tokens; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_example_of_the_page_runs() -> None:
    page = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    text, overlap, said = done.stdout.splitlines()
    assert text.startswith("<loc")
    assert float(overlap) > 0.9
    assert said.startswith("[('right lung', (")


def test_both_models_are_small() -> None:
    folder = ROOT / "artasyn" / "mask_model"
    weights = sorted(folder.glob("*/model.safetensors"))
    assert [Path(file).parent.name for file in weights] == ["16", "64"]
    assert sum(file.stat().st_size for file in weights) < 2_000_000
