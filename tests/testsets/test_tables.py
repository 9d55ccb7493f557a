"""Lists and folders that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from artasyn.testsets.tables import located
from tests.testsets.builders import text


def test_lists_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv = text(tmp_path / "train-rle.csv", f"ImageId,EncodedPixels\na,{'1 ' * 70_000}\n")
    with pytest.raises(DataError, match=r"train-rle.csv is no CSV .field larger than field limit"):
        find(tmp_path)
    csv.unlink()
    (tmp_path / "locked").mkdir()
    iterdir = Path.iterdir

    def refused(self: Path) -> Iterator[Path]:
        if self.name == "locked":
            raise PermissionError(self)
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", refused)
    assert located(tmp_path, "train-rle.csv") == []
