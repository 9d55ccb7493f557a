"""Masks as words: the place and the shape of a mask as the tokens of a vision-language model, and back."""

from typing import TYPE_CHECKING

from artasyn.doors import later
from artasyn.segment.tokens.answers import Answer, MaskTokens, join_answers, parse_answers
from artasyn.segment.tokens.codec import MaskCodec, MaskDecoder, MaskEncoder
from artasyn.segment.tokens.words import Request

if TYPE_CHECKING:
    from artasyn.segment.tokens.model import TokenSegmenter
    from artasyn.segment.tokens.paligemma import PaliGemmaWriter

__all__ = [
    "Answer",
    "MaskCodec",
    "MaskDecoder",
    "MaskEncoder",
    "MaskTokens",
    "PaliGemmaWriter",
    "Request",
    "TokenSegmenter",
    "join_answers",
    "parse_answers",
]

_LATER = {
    "PaliGemmaWriter": "artasyn.segment.tokens.paligemma",
    "TokenSegmenter": "artasyn.segment.tokens.model",
}

__getattr__ = later(__name__, _LATER)
