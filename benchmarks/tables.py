"""Writes the tables of the project's README from results/: ``python benchmarks/tables.py``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def phantom(result: dict[str, Any]) -> list[str]:
    """Detection of unseen phantom lesions beside the lungs alone."""
    rows = ["| unseen phantom lesions | artasyn | lungs alone |", "|---|---|---|"]
    names = {
        "pixel_auroc_in_lungs": "pixel AUROC inside the lungs",
        "pixel_ap": "pixel AP (base rate {base:.3f})",
        "aupro": "AUPRO",
        "dice": "Dice at the stored threshold",
        "image_auroc": "image AUROC",
        "flagged_healthy": "healthy films flagged",
    }
    for run in result["runs"]:
        base = run["detector"]["pixel_base_rate"]["value"]
        for key, name in names.items():
            ours, prior = (_interval(run[method][key]) for method in ("detector", "lungs_prior"))
            rows.append(f"| {name.format(base=base)} | {ours} | {prior} |")
        rows.append(f"| minutes for the whole demonstration, seed {run['seed']} | {run['seconds'] / 60:.1f} | |")
    return rows


def speed(result: dict[str, Any]) -> list[str]:
    """Times of every stage."""
    machine = result["machine"]
    rows = [
        f"| ms an image ({machine['threads']} threads, {machine['processor']}) | median | quartiles |",
        "|---|---|---|",
    ]
    rows += [f"| {name} | {t['median']:.1f} | {t['q1']:.1f} to {t['q3']:.1f} |" for name, t in result["stages"].items()]
    return rows


def lungs(result: dict[str, Any]) -> list[str]:
    """Quality of the lungs on real radiographs."""
    rows = [
        "| lungs on real radiographs | films | mean Dice | unseen half | worst 5 % | both found | confidence and Dice, "
        "rank correlation | as published: mean Dice, both found |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, s in result["sets"].items():
        mean, unseen = (f"{each['mean_dice']:.3f}" for each in (s, s["unseen"]))
        if name in ("V7-COVID", "lesions"):
            mean += f" ({s['mean_dice_without_heart']:.3f} but for what lies behind the heart)"
        rows.append(
            f"| {name} | {s['images']} | {mean} | {unseen} | {s['worst_5_percent_dice']:.3f} | {s['both_found']:.3f} "
            f"| {s['spearman_confidence_dice']:.2f} | {s['published_mean_dice']:.2f}, {s['published_both_found']:.2f} |"
        )
    return rows


def speed_lungs(result: dict[str, Any]) -> list[str]:
    """Time of PBTSeg beside the published algorithm."""
    return [
        "| lungs, ms a film, one core | mean | median | quartiles |",
        "|---|---|---|---|",
        *(
            f"| {name} | {t['mean']:.1f} | {t['median']:.1f} | {t['q1']:.1f} to {t['q3']:.1f} |"
            for name, t in (
                ("PBTSeg, 256 px", result["ms_256"]["artasyn"]),
                ("as published, 256 px", result["ms_256"]["published"]),
                ("PBTSeg, 2048 px", result["ms_2048"]),
            )
        ),
        f"| as published / PBTSeg, 256 px | {result['ratio']:.1f} | | |",
    ]


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "phantom": phantom,
    "lungs": lungs,
    "speed_lungs": speed_lungs,
    "speed": speed,
}


def _interval(figure: dict[str, float | None]) -> str:
    if figure["value"] is None:
        return "-"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def with_tables(text: str, results: Path) -> str:
    """A text whose tables are those of the results, each after its mark ``<!-- results:NAME -->``."""
    for name, table in TABLES.items():
        file = results / f"{name}.json"
        rows = table(json.loads(file.read_text())) if file.exists() else []
        mark = f"<!-- results:{name} -->"
        text = re.sub(re.escape(mark) + r"(\n\n(\|.*\n)+)?", "\n".join([mark, "", *rows, ""]) if rows else mark, text)
    return text


def main() -> None:
    """Rewrites the README."""
    readme = ROOT / "README.md"
    readme.write_text(with_tables(readme.read_text(), ROOT / "benchmarks" / "results"))


if __name__ == "__main__":
    main()
