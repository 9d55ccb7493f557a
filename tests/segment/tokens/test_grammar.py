"""The grammar: whatever the logits are, what is written can be read."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.errors import DataError
from artasyn.segment.tokens.grammar import AnswerGrammar, Expected, TokenIds, follow

IDS = TokenIds(tuple(range(100, 1124)), tuple(range(10, 138)), 2, (5, 6))
VOCABULARY = 1200
HEART, LUNG = Expected(16, (7, 8)), Expected(16, (9,))


def written(expected: list[Expected], scores: list[torch.Tensor]) -> list[int]:
    """Writes greedily under the grammar, until the end."""
    grammar, found = AnswerGrammar(IDS, [expected], prompt=1), [0]
    for step in range(100):
        closed = grammar(torch.tensor([found]), scores[step % len(scores)][None].clone())
        found.append(int(closed.argmax()))
        if found[-1] == IDS.end:
            break
    return found[1:]


WORST = {
    "the wrong ones are infinite": torch.full((VOCABULARY,), torch.inf),
    "all are impossible": torch.full((VOCABULARY,), -torch.inf),
    "none is a number": torch.full((VOCABULARY,), torch.nan),
    "falling": -torch.arange(VOCABULARY, dtype=torch.float32) * 1e30,
    "rising": torch.arange(VOCABULARY, dtype=torch.float32) * 1e30,
}


@pytest.mark.parametrize("worst", WORST)
def test_the_worst_logits_give_answers_that_can_be_read(worst: str) -> None:
    expected = [HEART, LUNG, Expected(0, (7,))]
    found = written(expected, [WORST[worst]])
    assert found[-1] == IDS.end
    spoken, after = follow(found, expected, IDS)
    assert len(spoken) == 3
    assert after == (IDS.end,)
    for each, asked in zip(spoken, expected, strict=True):
        if each.box is not None:
            assert each.box[0] <= each.box[2]
            assert each.box[1] <= each.box[3]
            assert len(each.codes) == asked.codes


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_any_logits_give_answers_that_can_be_read(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = [100 * torch.randn(VOCABULARY, generator=generator) for _ in range(7)]
    expected = [HEART, Expected(choices=((7,), (7, 8), (9, 9))), LUNG][:count]
    found = written(expected, scores)
    assert found[-1] == IDS.end
    spoken = follow(found, expected, IDS)[0]
    assert len(spoken) == count
    if count > 1:
        assert spoken[1].choice in (0, 1, 2)


def test_an_absent_structure_is_an_empty_answer() -> None:
    absent, end = torch.zeros(VOCABULARY), torch.zeros(VOCABULARY)
    absent[5], absent[6], end[2] = 9, 9, 9
    found = written([HEART, LUNG], [absent, absent, end])
    assert found == [5, 6, 2]
    spoken = follow(found, [HEART, LUNG], IDS)[0]
    assert [each.box for each in spoken] == [None, None]
    assert [each.start for each in spoken] == [0, 2]


def test_edges_come_in_order() -> None:
    _, allowed = follow([600, 700], [HEART], IDS)
    assert allowed == tuple(range(600, 1124))
    _, allowed = follow([600, 700, 650], [HEART], IDS)
    assert allowed == tuple(range(700, 1124))
    _, first = follow([], [HEART, LUNG], IDS)
    assert set(first) == {*IDS.locations, 5}


def test_a_vocabulary_without_all_tokens_is_refused() -> None:
    with pytest.raises(
        DataError, match="a vocabulary needs 1024 locations, 128 codes and a separator, not 3, 128 and 1"
    ):
        TokenIds((1, 2, 3), IDS.codes, 2, (5,))
