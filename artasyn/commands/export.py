"""The command that writes a trained detector as one ONNX file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from artasyn.commands.options import option
from artasyn.commands.shared import Done
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.onnx_export import TOLERANCE, export_onnx, largest_difference
from artasyn.detection.onnx_network import OnnxNetwork
from artasyn.doors import required
from artasyn.errors import ArtasynError, ModelError
from artasyn.files import atomic


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
            "bundled is the one that comes with artasyn; or the folder that `artasyn train` wrote as OUT/model, or the "
            "id of a model on the Hugging Face hub"
        ),
    )

    def __post_init__(self) -> None:
        if self.out.suffix != ".onnx":
            raise ArtasynError(f"{self.out}: the name must end in .onnx; artasyn detect knows such a model by that")


def export(options: ExportOptions) -> Done:
    """Writes a trained detector as one ONNX file, which onnxruntime runs without torch.

    Writes to OUT, whose name ends in .onnx: the network, with its thresholds and all other settings as metadata. First,
    torch and onnxruntime both run on phantoms in batches of several sizes. If a pixel of their results differs by more
    than 0.0001, nothing is written. Needs pip install artasyn[onnx].

    Use the file as a model: `artasyn detect --model detector.onnx`, or in Python
    artasyn.Detector.from_onnx("detector.onnx"). Programs in other languages pass `images`, float32
    (b, 1, size, size), prepared as artasyn.detection.window.prepare does. They get `reconstruction`, `heatmap` and
    `novelty`.

    Args:
        options: which detector, and the file.
    """
    for name in ("onnx", "onnxruntime", "onnxscript"):
        required(name, extra="onnx")
    network = DetectorNetwork.from_pretrained(options.model)
    with atomic.replacing(options.out) as temporary:
        export_onnx(network, temporary)
        difference = largest_difference(network, OnnxNetwork(temporary, ["CPUExecutionProvider"]))
        if not difference <= TOLERANCE:  # a NaN fails, too
            raise ModelError(
                f"{options.model}: onnxruntime's maps differ from torch's by up to {difference:.2g}, more than "
                f"{TOLERANCE:g}; nothing was written; try other versions of torch and onnxruntime"
            )
    return Done((options.out,))
