"""Synthesis, detection and training on a GPU, in ten minutes: ``python -m benchmarks.speed_gpu``.

Films and lungs are phantoms that already lie on the device. Every time begins and ends with an idle device, after a
warm-up; the result holds medians and quartiles in images a second.

- Synthesis: `BatchLungOpacity` draws, renders and returns a batch: with eager steps, with compiled steps, and from
  several threads, so that one batch is drawn while another is rendered. Time of the draw alone stands beside it.
  The images are compared with those of `LungOpacity` on the CPU, record by record.
- Detection: the network on prepared films, and the whole detector on films. TF32, bfloat16 and float16 are compared
  with 32 bits: throughput, differences of scores and heatmaps, films that are judged otherwise.
- Training: steps of the detector's training, forward, backward and AdamW, in the same precisions.

``--device cpu --quick --out FILE`` runs everything with tiny sizes, to see that it runs. Its figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from artasyn import BatchLungOpacity, Detector, LungOpacity, Phantom
from artasyn.arrays import Image, generator
from artasyn.detection.examination import Detection, Maps, Squares
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.settings import DetectorSettings
from artasyn.errors import NothingShows
from artasyn.segment import Lungs
from artasyn.synthesis import Anomalies
from artasyn.training.module import ReconstructionTraining
from artasyn.training.samples import Sample

RESULT = Path(__file__).parent / "results" / "speed_gpu.json"
SIZE = 256
TARGET = 100_000
"""Images a second of `BatchLungOpacity` that a GPU of the class of an H100 should reach."""

PACKAGES = ("artasyn", "numpy", "opencv-python-headless", "torch", "timm")
PRECISIONS: dict[str, tuple[bool, torch.dtype | None]] = {
    "32 bits": (False, None),
    "TF32": (True, None),
    "bfloat16": (True, torch.bfloat16),
    "float16": (True, torch.float16),
}
"""Whether TF32 is allowed, and the type of autocast. The first one is what the others are compared with."""

Rates = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        chests: different phantoms; batches repeat them.
        batches: numbers of films in a batch of the synthesis.
        compare: films of the largest batch that are compared with the CPU's.
        threads: numbers of threads that make batches at the same time.
        network: films in a batch of the network.
        detected: films whose scores are compared.
        training: films in a step of the training.
        repeats: of every measurement.
        compiled: whether steps are compiled.
    """

    chests: int = 16
    batches: tuple[int, ...] = (256, 1024, 4096)
    compare: int = 1024
    threads: tuple[int, ...] = (2, 4)
    network: int = 256
    detected: int = 64
    training: int = 256
    repeats: int = 25
    compiled: bool = True


QUICK = Plan(
    chests=2, batches=(4,), compare=4, threads=(2,), network=2, detected=4, training=2, repeats=3, compiled=False
)


@dataclass(frozen=True)
class Clock:
    """Measures work on a device.

    Attributes:
        device: a device of torch.
        repeats: of every measurement.
    """

    device: torch.device
    repeats: int

    def wait(self) -> None:
        """Waits until the device is idle."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable[[int], object], *, warm: int = 3) -> list[float]:
        """The time of each call, from an idle device to an idle device; calls are numbered."""
        times = []
        for number in range(warm + self.repeats):
            self.wait()
            start = time.perf_counter()
            call(number)
            self.wait()
            times.append(time.perf_counter() - start)
        return times[warm:]

    def rates(self, call: Callable[[int], object], images: int, *, warm: int = 3) -> Rates:
        """Images a second."""
        return rates(self.seconds(call, warm=warm), images)


def rates(times: Sequence[float], images: int) -> Rates:
    """Median and quartiles of images a second, from the times of calls with this many images."""
    low, middle, high = statistics.quantiles([images / each for each in times], n=4)
    return {"median": round(middle, 1), "q1": round(low, 1), "q3": round(high, 1)}


def phantoms(plan: Plan) -> tuple[list[Image], list[Lungs]]:
    """Phantoms and their lungs."""
    chests = [Phantom(size=SIZE)(seed) for seed in tqdm(range(plan.chests), unit="phantom")]
    return [chest.image for chest in chests], [chest.lungs for chest in chests]


def repeated(arrays: Sequence[Any], count: int, device: torch.device) -> Tensor:
    """A batch (count, 1, h, w) on a device that repeats arrays (h, w)."""
    whole = torch.stack([torch.from_numpy(np.asarray(array))[None] for array in arrays]).to(device)
    return whole[torch.arange(count, device=device) % len(arrays)].contiguous()


def synthesis(images: list[Image], lungs: list[Lungs], plan: Plan, clock: Clock) -> dict[str, Any]:
    """Images a second of every way to make anomalies, and the agreement with the CPU."""
    ways: dict[str, Rates] = {}
    draws: dict[str, Rates] = {}
    eager = BatchLungOpacity(at_once=True).to(clock.device)
    for count in tqdm(plan.batches, unit="size of batches"):
        batch = (repeated(images, count, clock.device), repeated([each.labels for each in lungs], count, clock.device))
        draws[f"{count}"] = clock.rates(partial(drawn, eager.opacity, np.ones((count, 2), bool)), count)
        modules = {"eager": eager}
        if plan.compiled:  # each size has its own compiled steps
            modules["compiled"] = BatchLungOpacity(at_once=True).to(clock.device)
            modules["compiled"].compile()
        for name, module in modules.items():
            ways[f"{name}, batches of {count}"] = clock.rates(partial(once, module, batch), count)
        for threads in plan.threads:  # with the last module, which is the compiled one
            with ThreadPoolExecutor(threads) as pool:
                way = clock.rates(partial(together, pool, 2 * threads, module, batch), 2 * threads * count)
            ways[f"{name}, batches of {count}, {threads} threads"] = way
    best = max(ways, key=lambda name: ways[name]["median"])
    return {
        "target": TARGET,
        "best": best,
        "reached": ways[best]["median"] >= TARGET,
        "images_per_second": ways,
        "draws_per_second": draws,
        "agreement": {
            name: agreement(images, lungs, module(*batch, generator(0)), plan.compare)
            for name, module in modules.items()
        },
    }


def drawn(opacity: LungOpacity, present: Any, number: int) -> None:
    """Draws a batch and renders nothing."""
    opacity.draw_batch(present, generator(number))


def once(module: BatchLungOpacity, batch: tuple[Tensor, Tensor], *number: int) -> None:
    """Makes the anomalies of a batch; every number has its own."""
    module(*batch, generator(*number))


def together(pool: Executor, count: int, module: BatchLungOpacity, batch: tuple[Tensor, Tensor], number: int) -> None:
    """Makes the anomalies of several batches in the threads of a pool."""
    list(pool.map(partial(once, module, batch, number), range(count)))


def agreement(images: list[Image], lungs: list[Lungs], made: Anomalies, count: int) -> dict[str, Any]:
    """How far images of a device are from those that `LungOpacity` makes of the same records on the CPU."""
    largest, different, other = 0.0, 0, 0
    for number, record in enumerate(made.records[:count]):
        image = images[number % len(images)]
        try:
            one = LungOpacity().render(image, lungs[number % len(images)], record)
            expected, mask = one.image, one.mask
        except NothingShows:
            expected, mask = image, np.zeros(image.shape, bool)
        difference = np.abs(made.images[number, 0].cpu().numpy() - expected)
        largest = max(largest, float(difference.max()))
        different += int((difference > 1e-4).sum())
        other += int((made.masks[number, 0].cpu().numpy() != mask).sum())
    pixels = count * SIZE * SIZE
    return {
        "films": count,
        "largest_difference": round(largest, 7),
        "within_1_255": largest <= 1 / 255 + 1e-5,  # a pixel that just misses the tolerance stays as it is
        "pixels_beyond_0.0001": different / pixels,
        "mask_pixels_that_differ": other / pixels,
    }


@contextlib.contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Computes in a precision of `PRECISIONS`."""
    tf32, dtype = PRECISIONS[name]
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


class Rounded:
    """A detector's network that runs in a precision; for `Detector`.

    Args:
        network: the network.
        name: the precision.
    """

    def __init__(self, network: DetectorNetwork, name: str) -> None:
        self.network, self.name = network, name
        self.settings, self.digest = network.settings, f"{network.digest}-{name}"

    def maps(self, images: Squares) -> Maps:
        """Runs the network in the precision and returns 32 bits."""
        device = self.network.device
        with torch.inference_mode(), precision(self.name, device):
            found = self.network(torch.from_numpy(images).to(device))
        return Maps(*(each.float().cpu().numpy() for each in found))


def precisions(device: torch.device) -> list[str]:
    """The precisions of a device; TF32 and float16 are for GPUs."""
    return list(PRECISIONS) if device.type == "cuda" else ["32 bits", "bfloat16"]


def detection(images: list[Image], lungs: list[Lungs], plan: Plan, clock: Clock) -> dict[str, Any]:
    """Throughput of network and detector in every precision, and what a precision costs in scores."""
    network = DetectorNetwork.from_pretrained().to(clock.device)
    size = network.settings.size
    squares = torch.rand((plan.network, 1, size, size), generator=torch.Generator().manual_seed(0)).to(clock.device)
    films = list(images)
    for number in range(len(images), plan.detected):
        chest = number % len(images)
        films.append(LungOpacity()(images[chest], lungs[chest], generator(0, number)).image)
    found: dict[str, list[Detection]] = {}
    result: dict[str, Any] = {}
    for name in tqdm(precisions(clock.device), unit="precision"):
        detector = Detector(Rounded(network, name))
        found[name] = detector(films)
        whole = replace(clock, repeats=min(5, clock.repeats))
        result[name] = {
            "network_images_per_second": clock.rates(partial(looked, network, squares, name), plan.network),
            "detector_images_per_second": whole.rates(partial(examined, detector, films), len(films), warm=1),
            "beside_32_bits": beside(found["32 bits"], found[name]),
        }
    return {"model": network.digest, "size": size, "batch": plan.network, "films": len(films), "precisions": result}


def looked(network: DetectorNetwork, squares: Tensor, name: str, _: int) -> None:
    """Runs the network alone in a precision."""
    with torch.inference_mode(), precision(name, squares.device):
        network(squares)


def examined(detector: Detector, films: list[Image], _: int) -> None:
    """Runs the whole detector."""
    detector(films)


def beside(exact: Sequence[Detection], rounded: Sequence[Detection]) -> dict[str, float]:
    """Differences between detections of the same films."""
    apart = [abs(one.score - other.score) for one, other in zip(exact, rounded, strict=True)]
    maps = [float(np.abs(one.heatmap - other.heatmap).max()) for one, other in zip(exact, rounded, strict=True)]
    judged = sum(one.abnormal != other.abnormal for one, other in zip(exact, rounded, strict=True))
    return {
        "score_median": round(statistics.median(apart), 6),
        "score_largest": round(max(apart), 6),
        "heatmap_largest": round(max(maps), 6),
        "judged_otherwise": judged,
    }


def training(images: list[Image], lungs: list[Lungs], plan: Plan, clock: Clock) -> dict[str, Any]:
    """Images a second of training steps in every precision, and the loss after all steps."""
    size = DetectorSettings().size
    made = [
        LungOpacity()(image, found, generator(1, n)) for n, (image, found) in enumerate(zip(images, lungs, strict=True))
    ]
    arrays = ([one.image for one in made], images, [one.mask for one in made], [found.mask for found in lungs])
    image, normal, mask, region = (
        repeated([small(each, size) for each in one], plan.training, clock.device) for one in arrays
    )
    group = torch.zeros(plan.training, dtype=torch.int64, device=clock.device)
    sample: Sample = {"image": image, "normal": normal, "mask": mask.round(), "lungs": region, "group": group}
    result = {}
    for name in tqdm(precisions(clock.device), unit="precision"):
        step = steps(sample, name, clock.device)
        speed = clock.rates(step, plan.training)
        result[name] = {"images_per_second": speed, "last_loss": round(float(step(0)), 4)}
    return {"size": size, "batch": plan.training, "precisions": result}


def small(array: Any, size: int) -> Any:
    """An array (h, w) on a smaller square grid, in [0, 1]."""
    return cv2.resize(array.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA).clip(0, 1)


def steps(sample: Sample, name: str, device: torch.device) -> Callable[[int], Tensor]:
    """A function that makes one training step in a precision and returns the loss before it; every call trains on."""
    torch.manual_seed(0)
    module = ReconstructionTraining(DetectorNetwork()).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=module.learning_rate)
    scaler = torch.amp.GradScaler(device.type, enabled=PRECISIONS[name][1] == torch.float16)

    def step(_: int) -> Tensor:
        optimizer.zero_grad()
        with precision(name, device):
            total = module.losses(sample)["total"]
        torch.autograd.backward(scaler.scale(total))
        scaler.step(optimizer)
        scaler.update()
        return total.detach()

    return step


def machine(device: torch.device) -> dict[str, Any]:
    """The machine and the versions that the figures were measured on."""
    found: dict[str, Any] = {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "device": "cpu",
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        found |= {"device": gpu.name, "memory_gb": round(gpu.total_memory / 1e9, 1), "cuda": torch.version.cuda}
    return found


def measured(plan: Plan, device: torch.device) -> dict[str, Any]:
    """Everything that is measured."""
    begun = time.perf_counter()
    clock = Clock(device, plan.repeats)
    images, lungs = phantoms(plan)
    result: dict[str, Any] = {"machine": machine(device), "films": plan.chests, "size": SIZE, "repeats": plan.repeats}
    for part in (synthesis, detection, training):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        result[part.__name__] = part(images, lungs, plan, clock)
        if device.type == "cuda":
            result[part.__name__]["most_memory_gb"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
    return result | {"minutes": round((time.perf_counter() - begun) / 60, 1)}


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", default="cuda", help="a device of torch")
    options.add_argument("--quick", action="store_true", help="tiny sizes, to see that the program runs")
    options.add_argument("--out", type=Path, help=f"default on a GPU: {RESULT.name} in results/")
    given = options.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        options.error("torch finds no GPU here; --device cpu --quick --out FILE runs the program with tiny sizes")
    if given.out is None and (device.type != "cuda" or given.quick):
        options.error(f"name a file with --out; {RESULT.name} in results/ is for the figures of a GPU")
    result = measured(QUICK if given.quick else Plan(compiled=device.type == "cuda"), device)
    out = given.out or RESULT
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), out, sep="\n")


if __name__ == "__main__":
    main()
