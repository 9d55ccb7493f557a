"""Insertion: every usual kind of image, lungs given in every way, exact in what comes out."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image

from artasyn.errors import ImageError, SynthesisError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import FINDINGS, LungOpacity, findings
from artasyn.transforms.insertion import Insertion, LungMemory, as_lungs, grey, opacity


@cache
def chest() -> PhantomRadiograph:
    return Phantom(size=128)(1)


def kinds() -> dict[str, Any]:
    """The same film in every usual kind."""
    film = chest().image
    bytes_ = np.rint(255 * film).astype(np.uint8)
    coloured = np.clip(film[:, :, None] * np.array([1.0, 0.9, 0.8], np.float32), 0, 1).astype(np.float32)
    return {
        "float": film,
        "float, one channel": film[:, :, None],
        "float, three channels": coloured,
        "bytes": bytes_,
        "bytes, one channel": bytes_[:, :, None],
        "bytes, three channels": np.rint(255 * coloured).astype(np.uint8),
        "double": film.astype(np.float64),
        "half, three channels": coloured.astype(np.float16),
        "a view": coloured[:, :, 1],
    }


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("name", FINDINGS)
def test_the_mask_is_what_changed(kind: str, name: str) -> None:
    image, lungs = kinds()[kind], chest().lungs
    before = image.copy()
    made = Insertion(LungOpacity(findings(name))).draw(image, lungs, np.random.default_rng(3))
    assert made.image.shape == image.shape
    assert made.image.dtype == image.dtype
    changed = made.image != image
    assert (made.mask == (changed.any(axis=2) if changed.ndim == 3 else changed)).all()
    assert made.mask.any()
    assert not (made.mask & ~lungs.mask).any()
    assert (np.logical_or.reduce(list(made.findings.values())) == made.mask).all()
    assert (made.image >= image).all()
    assert (image == before).all()


def test_kinds_of_image_get_the_same_anomaly() -> None:
    made = {kind: Insertion().draw(image, chest().lungs, np.random.default_rng(5)) for kind, image in kinds().items()}
    whole = made["float"].mask
    for kind in ("float, one channel", "bytes", "bytes, one channel"):
        assert (made[kind].mask != whole).mean() < 0.01  # rounding to bytes moves the rim
        assert made[kind].records == made["float"].records
    assert (made["bytes"].mask == made["bytes, one channel"].mask).all()


def test_several_anomalies_replay() -> None:
    insertion = Insertion(anomalies_range=(3, 3))
    for image in kinds().values():
        made = insertion.draw(image, chest().lungs, np.random.default_rng(1))
        assert len(made.records) == 3
        again = insertion.replay(image, chest().lungs, made.records)
        assert (again.image == made.image).all()
        assert again.findings.keys() == made.findings.keys()


def test_lungs_are_found_where_none_are_given_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Counting(PBTSeg):
        def __call__(self, image: Any) -> Lungs:
            calls.append(1)
            return super().__call__(image)

    insertion = Insertion(segmenter=Counting())
    film = Phantom(size=128)(77).image
    made = [insertion.draw(film.copy(), None, np.random.default_rng(2)) for _ in range(3)]
    assert len(calls) == 1
    assert all((one.image == made[0].image).all() for one in made)
    expected = Insertion().draw(film, PBTSeg()(film), np.random.default_rng(2))
    assert (made[0].image == expected.image).all()


class Marking(PBTSeg):
    """Finds lungs whose confidence is the image's first pixel, and counts how often it was asked."""

    asked = 0

    def __call__(self, image: Any) -> Lungs:
        Marking.asked += 1
        labels = np.zeros(image.shape, np.uint8)
        labels[4:12, 2:6], labels[4:12, 9:14] = 1, 2
        return Lungs(labels, (float(image[0, 0]), 0.5), ("marked",))


def films(count: int) -> list[Any]:
    return [np.full((16, 16), number / count, np.float32) for number in range(count)]


def test_a_memory_forgets_what_was_not_asked_for_longest() -> None:
    memory, first, second, third = LungMemory(2), *films(3)
    Marking.asked = 0
    for film, asked in ((first, 1), (second, 2), (first, 2), (third, 3), (first, 3), (second, 4)):
        lungs = memory.find(Marking(), film).lungs
        assert Marking.asked == asked
        assert lungs.confidence == (float(film[0, 0]), 0.5)
        assert lungs.reasons == ("marked",)
        assert (lungs.labels == Marking()(film).labels).all()
        Marking.asked = asked
    assert len(memory) == 2


def test_a_memory_tells_segmenters_apart_and_its_copies_are_empty() -> None:
    memory, [film] = LungMemory(5), films(1)
    Marking.asked = 0
    memory.find(Marking(), film)
    memory.find(PBTSeg(), film)
    assert (Marking.asked, len(memory)) == (1, 2)
    copy = pickle.loads(pickle.dumps(memory))
    assert (copy.capacity, len(copy), len(memory)) == (5, 0, 2)


def test_threads_share_a_memory() -> None:
    memory = LungMemory(4)
    many = films(9) * 20
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda film: memory.find(Marking(), film), many))
    assert [place.lungs.confidence[0] for place in found] == [float(film[0, 0]) for film in many]
    assert len(memory) == 4


def test_no_lungs_are_an_error() -> None:
    with pytest.raises(SynthesisError, match="no lungs found"):
        Insertion().draw(np.zeros((64, 64), np.uint8), None, np.random.default_rng(0))


@pytest.mark.parametrize(
    "image",
    [
        *(np.zeros((32, 32), dtype) for dtype in (np.uint16, np.int16, bool, complex)),
        *(np.zeros(shape, np.uint8) for shape in ((32, 32, 4), (32,), (1, 32, 32), (9, 32))),
        *(np.full((32, 32), value, np.float32) for value in (np.nan, 1.5, -0.1)),
        np.dstack([np.zeros((32, 32))] * 2 + [np.full((32, 32), 1.2)]),
        [[0]],
    ],
)
def test_other_images_are_refused(image: Any) -> None:
    with pytest.raises((ImageError, jaxtyping.TypeCheckError)):
        grey(image)


def test_lungs_as_users_hold_them() -> None:
    lungs, mask = chest().lungs, chest().lungs.mask
    labels = torch.from_numpy(lungs.labels)
    for given in (
        *(lungs, lungs.labels, lungs.labels[:, :, None], lungs.labels.astype(np.int64), lungs.labels.astype(float)),
        *(labels, labels[None], labels[None, None], labels.long(), labels.half(), labels.bfloat16()),
        *(mask, mask[:, :, None], mask[None], mask.astype(np.uint8), mask.astype(np.float32), mask.astype(np.int64)),
        *((255 * mask).astype(np.uint8), mask * 255.0, mask * np.uint16(65535), torch.from_numpy(mask)[None]),
        *(Image.fromarray(lungs.labels), Image.fromarray(mask), Image.fromarray((255 * mask).astype(np.uint8))),
    ):
        found = as_lungs(given, mask.shape)
        assert isinstance(found, Lungs)
        assert (found.labels == lungs.labels).all()
    found = as_lungs((7 * mask).astype(np.uint8), labelled=False)
    assert isinstance(found, Lungs)
    assert (found.labels == lungs.labels).all()
    for wrong, message in (
        ((7 * mask).astype(np.uint8), "found the values 0, 7"),
        (-lungs.labels.astype(np.int8), "found the values -2, -1, 0"),
        (mask * np.nan, "found the values nan"),
        (lungs.labels / 2, "found the values 0, 0.5, 1"),
        (np.repeat(mask[:, :, None], 3, axis=2), r"of shape \(h, w\), not bool \(128, 128, 3\)"),
        (mask[:64], r"the image is \(128, 128\)"),
        ("lungs.png", "not str"),
        (Image.fromarray(mask).convert("RGB"), "PIL image of mode RGB"),
    ):
        with pytest.raises(ImageError, match=message):
            as_lungs(wrong, mask.shape)


def test_plain_values_make_a_synthesis() -> None:
    assert opacity() == LungOpacity()
    made = opacity(
        ["nodule"], severity_range=(0.2, 0.3), zones=["upper"], sides=["left"], kinds_range=(1, 1), tolerance=0.01
    )
    assert made == LungOpacity(
        findings("nodule", severity_range=(0.2, 0.3), zones=("upper",), sides=("left",)), (1, 1), 0.01
    )
    with pytest.raises(SynthesisError, match="no finding 'cold'"):
        opacity(["cold"])
