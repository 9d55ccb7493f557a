"""Statistics of a collection of synthetic anomalies: areas, severities, findings and zones as numbers and a picture."""

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
    """One finding of one image, with the values that the statistics need.

    Attributes:
        finding: the name of the finding.
        share: the finding's area over the area of the lungs.
        severity: of the finding's densest lesion.
        zones: the share of the finding's area in each of `artasyn.outputs.coco.ZONES`.
    """

    finding: str
    share: float
    severity: float
    zones: tuple[float, ...]

    @classmethod
    def of(cls, annotation: Annotation) -> Region:
        """Returns the region of an annotation."""
        zones = tuple(annotation["zones"][zone] for zone in ZONES)
        return cls(annotation["finding"], annotation["share"], annotation["severity"], zones)


def statistics(areas: Sequence[float], regions: Sequence[Region], findings: Iterable[str]) -> dict[str, Any]:
    """Summarises a collection.

    Args:
        areas: the area of each image's whole mask over the area of its lungs.
        regions: of all images; one image has at most one region of each finding.
        findings: names to list, also of findings that never occur.

    Returns:
        ``images`` (their number); ``area`` (of the masks over the lungs) and ``severity`` (of the findings), each with
        minimum, quartiles and maximum; ``zones`` (mean share of a finding's area); and ``findings``, the same values
        for each finding.
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
    """Returns minimum, quartiles and maximum; None without values."""
    if not values:
        return None
    levels = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return dict(zip(("min", "q1", "median", "q3", "max"), levels.round(4).tolist(), strict=True))


def _zones(regions: Sequence[Region]) -> dict[str, float] | None:
    """Returns the mean share of the area in each zone; None without regions."""
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
    from matplotlib.figure import Figure  # here, because workers import this module but do not draw

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
"""The blue of Okabe and Ito's palette."""
