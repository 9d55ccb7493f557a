"""Tables of the detector's results, for `benchmarks.tables`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def zeroshot(result: dict[str, Any]) -> list[str]:
    """Figures of the detector that ships on real disease, beside the lungs alone and an atlas."""
    methods = list(next(iter(result["sets"].values())))
    rows = ["| zero-shot, real films | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for title, figures in {
        "lesions": (
            "pixel_auroc_in_lungs", "pixel_auroc_in_lungs_per_image", "pixel_ap", "aupro", "dice", "oracle_dice",
        ),
        "zhanglab": ("image_auroc", "sensitivity", "flagged_healthy"),
        "nih": ("image_auroc", "sensitivity", "flagged_healthy", "pointing"),
        "zhanglab viral": ("image_auroc", "sensitivity"),
        "jsrt and hannover": ("image_auroc", "flagged_healthy"),
        "openist": ("flagged_healthy",),
    }.items():  # fmt: skip
        if title not in result["sets"]:
            continue
        of = result["sets"][title]
        for key in figures:
            base = f", base rate {of[methods[0]]['pixel_base_rate']['value']:.3f}" if key == "pixel_ap" else ""
            cells = [interval(of[method][key]) for method in methods]
            rows.append(f"| {SETS[title]}: {NAMES[key]}{base} | " + " | ".join(cells) + " |")
    return rows


SETS = {
    "lesions": "opacities drawn by radiologists",
    "zhanglab": "children, pneumonia or normal",
    "nih": "adults, opacity or normal",
    "zhanglab viral": "children, viral pneumonia or normal",
    "jsrt and hannover": "hospitals never seen",
    "openist": "a teaching collection never seen",
}
NAMES = {
    "pixel_auroc_in_lungs": "pixel AUROC inside the lungs",
    "pixel_auroc_in_lungs_per_image": "the same, mean of single films",
    "pixel_ap": "pixel AP",
    "aupro": "AUPRO",
    "dice": "Dice at the stored threshold",
    "oracle_dice": "oracle Dice",
    "image_auroc": "image AUROC",
    "sensitivity": "diseased films flagged",
    "flagged_healthy": "healthy films flagged",
    "pointing": "highest point inside a box",
    "zhanglab_auroc": "children, image AUROC",
    "nih_auroc": "adults, image AUROC",
    "jsrt_hannover_auroc": "hospitals never seen, image AUROC",
}


def zeroshot_ladder(result: dict[str, Any]) -> list[str]:
    """Ways to make anomalies at one budget, mean and range over seeds."""
    keys = ("pixel_auroc_in_lungs", "pixel_ap", "dice", "zhanglab: image_auroc", "nih: image_auroc",
            "jsrt and hannover: image_auroc")  # fmt: skip
    names = [NAMES[k] if k in NAMES else f"{SETS[k.split(':')[0]]}: image AUROC" for k in keys]
    budget = result["budget"]
    head = f"same network, {budget['size']} px, {budget['epochs']} epochs, seeds"
    rows = [f"| {head} | seeds | " + " | ".join(names) + " |", "|---" * (len(keys) + 2) + "|"]
    for rung, seeds in result["rungs"].items():
        cells = []
        for key in keys:
            values = [seed[key] for seed in seeds if seed.get(key) is not None]
            if not values:
                cells.append("-")
                continue
            spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
            cells.append(f"{sum(values) / len(values):.3f}{spread}")
        rows.append(f"| {rung} | {len(seeds)} | " + " | ".join(cells) + " |")
    return rows


def zeroshot_tried(result: dict[str, Any]) -> list[str]:
    """All experiments on the way to the recipe, failures included."""
    keys = ("pixel_auroc_in_lungs", "pixel_auroc_in_lungs_per_image", "pixel_ap", "oracle_dice", "zhanglab_auroc",
            "nih_auroc", "jsrt_hannover_auroc")  # fmt: skip
    rows = ["| | " + " | ".join(NAMES[key] for key in keys) + " |", "|---" * (len(keys) + 1) + "|"]
    for group, trials in result["groups"].items():
        rows.append(f"| **{group}** |" + " |" * len(keys))
        rows += [f"| {t['what']} | " + " | ".join("-" if t[key] is None else f"{t[key]:.3f}" for key in keys) + " |"
                 for t in trials]  # fmt: skip
    return rows


def false_alarms(result: dict[str, Any]) -> list[str]:
    """What the detector takes for disease: healthy films by source, nuisances, films that cannot be judged."""
    names = {
        "zhanglab": "ZhangLab, children, held out",
        "nih": "NIH, adults, held out",
        "jsrt": "JSRT without nodules, never seen",
        "openist": "OpenIST, never seen",
    }
    rows = ["| | films | flagged | |", "|---|---|---|---|", "| **healthy films** | | | |"]
    for name, of in result["sources"].items():
        about = f"{100 * of['lung_marked']:.1f} % of the lungs' pixels marked, median novelty {of['novelty']:.2f}"
        rows.append(f"| {names[name]} | {of['films']} | {of['flagged']:.3f} | {about} |")
    rows.append("| **drawn on healthy films** | | | |")
    for name, of in result["nuisances"].items():
        about = f"log-odds {of['change']:+.2f}, spread {of['spread']:.2f}; flagged before {of['flagged_before']:.3f}"
        rows.append(f"| {name.replace('_', ' ')} | {of['films']} | {of['flagged']:.3f} | {about} |")
    rows.append("| **films that cannot be judged** | | | |")
    for name, of in result["unusable"].items():
        rows.append(f"| {name} | {of['films']} | {of['called_abnormal']:.3f} | {100 * of['told']:.1f} % told |")
    return rows


def interval(figure: Mapping[str, float | None]) -> str:
    """Writes a figure with its confidence interval, if it has one."""
    if figure["value"] is None:
        return "-"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
