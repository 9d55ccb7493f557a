"""Lungs from radiographs."""

from artasyn.segment.lungs import Lungs
from artasyn.segment.pbtseg import PBTSeg

__all__ = ["Lungs", "PBTSeg"]
