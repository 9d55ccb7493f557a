"""Who finds the lungs of a radiograph: PBTSeg, the network that reads anatomy, or nobody where lungs are given."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NoReturn

from artasyn.arrays import Image
from artasyn.errors import DataError, ModelError
from artasyn.evaluation.overlap import dice
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.lungs import Lungs
from artasyn.segment.pbtseg.pbtseg import PBTSeg

if TYPE_CHECKING:
    from artasyn.segment.anatomy.net import AnatomyNet

Segmenter = Callable[[Image], Lungs | Anatomy]
"""Finds the lungs of one radiograph, or all structures with them."""

LungsBy = Literal["pbtseg", "anatomy", "given"]
"""Who finds the lungs, by the name of a segmenter."""

AGREEMENT = 0.8
"""Least Dice of the visible lungs by two segmenters that agree."""


@dataclass(frozen=True)
class AnatomyReader:
    """Reads the anatomy of radiographs with a stored network, which each process loads when it is first asked.

    Attributes:
        model: ``bundled``, a folder or a model id, as for `AnatomyNet.from_pretrained`.
        device: a device of torch.
        digest: of the network that is wanted, see `pinned`; empty takes the network that lies there.
    """

    model: str = "bundled"
    device: str = "cpu"
    digest: str = ""

    def __call__(self, image: Image) -> Anatomy:
        """Reads the anatomy of one radiograph.

        Args:
            image: (h, w), float32 in [0, 1], bright = dense.

        Raises:
            ImageError: not an `Image`.
            ModelError: there is no such model, or another one lies there now.
        """
        return self.net(image)

    @property
    def net(self) -> AnatomyNet:
        """The network.

        Raises:
            ModelError: there is no such model, or another one lies there now.
        """
        return _load(self.model, self.device, self.digest)

    def pinned(self) -> AnatomyReader:
        """Returns the same reader, which refuses any other network than the one that lies there now."""
        return dataclasses.replace(self, digest=self.net.digest)


@functools.lru_cache(maxsize=2)
def _load(model: str, device: str, digest: str) -> AnatomyNet:
    from artasyn.segment.anatomy.net import AnatomyNet  # needs torch

    net = AnatomyNet.from_pretrained(model, device=device)
    if digest and net.digest != digest:
        raise ModelError(f"{model}: was replaced by another model during this run; start again with another --out")
    return net


@dataclass(frozen=True)
class NotFound:
    """Finds no lungs: they must be given with every radiograph."""

    def __call__(self, image: Image) -> NoReturn:
        """Refuses a radiograph whose lungs were not given.

        Args:
            image: the radiograph.

        Raises:
            DataError: always.
        """
        raise DataError("the lungs of this radiograph are not given, and nobody is asked to find them; give them")


SEGMENTERS: dict[LungsBy, Callable[[], Segmenter]] = {"pbtseg": PBTSeg, "anatomy": AnatomyReader, "given": NotFound}
"""The segmenters by their names."""


def segmenter(by: LungsBy | Segmenter) -> Segmenter:
    """Returns a segmenter by its name; a segmenter is returned as it is.

    Args:
        by: a key of `SEGMENTERS`, or any function that finds lungs on an image.

    Raises:
        DataError: there is no segmenter of this name.

    Example:
        >>> segmenter("pbtseg") == PBTSeg()
        True
    """
    if not isinstance(by, str):
        return by
    if by not in SEGMENTERS:
        raise DataError(f"no segmenter {by!r}; choose from {', '.join(SEGMENTERS)}, or give a function")
    return SEGMENTERS[by]()


def visible_lungs(found: Lungs | Anatomy) -> Lungs:
    """Returns the lungs that a segmenter found; those of an anatomy are the visible ones.

    Args:
        found: what the segmenter returned.
    """
    return found if isinstance(found, Lungs) else found.lungs("visible")


def compared(lungs: Lungs, other: Lungs) -> Lungs:
    """Returns lungs with a caution if another segmenter disagrees about them.

    Two segmenters disagree if the Dice of both masks is below `AGREEMENT`. At least one of them is then wrong, and the
    radiograph asks for a second look; it stays usable.

    Args:
        lungs: the lungs to return.
        other: the lungs by another segmenter, on the same grid.

    Example:
        >>> import numpy as np
        >>> labels = np.zeros((40, 60), np.uint8)
        >>> labels[:, 5:25], labels[:, 35:55] = 1, 2
        >>> lungs = Lungs.from_labels(labels)
        >>> compared(lungs, lungs).warnings, compared(lungs, Lungs.from_labels(labels * (labels == 1))).warnings
        ((), ('lungs_disagree',))
    """
    overlap = dice(lungs.mask, other.mask)
    if math.isnan(overlap) or overlap >= AGREEMENT:
        return lungs
    reason = f"two ways of finding the lungs disagree: Dice {overlap:.2f}, below {AGREEMENT:g}"
    return replace(lungs, reasons=(*lungs.reasons, reason), warnings=(*lungs.warnings, "lungs_disagree"))
