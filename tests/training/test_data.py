"""Workers of loaders."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path

import pytest
from torch.utils.data import Dataset

from artasyn.training.data import Loader, follow_training


class Interrupted(Dataset[int]):
    """Sends Ctrl-C to each worker, and tells whether the worker had blocked it before."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> int:
        blocked = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigBlk"))
        os.kill(os.getpid(), signal.SIGINT)
        return int(blocked.split()[1], 16) >> (signal.SIGINT - 1) & 1


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="blocked signals are read in /proc")
def test_no_worker_of_a_loader_hears_ctrl_c() -> None:
    loader = Loader(Interrupted(), None, num_workers=2, worker_init_fn=functools.partial(follow_training, os.getpid()))
    assert list(loader) == [1] * 4
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT}
