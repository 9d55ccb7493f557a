"""Whether a flow draws more real shapes than `LungOpacity` does: ``python -m benchmarks.score_masks``.

The patients of `lesions` are halved. For the lungs of one half, shapes are drawn by a flow that was trained on the
other half and on CT lesions, by `MaskSampler`, and, for reference, taken from the other half's patients. Two
discriminators, a small convolutional network and a forest on figures of the shape, tell them from what readers drew in
these lungs; both are cross-validated by patient within the half. AUROC with the bootstrap over patients; 0.5 means that
nothing tells them apart.

Once nothing is said of the size, and once both get the size of the real shape as a word. Soft maps are outlined at a
quarter of their peak. Trained flows and drawn shapes are kept in --work. Writes results/generation_masks.json.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from artasyn.arrays import LEFT, RIGHT, generator
from artasyn.errors import SynthesisError
from artasyn.evaluation.bootstrap import resample_weights
from artasyn.files import atomic
from artasyn.synthesis.diffusion import MaskSampler, Prompt
from artasyn.synthesis.diffusion.shapes import REACH, ShapeSampler, finer, signed
from artasyn.synthesis.prompts.said import PromptFinding
from benchmarks.rivals.lesion_shapes import (
    LEAST,
    LIKE_READERS,
    Drawn,
    Shape,
    binary,
    outlined,
    read_drawn,
    shapes_of,
)
from benchmarks.speed_stages import RESULTS, machine
from benchmarks.train_shapes import STEPS, flow_of, kept, moved

ROOT = Path(__file__).parent.parent
HALVES = 2
DRAWS = 4
"""Shapes that each way draws in a lung."""
FOLDS = 5
SEEDS = (0, 1, 2)
RESAMPLES = 1000
BATCHES, BATCH = 160, 32
"""Batches that the network learns from, and shapes in each."""

Real = list[tuple[Drawn, int, Shape]]
Ways = dict[str, list[Shape]]


def halves_of(films: Sequence[Drawn]) -> list[list[Drawn]]:
    """The films in two halves, all of a patient in one."""
    patients = sorted({film.patient for film in films})
    half = dict(zip(patients, generator(0).permutation(len(patients)) % HALVES, strict=True))
    return [[film for film in films if half[film.patient] == number] for number in range(HALVES)]


def by_lung(films: Sequence[Drawn]) -> Real:
    """Every real shape with its film and its lung."""
    return [
        (film, side, shape)
        for film in films
        for side in (RIGHT, LEFT)
        for shape in shapes_of(film.mask, film.film.lungs, "reader", film.patient, (side,))
    ]


def of_sampler(sampler: MaskSampler, real: Real, sized: bool) -> list[Shape]:
    """Shapes of the masks that a sampler draws in the same lungs, as a reader would outline them."""
    found = []
    for number, (film, side, shape) in enumerate(real):
        for draw in range(DRAWS):
            asked = PromptFinding(
                LIKE_READERS[draw % 2],
                side="right" if side == RIGHT else "left",
                size=shape.size if sized else None,
            )
            try:
                masks = sampler(Prompt((asked,)), film.film.lungs, generator(1, number, draw))
            except SynthesisError:
                continue
            found += shapes_of(outlined(masks.soft), film.film.lungs, asked.finding, film.patient, (side,))
    return found


def of_flow(flow: ShapeSampler, real: Real, sized: bool) -> list[Shape]:
    """Shapes that a flow draws in the same lungs, before they become lesions."""
    found = []
    for number, (film, _, shape) in enumerate(real):
        for drawn in flow.draw(shape.lung, shape.size if sized else None, generator(3, number), DRAWS):
            lesion = signed(binary(drawn, shape.lung))
            found.append(Shape(shape.lung, lesion, "reader", film.patient))
    return [each for each in found if each.share >= LEAST]


def of_others(real: Real, others: Real, sized: bool) -> list[Shape]:
    """What readers drew in lungs of other patients, in these lungs."""
    found = []
    for number, (film, _, shape) in enumerate(real):
        rng = generator(2, number)
        like = [other for _, _, other in others if not sized or other.size == shape.size]
        for _ in range(DRAWS):
            lesion = moved(like[int(rng.integers(len(like)))].lesion, shape.lung, rng, 0.0)
            found.append(Shape(shape.lung, lesion, "reader", film.patient))
    return [each for each in found if each.share >= LEAST]


def figures(shape: Shape) -> list[float]:
    """Figures of a shape that the forest decides by."""
    lung, lesion = finer(shape.lung) > 0, binary(shape.lesion, shape.lung)
    count, _, parts, _ = cv2.connectedComponentsWithStats(lesion.astype(np.uint8), connectivity=8)
    sizes = np.sort(parts[1:, cv2.CC_STAT_AREA])[::-1]
    outlines = cv2.findContours(lesion.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    around = sum(cv2.arcLength(each, True) for each in outlines)
    hull = sum(cv2.contourArea(cv2.convexHull(each)) for each in outlines)
    rows, columns = np.nonzero(lesion)
    inner = cv2.distanceTransform(np.pad(lung, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rim = lung & (inner <= 4)
    spread = np.linalg.eigvalsh(np.cov(np.stack([rows, columns])) + np.eye(2))
    return [
        float(lesion.sum() / lung.sum()),
        float(count - 1),
        float(sizes[0] / sizes.sum()),
        float(around / np.sqrt(lesion.sum())),
        float(lesion.sum() / max(hull, 1)),
        float(rows.mean()),
        float(columns.mean()),
        float((lesion & rim).sum() / rim.sum()),
        float((lesion & rim).sum() / lesion.sum()),
        float(np.sqrt(spread[1] / spread[0])),
        float(lesion[: len(lesion) // 3].sum() / lesion.sum()),
        float(lesion[-len(lesion) // 3 :].sum() / lesion.sum()),
        float(columns.max() - columns.min()),
        float(rows.max() - rows.min()),
    ]


class Convolutions(nn.Sequential):
    """Three strided convolutions on lung and lesion."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, after in ((2, 12), (12, 24), (24, 32)):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * 16, 1))


def seen(shapes: Sequence[Shape]) -> Tensor:
    """What the network sees: distances of lung and lesion, near the outline alone."""
    near = [np.stack([each.lung, signed(binary(each.lesion, each.lung))]) for each in shapes]
    return torch.from_numpy((REACH / 2 * np.stack(near)).clip(-1, 1))


def network_scores(known: Tensor, truth: npt.NDArray[Any], asked: Tensor, seed: int) -> npt.NDArray[Any]:
    """Logits of a network that is trained on as many real as synthetic shapes in every batch."""
    torch.manual_seed(seed)
    network = Convolutions()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, BATCHES)
    kinds = [torch.from_numpy(np.flatnonzero(truth == kind)) for kind in (0, 1)]
    labels = torch.tensor([0.0, 1.0]).repeat_interleave(BATCH // 2)
    for _ in range(BATCHES):
        drawn = known[torch.cat([kind[torch.randint(len(kind), (BATCH // 2,))] for kind in kinds])]
        padded = nn.functional.pad(drawn, (1, 1, 1, 1), mode="replicate")
        row, column = torch.randint(3, (2,)).tolist()
        side = drawn.shape[-1]
        shown = padded[:, :, row : row + side, column : column + side]
        loss = nn.functional.binary_cross_entropy_with_logits(network(shown)[:, 0], labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return np.asarray(network.eval()(asked)[:, 0].numpy(), np.float64)


def forest_scores(
    known: npt.NDArray[Any], truth: npt.NDArray[Any], asked: npt.NDArray[Any], seed: int
) -> npt.NDArray[Any]:
    """Probabilities of a forest on figures."""
    forest = RandomForestClassifier(300, min_samples_leaf=3, class_weight="balanced", random_state=seed)
    return np.asarray(forest.fit(known, truth).predict_proba(asked)[:, 1], np.float64)


def out_of_fold(real: Sequence[Shape], made: Sequence[Shape], seed: int) -> dict[str, npt.NDArray[Any]]:
    """Scores of every shape by discriminators that have not seen its patient; real shapes come first."""
    shapes = [*real, *made]
    truth = np.repeat((0, 1), (len(real), len(made)))
    names, patient = np.unique([each.patient for each in shapes], return_inverse=True)
    fold = generator(seed).permutation(len(names))[patient] % FOLDS
    pixels, numbers = seen(shapes), np.array([figures(each) for each in shapes])
    found = {name: np.zeros(len(shapes)) for name in ("network", "forest")}
    for number in range(FOLDS):
        known, asked = fold != number, fold == number
        scores = network_scores(pixels[known], truth[known], pixels[asked], seed)
        found["network"][asked] = (scores - scores.mean()) / max(float(scores.std()), 1e-6)
        found["forest"][asked] = forest_scores(numbers[known], truth[known], numbers[asked], seed)
    return found


def judged(real: Sequence[Sequence[Shape]], made: Sequence[Sequence[Shape]]) -> dict[str, dict[str, float]]:
    """AUROC over both halves, of both discriminators, with intervals over patients."""
    scores: dict[str, list[npt.NDArray[Any]]] = {"network": [], "forest": []}
    for seed in SEEDS:
        each = [out_of_fold(*pair, seed) for pair in zip(real, made, strict=True)]
        for name, so_far in scores.items():
            so_far.append(np.concatenate([one[name] for one in each]))
    flat = [shape for pair in zip(real, made, strict=True) for kind in pair for shape in kind]
    truth = np.concatenate([np.repeat((0, 1), (len(a), len(b))) for a, b in zip(real, made, strict=True)])
    names, patient = np.unique([shape.patient for shape in flat], return_inverse=True)
    weights = resample_weights(len(names), RESAMPLES, seed=0)[:, patient]
    result = {}
    for name, each_seed in scores.items():
        drawn = [np.mean([roc_auc_score(truth, one, sample_weight=times) for one in each_seed]) for times in weights]
        low, high = np.percentile(drawn, (2.5, 97.5))
        value = {"auroc": np.mean([roc_auc_score(truth, one) for one in each_seed]), "low": low, "high": high}
        result[name] = {key: round(float(figure), 4) for key, figure in value.items()}
    return result


def drawn_by(
    flows: Sequence[ShapeSampler], real: Sequence[Real], work: Path, sized: bool
) -> dict[str, list[list[Shape]]]:
    """The shapes of every way, a list for each half."""
    word = "sized" if sized else "any"
    ways: dict[str, list[list[Shape]]] = {}
    for number, (flow, ours) in enumerate(zip(flows, real, strict=True)):
        samplers = {"MaskSampler": MaskSampler(), "MaskSampler with learnt shapes": MaskSampler(shapes=flow)}
        each = {"other patients' shapes": of_others(ours, real[1 - number], sized)}
        for name, sampler in samplers.items():
            file = work / f"{name.replace(' ', '-')}-{word}-{number}-{sampler.digest[:8] or 'drawn'}.pickle"
            each[name] = kept(file, partial(of_sampler, sampler, ours, sized))
        each["learnt shapes before they are drawn"] = of_flow(flow, ours, sized)
        for name, shapes in each.items():
            ways.setdefault(name, []).append(shapes)
    return ways


def main() -> None:
    """Trains, draws, judges and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--work", type=Path, default=Path("masks"), help="folder for flows and shapes")
    options.add_argument("--steps", type=int, default=STEPS, help="training steps, on CTs and again on films")
    options.add_argument("--out", type=Path, default=RESULTS / "generation_masks.json")
    given = options.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    halves = halves_of(read_drawn(given.data))
    real = [by_lung(half) for half in halves]
    shapes = [[shape for _, _, shape in each] for each in real]
    flows = [
        flow_of(given.data, given.work, f"without-half-{number}", shapes[1 - number], given.steps)
        for number in range(HALVES)
    ]
    result: dict[str, Any] = {"machine": machine(), "steps": given.steps}
    result["real"] = {"lungs": sum(map(len, shapes)), "patients": len({s.patient for each in shapes for s in each})}
    for title, sized in (("nothing said of the size", False), ("the size of the real shape said", True)):
        ways = drawn_by(flows, real, given.work, sized)
        result[title] = {name: {"shapes": sum(map(len, each))} | judged(shapes, each) for name, each in ways.items()}
        print(title, json.dumps(result[title]), flush=True)
    atomic.write_text(given.out, json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
