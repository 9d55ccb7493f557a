"""Lungs from radiographs."""

from artasyn.segment.lungs import Lungs

__all__ = ["Lungs"]
