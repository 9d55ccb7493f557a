"""Zero-shot detection on unseen data sets: ``python -m benchmarks.score_zeroshot --data DIR``.

DIR is a test set in a public layout (QaTa-COV19, ZhangLab, RSNA pneumonia, NIH boxes, CheXlocalize, SIIM-ACR,
VinDr-CXR, or plain folders; see `artasyn.testsets`), or the folder of development sets (see `benchmarks.development`).
The detector is compared with the anatomy prior ("everything inside the lungs"), with an atlas of normal films without a
network (where --normals is given), and with any further detectors:

    python -m benchmarks.score_zeroshot --data DIR --compare patch=models/patch --compare perlin=models/perlin

Writes to --out: zeroshot.json (every figure with its 95 % interval), table.md, report.html (tables; ROC, precision and
PRO curves; the worst and the best films).
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from artasyn.arrays import Heatmap, Image, Picture
from artasyn.detection.detector import Detector
from artasyn.detection.opening import heat_scale
from artasyn.evaluation.boxes import inside_boxes
from artasyn.evaluation.evaluation import Evaluation, Metrics
from artasyn.files import atomic
from artasyn.files.radiograph import read_radiograph
from artasyn.pictures.curves import curve_picture, roc_picture
from artasyn.pictures.overlays import contact_sheet
from artasyn.pictures.panels import detection_panels, truth_panel
from artasyn.pictures.report import FIGURES, Section, metrics_section, shown, write_report
from artasyn.segment import Lungs
from artasyn.testsets.layouts import find
from artasyn.testsets.measured import Method, Scored, measure_film, rank_of, score_films
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.training.normals import load_normals
from benchmarks.development import SETS
from benchmarks.rivals.atlas import Atlas
from benchmarks.speed_stages import machine

SHOWN = 8
"""Films at each end of the ranking."""


def network(detector: Detector) -> Method:
    """A detector as a method; it tells by itself where the lungs are."""

    def detect(film: Image, lungs: Lungs) -> tuple[float, Heatmap]:
        found = detector(film)
        return found.score, found.heatmap

    return detect


def no_network(atlas: Atlas) -> Method:
    """An atlas as a method."""
    return lambda film, lungs: atlas(film, lungs)


def score_set(
    test: TestSet, methods: Mapping[str, Method | None], detectors: Mapping[str, Detector], *, title: str
) -> tuple[dict[str, Scored], list[str]]:
    """Runs every method on every film; None is the anatomy prior. Unreadable films are left out, with the reason."""
    rank = rank_of(test)
    scored = {
        name: Scored(
            Evaluation(threshold=detectors[name].threshold, image_threshold=detectors[name].image_threshold)
            if name in detectors
            else Evaluation(threshold=None if method else 0.5),
            rank,
        )
        for name, method in methods.items()
    }
    films = tqdm(test.films, desc=title, unit="film")
    failed = score_films(films, functools.partial(measure_film, methods=methods), scored)
    return scored, [f"{film.source.path}: {reason}" for film, reason in failed]


def report_sections(title: str, test: TestSet, scored: Mapping[str, Scored], figures: Mapping[str, Metrics],
                    detector: Detector) -> list[Section]:  # fmt: skip
    """Figures, curves and films of one test set."""
    labels = {film.source.name: film.diseased for film in test.films}
    parts = [metrics_section(title, test.summary, figures)]
    pictures: list[tuple[str, Picture]] = []
    measured = {name: one for name, one in scored.items() if len(set(one.scores.values())) > 1}
    if len(set(labels.values())) > 1:
        curves = {n: (list(one.scores.values()), [labels[film] for film in one.scores]) for n, one in measured.items()}
        pictures.append(("ROC of image scores", roc_picture(curves)))
    if test.has_masks:
        lines = {name: one.evaluation.curves() for name, one in scored.items()}
        for caption, (across, up) in {
            "Precision and recall of pixels": ("recall", "precision"),
            "Overlap with lesion regions (PRO) against healthy pixels marked": ("false_positive_rate", "overlap"),
        }.items():
            drawn = {name: (line[across], line[up]) for name, line in lines.items()}
            pictures.append((caption, curve_picture(drawn, across.replace("_", " "), up)))
    if pictures:
        parts.append(Section(f"{title}: curves", pictures=pictures))
    first = next(iter(scored.values()))
    order = sorted(first.quality, key=lambda name: first.quality[name])
    healthy = sorted((n for n in first.scores if not labels[n]), key=lambda n: -first.scores[n])
    films = {film.source.name: film for film in test.films}
    for heading, names, values in (
        ("worst diseased films", order[:SHOWN], first.quality),
        ("best diseased films", order[::-1][:SHOWN], first.quality),
        ("healthy films of the highest score", healthy[:SHOWN], first.scores),
    ):
        if names:
            views = [film_view(films[name], detector) for name in names]
            captions = [f"{values[name]:.2f}  {name}" for name in names]
            sheet = contact_sheet(views, captions, columns=2, tile=640)
            parts.append(
                Section(f"{title}: {heading}", "Film, heatmap, mask, truth where known.", pictures=[("", sheet)])
            )
    return parts


def film_view(film: TestFilm, detector: Detector) -> Picture:
    """A film, its heatmap, its mask and the truth, side by side."""
    image = read_radiograph(film.source.path)
    found = detector(image)
    lesions = film.lesions(image.shape) if film.diseased else None
    boxes = inside_boxes(film.boxes_on(image.shape), image.shape) if film.boxes else None
    panels = detection_panels(image, found.heatmap, found.mask, top=heat_scale(detector).top)
    return np.hstack([panels, truth_panel(image, lesions, boxes)])


def table(figures: Mapping[str, Mapping[str, Metrics]]) -> str:
    """The figures of every set as Markdown."""
    lines = []
    for title, methods in figures.items():
        lines += [f"### {title}", "", "| | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
        for key, name in FIGURES.items():
            cells = [shown(getattr(metrics, key)) for metrics in methods.values()]
            if set(cells) != {"-"}:
                lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measures and writes the results."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="a test set, or the folder of development sets")
    options.add_argument("--layout", default="auto", help="of the test set, where it is not recognised")
    options.add_argument("--model", default="bundled", help="a detector's folder or hub id")
    options.add_argument("--compare", nargs="*", default=[], metavar="NAME=MODEL", help="further detectors")
    options.add_argument("--normals", type=Path, help="cache/ of a training, for the atlas without a network")
    options.add_argument("--out", type=Path, default=Path("zeroshot"), help="folder of the results")
    options.add_argument("--bootstrap", type=int, default=1000)
    given = options.parse_args()
    named = {"artasyn": given.model} | dict(each.split("=", 1) for each in given.compare)
    detectors = {name: Detector.from_pretrained(model) for name, model in named.items()}
    methods: dict[str, Method | None] = {name: network(each) for name, each in detectors.items()}
    methods["lungs alone"] = None
    if given.normals:
        methods["atlas, no network"] = no_network(
            Atlas.of(load_normals(given.normals), detectors["artasyn"].settings.size)
        )
    development = (given.data / "lesions").is_dir() and (given.data / "nih_normal").is_dir()
    tests = (
        {name: make(given.data) for name, make in SETS.items()}
        if development
        else {given.data.name: find(given.data, given.layout)}
    )
    figures: dict[str, dict[str, Metrics]] = {}
    parts: list[Section] = []
    failures: list[str] = []
    for title, test in tests.items():
        print(f"{title}: {test.summary}")
        scored, failed = score_set(test, methods, detectors, title=title)
        failures += failed
        figures[title] = {name: one.evaluation.result(bootstrap=given.bootstrap) for name, one in scored.items()}
        parts += report_sections(title, test, scored, figures[title], detectors["artasyn"])
    result = {"machine": machine(), "models": named, "failures": failures}
    result["sets"] = {t: {n: m.to_json() for n, m in each.items()} for t, each in figures.items()}
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_text(given.out / "zeroshot.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
    atomic.write_text(given.out / "table.md", table(figures))
    write_report(given.out / "report.html", "Zero-shot detection", parts)
    for name in ("report.html", "table.md", "zeroshot.json"):
        print(given.out / name)
    if failures:
        print(f"{len(failures)} films left out:", *failures, sep="\n")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
