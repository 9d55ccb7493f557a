"""Milliseconds an image of every stage of the chain, on phantoms: ``python benchmarks/speed_stages.py``."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from artasyn import Detector, LungOpacity, PBTSeg, Phantom
from artasyn.arrays import Image, generator
from artasyn.bulk.memory import keep_freed
from artasyn.detection.network import DetectorNetwork, has_bfloat16
from artasyn.detection.onnx_export import export_onnx
from artasyn.errors import ArtasynError
from artasyn.training.module import ReconstructionTraining
from artasyn.training.samples import Sample

RESULTS = Path(__file__).parent / "results"


def milliseconds(call: Callable[[int], object], *, repeats: int, per_call: int = 1) -> dict[str, float]:
    """Median and quartiles of the time of a call, after a warm-up, divided by the images in it."""
    call(0)
    times = []
    for repeat in range(repeats):
        start = time.perf_counter()
        call(repeat)
        times.append(1e3 * (time.perf_counter() - start) / per_call)
    low, middle, high = statistics.quantiles(times, n=4)
    return {"median": round(middle, 2), "q1": round(low, 2), "q3": round(high, 2)}


def machine() -> dict[str, object]:
    """The machine and the versions that the figures were measured on."""
    packages = ("artasyn", "numpy", "opencv-python-headless", "torch", "timm")
    return {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "packages": {name: version(name) for name in packages},
    }


def image_stages(size: int) -> dict[str, Callable[[int], object]]:
    """The stages that have no network, on a phantom of this many pixels a side."""
    chest = Phantom(size=size)(1)
    for seed in range(40):  # textures are made once in a process
        LungOpacity()(chest.image, chest.lungs, generator(1, seed))
    return {
        "phantom": Phantom(size=size),
        "lungs (PBTSeg)": lambda _: PBTSeg()(chest.image),
        "synthesis (LungOpacity)": lambda i: LungOpacity()(chest.image, chest.lungs, generator(0, i)),
    }


ENGINES = ("32 bits", "bfloat16", "onnxruntime")
"""What runs the detector's network."""


def detection(repeats: int, bar: tqdm[Any]) -> dict[str, dict[str, float]]:
    """Detection in batches of 16 on one core, with every engine that this machine has. PBTSeg finds the lungs."""
    films = [Phantom(size=256)(seed, lesions=seed % 2 == 1).image for seed in range(16)]
    found: dict[str, dict[str, float]] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in ENGINES:
            bar.update()
            try:
                detector = engine(name, Path(folder))
            except ArtasynError as reason:  # no bfloat16, or no onnxruntime
                print(f"{name}: {reason}")
                continue
            call = partial(_examined, detector, films)
            stages = milliseconds(call, repeats=repeats, per_call=len(films))
            found[f"detection, 256 px, batch of 16, one core, {name}"] = stages
    torch.set_num_threads(threads)
    return found


def _examined(detector: Detector, films: list[Image], _: int) -> None:
    detector(films)


def engine(name: str, folder: Path) -> Detector:
    """The detector that comes with artasyn on one of `ENGINES`.

    Args:
        name: the engine.
        folder: for the ONNX file.
    """
    if name == "onnxruntime":
        file = folder / "detector.onnx"
        export_onnx(DetectorNetwork.from_pretrained(), file)
        return Detector.from_onnx(file, ["CPUExecutionProvider"], 1)
    return Detector.from_pretrained(precision="bf16" if name == "bfloat16" else "fp32")


PRECISIONS = {"32 bits": False, "bfloat16": True}
"""What a training computes with, and whether that is bfloat16."""


def training(repeats: int, bar: tqdm[Any]) -> dict[str, dict[str, float]]:
    """Steps of the default detector's training on one core, as `artasyn train` takes them: losses and optimiser."""
    chests = [Phantom(size=128)(seed) for seed in range(8)]
    anomalies = [LungOpacity()(c.image, c.lungs, generator(0, i)) for i, c in enumerate(chests)]
    sample: Sample = {
        "image": batch([a.image for a in anomalies]),
        "normal": batch([c.image for c in chests]),
        "mask": batch([a.mask for a in anomalies]),
        "lungs": batch([c.lungs.mask for c in chests]),
        "group": torch.zeros(len(chests), dtype=torch.int64),
    }
    found: dict[str, dict[str, float]] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, rounded in PRECISIONS.items():
        bar.update()
        if rounded and not has_bfloat16(torch.device("cpu")):
            continue
        torch.manual_seed(0)
        module = ReconstructionTraining(DetectorNetwork())
        call = partial(_step, module, module.optimizer(), sample, rounded)
        stages = milliseconds(call, repeats=repeats, per_call=len(chests))
        found[f"training, 128 px, batch of 8, one core, {name}"] = stages
    torch.set_num_threads(threads)
    return found


def batch(arrays: list[np.ndarray]) -> torch.Tensor:
    """Arrays as a batch (b, 1, h, w)."""
    return torch.from_numpy(np.stack(arrays).astype(np.float32))[:, None]


def _step(
    module: ReconstructionTraining, optimizer: torch.optim.Optimizer, sample: Sample, rounded: bool, _: int
) -> None:
    """One step; ``bf16-mixed`` of Lightning rounds the losses in the same way."""
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
        total = module.losses(sample)["total"]
    torch.autograd.backward(total)
    optimizer.step()


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=15)
    options.add_argument("--out", type=Path, default=RESULTS / "speed.json")
    given = options.parse_args()
    cv2.setNumThreads(1)
    keep_freed()  # as `artasyn train` does
    stages: dict[str, dict[str, float]] = {}
    repeats = given.repeats
    bar = tqdm(total=8 + len(PRECISIONS) + len(ENGINES), unit="stage")
    for size in (256, 1024):
        for name, call in image_stages(size).items():
            stages[f"{name}, {size} px"] = milliseconds(call, repeats=repeats)
            bar.update()
    stages |= training(repeats, bar)
    film = Phantom(size=256)(2)
    stages |= detection(repeats, bar)
    detector = Detector.from_pretrained()
    stages["detection, 256 px, lungs given"] = milliseconds(lambda _: detector(film.image, film.lungs), repeats=repeats)
    bar.update()
    stages["detection, 256 px, lungs by PBTSeg"] = milliseconds(lambda _: detector(film.image), repeats=repeats)
    bar.update()
    bar.close()
    result = {"machine": machine(), "repeats": repeats, "unit": "ms an image", "stages": stages}
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(stages, indent=1), given.out, sep="\n")


if __name__ == "__main__":
    main()
