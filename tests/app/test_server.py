"""The server without a browser: its settings, its headers, its environment, and what a missing package says."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from artasyn.app.answers import Answers
from artasyn.app.pages import build_page
from artasyn.app.server import QUIET, LocalOnly, ServerSettings, quiet
from artasyn.app.uploads import Desk
from artasyn.errors import DataError, MissingExtra


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("ward.example", False)],
)
def test_a_server_knows_whether_others_reach_it(host: str, local: bool) -> None:
    assert ServerSettings(host).is_local is local


@pytest.mark.parametrize("change", [{"port": -1}, {"port": 70000}, {"upload": 0.0}, {"keep": -1.0}, {"waiting": 0}])
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="must be"):
        ServerSettings(**change)


def test_every_answer_forbids_the_browser_to_load_from_elsewhere() -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"text"})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {}

    asyncio.run(LocalOnly(app)({"type": "http"}, receive, send))
    headers = dict(sent[0]["headers"])
    assert headers[b"a"] == b"b"
    assert headers[b"content-security-policy"].startswith(b"default-src 'self' data: blob:;")
    assert b"http" not in headers[b"content-security-policy"]
    assert sent[1] == {"type": "http.response.body", "body": b"text"}


def test_gradio_is_told_to_call_nobody_and_the_environment_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "True")
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with quiet(Desk(tmp_path)):
        assert {name: os.environ[name] for name in QUIET} == QUIET
        assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "True"
    assert "GRADIO_TEMP_DIR" not in os.environ


def test_a_missing_gradio_says_what_to_install(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingExtra, match=r"pip install artasyn\[app\]"):
        build_page(answers, keep=60.0)
