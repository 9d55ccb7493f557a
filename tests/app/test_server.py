"""The server without a browser: its settings, its headers, its environment, and what a missing package says."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, MutableMapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from artasyn.app.answers import Answers
from artasyn.app.pages import build_page
from artasyn.app.reading import Models
from artasyn.app.server import QUIET, LocalOnly, ServerSettings, quiet, serve_page
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


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """The address of a server that others might be made to call, and the paths that it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def status(url: str, data: object = None) -> tuple[int, str]:
    """The status and the text of an answer, which is read to its end."""
    body = None if data is None else json.dumps(data).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the server's threads leave event loops to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_request_makes_the_server_call_anyone(
    models: Models, elsewhere: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    monkeypatch.setattr("safehttpx.is_public_ip", lambda _: True)  # else this machine would be refused anyway
    address, asked = elsewhere
    there, stop, urls = threading.Event(), threading.Event(), []

    def ready(url: str) -> None:
        urls.append(url.rstrip("/"))
        there.set()

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # gradio's own
            serve_page(ServerSettings(port=0), models, ready=ready, stop=stop)

    server = threading.Thread(target=run)
    server.start()
    try:
        assert there.wait(120)
        api = f"{urls[0]}/gradio_api"
        for event in json.loads(status(f"{urls[0]}/config")[1])["dependencies"]:
            film = {"path": f"{address}/{event['id']}.png", "meta": {"_type": "gradio.FileData"}}
            data = {"data": [film] * len(event["inputs"]), "fn_index": event["id"], "session_hash": "someone"}
            status(f"{api}/{'queue/join' if event['queue'] else 'run/predict'}", data)
        assert status(f"{api}/queue/data?session_hash=someone")[1].count('"process_completed"') > 5
        assert status(f"{api}/file={address}/film.png")[0] == 403
        assert status(f"{api}/run-history/buckets")[0] == 404
        assert asked == []
    finally:
        stop.set()
        server.join(30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
