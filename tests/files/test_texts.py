"""Text files in the encodings and dialects of spreadsheets; what is no text is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artasyn.errors import DataError
from artasyn.files.tables import write_table
from artasyn.files.texts import read_cells, read_text
from artasyn.limits import VARIABLE

ROWS = [["id", "name"], ["1", "left lung, upper"], ["2", "aorta; arch"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_dialect_gives_the_same_cells(tmp_path: Path, encoding: str, mark: str, end: str) -> None:
    lines = [mark.join([number, f'"{name}" ' if number != "id" else name]) for number, name in ROWS]
    (tmp_path / "a.csv").write_bytes((end + end.join(lines) + end + mark + end).encode(encoding))
    assert read_cells(tmp_path / "a.csv") == ROWS


@pytest.mark.parametrize(
    "data", [b"a,b\n\xff\xfe1,2", b"a,b\n1,\xe9", "a,b\n1,2".encode("utf-16-le"), b"a\0b", b"\x89PNG\r\n\x1a\n\0"]
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DataError, match="save it as UTF-8"):
        read_cells(tmp_path / "a.csv")


def test_a_missing_or_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_text(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    monkeypatch.setenv(VARIABLE, '{"text": 7}')
    with pytest.raises(DataError, match=r"--limits\.text"):
        read_text(tmp_path / "a.csv")


@given(cells=st.lists(st.text('ab,;"'), min_size=1, max_size=4))
def test_what_write_table_wrote_comes_back(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    path = tmp_path_factory.mktemp("texts") / "a.csv"
    names = [f"column {number}" for number, _ in enumerate([*cells, ""])]
    write_table(path, names, [dict(zip(names, ["x", *cells], strict=True))])
    assert read_cells(path) == [names, ["x", *(cell.strip() for cell in cells)]]
