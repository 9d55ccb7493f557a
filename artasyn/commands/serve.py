"""The command that shows a page in the browser."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from artasyn.app.server import ServerSettings, serve_page
from artasyn.console.options import DEVICE, MODEL, option
from artasyn.console.results import Done
from artasyn.doors import required


@dataclass(frozen=True)
class ServeOptions:
    """Options of `serve`."""

    host: str = field(
        default="127.0.0.1",
        metadata=option(
            "the address to listen on; 127.0.0.1 is this machine alone, 0.0.0.0 every network of it", main=True
        ),
    )
    port: int = field(default=7860, metadata=option("the port to listen on; 0 takes a free one", main=True))
    model: str = field(default="bundled", metadata=option(MODEL))
    device: str = field(default="auto", metadata=option(DEVICE))
    max_upload: float = field(default=500.0, metadata=option("the largest file that a user may send, megabytes"))
    keep: float = field(default=60.0, metadata=option("minutes after which files and readings of users are forgotten"))
    waiting: int = field(default=16, metadata=option("requests that may wait; further ones are refused"))
    root_path: str = field(default="", metadata=option("the path below which a reverse proxy shows the page"))


def serve(options: ServeOptions) -> Done:
    """Shows a page in the browser: films, synthetic twins and projected CTs.

    For example: artasyn serve --port 7860

    The page runs on this machine, calls nobody and asks for no password. The files that users send lie in a folder of
    their own, which is deleted at the end, after Ctrl-C too. Writes nothing else. Research use only; this is not a
    medical device. It needs `pip install artasyn[app]`.

    Args:
        options: where to listen, with which models, and how much to accept.
    """
    settings = ServerSettings(
        options.host, options.port, options.max_upload, options.keep, options.waiting, options.root_path
    )
    required("gradio", extra="app")
    from artasyn.app.reading import Models  # needs torch

    device = options.device
    if device == "auto":
        import torch  # takes seconds to import, which the help need not wait for

        device = "cuda" if torch.cuda.is_available() else "cpu"

    def ready(url: str) -> None:
        sys.stdout.write(f"artasyn serves {url}\nStop it with Ctrl-C. Research use only; no medical device.\n")
        sys.stdout.flush()
        if not settings.is_local:
            sys.stderr.write("Everyone who reaches this address can use the page, which asks for no password.\n")

    models = Models.load(options.model, device)
    try:
        serve_page(settings, models, ready=ready)
    except KeyboardInterrupt as end:
        raise KeyboardInterrupt("the files of its users are deleted") from end
    return Done((), said="the page is closed")
