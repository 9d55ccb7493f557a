"""A detector from whatever holds it, and the scale that its heatmaps are shown on."""

from __future__ import annotations

from artasyn.detection.detector import Detector
from artasyn.detection.settings import Precision
from artasyn.errors import ModelError
from artasyn.pictures.detected import Scale


def open_detector(model: str, device: str, precision: Precision = "fp32") -> Detector:
    """Returns the detector of an ONNX file, a folder or a model id, as it is now.

    Args:
        model: the file, the folder or the id; ``bundled`` is the detector that comes with artasyn.
        device: a device of torch; an ONNX file runs on CUDA for any other device than cpu.
        precision: of `Detector.from_pretrained`.

    Raises:
        ModelError: there is no such model, or it does not run in this precision.
    """
    if model.endswith(".onnx"):
        if precision != "fp32":
            raise ModelError(f"{model}: an ONNX file computes in its own precision; leave out --precision {precision}")
        on_cpu = device == "cpu"
        return Detector.from_onnx(model, ["CPUExecutionProvider"], 1) if on_cpu else Detector.from_onnx(model)
    return Detector.from_pretrained(model, device=device, precision=precision)


def heat_scale(detector: Detector) -> Scale:
    """Returns the scale of heat of all overlays of a detector: so high that few values are clipped.

    Args:
        detector: all films of one detector share the scale.
    """
    return Scale(detector.threshold, min(1.0, 6 * detector.threshold))
