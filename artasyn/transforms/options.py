"""The options that the transforms share: how likely an anomaly is, and what happens where none can be made."""

from __future__ import annotations

from numbers import Real
from typing import Literal, get_args

from artasyn.errors import DataError

OnFailure = Literal["raise", "skip"]
"""How an image that nothing can be added to is handled: an error, or the image unchanged."""


def check_options(p: object, on_failure: str = "raise", *, name: str = "p") -> None:
    """Refuses a number that is no probability, and an unknown way to handle a failure.

    Args:
        p: the probability of an anomaly.
        on_failure: what happens with an image that nothing can be added to.
        name: of the probability, for the message.

    Raises:
        DataError: one of them is wrong.
    """
    if not isinstance(p, Real) or not 0 <= float(p) <= 1:  # also catches NaN
        raise DataError(f"{name} must be a probability in [0, 1], not {p!r}")
    if on_failure not in get_args(OnFailure):
        raise DataError(f"on_failure must be {' or '.join(get_args(OnFailure))}, not {on_failure!r}")
