"""The words of warnings about a film: one word for each caution, with a sentence for people.

The same words stand in `Lungs.warnings`, `Detection.warnings`, manifests, scores.csv, sheets and reports. A film with
one of the words in `UNUSABLE` cannot be judged as a frontal chest radiograph; the other words ask for a second look.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from artasyn.arrays import Image

Caution = Literal[
    "inverted",
    "turned",
    "lateral",
    "not_a_chest",
    "no_lungs",
    "one_lung",
    "uncertain",
    "lungs_disagree",
    "clipped",
    "low_range",
]
"""A warning about a film, by its word in tables."""

CAUTIONS: dict[Caution, str] = {
    "inverted": "the image seems to be inverted; bright must be dense",
    "turned": "the image seems to be turned",
    "lateral": "the image looks like a side view",
    "not_a_chest": "nothing on the image looks like a chest",
    "no_lungs": "nothing looks like two lungs",
    "one_lung": "one of the lungs is not labelled",
    "uncertain": "the place of a lung is uncertain",
    "lungs_disagree": "two ways of finding the lungs disagree",
    "clipped": "much of the image is saturated, black or white, so that detail is lost",
    "low_range": "the image has few levels of grey, so that detail is lost",
}
"""The sentence of each caution."""

UNUSABLE: frozenset[Caution] = frozenset({"inverted", "turned", "lateral", "not_a_chest", "no_lungs"})
"""The cautions for which a film cannot be judged."""


_SAMPLE = 128  # rows and columns of the patient that are looked at
_CLIPPED = 0.15  # share of the patient that is black or white; at most 0.13 in 1,300 films of ten sets
_LEAST_RANGE = 0.1  # of grey, between the darkest and the brightest hundredth; at least 0.14 in the same films
_LEAST_LEVELS = 40  # of grey; at least 51 in the same films


def usable(words: Iterable[Caution]) -> bool:
    """Returns whether a film with these cautions can be judged.

    Example:
        >>> usable(["clipped", "uncertain"]), usable(["clipped", "lateral"])
        (True, False)
    """
    return UNUSABLE.isdisjoint(words)


def sentences(words: Iterable[Caution]) -> str:
    """Returns the sentences of some cautions on one line.

    Example:
        >>> sentences(["no_lungs", "uncertain"])
        'nothing looks like two lungs; the place of a lung is uncertain'
    """
    return "; ".join(CAUTIONS[word] for word in words)


def pixel_cautions(image: Image) -> tuple[Caution, ...]:
    """Returns the cautions that follow from an image's levels of grey alone: ``clipped`` and ``low_range``.

    The patient is the image without margins. An evenly spaced sample of the pixels is looked at, not means of pixels.

    Args:
        image: (h, w), float32 in [0, 1].

    Example:
        >>> film = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
        >>> pixel_cautions(film), pixel_cautions((2 * film - 0.5).clip(0, 1)), pixel_cautions(film * np.float32(0.05))
        ((), ('clipped',), ('low_range',))
    """
    rows, columns = image.shape
    patient = image[rows // 8 : rows - rows // 6, columns // 8 : columns - columns // 8]
    steps = [max(1, side // _SAMPLE) for side in patient.shape]
    grey = np.sort(patient[:: steps[0], :: steps[1]], axis=None)
    clipped = (  # the sample's own extremes give at least as large a share, and spare a look at the whole image
        _saturated(grey, grey[0], grey[-1]) > _CLIPPED and _saturated(grey, image.min(), image.max()) > _CLIPPED
    )
    low, high = grey[grey.size // 100], grey[-1 - grey.size // 100]
    levels = 1 + np.count_nonzero(grey[1:] - grey[:-1] > 1e-6)
    few = high - low < _LEAST_RANGE or levels < min(_LEAST_LEVELS, grey.size // 16)
    found: dict[Caution, bool] = {"clipped": clipped, "low_range": bool(few)}
    return tuple(word for word, there in found.items() if there)


def _saturated(grey: npt.NDArray[np.float32], low: np.float32, high: np.float32) -> float:
    """Returns the share of sorted greys that are as dark as `low` or as bright as `high`."""
    black = int(np.searchsorted(grey, low + 1 / 512, "right"))
    white = grey.size - int(np.searchsorted(grey, high - 1 / 512, "left"))
    return min(1.0, (black + white) / int(grey.size))
