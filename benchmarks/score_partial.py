"""The fair test of training on partly known labels: ``python -m benchmarks.score_partial --stock DIR --data DIR``.

Every way of `artasyn.segment.anatomy.supervision` trains the same network on the same films, in the same order, from
the same first weights, once for each seed; only the loss differs. The encoder stays as photographs taught it, and only
what follows it learns: a network whose encoder learns too is still far from trained after so few steps. The ceiling
("full labels") is `masked_negatives` on films of which nothing is hidden. What a film does not show is told as absent
to all ways, and each uses it or not: a projection knows which structures lie outside the film, even if no source has
drawn them.

The films are composed from a stock. Every fifth patient of the stock is held out. Figures of "labelled" and "hidden"
structures are those on films of the training: the structures that the training saw there, and those that it did not.

Real films (JSRT and wingspan) decide. Thresholds are chosen for each run, on the first, third, fifth ... film of
each set and on every other film of held-out patients, for a softmax gives no probability of 0.5 where structures
overlap; the other films give the figures. A difference of two ways is the mean over real films of the difference of
their means over seeds, with a 95 % bootstrap interval over films.

Every run is added to --runs as soon as it is finished, and is not done again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from artasyn.networks.encoders import create_encoder, feature_maps
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.partial import PartialLabels, channel_weights
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.anatomy.supervision import SUPERVISIONS, Supervision
from artasyn.segment.anatomy.window import STRIDE
from artasyn.segment.structures import ANATOMY
from artasyn.shapes import Float32, Int64
from artasyn.stock.films import Films
from artasyn.stock.packed import Stock
from benchmarks.paired import mean_difference
from benchmarks.partial_figures import SIZE, RealFilms, Run, projection_figures, real_figures
from benchmarks.partial_labels import FULL, SCENARIOS, Pool
from benchmarks.speed_stages import machine

ROOT = Path(__file__).parent.parent
BATCH, RATE = 12, 4e-3
"""Films in a batch, and largest learning rate."""

HELD_OUT = 5
"""Every so many patients, one is held out."""

FULL_LABELS = "full labels"
BASE = {
    "masked": "zero_fill",
    "masked_negatives": "masked",
    "teacher": "masked_negatives",
    "car": "masked",
    "car_sigmoid": "masked_negatives",
}
"""Each way, and the simpler way that it adds something to."""

REAL = ("JSRT", "wingspan")
RESULT_KEYS = ("machine", "budget", "scenarios", "wins")


def plan(seeds: int) -> Iterator[tuple[str, str, int]]:
    """The runs as scenario, way and seed, in the order of their worth: a test that is stopped is still a fair one."""
    hidden = list(SCENARIOS)[1:]
    for scenario in hidden[:2]:
        for seed in range(seeds):
            yield from ((scenario, way, seed) for way in SUPERVISIONS)
            if scenario == hidden[0]:
                yield "all known", FULL_LABELS, seed
    for scenario in hidden[2:]:
        for seed in range(seeds):
            yield from ((scenario, way, seed) for way in ("masked_negatives", "teacher", "car_sigmoid"))


def composed(stock: Stock, films: int, seed: int) -> Pool:
    """Composes films from a stock."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(stock.views), films, p=stock.shares / stock.shares.sum())
    patients = {name: number for number, name in enumerate(sorted({view.patient for view in stock.views}))}
    one = np.ones(1, stock.shares.dtype)
    made = [
        Films().compose(Stock((stock.views[view],), one), SIZE, (seed, number))
        for number, view in enumerate(tqdm(chosen.tolist(), desc="films", unit="film"))
    ]
    masks = np.stack([each["masks"] for each in made])
    known = np.stack([each["known"] for each in made])
    return Pool(
        np.stack([each["image"][0] for each in made]),
        masks,
        known,
        known & ~masks.any(axis=(1, 2)),
        np.array([patients[stock.views[view].patient] for view in chosen]),
        ANATOMY,
    )


def labels_of(pool: Pool, films: Int64[np.ndarray, " b"]) -> PartialLabels:
    """The labels of some films as a training sees them."""
    masks = torch.from_numpy(pool.masks[films]).permute(0, 3, 1, 2).float() / FULL
    return PartialLabels(masks, torch.from_numpy(pool.known[films]), torch.from_numpy(pool.absent[films]))


class Remembered(nn.Module):
    """An encoder that does not learn, and that sees every film of the training only once, for all runs.

    Args:
        name: a timm encoder.
        images: the films of the training, (n, s, s).
        pretrained: with weights learnt on photographs.
    """

    def __init__(self, name: str, images: Float32[np.ndarray, "n s s"], *, pretrained: bool = True) -> None:
        super().__init__()
        encoder = create_encoder(name, pretrained=pretrained, size=SIZE, levels=4).eval()
        self.name = name
        self.encoder = [encoder]  # in a list, so that no optimiser and no copy takes it for a part of a network
        self.films: Tensor | None = None  # numbers of the films that come next; None for films outside the training
        with torch.no_grad():
            parts = torch.split(torch.from_numpy(images)[:, None], 32)
            self.maps = [torch.cat(of) for of in zip(*(feature_maps(encoder, part) for part in parts), strict=True)]

    def __deepcopy__(self, memo: dict[int, object]) -> Remembered:
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the maps of the films that come next."""
        if self.films is None:
            return list(self.encoder[0](images))
        return [of[self.films] for of in self.maps]


def new_network(pool: Pool, encoder: Remembered, seed: int) -> AnatomyNetwork:
    """A network before its training, which gives every structure its share of the films' pixels.

    Without these shares, the first hundred steps do little but lower the probabilities of small structures.
    """
    torch.manual_seed(seed)
    network = AnatomyNetwork(AnatomySettings(encoder=encoder.name, size=SIZE, names=pool.names))
    network.encoder = encoder
    shares = [
        float(pool.masks[told, :, :, channel].mean()) / FULL if told.any() else 0.0
        for channel, told in enumerate(pool.known.T)
    ]
    bias = network.head.bias
    assert bias is not None
    with torch.no_grad():
        bias.copy_(torch.tensor(shares).clamp(1e-3, 0.5).logit().repeat_interleave(STRIDE**2))
    return network.train()


def train(pool: Pool, way: Supervision, network: AnatomyNetwork, seed: int, steps: int) -> float:
    """Trains a network on films, and returns the processor's seconds."""
    beside = way.beside(network, len(pool.names))
    trained = [each for each in (*network.parameters(), *beside.parameters()) if each.requires_grad]
    optimiser = torch.optim.AdamW(trained, RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    weights = channel_weights(pool.names)
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(pool.images)) for _ in range(steps * BATCH // len(pool.images) + 1)])
    start = time.process_time()
    for step in range(steps):
        films = order[step * BATCH : (step + 1) * BATCH]
        network.encoder.films = torch.from_numpy(films)
        images = torch.from_numpy(pool.images[films])[:, None]
        loss = way.loss(network(images)[0], labels_of(pool, films), weights, images, beside)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimiser.step()
        schedule.step()
    seconds = time.process_time() - start
    setattr(network.encoder, "films", None)  # noqa: B010 (a module's attributes have no types)
    network.eval()
    return seconds


def pooled(run: Run, part: str) -> np.ndarray:
    """One figure of all reported real films of a run."""
    return np.array([value for name in REAL for value in run["real"][part][name]], np.float64)


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """The figures of every scenario and way over their seeds."""
    scenarios: dict[str, dict[str, Any]] = {}
    for run in runs:
        scenarios.setdefault(run["scenario"], {}).setdefault(run["way"], []).append(run)
    result: dict[str, Any] = {}
    for scenario in (name for name in SCENARIOS if name in scenarios):
        ways = scenarios[scenario]
        order = [name for name in (FULL_LABELS, *SUPERVISIONS) if name in ways]
        result[scenario] = {way: _figures(ways[way], ways.get(BASE.get(way, ""), []), ways) for way in order}
    return result


def _figures(runs: list[Run], base: list[Run], ways: dict[str, list[Run]]) -> dict[str, Any]:
    """The figures of a way: means over seeds, their range, and differences from its base on the same seeds."""
    found: dict[str, Any] = {"seeds": len(runs)}
    for key in ("labelled", "hidden", "held_out", "worst", "made_up"):
        values = [run["projections"][key] for run in runs if run["projections"][key] is not None]
        found[key] = _spread(values)
    found["worst_structures"] = sorted({run["projections"]["worst_structure"] for run in runs})
    for part in ("lungs", "heart", "ratio_error"):
        found[part] = _spread([float(np.nanmean(pooled(run, part))) for run in runs])
        found[part]["sets"] = {
            name: round(float(np.nanmean([run["real"][part][name] for run in runs])), 4) for name in REAL
        }
    found["unmeasured"] = round(float(np.mean([np.isnan(pooled(run, "ratio_error")).mean() for run in runs])), 4)
    plain = {run["seed"]: run["seconds"] for run in ways.get("masked", [])}
    times = [run["seconds"] / plain[run["seed"]] for run in runs if run["seed"] in plain]
    found["time"] = round(statistics.median(times), 3) if times else None
    if base:
        theirs = {run["seed"]: run for run in base}
        pairs = [(run, theirs[run["seed"]]) for run in runs if run["seed"] in theirs]
        found["against"] = {"way": base[0]["way"], "seeds": len(pairs)} | {
            part: _difference(pairs, part) for part in ("lungs", "heart", "ratio_error")
        }
    return found


def _spread(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"mean": None, "low": None, "high": None}
    return {name: round(float(of(values)), 4) for name, of in (("mean", statistics.mean), ("low", min), ("high", max))}


def _difference(pairs: list[tuple[Run, Run]], part: str) -> dict[str, Any] | None:
    """The mean difference over real films, with its interval and the difference of every seed."""
    if not pairs:
        return None
    apart = np.stack([pooled(ours, part) - pooled(theirs, part) for ours, theirs in pairs])
    each = [round(float(np.nanmean(seed)), 4) for seed in apart]
    mean = apart.mean(axis=0)
    return mean_difference(mean.tolist(), [0.0] * len(mean)) | {"each_seed": each}


def wins(scenarios: dict[str, Any]) -> list[dict[str, str]]:
    """Ways that beat their base on real films: an interval above 0, and two or more seeds, all on the same side."""
    found = []
    for scenario, ways in scenarios.items():
        for way, figures in ways.items():
            for part, sign in (("lungs", 1), ("heart", 1), ("ratio_error", -1)):
                apart = figures.get("against", {}).get(part)
                if not apart or apart["low"] is None or len(apart["each_seed"]) < 2:
                    continue
                for wanted, word in ((1, "better"), (-1, "worse")):
                    side = sign * wanted
                    nearest = apart["low"] if side > 0 else -apart["high"]
                    if nearest > 0 and all(side * each > 0 for each in apart["each_seed"]):
                        found.append({"scenario": scenario, "way": way, "figure": part, "verdict": word})
    return found


def read_runs(path: Path) -> list[Run]:
    """The finished runs of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(runs: Sequence[Run], steps: int, out: Path) -> None:
    """Writes the result."""
    scenarios = summary(runs)
    budget = {"steps": steps, "batch": BATCH, "size": SIZE, "films": runs[0]["films"], "seconds": _spread(
        [run["seconds"] for run in runs if run["way"] == "masked"])}  # fmt: skip
    result = {"machine": machine(), "budget": budget, "scenarios": scenarios, "wins": wins(scenarios)}
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(out)


def main() -> None:
    """Trains, measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stock", type=Path, nargs="+", required=True, help="folders that artasyn stock wrote to")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--runs", type=Path, required=True, help="JSON lines of finished runs; goes on where it stopped"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "partial.json")
    parser.add_argument("--films", type=int, default=1200, help="films of the training")
    parser.add_argument("--tested", type=int, default=160, help="composed films that are scored")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--random", metavar="ENCODER", help="a timm encoder with random weights, to try the program")
    parser.add_argument("--until", default="", help="time of the day, HH:MM, after which no run is begun")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    stock = Stock.read(*given.stock)
    patients = sorted({view.patient for view in stock.views})
    trained, others = stock.split(patients[::HELD_OUT])
    pool, held_out = composed(trained, given.films, 0), composed(others, given.tested, 1)
    sets = {name: RealFilms(given.data, name) for name in REAL}
    encoder = Remembered(given.random or AnatomySettings().encoder, pool.images, pretrained=not given.random)
    done = {(run["scenario"], run["way"], run["seed"]) for run in read_runs(given.runs)}
    for scenario, name, seed in plan(given.seeds):
        if (scenario, name, seed) in done:
            continue
        if given.until and f"{datetime.datetime.now():%H:%M}" >= given.until:
            break
        way = SUPERVISIONS["masked_negatives" if name == FULL_LABELS else name]
        hidden = SCENARIOS[scenario](pool, np.random.default_rng(seed))
        network = new_network(hidden, encoder, seed)
        seconds = train(hidden, way, network, seed, given.steps)
        run: Run = {"scenario": scenario, "way": name, "seed": seed, "steps": given.steps, "films": given.films}
        run |= {"seconds": round(seconds, 2), "real": real_figures(network, way, sets, pool.names)}
        run["projections"] = projection_figures(
            network, way, hidden.first(given.tested), pool.first(given.tested), held_out
        )
        with given.runs.open("a") as file:
            file.write(json.dumps(run) + "\n")
        print(scenario, name, seed, run["seconds"], run["projections"])
    write(read_runs(given.runs), given.steps, given.out)


if __name__ == "__main__":
    main()
