"""What a person reads on stderr while a command runs and at its end."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from artasyn.remote.urls import shown

LOG = logging.getLogger("artasyn")
"""The logger of the package."""

CHATTER = ("lightning.pytorch", "lightning.fabric", "matplotlib", "PIL", "fontTools")
"""Loggers of other packages, of which only errors are shown."""


class Screen(logging.Handler):
    """Writes the messages of the package to stderr, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one message; a warning says what it is."""
        text = shown(self.format(record))
        tqdm.write(f"artasyn: warning: {text}" if record.levelno == logging.WARNING else text, file=sys.stderr)


@contextmanager
def on_screen(*, quiet: bool) -> Iterator[None]:
    """Shows the messages of the package inside a block, and hides those of the packages that it uses.

    Args:
        quiet: show errors alone, and no progress.
    """
    for name in CHATTER:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    screen, before = Screen(), LOG.level
    LOG.addHandler(screen)
    LOG.setLevel(logging.ERROR if quiet else logging.INFO)
    try:
        yield
    finally:
        LOG.setLevel(before)
        LOG.removeHandler(screen)
