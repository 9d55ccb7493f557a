"""Trains the sampler of shapes that ships: ``python -m benchmarks.train_shapes OUT``.

The flow learns first from lesions put into CTs, whose projections are exact, then from these and from what readers drew
on the films of `lesions`, half of each in a batch. A lesion is turned, scaled and moved, and half of the time shown in
another patient's lung. Half of the examples do not tell the size. The weights are a running mean.

A run that was cut off goes on from its last checkpoint with the same command. Writes OUT/model.
"""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from artasyn.arrays import generator
from artasyn.synthesis.diffusion.shapes import Code, Distances, ShapeSampler, ShapeSettings, code_of, signed
from benchmarks.rivals.lesion_shapes import SIDE, Shape, binary, ct_shapes, read_drawn

ROOT = Path(__file__).parent.parent
BATCH = 48
LEARNING_RATE = 1e-3
STEPS = 1500
UNSAID = 0.5
"""Share of examples that do not tell the size."""
ELSEWHERE = 0.5
"""Share of examples whose lesion comes from another lung."""
VIEWS, LESIONS = 10, 24
"""Views of each CT, and lesions in each view."""
MADE = {"ct": 12000, "films": 8000}
"""Examples that are made before the training."""
SAVED = 250
"""Steps from one checkpoint to the next."""


def moved(lesion: Distances, lung: Distances, rng: np.random.Generator, most: float) -> Distances:
    """A lesion turned, scaled and moved within a lung; with `most` 0 it stays as it is."""
    wide = 0.15 * most
    middle = (SIDE / 2, SIDE / 2)
    turn = cv2.getRotationMatrix2D(middle, rng.uniform(-12, 12) * most, rng.uniform(1 - wide, 1 + wide))
    turn[:, 2] = turn[:, 2] + rng.uniform(-2.5, 2.5, 2) * most
    warped = cv2.warpAffine(lesion, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return signed(binary(np.asarray(warped, np.float32), lung))


def example(shapes: Sequence[Shape], rng: np.random.Generator) -> tuple[Distances, Distances, Code]:
    """A lesion, a lung and a code; the patients are as likely as each other."""
    patients = sorted({shape.patient for shape in shapes})
    patient = patients[int(rng.integers(len(patients)))]
    of = [shape for shape in shapes if shape.patient == patient]
    shape = of[int(rng.integers(len(of)))]
    lung = shapes[int(rng.integers(len(shapes)))].lung if rng.uniform() < ELSEWHERE else shape.lung
    lesion = moved(shape.lesion, lung, rng, 1.0)
    made = Shape(lung, lesion, shape.kind, patient)
    return lesion, lung, code_of(shape.kind, None if rng.uniform() < UNSAID else made.size)


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples that are made once, before a training."""

    lesion: Tensor
    lung: Tensor
    code: Tensor

    @classmethod
    def of(cls, shapes: Sequence[Shape], count: int, seed: int) -> Examples:
        """Makes as many examples."""
        made = [example(shapes, generator(seed, at)) for at in range(count)]
        lesion, lung, code = (torch.from_numpy(np.stack(each)) for each in zip(*made, strict=True))
        return cls(lesion[:, None], lung[:, None], code)


def kept(file: Path, make: Callable[[], Any]) -> Any:
    """A value that is made once and read from its own file afterwards."""
    if not file.exists():
        value = make()
        file.with_suffix(".part").write_bytes(pickle.dumps(value))
        file.with_suffix(".part").replace(file)
    return pickle.loads(file.read_bytes())


def loss_of(sampler: ShapeSampler, sources: Sequence[Examples]) -> Tensor:
    """The squared error of the velocity at random noise levels, on equal parts of the sources."""
    picks = [torch.randint(len(each.lesion), (BATCH // len(sources),)) for each in sources]
    lesion, lung, code = (
        torch.cat([getattr(each, name)[pick] for each, pick in zip(sources, picks, strict=True)])
        for name in ("lesion", "lung", "code")
    )
    noise, level = torch.randn_like(lesion), torch.rand(len(lesion))
    state = lesion + level[:, None, None, None] * (noise - lesion)
    return ((sampler.velocity(state, lung, code, level) - (noise - lesion)) ** 2).mean()


def train(sampler: ShapeSampler, sources: Sequence[Examples], steps: int, seed: int, file: Path) -> ShapeSampler:
    """Trains and averages the weights; a finished file is read, and a checkpoint goes on."""
    network = sampler.network
    if file.exists():
        network.load_state_dict(torch.load(file, weights_only=True))
        return sampler
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps, pct_start=0.1)
    average = EMAModel(network.parameters(), decay=0.995)
    parts = {"network": network, "optimiser": optimiser, "schedule": schedule, "average": average}
    checkpoint, done, mean = file.with_suffix(".checkpoint"), 0, 1.0
    if checkpoint.exists():
        held = torch.load(checkpoint, weights_only=False)
        for name, part in parts.items():
            part.load_state_dict(held[name])  # type: ignore[attr-defined]
        done, mean = held["done"], held["mean"]
    for step in range(done, steps):
        torch.manual_seed(1_000_003 * seed + step)
        loss = loss_of(sampler, sources)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.step(network.parameters())
        mean += 0.02 * (loss.item() - mean)
        if (step + 1) % SAVED == 0:
            print(f"{file.stem}: step {step + 1} of {steps}, loss {mean:.4f}", flush=True)
            state = {name: part.state_dict() for name, part in parts.items()}  # type: ignore[attr-defined]
            _save(state | {"done": step + 1, "mean": mean}, checkpoint)
    average.copy_to(network.parameters())
    network.eval()
    _save(network.state_dict(), file)
    return sampler


def _save(state: Any, file: Path) -> None:
    partial = file.with_name("partial.pt")
    torch.save(state, partial)
    partial.replace(file)


def flow_of(data: Path, work: Path, name: str, drawn: Sequence[Shape], steps: int = STEPS) -> ShapeSampler:
    """A flow that has seen lesions put into CTs, and these drawn shapes."""
    from_ct = kept(work / "ct.pickle", lambda: Examples.of(ct_shapes(data, VIEWS, LESIONS), MADE["ct"], 0))
    settings = ShapeSettings()
    flow = train(ShapeSampler.untrained(settings), [from_ct], steps, 0, work / f"ct-{steps}.pt")
    from_films = kept(work / f"{name}.pickle", lambda: Examples.of(drawn, MADE["films"], 1))
    return train(flow, [from_ct, from_films], steps, 1, work / f"{name}-{steps}.pt")


def main() -> None:
    """Trains and writes OUT/model."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("out", type=Path, help="folder of the run")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--steps", type=int, default=STEPS, help="training steps, on CTs and again on films")
    given = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    drawn = [shape for film in read_drawn(given.data) for shape in film.shapes]
    flow_of(given.data, given.out, "all", drawn, given.steps).save(given.out / "model")
    print(given.out / "model")


if __name__ == "__main__":
    main()
