"""Writes the tables of README.md and of pages in docs/ from results/: ``python -m benchmarks.tables``."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import anatomy_tables, detection_tables, generation_tables, scale_tables, speed_tables, tokens_tables

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "docs/at_home.md",
    "docs/detection.md",
    "docs/files.md",
    "docs/hostile.md",
    "docs/imagine.md",
    "docs/pbtseg.md",
    "docs/experiments/anatomy.md",
    "docs/experiments/detection.md",
    "docs/experiments/imagine.md",
    "docs/experiments/index.md",
    "docs/experiments/lungs.md",
    "docs/experiments/projection.md",
    "docs/experiments/scale.md",
    "docs/experiments/speed.md",
    "docs/experiments/synthesis.md",
    "docs/experiments/tokens.md",
)


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
            ours, prior = (detection_tables.interval(run[method][key]) for method in ("detector", "lungs_prior"))
            rows.append(f"| {name.format(base=base)} | {ours} | {prior} |")
        rows.append(f"| minutes for the whole demonstration, seed {run['seed']} | {run['seconds'] / 60:.1f} | |")
    return rows


def speed(result: dict[str, Any]) -> list[str]:
    """Times of every stage."""
    machine, threads = result["machine"], result["machine"]["threads"]
    threads = f"{threads} thread{'s' if threads > 1 else ''}"
    rows = [f"| ms an image ({threads}, {machine['processor']}) | median | quartiles |", "|---|---|---|"]
    rows += [f"| {name} | {t['median']:.1f} | {t['q1']:.1f} to {t['q3']:.1f} |" for name, t in result["stages"].items()]
    return rows


def speed_gpu(result: dict[str, Any]) -> list[str]:
    """Throughput on a GPU, agreement with the CPU, and the costs of mixed precision."""
    made, found, trained = (result[part] for part in ("synthesis", "detection", "training"))
    rates = {f"synthesis, {name}": rate for name, rate in made["images_per_second"].items()}
    rates |= {f"its draws alone, batches of {name}": rate for name, rate in made["draws_per_second"].items()}
    for name, of in found["precisions"].items():
        rates[f"detection, {name}: the network, batches of {found['batch']}"] = of["network_images_per_second"]
        rates[f"detection, {name}: with PBTSeg on the processor"] = of["detector_images_per_second"]
    for name, of in trained["precisions"].items():
        rates[f"training, {name}, {trained['size']} px, batches of {trained['batch']}"] = of["images_per_second"]
    machine = result["machine"]
    rows = [f"| images a second ({machine['device']}, {result['size']} px) | median | quartiles |", "|---|---|---|"]
    rows += [f"| {name} | {r['median']:,.0f} | {r['q1']:,.0f} to {r['q3']:,.0f} |" for name, r in rates.items()]
    for name, of in made["agreement"].items():
        rows.append(
            f"| synthesis, {name}: largest difference from the CPU's images | {of['largest_difference']:.1e} | |"
        )
    for name, of in list(found["precisions"].items())[1:]:
        cost = of["beside_32_bits"]
        scores = f"{cost['score_median']:.1e} ({cost['score_largest']:.1e})"
        otherwise = f"{cost['judged_otherwise']} of {found['films']}"
        rows.append(
            f"| detection, {name}: difference of scores from 32 bits, median (largest); films judged otherwise "
            f"| {scores}; {otherwise} | |"
        )
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


def refusals(result: dict[str, Any]) -> list[str]:
    """Films that cannot be judged and are told, and frontal films that are refused."""
    poses = [pose for pose in next(iter(result["frontal"].values())) if pose != "untouched"]
    rows = [
        f"| frontal films | films | untouched, unusable | {' | '.join(f'{pose}, told' for pose in poses)} |",
        f"|---|---|---|{len(poses) * '---|'}",
    ]
    for name, of in result["frontal"].items():
        told = " | ".join(f"{of[pose]['told']:.1%}" for pose in poses)
        rows.append(f"| {name} | {of['untouched']['films']} | {of['untouched']['unusable']:.2%} | {told} |")
    empty = " | ".join("" for _ in poses[1:])
    for name, word in (("lateral", "side views"), ("other", "hands")):
        of = result["others"][name]
        rows.append(f"| {word}, untouched | {of['films']} | {of['unusable']:.1%} | {of['told']:.1%} | {empty} |")
    return rows


def speed_lungs(result: dict[str, Any]) -> list[str]:
    """Times of PBTSeg and of the published algorithm."""
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


def realism(result: dict[str, Any]) -> list[str]:
    """Figures of anomalies beside real opacities, and how well a network tells the two apart."""
    presets, verdicts = result["presets"], result.get("discriminator", {})
    names = {
        "real": "real opacities",
        "artasyn": "artasyn",
        "published": "as published",
        "pasted patch": "pasted patch",
        "Gaussian blob": "Gaussian blob",
    }
    rows = [
        f"| medians over anomalies at 256 px | {' | '.join(names.values())} |",
        f"|---|{len(names) * '---|'}",
    ]
    lines = {
        "texture": ("fine structure inside over that of the other lung", "{:.2f}"),
        "texture_kept": ("fine structure inside over what was there", "{:.2f}"),
        "seam": ("gradient on the mask's edge over that beside it", "{:.2f}"),
        "inside_lungs": ("share of the mask in the lungs", "{:.3f}"),
        "changed_outside": ("share of changed pixels outside the mask", "{:.3f}"),
        "unchanged_inside": ("share of the mask that is not changed", "{:.3f}"),
        "area": ("area, px", "{:.0f}"),
    }
    for key, (name, form) in lines.items():
        cells = (form.format(presets[p][key]["median"]) if key in presets[p] else "-" for p in names)
        rows.append(f"| {name} | {' | '.join(cells)} |")
    for key, name in (("area_ks", "area"), ("share_of_lungs_ks", "area as a share of the lungs")):
        distances = (f"{presets[p][key]:.2f}" if p != "real" else "-" for p in names)
        rows.append(f"| {name}: distance from the real distribution (KS) | {' | '.join(distances)} |")
    told = (detection_tables.interval(_named(verdicts[p])) if p in verdicts else "-" for p in names)
    rows.append(f"| told from real opacities by a small network, AUROC | {' | '.join(told)} |")
    if "normal" in verdicts:
        lung = detection_tables.interval(_named(verdicts["normal"]))
        rows.append(f"| normal lung told from real opacities by it | {lung} | | | | |")
    return rows


def speed_synthesis(result: dict[str, Any]) -> list[str]:
    """Time of an anomaly beside the published synthesis."""
    times = {f"LungOpacity, {size} px": t for size, t in result["ms"].items()}
    times |= {f"as published, {size} px": t for size, t in result["published_ms"].items()}
    times |= result["batches"]
    return [
        "| ms an anomaly, lungs given, one core | mean | median | quartiles |",
        "|---|---|---|---|",
        *(
            f"| {name} | {t['mean']:.1f} | {t['median']:.1f} | {t['q1']:.1f} to {t['q3']:.1f} |"
            for name, t in times.items()
        ),
        f"| as published / LungOpacity, 256 px | {result['ratio']['mean']:.0f} | {result['ratio']['median']:.0f} | |",
    ]


def speed_collection(result: dict[str, Any]) -> list[str]:
    """Throughput of a whole collection."""
    about = f"{result['films']} films of {result['size']} px, {result['workers']} workers"
    return [
        f"| `artasyn synthesise`, {about} | images a second, with its start | after it | processor ms an image |",
        "|---|---|---|---|",
        *(
            f"| {name} | {f['images_per_second']:.0f} | {f['images_per_second_after_start']:.0f} "
            f"| {f['processor_ms_per_image']:.1f} |"
            for name, f in result["formats"].items()
        ),
    ]


def score_projection(result: dict[str, Any]) -> list[str]:
    """Accuracy of projections of CTs."""
    worst, nodule, measures = result["phantom"]["worst"], result["nodule"], result["measures"]
    views = ("pa", "45", "lateral")
    rows = ["| projections of CT | |", "|---|---|"]
    rows += [
        "| solids with known chords, worst of 14 views | |",
        f"| thickness beyond that of rays a voxel aside, mm (a voxel's diagonal: {worst['diagonal']:.2f}) "
        f"| {worst['beyond']:.2f} |",
        f"| mean error inside; integral against the volume, parallel "
        f"| {worst['interior']:.2%}; {worst['integral']:.2%} |",
        "| a real CT: PA, 45 degrees, lateral | |",
    ]
    for peer in ("plastimatch", "diffdrr"):
        found = result["peers"][peer]
        if "missing" not in found:
            cells = ", ".join(f"{found[view]['correlation']:.5f}" for view in views)
            rows.append(f"| correlation with {peer} {found['version']} where covered | {cells} |")
    cells = ", ".join(f"{nodule[view]['dice']:.3f}" for view in views)
    rows.append(f"| a nodule's mask against 16 times as many pixels, Dice | {cells} |")
    for name, beam in (("parallel", "parallel"), ("pa", "cone beam")):
        found = measures[name]
        rows.append(
            f"| cardiothoracic ratio, Cobb angle, {beam} "
            f"| {found['cardiothoracic_ratio']:.3f}, {found['cobb_degrees']:.1f} degrees |"
        )
    quality = result["quality"]
    broken = [case for name, case in quality.items() if name != "intact"]
    rejected = sum(not case["ok"] for case in broken)
    rows.append(f"| broken inputs rejected, intact passed | {rejected} of {len(broken)}, {quality['intact']['ok']} |")
    return rows


def speed_projection(result: dict[str, Any]) -> list[str]:
    """Time of projecting a CT."""
    size = "x".join(map(str, result["voxels"]))
    rows = [
        f"| ms, {size} voxels, {result['structures']} structures | image | image and all thickness maps |",
        "|---|---|---|",
    ]
    parallel = result["parallel_ms"]
    rows.append(
        f"| parallel, grid of the volume | {parallel['integral']['median']:.0f} "
        f"({parallel['image, coverage and tone']['median']:.0f} with coverage and tone) "
        f"| {parallel['thickness']['median']:.0f} (thickness alone) |"
    )
    for name, times in result["cone_ms"].items():
        rows.append(
            f"| cone beam, {name} px | {times['image']['median']:.0f} | {times['image and thickness']['median']:.0f} |"
        )
    pair = result["first_and_second"]
    rows.append(f"| first view of a volume at 256 px, second one | | {pair['first_ms']:.0f}, {pair['second_ms']:.0f} |")
    rows.append(f"| most memory, MB | | {result['memory_mb']:.0f} |")
    if "command" in result:
        done = result["command"]
        rows.append(
            f"| `artasyn project`, {done['films']} randomised films, {done['workers']} workers, minutes "
            f"| | {done['minutes']:.1f} |"
        )
    return rows


def kills(result: dict[str, Any]) -> list[str]:
    """Commands that were stopped and finished."""
    rows = ["| command | stopped | of these by SIGKILL, of a worker, SIGINT, SIGTERM | same files, nothing left over |"]
    rows.append("|---|---|---|---|")
    for name, found in result["commands"].items():
        ways = ", ".join(str(found["stops"].get(way, 0)) for way in ("kill", "kill a worker", "interrupt", "terminate"))
        rows.append(
            f"| {name} | {sum(found['stops'].values())} times in {found['trials']} trials | {ways} | "
            f"{found['right']} of {found['trials']} |"
        )
    return rows


def at_home(result: dict[str, Any]) -> list[str]:
    """What artasyn costs a user, before and after; a dash where a column was not measured."""
    columns = [_at_home_cells(result[label]) if label in result else {} for label in ("before", "after")]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = ["| | before | after |", "|---|---|---|"]
    return rows + [f"| {name} | {' | '.join(column.get(name, '-') for column in columns)} |" for name in names]


def _at_home_cells(of: dict[str, Any]) -> dict[str, str]:
    """The cells of one column, by the names of their rows."""
    commands = {name: f"first result of `artasyn {name} FILM`" for name in ("segment", "detect")}
    commands = {"import": "`import artasyn`", "help": "`artasyn --help`"} | commands
    cells = {"commit": f"`{of['commit']}`"}
    for key, found in of.get("seconds", {}).items():
        cells[f"{commands[key]}, s, least (median)"] = f"{found['least']:.2f} ({found['median']:.2f})"
    if "installed" in of:
        size = of["installed"]
        cells["artasyn itself, MB"] = f"{size['artasyn_mb']:.0f}"
        cells["what it needs without torch, MB"] = f"{size['packages_mb']:.0f} ({size['packages']} packages)"
    if "demo_log_bytes" in of:
        cells["log of `artasyn demo`, kB"] = f"{of['demo_log_bytes'] / 1000:.1f}"
    if "log" in of:
        cells[f"log of `artasyn synthesise`, {of['log']['films']} films, kB"] = f"{of['log']['bytes'] / 1000:.1f}"
    if "report" in of:
        name = f"`report.html` of `artasyn evaluate`, {of['report']['films']} films, MB"
        cells[name] = f"{of['report']['report_mb']:.1f}"
    for other, found in of.get("conflicts", {}).items():
        release = next((of for name, of in found.get("versions", {}).items() if name == other.lower()), "")
        cells[f"release of {other} that installs beside it"] = release if found["together"] else "none"
    return cells


def hostile(result: dict[str, Any]) -> list[str]:
    """Outcomes of damaged and hostile files, reader by reader."""
    names = {
        "refused": "refused, the file is named",
        "unclear": "refused, not named",
        "right": "read, as intact",
        "changed": "read, other values",
        "cut": "read, though cut short",
        "wrong": "read wrong",
        "leak": "another exception",
        "crash": "died",
        "hang": f"over {result['limits']['seconds']:.0f} s",
        "memory": f"over {result['limits']['megabytes'] / 1000:g} GB",
    }
    rows = [f"| reader | files | {' | '.join(names.values())} | slowest, s |", "|---" * (len(names) + 3) + "|"]
    readers = result["readers"]
    for reader, counts in readers.items():
        cells = " | ".join(str(counts[outcome]) for outcome in names)
        rows.append(f"| {reader} | {counts['files']} | {cells} | {counts['slowest_seconds']:.1f} |")
    sums = " | ".join(str(sum(counts[outcome] for counts in readers.values())) for outcome in names)
    slowest = max(counts["slowest_seconds"] for counts in readers.values())
    return [*rows, f"| all | {result['files']} | {sums} | {slowest:.1f} |"]


def partial(result: dict[str, Any]) -> list[str]:
    """Ways to train on partly known labels."""
    budget = result["budget"]
    rows = [
        f"| hidden labels, way ({budget['steps']} steps of {budget['batch']} films, {budget['size']} px; means over "
        "seeds) | seeds | Dice, structures labelled in the film | hidden in it | patients held out | worst structure "
        "| made up in a film | real films: lungs, Dice | heart, Dice | error of the cardiothoracic ratio "
        "| difference from the simpler way: lungs | heart | error of the ratio | time, `masked` = 1 |",
        "|---" * 14 + "|",
    ]
    for scenario, ways in result["scenarios"].items():
        for way, of in ways.items():
            keys = ("labelled", "hidden", "held_out", "worst", "made_up", "lungs", "heart", "ratio_error")
            cells = [_mean(of[key]["mean"], 2 if key == "made_up" else 3) for key in keys]
            against = of.get("against")
            name = f"{scenario}: {way}" + (f" (simpler: {against['way']})" if against else "")
            cells += [_signed(against[key]) if against else "-" for key in ("lungs", "heart", "ratio_error")]
            rows.append(f"| {name} | {of['seeds']} | {' | '.join(cells)} | {_mean(of['time'], 2)} |")
    return rows


def _claim(table: Callable[[dict[str, Any]], list[str]], *rows: str) -> Callable[[dict[str, Any]], list[str]]:
    """The header of a table and the rows that begin like these: what README.md claims."""
    return lambda result: [
        row for number, row in enumerate(table(result)) if number < 2 or row.removeprefix("| ").startswith(rows)
    ]


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "phantom": phantom,
    "lungs": lungs,
    "refusals": refusals,
    "speed_lungs": speed_lungs,
    "realism": realism,
    "generation_realism": generation_tables.generation_realism,
    "speed_synthesis": speed_synthesis,
    "speed": speed,
    "speed_precision": speed_tables.speed_precision,
    "speed_training_precision": speed_tables.speed_training_precision,
    "speed_gpu": speed_gpu,
    "speed_rivals": speed_tables.speed_rivals,
    "speed_rivals_projection": speed_tables.speed_rivals_projection,
    "speed_rivals_lungs": speed_tables.speed_rivals_lungs,
    "speed_growth": speed_tables.speed_growth,
    "speed_growth_films": speed_tables.speed_growth_films,
    "speed_collection": speed_collection,
    "score_projection": score_projection,
    "speed_projection": speed_projection,
    "false_alarms": detection_tables.false_alarms,
    "zeroshot": detection_tables.zeroshot,
    "zeroshot_ladder": detection_tables.zeroshot_ladder,
    "zeroshot_parts": detection_tables.zeroshot_ladder,
    "zeroshot_tried": detection_tables.zeroshot_tried,
    "hostile": hostile,
    "at_home": at_home,
    "kills": kills,
    "partial": partial,
    "anatomy": anatomy_tables.anatomy,
    "cardiothoracic": anatomy_tables.cardiothoracic,
    "anatomy_unreadable": anatomy_tables.anatomy_unreadable,
    "anatomy_projections": anatomy_tables.anatomy_projections,
    "speed_anatomy": anatomy_tables.speed_anatomy,
    "anatomy_ablation": anatomy_tables.anatomy_ablation,
    "anatomy_classification": anatomy_tables.anatomy_classification,
    "generation": generation_tables.generation,
    "generation_filters": generation_tables.generation_filters,
    "generation_training": generation_tables.generation_training,
    "generation_masks": generation_tables.generation_masks,
    "tokens_codec": tokens_tables.tokens_codec,
    "tokens_model": tokens_tables.tokens_model,
    "tokens_robustness": tokens_tables.tokens_robustness,
    "tokens_model_tasks": tokens_tables.tokens_model_tasks,
    "tokens_few_shots": tokens_tables.tokens_few_shots,
    "tokens_ladder": tokens_tables.tokens_ladder,
    "scale": scale_tables.commands,
    "scale_kills": scale_tables.kills,
    "scale_trouble": scale_tables.trouble,
    "scale_names": scale_tables.names,
    "scale_paper": scale_tables.paper,
    "zeroshot_claim": _claim(
        detection_tables.zeroshot,
        "opacities drawn by radiologists: pixel AUROC",
        "opacities drawn by radiologists: Dice",
        "children, pneumonia or normal",
        "adults, opacity or normal",
        "hospitals never seen",
    ),
    "realism_claim": _claim(
        realism, "fine structure inside over that", "gradient", "share of changed", "told from", "normal lung"
    ),
    "speed_claim": _claim(
        speed,
        "lungs (PBTSeg), 256",
        "synthesis (LungOpacity), 256",
        "synthesis (LungOpacity), 1024",
        "detection, 256 px, lungs by",
    ),
}

SAME = {
    "tokens_model_tasks": "tokens_model",
    "zeroshot_claim": "zeroshot",
    "realism_claim": "realism",
    "speed_claim": "speed",
    "scale_kills": "scale",
    "scale_trouble": "scale",
    "scale_names": "scale",
    "scale_paper": "scale",
    "speed_rivals_projection": "speed_rivals",
    "speed_rivals_lungs": "speed_rivals",
    "speed_growth_films": "speed_growth",
}
"""Tables whose result has another name: several tables may show one result."""

AWAITED = {"speed_gpu"}
"""Results that need a machine or hours that not everyone has. The page has no table as long as there is no result."""


def _named(verdict: dict[str, float]) -> dict[str, float | None]:
    return {"value": verdict["auroc"], "low": verdict["low"], "high": verdict["high"]}


def _mean(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _signed(figure: dict[str, float | None]) -> str:
    """A difference with its interval."""
    if figure["value"] is None:
        return "-"
    return f"{figure['value']:+.3f} ({figure['low']:+.3f} to {figure['high']:+.3f})"


def with_tables(text: str, results: Path) -> str:
    """A text with its tables regenerated from the results, each after its mark ``<!-- results:NAME -->``."""
    for name, table in TABLES.items():
        file = results / f"{SAME.get(name, name)}.json"
        rows = table(json.loads(file.read_text())) if file.exists() else []
        mark = f"<!-- results:{name} -->"
        text = re.sub(re.escape(mark) + r"(\n\n(\|.*\n)+)?", "\n".join([mark, "", *rows, ""]) if rows else mark, text)
    return text


def main() -> None:
    """Rewrites the tables of the documents."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name in DOCUMENTS:
        document = ROOT / name
        document.write_text(with_tables(document.read_text(), ROOT / "benchmarks" / "results"))


if __name__ == "__main__":
    main()
