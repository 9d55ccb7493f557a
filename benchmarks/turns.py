"""Times of several ways to do the same, which take turns on one core."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cv2
import torch
from tqdm import tqdm

FEWEST = 3
"""Calls of a way that takes longer than it may."""


class Seconds(float):
    """The time of a call by the program's own clock, where the call does more than what is compared."""


class Way(NamedTuple):
    """A way to do something: a call that takes its number, and the images that a call makes.

    A call that returns `Seconds` took that long; other calls are timed from outside.
    """

    call: Callable[[int], object]
    images: int = 1


def one_core() -> None:
    """Keeps this process, OpenCV and torch on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def in_turns(
    ways: Mapping[str, Way],
    rounds: int,
    *,
    seconds: float = math.inf,
    warm_up: int = 1,
    block: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    name: str = "",
) -> dict[str, list[float]]:
    """Times ways that take turns, so that a busy moment of the machine falls on all of them.

    Args:
        ways: by their names.
        rounds: turns of every way.
        seconds: a way that has taken so long rests, if it has had `FEWEST` calls.
        warm_up: rounds that are not counted, before the others.
        block: calls of a way in one turn. Of several the first is not counted: it finds the caches as others left them,
            and may wait for memory that the others gave back.
        clock: gives seconds; `time.process_time` counts those of the processor alone.
        name: of the progress bar.

    Returns:
        Milliseconds an image, of every call of every way.
    """
    times: dict[str, list[float]] = {each: [] for each in ways}
    spent = dict.fromkeys(ways, 0.0)
    for number in tqdm(range(-warm_up, rounds), desc=name, unit="round"):
        for each, way in ways.items():
            if spent[each] >= seconds and len(times[each]) >= FEWEST:
                continue
            taken = [_seconds(way, (number + warm_up) * block + call, clock) for call in range(block)][
                min(block - 1, 1) :
            ]
            if number >= 0:
                spent[each] += sum(taken)
                times[each] += [1e3 * took / way.images for took in taken]
    return times


def _seconds(way: Way, number: int, clock: Callable[[], float]) -> float:
    """The time of one call."""
    start = clock()
    said = way.call(number)
    return float(said) if isinstance(said, Seconds) else clock() - start


def beside(times: Mapping[str, list[float]], ours: str) -> dict[str, dict[str, Any]]:
    """Median and quartiles of every way, in ms, and its median over that of one way."""
    found: dict[str, dict[str, Any]] = {}
    for name, of in times.items():
        low, middle, high = statistics.quantiles(of, n=4)
        figures = {"median": middle, "q1": low, "q3": high}
        ratio = middle / statistics.median(times[ours])
        found[name] = {key: float(f"{value:.4g}") for key, value in figures.items()}
        found[name] |= {"ratio": float(f"{ratio:.3g}"), "calls": len(of)}
    return found
