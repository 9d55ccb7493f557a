"""What the labels of a CT tell of the channels that a network reads on radiographs."""

from __future__ import annotations

from collections.abc import Collection

from artasyn.segment.ct.volume import Volume
from artasyn.segment.structures import ANATOMY, RUNNING, TOLD_BY


def known(volume: Volume, *, cut: bool = False) -> tuple[str, ...]:
    """Returns the channels of `ANATOMY` whose truth follows from a volume's labels, in that order.

    A channel is known by a structure of its name, or by structures that make it up, see `TOLD_BY`. Lobes tell the
    lungs, and twelve ribs tell a side's ribs. A heart without chambers tells nothing of the chambers. The body is known
    in every CT. What an end of the scan cuts off is not known, except for what runs on beyond every chest scan.

    Args:
        volume: the patient. A deformed or prolonged volume still tells what its scan cut off, see `Volume.cut`.
        cut: whether structures that the scan cuts off count as known, for films that lie within the scan.

    Example:
        >>> import numpy as np
        >>> from artasyn.segment.ct.volume import Structure
        >>> bone = {"rib_left_3": Structure((1, 1, 1), np.ones((2, 2, 2), bool))}
        >>> known(Volume(np.zeros((9, 9, 9), np.int16), np.diag([-2.0, -2.0, -2.0, 1.0]), bone))
        ('body', 'rib_left_3')
    """
    ended = () if cut else volume.cut
    whole = {name for name in volume.structures if name not in ended}
    return tuple(name for name in ANATOMY if _is_known(name, volume.structures if name in RUNNING else whole))


def _is_known(name: str, labelled: Collection[str]) -> bool:
    lists = TOLD_BY.get(name, ())
    return name == "body" or name in labelled or any(all(_is_known(n, labelled) for n in each) for each in lists)
