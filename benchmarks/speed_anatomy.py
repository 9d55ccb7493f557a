"""Time of the anatomy of a film beside PBTSeg, on one core: ``python -m benchmarks.speed_anatomy``.

The films are every twelfth film of the real sets with masks, resized to 512 x 512 pixels. The network runs in torch,
one film at a time and in batches, and in onnxruntime, with the model's own number of looks at a film.
All ways and PBTSeg run in alternating blocks, so that ratios within one run can be compared. Reading and resizing are
not timed; preparing the film, the network and the way back to the film's grid are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import cv2
import torch
from tqdm import tqdm

from artasyn.arrays import Image
from artasyn.files.radiograph import read_radiograph
from artasyn.segment import PBTSeg
from artasyn.segment.anatomy.net import AnatomyNet
from benchmarks.real_anatomy import SETS, files
from benchmarks.speed_lungs import figures, milliseconds, resized

ROOT = Path(__file__).parent.parent
SIZE = 512
BATCH = 8
PACKAGES = ("artasyn", "numpy", "onnxruntime", "opencv-python-headless", "torch", "timm")

Way = Callable[[Sequence[Image]], object]
"""Reads some films."""


def ways(net: AnatomyNet, folder: Path) -> dict[str, tuple[Way, int]]:
    """Every way to read films, and how many films it takes at once.

    Args:
        net: the network in torch.
        folder: where the ONNX file is written.
    """
    exported = folder / "anatomy.onnx"
    net.export_onnx(exported)
    onnx, pbtseg = AnatomyNet.from_onnx(exported, threads=1), PBTSeg()
    return {
        "PBTSeg": (lambda films: [pbtseg(film) for film in films], 1),
        "anatomy, torch": (lambda films: net(list(films)), 1),
        f"anatomy, torch, batches of {BATCH}": (lambda films: net(list(films)), BATCH),
        "anatomy, onnxruntime": (lambda films: onnx(list(films)), 1),
    }


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--model", default="bundled", help="a model's folder, or bundled")
    options.add_argument("--blocks", type=int, default=5, help="how often every way goes over all films")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed_anatomy.json")
    given = options.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for every library
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    films = [resized(read_radiograph(file), SIZE) for name in SETS for file in files(given.data, name)[::12]]
    films = films[: len(films) // BATCH * BATCH]
    net = AnatomyNet.from_pretrained(given.model)
    with tempfile.TemporaryDirectory() as folder:
        tried = ways(net, Path(folder))
        times: dict[str, list[float]] = {name: [] for name in tried}
        for way, count in tried.values():
            way(films[:count])  # warm-up
        for _ in tqdm(range(given.blocks), unit="block"):
            for name, (way, count) in tried.items():
                groups = [films[first : first + count] for first in range(0, len(films), count)]
                times[name] += [time / count for time in milliseconds(way, groups)]
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "cores": 1,
            "packages": {package: version(package) for package in PACKAGES},
        },
        "model": net.digest,
        "films": len(films),
        "size": SIZE,
        "blocks": given.blocks,
        "ms": {name: figures(of) for name, of in times.items()},
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), given.out, sep="\n")


if __name__ == "__main__":
    main()
