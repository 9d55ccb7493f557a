"""The command that measures a detector on a test set and compares the detector with the lungs alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.arrays import Picture
from artasyn.bulk.progress import progress
from artasyn.bulk.run import Outcome, Row
from artasyn.commands.detect import detect_sources, open_detector
from artasyn.console.options import DEVICE, MODEL, OUT, PRUNE, WORKERS, flag, option
from artasyn.console.results import UNUSABLE, Done
from artasyn.errors import DataError
from artasyn.evaluation.boxes import inside_boxes
from artasyn.evaluation.evaluation import Evaluation, Metrics
from artasyn.files import atomic
from artasyn.files.radiograph import read_heatmap, read_radiograph
from artasyn.pictures.overlays import contact_sheet, read_picture
from artasyn.pictures.panels import truth_panel
from artasyn.pictures.report import Section, metrics_section, roc_picture, write_report
from artasyn.pictures.thumbnails import TILE
from artasyn.testsets.layouts import find
from artasyn.testsets.measured import Measured, Scored, lungs_of, rank_of, read_lungs, score_films
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.version import __version__

SHOWN = 8
"""Films shown at each end of the ranking."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `evaluate`."""

    data: Path = field(metadata=option("the test set's folder"))
    out: Path = field(metadata=option(OUT))
    _: KW_ONLY
    model: str = field(default="bundled", metadata=option(MODEL, main=True))
    layout: str = field(
        default="auto",
        metadata=option(
            "how the test set lies in its folder, one of the above; auto tells it from what is there", main=True
        ),
    )
    restrict_to_lungs: bool = field(default=True, metadata=option("look only inside the lungs, found by PBTSeg"))
    device: str = field(default="auto", metadata=option(DEVICE))
    bootstrap: int = field(default=1000, metadata=option("resamples of the films for the 95 % intervals"))
    seed: int = field(default=0, metadata=option("of the resampling"))
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(f"{WORKERS}, or one on a GPU", main=True))


def evaluate(options: EvaluateOptions) -> Done:
    """Measures a detector on a test set and compares it with the anatomy prior "everything inside the lungs".

    For example: artasyn evaluate data/ --model training/model --out evaluation

    Reads from DATA one of these layouts:
      artasyn: test/healthy, test/diseased, ground_truth (a mask for every diseased film, with the film's name or
        mask_ before the name) and, optionally, lungs (QaTa-ZeroShot, and the data that `artasyn demo` writes);
      folder: images/ with masks/ (empty: healthy), boxes.csv (file, x, y, w, h in the film's own pixels) or
        annotations.json (COCO); or healthy/ and diseased/, optionally with masks/ or boxes.csv; optionally lungs/;
      qata, zhanglab, rsna, nih, chexlocalize, siim, vindr: QaTa-COV19, Kermany's films, RSNA Pneumonia Detection
        Challenge, ChestX-ray14, CheXlocalize, SIIM-ACR Pneumothorax and VinDr-CXR, as they are published.
    Image figures need healthy films; pixel figures need masks. With boxes, a figure tells how often the highest point
    of a heatmap lies inside a box. Films with unknown labels are left out; the report says which. Masks, lungs and
    boxes are turned as their film where its file asks for it. Another aspect ratio than the film's is refused.

    Writes to OUT: metrics.json, report.html (table, ROC curve, best and worst films) and everything that
    `artasyn detect` writes. The thresholds are stored with the model; only figures called oracle use a threshold
    chosen on the test set. Figures inside the lungs use the true lungs where the test set has them, otherwise the
    lungs found by PBTSeg. Films that the detector calls unusable count with their scores in all figures, as if a reader
    had not been warned; metrics.json and the report list them.

    Args:
        options: what to read, where to write, and how.
    """
    data, out, model, seed = options.data, options.out, options.model, options.seed
    test = find(data, options.layout)
    found = detect_sources(
        [film.source for film in test.films],
        out,
        model=model,
        restrict_to_lungs=options.restrict_to_lungs,
        device=options.device,
        workers=options.workers,
        prune=options.prune,
    )
    outcomes = found.outcomes
    figures, quality, failed = _measure(test, outcomes, out, model=model, bootstrap=options.bootstrap, seed=seed)
    about: dict[str, Any] = {"version": __version__, "model": str(model), "data": str(data)}
    about |= {"restrict_to_lungs": options.restrict_to_lungs, "bootstrap": options.bootstrap, "seed": seed}
    about |= {"lungs": "given" if test.has_lungs else "PBTSeg"}
    about |= {"layout": test.layout, "test_set": test.summary, "unusable": _unusable(found, test)}
    results = {name: metrics.to_json() for name, metrics in figures.items()}
    atomic.write_text(out / "metrics.json", json.dumps(about | results, indent=1, allow_nan=False) + "\n")
    parts = sections(figures, outcomes, quality, test, out)
    write_report(out / "report.html", f"Detection on {data.name}", parts)
    written = (out / "report.html", out / "metrics.json", *found.written)
    return Done(written, (*outcomes, *failed), tuple(parts), found.notes, said=_said(figures["detector"]))


def _said(figures: Metrics) -> str:
    """Returns the result in a line: the figures that the test set defines."""
    known = {"image AUROC": figures.image_auroc, "Dice": figures.dice, "pointing": figures.pointing}
    values = [f"{name} {figure.value:.3f}" for name, figure in known.items() if not math.isnan(figure.value)]
    return f"{figures.images} films, {figures.diseased} of them diseased: {', '.join(values) or 'no figure is defined'}"


def _unusable(found: Done, test: TestSet) -> dict[str, Any]:
    """Returns the films that the detector calls unusable: how many, how many of them are diseased, and the words."""
    diseased = {film.source.name for film in test.films if film.diseased}
    words = {outcome.source.name: row["warnings"] for outcome, row in found.unusable}
    return {"films": len(words), "diseased": len(diseased & words.keys()), "warnings": words}


def _measure(
    test: TestSet, outcomes: Sequence[Outcome], out: Path, *, model: str, bootstrap: int, seed: int
) -> tuple[dict[str, Metrics], dict[str, float], list[Outcome]]:
    """Returns the figures of detector and prior, the quality by diseased film, and the films that failed."""
    detector = open_detector(model, "cpu")
    rank = rank_of(test)
    ours = Scored(Evaluation(threshold=detector.threshold, image_threshold=detector.image_threshold), rank)
    prior = Scored(Evaluation(threshold=0.5), rank)
    rows = {outcome.source.name: outcome.rows[0] for outcome in outcomes if outcome.rows}

    def measure(film: TestFilm) -> dict[str, Measured]:
        row = rows[film.source.name]
        heatmap = read_heatmap(out / row["heatmap"])
        given = lungs_of(film, heatmap.shape) if test.has_lungs else None
        lungs = read_lungs(out / row["lungs"]) if given is None else given
        alone = Measured.prior(film, heatmap.shape, lungs)
        return {"detector": alone.by(float(row["score"]), heatmap), "lungs_prior": alone}

    films = [film for film in test.films if film.source.name in rows]
    scored = {"detector": ours, "lungs_prior": prior}
    failed = score_films(progress(films, title="measure", unit="film"), measure, scored)
    if len(failed) == len(films):
        raise DataError(f"none of the {len(test.films)} films could be measured; see {out / 'manifest.csv'}")
    figures = {name: one.evaluation.result(bootstrap=bootstrap, seed=seed) for name, one in scored.items()}
    unread = [*test.failed, *((film.source, reason) for film, reason in failed)]
    return figures, ours.quality, [Outcome(source, reason=f"ground truth: {reason}") for source, reason in unread]


def sections(
    figures: Mapping[str, Metrics], outcomes: Sequence[Outcome], quality: Mapping[str, float], test: TestSet, out: Path
) -> list[Section]:
    """Returns the sections of a report on a test set: figures, ROC curve, worst and best films.

    Args:
        figures: the figures of the detector and of the prior.
        outcomes: the outcome of every film.
        quality: by name of each diseased film: Dice with its mask, else the probability that the highest point lies
            inside a box, else the score.
        test: the test set.
        out: where the overlays are.
    """
    ours = figures["detector"]
    table = metrics_section(
        "Figures",
        f"{test.summary} Measured: {ours.images} films, {ours.diseased} of them diseased; 95 % intervals by resampling "
        "the films. Beside the detector stands what the true or segmented lungs alone would score, with nothing "
        "learnt: a detector that does not beat it has learnt nothing. Thresholds were fixed before the test, except "
        "what is called oracle.",
        {"artasyn": ours, "lungs alone": figures["lungs_prior"]},
    )
    parts = [table]
    rows = {o.source.name: o.rows[0] for o in outcomes if o.rows}
    scores = [float(row["score"]) for row in rows.values()]
    films = {film.source.name: film for film in test.films}
    labels = [films[name].diseased for name in rows]
    if any(labels) and not all(labels):
        parts.append(Section("Image scores", pictures=[("ROC curve", roc_picture({"artasyn": (scores, labels)}))]))
    known = test.has_masks or test.has_boxes
    views = "Each row: film, heatmap, what the detector marks" + (", the ground truth." if known else ".")
    measure = "Dice" if test.has_masks else "inside a box" if test.has_boxes else "score"
    unusable = {name: row for name, row in rows.items() if row["status"] == UNUSABLE}
    judged = sorted(quality.keys() - unusable.keys(), key=lambda n: (quality[n], n))
    diseased = [(name, f"{measure} {quality[name]:.2f}  {name}") for name in judged]
    healthy = sorted(
        (n for n in rows if not films[n].diseased and n not in unusable), key=lambda n: -float(rows[n]["score"])
    )
    for title, shown in (
        ("Diseased films, worst first", diseased[:SHOWN]),
        ("Diseased films, best first", diseased[::-1][:SHOWN]),
        (
            "Healthy films, highest score first",
            [(n, f"score {float(rows[n]['score']):.6f}  {n}") for n in healthy[:SHOWN]],
        ),
    ):
        if shown:
            pictures = [_view(rows[name], films[name], out) for name, _ in shown]
            sheet = contact_sheet(pictures, [caption for _, caption in shown], columns=2, tile=4 * TILE)
            parts.append(Section(title, views, pictures=[("", sheet)]))
    return parts + ([_unusable_section(unusable, films, out)] if unusable else [])


def _unusable_section(unusable: Mapping[str, Row], films: Mapping[str, TestFilm], out: Path) -> Section:
    """Returns the section of the films that are unusable: a table of all, pictures of the first."""
    text = (
        f"{len(unusable)} films are unusable and never abnormal. In the figures above they count with their scores, as "
        "if no one had been warned."
    )
    truth = {name: "diseased" if films[name].diseased else "healthy" for name in unusable}
    table = [(name, truth[name], row["warnings"], row["reason"]) for name, row in unusable.items()]
    shown = [*unusable.items()][:SHOWN]
    pictures = [read_picture(out / row["overlay"]) for _, row in shown]
    sheet = contact_sheet(pictures, [f"{row['warnings']}: {n}" for n, row in shown], columns=2, tile=4 * TILE)
    header = ("film", "label", "warnings", "reason")
    return Section("Unusable films", text, header, table, [("", sheet)])


def _view(row: Row, film: TestFilm, out: Path) -> Picture:
    """Returns a film's overlay and, where the lesions are known, a panel beside it that shows the lesions."""
    overlay = read_picture(out / row["overlay"])
    if not film.diseased or (film.truth is None and not film.boxes):
        return overlay
    image = read_radiograph(film.source.path)
    boxes = inside_boxes(film.boxes_on(image.shape), image.shape) if film.boxes else None
    return np.hstack([overlay, truth_panel(image, film.lesions(image.shape), boxes)])
