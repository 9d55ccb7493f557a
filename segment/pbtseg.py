"""PBTSeg: lungs of a radiograph by progressive binary thresholding, without training."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, Mask, check_image
from artasyn.segment.lungs import Lungs
from artasyn.segment.outline import LungBox, find_box

Grey = UInt8[np.ndarray, "h w"]
_NAMES = {RIGHT: "right", LEFT: "left"}


@dataclass(frozen=True)
class PBTSeg:
    """Finds both lungs by thresholds that rise step by step, on any film of any size.

    The film is equalised on a grid of fixed size, so neither its pixels nor its grey levels matter. The box in which
    it looks most like the mean outline of two lungs is found first. Then, for each lung, thresholds rise from the
    grey of its core; a pixel counts as the brighter the less it is expected to be lung, which keeps the trachea, the
    stomach and the air around the body away. At each threshold the component that agrees best with the expectation
    is a candidate; candidates vote, each by its agreement and by the contrast along its edge. The vote and the
    expectation together make the lung; closing, filling and a bulging outer edge return what ribs, the clavicle and
    disease cut out.

    Attributes:
        size: rows and columns of the working grid.
        clip: contrast limit of the adaptive equalisation.
        steps: number of thresholds.
        reach: the highest threshold, above the grey of the lung's core, as a fraction of the grey range.
        pull: grey added where no lung is expected, as a fraction of the grey range.
        blur: softness of the expected outline, as a fraction of the lungs' box.
        trust: weight of the thresholds against the expected outline, in [0, 1].
        closing: radius of the closing, as a fraction of the film.
        rim: width of the dim band that is added along the edge, as a fraction of the film.
        least_fit: correlation with the mean outline below which no lungs are reported.

    Source: ART-ASyn (arXiv 2512.00310), PBTSeg; made free of scale and grey levels here.

    Example:
        >>> import numpy as np
        >>> film = np.full((64, 64), 0.9, np.float32)
        >>> PBTSeg()(film).reasons
        ('the image is blank',)
    """

    size: int = 256
    clip: float = 2.0
    steps: int = 12
    reach: float = 0.47
    pull: float = 0.3
    blur: float = 0.06
    trust: float = 0.5
    closing: float = 0.03
    rim: float = 0.006
    least_fit: float = 0.4

    def __call__(self, image: Image) -> Lungs:
        """Finds the lungs of one radiograph.

        Args:
            image: (h, w), float32 in [0, 1], bright = dense, head up, patient's right on the image's left.

        Returns:
            Lungs on the image's own grid. A lung that was not found has confidence 0 and a reason.

        Raises:
            ImageError: not an `Image`.
        """
        check_image(image)
        nothing = np.zeros(image.shape, np.uint8)
        if float(image.max() - image.min()) < 0.01:
            return Lungs(nothing, (0.0, 0.0), ("the image is blank",))
        grey = self._equalised(image)
        box = find_box((grey / 255).astype(np.float32))
        if box.fit < self.least_fit:
            return Lungs(nothing, (0.0, 0.0), (f"the image does not look like lungs (fit {box.fit:.2f})",))
        box = LungBox(box.top - 0.05, box.left - 0.03, box.height + 0.07, box.width + 0.06, box.fit)
        labels = nothing
        confidence = []
        reasons: list[str] = []
        for side in (RIGHT, LEFT):
            lung, trust = self._lung(grey, box, side)
            wide = cv2.GaussianBlur(lung.astype(np.float32) * 255, (0, 0), 2).astype(np.uint8)
            full = cv2.resize(wide, image.shape[::-1], interpolation=cv2.INTER_LINEAR) > 127
            labels[full & (labels == 0)] = side
            confidence.append(trust if full.any() else 0.0)
            if confidence[-1] == 0:
                reasons.append(f"{_NAMES[side]} lung not found")
        return Lungs(labels, (confidence[0], confidence[1]), tuple(reasons))

    def _equalised(self, image: Image) -> Grey:
        """The film on the working grid, as grey levels that depend on order only."""
        n = self.size
        small = cv2.resize(image, (n, n), interpolation=cv2.INTER_AREA)
        middle = np.sort(small[n // 12 : -n // 7, n // 16 : -n // 16], axis=None)
        levels = middle[np.linspace(0, middle.size - 1, 256).astype(int)]
        grey = np.searchsorted(levels, small).clip(0, 255).astype(np.uint8)
        grey = cv2.createCLAHE(self.clip, (4, 4)).apply(grey)
        grey = cv2.morphologyEx(grey, cv2.MORPH_OPEN, _disk(n / 128))
        return np.asarray(cv2.GaussianBlur(grey, (0, 0), n / 256), np.uint8)

    def _lung(self, grey: Grey, box: LungBox, side: int) -> tuple[Mask, float]:
        expected = box.expected(side, self.size, self.blur)
        vote = self._vote(grey, expected)
        lung = (self.trust * vote + (1 - self.trust) * expected > 0.5).astype(np.uint8)
        r = round(self.closing * self.size)
        lung = cv2.morphologyEx(np.pad(lung, r), cv2.MORPH_CLOSE, _disk(r))[r:-r, r:-r]
        lung = cv2.dilate(_bulged(_filled(lung), side), _disk(self.rim * self.size))
        return lung > 0, float(max(box.fit, 0))

    def _vote(self, grey: Grey, expected: Heatmap) -> Heatmap:
        """The share of candidates, weighted by their merit, that hold each pixel to be lung."""
        core = float(np.median(grey[expected > 0.8 * expected.max()]))
        penalised = grey + 255 * self.pull * (1 - expected)
        vote = np.zeros_like(expected)
        total = 0.0
        for threshold in core + 255 * np.linspace(0.0, self.reach, self.steps):
            below = (penalised <= threshold).astype(np.uint8)
            n, components, stats, _ = cv2.connectedComponentsWithStats(below, connectivity=4)
            if n < 2:
                continue
            overlap = np.bincount(components.ravel(), expected.ravel(), n)[1:]
            agreement = 2 * overlap / (stats[1:, cv2.CC_STAT_AREA] + expected.sum())
            best = int(agreement.argmax())
            candidate = _filled(cv2.morphologyEx((components == best + 1).astype(np.uint8), cv2.MORPH_CLOSE, _disk(3)))
            weight = (agreement[best] * _contrast(grey, candidate) ** 0.5) ** 8
            vote += weight * candidate
            total += weight
        return vote / max(total, 1e-12)


def _disk(radius: float) -> Grey:
    n = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (n, n)), np.uint8)


def _filled(mask: Grey) -> Grey:
    """The largest component without its holes."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, (1,), cv2.FILLED)
    return filled


def _contrast(grey: Grey, mask: Grey) -> float:
    """How much brighter it is just outside than just inside a region, in [0, 1]."""
    square = np.ones((5, 5), np.uint8)
    outside, inside = cv2.dilate(mask, square) - mask, mask - cv2.erode(mask, square)
    return max(0.0, cv2.mean(grey, outside)[0] - cv2.mean(grey, inside)[0]) / 255


def _bulged(mask: Grey, side: int) -> Grey:
    """The lung with its outer edge made convex, as the ribs are; the other edges stay."""
    if not mask.any():
        return mask
    outward = mask if side == RIGHT else mask[:, ::-1]  # the outer edge on the left
    column, rows = np.arange(mask.shape[1]), outward.any(axis=1)[:, None]
    first = outward.argmax(axis=1)[:, None]
    last = np.flatnonzero(outward.any(axis=0))[-1]
    hull = np.zeros_like(mask)
    cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero((rows & (column >= first) & (column <= last)).astype(np.uint8))), (1,))
    bulged = outward | (hull * (rows & (column < first))).astype(np.uint8)
    return np.ascontiguousarray(bulged if side == RIGHT else bulged[:, ::-1])
