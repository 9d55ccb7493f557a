"""Interim."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import Image
from artasyn.segment.lungs import Lungs

S = 256


@dataclass(frozen=True)
class PBTSeg:
    """Interim."""

    side: int = 256

    def __call__(self, image: Image) -> Lungs:
        """Interim."""
        import sys

        sys.path.insert(0, "/tmp/lab")
        g = norm(image)
        out = np.zeros((S, S), np.uint8)
        conf = []
        for side, k in ((1, (0.45, 0.29, 0.34, 0.15, 0.15, 4)), (2, (0.45, 0.71, 0.34, 0.15, -0.15, 4))):
            sc, comp = cand(g, ell(*k))
            conf.append(float(max(0, min(1, sc))))
            if comp is not None:
                K = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25))
                q = cv2.morphologyEx(np.pad(comp.astype(np.uint8), 14), cv2.MORPH_CLOSE, K)[14:-14, 14:-14]
                out[(q > 0) & (out == 0)] = side
        return Lungs(cv2.resize(out, image.shape[::-1], interpolation=cv2.INTER_NEAREST), (conf[0], conf[1]))


yy, xx = np.mgrid[:S, :S]
yy = ((yy + 0.5) / S).astype("f4")
xx = ((xx + 0.5) / S).astype("f4")


def ell(cy, cx, ry, rx, tilt, p=4):
    c, s = np.cos(tilt), np.sin(tilt)
    v, u = yy - cy, xx - cx
    a, b = (v * c - u * s) / ry, (v * s + u * c) / rx
    return np.exp(-((a * a + b * b) ** (p / 2)) * 0.693).astype("f4")


def norm(img):
    g = cv2.resize(img, (S, S), interpolation=cv2.INTER_AREA)
    c = np.sort(g[20:217, 15:240].ravel())
    lev = c[np.linspace(0, c.size - 1, 256).astype(int)]
    r = np.searchsorted(lev, g).clip(0, 255).astype("uint8")
    r = cv2.createCLAHE(2.0, (4, 4)).apply(r)
    r = cv2.morphologyEx(r, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    return cv2.GaussianBlur(r, (0, 0), 1)


def cand(g, prior):
    pen = cv2.add(g.astype("f4"), 60 * (1 - prior))
    best = (0, None)
    tot = prior.sum()
    for t in range(40, 180, 5):
        m = (pen <= t).astype("uint8")
        n, lab, st, _ = cv2.connectedComponentsWithStats(m, connectivity=4)
        if n < 2:
            continue
        ov = np.bincount(lab.ravel(), weights=prior.ravel(), minlength=n)[1:]
        dice = 2 * ov / (st[1:, 4] + tot)
        k = int(dice.argmax())
        if dice[k] > best[0]:
            best = (float(dice[k]), lab == k + 1)
    return best
