"""Synthetic lung anomalies with exact masks, for radiographs whose lungs are known."""

from artasyn.synthesis.anomaly import Anomaly
from artasyn.synthesis.opacity import LungOpacity, OpacityRecord

__all__ = ["Anomaly", "LungOpacity", "OpacityRecord"]
