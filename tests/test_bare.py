"""Lungs are found and anomalies are made where numpy, OpenCV and SciPy are all that is installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture
def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_lungs_and_anomalies_need_no_torch(environment: dict[str, str]) -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "bare.py"), "--block"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lungs found")


def test_the_block_blocks(environment: dict[str, str]) -> None:
    script = "import sys; sys.argv.append('--block'); from tests import bare; bare.main(); import jaxtyping"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "No module named 'jaxtyping' (blocked)" in done.stderr
