"""Tensor types for the rooms that use torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from artasyn.shapes import Float, Shaped

Images = Float[Tensor, "b 1 h w"]
"""A batch of radiographs, bright = dense."""
Masks = Float[Tensor, "b 1 h w"]
"""A batch of regions as 0.0 and 1.0."""
Features = Float[Tensor, "b c y x"]
"""A feature map of an encoder."""
Maps = Float[Tensor, "b k y x"]
"""A map for every structure."""
Flags = Shaped[Tensor, "b k"]
"""One truth for every structure of every radiograph, as bool or as 0 and 1."""


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Limits PyTorch to one thread: another number may change the rounding of sums, and what a record remakes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
