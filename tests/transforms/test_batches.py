"""Opacities on batches with a probability, before the augmentations of kornia."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from artasyn.errors import DataError, ImageError, SynthesisError
from artasyn.phantom.film import Phantom
from artasyn.synthesis import LungOpacity, findings
from artasyn.transforms import RandomBatchLungOpacity

CHESTS = [Phantom(size=96)(seed) for seed in range(4)]
IMAGES = torch.stack([torch.from_numpy(chest.image)[None] for chest in CHESTS])
LUNGS = torch.stack([torch.from_numpy(chest.lungs.labels)[None] for chest in CHESTS])


def test_masks_hold_what_changed_in_the_chosen_images() -> None:
    module = RandomBatchLungOpacity(["nodule", "mass"], p=0.5)
    chosen = []
    for seed in range(8):
        torch.manual_seed(seed)
        images, masks = module(IMAGES, LUNGS)
        assert torch.equal(images != IMAGES, masks > 0)
        assert set(masks.unique().tolist()) <= {0.0, 1.0}
        assert not (masks.bool() & (LUNGS == 0)).any()
        chosen += masks.flatten(1).any(1).tolist()
    assert 8 < sum(chosen) < 24
    torch.manual_seed(7)
    assert torch.equal(module.eval()(IMAGES, LUNGS)[0], images)  # evaluation changes nothing, as in kornia


def test_all_or_none_and_lungs_in_a_list() -> None:
    images, masks = RandomBatchLungOpacity(p=0.0)(IMAGES, LUNGS)
    assert torch.equal(images, IMAGES)
    assert not masks.any()
    module, outs = RandomBatchLungOpacity(LungOpacity(findings("consolidation")), p=1.0), []
    for lungs in (LUNGS, [chest.lungs for chest in CHESTS]):
        torch.manual_seed(3)
        outs.append(module(IMAGES, lungs))
    assert outs[0][1].flatten(1).any(1).all()
    assert torch.equal(outs[0][0], outs[1][0])


@pytest.mark.parametrize("listed", [False, True])
def test_one_anomaly_for_the_whole_batch(listed: bool) -> None:
    images, lungs = IMAGES[:1].expand(3, -1, -1, -1), LUNGS[:1].expand(3, -1, -1, -1)
    given = [CHESTS[0].lungs] * 3 if listed else lungs
    torch.manual_seed(1)
    changed, masks = RandomBatchLungOpacity(p=1.0, same_on_batch=True)(images, given)
    assert masks[0].any()
    assert torch.equal(changed[0], changed[1])
    assert torch.equal(changed[0], changed[2])
    torch.manual_seed(1)
    changed, _ = RandomBatchLungOpacity(p=1.0)(images, given)
    assert not torch.equal(changed[0], changed[1])


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(DataError, match=r"probability in \[0, 1\], not 1.5"):
        RandomBatchLungOpacity(p=1.5)
    with pytest.raises(SynthesisError, match="no finding 'lump'"):
        RandomBatchLungOpacity(["lump"])
    with pytest.raises(SynthesisError, match="no lungs"):
        RandomBatchLungOpacity(p=1.0)(IMAGES, torch.zeros_like(LUNGS))


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize(
    ("images", "lungs", "message"),
    [
        (2 * IMAGES, LUNGS, r"images must lie in \[0, 1\]"),
        (IMAGES[:, 0], LUNGS, "images must be float32"),
        (IMAGES, LUNGS[:2], "lungs are"),
        (IMAGES, [chest.lungs for chest in CHESTS[:2]], "give lungs for each image"),
        (IMAGES, None, "not Tensor and NoneType"),
        (IMAGES.numpy(), LUNGS, "not ndarray and Tensor"),
    ],
)
def test_what_is_no_batch_is_refused_whatever_is_drawn(p: float, images: Any, lungs: Any, message: str) -> None:
    with pytest.raises((ImageError, jaxtyping.TypeCheckError), match=f"{message}|Type-check"):
        RandomBatchLungOpacity(p=p)(images, lungs)


@pytest.mark.extras
def test_kornia_moves_image_mask_and_lungs_together() -> None:
    augmentation = pytest.importorskip("kornia.augmentation", reason="kornia is not installed")
    torch.manual_seed(2)
    changed, masks = RandomBatchLungOpacity(["consolidation"], p=1.0)(IMAGES, LUNGS)
    augment = augmentation.AugmentationSequential(
        augmentation.RandomHorizontalFlip(p=1.0),
        augmentation.RandomVerticalFlip(p=1.0),
        data_keys=["input", "mask", "mask"],
    )
    moved, moved_masks, lungs = augment(changed, masks, LUNGS.float())
    np.testing.assert_array_equal(moved.numpy(), changed.flip(-1, -2).numpy())
    np.testing.assert_array_equal(moved_masks.numpy(), masks.flip(-1, -2).numpy())
    assert not (moved_masks.bool() & (lungs == 0)).any()
