"""What is in a collection of synthetic anomalies: areas, severities, findings, zones, as numbers and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from artasyn.files import atomic
from artasyn.outputs.coco import ZONES, Annotation


class Region(NamedTuple):
    """One finding of one image, as far as statistics need it.

    Attributes:
        finding: its name.
        share: its area over that of the lungs.
        severity: of its densest lesion.
        zones: how its area is shared out among `artasyn.outputs.coco.ZONES`.
    """

    finding: str
    share: float
    severity: float
    zones: tuple[float, ...]

    @classmethod
    def of(cls, annotation: Annotation) -> Region:
        """The region of an annotation."""
        zones = tuple(annotation["zones"][zone] for zone in ZONES)
        return cls(annotation["finding"], annotation["share"], annotation["severity"], zones)


def statistics(areas: Sequence[float], regions: Sequence[Region], findings: Iterable[str]) -> dict[str, Any]:
    """Sums up a collection.

    Args:
        areas: of each image's whole mask, over that of its lungs.
        regions: of all images; one image has at most one of each finding.
        findings: names to list, those that never occurred too.

    Returns:
        ``images``; ``area`` (of the masks over the lungs), ``severity`` (of the findings), each with minimum,
        quartiles and maximum; ``zones`` (mean share of a finding's area); and the same of each of the ``findings``.
    """
    of_finding: dict[str, list[Region]] = {name: [] for name in findings}
    for region in regions:
        of_finding[region.finding].append(region)
    return {
        "images": len(areas),
        "area": _spread(areas),
        "severity": _spread([region.severity for region in regions]),
        "zones": _zones(regions),
        "findings": {
            name: {
                "images": len(those),
                "area": _spread([region.share for region in those]),
                "severity": _spread([region.severity for region in those]),
                "zones": _zones(those),
            }
            for name, those in of_finding.items()
        },
    }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """Minimum, quartiles and maximum; None of nothing."""
    if not values:
        return None
    levels = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return dict(zip(("min", "q1", "median", "q3", "max"), levels.round(4).tolist(), strict=True))


def _zones(regions: Sequence[Region]) -> dict[str, float] | None:
    """Mean share of the area in each zone; None of nothing."""
    if not regions:
        return None
    return dict(zip(ZONES, np.mean([region.zones for region in regions], axis=0).round(4).tolist(), strict=True))


def write_statistics(path: Path, figures: dict[str, Any]) -> None:
    """Writes statistics as JSON.

    Args:
        path: the file, written whole or not at all.
        figures: from `statistics`.
    """
    atomic.write_text(path, json.dumps(figures, indent=1) + "\n")


def draw_statistics(path: Path, areas: Sequence[float], regions: Sequence[Region], figures: dict[str, Any]) -> None:
    """Draws histograms of area and severity, and bars of findings and zones.

    Args:
        path: a PNG, written whole or not at all.
        areas: as in `statistics`.
        regions: as in `statistics`.
        figures: from `statistics`.
    """
    from matplotlib.figure import Figure  # not needed by the workers, who import this module too

    drawing = Figure(figsize=(11, 7), layout="constrained")
    (area, severity), (finding, zone) = drawing.subplots(2, 2)
    area.hist(100 * np.asarray(areas), bins=40, color=COLOUR)
    area.set(title="Area", xlabel="mask, % of the lungs", ylabel="images")
    severity.hist([region.severity for region in regions], bins=40, range=(0, 1), color=COLOUR)
    severity.set(title="Severity", xlabel="attenuation, 1 for soft tissue", ylabel="findings")
    counts = {name.replace("_", " "): each["images"] for name, each in figures["findings"].items()}
    finding.barh(list(counts), list(counts.values()), color=COLOUR)
    finding.invert_yaxis()
    finding.set(title="Findings", xlabel="images")
    shares = figures["zones"] or {}
    zone.bar(list(shares), [100 * share for share in shares.values()], color=COLOUR)
    zone.set(title="Zones", ylabel="mean share of a finding's area, %")
    drawing.suptitle(f"{figures['images']} synthetic images")
    buffer = BytesIO()
    drawing.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    atomic.write_bytes(path, buffer.getvalue())


COLOUR = "#0072b2"
"""Blue of Okabe and Ito's palette."""
