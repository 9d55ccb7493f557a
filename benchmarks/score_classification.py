"""Classification of whole films with anatomy: ``python -m benchmarks.score_classification``.

Films are told apart by logistic regression on features of an encoder. The features are means over the whole film, over
a crop around the lungs, over the lungs, or over the regions of `artasyn.segment.anatomy.regions`; measures are added to
the regions' means. A region's features are how its mean differs from the whole film's, which is a feature of its own:
so the reasons of a region are not those of the whole film, such as a portable exposure. All ways share encoder, folds
and search of the penalty. Films of one patient are never in two folds. Every film gets its score from a classifier that
did not see its patient. Intervals are bootstraps over patients.

Choices: that a region's features are differences from the whole film, and `COVERED`, were chosen on these same films,
among seven forms of features and reasons that were tried. Intervals do not hold this choice.

Children are healthy films of the ZhangLab training set against its pneumonia; adults are NIH films without a finding
against NIH films with opacities in boxes. The reasons of a decision are the sums of weights times features by region.
They are compared with the boxes: how often the zone with the strongest reason holds a box.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from artasyn.arrays import Image, Mask
from artasyn.bulk.sources import find_sources
from artasyn.errors import DataError
from artasyn.evaluation.boxes import inside_boxes
from artasyn.files.radiograph import read_radiograph
from artasyn.networks.encoders import create_encoder, feature_maps
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.footprints import frontal_turn
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.anatomy.regions import ZONES, pool, region_names, regions
from artasyn.segment.anatomy.window import Window
from artasyn.segment.measures.cardiothoracic import CardiothoracicRatio
from artasyn.segment.measures.footprints import FRONTAL
from artasyn.testsets.layouts import find
from artasyn.testsets.testset import TestFilm
from benchmarks.paired import aurocs

ROOT = Path(__file__).parent.parent
SIZE = 256
"""Rows and columns of a film as the encoder sees it."""
MARGIN = 0.05
"""Margin of the crop around the lungs, as a share of the box's longer side."""
COVERED = 0.15
"""Least share of a zone that boxes cover where the zone holds a box."""
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS, INNER_FOLDS = 5, 3
WHOLE, CROP, LUNGS, MEASURES, REGIONS, BOTH = (
    "whole film", "lung crop", "lungs", "measures", "regions", "regions and measures",
)  # fmt: skip
WAYS = (WHOLE, CROP, LUNGS, MEASURES, REGIONS, BOTH)
PACKAGES = ("artasyn", "numpy", "scikit-learn", "timm", "torch")

Encode = Callable[[Image], np.ndarray]
"""Maps a prepared film (size, size) to features (c, rows, columns)."""
Vector = np.ndarray


@dataclass(frozen=True)
class Film:
    """A film of a set.

    Attributes:
        path: its file.
        patient: its patient.
        diseased: its label.
        boxed: the film with its boxes around opacities; None for a film without.
    """

    path: Path
    patient: str
    diseased: bool
    boxed: TestFilm | None = None


def patient_of(path: Path) -> str:
    """The patient of a film of ZhangLab or NIH."""
    found = re.match(r"person\d+|(NORMAL2-)?IM-\d+|\d{8}(?=_)", path.stem)
    if not found:
        raise DataError(f"{path}: the name does not tell the patient")
    return found.group()


def spread(films: Sequence[Film], most: int | None) -> list[Film]:
    """At most so many films, evenly spread over the list."""
    if not most or len(films) <= most:
        return list(films)
    return [films[place] for place in np.linspace(0, len(films) - 1, most).round().astype(int)]


def films_of(data: Path, most: int | None = None) -> dict[str, list[Film]]:
    """The films of both sets, at most so many of each class."""

    def listed(folder: str, *, diseased: bool) -> list[Film]:
        paths = sorted(source.path for source in find_sources([data / folder]))
        return spread([Film(path, patient_of(path), diseased) for path in paths], most)

    boxed = [film for film in find(data / "opacity_boxes").films if film.diseased]
    opaque = [Film(film.source.path, patient_of(film.source.path), diseased=True, boxed=film) for film in boxed]
    return {
        "children": [
            *listed("zhanglab/train/healthy", diseased=False),
            *listed("zhanglab/val/diseased", diseased=True),
        ],
        "adults": [*listed("nih_normal", diseased=False), *spread(opaque, most)],
    }


def imagenet_encoder(name: str = "efficientnet_lite0") -> Encode:
    """An encoder with weights learnt on photographs; features at 1/16 of the film's side."""
    return encoder_of(create_encoder(name, pretrained=True, size=SIZE, levels=4))


def encoder_of(encoder: torch.nn.Module) -> Encode:
    """The last map of a timm encoder."""
    encoder.eval()

    def encode(film: Image) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(feature_maps(encoder, torch.from_numpy(film)[None, None])[-1][0].numpy(), np.float32)

    return encode


def squared(mask: Mask, window: Window) -> Mask:
    """A mask of a film in the square that the encoder sees."""
    square = np.zeros((window.size, window.size), bool)
    inside = cv2.resize(mask.astype(np.uint8), (window.width, window.height), interpolation=cv2.INTER_NEAREST)
    square[window.inside] = inside > 0
    return square


def cropped(image: Image, lungs: Mask) -> Image:
    """The part of a film around the lungs; the whole film without lungs."""
    if not lungs.any():
        return image
    places = [np.flatnonzero(lungs.any(axis=axis)) for axis in (1, 0)]
    margin = round(MARGIN * max(np.ptp(place) for place in places))
    rows, columns = (slice(max(0, int(place[0]) - margin), int(place[-1]) + margin + 1) for place in places)
    part = image[rows, columns]
    return part if min(part.shape) >= 16 else image


def measures_of(anatomy: Anatomy, film: Image, masks: Mapping[str, Mask]) -> dict[str, float]:
    """Measures by the region that they are about: the ratio of the heart, areas, and greys beside the film's mean.

    Args:
        anatomy: of the film.
        film: the prepared film.
        masks: the regions in the prepared film's square.
    """
    lungs, heart = anatomy.lungs("visible"), anatomy.mask("drawn_heart")
    try:
        ratio = CardiothoracicRatio.of(anatomy).value
    except DataError:
        ratio = math.nan
    right, left = (int(np.count_nonzero(lung)) for lung in (lungs.right, lungs.left))
    total = max(1, right + left)
    found = {"heart: ratio": ratio, "heart: area": np.count_nonzero(heart) / total, "lungs: left share": left / total}
    inside = film[film > 0]
    middle, wide = (float(inside.mean()), float(inside.std()) or 1.0) if inside.size else (0.5, 1.0)
    for name, mask in masks.items():
        grey = film[mask]
        found[f"{name}: grey"] = (float(grey.mean()) - middle) / wide if grey.size else math.nan
        found[f"{name}: texture"] = float(grey.std()) / wide if grey.size else math.nan
    return found


def features_of(image: Image, anatomy: Anatomy, encode: Encode) -> tuple[dict[str, Vector], list[str]]:
    """The features of a film for every way, and the region of each of the last way's features."""
    window = Window.of(image.shape, SIZE)
    film = window.prepare(image)
    try:
        masks = {name: squared(mask, window) for name, mask in regions(anatomy).items()}
    except DataError:  # read as a side view: nothing is known of its regions
        masks = dict.fromkeys(region_names(), np.zeros((SIZE, SIZE), bool))
    lungs = anatomy.lungs("whole").mask
    maps = encode(film)
    field = np.zeros((SIZE, SIZE), bool)
    field[window.inside] = True
    whole, inside = pool(maps, {"film": field, "lungs": squared(lungs, window)})
    part = cropped(image, lungs)
    frame = Window.of(part.shape, SIZE)
    around = np.zeros((SIZE, SIZE), bool)
    around[frame.inside] = True
    (crop,) = pool(encode(frame.prepare(part)), {"crop": around})
    pooled = pool(maps, masks) - whole
    measures = measures_of(anatomy, film, masks)
    values = np.array(list(measures.values()), np.float32)
    owners = [name for name in (WHOLE, *masks) for _ in whole] + [name.split(":")[0] for name in measures]
    regional = np.concatenate([whole, pooled.ravel()])
    found = {WHOLE: whole, CROP: crop, LUNGS: inside, MEASURES: values, REGIONS: regional}
    return found | {BOTH: np.concatenate([regional, values])}, owners


def classifier(penalty: float) -> Pipeline:
    """Logistic regression on standardised features; an unknown feature counts as the mean."""
    return make_pipeline(
        SimpleImputer(keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=penalty, max_iter=2000, class_weight="balanced"),
    )


def fitted(features: np.ndarray, diseased: np.ndarray, patients: np.ndarray, seed: int) -> Pipeline:
    """The classifier with the penalty that is best on inner folds, fitted to all films."""
    folds = list(StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=seed).split(features, diseased, patients))
    means = []
    for penalty in PENALTIES:
        tried = [
            (test, classifier(penalty).fit(features[train], diseased[train]).decision_function(features[test]))
            for train, test in folds
        ]
        means.append(np.mean([roc_auc_score(diseased[test], scores) for test, scores in tried]))
    return classifier(PENALTIES[int(np.argmax(means))]).fit(features, diseased)


def out_of_fold(
    features: np.ndarray, diseased: np.ndarray, patients: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The log-odds of every film, and the contribution of each feature to it, by classifiers that did not see it.

    Returns:
        (films,) and (films, features). The contributions of a film and the classifier's intercept add up to the
        log-odds; a film with the training's mean features has none.
    """
    scores, parts = np.zeros(len(features)), np.zeros(features.shape)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(features, diseased, patients):
        model = fitted(features[train], diseased[train], patients[train], seed)
        scores[test] = model.decision_function(features[test])
        parts[test] = model[:-1].transform(features[test]) * model[-1].coef_[0]
    return scores, parts


def by_region(parts: np.ndarray, owners: Sequence[str]) -> dict[str, np.ndarray]:
    """The contribution of every region (films,): the sum over the region's features."""
    named = np.asarray(owners)
    return {str(name): parts[:, named == name].sum(axis=1) for name in dict.fromkeys(owners)}


def zones_of_boxes(marked: Mask, masks: Mapping[str, Mask]) -> list[bool]:
    """Which zones boxes cover by a share of `COVERED` or more.

    Args:
        marked: pixels inside the boxes.
        masks: the regions.
    """
    zones = [masks[name] for name in ZONES]
    return [bool(np.count_nonzero(zone & marked) >= COVERED * max(1, int(zone.sum()))) for zone in zones]


def reasons_right(reasons: Mapping[str, np.ndarray], zones: Sequence[list[bool] | None]) -> dict[str, Any]:
    """How often the zone with the strongest reason holds a box, and how often it is on the right side.

    Args:
        reasons: the contribution of every region, (films,).
        zones: which zones hold a box, for each film; None for a film without boxes.

    Returns:
        ``zone`` and, over films with boxes in one lung alone, ``side``; beside them the best that one and the same
        zone reaches for all films, and the mean of all zones.
    """
    places = [place for place, held in enumerate(zones) if held is not None and any(held)]
    if not places:
        return {"films": 0}
    held = np.array([zones[place] for place in places])
    strength = np.stack([reasons[name][places] for name in ZONES], axis=1)
    right = np.array([name.endswith("_right") for name in ZONES])
    single = held[:, right].any(axis=1) != held[:, ~right].any(axis=1)
    sides = right[strength.argmax(axis=1)] == held[:, right].any(axis=1)
    return {
        "films": len(places),
        "zone": round(float(held[np.arange(len(held)), strength.argmax(axis=1)].mean()), 4),
        "best_single_zone": round(float(held.mean(axis=0).max()), 4),
        "mean_zone": round(float(held.mean()), 4),
        "films_one_side": int(single.sum()),
        "side": round(float(sides[single].mean()), 4) if single.any() else None,
    }


def set_figures(
    films: Sequence[Film], read: Callable[[Image], Anatomy], encode: Encode, seed: int = 0
) -> dict[str, Any]:
    """The figures of one set.

    Args:
        films: the films of both classes.
        read: the anatomy of a film.
        encode: the encoder.
        seed: of the folds and of the bootstrap.
    """
    rows: list[dict[str, Vector]] = []
    zones: list[list[bool] | None] = []
    owners: list[str] = []
    for film in tqdm(films, desc="features", unit="film"):
        image = read_radiograph(film.path)
        anatomy = read(image)
        found, owners = features_of(image, anatomy, encode)
        rows.append(found)
        if film.boxed is None or frontal_turn(anatomy.angle) > FRONTAL:
            zones.append(None)
        else:
            marked = inside_boxes(film.boxed.boxes_on(image.shape), image.shape)
            zones.append(zones_of_boxes(marked, regions(anatomy)))
    diseased = np.array([film.diseased for film in films])
    patients = np.array([film.patient for film in films])
    scores, parts = {}, np.zeros(0)
    for way in tqdm(WAYS, desc="classifiers", unit="way"):
        scores[way], parts = out_of_fold(np.stack([row[way] for row in rows]), diseased, patients, seed)
    reasons = by_region(parts, owners)
    total = sum(np.abs(values).mean() for values in reasons.values())
    return {
        "healthy": int((~diseased).sum()),
        "diseased": int(diseased.sum()),
        "patients": len(set(patients)),
        "ways": aurocs(scores, diseased, patients.tolist(), WHOLE, seed),
        "weight_of_regions": {name: round(float(np.abs(of).mean() / total), 4) for name, of in reasons.items()},
        "reasons_and_boxes": reasons_right(reasons, zones),
        "examples": examples(films, scores[BOTH], reasons),
    }


def examples(
    films: Sequence[Film], scores: np.ndarray, reasons: Mapping[str, np.ndarray], count: int = 2
) -> list[dict[str, Any]]:
    """The reasons of the films with the highest and the lowest log-odds, the strongest reason first."""
    order = np.argsort(scores)
    found = []
    for place in (*order[::-1][:count], *order[:count]):
        own = {name: round(float(values[place]), 3) for name, values in reasons.items()}
        found.append({
            "film": films[place].path.name,
            "diseased": films[place].diseased,
            "log_odds": round(float(scores[place]), 3),
            "reasons": dict(sorted(own.items(), key=lambda item: -abs(item[1]))),
        })  # fmt: skip
    return found


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real data")
    options.add_argument("--model", default="bundled", help="a model's folder, or bundled")
    options.add_argument("--encoder", choices=("photographs", "anatomy"), default="photographs")
    options.add_argument("--films", type=int, help="most films of each class; all without")
    options.add_argument("--seed", type=int, default=0, help="of the folds and the bootstrap")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "anatomy_classification.json")
    given = options.parse_args()
    cv2.setNumThreads(1)
    net = AnatomyNet.from_pretrained(given.model)
    own = getattr(net.network, "encoder", None)
    encode = encoder_of(own) if own is not None and given.encoder == "anatomy" else imagenet_encoder()
    result: dict[str, Any] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "packages": {package: version(package) for package in PACKAGES},
        },
        "model": net.digest,
        "encoder": given.encoder,
        "size": SIZE,
        "seed": given.seed,
        "sets": {},
    }
    for name, films in films_of(given.data, given.films).items():
        result["sets"][name] = set_figures(films, net, encode, given.seed)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
