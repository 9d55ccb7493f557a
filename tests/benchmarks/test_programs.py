"""Every program of the benchmarks begins, and says what it does."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import pytest

import benchmarks
from tests.conftest import ROOT

MODULES = sorted(info.name for info in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.") if not info.ispkg)


@pytest.mark.parametrize("name", MODULES)
def test_a_program_begins_and_stands_in_the_contract(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(name)
    if not hasattr(module, "main"):
        return
    file = f"`{name.rpartition('.')[2]}.py`"
    assert file in (ROOT / "benchmarks/README.md").read_text("utf-8")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")
