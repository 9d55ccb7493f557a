"""Figures of how similar anomalies are to real opacities in look and place, for one film and for many films.

Everything is measured at 256 x 256 pixels of 8 bits. Films with real opacities and normal films are converted in the
same way.

Distances between distributions of areas are Kolmogorov-Smirnov distances. Between 42 real films and many more from the
same distribution, the distance would be about 0.14, and over 0.2 once in twenty times. Areas in pixels also depend on
the size of the lungs; areas as a share of the lungs do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from artasyn.arrays import Image, Mask
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.segment import Lungs, PBTSeg

SIZE = 256
SIGMA = 2.0
"""Standard deviation of the Gaussian blur, in pixels. The film minus the blurred film is the film's texture."""
SPECK = 10
"""Pixels; smaller components are not counted."""
FEW = 64
"""Pixels; figures of smaller regions are undefined."""
CHANGE = 0.5 / 255
"""Smallest change that counts: half a grey level."""


@dataclass(frozen=True, eq=False)
class MaskedRadiograph:
    """A film at 256 pixels with its lungs.

    Attributes:
        name: of its file.
        image: float32 (256, 256), multiples of 1/255.
        lungs: drawn by hand, or by PBTSeg.
    """

    name: str
    image: Image
    lungs: Lungs


@dataclass(frozen=True)
class Figures:
    """One anomaly; NaN where undefined.

    Attributes:
        area: pixels of the mask.
        share_of_lungs: area of the mask over the area of both lungs.
        components: number of components of the mask, without specks.
        inside_lungs: share of the mask in the lungs.
        texture: standard deviation of the fine structure inside the mask, over the same in the lungs outside the mask.
        texture_kept: standard deviation of the fine structure inside the mask, over the same in the normal film.
        seam: mean gradient on the mask's edge over the mean gradient beside it, away from the lungs' own edges.
        brightness: median of the mask minus median of the lungs outside the mask, in units of the step from there to
            soft tissue (85th percentile).
        changed_outside: share of changed pixels that lie outside the mask.
        unchanged_inside: share of the mask that is not changed.
    """

    area: float
    share_of_lungs: float
    components: float
    inside_lungs: float
    texture: float
    texture_kept: float
    seam: float
    brightness: float
    changed_outside: float
    unchanged_inside: float


def small(values: Image | Mask) -> Image:
    """A film or a mask at 256 x 256 pixels with 8-bit values."""
    resized = cv2.resize(values.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return eight_bits(np.asarray(resized, np.float32))


def eight_bits(image: Image) -> Image:
    """A film rounded to 8-bit values."""
    return np.asarray(np.round(255 * image.clip(0, 1)) / np.float32(255), np.float32)


def read_film(file: Path, lungs: Path | None = None) -> MaskedRadiograph:
    """Reads a film and its lungs, or has PBTSeg find them."""
    image = small(read_radiograph(file))
    return MaskedRadiograph(
        file.stem, image, Lungs.from_mask(small(read_mask(lungs)) >= 0.5) if lungs else PBTSeg()(image)
    )


def figures(image: Image, mask: Mask, lungs: Mask, normal: Image | None = None) -> Figures:
    """The figures of one anomaly.

    Args:
        image: a film with an anomaly.
        mask: the anomaly's mask, not empty.
        lungs: where the lungs are.
        normal: the film without the anomaly, for synthetic ones.
    """
    _, _, parts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    inside, other = mask & lungs, lungs & ~mask
    level = np.median(image[other]) if other.any() else np.nan
    changed = np.abs(image - normal) >= CHANGE if normal is not None else mask
    return Figures(
        area=mask.sum(),
        share_of_lungs=mask.sum() / lungs.sum(),
        components=(parts[1:, cv2.CC_STAT_AREA] >= SPECK).sum(),
        inside_lungs=inside.sum() / mask.sum(),
        texture=_ratio(_fine(image), inside, other, np.std),
        texture_kept=np.nan if normal is None else _ratio(_fine(image), inside, inside, np.std, _fine(normal)),
        seam=seam(image, mask, lungs),
        brightness=(np.median(image[mask]) - level) / max(np.quantile(image, 0.85) - level, 0.05),
        changed_outside=np.nan if normal is None else (changed & ~mask).sum() / max(1, changed.sum()),
        unchanged_inside=np.nan if normal is None else (mask & ~changed).sum() / mask.sum(),
    )


def seam(image: Image, mask: Mask, lungs: Mask) -> float:
    """Mean gradient within a pixel of the mask's edge, over the mean gradient two to five pixels beside the edge."""
    film = cv2.GaussianBlur(image, (0, 0), 0.7)
    gradient = np.hypot(cv2.Sobel(film, cv2.CV_32F, 1, 0), cv2.Sobel(film, cv2.CV_32F, 0, 1))
    inner, outer = (cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (mask, ~mask))
    distance = np.maximum(inner, outer)
    counted = cv2.erode(lungs.astype(np.uint8), np.ones((7, 7), np.uint8), borderValue=0) > 0
    return _ratio(gradient, counted & (distance <= 1.5), counted & (distance > 2) & (distance < 6), np.mean)


def _fine(image: Image) -> npt.NDArray[np.float32]:
    """Fine structure: the film minus the blurred film."""
    return np.asarray(image - cv2.GaussianBlur(image, (0, 0), SIGMA), np.float32)


def _ratio(
    values: npt.NDArray[np.float32],
    here: Mask,
    there: Mask,
    statistic: Callable[..., Any],
    others: npt.NDArray[np.float32] | None = None,
) -> float:
    """The ratio of a statistic in two regions, of the same values or of two different ones."""
    if min(here.sum(), there.sum()) < FEW:
        return float("nan")
    return float(statistic(values[here]) / max(statistic((values if others is None else others)[there]), 1e-6))


def summary(of: list[Figures], real: list[Figures]) -> dict[str, Any]:
    """Median and percentiles of every defined figure, and the distances of the distributions of areas to real ones."""
    result: dict[str, Any] = {"anomalies": len(of)}
    for field in fields(Figures):
        values = np.array([getattr(each, field.name) for each in of], float)
        values = values[~np.isnan(values)]
        if values.size:
            percentiles = zip(("p10", "p25", "median", "p75", "p90"), (10, 25, 50, 75, 90), strict=True)
            named = {name: np.percentile(values, at) for name, at in percentiles} | {"mean": values.mean()}
            result[field.name] = {name: round(float(value), 4) for name, value in named.items()}
    for name in ("area", "share_of_lungs"):
        ours, theirs = ([getattr(each, name) for each in group] for group in (of, real))
        result[f"{name}_ks"] = round(float(ks_2samp(ours, theirs).statistic), 4)
    return result
