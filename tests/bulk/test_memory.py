"""Memory that a process keeps."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from artasyn.bulk import memory

FAULTS = """
import resource, sys
import numpy as np
from artasyn.bulk.memory import keep_freed

def films():
    for _ in range(20):
        parts = [np.full((1024, 512), 0.5, np.float32) for _ in range(8)]

films()
kept = sys.argv[1] == "kept" and keep_freed()
films()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
films()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is of Linux")
def test_kept_memory_is_not_given_out_page_by_page_again() -> None:
    def faults(how: str) -> tuple[int, int]:
        found = subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True)
        kept, count = found.stdout.split()
        return int(kept), int(count)

    kept, few = faults("kept")
    if not kept:
        pytest.skip("another library manages the memory of this machine")
    assert few < 0.2 * faults("given back")[1]


def test_without_glibc_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert memory.keep_freed.__wrapped__() is False
