"""The detector as an ONNX file: the same answers from onnxruntime, which needs neither torch nor timm."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, overload

from artasyn.arrays import Image
from artasyn.detection.examination import Detection, Examination, Kind, Novelties, Squares
from artasyn.errors import ArtasynError, ModelError
from artasyn.segment import Lungs

INPUT = "images"
"""Of the file: (b, 1, size, size) float32 in [0, 1], the lungs' window as
`artasyn.detection.window.prepare` gives it."""

OUTPUTS = ("reconstruction", "heatmap", "novelty")
"""Of the file: two (b, 1, size, size) float32, where the reconstruction is not clipped and the heatmap lies in [0, 1];
and (b,) float32, how unusual each film is."""

PREFIX = "artasyn."
"""Before the names of the settings in the file's metadata."""


@dataclass(frozen=True)
class OnnxSettings:
    """What an ONNX file says about the detector in it, beside the network.

    Attributes:
        size: rows and columns that the network sees.
        kind: what the heatmap is.
        threshold: heatmap value from which a pixel belongs to the mask.
        image_threshold: score from which a radiograph counts as abnormal.
        smoothing: of the heatmap, as a fraction of the window's side; done by the network.
        top: share of the pixels whose mean is the score.
        novelty_weight: of the novelty in the score's log-odds.
        restrict_to_lungs: look only at the lungs.
        version: of artasyn, which wrote the file.
        license: of the weights.

    Example:
        >>> settings = OnnxSettings(96, "discriminative", 0.5, 0.3, 0.015, 0.1, 1.0, True, "0.1.0", "MIT")
        >>> settings.to_metadata()["artasyn.size"]
        '96'
        >>> OnnxSettings.from_metadata(settings.to_metadata()) == settings
        True
    """

    size: int
    kind: Kind
    threshold: float
    image_threshold: float
    smoothing: float
    top: float
    novelty_weight: float
    restrict_to_lungs: bool
    version: str
    license: str

    def to_metadata(self) -> dict[str, str]:
        """The settings as names and values of a file's metadata, each value as JSON."""
        return {f"{PREFIX}{name}": json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> OnnxSettings:
        """The settings that a file's metadata hold.

        Raises:
            ModelError: one is missing, or is none.
        """
        found: dict[str, Any] = {}
        for field in fields(cls):
            name = f"{PREFIX}{field.name}"
            if name not in metadata:
                raise ModelError(f"there is no {name} in its metadata")
            try:
                found[field.name] = json.loads(metadata[name])
            except ValueError as error:
                raise ModelError(f"its {name} is {metadata[name]!r}") from error
        if found["kind"] not in get_args(Kind):
            raise ModelError(f"its kind is {found['kind']!r}, not one of {', '.join(get_args(Kind))}")
        return cls(**found)


class OnnxDetector:
    """A `Detector` read from the ONNX file that `artasyn export` wrote.

    Everything but the network is the same code as the detector's, and the file holds its thresholds: it is all that
    is needed.

    Args:
        path: the file.
        providers: of onnxruntime, the best first; where None, CUDA if this onnxruntime has it, then the CPU.
        threads: that work on one batch; where None, as many as onnxruntime takes, the physical cores.

    Attributes:
        settings: as the file states them.
        threshold: heatmap value from which a pixel belongs to the mask.
        image_threshold: score from which a radiograph counts as abnormal.
        restrict_to_lungs: look only at the lungs.
        digest: 16 hexadecimal digits that tell two files apart.

    Raises:
        ModelError: there is no such file, or it is no detector, or a provider is not there.
        ArtasynError: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] | None = None, threads: int | None = None) -> None:
        runtime = optional("onnxruntime")
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}; write one with artasyn export") from error
        available: list[str] = runtime.get_available_providers()
        usual = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
        chosen = usual if providers is None else list(providers)
        if missing := [name for name in chosen if name not in available]:
            raise ModelError(f"this onnxruntime has no {', '.join(missing)}, but {', '.join(available)}")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors
        try:
            self._session = runtime.InferenceSession(content, options, providers=chosen)
        except Exception as error:  # onnxruntime's own have no common ancestor
            reason = " ".join(str(error).split())
            raise ModelError(f"{path}: cannot be loaded as an ONNX file: {reason}") from error
        try:
            self.settings = OnnxSettings.from_metadata(self._session.get_modelmeta().custom_metadata_map)
            self._check_ports()
        except ModelError as error:
            raise ModelError(f"{path}: is no detector of artasyn: {error}; write one with artasyn export") from None
        self.threshold, self.image_threshold = self.settings.threshold, self.settings.image_threshold
        self.restrict_to_lungs = self.settings.restrict_to_lungs
        self.digest = hashlib.blake2b(content, digest_size=8).hexdigest()

    def _check_ports(self) -> None:
        """Refuses a network of other inputs or outputs."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        names = [each.name for each in inputs], [each.name for each in outputs]
        if names != ([INPUT], list(OUTPUTS)):
            raise ModelError(f"it makes {', '.join(names[1])} of {', '.join(names[0])}")
        size = self.settings.size
        for port in (*inputs, *outputs):
            expected = [] if port.name == "novelty" else [1, size, size]
            if port.type != "tensor(float)" or port.shape[1:] != expected:
                shape = ", ".join(map(str, ["b", *expected]))
                raise ModelError(f"its {port.name} is {port.type} {port.shape}, not float ({shape})")

    def maps(self, images: Squares) -> tuple[Squares, Squares, Novelties]:
        """Reconstructions, heatmaps and novelties of prepared radiographs.

        Args:
            images: float32 (b, 1, size, size) in [0, 1], from `prepare`.

        Returns:
            Two batches (b, 1, size, size), where the reconstruction is not clipped, and (b,).
        """
        reconstructions, heatmaps, novelties = self._session.run(OUTPUTS, {INPUT: images})
        return reconstructions, heatmaps, novelties

    @overload
    def __call__(self, images: Image, lungs: Lungs | None = None) -> Detection: ...
    @overload
    def __call__(self, images: Sequence[Image], lungs: Sequence[Lungs | None] | None = None) -> list[Detection]: ...
    def __call__(self, images: Any, lungs: Any = None) -> Any:
        """Looks for anomalies on one radiograph or on a batch of them, of any sizes.

        Args:
            images: float32 (h, w) in [0, 1], or a sequence of these.
            lungs: the lungs to look at, on the image's grid; found by PBTSeg where None. A film whose lungs are not
                both found is looked at as a whole.

        Returns:
            A `Detection`, or a list of them.

        Raises:
            ImageError: an image is none, or its lungs are on another grid.
        """
        stated = self.settings
        examination = Examination(
            stated.size, self.threshold, stated.top, stated.novelty_weight, self.restrict_to_lungs
        )
        return examination(images, lungs, self.maps)


def optional(name: str) -> Any:
    """A package of the extra ``onnx``, which is imported only where it is needed.

    Args:
        name: onnx, onnxruntime or onnxscript.

    Raises:
        ArtasynError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ArtasynError(f"{name} is not installed ({error}); pip install artasyn[onnx]") from error
