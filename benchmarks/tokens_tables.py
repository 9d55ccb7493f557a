"""The tables of docs/tokens.md from the results of `score_tokens`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

COLUMNS = {"16": "16 codes", "64": "64 codes", "crop": "crop without codes"}
"""Round trips, and their names in the table."""

LABELS = {
    "without ribs": "projections held out, without ribs",
    "without ribs, phantom": "... of phantoms",
    "without ribs, icrp": "... of the reference adults",
    "single ribs": "single ribs",
    "cages of ribs": "whole cages of ribs",
    "all": "all of these",
}
"""Means over structures, and their names in the table."""

SHOWN = (
    *("body", "lung_right", "visible_lung_left", "lungs", "lung_middle_lobe_right", "heart", "drawn_heart", "aorta"),
    *("superior_vena_cava", "trachea", "bronchus_left", "mediastinum", "diaphragm_right", "liver", "spleen"),
    *("breast_left", "clavicula_right", "clavicles", "scapula_right", "humerus_left", "sternum", "spine"),
    *("vertebrae_T4", "rib_right_2", "rib_right_8", "ribs_right", "ribs"),
)
"""Structures that the table shows one by one."""

BOTH = {"writer": "writer of masks", "network": "anatomy network"}
"""Who is compared, and their names in the table."""

MEANS = {
    "without ribs, frontal": "frontal projections held out, without ribs",
    "without ribs, frontal, both": "... where both find the structure",
    "without ribs, frontal, phantom": "... of phantoms",
    "without ribs, frontal, icrp": "... of the reference adults",
    "without ribs": "projections at all angles, without ribs",
    "single ribs": "single ribs, all angles",
    "cages of ribs": "cages of ribs, all angles",
    "all": "all of these",
}
"""Means over structures, and their names in the table."""

LEARNERS = {
    "word": "new word",
    "head": "network, new last layer",
    "all": "network, all retrained",
    "scratch": "network from random weights",
}
"""What learns a new target from a few films, and its name in the table."""

TARGETS = {
    "heart": "heart, from projections, on JSRT",
    "opacity": "lung opacity, on `lesions`",
    "nodule": "nodule, on JSRT",
}
"""New targets, and their names in the table."""

COMPARED = (
    *("lung_right", "lung_left", "lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_left"),
    *("visible_lung_right", "visible_lung_left", "drawn_heart", "heart", "aorta", "superior_vena_cava", "trachea"),
    *("mediastinum", "diaphragm_right", "liver", "spleen", "clavicula_right", "scapula_left", "sternum", "spine"),
    *("vertebrae_T7", "rib_right_5"),
)
"""Structures on frontal projections that the table shows one by one."""

SIDED = {"dice": "lungs", "right": "right lung", "left": "left lung", "heart": "heart"}
"""Figures on real radiographs, and their names in the table."""


def tokens_model(result: dict[str, Any]) -> list[str]:
    """The Dice of the writer of masks and of the anatomy network on the same films."""
    rows = [f"| Dice | masks | {' | '.join(BOTH.values())} | difference |", "|---" * (len(BOTH) + 3) + "|"]
    found = result["projections"]
    for key, label in MEANS.items():
        mean = found["means"][key]
        if mean["masks"]:
            rows.append(f"| {label}: {mean['structures']} structures | {mean['masks']} | {_compared(mean)} |")
    for name in COMPARED:
        if name in found["frontal structures"]:
            of = found["frontal structures"][name]
            rows.append(f"| frontal: `{name}` | {of['masks']} | {_compared(of)} |")
    for name, real in result["real"].items():
        for key, label in SIDED.items():
            each = {who: real[who][key] for who in BOTH}
            rows.append(f"| **{name}**, drawn by readers: {label} | {real['films']} | {_compared(each)} |")
    return rows


def _compared(of: Mapping[str, float]) -> str:
    ours, theirs = (of[key] for key in BOTH)
    return f"{ours:.3f} | {theirs:.3f} | {ours - theirs:+.3f}"


def tokens_model_tasks(result: dict[str, Any]) -> list[str]:
    """What the writer of masks does besides masks, its answers, and its time."""
    frontal = result["projections"]["means"]["without ribs, frontal"]
    answers, captions, views, seconds, absent = (
        result[key] for key in ("answers", "captions", "views", "seconds", "absent")
    )
    return [
        "| writer of masks | films or boxes | figure |",
        "|---|---|---|",
        f"| well-formed answers | {answers['asked']} | {answers['well-formed']:.1%} |",
        f"| boxes, frontal projections: intersection over union; anatomy network {frontal['network box']:.3f} "
        f"| {frontal['masks']} | {frontal['box']:.3f} |",
        f"| structures that a frontal projection does not show, left out; anatomy network {absent['network']:.1%} "
        f"| {absent['structures']} | {absent['writer']:.1%} |",
        f"| structure of a true box named, of all; by chance {captions['chance']:.1%} | {captions['boxes']} "
        f"| {captions['named']:.1%} |",
        f"| view told: {', '.join(views['names'])} | {views['films']} | {views['told']:.1%} |",
        f"| seconds for a film and one prompt on one core of the processor, median | {seconds['films']} "
        f"| {seconds['processor']:.3f} |",
    ]


def tokens_robustness(result: dict[str, Any]) -> list[str]:
    """Dice of both on films that are turned, scaled and shifted, and of other hospitals."""
    rows = [
        "| films | number | lungs: writer | anatomy network | heart: writer | anatomy network "
        "| nothing read: writer | anatomy network |",
        "|---|---|---|---|---|---|---|---|",
    ]
    labels = {"turn": "JSRT turned by {} degrees", "scale": "JSRT scaled by {}", "shift": "JSRT shifted by {}"}
    for way, each in result.items():
        if way == "machine":
            continue
        for value, of in each.items():
            cells = [
                f"{of[who][part]:.3f}" if part in of[who] else "-"
                for part in ("lungs", "heart", "nothing")
                for who in BOTH
            ]
            rows.append(f"| {labels.get(way, '{}').format(value)} | {of['films']} | {' | '.join(cells)} |")
    return rows


def tokens_few_shots(result: dict[str, Any]) -> list[str]:
    """Dice of new words and their rivals, by target and number of films: the mean of the draws, and their range."""
    rows = [f"| Dice on films of other patients | films | {' | '.join(LEARNERS.values())} | ahead by |"]
    rows.append("|---" * (len(LEARNERS) + 3) + "|")
    for target, of in result["targets"].items():
        for count, found in of["shots"].items():
            each = {way: found[way] for way in LEARNERS}
            best = max(float(np.mean(values)) for way, values in each.items() if way != "word")
            ahead = float(np.mean(each["word"])) - max(best, of.get("detector", 0.0))  # the prior is no rival
            label = f"{TARGETS[target]}, {of['tests']} read"
            cells = " | ".join(f"{np.mean(v):.3f} ({min(v):.2f} to {max(v):.2f})" for v in each.values())
            rows.append(f"| {label} | {of['films'][count]} | {cells} | {ahead:+.3f} |")
            if int(count) > of["films"][count]:
                break
        for way, label in (("detector", "detector and PBTSeg"), ("lungs", "everything inside the lungs")):
            if way in of:
                rows.append(f"| {TARGETS[target]}: {label} | 0 | {of[way]:.3f} | | | | |")
    return rows


def tokens_ladder(result: dict[str, Any]) -> list[str]:
    """Figures of writers of several sizes after equal steps."""
    figures = {
        "frontal": "frontal projections", "all angles": "all angles", "ribs": "single ribs",
        "JSRT lungs": "JSRT lungs", "JSRT heart": "heart", "wingspan lungs": "wingspan lungs",
        "wingspan heart": "heart",
    }  # fmt: skip
    rows = [f"| Dice | weights of the layers, of all | {' | '.join(figures.values())} |"]
    rows.append("|---" * (len(figures) + 2) + "|")
    for name, of in result["rungs"].items():
        layers, every = (f"{of['weights'][part] / 1e6:.1f} M" for part in ("layers", "all"))
        size = "" if "pixels" in name else f", {of['size']} pixels"
        rows.append(f"| {name}{size} | {layers}, {every} | {' | '.join(f'{of[key]:.3f}' for key in figures)} |")
    return rows


def tokens_codec(result: dict[str, Any]) -> list[str]:
    """The Dice of masks that were written as text and read again."""
    rows = [f"| Dice of masks read back from their text | masks | {' | '.join(COLUMNS.values())} |"]
    rows.append("|---" * (len(COLUMNS) + 2) + "|")
    found = result["projections"]
    for key, label in LABELS.items():
        mean = found["means"][key]
        if mean["masks"]:
            rows.append(f"| {label}: {mean['structures']} structures | {mean['masks']} | {_cells(mean)} |")
    for name in SHOWN:
        if name in found["structures"]:
            of = found["structures"][name]
            rows.append(f"| `{name}` | {of['masks']} | {_cells(of)} |")
    for name, folders in result["real"].items():
        for folder, of in folders.items():
            rows.append(f"| **{name}**, drawn by readers: {folder} | {of['masks']} | {_cells(of)} |")
    return rows


def _cells(of: Mapping[str, float]) -> str:
    return " | ".join(f"{of[key]:.3f}" for key in COLUMNS)
