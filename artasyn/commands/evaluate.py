"""The command that measures a detector on a test set and compares the detector with the lungs alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artasyn.bulk.progress import progress
from artasyn.bulk.run import Outcome
from artasyn.commands.detect import detect_sources
from artasyn.console.detected import DATE, detector_facts, report_date
from artasyn.console.evaluated import Evaluated, sections
from artasyn.console.groups import AGES, film_groups
from artasyn.console.options import DEVICE, MODEL, OUT, PRUNE, WORKERS, flag, option, remote, several
from artasyn.console.results import Done
from artasyn.detection.opening import open_detector
from artasyn.errors import DataError
from artasyn.evaluation.evaluation import Evaluation, Metrics
from artasyn.evaluation.operating import check_prevalences
from artasyn.evaluation.study import Plan, study
from artasyn.files import atomic
from artasyn.files.radiograph import read_heatmap
from artasyn.pictures.report import write_report
from artasyn.remote.urls import shown
from artasyn.testsets.layouts import find
from artasyn.testsets.measured import Measured, Scored, lungs_of, rank_of, read_lungs, score_films
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.version import __version__

if TYPE_CHECKING:
    from artasyn.detection.detector import Detector


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `evaluate`."""

    data: Path = field(metadata=option("the test set's folder"))
    out: Path = field(metadata=remote("results", option(OUT)))
    _: KW_ONLY
    model: str = field(default="bundled", metadata=option(MODEL, main=True))
    layout: str = field(
        default="auto",
        metadata=option(
            "how the test set lies in its folder, one of the above; auto tells it from what is there", main=True
        ),
    )
    label: Sequence[str] | None = field(
        default=None,
        metadata=several(
            "count only these findings as diseased, by a name of artasyn, a label of CheXpert, ChestX-ray14 or "
            "VinDr-CXR, or a code of RadLex or SNOMED CT; for nih, chexlocalize and vindr (default: opacities and "
            "other findings of lungs and pleura)",
            metavar="FINDING",
        ),
    )
    restrict_to_lungs: bool = field(default=True, metadata=option("look only inside the lungs, found by PBTSeg"))
    device: str = field(default="auto", metadata=option(DEVICE))
    bootstrap: int = field(default=1000, metadata=option("resamples of patients or films for the 95 % intervals"))
    seed: int = field(default=0, metadata=option("of the resampling"))
    groups: Path | None = field(
        default=None,
        metadata=option("a CSV file with a column film or patient, and any of patient, sex, age, view and site"),
    )
    ages: Sequence[int] = field(default=AGES, metadata=several("years at which the bands of ages begin", of=int))
    cross: Sequence[str] = field(
        default=("sex", "age"), metadata=several("two columns whose groups are crossed", of=str, count="*")
    )
    prevalence: Sequence[float] = field(
        default=(0.05, 0.2), metadata=several("shares of diseased patients, for the predictive values", of=float)
    )
    prune: bool = field(default=False, metadata=flag(PRUNE))
    date: str = field(default="", metadata=option(DATE))
    workers: int = field(default=0, metadata=option(f"{WORKERS}, or one on a GPU", main=True))


def evaluate(options: EvaluateOptions) -> Done:
    """Measures a detector on a test set and compares it with the anatomy prior "everything inside the lungs".

    For example: artasyn evaluate --data data/ --model training/model --out evaluation

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

    Patients and groups come from --groups, from the headers of DICOM films, or from the names of a published set.
    Intervals resample patients where these are known. Every group gets its figures, and the largest gap between groups
    its interval; groups with fewer than 10 films of a label are named and not judged.

    Writes to OUT: metrics.json, report.html (figures, curves, groups, the list of films) and everything that
    `artasyn detect` writes. The thresholds are stored with the model; only figures called oracle use a threshold
    chosen on the test set. Figures inside the lungs use the true lungs where the test set has them, otherwise the
    lungs found by PBTSeg. Films that the detector calls unusable count with their scores in all figures, as if a reader
    had not been warned; metrics.json and the report list them.

    Args:
        options: what to read, where to write, and how.
    """
    data, out, model, date = options.data, options.out, options.model, report_date(options.date)
    check_prevalences(options.prevalence)
    test = find(data, options.layout, tuple(options.label or ()))
    groups = film_groups(test, options.groups, ages=options.ages, cross=options.cross)
    plan = Plan(options.bootstrap, options.seed, groups.patients, options.prevalence, groups.groups)
    found = detect_sources(
        [film.source for film in test.films],
        out,
        model=model,
        restrict_to_lungs=options.restrict_to_lungs,
        device=options.device,
        workers=options.workers,
        prune=options.prune,
    )
    outcomes, detector = found.outcomes, open_detector(model, "cpu")
    scored, failed = _measure(test, outcomes, out, detector)
    figures = {name: _result(one.evaluation, plan) for name, one in scored.items()}
    films = scored["detector"].evaluation.films()
    further = study(films, plan)
    about: dict[str, Any] = {"version": __version__, "model": str(model), "data": shown(str(data))}
    about |= {"restrict_to_lungs": options.restrict_to_lungs, "bootstrap": plan.bootstrap, "seed": plan.seed}
    about |= {"lungs": "given" if test.has_lungs else "PBTSeg"} | ({"label": [*options.label]} if options.label else {})
    about |= {"layout": test.layout, "test_set": test.summary, "unusable": _unusable(found, test)}
    results = {name: metrics.to_json() for name, metrics in figures.items()} | further.to_json()
    atomic.write_text(out / "metrics.json", json.dumps(about | results, indent=1, allow_nan=False) + "\n")
    limit, quality = detector.image_threshold, scored["detector"].quality
    parts = sections(Evaluated(test, figures, films, further, groups, limit, outcomes, quality, out))
    facts = [("test set", f"{data.name}, layout {test.layout}"), *detector_facts(model, detector, date)]
    write_report(out / "report.html", f"Detection on {data.name}", parts, facts)
    written = (out / "report.html", out / "metrics.json", *found.written)
    return Done(written, (*outcomes, *failed), tuple(parts), (*found.notes, *groups.notes), said=_said(figures))


def _result(evaluation: Evaluation, plan: Plan) -> Metrics:
    """Returns the figures of one method."""
    return evaluation.result(bootstrap=plan.bootstrap, seed=plan.seed, patients=plan.patients)


def _said(all_figures: Mapping[str, Metrics]) -> str:
    """Returns the result in a line: the figures of the detector that the test set defines."""
    figures = all_figures["detector"]
    known = {"image AUROC": figures.image_auroc, "Dice": figures.dice, "pointing": figures.pointing}
    values = [f"{name} {figure.value:.3f}" for name, figure in known.items() if not math.isnan(figure.value)]
    return f"{figures.images} films, {figures.diseased} of them diseased: {', '.join(values) or 'no figure is defined'}"


def _unusable(found: Done, test: TestSet) -> dict[str, Any]:
    """Returns the films that the detector calls unusable: how many, how many of them are diseased, and the words."""
    diseased = {film.source.name for film in test.films if film.diseased}
    words = {outcome.source.name: row["warnings"] for outcome, row in found.unusable}
    return {"films": len(words), "diseased": len(diseased & words.keys()), "warnings": words}


def _measure(
    test: TestSet, outcomes: Sequence[Outcome], out: Path, detector: Detector
) -> tuple[dict[str, Scored], list[Outcome]]:
    """Returns detector and prior with the films that were measured, and the films that failed."""
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
    unread = [*test.failed, *((film.source, reason) for film, reason in failed)]
    return scored, [Outcome(source, reason=f"ground truth: {reason}") for source, reason in unread]
