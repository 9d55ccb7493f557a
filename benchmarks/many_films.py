"""Collections of any size for measurements of bulk work: real normal films in many exposures, or phantoms."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from artasyn import Phantom
from artasyn.arrays import Image
from artasyn.bulk.sources import find_sources
from artasyn.files.radiograph import read_radiograph, write_image

DATA = Path(os.environ.get("ARTASYN_DATA", Path(__file__).parent / ".." / ".." / "shared" / "data"))

TOGETHER = 1000
"""Films in a folder."""

PHANTOMS = 100
"""Phantoms that films are made of where NIH is missing."""


def write_films(folder: Path, *, films: int, size: int, workers: int = 1) -> None:
    """Writes square films, no two alike: NIH's normal films in different exposures, or phantoms if NIH is missing.

    Args:
        folder: gets subfolders of `TOGETHER` films.
        films: their number.
        size: of a side, in pixels.
        workers: processes.
    """
    parts = [range(start, min(start + TOGETHER, films)) for start in range(0, films, TOGETHER)]
    write = functools.partial(_write, folder, films, size)
    with tqdm(total=films, desc="write", unit="film") as bar:
        if workers == 1 or len(parts) == 1:
            for part in parts:
                bar.update(write(part))
            return
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            for written in pool.map(write, parts):
                bar.update(written)


def _write(folder: Path, films: int, size: int, numbers: range) -> int:
    """Writes the films with these numbers and returns how many they are."""
    small = _originals(size, min(films, PHANTOMS))
    rounds = -(-films // len(small))
    for number in numbers:
        exposure = 0.8 + 0.4 * (number // len(small)) / rounds
        path = folder / f"{number // TOGETHER:05d}" / f"{number:07d}.png"
        write_image(path, small[number % len(small)] ** np.float32(exposure))
    return len(numbers)


@functools.lru_cache(maxsize=1)
def _originals(size: int, phantoms: int) -> list[Image]:
    """Returns the films that all others are made of, in [0, 1]: real ones, or this many phantoms."""
    cv2.setNumThreads(1)
    paths = [s.path for s in find_sources([DATA / "nih_normal"])] if (DATA / "nih_normal").is_dir() else []
    if paths:
        films = (read_radiograph(path) for path in paths)
    else:
        films = (Phantom(size=size)(seed).image for seed in range(phantoms))
    return [np.clip(cv2.resize(film, (size, size), interpolation=cv2.INTER_AREA), 0, 1) for film in films]
