"""PBTSeg: lungs of a radiograph by progressive binary thresholding, without training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, LungLabels, Mask, check_image
from artasyn.segment.lungs import Lungs
from artasyn.segment.outline import LungBox, find_box

_Coarse = npt.NDArray[np.bool_]  # a region on the working grid


@dataclass(frozen=True)
class PBTSeg:
    """Finds both lungs by thresholds that rise step by step, on a film of any size and any grey levels.

    The film is equalised on a grid of fixed size. The box in which it looks most like the mean outline of two
    lungs is found first. Then, for each lung, thresholds rise from the grey of its core; the less a pixel is
    expected to be lung, the brighter it counts, which keeps out the trachea, the stomach and the air around
    the body. At each threshold the component that agrees best with the expected outline is a candidate.
    Candidates vote, each by that agreement and by the contrast along its edge, and vote and expectation
    together make the lung. Closing, filling and a convex outer edge return what ribs, clavicle and disease
    had cut out. The border along the heart follows the visible, aerated lung.

    Attributes:
        size: rows and columns of the working grid, at least 64.
        clip: contrast limit of the adaptive equalisation.
        steps: number of thresholds.
        reach: how far the thresholds rise above the grey of the lung's core, as a fraction of the grey range.
        pull: grey added where no lung is expected, as a fraction of the grey range.
        blur: softness of the expected outline, as a fraction of the lungs' box.
        trust: weight of the vote against the expected outline, in [0, 1].
        closing: radius of the closing, as a fraction of the film.
        rim: width of the dim band along the lung's edge that thresholds miss, as a fraction of the film.
        least_fit: correlation of the film with the mean outline of two lungs, in [-1, 1], below which one lung
            has to look the more like a lung to be reported.
        least_match: correlation with the outline of one lung, in [-1, 1], below which it is not reported.

    Raises:
        ValueError: a configuration that cannot work.

    Source:
        ART-ASyn (arXiv 2512.00310), PBTSeg: rising thresholds, candidates, one lung a side, filling.
        Equalisation, expected outline, vote and confidence are artasyn's own.

    Example:
        >>> import numpy as np
        >>> film = np.full((128, 128), 0.8, np.float32)
        >>> film[30:90, 24:54] = film[30:90, 74:104] = 0.2
        >>> lungs = PBTSeg()(film)
        >>> lungs.found, int(lungs.labels[60, 40]), int(lungs.labels[60, 90])
        (True, 1, 2)
        >>> PBTSeg()(np.zeros((128, 128), np.float32)).reasons
        ('the image is blank',)
    """

    size: int = 192
    clip: float = 2.0
    steps: int = 10
    reach: float = 0.48
    pull: float = 0.33
    blur: float = 0.065
    trust: float = 0.5
    closing: float = 0.035
    rim: float = 0.009
    least_fit: float = 0.4
    least_match: float = 0.27

    def __post_init__(self) -> None:
        if self.size < 64 or self.steps < 2 or not 0 <= self.trust <= 1:
            raise ValueError(f"PBTSeg needs size >= 64, steps >= 2 and trust in [0, 1], not {self}")

    def __call__(self, image: Image) -> Lungs:
        """Finds the lungs of one frontal radiograph.

        Args:
            image: (h, w), float32 in [0, 1], bright = dense, head up, patient's right on the image's left.

        Returns:
            Lungs on the image's own grid. A lung that was not found has confidence 0, no pixels and a reason.

        Raises:
            ImageError: not an `Image`.
        """
        check_image(image)
        small = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)
        if np.ptp(small) < 1 / 255:
            return _nothing(image.shape, "the image is blank")
        grey = self._equalised(np.asarray(small, np.float32))
        box = find_box(grey)
        objection = self._objection(grey, box)
        if objection:
            return _nothing(image.shape, objection)
        box = box.grown(above=0.05, below=0.02, beside=0.03)
        (right, sure_right), (left, sure_left) = self._lung(grey, box, RIGHT), self._lung(grey, box, LEFT)
        if sure_right == sure_left == 0:
            return _nothing(image.shape, f"nothing looks like a lung (fit {box.fit:.2f})")
        reasons = [
            f"{name} lung {'not found' if sure == 0 else 'uncertain'}"
            for name, sure in (("right", sure_right), ("left", sure_left))
            if sure < 0.5
        ]
        return Lungs(_labels(right, left, image.shape), (sure_right, sure_left), tuple(reasons))

    def _equalised(self, small: Image) -> Image:
        """The film in grey levels that depend on the order of its own only, without thin bright lines."""
        n = len(small)
        low, high = float(small.min()), float(small.max())
        fine = ((small - low) * (4095 / (high - low))).astype(np.uint16).clip(0, 4095)
        patient = fine[n // 12 : -n // 7, n // 16 : -n // 16]  # mostly
        counts = np.bincount(patient.ravel(), minlength=4096)
        ranks = (np.cumsum(counts) * (255 / counts.sum())).astype(np.uint8)[fine]
        local = cv2.createCLAHE(self.clip, (4, 4)).apply(ranks)
        local = cv2.GaussianBlur(cv2.morphologyEx(local, cv2.MORPH_OPEN, _disk(n / 192)), (0, 0), n / 200)
        return (local / 255).astype(np.float32)

    def _objection(self, grey: Image, box: LungBox) -> str:
        """Why this is not the image to look for lungs in, in words; empty if there is no reason."""
        if box.fit < 0.6:  # seldom; the film may fit better another way round
            others = {"upside down": grey[::-1].copy(), "inverted; bright must be dense": 1 - grey}
            for name, other in others.items():
                if find_box(other).fit > max(box.fit + 0.05, 0.5):
                    return f"the image seems to be {name}"
        return ""

    def _lung(self, grey: Image, box: LungBox, side: int) -> tuple[Mask, float]:
        """One lung on the working grid, and how far it can be trusted."""
        lung = np.zeros(grey.shape, bool)
        window = box.window(side, self.size)
        seen, expected = grey[window], box.expected(side, self.size, self.blur)[window]
        match = _correlation(1 - seen, expected)
        if match < self.least_match + 4 * max(0.0, self.least_fit - box.fit):
            return lung, 0.0
        vote = self._vote(seen, expected)
        found = _closed(self.trust * vote + (1 - self.trust) * expected > 0.5, self.closing * self.size)
        found = _filled(found)
        if not found.any():
            return lung, 0.0
        found = _bulged(found, side)
        marks = (
            _ramp((box.fit + match) / 2, 0.2, 0.8),
            _ramp(_dice(expected, found), 0.6, 0.8),
            _ramp(_dice(vote, found), 0.5, 0.95),
            _ramp(_contrast(seen, found, self.size / 96), 0.0, 0.2),
        )
        confidence = math.prod(marks) ** (1 / len(marks))
        lung[window] = cv2.dilate(found.astype(np.uint8), _disk(self.rim * self.size)) > 0
        return lung, confidence

    def _vote(self, grey: Image, expected: Heatmap) -> Heatmap:
        """The share of candidates, weighted by merit, that hold each pixel to be lung."""
        core = float(np.median(grey[expected > 0.8 * expected.max()]))
        counted = grey + np.float32(self.pull) * (1 - expected) + (expected < 0.05)  # never where hardly any
        vote, total = np.zeros_like(expected), 1e-12
        for threshold in core + np.linspace(0.0, self.reach, self.steps):
            below = (counted <= threshold).astype(np.uint8)
            n, components, stats, _ = cv2.connectedComponentsWithStats(below, connectivity=4)
            if n < 2:
                continue
            overlap = np.bincount(components.ravel(), expected.ravel(), n)[1:]
            agreement = 2 * overlap / (stats[1:, cv2.CC_STAT_AREA] + expected.sum())
            best = int(agreement.argmax())
            candidate = _filled(_closed(components == best + 1, self.size / 85))
            weight = (agreement[best] * _contrast(grey, candidate, self.size / 96) ** 0.7) ** 4
            vote += np.float32(weight) * candidate
            total += weight
        return (vote / total).clip(0, 1).astype(np.float32)


def _labels(right: _Coarse, left: _Coarse, shape: tuple[int, ...]) -> LungLabels:
    """Both lungs on the grid of the film, with smooth edges."""
    soft = [cv2.GaussianBlur(lung.astype(np.float32), (0, 0), len(lung) / 110) for lung in (right, left)]
    soft[1] = np.minimum(soft[1], 0.99 - soft[0])  # one lung a pixel, whatever the interpolation
    fine = [cv2.resize((lung * 255).clip(0).astype(np.uint8), shape[::-1]) for lung in soft]
    parts = [cv2.threshold(lung, 127, side, cv2.THRESH_BINARY)[1] for side, lung in enumerate(fine, 1)]
    return np.asarray(parts[0] + parts[1], np.uint8)


def _nothing(shape: tuple[int, ...], reason: str) -> Lungs:
    return Lungs(np.zeros(shape, np.uint8), (0.0, 0.0), (reason,))


def _ramp(value: float, low: float, high: float) -> float:
    """From nearly 0 at low to 1 at high."""
    return min(max((value - low) / (high - low), 0.01), 1.0)


def _disk(radius: float) -> npt.NDArray[np.uint8]:
    n = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (n, n)), np.uint8)


def _closed(mask: Mask, radius: float) -> Mask:
    """Closed by a disk as if nothing lay beyond the edge."""
    r = max(1, round(radius))  # as _disk
    closed = cv2.morphologyEx(np.pad(mask.astype(np.uint8), r), cv2.MORPH_CLOSE, _disk(radius))
    return np.asarray(closed[r:-r, r:-r] > 0)


def _filled(mask: Mask) -> Mask:
    """The largest component without its holes."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, (1,), cv2.FILLED)
    return filled > 0


def _bulged(mask: Mask, side: int) -> Mask:
    """The lung with its outer edge made convex, as the ribs are; its other edges stay."""
    outward = mask if side == RIGHT else mask[:, ::-1]  # outer edge on the left
    columns, rows = np.arange(mask.shape[1]), outward.any(axis=1, keepdims=True)
    outer, inner = outward.argmax(axis=1, keepdims=True), np.flatnonzero(outward.any(axis=0))[-1]
    inside = rows & (columns >= outer) & (columns <= inner)
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero(inside.astype(np.uint8))), (1,))
    bulged = np.asarray(outward | (rows & (columns < outer) & (hull > 0)))
    return bulged if side == RIGHT else bulged[:, ::-1]


def _contrast(grey: Image, mask: Mask, radius: float) -> float:
    """How much brighter it is just outside a region than just inside, in [0, 1]."""
    region = mask.astype(np.uint8)
    outside, inside = cv2.dilate(region, _disk(radius)) - region, region - cv2.erode(region, _disk(radius))
    return max(0.0, cv2.mean(grey, outside)[0] - cv2.mean(grey, inside)[0])


def _correlation(one: Image, other: Heatmap) -> float:
    """In [-1, 1]; 0 where one of the two is constant."""
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).mean()) / max(float(one.std() * other.std()), 1e-6)


def _dice(soft: Heatmap, mask: Mask) -> float:
    return 2 * float(soft[mask].sum()) / max(float(soft.sum()) + float(mask.sum()), 1e-12)
