"""Batches: the same as one by one, on whatever device there is."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.errors import ImageError, NothingShows, SynthesisError
from artasyn.phantom.film import Phantom
from artasyn.segment.lungs import Lungs
from artasyn.synthesis import BatchLungOpacity, LungOpacity, OpacityRecord, findings
from tests.catalogue import CATALOGUE
from tests.conftest import ROOT

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]

every = pytest.mark.parametrize(
    "opacity",
    [
        pytest.param(kind(**arguments), id=f"{kind.__name__}-{n}")
        for n, (kind, arguments) in enumerate(CATALOGUE)
        if arguments.get("part", "lungs") == "lungs"  # a batch is rendered in whole lungs
    ],
)


@cache
def chests(count: int = 4, size: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Phantoms: images and labels; one has no left lung, one is shifted beyond the border."""
    drawn = [Phantom(size=size)(seed) for seed in range(count)]
    images = torch.stack([torch.from_numpy(chest.image)[None] for chest in drawn])
    labels = torch.stack([torch.from_numpy(chest.lungs.labels)[None] for chest in drawn])
    labels[1][labels[1] == 2] = 0
    images[2], labels[2] = images[2].roll(-40, 2), labels[2].roll(-40, 2)
    labels[2, :, :, -40:] = 0
    return images, labels


def one_by_one(
    opacity: LungOpacity, images: torch.Tensor, labels: torch.Tensor, records: list[OpacityRecord]
) -> torch.Tensor:
    made = []
    for image, label, record in zip(images, labels, records, strict=True):
        try:
            one = opacity.render(image[0].numpy(), Lungs.from_labels(label[0].numpy()), record).image
        except NothingShows:
            one = image[0].numpy()
        made.append(torch.from_numpy(one)[None])
    return torch.stack(made)


def alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    """But for rounding, and for a few pixels that just reach the tolerance or just miss it."""
    difference = (first - second).abs()
    return bool(difference.max() <= 1 / 255 + 1e-5 and (difference > 1e-5).float().mean() < 1e-4)


@every
@pytest.mark.parametrize("device", DEVICES)
def test_at_once_is_one_by_one(opacity: LungOpacity, device: str) -> None:
    images, labels = chests()
    batch = BatchLungOpacity(opacity, at_once=True).to(device)
    anomalies = batch(images.to(device), labels.to(device), np.random.default_rng(1))
    assert str(anomalies.images.device).startswith(device)
    expected = one_by_one(opacity, images, labels, anomalies.records)
    difference = (anomalies.images.cpu() - expected).abs()
    assert difference.max() <= opacity.tolerance + 1e-5  # a pixel that just misses the tolerance
    assert (difference > 1e-4).float().mean() < 1e-4


@every
def test_batches_are_exact(opacity: LungOpacity) -> None:
    images, labels = chests()
    before = images.clone()
    for at_once in (True, False):
        anomalies = BatchLungOpacity(opacity, at_once=at_once)(images, labels, np.random.default_rng(2))
        assert anomalies.masks.dtype == torch.bool
        assert torch.equal(anomalies.masks, anomalies.images != images)
        assert torch.equal(anomalies.masks, anomalies.attenuations > 0)
        assert (anomalies.attenuations[anomalies.masks] >= opacity.tolerance - 1e-7).all()
        assert not (anomalies.masks & (labels == 0)).any()
        assert anomalies.masks.flatten(1).any(1).all()
        assert 0 <= anomalies.images.min() <= anomalies.images.max() <= 1
        assert torch.equal(images, before)


def test_seeds_decide_and_records_replay() -> None:
    images, labels = chests()
    batch = BatchLungOpacity(at_once=True)
    first, again, other = (batch(images, labels, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    read = [OpacityRecord.from_json(record.to_json()) for record in first.records]
    assert alike(batch.render(images, labels, read).images, first.images)
    slow = BatchLungOpacity(at_once=False)(images, labels, np.random.default_rng(3))
    assert slow.records == first.records


def test_the_default_is_image_by_image_on_a_cpu() -> None:
    images, labels = chests()
    default, slow = (
        BatchLungOpacity(at_once=at_once)(images, labels, np.random.default_rng(5)) for at_once in (None, False)
    )
    assert torch.equal(default.images, slow.images)


def test_images_where_nothing_shows_are_drawn_again() -> None:
    images, labels = chests()
    half = torch.where(labels == 1, torch.ones(()), images)  # white right lungs, and one film without a left one
    synthesis = LungOpacity(findings("mass"))
    for at_once in (True, False):
        batch = BatchLungOpacity(synthesis, at_once=at_once)
        with pytest.raises(NothingShows, match=r"images \[1\] of the batch"):
            batch(half, labels, np.random.default_rng(0))
        kept = [0, 2, 3]
        for seed in range(4):
            anomalies = batch(half[kept], labels[kept], np.random.default_rng(seed))
            assert anomalies.masks.flatten(1).any(1).all()
            replayed = batch.render(half[kept], labels[kept], anomalies.records)
            assert alike(replayed.images, anomalies.images)


def test_a_record_without_lesions_leaves_its_image() -> None:
    images, labels = chests()
    records = BatchLungOpacity()(images, labels, np.random.default_rng(0)).records
    records[1] = OpacityRecord(())
    for at_once in (True, False):
        anomalies = BatchLungOpacity(at_once=at_once).render(images, labels, records)
        assert torch.equal(anomalies.images[1], images[1])
        assert anomalies.masks.flatten(1).any(1).tolist() == [True, False, True, True]


def test_what_is_no_batch_is_refused() -> None:
    images, labels = chests()
    batch, rng = BatchLungOpacity(), np.random.default_rng(0)
    records = batch(images, labels, rng).records
    with pytest.raises(SynthesisError, match=r"images \[0\] of 4"):
        batch(images, torch.where(torch.arange(4)[:, None, None, None] == 0, 0, labels), rng)
    with pytest.raises(SynthesisError, match="3 records for 4 images"):
        batch.render(images, labels, records[:3])
    with pytest.raises(SynthesisError, match="with lesions"):
        batch.render(images, labels, [OpacityRecord(())] * 4)
    for wrong in ((images, labels[:, :, :64]), (images[:, 0], labels[:, 0]), (images.double(), labels)):
        with pytest.raises((ImageError, jaxtyping.TypeCheckError)):  # the latter only where tests check types
            batch(*wrong, rng)


@pytest.mark.parametrize("top", [1, 255])
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16])
def test_masks_of_both_lungs_are_split(dtype: torch.dtype, top: int) -> None:
    images, labels = chests()
    opacity = LungOpacity(findings("consolidation", sides=("left",)), (1, 1))
    masks = (top * (labels > 0)).to(dtype)
    before = masks.clone()
    whole = [0, 3]  # the others lack a lung, or a part of one beyond the border
    for at_once in (True, False):
        batch = BatchLungOpacity(opacity, at_once=at_once)
        one, other = (batch(images[whole], lungs[whole], np.random.default_rng(0)) for lungs in (masks, labels))
        assert not (one.masks & (labels[whole] != 2)).any()
        assert torch.equal(one.images, other.images)
        replayed = batch.render(images[whole], masks[whole], one.records)
        assert alike(replayed.images, one.images)
    mixed = labels.clone()
    mixed[3] = labels[3] > 0
    one, other = (BatchLungOpacity()(images, lungs, np.random.default_rng(1)) for lungs in (mixed, labels))
    assert torch.equal(one.images, other.images)
    assert torch.equal(masks, before)


def test_values_that_are_no_radiographs_or_lungs_are_refused() -> None:
    images, labels = chests()
    batch, rng = BatchLungOpacity(), np.random.default_rng(0)
    right = torch.where(labels == 2, 1, 0)
    for wrong, message in (
        ((images, 3 * labels), r"image 0 of the batch: .*found the values 0, 3, 6"),
        ((images, right), r"image 0 of the batch: .*lungs_labelled=True"),
        ((images.index_fill(0, torch.tensor([2]), torch.nan), labels), r"images \[2\] of the batch do not"),
        ((2 * images, labels), r"images must lie in \[0, 1\]"),
        ((images[:0], labels[:0]), "no images"),
        ((images, labels.to("meta")), "on meta"),
    ):
        with pytest.raises(ImageError, match=message):
            batch(*wrong, rng)
    told = BatchLungOpacity(lungs_labelled=True)(images[:1], right[:1], rng)
    assert all(lesion.side == 1 for lesion in told.records[0].lesions)


def test_half_precision_of_the_module_changes_nothing() -> None:
    images, labels = chests()
    plain, half = BatchLungOpacity(at_once=True), BatchLungOpacity(at_once=True).half()
    one, other = (batch(images, labels, np.random.default_rng(0)) for batch in (plain, half))
    assert torch.equal(one.images, other.images)
    for dtype in (torch.float16, torch.float64):
        with pytest.raises((ImageError, jaxtyping.TypeCheckError)):  # the latter only where tests check types
            plain(images.to(dtype), labels, np.random.default_rng(0))


def test_mixed_precision_of_a_training_changes_nothing() -> None:
    images, labels = chests()
    batch = BatchLungOpacity(at_once=True)
    plain = batch(images, labels, np.random.default_rng(0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = batch(images, labels, np.random.default_rng(0))
    assert torch.equal(mixed.images, plain.images)


COMPILED = """
import pickle
import numpy as np, torch
from artasyn import BatchLungOpacity, Phantom
from artasyn.synthesis import findings

chests = [Phantom(size=96)(seed) for seed in range(3)]
images = torch.stack([torch.from_numpy(chest.image)[None] for chest in chests])
labels = torch.stack([torch.from_numpy(chest.lungs.labels)[None] for chest in chests])
plain, compiled = (BatchLungOpacity(["mass", "nodule"], at_once=True) for _ in range(2))
traced = []
compiled.compile(backend=lambda graph, inputs: traced.append(graph) or graph, fullgraph=True)
for seed in range(6):
    one, other = (batch(images, labels, np.random.default_rng(seed)) for batch in (plain, compiled))
    assert one.records == other.records
    assert (one.images - other.images).abs().max() < 1e-5, seed
print(len(traced))
kept = pickle.loads(pickle.dumps(compiled))
assert torch.equal(kept(images, labels, np.random.default_rng(5)).images, one.images)
print(len(traced))
"""
"""In a process of its own: the checks of types that tests add to every function cannot be traced."""


def test_compiled_rendering_is_the_same_and_is_not_pickled() -> None:
    """With a backend that only traces: both steps are traced whole, once, and once more for any number of lesions."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert 2 <= before == after <= 6


def test_the_module_moves_and_keeps_no_weights() -> None:
    batch = BatchLungOpacity()
    assert not list(batch.parameters())
    assert not batch.state_dict()  # textures are made, not stored
    assert batch.textures.device.type == "cpu"


@given(st.integers(16, 150), st.integers(16, 150), st.integers(0, 2**31), st.data())
@settings(max_examples=15, deadline=None)
def test_any_lungs_on_any_size(h: int, w: int, seed: int, data: st.DataObject) -> None:
    labels = np.zeros((2, 1, h, w), np.uint8)
    for image in range(2):
        for side in data.draw(st.sampled_from([(1,), (2,), (1, 2)])):
            top, left = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
            bottom, right = data.draw(st.integers(top + 1, h)), data.draw(st.integers(left + 1, w))
            labels[image, 0, top:bottom, left:right] = side
    rng = np.random.default_rng(seed)
    images = np.where(labels > 0, np.float32(0.3), np.float32(0.7)) + 0.1 * rng.random(labels.shape, np.float32)
    films, lungs = torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)
    opacity = LungOpacity()
    present = np.stack([(labels == side).any(axis=(1, 2, 3)) for side in (1, 2)], axis=1)
    records = [OpacityRecord(lesions) for lesions in opacity.draw_batch(present, rng).lesions(2)]
    anomalies = BatchLungOpacity(at_once=True, lungs_labelled=True).render(films, lungs, records)
    assert torch.equal(anomalies.masks, anomalies.images != films)
    difference = (anomalies.images - one_by_one(opacity, films, lungs, records)).abs()
    assert difference.max() <= opacity.tolerance + 1e-4
