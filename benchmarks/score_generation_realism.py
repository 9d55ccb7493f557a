"""Whether the residual flow makes opacities more real: ``python -m benchmarks.score_generation_realism --kept FOLDER``.

- Pairings: how much of the residual of each way to make training pairs is disease, and how much is anatomy that the
  healthy half missed (`benchmarks.rivals.generation_pairs`).
- The discriminator of `benchmarks.score_realism`: patches around the boxes of `opacity_boxes` against synthetic
  patches on NIH's normal films, with more films and seeds, and with the difference to `LungOpacity` alone, resampled
  over the same films.
- KID: the kernel distance of the same patches in the features of EfficientNet-lite0, learnt on photographs. The floor
  is the distance of halves of the real patches. These figures cannot be compared with those of Inception features.
- Both again against the lesions drawn on the films of `lesions`, by patient. These are of other hospitals than the
  normal films, which the discriminator sees; only the difference between two ways of synthesis counts here.

Verdicts are kept in a folder beside the result; a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from artasyn.arrays import Image, Mask, generator, identity
from artasyn.evaluation.bootstrap import resample_weights
from artasyn.files.radiograph import read_mask
from artasyn.networks.encoders import create_encoder, feature_maps
from artasyn.synthesis import LungOpacity, findings
from artasyn.synthesis.diffusion.denoiser import Denoiser, air_replaced
from benchmarks.rivals.discriminator import cross_validated
from benchmarks.rivals.generation_pairs import honesty
from benchmarks.rivals.patches import (
    Made,
    Patches,
    cut,
    in_lungs,
    places,
    postero_anterior,
    real_patches,
    synthetic_patches,
)
from benchmarks.rivals.realism import MaskedRadiograph, read_film, small
from benchmarks.score_realism import ROOT, Ours, Synthesis, anomalies, machine, pasted, published
from benchmarks.train_denoiser import lesion_halves, normal_halves, patient_of

FOLDS = 4
SEED = 0
RESAMPLES = 1000
HALVES = 200
ENCODER = "efficientnet_lite0"
PNEUMONIA = ("ground_glass_opacity", "consolidation", "perihilar_opacity", "peribronchial_thickening")
"""The findings that a reader boxes as pneumonia or as a lung opacity; chosen by the boxes' labels, not by a figure."""
BASE = "LungOpacity"
RIVALS = (published, pasted)
"""Methods that are told apart so easily that one seed of the discriminator is enough."""


@dataclass(frozen=True)
class Refined:
    """`LungOpacity` with the flow."""

    opacity: LungOpacity
    denoiser: Denoiser

    def __call__(self, film: MaskedRadiograph, other: MaskedRadiograph, rng: np.random.Generator) -> tuple[Image, Mask]:
        """The anomaly of the same draw as without the flow."""
        anomaly = self.opacity(film.image, film.lungs, rng)
        soft = air_replaced(film.image, film.lungs, anomaly.record)
        seed = int(identity(film.image)[:8], 16)
        return self.denoiser.refine(film.image, anomaly.image, soft, film.lungs, seed), anomaly.mask


def kinds_of(flows: Sequence[str]) -> dict[str, Synthesis | None]:
    """Every way to make an anomaly, by its name; None for normal films."""
    narrow = LungOpacity(findings=findings(*PNEUMONIA))
    kinds: dict[str, Synthesis | None] = {"normal": None, BASE: Ours(LungOpacity())}
    denoisers = {name: Denoiser.load(Path(folder)) for name, _, folder in (flow.partition("=") for flow in flows)}
    kinds |= {f"{BASE} + flow, {name}": Refined(LungOpacity(), each) for name, each in denoisers.items()}
    return kinds | {
        f"{BASE}, pneumonia": Ours(narrow),
        "published": published,
        "pasted patch": pasted,
    }


def kept(file: Path, compute: Callable[[], Any]) -> Any:
    """A result that is computed once and read from its file afterwards."""
    if not file.exists():
        value = compute()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".part").write_text(json.dumps(value))
        file.with_suffix(".part").replace(file)
    return json.loads(file.read_text())


def lesion_patches(data: Path) -> tuple[Patches, list[tuple[float, float]]]:
    """A patch around every lesion that was drawn on a film of `lesions`, by patient, and its place in the lungs."""
    names, pixels, where = [], [], []
    for file in sorted((data / "lesions" / "images").iterdir()):
        film = read_film(file, data / "lesions" / "lungs" / f"{file.stem}.png")
        mask = small(read_mask(data / "lesions" / "masks" / f"{file.stem}.png")) >= 0.5
        for row, column in places(mask):
            names.append(patient_of(file.stem))
            pixels.append(cut(film.image, row, column))
            where.append(in_lungs(film.lungs, row, column))
    return Patches(tuple(names), np.stack(pixels)), where


def save_patches(patches: Patches, file: Path) -> None:
    """Writes patches to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name("partial.npz")
    np.savez_compressed(partial, films=np.array(patches.films), pixels=patches.pixels)
    partial.replace(file)


def read_patches(file: Path) -> Patches:
    """Reads patches that `save_patches` wrote."""
    with np.load(file) as found:
        return Patches(tuple(found["films"].tolist()), found["pixels"])


def scores_of(real: Patches, synthetic: Patches, seed: int) -> list[float]:
    """Scores out of fold; real patches come first."""
    return [round(float(score), 5) for score in cross_validated(real, synthetic, folds=FOLDS, seed=seed)]


def aurocs(real: Patches, synthetic: Patches, scores: list[list[float]], films: Sequence[str]) -> npt.NDArray[Any]:
    """Mean AUROC of all seeds: of the patches as they are, then of `RESAMPLES` resamples of all films."""
    at = {name: number for number, name in enumerate(films)}
    column = [at[name] for name in (*real.films, *synthetic.films)]
    weights = np.vstack([np.ones(len(films)), resample_weights(len(films), RESAMPLES, seed=0)])[:, column]
    count = len(real.films)
    found = []
    for one in np.array(scores):
        lower = (one[:count, None] < one[None, count:]) + 0.5 * (one[:count, None] == one[None, count:])
        within = np.einsum("ki,ij,kj->k", weights[:, :count], lower, weights[:, count:], optimize=True)
        found.append(within / (weights[:, :count].sum(axis=1) * weights[:, count:].sum(axis=1)))
    return np.asarray(np.mean(found, axis=0))


def interval(values: npt.NDArray[Any]) -> dict[str, float]:
    """The first value with the 95 % interval of the others."""
    low, high = np.percentile(values[1:], (2.5, 97.5))
    return {"value": round(float(values[0]), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def verdicts(
    real: Patches, made: dict[str, Patches], scores: dict[str, list[list[float]]], base: str
) -> dict[str, dict[str, Any]]:
    """AUROC of every kind, and its difference to `base` over the same resampled films."""
    films = sorted({*real.films, *(name for each in made.values() for name in each.films)})
    found = {name: aurocs(real, of, scores[name], films) for name, of in made.items()}
    return {
        name: {
            "auroc": interval(values),
            "less_base": interval(values - found[base]),
            "spread_of_seeds": round(float(np.std([_auroc(real, made[name], one) for one in scores[name]])), 4),
            "patches": len(made[name].films),
        }
        for name, values in found.items()
    }


def _auroc(real: Patches, synthetic: Patches, scores: list[float]) -> float:
    return float(roc_auc_score(np.repeat((0, 1), (len(real.films), len(synthetic.films))), scores))


def features(encoder: torch.nn.Module, patches: Patches) -> npt.NDArray[np.float64]:
    """Mean of the encoder's last map for each patch, which is standardised to the grey of photographs."""
    pixels = torch.from_numpy(patches.pixels)[:, None]
    deviation, mean = torch.std_mean(pixels, dim=(2, 3), keepdim=True)
    standard = 0.45 + 0.225 * (pixels - mean) / deviation.clamp_min(1e-3)
    with torch.no_grad():
        return np.asarray(feature_maps(encoder, standard)[-1].mean(dim=(2, 3)).numpy(), np.float64)


def kid(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Unbiased squared distance of means under the kernel (x y / d + 1) ** 3."""
    aa, bb, ab = ((x @ y.T / x.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within = ((each.sum() - np.trace(each)) / (len(each) * (len(each) - 1)) for each in (aa, bb))
    return float(sum(within) - 2 * ab.mean())


def kernel_distances(real: Patches, made: dict[str, Patches]) -> dict[str, dict[str, float]]:
    """KID of every kind with the interval over halves of the films; the floor compares halves of the real films."""
    torch.manual_seed(0)
    encoder = create_encoder(ENCODER, pretrained=True, size=128, levels=None).eval()
    known = features(encoder, real)
    film = np.unique(real.films, return_inverse=True)[1]
    rng = generator(SEED)
    halves = [rng.permutation(film.max() + 1)[film] % 2 == 0 for _ in range(HALVES)]
    floor = [kid(known[half], known[~half]) for half in halves]
    result = {"real": interval(np.array([np.mean(floor), *floor]))}
    for name, of in made.items():
        found = features(encoder, of)
        parts = [rng.permutation(len(found))[: len(found) // 2] for _ in halves]
        spread = [kid(known[half], found[part]) for half, part in zip(halves, parts, strict=True)]
        result[name] = interval(np.array([kid(known, found), *spread]))
    return result


def fitted(films: list[MaskedRadiograph], synthesis: Synthesis, copies: int, name: str) -> list[Made]:
    """Anomalies on every film."""
    return [anomalies(film, films[at - 1], synthesis, copies) for at, film in enumerate(tqdm(films, desc=name))]


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--flow", nargs="*", default=[], help="NAME=FOLDER of denoisers")
    options.add_argument("--films", type=int, default=100, help="NIH's normal films")
    options.add_argument("--seeds", type=int, default=3, help="seeds of the discriminator")
    options.add_argument("--kept", type=Path, required=True, help="folder of verdicts that are done")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "generation_realism.json")
    given = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    known = postero_anterior(given.data)
    files = [file for file in sorted((given.data / "nih_normal").iterdir()) if f"nih_normal/{file.name}" in known]
    films = [film for film in map(read_film, files[: given.films]) if film.lungs.found]
    sets = {"opacity_boxes": real_patches(given.data), "lesions": lesion_patches(given.data)}
    kinds = kinds_of(given.flow)
    made: dict[str, dict[str, Patches]] = {name: {} for name in sets}
    scores: dict[str, dict[str, list[list[float]]]] = {name: {} for name in sets}
    for name, synthesis in kinds.items():
        wanted = [each for each in sets if each == "opacity_boxes" or name in (BASE, "normal") or "flow" in name]
        stored = {each: given.kept / f"{name}-{each}-{len(films)}.npz" for each in wanted}
        if not all(file.exists() for file in stored.values()):
            of = None if synthesis is None else fitted(films, synthesis, 1 if name == "published" else 3, name)
            for each, file in stored.items():
                save_patches(synthetic_patches(films, of, sets[each][1], SEED), file)
        for each, file in stored.items():
            made[each][name] = read_patches(file)
            scores[each][name] = [
                kept(
                    file.with_suffix(f".{seed}.json"),
                    functools.partial(scores_of, sets[each][0], made[each][name], seed),
                )
                for seed in range(1 if synthesis in RIVALS else given.seeds)
            ]
    result = {
        "machine": machine(),
        "films": len(films),
        "real_patches": {name: len(real.films) for name, (real, _) in sets.items()},
        "folds": FOLDS,
        "seeds": given.seeds,
        "pairings": honesty(lesion_halves(given.data), normal_halves(given.data)),
        "discriminator": {name: verdicts(sets[name][0], made[name], scores[name], BASE) for name in sets},
        "kid": {name: kernel_distances(sets[name][0], made[name]) for name in sets},
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
