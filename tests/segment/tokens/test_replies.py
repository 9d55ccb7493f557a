"""One answer as text, boxes, confidence and masks, which agree with each other and with the segmenter's verbs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.phantom.film import Phantom
from artasyn.segment.tokens import MaskCodec, Request, TokenSegmenter
from artasyn.segment.tokens.crops import box_of
from artasyn.segment.tokens.replies import Reply
from artasyn.segment.tokens.writers import Said
from tests.anatomies import seen

CODEC = MaskCodec.from_pretrained()
SHAPE = (90, 70)


def disc() -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray((rows - 40) ** 2 + (columns - 30) ** 2 < 400)


def replied(task: str) -> Reply:
    (tokens,) = CODEC.tokens([disc()])
    assert tokens is not None
    heart = Said("heart", tokens.box, tokens.codes if task == "segment" else (), 0.8)
    return Reply(Request.parse(f"{task} aorta ; heart"), (Said("aorta", sure=0.3), heart), seen()[1], SHAPE)


def test_masks_boxes_and_text_are_of_one_answer() -> None:
    reply = replied("segment")
    assert reply.confidence == (0.0, 0.8)
    assert reply.texts[0] == ""
    assert reply.text == f" ; {reply.texts[1]}"
    mask = reply.mask("heart", CODEC)
    np.testing.assert_array_equal(mask, CODEC.decode(reply.texts[1], SHAPE))
    assert reply.boxes == (None, box_of(disc())) == (None, box_of(mask))
    assert not reply.mask("aorta", CODEC).any()


def test_boxes_alone_have_no_masks() -> None:
    reply = replied("detect")
    assert reply.boxes == replied("segment").boxes
    assert "<seg" not in reply.text
    assert not reply.mask("heart", CODEC).any()


def test_captions_and_views_are_their_names() -> None:
    caption = Reply(Request("caption", box=(0, 0, 1023, 511)), (Said("heart", (0, 0, 1023, 511), (), 0.6),),
                    seen()[1], SHAPE)  # fmt: skip
    assert (caption.text, caption.boxes, caption.confidence) == ("heart", ((0, 0, 90, 35),), (0.6,))
    view = Reply(Request("view"), (Said("frontal", sure=0.9),), seen()[1], SHAPE)
    assert (view.text, view.boxes, view.confidence) == ("frontal", (None,), (0.9,))


def test_a_segmenter_gives_the_same_by_all_its_verbs(stored: tuple[Path, Path]) -> None:
    segmenter, image = TokenSegmenter.from_pretrained(stored[0], anatomy=stored[1]), Phantom(size=96)(1).image
    reply = segmenter.reply(image, Request.parse("detect aorta ; drawn heart"))
    assert reply.text == segmenter.answer(image, "detect aorta ; drawn heart")
    assert dict(zip(("aorta", "drawn_heart"), reply.boxes, strict=True)) == segmenter.detect(
        image, "detect aorta ; drawn heart"
    )
    with pytest.raises(DataError, match="cannot write liver"):
        segmenter.reply(image, Request("segment", ("liver",)))
