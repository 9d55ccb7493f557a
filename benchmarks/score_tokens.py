"""Quality of masks as words: ``python -m benchmarks.score_tokens``.

The part ``codec`` writes masks as text and reads the text again, with 16 and with 64 codes. The masks are projections
of patients that no training has seen (`projected_anatomy`: phantoms of held-out seeds and the reference adults), and
the masks of real radiographs (`real_anatomy`), on their own grids. No real mask was seen in training. Beside the codes
stands the ceiling: the crop of 64 x 64 cells alone, without any code.

The part ``model`` compares the writer of masks with the anatomy network (`token_model`), and the part ``robustness``
does so on films that are turned, scaled and shifted (`token_robustness`); it also draws docs/tokens_robustness.png.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from artasyn.arrays import Mask
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_mask
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.structures import RIBS
from artasyn.segment.tokens import TokenSegmenter
from artasyn.segment.tokens.answers import MaskTokens
from artasyn.segment.tokens.codec import MaskCodec
from artasyn.segment.tokens.crops import box_of, cropped, in_bins, in_pixels, placed
from artasyn.segment.tokens.mask_autoencoder import MASK_MODELS, MaskAutoencoder
from artasyn.stock.views import Patient
from benchmarks.mask_shapes import CAGE, LEAST, shapes_of
from benchmarks.projected_anatomy import Case, phantom, reference, views
from benchmarks.real_anatomy import SETS, files
from benchmarks.reference_volumes import ICRP
from benchmarks.token_model import model_figures
from benchmarks.token_robustness import picture, robustness_figures

ROOT = Path(__file__).parent.parent
PACKAGES = ("artasyn", "numpy", "torch")
PARTS = {"codec": "tokens_codec", "model": "tokens_model", "robustness": "tokens_robustness"}
"""The parts of this program, and the name of each part's result."""
CEILING = "crop"
"""The name of the round trip without codes."""
REAL = {"lesions": ("masks",)}
"""Folders of masks besides those of `real_anatomy.SETS`, by set: opacities that radiologists drew."""

RoundTrip = Callable[[Sequence[Mask]], list[Mask]]
"""Writes the masks of one film, and reads them again."""
Row = tuple[str, str, dict[str, float]]
"""A set or a patient, a structure, and the Dice of every round trip."""


def through_text(codec: MaskCodec) -> RoundTrip:
    """A round trip through the text of a codec."""

    def trip(masks: Sequence[Mask]) -> list[Mask]:
        texts = [each.text() for each in codec.tokens(masks) if each is not None]
        return list(codec.masks([MaskTokens.parse(text) for text in texts], masks[0].shape))

    return trip


def through_crop(masks: Sequence[Mask]) -> list[Mask]:
    """The round trip without codes: a box in bins, and the crop to it as it is."""
    found = []
    for mask in masks:
        box = box_of(mask)
        assert box is not None
        found.append(placed(cropped(mask, box), in_pixels(in_bins(box, mask.shape), mask.shape), mask.shape))
    return found


def rows_of(films: Iterable[tuple[str, Mapping[str, Mask]]], trips: Mapping[str, RoundTrip]) -> Iterator[Row]:
    """Yields the Dice of every mask and its copies.

    Args:
        films: name of a patient or a set, and the masks of one film by their structures, none of them empty.
        trips: round trips by their names.
    """
    for name, masks in films:
        if masks:
            given = list(masks.values())
            copies = {trip: way(given) for trip, way in trips.items()}
            for place, structure in enumerate(masks):
                yield name, structure, {trip: dice(given[place], each[place]) for trip, each in copies.items()}


def by_structure(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """The number of masks of every structure, and their mean Dice by round trip."""
    found: dict[str, list[dict[str, float]]] = {}
    for _, structure, values in rows:
        found.setdefault(structure, []).append(values)
    return {
        structure: {"masks": len(of)} | {trip: float(np.mean([each[trip] for each in of])) for trip in of[0]}
        for structure, of in sorted(found.items())
    }


def mean_of(structures: Mapping[str, Mapping[str, float]], names: Iterable[str]) -> dict[str, float]:
    """The mean over structures, which weighs all structures alike, and the number of structures and masks."""
    of = [structures[name] for name in names]
    trips = [trip for trip in of[0] if trip != "masks"] if of else []
    return {"structures": len(of), "masks": sum(int(each["masks"]) for each in of)} | {
        trip: float(np.mean([each[trip] for each in of])) for trip in trips
    }


def projected(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures on projections: by structure, without ribs, single ribs, cages of ribs, and by kind of patient."""
    structures = by_structure(rows)
    ribs = {*RIBS, *CAGE}
    groups = {
        "without ribs": [name for name in structures if name not in ribs],
        "single ribs": [name for name in structures if name in RIBS],
        "cages of ribs": [name for name in structures if name in CAGE],
        "all": list(structures),
    }
    found: dict[str, Any] = {"means": {group: mean_of(structures, names) for group, names in groups.items()}}
    for kind in ("phantom", "icrp"):
        own = by_structure(row for row in rows if row[0].startswith(kind))
        found["means"][f"without ribs, {kind}"] = mean_of(own, [name for name in own if name not in ribs])
    return found | {"structures": structures}


def real_masks(data: Path) -> Iterator[tuple[str, dict[str, Mask]]]:
    """Yields the name of a set and the masks of one film, by their folders, with a progress bar."""
    for name, kept in SETS.items():
        for file in tqdm(files(data, name), name, unit="film"):
            masks = {}
            for folder in (*kept.masks, *REAL.get(name, ())):
                path = file.parent.parent / folder / f"{file.stem}.png"
                if path.exists() and (mask := read_mask(path)).any():
                    masks[folder] = mask
            yield name, masks


def real(rows: Iterable[Row]) -> dict[str, Any]:
    """The figures on real masks: by set and folder, with the lowest tenth."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for name, structure, values in rows:
        found.setdefault(name, {}).setdefault(structure, []).append(values)
    return {
        name: {
            structure: {"masks": len(of)}
            | {trip: float(np.mean([each[trip] for each in of])) for trip in of[0]}
            | {f"{trip}, tenth": float(np.quantile([each[trip] for each in of], 0.1)) for trip in of[0]}
            for structure, of in structures.items()
        }
        for name, structures in found.items()
    }


def rounded(value: Any) -> Any:
    """A result with four digits after the point."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def shapes(case: Case) -> tuple[str, dict[str, Mask]]:
    """The patient and the masks of a projection."""
    return case.patient, shapes_of(case.masks, case.known)


def patients(data: Path, phantoms: int) -> dict[str, Callable[[], Patient]]:
    """Makes each of the patients held out, by its name."""
    seen: dict[str, Callable[[], Patient]] = {f"icrp_{who}": partial(reference, data, who) for who in ICRP}
    return seen | {f"phantom_{seed}": partial(phantom, seed) for seed in range(phantoms)}


def codec_figures(networks: Mapping[str, MaskAutoencoder], data: Path, phantoms: int, cache: Path | None) -> Any:
    """The figures of the part ``codec``.

    Args:
        networks: autoencoders, by their number of codes.
        data: folder of real data.
        phantoms: number of phantoms that are seen from all angles.
        cache: a folder that keeps the projections.
    """
    trips = {name: through_text(MaskCodec(network, network)) for name, network in networks.items()}
    trips |= {CEILING: through_crop}
    return {
        "models": {name: network.digest for name, network in networks.items()},
        "least_pixels": LEAST,
        "projections": projected(list(rows_of(map(shapes, views(patients(data, phantoms), cache=cache)), trips))),
        "real": real(rows_of(real_masks(data), trips)),
    }


def about() -> dict[str, Any]:
    """What a result tells of the machine and the packages."""
    packages = {package: version(package) for package in PACKAGES}
    python = platform.python_version()
    return {
        "machine": {"processor": platform.processor() or platform.machine(), "python": python, "packages": packages}
    }


def main() -> None:
    """Measures and writes one result for each part."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real data")
    options.add_argument("--models", type=Path, help="folder of a training, which holds 4/model and 8/model")
    options.add_argument("--model", default="bundled", help="folder of the writer of masks, or bundled")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is measured")
    options.add_argument("--phantoms", type=int, default=6, help="phantoms that are seen from all angles")
    options.add_argument("--cache", type=Path, help="folder that keeps the projections")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    given = options.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    networks = {
        str(grid**2): MaskAutoencoder.from_pretrained(
            given.models / str(grid) / "model" if given.models else "bundled", grid=grid
        )
        for grid in MASK_MODELS
    }
    for part in given.parts:
        if part == "codec":
            found = rounded(codec_figures(networks, given.data, given.phantoms, given.cache))
        elif part == "robustness":
            segmenter, net = TokenSegmenter.from_pretrained(given.model), AnatomyNet.from_pretrained()
            found = rounded(robustness_figures(segmenter, net, given.data))
            picture(found, ROOT / "docs" / "tokens_robustness.png")
        else:
            cases = list(views(patients(given.data, given.phantoms), cache=given.cache))
            segmenter, net = TokenSegmenter.from_pretrained(given.model), AnatomyNet.from_pretrained()
            found = rounded(model_figures(segmenter, net, cases, given.data))
        out = given.out / f"{PARTS[part]}.json"
        out.write_text(json.dumps(about() | found, indent=1) + "\n")
        print(out)


if __name__ == "__main__":
    main()
