"""The command that serves the page: it starts, tells its address, and leaves nothing behind when it is stopped."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from artasyn.cli.main import main
from tests.conftest import ROOT


def test_numbers_out_of_range_are_refused_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "70000"]) == 2
    assert "port must be" in capsys.readouterr().err


def test_a_missing_gradio_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["serve"]) == 2
    assert "pip install artasyn[app]" in capsys.readouterr().err


@pytest.mark.browser
@pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="gradio is not installed: artasyn[app]")
def test_a_stopped_server_deletes_its_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "artasyn", "serve", "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"artasyn serves (http://127\.0\.0\.1:\d+/)", process.stdout.readline())
            assert found
            with urllib.request.urlopen(found[1]) as page:
                assert "default-src 'self'" in page.headers["content-security-policy"]
            (folder,) = tmp_path.glob("artasyn-serve-*")
            (folder / "film.png").write_bytes(b"film")
            process.terminate()
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert "the files of its users are deleted" in told
    assert not folder.exists()
