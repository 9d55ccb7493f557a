"""The command that writes a trained detector, or a reader of anatomy, as one ONNX file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from artasyn.console.options import option
from artasyn.console.results import Done
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.onnx_export import BATCHES, TOLERANCE, export_onnx, largest_difference
from artasyn.detection.onnx_network import OnnxNetwork
from artasyn.detection.stored import DETECTOR
from artasyn.doors import required
from artasyn.errors import ArtasynError, ModelError
from artasyn.files import atomic
from artasyn.networks.stored import CONFIG, read_config
from artasyn.phantom.film import Phantom
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.onnx_network import OnnxAnatomyNetwork
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.anatomy.window import prepare

CPU = ["CPUExecutionProvider"]


@dataclass(frozen=True)
class ExportOptions:
    """Options of `export`.

    Raises:
        ArtasynError: the file's name does not end in .onnx.
    """

    out: Path = field(metadata=option("the file to write; one that is there is replaced"))
    model: str = field(
        default="bundled",
        metadata=option(
            "bundled is the detector that comes with artasyn, and anatomy its reader of anatomy; or the folder that "
            "`artasyn train` or `artasyn train-anatomy` wrote as OUT/model, or the id of a model on the Hugging Face "
            "hub",
            main=True,
        ),
    )

    def __post_init__(self) -> None:
        if self.out.suffix != ".onnx":
            raise ArtasynError(f"{self.out}: the name must end in .onnx; artasyn detect knows such a model by that")


def export(options: ExportOptions) -> Done:
    """Writes a trained detector, or a reader of anatomy, as one ONNX file, which onnxruntime runs without torch.

    For example: artasyn export --out detector.onnx

    Writes to OUT, whose name ends in .onnx: the network, with its thresholds and all other settings as metadata. First,
    torch and onnxruntime both run on phantoms in batches of several sizes. If a pixel of their results differs by more
    than 0.0001, nothing is written. Needs pip install artasyn[onnx].

    Use the file as a model: `artasyn detect --model detector.onnx`, or in Python
    artasyn.Detector.from_onnx("detector.onnx"). Programs in other languages pass `images`, float32
    (b, 1, size, size), prepared as artasyn.detection.window.prepare does. They get `reconstruction`,
    `heatmap`, `novelty` and `lungs`.

    A reader of anatomy is used in the same way, with `artasyn anatomy` and artasyn.segment.AnatomyNet.from_onnx. Its
    inputs are `images`, prepared as artasyn.segment.anatomy.window.prepare does, and `angle`; its outputs are
    `structures` and `turn`.

    Args:
        options: which model, and the file.
    """
    for name in ("onnx", "onnxruntime", "onnxscript"):
        required(name, extra="onnx")
    with atomic.replacing(options.out) as temporary:
        difference = _exported(options.model, temporary)
        if not difference <= TOLERANCE:  # a NaN fails, too
            raise ModelError(
                f"{options.model}: onnxruntime's maps differ from torch's by up to {difference:.2g}, more than "
                f"{TOLERANCE:g}; nothing was written; try other versions of torch and onnxruntime"
            )
    return Done((options.out,), said=f"onnxruntime's maps differ from torch's by {difference:.1g} at most")


def _exported(model: str, path: Path) -> float:
    """Writes a model of either kind, and returns how far onnxruntime's maps are from torch's."""
    if not _is_anatomy(model):
        detector = DetectorNetwork.from_pretrained(model)
        export_onnx(detector, path)
        return largest_difference(detector, OnnxNetwork(path, CPU))
    network = AnatomyNetwork.from_pretrained("bundled" if model == "anatomy" else model)
    network.export_onnx(path)
    other = OnnxAnatomyNetwork(path, CPU)
    films = np.stack([prepare(Phantom(size=96)(seed).image, network.settings.size) for seed in range(max(BATCHES))])
    turns = np.array([(0, 1), (1, 0), (np.nan, np.nan), (0, -1), (0.6, 0.8)], np.float32)
    differences = []
    for count in BATCHES:
        ours, theirs = (each.read(films[:count, None], turns[:count]) for each in (network, other))
        differences += [np.abs(one - same).max() for one, same in zip(ours, theirs, strict=True)]
    return float(np.max(differences))


def _is_anatomy(model: str) -> bool:
    """Returns whether a model is a reader of anatomy."""
    if model in ("bundled", "anatomy"):
        return model == "anatomy"
    folder = DETECTOR.find(model, {})
    values = read_config(folder) if (folder / CONFIG).is_file() else None
    return isinstance(values, dict) and values.get("kind") == AnatomySettings.kind
