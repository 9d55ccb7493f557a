"""What artasyn costs at home: the packages that are counted, and the cells of the table."""

from __future__ import annotations

import json
from importlib.metadata import requires
from pathlib import Path

import pytest

from benchmarks.at_home import commit, needed, noted, requirements, sizes
from benchmarks.tables import at_home
from tests.conftest import ROOT


def test_what_is_needed_stops_at_torch() -> None:
    found = needed(requirements(ROOT))
    assert {"numpy", "timm", "tqdm"} <= set(found)
    assert "torch" not in found
    assert "sympy" not in found  # torch alone needs it
    assert any(line.startswith("torch") for line in requires("timm") or [])


def test_a_package_without_another() -> None:
    assert "pillow" in needed(["matplotlib >= 3"])
    assert "pillow" not in needed(["matplotlib >= 3"], without="pillow")
    assert needed(["matplotlib; python_version < '3'"]) == {}


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(RuntimeError, match="no-such-thing is not installed here; install what the measured tree"):
        needed(["no.such_thing"])


def test_sizes_are_those_on_disk(tmp_path: Path) -> None:
    for name, size in {"artasyn/a.py": 1_000_000, "segment/b.bin": 3_000_000, "artasyn/a.pyc": 9_000_000}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "artasyn/segment").symlink_to("../segment")
    (tmp_path / "setup.cfg").write_text("[options]\ninstall_requires =\n    tqdm >= 4  # bars\n    torch\n")
    found = sizes(tmp_path)
    assert found["artasyn_mb"] == 4.0
    assert list(found["largest_mb"]) == ["tqdm"]


def test_a_column_that_was_not_measured_is_a_dash() -> None:
    before = {"commit": "abc", "seconds": {"help": {"least": 1.234, "median": 2.0}}}
    after = {"commit": "def", "conflicts": {"MONAI": {"together": True, "versions": {"monai": "1.5"}}}}
    assert at_home({"before": before, "after": after})[2:] == [
        "| commit | `abc` | `def` |",
        "| `artasyn --help`, s, least (median) | 1.23 (2.00) | - |",
        "| release of MONAI that installs beside it | - | 1.5 |",
    ]
    assert at_home({"after": after})[2] == "| commit | - | `def` |"


def test_figures_are_added_and_never_mixed(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    noted(out, "after", ROOT, {"log": 1})
    noted(out, "before", ROOT, {"log": 2})
    noted(out, "after", ROOT, {"report": 3})
    result = json.loads(out.read_text())
    assert list(result) == ["before", "after"]
    assert {name: result["after"][name] for name in ("log", "report", "commit")} == {
        "log": 1,
        "report": 3,
        "commit": commit(ROOT),
    }
    out.write_text(json.dumps({"after": {"commit": "other"}}))
    with pytest.raises(RuntimeError, match="after was measured at other, not at"):
        noted(out, "after", ROOT, {"log": 1})
