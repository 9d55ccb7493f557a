"""Masks as words: the place and the shape of a mask as the tokens of a vision-language model, and back."""

from artasyn.segment.tokens.answers import Answer, MaskTokens, join_answers, parse_answers
from artasyn.segment.tokens.codec import MaskCodec, MaskDecoder, MaskEncoder

__all__ = ["Answer", "MaskCodec", "MaskDecoder", "MaskEncoder", "MaskTokens", "join_answers", "parse_answers"]
