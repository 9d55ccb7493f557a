"""Test sets with some findings alone as diseased, named in the words of any data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from artasyn.cli.main import main
from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from tests.testsets.builders import by_name, labels, lesions, region, write_chexlocalize, write_nih, write_siim
from tests.testsets.builders import write_vindr as written_vindr


@pytest.mark.parametrize("label", ["nodule", "Nodule", "RID3875", "Nodule/Mass", "lung lesion"])
def test_nih_by_any_name_of_a_nodule(tmp_path: Path, label: str) -> None:
    write_nih(tmp_path)
    test = find(tmp_path, findings=[label])
    assert labels(test) == {"00000001_000": True, "00000004_000": False}
    assert by_name(test)["00000001_000"].boxes == ((32.0, 16.0, 64.0, 48.0),)


def test_findings_that_usually_do_not_count(tmp_path: Path) -> None:
    write_nih(tmp_path)
    test = find(tmp_path, findings=["pneumothorax", "Cardiomegaly"])
    assert labels(test) == {"00000001_000": True, "00000002_000": True, "00000004_000": False}
    assert by_name(test)["00000002_000"].boxes == ((20.0, 10.0, 40.0, 30.0),)


def test_vindr_and_chexlocalize(tmp_path: Path) -> None:
    written_vindr(tmp_path / "vindr")
    test = find(tmp_path / "vindr", findings=["Effusion"])  # of ChestX-ray14
    assert {name for name, diseased in labels(test).items() if diseased} == {"d4"}
    assert "2 with other findings alone (a1, c3)" in test.summary
    write_chexlocalize(tmp_path / "chex")
    test = find(tmp_path / "chex", findings=["pulmonary oedema"])
    film = "patient1/study1/view1_frontal"
    assert (lesions(test, film) == region(12)).all()
    assert labels(test)[film]


def test_refused_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nih(tmp_path / "nih")
    write_siim(tmp_path / "siim")
    with pytest.raises(DataError, match="the labels of nih have none for 'cavity'"):
        find(tmp_path / "nih", findings=["cavity"])
    with pytest.raises(DataError, match="no film with lesions of Hernia; choose another --label"):
        find(tmp_path / "nih", findings=["hernia"])
    with pytest.raises(DataError, match="its films have one kind of label; leave out --label"):
        find(tmp_path / "siim", findings=["pneumothorax"])
    command = ["evaluate", "--data", str(tmp_path / "nih"), "--out", str(tmp_path / "out"), "--label", "nodule", "gout"]
    assert main(command) == 2
    assert "no finding 'gout'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
