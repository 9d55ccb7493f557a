"""The demonstration, small: every stage runs and the report shows all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from artasyn.cli.main import main
from artasyn.files.radiograph import read_mask, read_radiograph


@pytest.mark.slow
def test_the_whole_chain_runs_on_phantoms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    sizes = ["--normals", "6", "--healthy", "2", "--diseased", "4", "--epochs", "1", "--size", "64", "--workers", "1"]
    assert main(["demo", "--out", str(out), *sizes]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(out / "report.html")
    page = (out / "report.html").read_text()
    for text in ("PBTSeg needs no training", "Synthetic opacities", "lungs alone", "worst first"):
        assert text in page
    films = sorted((out / "data/test/diseased").iterdir())
    assert len(films) == 4
    for film in films:
        mask = read_mask(out / "data/ground_truth" / film.name)
        assert mask.any()
        assert mask.shape == read_radiograph(film).shape


def test_no_film_of_the_training_set_is_in_the_test_set(phantoms: Path) -> None:
    films = [path.read_bytes() for path in phantoms.glob("*/*/*.png") if path.parent.parent.name in ("train", "test")]
    assert len(films) == 11
    assert len(set(films)) == 11
