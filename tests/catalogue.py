"""Every way of making an anomaly, with the arguments that the invariants of `test_synthesis` run over."""

from __future__ import annotations

from typing import Any

from artasyn.synthesis import LungOpacity
from artasyn.synthesis.strokes import Stamps

CATALOGUE: list[tuple[type[LungOpacity], dict[str, Any]]] = [
    (LungOpacity, {}),
    (LungOpacity, {"extent_range": (2.0, 2.0), "skip_probability": 0.0}),  # strokes all over both lungs
    (LungOpacity, {"skip_probability": 1.0, "many_strokes_range": (1, 1), "few_strokes_range": (1, 1)}),
    (LungOpacity, {"severity_range": (0.15, 0.16)}),
    (LungOpacity, {"severity_range": (0.9, 1.0), "tail": 0.2, "tolerance": 0.02}),
    (LungOpacity, {"brushes": (0.15,), "cells": 30, "fade": 0.2, "stamps": Stamps(spacing=0.1)}),
]
"""A class and its arguments. A new class of `artasyn.synthesis` belongs here, or `test_synthesis` fails."""
