"""The server of the page: local unless asked otherwise, without telemetry, with a folder that is gone at the end."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artasyn.app.answers import Answers
from artasyn.app.pages import build_page
from artasyn.app.reading import Models
from artasyn.app.uploads import Desk, desk
from artasyn.doors import required
from artasyn.errors import DataError

SWEEP = 30.0
"""Seconds between two looks for files that are too old."""

SESSIONS = 64
"""Most users whose readings are kept in memory; the oldest reading is forgotten first."""

MEGABYTE = 10**6

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SHARE": "False", "GRADIO_RUN_HISTORY": "False"}
"""Environment variables of gradio: no telemetry, no tunnel, and no history of runs, in the browser or at a hub."""

POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)
"""What the browser may load: what comes from this server, and nothing else."""

HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

DARK = '<script>document.documentElement.classList.add("dark")</script>'
"""Shows the page dark, whatever the browser prefers."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class ServerSettings:
    """The settings of a server.

    Attributes:
        host: the address to listen on; 127.0.0.1 is this machine alone.
        port: the port; 0 takes a free one.
        upload: largest size of a file that a user sends, megabytes.
        keep: minutes after which files and readings of users are forgotten.
        waiting: most requests that wait; further ones are refused.
        root_path: the path below which a reverse proxy shows the page; empty for none.

    Raises:
        DataError: a number is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    upload: float = 500.0
    keep: float = 60.0
    waiting: int = 16
    root_path: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise DataError(f"port must be a whole number from 0 to 65535, not {self.port}")
        if not (0 < self.upload <= 100_000 and 0 < self.keep <= 100_000 and self.waiting >= 1):
            raise DataError(
                "upload (megabytes) and keep (minutes) must be above 0 and at most 100000, and waiting at least 1; "
                f"not {self.upload:g}, {self.keep:g}, {self.waiting}"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class LocalOnly:
    """Adds headers to every answer of a server that keep a browser from loading anything from elsewhere."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request of the ASGI protocol."""

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        await self.app(scope, receive, with_headers)


def serve_page(
    settings: ServerSettings,
    models: Models,
    *,
    ready: Callable[[str], None],
    stop: threading.Event | None = None,
) -> None:
    """Serves the page until the process is stopped; then every file that a user has sent is deleted.

    Args:
        settings: of the server.
        models: shared by all users.
        ready: is called with the address as soon as the page is there.
        stop: ends the server when it is set; None serves until an exception such as `KeyboardInterrupt` comes.

    Raises:
        MissingExtra: gradio is not installed.
        DataError: the address cannot be listened on.
    """
    stop = stop or threading.Event()
    with desk() as here, quiet(here), fetching_nothing():
        gradio = required("gradio", extra="app")
        page = build_page(Answers(models, here, int(settings.upload * MEGABYTE * 4)), keep=60 * settings.keep)
        page.queue(max_size=settings.waiting, default_concurrency_limit=1, api_open=False)
        try:
            ready(_launched(gradio, page, settings))
            while not stop.wait(SWEEP):
                here.sweep(60 * settings.keep)
        finally:
            page.close(verbose=False)


@contextmanager
def fetching_nothing() -> Iterator[None]:
    """Keeps gradio from fetching a URL for a block.

    gradio fetches what a request names in the place of a file, for any component, and what stands behind ``file=``. It
    does both through safehttpx.

    Raises:
        MissingExtra: gradio is not installed.
    """
    required("gradio", extra="app")
    safehttpx = required("safehttpx", extra="app")

    async def refuse(url: str, *_: Any, **__: Any) -> None:
        raise DataError(f"this server calls nobody; send the file itself, not {url}")

    before = {name: getattr(safehttpx, name) for name in ("get", "async_validate_url")}
    for name in before:
        setattr(safehttpx, name, refuse)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(safehttpx, name, function)


def _launched(gradio: Any, page: Any, settings: ServerSettings) -> str:
    """Starts the server in a thread, and returns its address."""
    middleware = required("starlette.middleware", extra="app").Middleware
    try:
        _, url, _ = page.launch(
            server_name=settings.host,
            server_port=settings.port or _free_port(settings.host),
            share=False,
            inbrowser=False,
            prevent_thread_lock=True,
            quiet=True,
            max_file_size=int(settings.upload * MEGABYTE),
            state_session_capacity=SESSIONS,
            root_path=settings.root_path or None,
            app_kwargs={"middleware": [middleware(LocalOnly)]},
            footer_links=[],
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            theme=_theme(gradio),
            css_paths=Path(__file__).with_name("style.css"),
            head=DARK,
        )
    except OSError as error:
        raise DataError(
            f"{settings.host} port {settings.port} cannot be listened on ({error}); choose another --port"
        ) from error
    return str(url)


def _theme(gradio: Any) -> Any:
    """Returns gradio's plain theme with the fonts of the machine, so that none is fetched."""
    fonts = ("system-ui", "sans-serif")
    theme = gradio.themes.Base(primary_hue="sky", neutral_hue="slate", font=fonts, font_mono=("monospace",))
    return theme.set(
        body_background_fill_dark="#0d1013",
        block_background_fill_dark="#14181c",
        background_fill_primary_dark="#14181c",
        border_color_primary_dark="#2b3138",
    )


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextmanager
def quiet(here: Desk) -> Iterator[None]:
    """Sets the environment of gradio for a block: no telemetry, and files in the server's own folder.

    Args:
        here: the server's folder.
    """
    changed = QUIET | {"GRADIO_TEMP_DIR": str(here.folder)}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
