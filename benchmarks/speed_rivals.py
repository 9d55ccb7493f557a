"""artasyn beside others in one run, on one core: ``python -m benchmarks.speed_rivals``.

- Anomalies: `LungOpacity` and its batches beside the published synthesis, CutPaste, NSA, AnatPaste, DRAEM and the three
  tasks of MediCLIP, each rebuilt from its paper, on NIH's normal films, square, at 256 and 1024 pixels.
- Projections of a real CT: beside plastimatch, DiffDRR and nanodrr, with the same rays and the same detector.
- Lungs: PBTSeg beside a U-Net and torchxrayvision's PSPNet, both with random weights.

All ways of a comparison take turns in every round. Reading, resizing and preparations that are done once for a film or
a volume are not timed. A program that is not installed is left out, and the result says why: ``pip install ".[peers]"``
brings them. Compare the ratios of one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artasyn.arrays import Image, generator
from artasyn.files.radiograph import read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.projection import project, rays_of
from artasyn.segment.projection.view import View
from artasyn.synthesis import BatchLungOpacity, LungOpacity
from benchmarks.rivals import mediclip
from benchmarks.rivals.anomaly_peers import AnomalyMaker, anat_paste, cut_paste, draem, natural_synthetic_anomaly
from benchmarks.rivals.drr_peers import DiffDRR, Geometry, NanoDRR, Plastimatch, attenuation
from benchmarks.rivals.lung_networks import pspnet, unet
from benchmarks.rivals.published_synthesis import SIZE, published_synthesis
from benchmarks.score_lungs import ROOT
from benchmarks.speed_lungs import resized
from benchmarks.turns import Seconds, Way, beside, in_turns, one_core

PARTS = ("synthesis", "projection", "lungs")
SIZES = (256, 1024)
"""Pixels of a side of the films with anomalies."""
LUNG_SIZES = (256, 512)
PSPNET_SIZE = 512
"""The only size that torchxrayvision's network takes."""
DETECTOR = (256, 256)
VIEWS = {"pa": 0.0, "45 degrees": 45.0}
WITH_THICKNESS = ("DiffDRR, trilinear", "nanodrr")
"""Programs whose masks are timed; plastimatch has none, and DiffDRR's exact renderer takes as long as its image."""
OURS = {"synthesis": "LungOpacity", "projection": "artasyn", "lungs": "PBTSeg"}
PACKAGES = (
    *("artasyn", "numpy", "opencv-python-headless", "torch", "pillow"),
    *("plastimatch", "diffdrr", "nanodrr", "torchxrayvision", "monai"),
)
MAKERS: dict[str, AnomalyMaker] = {
    "CutPaste": cut_paste,
    "NSA": natural_synthetic_anomaly,
    "AnatPaste": anat_paste,
    "DRAEM": draem,
    **{f"MediCLIP, {name}": task for name, task in mediclip.TASKS.items()},
}
Film = tuple[Image, Lungs]
Missing = dict[str, str]


def made_by(maker: AnomalyMaker, films: Sequence[Film]) -> Way:
    """A way that puts an anomaly into one film after the other; the next film gives the patches."""

    def call(number: int) -> object:
        donor = films[(number + 1) % len(films)]
        return maker(*films[number % len(films)], *donor, generator(0, number))

    return Way(call)


def anomaly_ways(films: Sequence[Film]) -> dict[str, Way]:
    """Every way to make an anomaly on films of one size."""
    images = torch.stack([torch.from_numpy(image)[None] for image, _ in films])
    lungs = torch.stack([torch.from_numpy(found.labels)[None] for _, found in films])
    opacity, batch, at_once = LungOpacity(), BatchLungOpacity(), BatchLungOpacity(at_once=True)
    ways = {
        "LungOpacity": Way(lambda number: opacity(*films[number % len(films)], generator(0, number))),
        "BatchLungOpacity": Way(lambda number: batch(images, lungs, generator(0, number)), len(films)),
        "BatchLungOpacity, at once": Way(lambda number: at_once(images, lungs, generator(0, number)), len(films)),
    }
    if images.shape[-1] == SIZE:
        ways["as published"] = Way(
            lambda number: published_synthesis(*films[number % len(films)], generator(0, number))
        )
    return ways | {name: made_by(maker, films) for name, maker in MAKERS.items()}


def synthesis_times(data: Path, rounds: int, seconds: float, missing: Missing) -> dict[str, Any]:
    """Times of anomalies, lungs given, by size."""
    files = sorted((data / "nih_normal").iterdir())[::18]
    originals = [read_radiograph(file) for file in files]
    pairs = [(image, found) for image in originals if (found := PBTSeg()(image)).found]
    missing[f"as published, {SIZES[-1]} px"] = f"The published synthesis is made for {SIZE} px."
    result: dict[str, Any] = {}
    for size in SIZES:
        films = [(resized(image, size), lungs.resized((size, size))) for image, lungs in pairs]
        calls = max(3, rounds * SIZE // size)
        times = in_turns(anomaly_ways(films), calls, seconds=seconds, warm_up=2, name=f"anomalies, {size} px")
        result[f"{size} px"] = {"films": len(films), **beside(times, OURS["synthesis"])}
    return result


def projectors(volume: Volume, missing: Missing) -> dict[str, Any]:
    """The other programs, prepared for a volume; the reason why one is missing."""
    mu = attenuation(volume.hu)
    labels = np.zeros(volume.hu.shape, np.uint8)
    for number, structure in enumerate(volume.structures.values(), 1):
        labels[structure.box][structure.mask] = number
    ways: dict[str, Callable[[], Any]] = {
        "plastimatch, exact": lambda: Plastimatch(mu, volume.affine, threads=1),
        "DiffDRR, trilinear": lambda: DiffDRR(mu, volume.affine, labels),
        "DiffDRR, siddon": lambda: DiffDRR(mu, volume.affine, labels, renderer="siddon"),
        "nanodrr": lambda: NanoDRR(mu, volume.affine, labels),
    }
    return present(ways, missing)


def present(ways: dict[str, Callable[[], Any]], missing: Missing) -> dict[str, Any]:
    """Makes what can be made; notes the reasons of the others."""
    found = {}
    for name, way in ways.items():
        try:
            found[name] = way()
        except ImportError as error:
            missing[name] = str(error)
    return found


@dataclass
class Kept:
    """A call that keeps its last image, to compare it with the others'.

    Attributes:
        make: makes the image.
        clock: the program whose own clock counts.
    """

    make: Callable[[], Any]
    clock: Plastimatch | None = None
    image: Any = field(default=None, init=False)

    def __call__(self, number: int) -> Seconds | None:
        """Makes the image; gives the time by the program's own clock if there is one."""
        self.image = self.make()
        return None if self.clock is None else Seconds(self.clock.seconds)


def projection_times(data: Path, rounds: int, seconds: float, missing: Missing) -> dict[str, Any]:
    """Times of views of a real CT, image alone and with the thickness of every structure, and the images' agreement.

    plastimatch's time is its own, which leaves out the start of the program and the reading of the volume.
    """
    files = [data / "ct" / name for name in ("lidc_0001.nii.gz", "lidc_0001_labels.nii.gz", "structures.csv")]
    volume = Volume.read(*files)
    others = projectors(volume, missing)
    result: dict[str, Any] = {"voxels": list(volume.hu.shape), "structures": len(volume.structures), "views": {}}
    for name, angle in VIEWS.items():
        view = View(angle, size=DETECTOR)
        exposure = rays_of(volume, view).exposure
        geometry = Geometry(exposure.source, exposure.corner, exposure.row, exposure.column)
        images = {OURS["projection"]: Kept(lambda view=view: project(volume, view, structures=()).attenuation)}  # type: ignore[misc]
        thickness = {OURS["projection"]: partial(project, volume, view)}
        for who, program in others.items():
            clock = program if isinstance(program, Plastimatch) else None
            images[who] = Kept(partial(program, geometry, DETECTOR), clock)
            if who in WITH_THICKNESS:
                thickness[who] = partial(program.masks, geometry, DETECTOR)
        times = in_turns({who: Way(each) for who, each in images.items()}, rounds, seconds=seconds, name=name)
        found = beside(times, OURS["projection"])
        ours = images[OURS["projection"]].image
        for who, each in images.items():
            found[who]["correlation"] = round(float(np.corrcoef(each.image[ours > 0], ours[ours > 0])[0, 1]), 5)
        ways = {who: Way(lambda number, each=each: each()) for who, each in thickness.items()}  # type: ignore[misc]
        times = in_turns(ways, rounds, seconds=seconds, name=f"{name}, thickness")
        result["views"][name] = {"image": found, "image and thickness": beside(times, OURS["projection"])}
    return result


def lung_times(data: Path, rounds: int, seconds: float, missing: Missing) -> dict[str, Any]:
    """Times of lungs on films of two sizes."""
    films = [read_radiograph(file) for file in sorted((data / "nih_normal").iterdir())[::18]]
    networks = present({"U-Net": unet, "PSPNet of torchxrayvision": pspnet}, missing)
    result: dict[str, Any] = {"weights_millions": {name: weights for name, (_, weights) in networks.items()}}
    for size in LUNG_SIZES:
        small = [resized(film, size) for film in films]
        finders: dict[str, Callable[[Image], object]] = {OURS["lungs"]: PBTSeg()}
        finders |= {name: net for name, (net, _) in networks.items() if size == PSPNET_SIZE or "PSPNet" not in name}
        ways = {
            name: Way(lambda number, find=find, small=small: find(small[number % len(small)]))  # type: ignore[misc]
            for name, find in finders.items()
        }
        times = in_turns(ways, rounds, seconds=seconds, name=f"lungs, {size} px")
        result[f"{size} px"] = beside(times, OURS["lungs"])
    return result


def installed() -> dict[str, str]:
    """The versions of the packages that are here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs and of a real CT")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is compared")
    options.add_argument("--rounds", type=int, default=60, help="turns of every way, where they are short")
    options.add_argument("--seconds", type=float, default=4.0, help="a way that has taken so long rests")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed_rivals.json")
    given = options.parse_args()
    one_core()
    torch.manual_seed(0)
    parts = {"synthesis": synthesis_times, "projection": projection_times, "lungs": lung_times}
    missing: Missing = {}
    start = time.perf_counter()
    measured = {name: parts[name](given.data, given.rounds, given.seconds, missing) for name in given.parts}
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "cores": 1,
            "packages": installed(),
        },
        "rounds": given.rounds,
        "minutes": round((time.perf_counter() - start) / 60, 1),
        **measured,
        "missing": missing,
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), given.out, sep="\n")


if __name__ == "__main__":
    main()
