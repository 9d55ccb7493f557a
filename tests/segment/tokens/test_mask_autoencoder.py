"""The autoencoder of masks: settings, stored models, gradients, and how well the bundled ones keep real masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artasyn.errors import ModelError
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_mask
from artasyn.phantom.film import Phantom
from artasyn.segment.tokens import MaskCodec
from artasyn.segment.tokens.mask_autoencoder import MaskAutoencoder, MaskAutoencoderSettings

SMALL: dict[str, Any] = {"widths": (8, 16, 8), "fine": 8, "vector": 6}


@pytest.mark.parametrize("grid", [4, 8])
def test_a_stored_autoencoder_comes_back(grid: Any, tmp_path: Path) -> None:
    network = MaskAutoencoder(MaskAutoencoderSettings(grid=grid, **SMALL)).eval()
    network.half().float().save_pretrained(tmp_path / "model")
    again = MaskAutoencoder.from_pretrained(tmp_path / "model")
    assert again.settings == network.settings
    assert again.digest == network.digest
    crops = np.random.default_rng(0).random((3, 64, 64), np.float32)
    codes = network.encode(crops)
    assert codes.shape == (3, grid**2)
    np.testing.assert_array_equal(again.encode(crops), codes)
    np.testing.assert_array_equal(again.decode(codes), network.decode(codes))


def test_a_code_is_the_nearest_vector_of_the_codebook() -> None:
    network = MaskAutoencoder(MaskAutoencoderSettings(grid=4, **SMALL)).eval()
    vectors = torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    indices = network.nearest(vectors)
    far = torch.cdist(vectors.permute(0, 2, 3, 1).reshape(-1, 6), network.codebook)
    np.testing.assert_array_equal(indices.flatten().numpy(), far.argmin(dim=1).numpy())
    np.testing.assert_array_equal(network.nearest(network.looked_up(indices)).numpy(), indices.numpy())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grid": 5}, "grid is 5; choose from 4, 8"),
        ({"widths": [8, 8]}, "widths holds 2 items, not 3"),
        ({"vector": 0}, "vector is 0, not from 1 to 512"),
        ({"depth": 3}, "depth is unknown"),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MaskAutoencoderSettings.of(values, "settings")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"python -m benchmarks\.train_tokens_codec"):
        MaskAutoencoder.from_pretrained(tmp_path)


@pytest.mark.parametrize(("grid", "least"), [(4, 0.93), (8, 0.95)])
def test_the_bundled_autoencoders_keep_the_lungs_of_phantoms(grid: Any, least: float) -> None:
    """No training has seen these phantoms; `benchmarks.score_tokens` measures all structures."""
    codec = MaskCodec.from_pretrained(grid=grid)
    masks = [mask for seed in range(6) for mask in _sides(Phantom(size=192)(990_000 + seed).lungs)]
    again = codec.masks(codec.tokens(masks), (192, 192))
    assert np.mean([dice(one, other) for one, other in zip(masks, again, strict=True)]) > least


def _sides(lungs: Any) -> tuple[np.ndarray, np.ndarray]:
    return lungs.right, lungs.left


@pytest.mark.realdata
@pytest.mark.parametrize(("grid", "least"), [(4, 0.93), (8, 0.95)])
def test_the_bundled_autoencoders_keep_masks_of_real_radiographs(data: Path, grid: Any, least: float) -> None:
    codec = MaskCodec.from_pretrained(grid=grid)
    for folder in ("lung_masks/jsrt/right_lung", "lung_masks/jsrt/heart", "lesions/cardiomediastinum"):
        masks = [read_mask(file) for file in sorted((data / folder).iterdir())[:20]]
        found = [dice(codec.decode(codec.encode(mask), mask.shape), mask) for mask in masks]
        assert np.mean(found) > least, folder
