"""All layouts together: each is recognised among the others, and what is no test set is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import LAYOUTS, find
from tests.testsets.builders import WRITERS, film, text


@pytest.mark.parametrize("name", WRITERS)
def test_a_layout_that_is_named_is_the_one_that_is_recognised_and_no_other(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    assert find(tmp_path, name) == find(tmp_path)
    for other in LAYOUTS.keys() - {name}:
        with pytest.raises(DataError, match=f"no test set of layout {other}: "):
            find(tmp_path, other)


def test_a_folder_that_is_no_test_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found nothing, but no folder test/diseased; wanted are test/healthy"):
        find(tmp_path)
    film(tmp_path / "images/a.png")
    text(tmp_path / "notes.txt", "")
    with pytest.raises(DataError) as caught:
        find(tmp_path)
    assert "found images/, notes.txt, but" in str(caught.value)
    assert all(f"{name}: {each.wanted}" in str(caught.value) for name, each in LAYOUTS.items() if name != "artasyn")
    with pytest.raises(DataError, match="no layout 'mimic'; there are auto, artasyn, qata"):
        find(tmp_path, "mimic")
    with pytest.raises(DataError, match="no such folder"):
        find(tmp_path / "nowhere")
