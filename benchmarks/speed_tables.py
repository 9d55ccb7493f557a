"""The tables of docs/experiments/speed.md from the results of `speed_rivals`, `speed_growth` and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats


def speed_rivals(result: dict[str, Any]) -> list[str]:
    """Anomalies by every way, at two sizes."""
    return _ways("ms an anomaly, lungs given", result["synthesis"])


def speed_rivals_projection(result: dict[str, Any]) -> list[str]:
    """Projections of a CT by every program, image alone and with thickness maps."""
    found = result["projection"]
    size = "x".join(map(str, found["voxels"]))
    parts = {f"{view}, {part}": times for view, of in found["views"].items() for part, times in of.items()}
    return _ways(f"ms a view of 256² px, {size} voxels, {found['structures']} structures", parts)


def speed_rivals_lungs(result: dict[str, Any]) -> list[str]:
    """Lungs by PBTSeg and by networks."""
    found = dict(result["lungs"])
    weights = found.pop("weights_millions")
    named = {name: f"{name}, {millions:.0f} million weights" for name, millions in weights.items()}
    return _ways("ms a film", {size: {named.get(k, k): v for k, v in of.items()} for size, of in found.items()})


def _ways(header: str, parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A row for every way, with its time and its ratio to artasyn's in every part."""
    columns = [f"{part} | times artasyn's" for part in parts]
    rows = [f"| {header}, one core | {' | '.join(columns)} |", "|---" * (2 * len(parts) + 1) + "|"]
    names = dict.fromkeys(name for of in parts.values() for name, times in of.items() if isinstance(times, dict))
    for name in names:
        cells = [_cell(of[name]) if name in of else "- | -" for of in parts.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def _cell(times: Mapping[str, float]) -> str:
    """Median, quartiles and ratio."""
    median, low, high, ratio = (_short(times[key]) for key in ("median", "q1", "q3", "ratio"))
    return f"{median} ({low} to {high}) | {ratio}"


def _short(value: float) -> str:
    """A number of two digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def speed_growth(result: dict[str, Any]) -> list[str]:
    """Times by the films' size."""
    sizes = list(next(iter(result["pixels"]["stages"].values()))["ms"])
    rows = [
        f"| processor's ms a film | {' | '.join(f'{size}² px' for size in sizes)} | fixed, ms | ns a pixel "
        "| farthest from the line | exponent |",
        "|---" * (len(sizes) + 5) + "|",
    ]
    for name, of in result["pixels"]["stages"].items():
        times = " | ".join(_short(of["ms"][size]) for size in sizes)
        rows.append(f"| {name} | {times} | {_short(of['fixed_ms'])} | {_short(of['ns_a_pixel'])} | {_end(of)} |")
    return rows


def speed_growth_films(result: dict[str, Any]) -> list[str]:
    """Costs by the number of films, and by the number of workers."""
    counts = list(next(iter(result["films"]["commands"].values()))["processor_s"])
    rows = [
        f"| processor's seconds, one worker | {' | '.join(f'{int(count):,} films' for count in counts)} | fixed, s "
        "| ms a further film, step by step | farthest from the line | exponent | most memory, MB | kB a further film "
        f"| seconds by the clock, {int(counts[-2]):,} films, 1 and 2 workers |",
        "|---" * (len(counts) + 8) + "|",
    ]
    for command, of in result["films"]["commands"].items():
        times = " | ".join(_short(of["processor_s"][count]) for count in counts)
        further = ", ".join(map(_short, of["steps_ms"]))
        memory = ", ".join(f"{of['megabytes'][count]:.0f}" for count in counts)
        workers = ", ".join(map(_short, of["seconds_by_workers"].values()))
        rows.append(
            f"| `artasyn {command}` | {times} | {_short(of['fixed_s'])} | {further} | {_end(of)} | {memory} "
            f"| {_short(of['kilobytes_a_film'])} | {workers} |"
        )
    return rows


def _end(of: Mapping[str, float]) -> str:
    """How straight a line of costs is."""
    return f"{100 * of['deviation']:.0f} % | {of['exponent']:.2f}"


def speed_precision(result: dict[str, Any]) -> list[str]:
    """What bfloat16 and onnxruntime cost on the development sets."""
    rows = [
        "| set | engine | AUROC | Dice | largest difference of a score | of a heatmap | films judged otherwise |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, of in result["sets"].items():
        for engine, cost in of["precisions"].items():
            auroc, dice = ("" if cost[key] is None else f"{cost[key]:.4f}" for key in ("auroc", "dice"))
            rows.append(
                f"| {name}, {of['films']} films | {engine} | {auroc} | {dice} | {cost['score_largest']:.1e} "
                f"| {cost['heatmap_largest']:.1e} | {cost['judged_otherwise']} |"
            )
    return rows


TRAINED = {
    "pixel_auroc_in_lungs": "real lesions, pixel AUROC inside the lungs",
    "pixel_ap": "real lesions, pixel AP",
    "dice": "real lesions, Dice at the stored threshold",
    "zhanglab: image_auroc": "children with pneumonia, image AUROC",
    "nih: image_auroc": "adults with opacities, image AUROC",
    "jsrt and hannover: image_auroc": "normals and COVID-19 of sources not trained on, image AUROC",
}
"""The figures that are shown, by their keys."""


def speed_training_precision(result: dict[str, Any]) -> list[str]:
    """What a training in bfloat16 costs, with the interval over seeds by Student's t."""
    count = len(result["seeds"])
    rows = [
        f"| training, mean of {count} seeds | figure | 32 bits | bfloat16 | bfloat16 less 32 bits, 95 % interval |",
        "|---|---|---|---|---|",
    ]
    for way, of in result["ways"].items():
        for key, title in TRAINED.items():
            exact, half = (np.array([seed[key] for seed in of[name]]) for name in ("32-true", "bf16-mixed"))
            apart = half - exact
            around = stats.t.ppf(0.975, count - 1) * apart.std(ddof=1) / np.sqrt(count)
            low, high = (f"{apart.mean() + sign * around:+.3f}" for sign in (-1, 1))
            rows.append(
                f"| {way} | {title} | {exact.mean():.3f} | {half.mean():.3f} | {apart.mean():+.3f} ({low} to {high}) |"
            )
    return rows
