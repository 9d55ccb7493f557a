"""Names of labels in the tables of many programs, and inside label maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.files.ct import read_names
from artasyn.files.ct_names import caret_names

WANTED = {1: "spleen", 7: "rib left"}

ITK_SNAP = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "spleen"
    7     0  255    0      0.5  1  1    "rib left"
"""
SLICER = """# Color table file a.ctbl
# 3 values
0 Background 0 0 0 0
1 spleen 128 174 128 255
7 rib left 241 214 145 255
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.label", ITK_SNAP),
        ("a.txt", ITK_SNAP),
        ("a.ctbl", SLICER),
        ("a.txt", SLICER.replace(" 255", "").replace(" 0 0 0 0", " 0 0 0")),
        ("a.txt", SLICER.replace("rib left", '"rib left"')),
        (
            "a.csv",
            "LabelValue,Name,Color_R,Color_G\n0,Background,0,0\n1,spleen,1,2\n7,rib left,1,1",
        ),
        ("a.csv", "Id;Structure\r\n1;spleen\r\n7;rib left\r\n"),
        ("a.tsv", "structure\tid\nspleen\t1\nrib left\t7\n"),
        ("a.csv", '# labels\n\nid,name\n1,spleen\n// more\n7,"rib left"\n'),
        ("a.csv", "0;Background\n1;spleen\n7;rib left\n"),
        ("a.csv", "spleen,1\nrib left,7\n"),
        ("a.txt", "1 spleen\n7 rib left\n"),
        ("a.txt", "1: spleen\n7: rib left\n"),
        ("a.txt", "0 = air\n".replace("air", "background") + "1 = spleen\n7 = rib left"),
        ("a.txt", "1\tspleen\n7\trib left\n"),
        ("A.JSON", '{"labels": {"background": 0, "spleen": 1, "rib left": 7}}'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_many_programs(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_text(text, encoding=encoding, newline="")
    assert read_names(tmp_path / name) == WANTED


def test_names_may_hold_commas_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 lung, left\n2 vertebra T 4\n3 5th rib\n")
    assert read_names(tmp_path / "a.txt") == {1: "lung, left", 2: "vertebra T 4", 3: "5th rib"}


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        (
            "a.ctbl",
            SLICER.replace("7 rib", "x rib"),
            "is a colour table by its first line, but line 5 is 'x rib left 2",
        ),
        ("a.label", ITK_SNAP.replace('"rib left"', '"spleen"'), "names 7 'spleen' in line 8, but one of the two"),
        ("a.txt", "1 spleen\n7\n", "is a list by its first line, but line 2 is '7'"),
        ("a.txt", f"1 spleen\n7 {'x' * 2000}\n", "but line 2 is '7 xxx"),
        ("a.txt", "spleen\nrib\n", "has the columns spleen; one of id"),
        ("a.csv", "1,spleen,red\n7,rib,blue\n", "has the columns 1, spleen, red; one of id"),
        ("a.csv", "id,name\n99999999999999999999,a\n", "labels are whole numbers"),
        ("a.json", "[" * 100_000, "claims 100000 levels of brackets, more than 64"),
        ("a.json", '{"a": ' * 5000, "levels of brackets"),
        ("a.json", '{"1": "a", "2": NaN}', "NaN is no number"),
        ("a.json", '{"a": 1e999}', "no number"),
        ("a.csv", 'id,name\n1,"a\n', None),
        ("a.csv", f'id,name\n1,"{"x" * 200_000}"\n', "is no CSV .field larger"),
        ("a.csv", "id,name\n1,a\0b\n", "holds zero bytes"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, name: str, text: str, found: str | None) -> None:
    path = tmp_path / name
    path.write_text(text)
    if found is None:
        assert read_names(path) == {1: "a"}
        return
    with pytest.raises(DataError, match=found) as caught:
        read_names(path)
    assert str(caught.value).startswith(f"{path} ")
    assert len(str(caught.value)) < 600


def test_names_files_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTASYN_LIMITS", '{"text": 100}')
    (tmp_path / "a.csv").write_text("id,name\n" + "1,a\n" * 100)
    with pytest.raises(DataError, match="bytes of text or more, more than 100"):
        read_names(tmp_path / "a.csv")


LABEL = b'<Label Key="1" Red="1" Green="0" Blue="0" Alpha="1"><![CDATA[spleen]]></Label>'


@pytest.mark.parametrize(
    ("xml", "found"),
    [
        (b"<LabelTable>" + LABEL, "is damaged"),
        (b"<LabelTable></LabelTable>", "holds no names"),
        (b"<a/>", "holds no names"),
        (b"<a><LabelTable>" + LABEL + LABEL + b"</LabelTable></a>", "one of the two was there before"),
        (b"<a><LabelTable><Label>x</Label></LabelTable></a>", "has 'None' for 'x' in label 1"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a><LabelTable/></a>', "declares entities"),
        (b'<?xml version="1.0" encoding="utf-99"?><a/>', "is damaged"),
    ],
)
def test_names_in_xml_that_are_refused(xml: bytes, found: str) -> None:
    with pytest.raises(DataError, match=found):
        caret_names(xml)
