"""The tables of docs/tokens.md from the results of `score_tokens`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
