"""Limits: their defaults, how they change, in this process and in those that it starts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from artasyn.errors import DataError
from artasyn.limits import VARIABLE, Limits, limits, using


def test_limits_change_inside_a_block_here_and_in_processes_that_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    code = "from artasyn.limits import limits; print(limits().pixels)"
    with using(Limits(pixels=1000)):
        assert limits() == Limits(pixels=1000)
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"1000"
        with using(Limits(voxels=5)):
            assert limits() == Limits(voxels=5)
        assert limits() == Limits(pixels=1000)
    assert limits() == Limits()


@pytest.mark.parametrize("text", ["{", "[1]", "3", '{"pixel": 3}', '{"pixels": "3"}', '{"pixels": 0}', "[" * 100_000])
def test_a_variable_that_holds_no_limits_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(DataError, match="pixels"):
        limits()


def test_some_limits_may_be_given_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps({"voxels": 5}))
    assert limits() == Limits(voxels=5)
