"""Checked fields: every number of every record has a range, and a record that is read gives an image or a sentence."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.arrays import Image, check_image
from artasyn.detection.settings import DetectorSettings
from artasyn.errors import ArtasynError, DataError, SynthesisError
from artasyn.fields import Count, Fault, Interval, Share, Within, check_fields, reader
from artasyn.limits import VARIABLE
from artasyn.outputs.whole_film import WholeFilm
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.phantom.thorax import ThoraxRecord
from artasyn.records import make_record
from artasyn.segment import DomainRandomisation, Film, PBTSeg, ProjectionRecord, View
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.ct.volume import Volume
from artasyn.segment.tokens import Answer, MaskTokens, Request
from artasyn.segment.tokens.learnt_words import LearntSettings
from artasyn.segment.tokens.mask_autoencoder import MaskAutoencoderSettings
from artasyn.segment.tokens.settings import TokenSettings
from artasyn.stock.films import Films, plain_film
from artasyn.stock.making import Plan
from artasyn.stock.patients import PatientRecord
from artasyn.stock.views import Patient
from artasyn.synthesis import LungOpacity, LungVolume, OpacityRecord, Recipe, VolumeRecord
from artasyn.synthesis.diffusion import FilmRecord, Imagined, Prompt, PromptRecord
from artasyn.training.anatomy_run import AnatomyRun
from tests.catalogue import RECORDS
from tests.chest import chest


@dataclasses.dataclass(frozen=True)
class Inner:
    share: Share
    kind: Literal["a", "b"] = "a"


@dataclasses.dataclass(frozen=True)
class Outer:
    size: Annotated[int, Within(1, 9)]
    inner: Annotated[tuple[Inner, ...], Count(0, 2)]
    pair: Interval[Annotated[float, Within(0, 5)]] = (1.0, 2.0)
    flag: bool = False
    name: str = ""
    many: Annotated[tuple[int, ...], Count(0, "lesions")] = ()
    maybe: Annotated[float, Within(0, 1)] | None = None

    def __post_init__(self) -> None:
        check_fields(self, DataError)


GOOD: dict[str, Any] = {"size": 3, "inner": [{"share": 0.5}], "pair": [1, 2], "flag": True, "maybe": None}


def made(values: Any) -> Outer:
    return make_record(values, Outer, what="an outer", error=SynthesisError)


def test_lists_become_tuples_and_whole_numbers_are_numbers() -> None:
    outer = made(GOOD)
    assert outer == Outer(3, (Inner(0.5),), (1.0, 2.0), True)
    assert type(outer.pair[0]) is float


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 10}, "record.size is 10, not from 1 to 9"),
        ({"size": True}, "record.size is True, not a whole number"),
        ({"size": 2.0}, "record.size is 2.0, not a whole number"),
        ({"size": 10**400}, "record.size is a number of 1329 bits, not from 1 to 9"),
        ({"inner": [{"share": 0.5}, {"share": "x"}]}, r"record.inner\[1\].share is 'x', not a number"),
        ({"inner": [{"share": float("nan")}]}, r"record.inner\[0\].share is nan, not a finite number"),
        ({"inner": [{"share": 10**400}]}, r"record.inner\[0\].share is a number of 1329 bits, not a finite number"),
        ({"inner": [{"kind": "a"}]}, r"record.inner\[0\].share is missing"),
        ({"inner": [{"share": 0.5, "shape": 1}]}, r"record.inner\[0\].shape is unknown; there is share, kind"),
        ({"inner": [{"share": 0.5, "kind": ["a"]}]}, r"record.inner\[0\].kind is \['a'\]; choose from a, b"),
        ({"inner": [[0.5]]}, r"record.inner\[0\] is \[0.5\], not an object"),
        ({"inner": {}}, "record.inner is {}, not a list"),
        ({"inner": [{"share": 0.5}] * 3}, "record.inner holds 3 items, not 0 to 2"),
        ({"pair": [1, 2, 3]}, "record.pair holds 3 items, not 2"),
        ({"pair": [2, 1]}, r"record.pair is .*; low comes before high"),
        ({"flag": 1}, "record.flag is 1, neither true nor false"),
        ({"name": 7}, "record.name is 7, not text"),
        ({"many": list(range(1001))}, "record.many holds 1001 items, not 0 to 1000; .*--limits.lesions"),
        ({"maybe": 2}, "record.maybe is 2.0, not from 0 to 1"),
    ],
)
def test_a_fault_is_named_with_its_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SynthesisError, match=f"^not an outer: {message}"):
        made(GOOD | changes)


def test_choices_are_told_in_one_order_whatever_another_library_has_asked_typing_for() -> None:
    hints = Literal["zebra", "ant"] | None, Literal["ant", "zebra"] | None  # often one object, in the first order
    for hint in hints:
        with pytest.raises(Fault, match="is 'cat'; choose from ant, zebra"):
            reader(hint)("cat")


def test_python_is_checked_like_json(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"^Outer: size is 10, not from 1 to 9"):
        Outer(10, ())
    assert Outer(np.int64(3), [Inner(np.float32(0.5))]).size == 3  # type: ignore[arg-type]
    monkeypatch.setenv(VARIABLE, '{"lesions": 2000}')
    assert len(made(GOOD | {"many": [1] * 2000}).many) == 2000


def numbers(hint: Any, place: str, bounded: bool = False) -> Iterator[str]:
    """The places of numbers and endless lists that nothing bounds."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from numbers(inner[0], place, any(isinstance(rule, (Within, Count)) for rule in inner[1:]))
    elif origin is tuple:
        if inner[-1] is Ellipsis and not bounded:
            yield place
        for each in inner:
            if each is not Ellipsis:
                yield from numbers(each, place)
    elif origin in (Union, types.UnionType):
        for each in inner:
            yield from numbers(each, place, bounded)
    elif dataclasses.is_dataclass(hint):
        for name, each in get_type_hints(hint, include_extras=True).items():
            if name in {field.name for field in dataclasses.fields(hint)}:
                yield from numbers(each, f"{place}.{name}")
    elif hint in (int, float) and not bounded:
        yield place


SETTINGS = (
    *(LungOpacity, DomainRandomisation, DetectorSettings, AnatomySettings, Plan, Films, AnatomyRun),
    *(Answer, MaskTokens, MaskAutoencoderSettings, Request, TokenSettings, LearntSettings),
)
"""Other dataclasses whose numbers come from people."""


@pytest.mark.parametrize("kind", [*RECORDS, *SETTINGS])
def test_every_number_and_every_list_of_a_record_has_its_range(kind: type[Any]) -> None:
    assert not list(numbers(kind, kind.__name__))


# Any change of any value of any record.


@cache
def phantom() -> PhantomRadiograph:
    return Phantom(size=96)(1)


@cache
def patient() -> Volume:
    return chest((12.0, 10.0, 10.0), length=420.0)


def said(prompt: Prompt) -> Image:
    """Says a prompt and reads it back; the radiograph is any, as the prompt alone is no film."""
    assert Prompt.parse(prompt.text()) == prompt
    return phantom().image


def shown(record: PromptRecord) -> Image:
    return Imagined.of("mass").render(phantom().image, phantom().lungs, record).image


def whole(record: WholeFilm) -> Image:
    """Makes the phantom as a film at once: its projection takes seconds."""
    if record.thorax is None:
        return record.film()[0]
    return Phantom().render(dataclasses.replace(record.thorax, size=64)).image


def small(record: ProjectionRecord) -> ProjectionRecord:
    return dataclasses.replace(record, view=dataclasses.replace(record.view, size=(96, 96)))


USES: dict[type[Any], Callable[[Any], Image]] = {
    FilmRecord: lambda record: record.remake(phantom().image).image,
    OpacityRecord: lambda record: LungOpacity().render(phantom().image, phantom().lungs, record).image,
    VolumeRecord: lambda record: LungVolume().render(phantom().image, phantom().lungs, record).image,
    Recipe: lambda recipe: recipe.remake(phantom().image).image,
    Prompt: said,
    PromptRecord: shown,
    WholeFilm: whole,
    ThoraxRecord: lambda record: Phantom().render(dataclasses.replace(record, size=64)).image,
    PatientRecord: lambda record: plain_film(
        Patient.of(record.variation(patient()), "").seen(record.views[0], min(record.size, 96))[0]
    ),
    ProjectionRecord: lambda record: Film.of(patient(), small(record)).image,
}
"""How an image is made of each record."""


@cache
def text_of(kind: Any) -> str:
    text: str = RECORDS[kind]().to_json()
    return text


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from places(inner, (*place, key))


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([0, -1, 1, 1e-9, 1e-3, 10, 250.0, 1000, 1e5, 1e9, -1e9, 10**30, 10**400, 2**32, -60.0]),
    st.sampled_from([True, None, "x", "", [], {}, [[]], [0.5], {"a": 1}]),
    st.floats(-2, 2),
    st.integers(-5, 300),
)


def test_there_is_a_use_of_every_record() -> None:
    assert set(USES) == set(RECORDS)


@pytest.mark.parametrize("kind", RECORDS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_changed_record_is_refused_in_a_sentence_or_gives_an_image(kind: Any, data: st.DataObject) -> None:
    changed = json.loads(text_of(kind))
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(list(places(changed))))
        within = changed
        for key in place[:-1]:
            within = within[key]
        if data.draw(st.integers(0, 5)) == 0:
            del within[place[-1]]
        else:
            within[place[-1]] = copy.deepcopy(data.draw(VALUES))
    try:
        record = kind.from_json(json.dumps(changed))
    except (SynthesisError, DataError) as error:
        assert re.match(r"not .*: record", str(error))  # noqa: PT017
        return
    try:
        image = USES[kind](record)
    except ArtasynError as error:
        assert str(error)  # noqa: PT017
        return
    check_image(image)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from([LungOpacity, DomainRandomisation, View, PBTSeg, DetectorSettings]),
    data=st.data(),
)
def test_settings_with_any_value_are_refused_in_a_sentence(kind: type[Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(kind)]))
    value = data.draw(st.one_of(VALUES, st.sampled_from([float("nan"), float("inf"), (1, float("nan")), (2.0, 1.0)])))
    try:
        kind(**{name: value})
    except (ArtasynError, Exception) as error:
        if not type(error).__module__.startswith(("beartype", "jaxtyping")):  # where the tests check hints
            assert isinstance(error, ArtasynError)  # noqa: PT017
            assert str(error)  # noqa: PT017
