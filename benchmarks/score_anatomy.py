"""Quality of the anatomy that a network reads: ``python -m benchmarks.score_anatomy``.

1. Real radiographs with masks (`real_anatomy`), each half apart, on a grid of 256 pixels and on the film's own, with
   PBTSeg on the same films. The first half was looked at while the network was made; the second was not.
2. Films that cannot be read: turned, inverted, side views, hands, blank films and noise: how many are told, the
   predicted turn, and the share of pixels that is called lung.
3. Projections of patients that no training has seen (`projected_anatomy`): overlap at all angles, Cobb angles.

``--pictures`` writes sheets of the worst, middle and best real films of each set into a folder. They show real
radiographs and do not belong in the repository.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from artasyn.arrays import Image, Mask, Picture
from artasyn.cautions import UNUSABLE
from artasyn.files.radiograph import read_radiograph
from artasyn.pictures.overlays import contact_sheet, overlay_structures, write_picture
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.footprints import frontal_turn
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.stock.views import Patient
from benchmarks.paired import mean_difference
from benchmarks.projected_anatomy import bent, cobb_scores, phantom, projected_scores, reference, views
from benchmarks.real_anatomy import (
    SETS,
    Figures,
    Predict,
    Split,
    files,
    film_figures,
    lungs_of,
    pbtseg_anatomies,
    read_film,
    summaries,
    union,
)
from benchmarks.reference_volumes import ICRP
from benchmarks.score_refusals import films_of

ROOT = Path(__file__).parent.parent
HALVES: tuple[Split, Split] = ("odd", "even")
GRID = 256
PACKAGES = ("artasyn", "numpy", "opencv-python-headless", "torch", "timm")
PARTS = {"real": "anatomy", "unreadable": "anatomy_unreadable", "projections": "anatomy_projections"}
"""The parts of this program, and the name of each part's result."""
EVERY = 4
"""Of the films of a half, one in so many is also turned and inverted."""

POSES: dict[str, tuple[Callable[[Image], np.ndarray], str | None]] = {
    "untouched": (lambda film: film, None),
    "inverted": (lambda film: 1 - film, "inverted"),
    "turned by 90 degrees": (lambda film: np.rot90(film), "turned"),
    "turned by 180 degrees": (lambda film: np.rot90(film, 2), "turned"),
    "turned by 270 degrees": (lambda film: np.rot90(film, 3), "turned"),
}
"""What is done to a film, and the word that tells it."""


def real_figures(predict: Predict, data: Path) -> tuple[dict[str, Any], dict[str, dict[str, Figures]]]:
    """The figures on real films, and those of every film of both halves on the grid of 256 pixels."""
    found: dict[str, Any] = {"grid": GRID, "sets": {}, "pbtseg": {}, "difference": {}}
    kept: dict[str, dict[str, Figures]] = {}
    for half in HALVES:
        ours = film_figures(predict, data, half, size=GRID)
        theirs = film_figures(pbtseg_anatomies, data, half, size=GRID)
        found["sets"][half] = summaries(ours)
        found["sets"][half]["own grid"] = summaries(film_figures(predict, data, half, size=None, batch=2))
        found["pbtseg"][half], found["difference"][half] = summaries(theirs), {}
        found["difference"][half] = {
            name: mean_difference(
                [film["dice"] for film in of.values()], [each["dice"] for each in theirs[name].values()]
            )
            for name, of in ours.items()
        }
        for name, of in ours.items():
            kept[name] = kept.get(name, {}) | of
    found["sets"]["all"] = summaries(kept)
    return found, kept


def judged(anatomies: Sequence[Anatomy], word: str | None) -> dict[str, Any]:
    """How films that cannot be read are judged.

    Args:
        anatomies: of the films.
        word: the caution that tells their fault; None if any unusable word will do.
    """
    words = [frozenset(each.warnings) & UNUSABLE for each in anatomies]
    told = [bool(each) if word is None else word in each for each in words]
    turns = [frontal_turn(each.angle) for each in anatomies if math.isfinite(each.angle)]
    lung = [0.0 if (lungs := lungs_of(each, "whole")) is None else float(lungs.mask.mean()) for each in anatomies]
    return {
        "films": len(anatomies),
        "unusable": round(float(np.mean([bool(each) for each in words])), 4),
        "told": round(float(np.mean(told)), 4),
        "with_a_reason": round(float(np.mean([bool(each.reasons) for each in anatomies])), 4),
        "median_turn": round(float(np.median(turns)), 1) if turns else None,
        "turned_over_45": round(float(np.mean([each > 45 for each in turns])), 4) if turns else None,
        "median_confidence": round(float(np.median([np.median(each.confidence) for each in anatomies])), 4),
        "lung_pixels": round(float(np.mean(lung)), 4),
        "words": dict(sorted(Counter(word for each in words for word in sorted(each)).items())),
    }


def pose_figures(predict: Predict, data: Path) -> dict[str, Any]:
    """How turned and inverted films are judged, and how well inverted films are still read, by half."""
    found: dict[str, Any] = {}
    for half in HALVES:
        found[half] = {}
        paths = [(name, path) for name in SETS for path in files(data, name, half)[::EVERY]]
        for pose, (change, word) in POSES.items():
            films = (np.ascontiguousarray(change(read_radiograph(path)), np.float32) for _, path in paths)
            found[half][pose] = judged([predict([film])[0] for film in films], word)
        inverted = film_figures(lambda images: predict([1 - image for image in images]), data, half, size=GRID)
        found[half]["inverted"]["dice"] = {name: of["dice"] for name, of in summaries(inverted).items()}
    return found


def other_figures(predict: Predict, data: Path) -> dict[str, Any]:
    """How side views, hands, blank films and noise are judged."""
    rng = np.random.default_rng(0)
    blank = [np.full((256, 256), grey, np.float32) for grey in (0.0, 0.25, 0.5, 0.75, 1.0)]
    noise = [rng.random((256, 256), np.float32) for _ in range(10)]
    smooth = [np.clip(0.5 + 4 * (cv2.GaussianBlur(each, (0, 0), 12) - 0.5), 0, 1) for each in noise]
    kinds: dict[str, tuple[Iterator[Image] | list[Image], str | None]] = {
        "side views": (films_of(data / "lateral"), "lateral"),
        "hands": (films_of(data / "other"), "not_a_chest"),
        "blank": (blank, None),
        "noise": (noise, None),
        "smooth noise": ([np.asarray(each, np.float32) for each in smooth], None),
    }
    return {name: judged([predict([film])[0] for film in films], word) for name, (films, word) in kinds.items()}


def projection_figures(predict: Predict, data: Path, phantoms: int, spines: int, cache: Path | None) -> dict[str, Any]:
    """The figures on projections of the reference adults and of phantoms, and the errors of the Cobb angle.

    Args:
        predict: the predictor.
        data: folder of real data.
        phantoms: number of phantoms that are seen from all angles.
        spines: number of phantoms with a bent spine.
        cache: a folder that keeps the projections.
    """
    seen: dict[str, Callable[[], Patient]] = {f"icrp_{who}": partial(reference, data, who) for who in ICRP}
    seen |= {f"phantom_{seed}": partial(phantom, seed) for seed in range(phantoms)}
    curved: dict[str, Callable[[], Patient]] = {f"phantom_{seed}": partial(phantom, seed) for seed in bent(spines)}
    return projected_scores(predict, views(seen, cache=cache)) | {
        "cobb": cobb_scores(predict, views(curved, (0.0,), cache))
    }


def sheets(predict: Predict, data: Path, kept: Mapping[str, Mapping[str, Figures]], out: Path) -> None:
    """Writes, for each set, its worst three, middle three and best three films with truth and prediction."""
    out.mkdir(parents=True, exist_ok=True)
    for name, films in kept.items():
        order = sorted(films, key=lambda stem: films[stem]["dice"])
        middle = len(order) // 2
        chosen = [*order[:3], *order[middle - 1 : middle + 2], *order[-3:]]
        paths = {path.stem: path for path in files(data, name)}
        pictures, captions = [], []
        for stem in chosen:
            image, truth = read_film(paths[stem], SETS[name].masks, 512)
            pictures.append(drawn(image, truth, predict([image])[0], name))
            heart = f", heart {films[stem]['heart']:.3f}" if "heart" in films[stem] else ""
            captions.append(f"{films[stem]['dice']:.3f}{heart} {stem[:24]}")
        write_picture(out / f"{name}.png", contact_sheet(pictures, captions, columns=3, tile=420))


def drawn(image: Image, truth: Mapping[str, Mask], anatomy: Anatomy, name: str) -> Picture:
    """A film twice: the true masks are tinted, and the predicted lungs and heart are outlined."""
    lungs = lungs_of(anatomy, SETS[name].convention)
    contours = {} if lungs is None else {"lung_right": lungs.right, "lung_left": lungs.left}
    heart = union(anatomy, ("drawn_heart",))
    if heart is not None:
        contours["heart"] = heart
    tints = {"lungs": truth["lungs"]} | ({"lesions": truth["heart"]} if "heart" in truth else {})
    return np.hstack([overlay_structures(image, {}, {}), overlay_structures(image, tints, contours)])


def main() -> None:
    """Measures and writes one result for each part."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real data")
    options.add_argument("--model", default="bundled", help="a model's folder, or bundled")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is measured")
    options.add_argument("--phantoms", type=int, default=4, help="phantoms that are seen from all angles")
    options.add_argument("--spines", type=int, default=40, help="phantoms whose Cobb angle is measured")
    options.add_argument("--cache", type=Path, help="folder that keeps the projections")
    options.add_argument("--pictures", type=Path, help="folder for sheets of real films, outside the repository")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    given = options.parse_args()
    cv2.setNumThreads(1)
    net = AnatomyNet.from_pretrained(given.model)

    def predict(images: Sequence[Image]) -> Sequence[Anatomy]:
        return net(list(images))

    about = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "packages": {package: version(package) for package in PACKAGES},
        },
        "model": net.digest,
    }
    for part in given.parts:
        if part == "real":
            found, kept = real_figures(predict, given.data)
            if given.pictures:
                sheets(predict, given.data, kept, given.pictures)
        elif part == "unreadable":
            found = {"poses": pose_figures(predict, given.data), "others": other_figures(predict, given.data)}
        else:
            found = projection_figures(predict, given.data, given.phantoms, given.spines, given.cache)
        out = given.out / f"{PARTS[part]}.json"
        out.write_text(json.dumps(about | found, indent=1) + "\n")
        print(out)


if __name__ == "__main__":
    main()
