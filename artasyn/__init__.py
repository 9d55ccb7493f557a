"""artasyn: lung anomalies that look real, with exact masks, and detectors trained from them.

Radiographs are float32 (h, w) in [0, 1], bright = dense; see `artasyn.arrays`.
"""

from typing import TYPE_CHECKING

from artasyn.arrays import Image, LungLabels, Mask
from artasyn.errors import ArtasynError
from artasyn.files.radiograph import read_radiograph, write_image, write_mask
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import Anomaly, BatchLungOpacity, LungOpacity, OpacityRecord
from artasyn.version import __version__

if TYPE_CHECKING:
    from artasyn.detection.detector import Detection, Detector
    from artasyn.phantom.film import Phantom

__all__ = [
    "Anomaly",
    "ArtasynError",
    "BatchLungOpacity",
    "Detection",
    "Detector",
    "Image",
    "LungLabels",
    "LungOpacity",
    "Lungs",
    "Mask",
    "OpacityRecord",
    "PBTSeg",
    "Phantom",
    "__version__",
    "read_radiograph",
    "write_image",
    "write_mask",
]


def __getattr__(name: str) -> object:
    """Loads what needs torch's machinery, or much of the library, when it is asked for."""
    if name in ("Detection", "Detector"):
        from artasyn.detection import detector

        return getattr(detector, name)
    if name == "Phantom":
        from artasyn.phantom.film import Phantom

        return Phantom
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
