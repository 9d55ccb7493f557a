"""The tables of docs/anatomy.md from the results of `score_anatomy`, `speed_anatomy` and the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HALVES = ("odd", "even")


def anatomy(result: dict[str, Any]) -> list[str]:
    """Real films with masks: every figure on both halves, with PBTSeg and the difference on the second half."""
    rows = [
        "| real radiographs | films | first half | second half | ... own grid | ... PBTSeg | ... difference |",
        "|---|---|---|---|---|---|---|",
    ]
    sets, theirs = result["sets"], result["pbtseg"]
    for name in sets["even"]:
        if name in ("all", "own grid"):
            continue
        of = [sets[half][name] for half in HALVES]
        own, beside = sets["even"]["own grid"][name], theirs["even"][name]
        films, apart = of[0]["films"] + of[1]["films"], interval(result["difference"]["even"][name])
        dices = " | ".join(f"{each['dice']:.3f}" for each in (*of, own, beside))
        rows.append(f"| **{name}**: lungs, Dice | {films} | {dices} | {apart} |")
        for key, label in LINES.items():
            if key not in of[1]:
                continue
            form = "{:+.3f}" if key == "ctr_bias" else "{:.3f}"
            cells = [form.format(each[key]) if key in each else "" for each in (*of, own, beside)]
            rows.append(f"| {label} | | {' | '.join(cells)} | |")
    rows.append("| **all films** | | | | | | |")
    for key, label in (("worst_5_percent", LINES["worst_5_percent"]), ("sides", LINES["sides"])):
        places = (sets["odd"]["all"], sets["even"]["all"], sets["even"]["own grid"]["all"], theirs["even"]["all"])
        rows.append(f"| {label} | | {' | '.join(f'{each[key]:.3f}' for each in places)} | |")
    return rows


LINES = {
    "right": "right lung",
    "left": "left lung",
    "sides": "right and left told apart",
    "worst_5_percent": "worst 5 % of the films",
    "heart": "heart, Dice",
    "heart_worst_5_percent": "heart, worst 5 %",
    "ctr_mae": "cardiothoracic ratio, mean absolute error",
    "ctr_bias": "its bias",
    "ctr_r": "its correlation",
    "ctr_slope": "its slope",
    "ctr_measured": "share measured",
    "cardiomediastinum": "heart and mediastinum, Dice",
    "mediastinum": "the same by the channel `mediastinum` alone",
    "airways": "trachea and main bronchi, Dice",
    "trachea": "the same by the channel `trachea` alone",
}
"""Figures of a set of films, and their names in the table."""


def cardiothoracic(result: dict[str, Any]) -> list[str]:
    """The rule of the cardiothoracic ratio beside the widest extent, on both halves."""
    rows = [
        "| difference of the ratio, mean (limits of agreement) | hearts | first half, widest extent | ... the rule "
        "| hearts | second half, widest extent | ... the rule |",
        "|---" * 7 + "|",
    ]
    first, second = (_hearts(result[half]) for half in HALVES)
    for name in second:
        cells = [
            f"{of[name]['rule']['hearts']} | {_limits(of[name]['widest'])} | {_limits(of[name]['rule'])}"
            for of in (first, second)
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    for view, of in result["ct"].items():
        rows.append(
            f"| the CT itself, {view}: ratio (without vessels {of['without_vessels']:.3f}) "
            f"| 1 | {of['widest']:.3f} | {of['rule']:.3f} | | | |"
        )
    return rows


def _hearts(half: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The differences of a half of `cardiothoracic`, by their name in the table."""
    found = {f"{name}, {kind}": of for name, kinds in half["readers"].items() for kind, of in kinds.items()}
    found |= {f"projections of {name}": of for name, of in half["projections"].items()}
    return found | {f"the network's hearts on {name}": of for name, of in half["network"].items()}


def _limits(of: dict[str, float]) -> str:
    """A mean difference with its limits of agreement."""
    return " (".join(f"{of[name]:+.3f}" for name in ("mean", "low")) + f" to {of['high']:+.3f})"


def anatomy_unreadable(result: dict[str, Any]) -> list[str]:
    """Films that cannot be read, and how they are told."""
    rows = [
        "| films, second half | films | unusable | told by its word | with a reason | median turn, from frontal "
        "| median confidence | pixels called lung |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, of in (result["poses"]["even"] | result["others"]).items():
        turn = "-" if of["median_turn"] is None else f"{of['median_turn']:.0f}"
        rows.append(
            f"| {name} | {of['films']} | {of['unusable']:.1%} | {of['told']:.1%} | {of['with_a_reason']:.1%} | {turn} "
            f"| {of['median_confidence']:.2f} | {of['lung_pixels']:.1%} |"
        )
    dices = result["poses"]["even"]["inverted"].get("dice", {})
    told = ", ".join(f"{name} {value:.3f}" for name, value in dices.items())
    return [*rows, f"| inverted, lungs, Dice | {told} | | | | | | |"]


def anatomy_projections(result: dict[str, Any]) -> list[str]:
    """Projections of patients held out, and Cobb angles."""
    rows = [
        "| projections of patients held out | frontal | all angles | lost from 0 to 40 degrees |",
        "|---|---|---|---|",
    ]
    for name, of in {**result["patients"], "all": result}.items():
        cells = [number(of[key]) for key in ("frontal", "all_angles", "loss_at_40")]
        rows.append(f"| {KINDS.get(name, name)}, mean Dice of structures | {' | '.join(cells)} |")
    turns = ", ".join(f"{turn}: {number(value)}" for turn, value in result["turns"].items())
    rows.append(f"| by turn, degrees | {turns} | | |")
    rows.append(f"| structures not found at all | | {result['missed']:.1%} | |")
    for name, of in result["patients"].items():
        for structure, value in grouped(of["structures"]).items():
            rows.append(f"| {KINDS.get(name, name)}: {structure} | {value:.3f} | | |")
    cobb = result["cobb"]
    rows.append(f"| Cobb angle, {cobb['films']} bent spines, {cobb['measured']} measured | {errors(cobb)} | | |")
    for name, of in cobb.items():
        if isinstance(of, dict):
            rows.append(f"| ... true angle {name} degrees, {of['films']} films | {errors(of)} | | |")
    return rows


def errors(of: Mapping[str, Any]) -> str:
    """Mean absolute error and bias of angles."""
    return f"mean absolute error {of['mae']:.1f}, bias {of['bias']:+.1f} degrees" if "mae" in of else "-"


KINDS = {"icrp_AM": "ICRP man", "icrp_AF": "ICRP woman", "phantom": "phantoms", "all": "all"}


def grouped(structures: Mapping[str, float]) -> dict[str, float]:
    """The means of structures, with one mean for all ribs and one for all vertebrae."""
    groups: dict[str, list[float]] = {}
    for name, value in structures.items():
        stem = name.split("_")[0]
        group = {"rib": "single ribs", "vertebrae": "single vertebrae"}.get(stem, name)
        groups.setdefault(group, []).append(value)
    return {name: sum(values) / len(values) for name, values in groups.items()}


def speed_anatomy(result: dict[str, Any]) -> list[str]:
    """Times of the network and of PBTSeg."""
    rows = ["| ms a film of 512 px, one core | mean | median | quartiles | of PBTSeg's |", "|---|---|---|---|---|"]
    base = result["ms"]["PBTSeg"]["median"]
    rows += [
        f"| {name} | {t['mean']:.1f} | {t['median']:.1f} | {t['q1']:.1f} to {t['q3']:.1f} | {t['median'] / base:.1f} |"
        for name, t in result["ms"].items()
    ]
    return rows


def anatomy_classification(result: dict[str, Any]) -> list[str]:
    """Classification with anatomy beside other ways to pool."""
    sets = result["sets"]
    titles = [f"{TITLES[name]} ({of['healthy']} and {of['diseased']} films)" for name, of in sets.items()]
    rows = [f"| AUROC, patients apart | {' | '.join(titles)} |", "|---" * (len(sets) + 1) + "|"]
    ways = next(iter(sets.values()))["ways"]
    for way in ways:
        rows.append(f"| {way} | {' | '.join(interval(of['ways'][way]['auroc']) for of in sets.values())} |")
    first = next(iter(ways))
    for way in list(ways)[1:]:
        cells = [interval(of["ways"][way]["difference"]) for of in sets.values()]
        rows.append(f"| {way} less {first} | {' | '.join(cells)} |")
    for key, label in (
        ("zone", "zone with the strongest reason holds a box"),
        ("best_single_zone", "... the best single zone for all films"),
        ("mean_zone", "... the mean of all zones"),
        ("side", "its side is that of the boxes, boxes in one lung alone"),
    ):
        reasons = [of["reasons_and_boxes"] for of in sets.values()]
        cells = [f"{of[key]:.2f}" if of.get(key) is not None else "" for of in reasons]
        rows.append(f"| {label} | {' | '.join(cells)} |")
    return rows


TITLES = {"children": "children, healthy and pneumonia", "adults": "adults, no finding and opacity"}


def anatomy_ablation(result: dict[str, Any]) -> list[str]:
    """One short training for each change of the recipe, on the first halves of the real sets."""
    keys = {
        ("JSRT", "dice"): "JSRT", ("wingspan", "dice"): "wingspan", ("OpenIST", "dice"): "OpenIST",
        ("V7-COVID", "dice"): "V7-COVID", ("lesions", "dice"): "lesions", ("all", "worst_5_percent"): "worst 5 %",
        ("JSRT", "heart"): "heart, JSRT", ("wingspan", "heart"): "heart, wingspan", ("JSRT", "ctr_mae"): "CTR, JSRT",
    }  # fmt: skip
    rows = [f"| {result['budget']} | {' | '.join(keys.values())} |", "|---" * (len(keys) + 1) + "|"]
    for arm, of in result["arms"].items():
        cells = [number(of["scores"].get(name, {}).get(key)) for name, key in keys]
        rows.append(f"| {arm} | {' | '.join(cells)} |")
    return rows


def number(value: float | None) -> str:
    """A figure with three decimals, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def interval(figure: Mapping[str, float | None]) -> str:
    """A figure with its interval."""
    if figure["value"] is None:
        return "-"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
