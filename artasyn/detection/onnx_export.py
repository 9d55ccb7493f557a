"""A trained detector as one ONNX file, checked against torch before it is there."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from artasyn.detection.detector import Network
from artasyn.detection.examination import Squares
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.onnx_network import INPUT, OUTPUTS
from artasyn.detection.window import prepare
from artasyn.doors import required
from artasyn.errors import ArtasynError, ModelError
from artasyn.files import atomic
from artasyn.phantom.film import Phantom
from artasyn.shapes import Float
from artasyn.tensors import Images

TOLERANCE = 1e-4
"""How far a pixel of onnxruntime's maps, or a film's novelty, may be from torch's."""

BATCHES = (1, 3, 5)
"""Sizes of the batches that are compared; the network is traced with another one."""

OPSET = 18
"""Of the file's operators: those that torch's exporter writes without a conversion; onnxruntime reads them since 1.18,
which is the first to read the file's format."""

OLDEST = (2, 9)
"""The first torch that writes ONNX through torch.export by default; older ones do not know today's onnxscript."""

ABOUT = """A detector of anomalies on chest radiographs, written by artasyn. Input: the lungs' window of a radiograph,
bright = dense, as artasyn.detection.window.prepare gives it. Detector.from_onnx of artasyn does all the rest."""


def export_onnx(network: DetectorNetwork, path: Path) -> None:
    """Writes a detector's network with its settings as one ONNX file, whole or not at all, for batches of any size.

    Args:
        network: on any device, in any mode; it stays as it is.
        path: the file to write; its folder is made.

    Raises:
        ArtasynError: onnx or onnxscript is not installed, or torch is too old.
    """
    onnx = required("onnx", extra="onnx")
    required("onnxscript", extra="onnx")
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < OLDEST:
        raise ArtasynError(f"export needs torch {'.'.join(map(str, OLDEST))} or newer, not {torch.__version__}")
    size = network.settings.size
    program = torch.onnx.export(
        _Maps(copy.deepcopy(network).cpu().float()).eval().requires_grad_(False),
        (torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(0)),),
        input_names=[INPUT],
        output_names=OUTPUTS,
        opset_version=OPSET,
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise ModelError("torch wrote no ONNX program")
    proto = program.model_proto
    _forget_sources(proto)
    proto.doc_string = ABOUT
    onnx.helper.set_model_props(proto, network.settings.to_metadata())
    atomic.write_bytes(path, proto.SerializeToString())


def largest_difference(network: Network, other: Network) -> float:
    """How far the maps of two networks are from each other on phantoms, at most; NaN where one has NaN.

    Args:
        network: a detector's.
        other: the same as an ONNX file.
    """
    differences = []
    phantoms = prepared_phantoms(network.settings.size, max(BATCHES))
    for count in BATCHES:
        ours, theirs = network.maps(phantoms[:count]), other.maps(phantoms[:count])
        # novelties have no upper limit: of large ones the relative difference counts
        differences += [(np.abs(a - b) / np.abs(a).clip(1)).max() for a, b in zip(ours, theirs, strict=True)]
    return float(np.max(differences))


def prepared_phantoms(size: int, count: int) -> Squares:
    """Phantoms as a network sees them, every other one with lesions: float32 (count, 1, size, size)."""
    films = [Phantom(size=96)(seed, lesions=seed % 2 == 1).image for seed in range(count)]
    return np.stack([prepare(film, size) for film in films])[:, None]


class _Maps(nn.Module):
    """A network whose reconstruction is never its input: an input that is an output too loses its name in torch 2.9."""

    def __init__(self, network: DetectorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Images) -> tuple[Images, Images, Float[Tensor, " b"]]:
        reconstructions, heatmaps, novelties = self.network(images)
        return reconstructions.clone(), heatmaps, novelties


def _forget_sources(proto: Any) -> None:
    """Deletes what the exporter notes about the source code: folders of this machine, most of all."""
    graph = proto.graph
    parts = [proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info]
    for function in proto.functions:
        parts += [function, *function.node, *function.value_info]
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""
