"""Folding: an encoder whose normalisations have become a part of its convolutions, for inference."""

from __future__ import annotations

import copy
from collections import Counter

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

State = tuple[tuple[int, int], ...]
"""Where the tensors of a network lie, and how often each was changed in place."""


class Folding:
    """Keeps the folded copy of an encoder and makes it anew when the encoder changes.

    A batch normalisation in evaluation mode scales and shifts each channel. The convolution before it can do the same,
    which saves two passes over its output. The result differs by rounding alone.

    Example:
        >>> encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
        >>> film = torch.rand(1, 1, 8, 8)
        >>> folded = Folding()(encoder)
        >>> type(folded.get_submodule("1")).__name__, bool(torch.allclose(folded(film), encoder(film), atol=1e-6))
        ('Identity', True)
    """

    def __init__(self) -> None:
        self._state: State = ()
        self._folded: nn.Module | None = None

    def __deepcopy__(self, memo: object) -> Folding:
        return Folding()

    def __call__(self, encoder: nn.Module) -> nn.Module:
        """Returns the folded copy of an encoder; the encoder itself where it cannot be traced, as transformers.

        Args:
            encoder: in evaluation mode; it is not changed.
        """
        tensors = encoder.state_dict().values()
        if any(each.is_inference() for each in tensors):  # their changes are not counted
            return encoder
        state = tuple((each.data_ptr(), each._version) for each in tensors)
        if self._folded is None or state != self._state:
            self._state, self._folded = state, folded(encoder)
        return self._folded


def folded(encoder: nn.Module) -> nn.Module:
    """Returns a copy of an encoder with every batch normalisation that directly follows a convolution folded into it.

    Args:
        encoder: in evaluation mode; it is not changed.

    Returns:
        The copy; the encoder itself where nothing can be folded, or where its steps cannot be followed.
    """
    if not any(isinstance(each, _BatchNorm) for each in encoder.modules()):
        return encoder
    copied = copy.deepcopy(encoder)
    try:
        nodes = list(_Tracer().trace(copied).nodes)
    except (fx.proxy.TraceError, AssertionError, AttributeError, RuntimeError, TypeError, ValueError):
        return encoder
    calls = Counter(node.target for node in nodes if node.op == "call_module")
    for node in nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or calls[before.target] != 1 or calls[node.target] != 1:
            continue
        convolution, norm = (copied.get_submodule(str(each.target)) for each in (before, node))
        if type(convolution) is nn.Conv2d and isinstance(norm, _BatchNorm) and len(before.users) == 1:
            _put(copied, str(before.target), fuse_conv_bn_eval(convolution, norm))
            _put(copied, str(node.target), getattr(norm, "act", nn.Identity()))
    return copied.to(memory_format=torch.channels_last)


def _put(network: nn.Module, name: str, part: nn.Module) -> None:
    """Puts a part in the place of another; torch 2.4 has no `set_submodule`."""
    above, _, own = name.rpartition(".")
    setattr(network.get_submodule(above), own, part)


class _Tracer(fx.Tracer):
    """Follows an encoder down to its normalisations, timm's own too."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _BatchNorm) or super().is_leaf_module(m, module_qualified_name)
