"""The devices and machines that a training runs on; each of its processes works, and the first one speaks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from artasyn.bulk.progress import LOG
from artasyn.errors import DataError
from artasyn.fields import Within, check_fields


@dataclass(frozen=True)
class Devices:
    """The devices of a training.

    Attributes:
        devices: GPUs on each machine, or processes where there are none; 0 for all GPUs.
        nodes: number of machines, each of which runs the same command, as torchrun and Slurm start it.
        strategy: how the devices share the work, as Lightning names it: auto takes ddp for several devices.

    Raises:
        DataError: a number is out of its range.
    """

    devices: Annotated[int, Within(0, 1024)] = 0
    nodes: Annotated[int, Within(1, 65536)] = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    def trainer(self, further: Mapping[str, Any] | None) -> dict[str, Any]:
        """Returns options of `lightning.Trainer`.

        Args:
            further: options that the user gives directly; they come first.
        """
        own = {"devices": self.devices or "auto", "num_nodes": self.nodes, "strategy": self.strategy}
        return own | dict(further or {})


def first_process() -> bool:
    """Returns whether this is the first process of a training; all others are silent from now on."""
    from lightning.pytorch.utilities import rank_zero_only

    first = not getattr(rank_zero_only, "rank", 0)
    if not first:
        LOG.setLevel(logging.ERROR)
    return first
