"""The tables of docs/imagine.md from the results of `score_generation`, `score_imagined` and the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.detection_tables import interval

WORDS = {
    "side": "side: every changed pixel in the lung that was said",
    "lobe": "lobe: 98 % of the changed pixels in the lobe that the network reads",
    "zone": "zone: 98 % of the changed pixels in the third",
    "number": "number of separate lesions",
    "size": "size, by another measure, within a fifth of its class",
    "severity": "severity in its class",
}


def generation(result: dict[str, Any]) -> list[str]:
    """What prompts ask for, found again; severity; filters."""
    ways = result["adherence"]
    rows = [
        f"| random prompts on {result['normals']} held-out normals | "
        + " | ".join(f"lungs by {way}" for way in ways)
        + " |",
        "|---|" + "---|" * len(ways),
    ]
    rows.append("| films | " + " | ".join(str(each["films"]) for each in ways.values()) + " |")
    for name, told in WORDS.items():
        cells = []
        for each in ways.values():
            found = each["found"].get(name)
            cells.append(f"{found['share']:.3f} of {found['of']}" if found else "-")
        rows.append(f"| {told} | {' | '.join(cells)} |")
    rows.append(
        "| values changed outside the stated region | "
        + " | ".join(str(e["changed_outside"]) for e in ways.values())
        + " |"
    )
    rows.append(
        "| films remade bit for bit from their records | "
        + " | ".join(f"{each['remade']} of {each['films']}" for each in ways.values())
        + " |"
    )
    refused = ["; ".join(f"{count} {why}" for why, count in e["refused"].items()) or "0" for e in ways.values()]
    rows.append(f"| prompts that a film cannot show | {' | '.join(refused)} |")
    severity = result["severity"]
    rows.append(
        f"| severity and contrast on the film, Spearman: one shape at eight severities, least of {severity['films']} "
        f"films; all | {severity['least']:.3f}; {severity['pooled']:.3f} |" + " |" * (len(ways) - 1)
    )
    return rows


def generation_filters(result: dict[str, Any]) -> list[str]:
    """How many films each filter rejects."""
    filters = result["filters"]
    total = filters["films"]
    rows = [f"| {total} films of the usual prompts, first draw | |", "|---|---|"]
    rows.append(f"| kept | {filters['kept'] / total:.3f} |")
    rows += [f"| rejected by {name} | {count / total:.3f} |" for name, count in filters["rejected_by"].items()]
    kept, rejected = (f"{filters['detected'][kind]:.2f}" for kind in ("kept", "rejected"))
    rows.append(f"| mean score of the detector, kept; rejected | {kept}; {rejected} |")
    return rows


def generation_training(result: dict[str, Any]) -> list[str]:
    """Detectors trained on imagined films, beside `LungOpacity` alone."""
    columns = {
        "pixel_auroc_in_lungs": "pixel AUROC in lungs",
        "pixel_ap": "pixel AP",
        "dice": "Dice",
        "zhanglab: image_auroc": "children",
        "nih: image_auroc": "adults",
        "jsrt and hannover: image_auroc": "never seen",
    }
    seeds = max(map(len, result["rungs"].values()))
    rows = [f"| trained on, {seeds} seeds | " + " | ".join(columns.values()) + " |", "|---|" + "---|" * len(columns)]
    for name, runs in result["rungs"].items():
        cells = []
        for key in columns:
            values = [run[key] for run in runs if run.get(key) is not None]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})" if values else "-")
        rows.append(f"| {'LungOpacity' if name == 'artasyn' else name} | {' | '.join(cells)} |")
    return rows


def generation_realism(result: dict[str, Any]) -> list[str]:
    """How well synthetic opacities are told from real ones, and how far their features are apart."""
    rows = [
        "| patches | AUROC, boxed opacities | less LungOpacity alone | AUROC, drawn lesions | less LungOpacity alone "
        "| KID, boxed opacities |",
        "|---|---|---|---|---|---|",
    ]
    boxes, drawn = (result["discriminator"][name] for name in ("opacity_boxes", "lesions"))
    distance = result["kid"]["opacity_boxes"]
    floor = distance["real"]
    rows.append(f"| real opacities, halves | | | | | {_span(floor)} |")
    for name, one in boxes.items():
        other = drawn.get(name)
        told = [interval(one["auroc"]), _signed(one["less_base"])]
        told += [interval(other["auroc"]), _signed(other["less_base"])] if other else ["", ""]
        rows.append(f"| {name} | {' | '.join(told)} | {_span(distance[name])} |")
    return rows


def generation_masks(result: dict[str, Any]) -> list[str]:
    """How well shapes of each way are told from what readers drew."""
    titles = [name for name, each in result.items() if isinstance(each, dict) and name not in ("machine", "real")]
    columns = [f"{told}, {title}" for title in titles for told in ("network", "forest")]
    rows = [f"| shapes | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name in result[titles[0]]:
        cells = [interval(_as_value(result[title][name][told])) for title in titles for told in ("network", "forest")]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def _as_value(figure: dict[str, float]) -> dict[str, float | None]:
    return {"value": figure["auroc"], "low": figure["low"], "high": figure["high"]}


def _signed(figure: dict[str, float]) -> str:
    return f"{figure['value']:+.3f} ({figure['low']:+.3f} to {figure['high']:+.3f})"


def _span(figure: dict[str, float]) -> str:
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"
