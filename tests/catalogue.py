"""Every way of making an anomaly, with the arguments that the invariants of `test_synthesis` run over."""

from __future__ import annotations

from typing import Any

from artasyn.synthesis import FINDINGS, LungOpacity, findings

CATALOGUE: list[tuple[type[LungOpacity], dict[str, Any]]] = [
    (LungOpacity, {}),
    *((LungOpacity, {"findings": findings(name)}) for name in FINDINGS),
    (LungOpacity, {"kinds_range": (3, 8), "tolerance": 0.02}),
    (LungOpacity, {"findings": findings(severity_range=(0.05, 0.06), size_range=(1.5, 2.0))}),
    (LungOpacity, {"findings": findings("mass", "nodule", sides=("left",), zones=("upper", "peripheral"))}),
]
"""A class and its arguments. A new class of `artasyn.synthesis` that renders on one image belongs here, as does every
finding, or `test_synthesis` fails."""
