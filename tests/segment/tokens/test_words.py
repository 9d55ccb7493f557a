"""Requests: the closed vocabulary, its synonyms and groups, and what is refused with the nearest words."""

from __future__ import annotations

import pytest

from artasyn.errors import DataError
from artasyn.segment.structures import ANATOMY
from artasyn.segment.tokens import Request
from artasyn.segment.tokens.answers import Answer, MaskTokens
from artasyn.segment.tokens.words import name_of, structures_of, vocabulary


@pytest.mark.parametrize("structure", ANATOMY)
def test_every_structure_has_a_name_that_leads_back(structure: str) -> None:
    name = name_of(structure)
    for said in (name, structure, name.upper(), f"the {name}", name.replace(" ", "_")):
        assert structures_of(said, ANATOMY) == (structure,)
    tokens = MaskTokens((0, 0, 9, 9), (1,) * 16)
    assert Answer(tokens, name).text().endswith(f"> {name}")  # a name that an answer may hold


def test_the_table_holds_structures_of_the_anatomy_network_alone() -> None:
    assert {each for of in vocabulary().values() for each in of} == set(ANATOMY)


@pytest.mark.parametrize(
    ("word", "structures"),
    [
        ("RUL", ("lung_upper_lobe_right",)),
        ("cor", ("heart",)),
        ("Clavicles", ("clavicula_right", "clavicula_left")),
        ("Left Lung", ("lung_left",)),
        ("lung left", ("lung_left",)),
        ("Th7", ("vertebrae_T7",)),
        ("vertebra T4", ("vertebrae_T4",)),
        ("SVC", ("superior_vena_cava",)),
        ("airways", ("trachea", "bronchus_right", "bronchus_left")),
        ("visible lungs", ("visible_lung_right", "visible_lung_left")),
    ],
)
def test_synonyms_and_groups(word: str, structures: tuple[str, ...]) -> None:
    assert structures_of(word) == structures


def test_a_group_stands_for_what_the_model_knows() -> None:
    assert structures_of("airways", ("trachea", "heart")) == ("trachea",)
    assert structures_of("lung opacity", ("lung_opacity",)) == ("lung_opacity",)  # a word that a model has learnt


@pytest.mark.parametrize(
    ("word", "known", "message"),
    [
        ("right lunge", None, "no structure 'right lunge'; the nearest are: right lung"),
        ("hart", None, "no structure 'hart'; the nearest are: heart"),
        ("opacty", ("lung_right", "opacity"), "no structure 'opacty'; the nearest are: opacity"),
        ("spleen", ("heart",), "this model does not write 'spleen'; the nearest are: "),
    ],
)
def test_unknown_structures_are_refused_with_the_nearest(word: str, known: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        structures_of(word, known)


@pytest.mark.parametrize(
    ("text", "task", "structures", "box"),
    [
        ("segment heart ; right lung", "segment", ("heart", "lung_right"), None),
        ("  Segment  heart;HEART ; cor", "segment", ("heart",), None),
        ("detect lungs", "detect", ("lung_right", "lung_left"), None),
        ("caption <loc0010><loc0020><loc0030><loc0040>", "caption", (), (10, 20, 30, 40)),
        ("view", "view", (), None),
        ("Which view is this?", "view", (), None),
    ],
)
def test_requests(text: str, task: str, structures: tuple[str, ...], box: tuple[int, ...] | None) -> None:
    request = Request.parse(text)
    assert (request.task, request.structures, request.box) == (task, structures, box)
    assert Request.parse(request.text()) == request


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no task ''; begin with one of detect, segment, caption, view"),
        ("heart", "no task 'heart'; begin with one of"),
        ("segment", "a structure is missing; write segment heart ; right lung"),
        ("segment heart ;", "a structure is missing"),
        ("caption heart", "caption takes four location tokens"),
        ("caption <loc0010><loc0020><loc0030>", "caption takes four location tokens"),
        ("caption <loc0010><loc0020><loc0030><loc1024>", "caption takes four location tokens"),
        ("caption <loc0040><loc0020><loc0030><loc0040>", "the order is top, left, bottom, right"),
        ("segment hart", "no structure 'hart'"),
    ],
)
def test_malformed_requests_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Request.parse(text)


def test_a_request_holds_what_belongs_to_its_task() -> None:
    for wrong in ({"task": "segment"}, {"task": "view", "structures": ("heart",)}, {"task": "caption"}):
        with pytest.raises(DataError, match="Request: "):
            Request(**wrong)


def test_a_request_names_each_structure_once_and_a_view_nothing() -> None:
    with pytest.raises(DataError, match="twice"):
        Request("segment", ("heart", "heart"))
    with pytest.raises(DataError, match="view takes nothing after it"):
        Request.parse("view heart")
    with pytest.raises(DataError, match="cannot write hart"):
        Request("segment", ("heart", "hart")).check_known(("heart", "aorta"))
