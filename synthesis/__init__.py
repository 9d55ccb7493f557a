"""Synthetic lung anomalies with exact masks, for radiographs whose lungs are known."""

from artasyn.synthesis.anomaly import Anomaly
from artasyn.synthesis.batch import Anomalies, BatchLungOpacity
from artasyn.synthesis.finding import FINDINGS, Finding, Look, findings
from artasyn.synthesis.lesions import Lesion, OpacityRecord
from artasyn.synthesis.opacity import LungOpacity

__all__ = [
    "FINDINGS",
    "Anomalies",
    "Anomaly",
    "BatchLungOpacity",
    "Finding",
    "Lesion",
    "Look",
    "LungOpacity",
    "OpacityRecord",
    "findings",
]
