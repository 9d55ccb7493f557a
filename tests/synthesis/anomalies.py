"""What tells anomalies apart, and images that are none; other processes of the tests import this light file."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from artasyn.synthesis import Anomaly


def digest(anomaly: Anomaly) -> str:
    parts = (anomaly.image, anomaly.mask, anomaly.attenuation)
    return hashlib.blake2b(b"".join(part.tobytes() for part in parts)).hexdigest()


WRONG: dict[str, Any] = {
    "channels": lambda image: image[None],
    "double": lambda image: image.astype(np.float64),
    "bytes": lambda image: (255 * image).astype(np.uint8),
    "list": lambda image: image[:2, :2].tolist(),
    "above": lambda image: 2 * image + 0.1,
    "below": lambda image: image - 1,
    "nan": lambda image: image * np.float32(np.nan),
    "small": lambda image: image[:8, :8],
}
