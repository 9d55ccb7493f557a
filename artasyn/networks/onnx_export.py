"""Export of a network to one ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from artasyn.doors import required
from artasyn.errors import ArtasynError, ModelError
from artasyn.files import atomic

OPSET = 18
"""Operator set of the file: the one that torch's exporter writes without a conversion. onnxruntime reads it since 1.18,
the first version that reads the file's format."""

OLDEST = (2, 9)
"""The first torch that writes ONNX through torch.export by default; older versions do not know today's onnxscript."""


def write_onnx(
    network: nn.Module,
    path: Path,
    *,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    metadata: Mapping[str, str],
    about: str,
) -> None:
    """Writes a network as one ONNX file, for batches of any size.

    Args:
        network: takes the inputs in their order and returns a tuple of the outputs. It is moved to the CPU and put into
            evaluation mode.
        path: the file to write, complete or not at all; its folder is created.
        inputs: arrays of a batch of 2 by their names.
        outputs: names of the outputs.
        metadata: names and values of the file's metadata.
        about: the text that describes the file.

    Raises:
        ArtasynError: onnx or onnxscript is not installed, or torch is too old.
    """
    onnx = required("onnx", extra="onnx")
    required("onnxscript", extra="onnx")
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < OLDEST:
        raise ArtasynError(f"export needs torch {'.'.join(map(str, OLDEST))} or newer, not {torch.__version__}")
    program = torch.onnx.export(
        network.cpu().float().eval().requires_grad_(False),
        tuple(inputs.values()),
        input_names=list(inputs),
        output_names=list(outputs),
        opset_version=OPSET,
        dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise ModelError("torch wrote no ONNX program")
    proto = program.model_proto
    _forget_sources(proto)
    proto.doc_string = about
    onnx.helper.set_model_props(proto, dict(metadata))
    atomic.write_bytes(path, proto.SerializeToString())


def _forget_sources(proto: Any) -> None:
    """Deletes the exporter's notes about the source code, which name folders of this machine."""
    graph = proto.graph
    parts = [proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info]
    for function in proto.functions:
        parts += [function, *function.node, *function.value_info]
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""
