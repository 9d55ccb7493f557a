"""A cluster of Dask on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conftest import ROOT


@contextmanager
def local_dask(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Starts a scheduler and two worker processes with an environment; yields the scheduler's address."""
    about = {**environment, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    scheduler = ["scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", "--dashboard-address=127.0.0.1:0"]
    worker = ["worker", "--nworkers=2", "--nthreads=1", "--no-dashboard", f"--local-directory={folder}"]
    with ExitStack() as stack:
        for arguments in (scheduler, worker):
            log = stack.enter_context((folder / f"{arguments[0]}.log").open("w"))
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, f"--scheduler-file={folder / 'where.json'}"],
                env=about, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(os.killpg, process.pid, signal.SIGTERM)
        path = folder / "where.json"
        for _ in range(600):
            if path.exists() and path.stat().st_size:
                break
            time.sleep(0.1)
        yield json.loads(path.read_text())["address"]
