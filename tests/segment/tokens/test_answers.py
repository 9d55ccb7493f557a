"""The text of masks: what comes back, and which sentence a malformed text gets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artasyn.errors import DataError
from artasyn.segment.tokens.answers import Answer, MaskTokens, join_answers, parse_answers

LOC = "<loc0010><loc0020><loc0110><loc0220>"
SEG = "".join(f"<seg{code:03d}>" for code in range(16))
GOOD = LOC + SEG
TOKENS = MaskTokens((10, 20, 110, 220), tuple(range(16)))

edges = st.tuples(st.integers(0, 1023), st.integers(0, 1023)).map(sorted)
some_codes = st.sampled_from((16, 64)).flatmap(lambda n: st.lists(st.integers(0, 127), min_size=n, max_size=n))
some_names = st.text("abcdefgh _-", max_size=12).map(str.strip)
some_answers = st.none() | st.tuples(edges, edges, some_codes, some_names)


def test_the_order_and_the_spelling_are_those_of_paligemma() -> None:
    """Top, left, bottom, right with four digits; then the codes with three digits, row by row."""
    assert TOKENS.text() == GOOD
    assert MaskTokens.parse(GOOD) == TOKENS
    assert (TOKENS.grid, MaskTokens(TOKENS.box, (5,) * 64).grid) == (4, 8)


@given(st.lists(some_answers, min_size=1, max_size=4))
def test_any_answers_come_back_from_their_text(drawn: list[Any]) -> None:
    answers = []
    for each in drawn:
        if each is None:
            answers.append(Answer(None))
        else:
            rows, columns, codes, name = each
            answers.append(Answer(MaskTokens((rows[0], columns[0], rows[1], columns[1]), tuple(codes)), name))
    assert parse_answers(join_answers(answers)) == tuple(answers)


def test_spaces_do_not_matter_and_an_empty_answer_is_an_absent_structure() -> None:
    assert parse_answers(f"  {GOOD}  right lung ;; {GOOD};") == (
        Answer(TOKENS, "right lung"),
        Answer(None),
        Answer(TOKENS),
        Answer(None),
    )
    assert parse_answers("") == parse_answers(" \n") == (Answer(None),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("heart", "answer 1, character 1: found 'heart', expected location token 1 of 4, from <loc0000> to <loc1023>"),
        ("<loc0010><loc0020><seg005>", "character 19: found '<seg005>', expected location token 3 of 4"),
        (LOC + "<loc0001>" + SEG, "character 37: found '<loc0001>', expected segmentation token 1 of 16 or 64"),
        ("<loc1024>" + GOOD[9:], "character 1: found '<loc1024>', expected location token 1 of 4"),
        ("<loc010>" + GOOD[9:], "character 1: found '<loc010>', expected location token 1 of 4"),
        (LOC + "<seg128>" + SEG[8:], "character 37: found '<seg128>', expected segmentation token 1 .*<seg127>"),
        (LOC, "character 37: found the end of the answer, expected segmentation token 1 of 16 or 64"),
        (GOOD[:-8], "found the end of the answer, expected segmentation token 16 of 16 or 64"),
        (GOOD + "<seg001>", "found the end of the answer, expected segmentation token 18 of 16 or 64"),
        (LOC + "<seg001>" * 65, "found '<seg001>', expected ;, a name or the end$"),
        (GOOD + GOOD, "found '<loc0010>', expected no location token after .*; write ; between two answers"),
        (f"{GOOD} ; {GOOD[:-1]}", "answer 2, character 324: found '<seg015', expected segmentation token 16"),
        (f"{GOOD} heart <seg001>", "found 'heart <seg001>', expected ;, a name or the end"),
        ("<loc0110><loc0020><loc0010><loc0220>" + SEG, "answer 1: MaskTokens: box has its bottom 10 above top 110"),
        ("<loc0010><loc0220><loc0110><loc0020>" + SEG, "answer 1: MaskTokens: box has its right 20 before left 220"),
        ("<loc００10>" + GOOD[9:], "character 1: found '<loc００10>', expected location token 1"),
    ],
)
def test_a_malformed_text_gets_a_sentence_that_names_the_place(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_answers(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no mask"), (f"{GOOD};{GOOD}", "holds 2 masks"), (f"{GOOD} heart", "holds 'heart'")],
)
def test_the_tokens_of_one_mask_are_read_from_one_answer(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        MaskTokens.parse(text)


@pytest.mark.parametrize(
    ("box", "codes", "message"),
    [
        ((0, 0, 1024, 9), (1,) * 16, r"box\[2\] is 1024, not from 0 to 1023"),
        ((-1, 0, 9, 9), (1,) * 16, r"box\[0\] is -1, not from 0 to 1023"),
        ((0, 0, 9, 9), (128,) * 16, r"codes\[0\] is 128, not from 0 to 127"),
        ((0, 0, 9, 9), (1,) * 20, "codes holds 20 items, not 16 or 64"),
        ((0, 0, 9, 9), (), "codes holds 0 items"),
    ],
)
def test_tokens_out_of_range_are_refused(box: tuple[int, int, int, int], codes: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=f"^MaskTokens: {message}"):
        MaskTokens(box, codes)


@pytest.mark.parametrize("name", ["a;b", "<a", " a", "a>"])
def test_a_name_that_would_not_come_back_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="leave out"):
        Answer(TOKENS, name)
    with pytest.raises(DataError, match="has no tokens"):
        Answer(None, "heart")
