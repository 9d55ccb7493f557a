"""Synthetic lung anomalies with exact masks, for radiographs whose lungs are known."""

from typing import TYPE_CHECKING

from artasyn.doors import later
from artasyn.synthesis.anomaly import Anomaly
from artasyn.synthesis.finding import FINDINGS, Finding, Look, findings
from artasyn.synthesis.lesions import Lesion, OpacityRecord
from artasyn.synthesis.opacity import LungOpacity
from artasyn.synthesis.recipe import Recipe
from artasyn.synthesis.volume import LungVolume, VolumeChange, VolumeRecord

if TYPE_CHECKING:
    from artasyn.synthesis.batch import Anomalies, BatchLungOpacity

__all__ = [
    "FINDINGS",
    "Anomalies",
    "Anomaly",
    "BatchLungOpacity",
    "Finding",
    "Lesion",
    "Look",
    "LungOpacity",
    "LungVolume",
    "OpacityRecord",
    "Recipe",
    "VolumeChange",
    "VolumeRecord",
    "findings",
]

__getattr__ = later(
    __name__, {"Anomalies": "artasyn.synthesis.batch", "BatchLungOpacity": "artasyn.synthesis.batch"}
)  # both need torch
