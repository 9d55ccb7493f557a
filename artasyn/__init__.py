"""artasyn: lung anomalies that look real, with exact masks, and detectors trained from them.

Radiographs are float32 (h, w) in [0, 1], bright = dense; see `artasyn.arrays`.
"""

import logging
from typing import TYPE_CHECKING

from artasyn.arrays import Image, LungLabels, Mask
from artasyn.doors import later
from artasyn.errors import ArtasynError
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import Anomaly, LungOpacity, OpacityRecord
from artasyn.version import __version__

if TYPE_CHECKING:
    from artasyn.detection.detector import Detector
    from artasyn.detection.examination import Detection
    from artasyn.files.opened import Radiograph, open_radiograph
    from artasyn.files.radiograph import read_radiograph, write_image, write_mask
    from artasyn.phantom.film import Phantom
    from artasyn.synthesis.batch import BatchLungOpacity

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
    "Radiograph",
    "__version__",
    "open_radiograph",
    "read_radiograph",
    "write_image",
    "write_mask",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # a program that wants the messages adds its own

__getattr__ = later(
    __name__,
    {
        "BatchLungOpacity": "artasyn.synthesis.batch",
        "Detection": "artasyn.detection.examination",
        "Detector": "artasyn.detection.detector",
        "Phantom": "artasyn.phantom.film",
        "Radiograph": "artasyn.files.opened",
        "open_radiograph": "artasyn.files.opened",
        "read_radiograph": "artasyn.files.radiograph",
        "write_image": "artasyn.files.radiograph",
        "write_mask": "artasyn.files.radiograph",
    },
)
