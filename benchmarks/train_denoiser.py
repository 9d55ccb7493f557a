"""Trains the residual flow on pairs of films: ``python -m benchmarks.train_denoiser OUT --pairs films ct``.

A run that was cut off goes on from its last checkpoint with the same command. The pairs are cached in OUT/pairs.pt.

In every step films are mirrored, turned, scaled and moved. The physics is fitted anew: a smooth shape of the mask, with
a border and with clouds as `LungOpacity` draws them. The flow learns the gain that leads from there to the real
attenuation. It is weighted by the square of the physics' attenuation: where little is added, the gain is not known.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from artasyn.arrays import generator
from artasyn.files.radiograph import read_mask
from artasyn.synthesis.diffusion.denoiser import Cells, Denoiser, DenoiserSettings, grains, standard
from artasyn.synthesis.textures import texture
from benchmarks.rivals.generation_pairs import (
    EDGES,
    SIDE,
    Example,
    Half,
    ct_pairs,
    film_pairs,
    half,
    severity,
    soft_shape,
    step_of,
)
from benchmarks.rivals.realism import read_film, small

ROOT = Path(__file__).parent.parent
BATCH = 8
LEARNING_RATE = 1e-3
CLOUDS = 4
"""Textures of the bank that are clouds."""
OUTSIDE = 0.1
"""Weight of cells outside the lesion, where the gain is 1."""


def moved(example: Example, rng: np.random.Generator) -> Example:
    """A pair mirrored, turned, scaled and moved."""
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(-8, 8), rng.uniform(0.88, 1.12))
    turn = np.column_stack([turn[:, :2], turn[:, 2] + rng.uniform(-3, 3, 2)])
    flip = 1 if rng.uniform() < 0.5 else -1

    def warp(cells: Cells, border: int) -> Cells:
        warped = cv2.warpAffine(cells[:, ::flip].copy(), turn, (SIDE, SIDE), borderMode=border)
        return np.asarray(warped, np.float32)

    return replace(
        example,
        normal=warp(example.normal, cv2.BORDER_REPLICATE),
        added=warp(example.added, cv2.BORDER_CONSTANT),
        mask=warp(example.mask, cv2.BORDER_CONSTANT),
        air=warp(example.air, cv2.BORDER_REPLICATE),
    )


def clouds(rng: np.random.Generator) -> Cells:
    """Clouds of mean 0 and deviation 1 in cells, from the bank that `LungOpacity` draws from."""
    bank = texture(int(rng.integers(CLOUDS)))
    side = 128
    row, column = rng.integers(len(bank) - side, size=2)
    piece = cv2.resize(bank[row : row + side, column : column + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray((piece - piece.mean()) / max(float(piece.std()), 1e-3), np.float32)


def misfit(added: Cells, physics: Cells) -> float:
    """What the physics leaves of the attenuation at its best severity."""
    return float(((added - severity(added, physics) * physics) ** 2).sum())


def example_tensors(example: Example, settings: DenoiserSettings, rng: np.random.Generator) -> list[Cells]:
    """Conditions (2 cells), the gain less 1, and the weight of every cell."""
    pair = moved(example, rng)
    step = step_of(pair.normal)
    shapes = [soft_shape(pair.mask, edge * rng.uniform(0.8, 1.25)) for edge in EDGES]
    shape = min(shapes, key=lambda one: misfit(pair.added, one * step))
    shape = shape * np.clip(1 + rng.uniform(0, 0.3) * clouds(rng), 0.05, None)
    physics = shape * step
    physics = physics * severity(pair.added, physics)
    peak = max(float(physics.max()), 1e-3)
    weight = (physics / peak) ** 2
    gain = pair.added / np.maximum(physics, 0.05 * peak) - 1
    gain = np.where(physics > 0.05 * peak, gain, 0)
    gain = np.clip(gain - (gain * physics).sum() / max(float(physics.sum()), 1e-3), -settings.limit, settings.limit)
    gain *= pair.honest
    strong = min(1.0, peak / 0.15)  # a faint lesion is mostly anatomy that the healthy half missed
    known = [standard(pair.normal, pair.air), shape / max(float(shape.max()), 1e-3)]
    return [np.asarray(each, np.float32) for each in (*known, gain, strong * weight + OUTSIDE * (shape == 0))]


def batch_of(pairs: list[Example], settings: DenoiserSettings, rng: np.random.Generator) -> list[Tensor]:
    """A batch of conditions, gains and weights."""
    patients = sorted({pair.patient for pair in pairs})
    made = []
    for _ in range(BATCH):
        patient = patients[int(rng.integers(len(patients)))]
        of = [pair for pair in pairs if pair.patient == patient]
        made.append(np.stack(example_tensors(of[int(rng.integers(len(of)))], settings, rng)))
    whole = torch.from_numpy(np.stack(made))
    return [whole[:, :2], whole[:, 2:3], whole[:, 3:]]


def loss_of(denoiser: Denoiser, batch: list[Tensor], rng: np.random.Generator) -> Tensor:
    """The weighted squared error of the velocity at random noise levels."""
    known, gain, weight = batch
    start = torch.from_numpy(np.float32(denoiser.settings.noise) * grains(denoiser.settings, rng, len(gain)))
    level = torch.from_numpy(rng.beta(1.2, 1.0, len(gain)).astype(np.float32))
    state = gain + level[:, None, None, None] * (start - gain)
    error = (denoiser.velocity(state, known, level) - (start - gain)) ** 2
    return (weight * error).sum() / weight.sum()


def read_pairs(
    data: Path, kinds: list[str], out: Path, left_out: int | None = None, folds: int = 4, honest: float = 1.0
) -> list[Example]:
    """The pairs of the kinds asked for, without the patients of a fold; cached."""
    cache = out / "pairs.pt"
    if cache.exists():
        found: list[Example] = torch.load(cache, weights_only=False)
        return found
    pairs: list[Example] = []
    if "films" in kinds:
        pairs += film_pairs(lesion_halves(data, left_out, folds), normal_halves(data), honest)
    if "ct" in kinds:
        pairs += ct_pairs(data, 12, 10)
    torch.save(pairs, cache)
    return pairs


def normal_halves(data: Path) -> list[Half]:
    """Normal films of NIH and JSRT in cells."""
    films = [read_film(file) for file in sorted((data / "nih_normal").iterdir())]
    jsrt = data / "lung_masks" / "jsrt"
    for file in sorted((jsrt / "images").iterdir()):
        films.append(read_film(file, jsrt / "lungs" / f"{file.stem}.png"))
    return [half(film) for film in films if film.lungs.found]


def patient_of(name: str) -> str:
    """The patient of a film of `lesions`: films of a series differ in their last words."""
    for series in ("covid-19-rapidly-progressive-acute", "SARS-10.1148rg.242035193-g04mr34g0-Fig8", "legionella"):
        if name.startswith(series):
            return series
    return name


def fold_of(patient: str, folds: int) -> int:
    """The fold of a patient."""
    return sum(patient.encode()) % folds


def lesion_halves(data: Path, left_out: int | None = None, folds: int = 4) -> list[Half]:
    """The films of `lesions` in cells, without the patients of a fold."""
    found = []
    for file in sorted((data / "lesions" / "images").iterdir()):
        patient = patient_of(file.stem)
        if left_out is not None and fold_of(patient, folds) == left_out:
            continue
        film = read_film(file, data / "lesions" / "lungs" / f"{file.stem}.png")
        found.append(half(film, small(read_mask(data / "lesions" / "masks" / f"{file.stem}.png")), patient))
    return found


def train(pairs: list[Example], settings: DenoiserSettings, out: Path, steps: int, seed: int) -> Denoiser:
    """Trains, or goes on from OUT/checkpoint.pt; returns the denoiser with averaged weights."""
    denoiser = Denoiser.untrained(settings, seed)
    network = denoiser.network.train()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps, pct_start=0.1)
    average = EMAModel(network.parameters(), decay=0.995)
    checkpoint, done, mean = out / "checkpoint.pt", 0, 1.0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=False)
        network.load_state_dict(kept["network"])
        optimiser.load_state_dict(kept["optimiser"])
        schedule.load_state_dict(kept["schedule"])
        average.load_state_dict(kept["average"])
        done, mean = kept["done"], kept["mean"]
    start = time.monotonic()
    for step in range(done, steps):
        rng = generator(seed, step)
        loss = loss_of(denoiser, batch_of(pairs, settings, rng), rng)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.step(network.parameters())
        mean += 0.02 * (loss.item() - mean)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(f"step {step + 1}: loss {mean:.4f}, {time.monotonic() - start:.0f} s", flush=True)
            state = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
            state |= {"schedule": schedule.state_dict(), "average": average.state_dict()}
            torch.save(state | {"done": step + 1, "mean": mean}, out / "partial.pt")
            (out / "partial.pt").replace(checkpoint)
    average.copy_to(network.parameters())
    network.eval()
    return denoiser


def main() -> None:
    """Trains and writes OUT/model."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("out", type=Path, help="folder of the run")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--pairs", nargs="+", choices=("films", "ct"), default=["films", "ct"], help="kinds of pairs")
    options.add_argument("--steps", type=int, default=2000, help="training steps")
    options.add_argument("--noise", type=float, default=0.25, help="deviation of the noise at the start")
    options.add_argument("--left-out", type=int, default=None, help="fold of the patients to leave out")
    options.add_argument("--honest", type=float, default=1.0, help="share of the residual of films that is disease")
    options.add_argument("--folds", type=int, default=4, help="folds of patients")
    options.add_argument("--seed", type=int, default=0, help="seed of the weights and of the batches")
    given = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    settings = DenoiserSettings(side=SIDE, noise=given.noise)
    pairs = read_pairs(given.data, given.pairs, given.out, given.left_out, given.folds, given.honest)
    print(f"{len(pairs)} pairs of {len({pair.patient for pair in pairs})} patients", flush=True)
    train(pairs, settings, given.out, given.steps, given.seed).save(given.out / "model")
    about = {
        "pairs": given.pairs,
        "steps": given.steps,
        "honest": given.honest,
        "left_out": given.left_out,
        "seed": given.seed,
    }
    (given.out / "run.json").write_text(json.dumps(about) + "\n")


if __name__ == "__main__":
    main()
