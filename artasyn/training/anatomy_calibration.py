"""What a reader of anatomy is calibrated to: thresholds and usual agreements, from films of patients held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from artasyn.segment.anatomy.looks import aligned, looks_at, mirrored_order, told_turns
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.structures import READ
from artasyn.shapes import Float32
from artasyn.stock.films import Films, FilmSample
from artasyn.stock.packed import Stock

LEVELS = np.array(sorted(np.arange(30, 71, 2) / 100, key=lambda level: abs(level - 0.5)), np.float32)
"""Candidate thresholds, the most usual first: of several that are as good, the nearest to 0.5 counts."""

CALIBRATION = 2
"""Stream of the seeds of films for calibration."""


def calibrate(network: AnatomyNetwork, held_out: Stock, films: Films, *, count: int, seed: int) -> None:
    """Fixes the threshold of every structure, and the usual agreement of the looks at it, in the network's settings.

    What readers draw keeps 0.5: composed films are harder than most real ones, and their best threshold is too high.

    Args:
        network: a trained network; it is left in evaluation mode.
        held_out: views of patients who trained nothing.
        films: the ranges of the films.
        count: number of films.
        seed: of the training.
    """
    reader = AnatomyNet(network.eval())
    size = network.settings.size
    made = [films.compose(held_out, size, (seed, CALIBRATION, number)) for number in range(count)]
    with torch.inference_mode():
        names = network.settings.names
        best = best_thresholds(_read(network, made), mirrored_order(names))
        reader.calibrate([0.5 if name in READ else each for name, each in zip(names, best, strict=True)])
        reader.calibrate(agreements=reader.usual_agreements([film["image"][0][film["window"].inside] for film in made]))


def _read(
    network: AnatomyNetwork, films: list[FilmSample]
) -> Iterator[tuple[Float32[np.ndarray, "k y x"], Float32[np.ndarray, "k y x"]]]:
    """Yields the probabilities of every film's known structures, and their true shares; NaN for unknown structures."""
    names, looks = network.settings.names, network.settings.looks
    for film in films:
        maps, _ = network.read(looks_at(film["image"][0], film["window"], looks), told_turns(None, looks))
        true = np.moveaxis(film["masks"], -1, 0) / np.float32(4)
        true[~film["known"]] = np.nan
        yield aligned(maps, names)[0], true


def best_thresholds(
    read: Iterator[tuple[Float32[np.ndarray, "k y x"], Float32[np.ndarray, "k y x"]]], pairs: Sequence[int]
) -> tuple[float, ...]:
    """Returns the threshold of every structure with the best Dice coefficient over all pixels of all films together.

    A structure and its counterpart on the other side have one threshold.

    Args:
        read: for every film the probabilities of the structures, and their true shares of the pixels, both (k, y, x);
            a structure whose shares are NaN is unknown.
        pairs: for each structure the place of its counterpart, its own where it has none; see `mirrored_order`.

    Returns:
        One of `LEVELS` for every structure; 0.5 for a structure that no film shows.

    Example:
        >>> maps = np.array([[[0.2, 0.45, 0.6]]], np.float32)
        >>> [round(each, 2) for each in best_thresholds(iter([(maps, np.array([[[0, 1, 1]]], np.float32))]), [0])]
        [0.44]
    """
    both: np.ndarray | float = 0.0
    flagged: np.ndarray | float = 0.0
    for maps, shares in read:
        known = np.isfinite(shares).all(axis=(1, 2))
        true = (shares > 0.5) & known[:, None, None]
        found = [(maps >= level) & known[:, None, None] for level in LEVELS]
        both = both + np.stack([(each & true).sum(axis=(1, 2)) for each in found])
        flagged = flagged + np.stack([each.sum(axis=(1, 2)) + true.sum(axis=(1, 2)) for each in found])
    both, flagged = (np.asarray(each) + np.asarray(each)[..., list(pairs)] for each in (both, flagged))
    dice = 2 * both / np.maximum(flagged, 1)
    return tuple(round(float(LEVELS[best]), 2) for best in dice.argmax(axis=0))
