"""Export of a trained detector to one ONNX file, and the comparison of that file with torch."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from artasyn.detection.detector import Network
from artasyn.detection.examination import Squares
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.onnx_network import INPUT, OUTPUTS
from artasyn.detection.window import prepare
from artasyn.networks.onnx_export import write_onnx
from artasyn.phantom.film import Phantom
from artasyn.tensors import Images

TOLERANCE = 1e-4
"""How far a pixel of onnxruntime's maps may be from torch's."""

OF_FILMS = 0.1
"""How much a difference in the novelty counts beside that of a pixel. The novelty is in standard deviations, and a
novelty learnt from few films enlarges the rounding."""

BATCHES = (1, 3, 5)
"""Sizes of the batches that are compared; the network is traced with another size."""

ABOUT = """A detector of anomalies on chest radiographs, written by artasyn. Input: the lungs' window of a radiograph,
bright = dense, as artasyn.detection.window.prepare gives it. Detector.from_onnx of artasyn does all the rest."""


def export_onnx(network: DetectorNetwork, path: Path) -> None:
    """Writes a detector's network with its settings as one ONNX file, for batches of any size.

    Args:
        network: on any device, in any mode; it is not changed.
        path: the file to write, complete or not at all; its folder is created.

    Raises:
        ArtasynError: onnx or onnxscript is not installed, or torch is too old.
    """
    size = network.settings.size
    write_onnx(
        _Maps(copy.deepcopy(network)),
        path,
        inputs={INPUT: torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(0))},
        outputs=OUTPUTS,
        metadata=network.settings.to_metadata(),
        about=ABOUT,
    )


def largest_difference(network: Network, other: Network) -> float:
    """Returns the largest difference between the maps of two networks on phantoms; NaN if one has a NaN.

    Differences in novelty count by `OF_FILMS`.

    Args:
        network: the network of a detector.
        other: the same network as an ONNX file.
    """
    differences = []
    phantoms = prepared_phantoms(network.settings.size, max(BATCHES))
    for count in BATCHES:
        ours, theirs = network.maps(phantoms[:count]), other.maps(phantoms[:count])
        # novelties have no upper limit: for large ones the relative difference counts
        differences += [
            (np.abs(a - b) / np.abs(a).clip(1)).max() * (1.0 if a.ndim > 1 else OF_FILMS)
            for a, b in zip(ours, theirs, strict=True)
        ]
    return float(np.max(differences))


def prepared_phantoms(size: int, count: int) -> Squares:
    """Makes phantoms as a network sees them, every other one with lesions: float32 (count, 1, size, size)."""
    films = [Phantom(size=96)(seed, lesions=seed % 2 == 1).image for seed in range(count)]
    return np.stack([prepare(film, size) for film in films])[:, None]


class _Maps(nn.Module):
    """Copies the maps: an input or a constant that is also an output loses its name in torch 2.9."""

    def __init__(self, network: DetectorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Images) -> tuple[Tensor, ...]:
        return tuple(each.clone() for each in self.network(images))
