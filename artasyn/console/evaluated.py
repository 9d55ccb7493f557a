"""The sections of a report on a test set: figures, curves, groups and films."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artasyn.bulk.run import Outcome, Row
from artasyn.console.detected import listed_films, plain_film, verdict
from artasyn.console.groups import FilmGroups
from artasyn.console.results import UNUSABLE
from artasyn.evaluation.boxes import inside_boxes
from artasyn.evaluation.evaluation import Metrics
from artasyn.evaluation.films import Films
from artasyn.evaluation.froc import RATES
from artasyn.evaluation.study import Curve, Study
from artasyn.evaluation.subgroups import FIGURES as GROUP_FIGURES
from artasyn.evaluation.subgroups import LEAST, Gap, Group
from artasyn.files.radiograph import read_radiograph
from artasyn.pictures.curves import Axes, Banded, banded_picture, histogram_picture, reliability_picture
from artasyn.pictures.film_list import SIDE, Cell, FilmList, compact_uri
from artasyn.pictures.panels import truth_panel
from artasyn.pictures.report import FIGURES, Section, dash, metrics_section, shown
from artasyn.testsets.testset import TestFilm, TestSet

OUTCOMES = ("missed", "false alarm", "found", "cleared", "not judged")
"""What became of a film, in the order of the list: errors first."""


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Everything that a report on a test set tells.

    Attributes:
        test: the test set.
        figures: of the detector and of the prior.
        films: of the detector's evaluation.
        study: the further figures of the detector.
        groups: patients and groups of the films.
        threshold: the stored threshold of films.
        outcomes: the outcome of every film.
        quality: by name of each diseased film: Dice with its mask, else the probability that the highest point lies
            inside a box, else the score.
        out: where the overlays are.
    """

    test: TestSet
    figures: Mapping[str, Metrics]
    films: Films
    study: Study
    groups: FilmGroups
    threshold: float
    outcomes: Sequence[Outcome]
    quality: Mapping[str, float]
    out: Path


def sections(about: Evaluated) -> list[Section]:
    """Returns the sections of a report on a test set.

    Args:
        about: what the report tells.
    """
    return [
        _figures(about),
        *_operating(about),
        _curves(about),
        *_lesions(about),
        *_groups(about),
        *_unusable(about),
        _films(about),
    ]


def _figures(about: Evaluated) -> Section:
    """Returns the table of figures beside the prior."""
    ours, patients = about.figures["detector"], about.study.patients
    drawn = f"{patients} patients with all of their films" if patients else "the films, whose patients are not known"
    return metrics_section(
        "Figures",
        f"{about.test.summary} Measured: {ours.images} films, {ours.diseased} of them diseased; 95 % intervals by "
        f"resampling {drawn}. Beside the detector stands what the true or segmented lungs alone would score, with "
        "nothing learnt: a detector that does not beat it has learnt nothing. Thresholds were fixed before the test, "
        "except what is called oracle.",
        {"artasyn": ours, "lungs alone": about.figures["lungs_prior"]},
    )


def _operating(about: Evaluated) -> list[Section]:
    """Returns the confusion matrix, and the figures that follow from it."""
    found = about.study.confusion
    rule = f"Films with a score of {about.threshold:.4f} or more are flagged."
    if found is None:
        return [Section("At the stored threshold", dash("no threshold"))]
    counts = (("diseased", found.found, found.missed), ("healthy", found.false_alarms, found.cleared))
    table = [[label, str(flagged), str(left), str(flagged + left)] for label, flagged, left in counts]
    lacking = [f"no {label} films" for label, flagged, left in counts if not flagged + left]
    rows = []
    for name, figure in about.study.operating.items():
        kind, _, prevalence = name.partition("_at_")
        title = f"{kind.upper()} at a prevalence of {100 * float(prevalence):g} %" if prevalence else kind
        undefined = dash(" and ".join(lacking) or f"no film is {'flagged' if kind == 'ppv' else 'cleared'}")
        rows.append([title, undefined if math.isnan(figure.value) else shown(figure)])
    text = (
        "Predictive values follow from sensitivity and specificity at the given prevalence, not from the share of "
        "diseased films in the test set: PPV is the share of flagged patients who are diseased, NPV the share of "
        "patients not flagged who are healthy."
    )
    return [
        Section("At the stored threshold", rule, ("", "flagged", "not flagged", "all"), table),
        Section("Predictive values", text, ("", "value"), rows),
    ]


def _curves(about: Evaluated) -> Section:
    """Returns the curves of the scores of films."""
    films, curves = about.films, about.study.curves
    pictures = [("How many films have each score", histogram_picture(films.scores, films.diseased, about.threshold))]
    missing = []
    if "roc" in curves:
        operating = about.study.operating
        sensitivity, specificity = operating["sensitivity"].value, operating["specificity"].value
        axes = Axes("healthy films flagged", "diseased films flagged", "diagonal", (1 - specificity, sensitivity))
        pictures.append(("ROC curve", banded_picture(_banded(curves["roc"]), axes)))
        flagged = films.flagged > 0
        precision = films.diseased[flagged].mean() if flagged.any() else math.nan
        point = None if math.isnan(precision) else (sensitivity, float(precision))
        axes = Axes(
            "recall: diseased films flagged", "precision: flagged films that are diseased", films.diseased.mean(), point
        )
        pictures.append(("Precision and recall", banded_picture(_banded(curves["precision_recall"]), axes)))
    else:
        only = "diseased" if films.diseased.any() else "healthy"
        missing.append(f"ROC, precision and recall need healthy and diseased films; all are {only}.")
    known = about.study.reliability
    if known.bins:
        error = f"Calibration: expected error {shown(known.error)}"
        pictures.append((error, reliability_picture(known)))
    else:
        missing.append("Calibration needs 20 films.")
    text = "Bands and bars are 95 % intervals. The dot is the stored threshold."
    return Section("Scores of films", " ".join([text, *missing]), pictures=pictures)


def _banded(curve: Curve) -> Banded:
    """Returns a curve to draw."""
    return Banded(curve.across, curve.up, curve.places, curve.low, curve.high)


def _lesions(about: Evaluated) -> list[Section]:
    """Returns the section of the free-response ROC; none where the set has neither masks nor boxes."""
    if not (about.test.has_masks or about.test.has_boxes):
        return []
    study = about.study
    if not study.froc:
        return [Section("Lesions", dash("no lesion of the films that were measured is known"))]
    rows = [[f"{rate:g} false marks on a film", shown(study.froc[f"found_at_{rate:g}"])] for rate in RATES]
    axes = Axes("false marks on a film", "lesions found", rates=True)
    text = (
        f"{study.lesions} lesions: regions of masks, or boxes. A mark is a peak of the heatmap; it finds the lesion "
        "that it lies in. Every other mark is false."
    )
    rows.append(["mean of these", shown(study.froc["found_on_average"])])
    picture = ("Lesions found (FROC)", banded_picture(_banded(study.curves["froc"]), axes))
    return [Section("Lesions", text, ("", "lesions found"), rows, [picture])]


def _groups(about: Evaluated) -> list[Section]:
    """Returns a section for every column of groups, and the notes about them."""
    parts = []
    counted = "patients" if about.study.patients else "films"
    notes = " ".join(f"{note[:1].upper()}{note[1:]}." for note in about.groups.notes)
    for column, groups in about.study.groups.items():
        known = [key for key in GROUP_FIGURES if any(key in group.figures for group in groups)]
        rows = [
            [group.name, str(group.films), str(group.diseased), *(_group_cell(group, key) for key in known)]
            for group in groups
            if group.figures
        ]
        gaps = {gap.figure: _gap(gap) for gap in about.study.gaps[column]}
        rows += [["largest gap", "", "", *(gaps.get(key, dash("one group")) for key in known)]] if gaps else []
        small = "; ".join(f"{group.name} ({group.films} films)" for group in groups if not group.figures)
        text = f"Too small to be judged (fewer than {LEAST} {counted} of either label): {small}." if small else ""
        header = ("", "films", "diseased", *(FIGURES[key] for key in known))
        parts.append(Section(f"Groups: {column}", f"{text} {notes}".strip(), header, rows))
        notes = ""
    return parts + ([Section("Groups", notes)] if notes else [])


def _group_cell(group: Group, key: str) -> str:
    """Returns a figure of a group, or a dash with the reason."""
    return shown(group.figures[key]) if key in group.figures else dash(group.reasons[key])


def _gap(gap: Gap) -> str:
    """Returns the largest gap of a figure, with the two groups."""
    extremes = f"{gap.highest} above {gap.lowest}" if gap.difference.value else "equal"
    return f"{shown(gap.difference)}: {extremes}" + f", the extremes of {gap.groups} groups" * (gap.groups > 2)


def _unusable(about: Evaluated) -> list[Section]:
    """Returns the section of the films that are unusable; none without any."""
    labels = {film.source.name: film.diseased for film in about.test.films}
    rows = {one.source.name: one.rows[0] for one in about.outcomes if one.rows and one.rows[0]["status"] == UNUSABLE}
    text = (
        f"{len(rows)} films are unusable and never abnormal. In the figures above they count with their scores, as "
        "if no one had been warned."
    )
    table = [
        (name, "diseased" if labels[name] else "healthy", row["warnings"], row["reason"]) for name, row in rows.items()
    ]
    return [Section("Unusable films", text, ("film", "label", "warnings", "reason"), table)] if rows else []


def _films(about: Evaluated) -> Section:
    """Returns the list of films: errors first, and among them the worst first."""
    films = {film.source.name: film for film in about.test.films}
    measured = set(about.films.names)
    measure = "Dice" if about.test.has_masks else "inside a box" if about.test.has_boxes else ""
    listed = [one for one in about.outcomes if one.source.name in measured and one.rows]

    def order(one: Outcome) -> tuple[int, float, str]:
        name, row = one.source.name, one.rows[0]
        became = OUTCOMES.index(_outcome(row, films[name]))
        worst = about.quality.get(name, math.inf) if films[name].diseased else -float(row["score"])
        return became, worst, name

    def cells(one: Outcome) -> list[Cell]:
        name, row = one.source.name, one.rows[0]
        became, label = _outcome(row, films[name]), "diseased" if films[name].diseased else "healthy"
        quality = about.quality.get(name, math.nan) if measure else math.nan
        last = [Cell("\N{EN DASH}" if math.isnan(quality) else f"{quality:.2f}", quality)] * bool(measure)
        score = float(row["score"])
        return [Cell(became, f"{OUTCOMES.index(became)}"), Cell(label, label), Cell(f"{score:.4f}", score), *last]

    columns = ("outcome", "label", "score", *([measure] if measure else []))
    found: FilmList = listed_films(
        about.out, sorted(listed, key=order), columns, cells, lambda one: _truth(films[one.source.name], one)
    )
    text = (
        "Errors first, and worst first: diseased films that were missed, then healthy films that were flagged. Choose "
        "a picture to enlarge it. Heat and contours of the detector are drawn on flagged films only."
        + " Beside the overlay of a diseased film stands the ground truth."
        * (about.test.has_masks or about.test.has_boxes)
    )
    return Section("Films", text, films=found)


def _outcome(row: Row, film: TestFilm) -> str:
    """Returns what became of a film, one of `OUTCOMES`."""
    word = verdict(row)
    if word == "not judged":
        return word
    if film.diseased:
        return "found" if word == "flagged" else "missed"
    return "false alarm" if word == "flagged" else "cleared"


def _truth(film: TestFilm, outcome: Outcome) -> tuple[str, str] | None:
    """Returns the picture with the true lesions where they are known, else the plain film."""
    if not film.diseased or (film.truth is None and not film.boxes):
        return plain_film(outcome)
    image = read_radiograph(film.source.path)
    boxes = inside_boxes(film.boxes_on(image.shape), image.shape) if film.boxes else None
    lesions = film.lesions(image.shape)
    return "the ground truth", compact_uri(np.asarray(truth_panel(image, lesions, boxes, SIDE)))
