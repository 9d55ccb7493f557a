"""The rule of the cardiothoracic ratio beside the widest extent: ``python -m benchmarks.score_cardiothoracic``.

The rule leaves out vessels at the hila (`without_spurs`); the widest extent takes them for the heart.

1. Hearts that readers drew, which have no such vessels: both must agree.
2. The same hearts with a vessel at one hilum, 3, 5 and 8 mm high, beside the widest extent without the vessel.
3. Hearts of a real CT, of other patients made from it, of reference adults and of phantoms, projected from four sides.
   They are compared with the same hearts without vessels narrower than 16 mm, which a ball removes in three dimensions.
4. Hearts that the anatomy network reads on real films, beside the widest extent of the readers' hearts.

The rule was chosen on the first half of the films and of the patients, and is reported on the second. Every difference
is given with its limits of agreement. Patients are drawn from the seeds that the result names.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import ndimage
from tqdm import tqdm

from artasyn.arrays import Heatmap, Image, Mask
from artasyn.errors import DataError
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.ct.deformation import Deformation
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.measures.cardiothoracic import SPUR, cardiothoracic_ratio
from artasyn.segment.measures.footprints import HEARTS, THORAX, check_frontal, footprint, largest_parts, outline
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.view import View
from benchmarks.projected_anatomy import phantom
from benchmarks.real_anatomy import Split, files, read_film
from benchmarks.reference_volumes import icrp_volume

ROOT = Path(__file__).parent.parent
HALVES: tuple[Split, Split] = ("odd", "even")
DRAWN = ("JSRT", "wingspan")
"""Sets with hearts that readers drew."""
EXCHANGED = ("1.2.410.200048.10757.20170517111459",)
"""Films of wingspan whose masks of the heart and of the left lung are exchanged; they are left out."""
GRID = 256
THORAX_MM, LENGTH_MM, HEIGHTS_MM = 280.0, 12.0, (3.0, 5.0, 8.0)
"""Width of a thorax, assumed to scale vessels; how far they reach beyond the heart, and how high they are."""
BALL_MM = 8.0
"""Radius of the ball that removes vessels in three dimensions."""
VIEWS = {"parallel": View(source_to_detector=None, pixel=0.7, size=None), "pa": View(size=(512, 512))}
VIEWS |= {f"{angle:+d} degrees": View(float(angle), size=(512, 512)) for angle in (-10, 10)}
SEEDS = {"odd": range(0, 16, 2), "even": range(1, 16, 2)}
"""Seeds of the patients that are made from the CT, and of the phantoms, of which the first three are taken."""
ADULTS = {"odd": "AM", "even": "AF"}

Pair = tuple[float, float]
"""The ratio by the widest extent, and by the rule; NaN where it cannot be measured."""


def ratios(heart: Mask | Heatmap, lungs: Mask | Heatmap, roll: float = 0.0) -> Pair:
    """The ratio of the heart's widest extent to the thorax, and the library's ratio."""
    try:
        found = cardiothoracic_ratio(heart, lungs, roll=roll)
    except DataError:
        return math.nan, math.nan
    rows, columns = outline(largest_parts(heart.astype(np.float32))).T
    across = columns * math.cos(math.radians(roll)) + rows * math.sin(math.radians(roll))
    return float(np.ptp(across)) / found.thorax_width, found.value


def agreement(values: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """The difference of two measurements of the same hearts, with its limits of agreement.

    Args:
        values: NaN where not measured.
        reference: the same hearts.

    Source: Bland and Altman 1986, Statistical methods for assessing agreement.
    """
    apart = np.asarray(values) - np.asarray(reference)
    apart = apart[np.isfinite(apart)]
    spread = 1.96 * float(apart.std(ddof=1))
    found = {
        "mean": float(apart.mean()),
        "low": float(apart.mean()) - spread,
        "high": float(apart.mean()) + spread,
        "mean_absolute": float(np.abs(apart).mean()),
        "largest": float(np.abs(apart).max()),
    }
    return {"hearts": len(apart)} | {name: round(value, 4) for name, value in found.items()}


def both(pairs: Sequence[Pair], reference: Sequence[float]) -> dict[str, Any]:
    """The agreement of the widest extent and of the rule with a reference."""
    widest, rule = zip(*pairs, strict=True)
    return {"widest": agreement(widest, reference), "rule": agreement(rule, reference)}


def films_with_hearts(
    data: Path, name: str, half: Split, size: int | None = None
) -> Iterator[tuple[Image, Mask, Mask]]:
    """The films of a set on which readers drew the heart, with heart and lungs."""
    for file in files(data, name, half):
        image, masks = read_film(file, ("heart", "lungs"), size)
        if "heart" in masks and file.stem not in EXCHANGED:
            yield image, masks["heart"], masks["lungs"]


def with_vessel(heart: Mask, lungs: Mask, side: int, height: float) -> Mask:
    """A heart with a vessel that leaves it straight to one side at the hilum, halfway down the lungs.

    Where the heart begins farther down, the vessel lies a tenth of the heart's height below its top.

    Args:
        heart: of a film.
        lungs: of the film.
        side: -1 for image left, 1 for image right.
        height: of the vessel, mm.
    """
    columns, across = (np.flatnonzero(mask.any(axis=0)) for mask in (heart, lungs))
    rows, down = (np.flatnonzero(mask.any(axis=1)) for mask in (heart, lungs))
    pixel = THORAX_MM / float(across[-1] - across[0])
    top = max(round((down[0] + down[-1]) / 2 - height / pixel / 2), round(0.9 * rows[0] + 0.1 * rows[-1]))
    part = slice(top, top + max(1, round(height / pixel)))
    middle, reach = round(np.flatnonzero(heart[part].any(axis=0)).mean()), round(LENGTH_MM / pixel)
    found = heart.copy()
    found[part, max(0, columns[0] - reach) : middle] |= side < 0
    found[part, middle : columns[-1] + reach + 1] |= side > 0
    return np.asarray(found)


def reader_figures(data: Path, half: Split) -> dict[str, Any]:
    """Readers' hearts of a half, as they are and with vessels."""
    found: dict[str, Any] = {}
    for name in DRAWN:
        hearts = [(heart, lungs) for _, heart, lungs in films_with_hearts(data, name, half)]
        plain = [ratios(*each) for each in tqdm(hearts, desc=f"{name}, {half}", unit="heart")]
        widest = [pair[0] for pair in plain]
        found[name] = {"readers' hearts": both(plain, widest)}
        for height in HEIGHTS_MM:
            pairs = [ratios(with_vessel(*each, side, height), each[1]) for side in (-1, 1) for each in hearts]
            found[name][f"... with a vessel of {height:g} mm"] = both(pairs, widest * 2)
    return found


def without_vessels(volume: Volume) -> Volume:
    """A patient with lungs and heart alone, and ``opened``: the heart without what a ball does not fit into."""
    kept = {name: each for name, each in volume.structures.items() if name.startswith("lung_")}
    heart = Structure.of(volume.mask("heart"))
    inside = np.pad(heart.mask, 1)
    centres = ndimage.distance_transform_edt(inside, sampling=volume.spacing) > BALL_MM
    fits = ndimage.distance_transform_edt(~centres, sampling=volume.spacing) <= BALL_MM
    opened = np.zeros(volume.hu.shape, bool)
    opened[heart.box] = fits[1:-1, 1:-1, 1:-1]
    return dataclasses.replace(volume, structures=kept | {"heart": heart, "opened": Structure.of(opened)})


def projected_ratios(volume: Volume) -> dict[str, tuple[Pair, float]]:
    """By view, the ratios of a patient's heart, and the widest extent of the heart without vessels."""
    patient = without_vessels(volume)
    found = {}
    for name, view in VIEWS.items():
        film = project(patient, view)
        heart, opened, lungs = (film.soft_mask(each) for each in ("heart", "opened", "lungs"))
        found[name] = ratios(heart, lungs), ratios(opened, lungs)[0]
    return found


def patients(data: Path, half: str, ct: Volume) -> dict[str, Iterator[Volume]]:
    """The patients of a half, by their origin."""
    variants = (Deformation.draw(np.random.default_rng(seed), ct.structures)(ct) for seed in SEEDS[half])
    phantoms = (phantom(seed).volume for seed in SEEDS[half][:3])
    adult = (icrp_volume(data, who) for who in (ADULTS[half],))
    return {"patients made from the CT": variants, "a reference adult": adult, "phantoms": phantoms}


def projected_figures(data: Path, half: str, ct: Volume) -> dict[str, Any]:
    """Projected hearts of a half, all views together."""
    found = {}
    for name, volumes in patients(data, half, ct).items():
        seen = [each for volume in tqdm(volumes, desc=name) for each in projected_ratios(volume).values()]
        found[name] = both([pair for pair, _ in seen], [opened for _, opened in seen])
    return found


def network_ratios(net: AnatomyNet, data: Path, name: str, half: Split) -> tuple[list[Pair], list[float]]:
    """The ratios of hearts that the network reads, and the widest extent of the readers' hearts."""
    pairs, drawn = [], []
    films = tqdm(films_with_hearts(data, name, half, GRID), desc=f"network, {name}, {half}", unit="film")
    for image, true_heart, true_lungs in films:
        anatomy = net(image)
        try:
            check_frontal(anatomy)
            heart, lungs = footprint(anatomy, HEARTS, "the heart is"), footprint(anatomy, THORAX, "the lungs are")
            pairs.append(ratios(heart, lungs, anatomy.pose[2]))
        except DataError:
            pairs.append((math.nan, math.nan))
        drawn.append(ratios(true_heart, true_lungs)[0])
    return pairs, drawn


def network_figures(net: AnatomyNet, data: Path, half: Split) -> dict[str, Any]:
    """Hearts of a half that the network reads: agreement with the readers, and how many are measured."""
    found = {}
    for name in DRAWN:
        pairs, drawn = network_ratios(net, data, name, half)
        widest, rule = np.array(pairs).T
        found[name] = both(pairs, drawn) | {
            "films": len(pairs),
            "measured": int(np.isfinite(rule).sum()),
            "changed_by_0.005": int((widest - rule > 0.005).sum()),
        }
    return found


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real data")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cardiothoracic.json")
    given = options.parse_args()
    cv2.setNumThreads(1)
    folder = given.data / "ct"
    ct = Volume.read(folder / "lidc_0001.nii.gz", folder / "lidc_0001_labels.nii.gz", folder / "structures.csv")
    net = AnatomyNet.from_pretrained()
    packages = ("artasyn", "numpy", "opencv-python-headless", "scipy", "torch")
    result: dict[str, Any] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "packages": {name: version(name) for name in packages},
        },
        "model": net.digest,
        "spur": SPUR,
        "seeds": {half: list(seeds) for half, seeds in SEEDS.items()},
        "ct": {
            view: {"widest": round(pair[0], 4), "rule": round(pair[1], 4), "without_vessels": round(opened, 4)}
            for view, (pair, opened) in projected_ratios(ct).items()
        },
    }
    for half in HALVES:
        result[half] = {
            "readers": reader_figures(given.data, half),
            "projections": projected_figures(given.data, half, ct),
            "network": network_figures(net, given.data, half),
        }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
