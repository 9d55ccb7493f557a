"""Quality checks of a CT with its labels and of a projection, with reasons against using them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.segment.ct.body import find_body
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.projection.projection import COVERED, Projection
from artasyn.segment.structures import find_members, vertebra

RIBS, RIBS_ASKED = 24, 20
"""Number of ribs, and the least number that must be labelled."""

LUNG_LITRES = (1.0, 10.0)
"""Allowed volume of both lungs, litres."""

LUNG_HU, LUNG_TISSUE = (-970.0, -450.0), 0.4
"""Allowed median of the lungs, and the largest share of the lungs denser than -300 HU, as in severe disease."""

SHIFT, BETTER = (4.0, 12.0), 1.01
"""Shifts of the lung labels to try, mm, and the ratio of air after and before the shift above which it counts."""

BONE_HU = 90.0
"""Least median of the voxels labelled as bone."""

CONTRAST_HU = 150.0
"""Median of a vessel above which contrast agent is noted."""

METAL_HU, METAL_ML = 2600, 0.5
"""Hounsfield units above which a voxel counts as metal, and the amount of metal above which it is noted, ml."""

TABLE_ML = 250.0
"""Largest amount denser than air beside the patient, ml."""

CUT = 0.02
"""Share of the lungs' largest axial section that may lie in the first or last slice."""

COVERAGE = 0.98
"""Least share of the lungs' pixels that the scan must cover."""

FRONTAL_CM2, OTHER_CM2 = (250.0, 1100.0), (150.0, 900.0)
"""Allowed footprint of the lungs, cm2, in frontal views and in other views."""

HEART = (0.08, 0.7)
"""Allowed ratio of the footprints of heart and lungs in frontal views."""

PIECES, NOTHING = 0.1, 50
"""Largest share of a footprint apart from its largest piece, and the pixels up to which a footprint is ignored."""

EDGE = 0.15
"""Largest share of an image's border that may be lung."""

SLIVER = 3.0
"""How far a vertebra may lie below the next one, mm: a sliver at the end of the scan may."""

GAP = 3.0
"""Largest difference of two neighbouring slices, as a multiple of the largest difference of pairs nearby."""


@dataclass(frozen=True)
class Quality:
    """The result of a check.

    Attributes:
        reasons: reasons against use; empty if there are none.
        notes: remarks that do not speak against use.
    """

    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no reason against use."""
        return not self.reasons


def check_volume(volume: Volume) -> Quality:
    """Checks a CT and its labels in three dimensions; the first of two stages.

    The check looks for missing ribs (at least 20 of 24 are required if any is labelled), lungs of unusual volume or
    density or on the wrong sides, lungs cut off by the scan, shifted lung labels, bones of unusual density, sudden
    jumps from one slice to the next, and a table left in. Contrast agent, metal, other structures that the scan cuts
    off, and bones without ribs give notes.

    Args:
        volume: a volume with labels, which must include the lungs.

    Source: AnyCXR, two-stage quality control (Dong et al. 2025, arXiv 2512.17263).
    """
    reasons = [*_lungs(volume), *_bones(volume), *_sides(volume), *_slices(volume), *_table(volume)]
    return Quality(tuple(reasons), tuple(_notes(volume)))


def check_projection(projection: Projection, *, exact: bool = False) -> Quality:
    """Checks a projection in two dimensions; the second of two stages.

    The check tests whether the scan and the image cut the lungs, and whether ribs, lungs, heart and vertebrae are each
    connected. It also tests the area of the lungs and the order of the vertebrae from head to foot. In frontal views it
    tests the size of the heart relative to the lungs.

    Args:
        projection: a projection of a volume with lungs.
        exact: whether the labels are exact, as a phantom's are; only cut lungs speak against these.
    """
    reasons = [*_coverage(projection)]
    if not exact:
        reasons += [*_areas(projection), *_order(projection), *_parts(projection)]
    return Quality(tuple(reasons))


def _litres(volume: Volume, names: list[str]) -> float:
    return sum(volume.structures[name].voxels for name in names) * volume.voxel_volume / 1e6


def _values(volume: Volume, names: list[str]) -> np.ndarray:
    parts = [volume.hu[volume.structures[name].box][volume.structures[name].mask] for name in names]
    return np.concatenate([part[:: max(1, part.size // 50000)] for part in parts])


def _lungs(volume: Volume) -> Iterator[str]:
    names = find_members("lungs", volume.structures)
    if not names:
        yield "no lungs are labelled"
        return
    litres = _litres(volume, names)
    if not LUNG_LITRES[0] <= litres <= LUNG_LITRES[1]:
        asked = f"{LUNG_LITRES[0]:g} to {LUNG_LITRES[1]:g}"
        yield f"the lungs have {litres:.2f} l, not {asked}: parts missing or wrong labels"
    values = _values(volume, names)
    middle, tissue = float(np.median(values)), float((values > -300).mean())
    if not LUNG_HU[0] <= middle <= LUNG_HU[1] or tissue > LUNG_TISSUE:
        yield (
            f"the lung labels lie on other tissue (median {middle:.0f} HU, {tissue:.0%} denser than -300 HU): "
            "labels shifted or of another patient, or most of the lungs is diseased"
        )
    yield from _shifted(volume)
    for end, where in ((0, "first"), (volume.hu.shape[0] - 1, "last")):
        share = sum(_in_slice(volume.structures[name], end) for name in names)
        widest = max(sum(_in_slice(volume.structures[name], z) for name in names) for z in range(volume.hu.shape[0]))
        if share > CUT * widest:
            yield f"the scan cuts the lungs off: they reach the {where} slice"


def _shifted(volume: Volume) -> Iterator[str]:
    """Finds out whether the lungs' labels would hold more air elsewhere."""
    every = [max(1, round(2.0 / size)) for size in volume.spacing]
    coarse = tuple(slice(None, None, step) for step in every)
    air = (volume.hu[coarse] < -500) & (volume.hu[coarse] > -1000)
    lungs = volume.mask("lungs")[coarse]
    held = int(np.count_nonzero(air & lungs))
    best, shift = 0, ""
    for axis, (less, more) in enumerate((("head", "feet"), ("front", "back"), ("right", "left"))):
        size = volume.spacing[axis] * every[axis]
        for mm in SHIFT:
            for sign, way in ((-1, less), (1, more)):
                steps = sign * max(1, round(mm / size))
                here, there = [slice(None)] * 3, [slice(None)] * 3
                here[axis] = slice(max(0, -steps), air.shape[axis] - max(0, steps))
                there[axis] = slice(max(0, steps), air.shape[axis] - max(0, -steps))
                found = int(np.count_nonzero(air[tuple(there)] & lungs[tuple(here)]))
                if found > best:
                    best, shift = found, f"{abs(steps) * size:.0f} mm farther to the {way}"
    if best > BETTER * held:
        yield f"the lung labels would hold {best / max(held, 1) - 1:.1%} more air {shift}: labels shifted"


def _in_slice(structure: Structure, z: int) -> int:
    """Counts the voxels of a structure in a slice of the volume."""
    inside = z - structure.start[0]
    return int(np.count_nonzero(structure.mask[inside])) if 0 <= inside < structure.mask.shape[0] else 0


def _bones(volume: Volume) -> Iterator[str]:
    bones = find_members("bones", volume.structures)
    ribs = find_members("ribs", volume.structures)
    numbered = [name for name in ribs if name[-1].isdigit()]
    if bones and numbered and len(numbered) < RIBS_ASKED:
        yield f"{len(numbered)} of {RIBS} ribs are labelled, at least {RIBS_ASKED} are asked for"
    if bones:
        middle = float(np.median(_values(volume, bones)))
        if middle < BONE_HU:
            yield f"the bone labels lie on other tissue (median {middle:.0f} HU): labels shifted or mirrored"


def _sides(volume: Volume) -> Iterator[str]:
    def middle(group: str) -> float | None:
        names = find_members(group, volume.structures)
        sizes = [volume.structures[name].voxels for name in names]
        centres = [volume.structures[name].centroid()[2] for name in names]
        return float(np.average(centres, weights=sizes)) if names else None

    for right, left, what in (("lung_right", "lung_left", "lungs"), ("ribs_right", "ribs_left", "ribs")):
        a, b = middle(right), middle(left)
        if a is not None and b is not None and a >= b:
            yield f"the {what} are on the wrong sides: left and right are mixed up in the labels or in the orientation"
    spine, liver, lungs = middle("spine"), middle("liver"), middle("lungs")
    midline = spine if spine is not None else lungs
    if midline is not None and liver is not None and liver > midline:
        yield "the liver is on the left: the volume is mirrored (or situs inversus)"
    lobes = find_members("lungs", volume.structures)
    upper = [n for n in lobes if "upper" in n]
    lower = [n for n in lobes if "lower" in n]
    if upper and lower:
        high = min(volume.structures[name].centroid()[0] for name in lower)
        if any(volume.structures[name].centroid()[0] > high for name in upper):
            yield "the upper lobes lie below the lower ones: the volume is upside down"


def _slices(volume: Volume) -> Iterator[str]:
    """Finds jumps between neighbouring slices: slices are missing, repeated or of another scan."""
    small = np.stack([cv2.resize(z, (96, 96), interpolation=cv2.INTER_AREA) for z in volume.hu]).astype(np.float32)
    small = np.clip(small, -1000, 300)
    step = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2))
    if step.size < 8:
        return
    near = np.array([np.delete(step[max(0, n - 4) : n + 5], min(n, 4)).max() for n in range(step.size)])
    for n in np.flatnonzero((step > GAP * near) & (step > 25)).tolist():
        times = f"{step[n] / near[n]:.0f} times as much as neighbours do"
        yield f"a gap between slices {n} and {n + 1}: they differ {times}"
    for n in np.flatnonzero((step == 0) & (near > 1)).tolist():
        yield f"slices {n} and {n + 1} are the same"


def _table(volume: Volume) -> Iterator[str]:
    body = find_body(volume.hu, volume.spacing)
    outside = int(np.count_nonzero((volume.hu > -600) & ~body)) * volume.voxel_volume / 1000
    if outside > TABLE_ML:
        yield f"{outside:.0f} ml beside the patient are denser than air: the table is in the volume; read without it"


def _notes(volume: Volume) -> Iterator[str]:
    vessels = [name for name in ("aorta", "superior_vena_cava", "heart") if name in volume.structures]
    values = [float(np.median(_values(volume, [name]))) for name in vessels]
    if values and max(values) > CONTRAST_HU:
        yield f"contrast agent: {vessels[int(np.argmax(values))]} has a median of {max(values):.0f} HU"
    metal = int(np.count_nonzero(volume.hu > METAL_HU)) * volume.voxel_volume / 1000
    if metal > METAL_ML:
        yield f"metal or undiluted contrast agent: {metal:.1f} ml are denser than {METAL_HU} HU"
    if find_members("bones", volume.structures) and not find_members("ribs", volume.structures):
        yield "bones are labelled, but no ribs"
    touched = volume.cut
    if touched:
        listed = ", ".join(touched[:8]) + (" ..." if len(touched) > 8 else "")
        yield f"the scan cuts off {len(touched)} structures: {listed}"


def _frontal(projection: Projection) -> bool:
    """Tells whether a view is from front or back, within 45 degrees."""
    return abs(math.cos(math.radians(projection.view.angle))) >= math.sqrt(0.5)


def _coverage(projection: Projection) -> Iterator[str]:
    if not find_members("lungs", projection.names):
        yield "no lungs are labelled"
        return
    lungs = projection.mask("lungs")
    if not lungs.any():
        yield "the lungs are not in the picture"
        return
    covered = float((projection.coverage[lungs] >= COVERED).mean())
    if covered < COVERAGE:
        yield f"{1 - covered:.0%} of the lungs' pixels are not covered: rays leave the scan through its ends"
    edge = np.r_[lungs[0], lungs[-1], lungs[:, 0], lungs[:, -1]]
    if edge.mean() > EDGE:
        yield f"the picture cuts the lungs: they are {edge.mean():.0%} of its border"


def _areas(projection: Projection) -> Iterator[str]:
    if not find_members("lungs", projection.names):
        return
    area = float(projection.mask("lungs").sum()) * projection.spacing_isocentre**2 / 100
    low, high = FRONTAL_CM2 if _frontal(projection) else OTHER_CM2
    if not low <= area <= high:
        yield f"the lungs' footprint has {area:.0f} cm2, not {low:g} to {high:g}"
    if "heart" in projection.names and _frontal(projection):
        share = float(projection.mask("heart").sum()) / max(1, int(projection.mask("lungs").sum()))
        if not HEART[0] <= share <= HEART[1]:
            yield f"the heart's footprint is {share:.2f} of the lungs', not {HEART[0]:.2f} to {HEART[1]:.2f}"


def _order(projection: Projection) -> Iterator[str]:
    rows = {}
    for name in projection.names:
        place = vertebra(name)
        depth = projection.depth(name) if place is not None else None
        if place is not None and depth is not None and depth.any():
            rows[place] = (name, float(depth.sum(axis=1) @ np.arange(depth.shape[0]) / depth.sum()))
    ordered = [rows[place] for place in sorted(rows)]
    for (upper, above), (lower, below) in itertools.pairwise(ordered):
        if above > below + SLIVER / projection.spacing_isocentre:
            yield f"{upper} lies below {lower}"


def _parts(projection: Projection) -> Iterator[str]:
    """Finds structures in pieces: more than a tenth of the area lies apart from the largest piece."""
    groups = {"heart": ["heart"], "right lung": ["lung_right"], "left lung": ["lung_left"]}
    single = {name: [name] for name in projection.names if vertebra(name) is not None or name.startswith("rib_")}
    for title, wanted in {**groups, **single}.items():
        names = [name for each in wanted for name in find_members(each, projection.names)]
        if not names:
            continue
        mask = np.add.reduce([projection.depth(name) for name in names]) > 0.5
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows.size == 0 or mask[[0, -1]].any() or mask[:, [0, -1]].any():  # not in the image, or cut by its border
            continue
        box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].view(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(box), connectivity=8)
        sizes = stats[1:, cv2.CC_STAT_AREA]
        apart = 1 - sizes.max() / sizes.sum()
        if apart > PIECES and sizes.sum() > NOTHING:
            yield f"{title} is in {len(sizes)} pieces: {apart:.0%} of its footprint lies apart"
