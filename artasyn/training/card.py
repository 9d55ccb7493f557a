"""The model card that a training writes beside its model: what the model learnt from, how, and what it is for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artasyn.detection.settings import DetectorSettings
from artasyn.files import atomic
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.stock.packed import Stock
from artasyn.training.normals import Normals
from artasyn.version import __version__

CARD = "README.md"
"""The file of the card in the folder of a model."""

RESEARCH = (
    "**For research. Not a medical device: no diagnosis, no triage, no decision about a patient may rest on it.**"
)


@dataclasses.dataclass(frozen=True)
class Detected:
    """What the card of a detector tells beside the settings of its training.

    Attributes:
        given: number of radiographs that the training was given.
        trained: the radiographs that it learnt from.
        held_out: the radiographs of other patients that fixed its thresholds.
        synthesis: the class that made the anomalies.
        started: the detector that the training began with, by name and digest; empty if it began anew.
        dice: best Dice on the synthetic anomalies of the radiographs held out.
        allowed: the shares of healthy radiographs that may be flagged, and of their lungs' pixels that may be marked.
    """

    given: int
    trained: Normals
    held_out: Normals
    synthesis: str
    started: str
    dice: float
    allowed: tuple[float, float]


def _patients(part: Normals) -> int:
    """Returns the number of patients; a radiograph whose patient is unknown counts as one."""
    known = part.patients or ("",) * len(part)
    return len({patient or identity for patient, identity in zip(known, part.identities, strict=True)})


def write_card(folder: Path, text: str) -> None:
    """Writes the card of a model before the model itself, which keeps a card that is there.

    Args:
        folder: of the model.
        text: the card.
    """
    atomic.write_text(folder / CARD, text)


def detector_card(settings: DetectorSettings, about: Detected, recipe: Mapping[str, Any]) -> str:
    """Returns the card of a trained detector, as Markdown.

    Args:
        settings: of the detector, with its thresholds.
        about: the data and the results.
        recipe: the settings of the training.
    """
    parts = about.trained, about.held_out
    films, patients = [*map(len, parts)], [*map(_patients, parts)]
    begun = f"The training began with {about.started or 'new weights'}."
    if about.started:
        begun += " The final weights are the mean of that detector's and of those that each training ended with."
    healthy = np.quantile(settings.healthy_scores, (0.5, 0.95)) if settings.healthy_scores else (np.nan, np.nan)
    lines = [
        *_head("chest-radiograph, anomaly-detection, zero-shot", "A detector trained with artasyn"),
        "The detector looks for lung opacities on frontal chest radiographs, and gives a heatmap, a mask and a score.",
        "It learnt from normal radiographs with synthetic opacities.",
        RESEARCH,
        *_section("Use", "`artasyn detect film.png --model FOLDER`, where FOLDER is the one that holds this file; in "
                  "Python `artasyn.Detector.from_pretrained(FOLDER)`."),
        *_section("Training data", *_table(
            ("normal radiographs", "number", "patients"),
            ("given", about.given, ""),
            ("left out, for the reasons in cache/manifest.csv", about.given - sum(films), ""),
            ("trained on", films[0], patients[0]),
            ("held out for the thresholds", films[1], patients[1]),
        ), "", "A radiograph whose patient is unknown counts as a patient."),
        *_section("Recipe", f"artasyn {__version__}, torch {torch.__version__}. {begun}", "",
                  *_settings(recipe), "",
                  f"`{about.synthesis}` made the anomalies; the settings.json of the training has its settings."),
        *_section("Thresholds", *_table(
            ("threshold", "value", "of healthy radiographs held out"),
            ("score, abnormal", f"{settings.image_threshold:.4f}", f"{about.allowed[0] * 100:g} % may reach it"),
            ("heatmap, marked", f"{settings.threshold:.4f}", f"{about.allowed[1] * 100:g} % of the lungs may reach it"),
        )),
        *_section("Figures", *_table(
            ("on the radiographs held out", "value"),
            ("best Dice on synthetic anomalies", f"{about.dice:.3f}"),
            ("median score of healthy radiographs", f"{healthy[0]:.3f}"),
            ("95th percentile of their scores", f"{healthy[1]:.3f}"),
        ), "", "These figures say nothing about real disease. Measure the detector on labelled radiographs of your own "
            "with `artasyn evaluate` before you rely on it."),
        *_section("Limits",
            "- The detector knows radiographs like those that it was trained on. A `novelty` above 3 on normal "
            "radiographs means that they are unlike them; `artasyn calibrate` fits it to those.",
            "- It looks for opacities, not for fractures, pneumothorax, a large heart or misplaced tubes.",
            "- A score is not a probability of disease.",
            "- No figure was measured by sex, age or origin."),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def anatomy_card(settings: AnatomySettings, stock: Stock, held_out: Sequence[str], recipe: Mapping[str, Any]) -> str:
    """Returns the card of a trained reader of anatomy, as Markdown.

    Args:
        settings: of the network, with its thresholds.
        stock: the views that the films were composed from.
        held_out: the names of the patients that fixed the thresholds.
        recipe: the settings of the training.
    """
    views = {view.patient: 0 for view in stock.views}
    for view in stock.views:
        views[view.patient] += 1
    kept = sum(views[name] for name in held_out)
    thresholds = [(name, f"{settings.threshold(name):.2f}") for name in settings.names]
    lines = [
        *_head("chest-radiograph, anatomy, segmentation, synthetic-data", "A reader of anatomy trained with artasyn"),
        f"The network reads {len(settings.names)} structures on chest radiographs at any angle.",
        "It learnt from films that were composed from projections, and has seen no real radiograph.",
        RESEARCH,
        *_section("Use", "`artasyn anatomy film.png --out anatomy --model FOLDER`, where FOLDER is the one that holds "
                  "this file."),
        *_section("Training data", *_table(
            ("projections", "views", "patients"),
            ("trained on", len(stock.views) - kept, len(views) - len(held_out)),
            ("held out for thresholds and usual agreements", kept, len(held_out)),
        ), "", "A patient is a phantom, a CT, or another patient made from a CT."),
        *_section("Recipe", f"artasyn {__version__}, torch {torch.__version__}.", "", *_settings(recipe)),
        *_section("Thresholds", *_table(("structure", "probability"), *thresholds)),
        *_section("Limits",
            "- No figure was measured on real radiographs. Compare the masks with readers' masks of your own before "
            "you rely on them.",
            "- Lungs under dense disease, operated chests and small children are read less surely."),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _head(tags: str, title: str) -> list[str]:
    return ["---", "library_name: artasyn", f"tags: [{tags}]", "---", "", f"# {title}", ""]


def _section(title: str, *lines: str) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _settings(values: Mapping[str, Any]) -> list[str]:
    return _table(("setting", "value"), *((name, f"`{value}`") for name, value in values.items()))


def _table(header: Sequence[object], *rows: Sequence[object]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]
