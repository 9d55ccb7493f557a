"""How good a detector is on a data set that it has never seen, beside what the lungs alone would give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from artasyn import atomic
from artasyn.arrays import Mask, Picture
from artasyn.bulk import Outcome, Row
from artasyn.collection import Source, find_sources
from artasyn.commands import TILE, Done
from artasyn.errors import DataError, RadiographError
from artasyn.metrics import Evaluation, Metrics, anatomy_prior
from artasyn.model_commands import detect, load_detector
from artasyn.pictures import contact_sheet, overlay_mask, read_picture
from artasyn.radiograph import read_heatmap, read_labels, read_mask
from artasyn.report import Section, metrics_section, roc_picture, write_report
from artasyn.version import __version__

SHOWN = 8
"""Films shown at each end of the ranking."""


@dataclass(frozen=True)
class TestSet:
    """A test set on disk.

    Attributes:
        films: every radiograph; names begin with ``healthy/`` or ``diseased/``.
        masks: the ground truth of the diseased films that have one, by film name.
        lungs: true lungs by film name, where the set has them.
    """

    films: tuple[Source, ...]
    masks: Mapping[str, Path]
    lungs: Mapping[str, Path]

    __test__ = False  # no test class, whatever pytest thinks of its name

    @classmethod
    def find(cls, data: Path) -> TestSet:
        """Reads the layout ``test/healthy``, ``test/diseased``, ``ground_truth``, ``lungs``, below `data`.

        Without ``test/healthy`` (as QaTa-ZeroShot is published) there are no figures of image scores; without
        ``ground_truth`` there are none of pixels. A mask is called as its film is, or ``mask_`` before that. Lungs are
        optional: masks or labels 1 and 2, called as the film is.

        Raises:
            DataError: there is no ``test/diseased``, or some diseased films have a mask and others have none.
        """
        test = data / "test"
        if not (test / "diseased").is_dir():
            raise DataError(
                f"{data}: no folder test/diseased; wanted are test/healthy, test/diseased and, for pixel figures, "
                "ground_truth with a mask of the same name (or mask_ before it) for every diseased film"
            )
        films = [s for s in find_sources([test]) if s.name.split("/")[0] in ("healthy", "diseased")]
        masks, lungs = _by_name(data / "ground_truth", films), _by_name(data / "lungs", films)
        diseased = [film.name for film in films if film.name.startswith("diseased/")]
        missing = [name for name in diseased if name not in masks]
        if masks and missing:
            raise DataError(
                f"{data / 'ground_truth'}: no mask for {len(missing)} of {len(diseased)} diseased films "
                f"({', '.join(missing[:3])}, ...); add them, or leave those films out: missing is not empty"
            )
        return cls(tuple(films), masks, lungs if len(lungs) == len(films) else {})


def _by_name(folder: Path, films: Sequence[Source]) -> dict[str, Path]:
    """The files of a folder that belong to films, by the film's name."""
    if not folder.is_dir():
        return {}
    files = {source.name: source.path for source in find_sources([folder])}
    found = {}
    for film in films:
        _, _, inner = film.name.partition("/")
        above, _, last = inner.rpartition("/")
        prefixed = f"{above}/mask_{last}" if above else f"mask_{last}"
        for name in (film.name, inner, prefixed):
            if name in files:
                found[film.name] = files[name]
                break
    return found


def evaluate(
    data: Path,
    out: Path,
    *,
    model: str,
    restrict_to_lungs: bool = True,
    device: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    workers: int = 0,
) -> Done:
    """Measures a detector on a test set, beside the anatomy prior "everything inside the lungs".

    Reads from DATA: test/healthy, test/diseased, ground_truth (a mask for every diseased film, of its name or with
    mask_ before it) and, optionally, lungs. Without test/healthy (the published layout of QaTa-ZeroShot) there are no
    image figures, without ground_truth no pixel figures.

    Writes to OUT: metrics.json, report.html (table, ROC curve, best and worst films) and everything that
    `artasyn detect` writes. Thresholds are those stored with the model; nothing is chosen on the test set but what is
    called oracle. Figures inside the lungs use the true lungs where there are any, otherwise those of PBTSeg.

    Args:
        data: the test set's folder.
        out: the folder to write to. A run that was killed goes on there.
        model: the folder that `artasyn train` wrote as OUT/model, or the id of a model on the Hugging Face hub.
        restrict_to_lungs: look only inside the lungs, found by PBTSeg.
        device: cpu, cuda, cuda:1, mps; auto takes a GPU where there is one.
        bootstrap: resamples of the films for the 95 % intervals.
        seed: of the resampling.
        workers: processes; 0 takes every core, or one on a GPU.
    """
    test = TestSet.find(data)
    found = detect(
        [data / "test"], out, model=model, restrict_to_lungs=restrict_to_lungs, device=device, workers=workers
    )
    wanted = {film.name for film in test.films}
    outcomes = tuple(o for o in found.outcomes if o.source.name in wanted)
    figures, quality, failed = _measure(test, outcomes, out, model=model, bootstrap=bootstrap, seed=seed)
    about = {"version": __version__, "model": str(model), "data": str(data), "restrict_to_lungs": restrict_to_lungs}
    about |= {"bootstrap": bootstrap, "seed": seed, "lungs": "given" if test.lungs else "PBTSeg"}
    results = {name: metrics.to_json() for name, metrics in figures.items()}
    atomic.write_text(out / "metrics.json", json.dumps(about | results, indent=1, allow_nan=False) + "\n")
    parts = sections(figures, outcomes, quality, test, out)
    write_report(out / "report.html", f"Detection on {data.name}", parts)
    written = (out / "report.html", out / "metrics.json", *found.written)
    return Done(written, (*outcomes, *failed), tuple(parts))


def _measure(
    test: TestSet, outcomes: Sequence[Outcome], out: Path, *, model: str, bootstrap: int, seed: int
) -> tuple[dict[str, Metrics], dict[str, float], list[Outcome]]:
    """The figures of the detector and of the prior, each diseased film's Dice, and the films left out with reasons."""
    detector = load_detector(model, "cpu")
    ours = Evaluation(threshold=detector.threshold, image_threshold=detector.image_threshold)
    prior = Evaluation(threshold=0.5)
    quality: dict[str, float] = {}
    failed: list[Outcome] = []
    rows = [(outcome.source, outcome.rows[0]) for outcome in outcomes if outcome.rows]
    for film, row in tqdm(rows, desc="measure", unit="film"):
        diseased = film.name.startswith("diseased/")
        heatmap = read_heatmap(out / row["heatmap"])
        try:
            lesions, lungs = _truth(test, film, row, out, heatmap.shape)
        except (DataError, OSError, ValueError) as error:
            failed.append(Outcome(film, reason=f"ground truth: {error}"))
            continue
        score = float(row["score"])
        ours.add(film.name, score, diseased=diseased, heatmap=heatmap, lesions=lesions, lungs=lungs)
        prior.add(film.name, 0.0, diseased=diseased, heatmap=anatomy_prior(lungs), lesions=lesions, lungs=lungs)
        if lesions is not None and lesions.any():
            mask = heatmap >= np.float32(detector.threshold)
            quality[film.name] = float(2 * (mask & lesions).sum() / (mask.sum() + lesions.sum()))
    if not rows or len(failed) == len(rows):
        raise DataError(f"none of the {len(test.films)} films could be measured; see {out / 'manifest.csv'}")
    return (
        {
            "detector": ours.result(bootstrap=bootstrap, seed=seed),
            "lungs_prior": prior.result(bootstrap=bootstrap, seed=seed),
        },
        quality,
        failed,
    )


def _truth(test: TestSet, film: Source, row: Row, out: Path, shape: tuple[int, int]) -> tuple[Mask | None, Mask]:
    """A film's lesions (None where the set has no masks) and lungs, on the film's grid."""
    lesions: Mask | None = None
    if test.masks:
        diseased = film.name in test.masks
        lesions = _on_grid(read_mask(test.masks[film.name]), shape) if diseased else np.zeros(shape, bool)
    lungs = _read_lungs(test.lungs[film.name] if test.lungs else out / row["lungs"])
    return lesions, _on_grid(lungs, shape)


def _read_lungs(path: Path) -> Mask:
    """The union of both lungs, from labels or from a mask."""
    try:
        return read_labels(path) > 0
    except RadiographError:
        return read_mask(path)


def _on_grid(mask: Mask, shape: tuple[int, int]) -> np.ndarray:
    """A mask on the film's grid, by nearest neighbour."""
    if mask.shape == shape:
        return mask
    return cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT) > 0


def sections(
    figures: Mapping[str, Metrics], outcomes: Sequence[Outcome], quality: Mapping[str, float], test: TestSet, out: Path
) -> list[Section]:
    """A report's parts on a test set: figures, ROC curve, worst and best films.

    Args:
        figures: of the detector and of the prior.
        outcomes: of every film.
        quality: Dice of the diseased films with a mask.
        test: the test set.
        out: where the overlays are.
    """
    ours = figures["detector"]
    table = metrics_section(
        "Figures",
        f"{ours.images} films, {ours.diseased} of them diseased; 95 % intervals by resampling the films. Beside the "
        "detector stands what the true or segmented lungs alone would score, with nothing learnt: a detector that "
        "does not beat it has learnt nothing. Thresholds were fixed before the test, except what is called oracle.",
        {"artasyn": ours, "lungs alone": figures["lungs_prior"]},
    )
    parts = [table]
    rows = {o.source.name: o.rows[0] for o in outcomes if o.rows}
    scores = [float(row["score"]) for row in rows.values()]
    labels = [name.startswith("diseased/") for name in rows]
    if any(labels) and not all(labels):
        parts.append(Section("Image scores", pictures=[("ROC curve", roc_picture({"artasyn": (scores, labels)}))]))
    views = "Each row: film, heatmap, what the detector marks" + (", the ground truth." if test.masks else ".")
    worst = sorted(quality, key=lambda name: quality[name])
    diseased = [(name, f"Dice {quality[name]:.2f}  {name}") for name in worst]
    healthy = sorted((n for n in rows if n.startswith("healthy/")), key=lambda n: -float(rows[n]["score"]))
    for title, films in (
        ("Diseased films, worst first", diseased[:SHOWN]),
        ("Diseased films, best first", diseased[::-1][:SHOWN]),
        ("Healthy films, highest score first", [(n, f"score {rows[n]['score']}  {n}") for n in healthy[:SHOWN]]),
    ):
        if films:
            pictures = [_view(rows[name], test.masks.get(name), out) for name, _ in films]
            sheet = contact_sheet(pictures, [caption for _, caption in films], columns=2, tile=4 * TILE)
            parts.append(Section(title, views, pictures=[("", sheet)]))
    return parts


def _view(row: Row, truth: Path | None, out: Path) -> Picture:
    """A film's overlay with the ground truth beside it."""
    overlay = read_picture(out / row["overlay"])
    if truth is None:
        return overlay
    third = overlay.shape[1] // 3
    film = overlay[:, :third, 0].astype(np.float32) / np.float32(255)
    return np.hstack([overlay, overlay_mask(film, _on_grid(read_mask(truth), film.shape))])
