"""Realism of synthetic anomalies beside real opacities and other methods: ``python -m benchmarks.score_realism``.

- Figures of every anomaly (`realism.py`): anomalies on NIH's normal films and on JSRT's without a nodule, against the
  42 films of `lesions`, all at 256 x 256 pixels and 8 bits. Every finding alone is measured too, on fewer films.
- A discriminator (`discriminator.py`): how well a small network tells patches with anomalies from patches around the
  boxes of `opacity_boxes`. Both kinds of patch come from NIH's postero-anterior films. Unmodified normal patches are
  the reference: they differ from real opacities as healthy from sick, and as one patient from another.

All methods use the same films, seeds and steps. Empty masks are counted and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from artasyn.arrays import Image, Mask, generator, identity
from artasyn.errors import SynthesisError
from artasyn.files.radiograph import read_mask
from artasyn.synthesis import FINDINGS, LungOpacity
from benchmarks.rivals.discriminator import judged
from benchmarks.rivals.patches import Made, Patches, postero_anterior, real_patches, synthetic_patches
from benchmarks.rivals.peers import gaussian_blob, pasted_patch
from benchmarks.rivals.published_synthesis import published_synthesis
from benchmarks.rivals.realism import Figures, MaskedRadiograph, eight_bits, figures, read_film, small, summary

ROOT = Path(__file__).parent.parent
SEED = 0
FOLDS, SEEDS = 4, (0, 1)
Synthesis = Callable[[MaskedRadiograph, MaskedRadiograph, np.random.Generator], tuple[Image, Mask]]
"""Maps a film, a second film (the donor) and a random generator to the film with an anomaly, and its mask."""


@dataclass(frozen=True)
class Ours:
    """`LungOpacity` as a preset."""

    opacity: LungOpacity

    def __call__(self, film: MaskedRadiograph, other: MaskedRadiograph, rng: np.random.Generator) -> tuple[Image, Mask]:
        """An anomaly of artasyn."""
        anomaly = self.opacity(film.image, film.lungs, rng)
        return anomaly.image, anomaly.mask


def pasted(film: MaskedRadiograph, other: MaskedRadiograph, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A patch of the other film."""
    return pasted_patch(film.image, film.lungs, other.image, other.lungs, rng)


def blob(film: MaskedRadiograph, other: MaskedRadiograph, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Gaussians."""
    return gaussian_blob(film.image, film.lungs, rng)


def published(film: MaskedRadiograph, other: MaskedRadiograph, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Texture synthesis as published."""
    return published_synthesis(film.image, film.lungs, rng)


PRESETS: dict[str, Synthesis] = {
    "artasyn": Ours(LungOpacity()),
    "published": published,
    "pasted patch": pasted,
    "Gaussian blob": blob,
}


def anomalies(film: MaskedRadiograph, other: MaskedRadiograph, synthesis: Synthesis, copies: int) -> Made:
    """Anomalies on one film, in 8 bits. Empty masks and anomalies that could not be made are left out."""
    cv2.setNumThreads(1)
    made: Made = []
    for copy in range(copies):
        try:
            image, mask = synthesis(film, other, generator(SEED, identity(film.image), copy))
        except SynthesisError:
            continue
        if mask.any():
            made.append((eight_bits(image), mask))
    return made


def real_figures(data: Path) -> list[Figures]:
    """The real opacities, beside the lungs drawn with them."""
    found = []
    for file in tqdm(sorted((data / "lesions" / "images").iterdir()), desc="real opacities", unit="film"):
        film = read_film(file, data / "lesions" / "lungs" / f"{file.stem}.png")
        mask = small(read_mask(data / "lesions" / "masks" / f"{file.stem}.png")) >= 0.5
        found.append(figures(film.image, mask, film.lungs.mask))
    return found


def normal_films(data: Path, count: int) -> tuple[list[MaskedRadiograph], list[MaskedRadiograph]]:
    """NIH's films, and JSRT's without a nodule, a third as many."""
    known = postero_anterior(data)
    nih = [file for file in sorted((data / "nih_normal").iterdir()) if f"nih_normal/{file.name}" in known]
    jsrt = data / "lung_masks" / "jsrt"
    clear = [
        file for file in sorted((jsrt / "images").iterdir()) if not (jsrt / "nodule" / f"{file.stem}.png").exists()
    ]
    read = [
        [read_film(file) for file in tqdm(nih[:count], desc="NIH", unit="film")],
        [read_film(file, jsrt / "lungs" / f"{file.stem}.png") for file in tqdm(clear[: count // 3], desc="JSRT")],
    ]
    nih_films, jsrt_films = ([film for film in films if film.lungs.found] for films in read)
    return nih_films, jsrt_films


def measured(films: list[MaskedRadiograph], synthesis: Synthesis, copies: int, name: str) -> list[Made]:
    """Anomalies on each film, by two processes."""
    jobs = (delayed(anomalies)(film, films[at - 1], synthesis, copies) for at, film in enumerate(films))
    made = Parallel(n_jobs=2, return_as="generator")(jobs)
    return list(tqdm(made, desc=name, total=len(films), unit="film"))


def all_figures(films: list[MaskedRadiograph], made: list[Made]) -> list[Figures]:
    """The figures of all anomalies of all films."""
    return [
        figures(image, mask, film.lungs.mask, film.image)
        for film, of in zip(films, made, strict=True)
        for image, mask in of
    ]


def judged_alone(real: Patches, synthetic: Patches) -> dict[str, float | int]:
    """The discriminator's figures, computed on one core, for a separate process."""
    torch.set_num_threads(1)
    return judged(real, synthetic, folds=FOLDS, seeds=SEEDS)


def machine() -> dict[str, Any]:
    """The machine and the versions that ran the benchmark."""
    packages = ("artasyn", "numpy", "opencv-python-headless", "pillow", "torch")
    return {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "processes": 2,
        "packages": {package: version(package) for package in packages},
    }


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--films", type=int, default=75, help="NIH's normal films; of JSRT's a third as many")
    options.add_argument("--no-discriminator", action="store_true", help="figures alone")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "realism.json")
    given = options.parse_args()
    real = real_figures(given.data)
    nih, jsrt = normal_films(given.data, given.films)
    films = [*nih, *jsrt]
    copies = {name: 1 if name == "published" else 3 for name in PRESETS}
    made = {name: measured(films, synthesis, copies[name], name) for name, synthesis in PRESETS.items()}
    presets = {"real": summary(real, real)} | {name: summary(all_figures(films, of), real) for name, of in made.items()}
    for name, of in made.items():
        presets[name]["empty"] = copies[name] * len(films) - sum(map(len, of))
    alone = {}
    for name, finding in FINDINGS.items():
        synthesis = Ours(LungOpacity(findings=(finding,)))
        alone[name] = summary(all_figures(films[::4], measured(films[::4], synthesis, 1, name)), real)
    result: dict[str, Any] = {
        "machine": machine(),
        "seed": SEED,
        "films": {"nih_normal": len(nih), "jsrt": len(jsrt)},
        "anomalies_a_film": copies,
        "presets": presets,
        "findings": alone,
    }
    if not given.no_discriminator:
        patches, where = real_patches(given.data)
        kinds = {"normal": None} | {name: of[: len(nih)] for name, of in made.items()}
        jobs = (delayed(judged_alone)(patches, synthetic_patches(nih, of, where, SEED)) for of in kinds.values())
        verdicts = tqdm(Parallel(n_jobs=2, return_as="generator")(jobs), desc="discriminator", total=len(kinds))
        result["discriminator"] = {"folds": FOLDS, "seeds": SEEDS} | dict(zip(kinds, verdicts, strict=True))
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
