"""A small network that tells patches with synthetic anomalies from those with real opacities, cross-validated by film.

The nearer the network's AUROC is to 0.5, the more real the anomalies look. Both kinds of patch are cut from NIH's
postero-anterior films in the same way. Each patch is standardised, so that neither film nor exposure identifies it.
Synthetic patches are taken at the places of real opacities, as nearly as the anomalies allow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from artasyn.arrays import generator
from artasyn.evaluation.bootstrap import resample_weights
from artasyn.shapes import Float
from benchmarks.rivals.patches import PATCH, Patches

SHIFT = 8
"""Largest shift of a patch in training, in either direction, in pixels."""
SHOWN = PATCH - 2 * SHIFT
STEPS = 150
BATCH = 24
LEARNING_RATE = 1e-2
RESAMPLES = 300

Shown = Float[Tensor, "n 1 shown shown"]
"""Patches as the network sees them."""


class Discriminator(nn.Module):
    """Decides by the mean and the deviation of features: three strided convolutions on a patch and its detail."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, kernel, stride in (
            (2, width, 5, 4),
            (width, 2 * width, 3, 2),
            (2 * width, 3 * width, 3, 2),
        ):
            convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.decide = nn.Sequential(nn.Dropout(0.3), nn.Linear(6 * width, 1))

    def forward(self, patches: Shown) -> Float[Tensor, " n"]:
        """Logits: above 0 is synthetic."""
        deviation, mean = torch.std_mean(patches, dim=(2, 3), keepdim=True)
        standard = (patches - mean) / deviation.clamp_min(1e-3)
        fine = standard - nn.functional.avg_pool2d(standard, 5, 1, 2, count_include_pad=False)
        found = self.features(torch.cat([standard, 8 * fine], dim=1))
        decided: Tensor = self.decide(torch.cat(torch.std_mean(found, dim=(2, 3)), dim=1))[:, 0]
        return decided


def trained(real: Tensor, synthetic: Tensor, seed: int) -> Discriminator:
    """A network trained on as many real as synthetic patches in every batch."""
    torch.manual_seed(seed)
    network = Discriminator()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, STEPS)
    truth = torch.tensor([0.0, 1.0]).repeat_interleave(BATCH // 2)
    for _ in range(STEPS):
        drawn = torch.cat([kind[torch.randint(len(kind), (BATCH // 2,))] for kind in (real, synthetic)])
        loss = nn.functional.binary_cross_entropy_with_logits(network(varied(drawn)), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return network.eval()


def varied(patches: Float[Tensor, "n 1 rows columns"]) -> Shown:
    """Patches moved, perhaps flipped, with another gamma and with light that falls off to one side."""
    offsets = torch.randint(2 * SHIFT + 1, (len(patches), 2)).tolist()
    moved = torch.stack(
        [
            each[:, row : row + SHOWN, column : column + SHOWN]
            for each, (row, column) in zip(patches, offsets, strict=True)
        ]
    )
    gamma, down, across, flipped = torch.rand(4, len(patches), 1, 1, 1)
    ramp = torch.linspace(-0.5, 0.5, SHOWN)
    light = 0.3 * ((down - 0.5) * ramp[:, None] + (across - 0.5) * ramp)
    result: Tensor = torch.where(flipped < 0.5, moved.flip(3), moved) ** (0.7 + 0.7 * gamma) + light
    return result


def scores(network: Discriminator, patches: Float[Tensor, "n 1 rows columns"]) -> npt.NDArray[np.float64]:
    """Mean logit of each patch and its mirror image."""
    shown = patches[:, :, SHIFT:-SHIFT, SHIFT:-SHIFT]
    with torch.no_grad():
        return np.asarray((network(shown) + network(shown.flip(3))).numpy() / 2, np.float64)


def cross_validated(real: Patches, synthetic: Patches, *, folds: int, seed: int) -> npt.NDArray[np.float64]:
    """The score of every patch by networks that have not seen the patch's film; real patches come first."""
    pixels = torch.from_numpy(np.concatenate([real.pixels, synthetic.pixels]))[:, None]
    fold = np.concatenate([_folds(kind.films, folds, seed) for kind in (real, synthetic)])
    is_real = np.arange(len(fold)) < len(real.films)
    out = np.zeros(len(fold))
    for number in range(folds):
        known = fold != number
        network = trained(pixels[known & is_real], pixels[known & ~is_real], seed)
        out[~known] = scores(network, pixels[~known])
    return out


def _folds(films: Sequence[str], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each film's patches: the same for all patches of a film."""
    names, film = np.unique(films, return_inverse=True)
    return np.asarray(generator(seed).permutation(len(names))[film] % folds, np.int64)


def judged(real: Patches, synthetic: Patches, *, folds: int, seeds: Sequence[int]) -> dict[str, float | int]:
    """Pooled AUROC of the scores out of fold, averaged over seeds, with its 95 % bootstrap interval over films."""
    found = [cross_validated(real, synthetic, folds=folds, seed=seed) for seed in seeds]
    truth = np.repeat((0, 1), (len(real.films), len(synthetic.films)))
    films, film = np.unique([*real.films, *synthetic.films], return_inverse=True)
    drawn = [
        np.mean([roc_auc_score(truth, scored, sample_weight=times) for scored in found])
        for times in resample_weights(len(films), RESAMPLES, seed=0)[:, film]
    ]
    each = [float(roc_auc_score(truth, scored)) for scored in found]
    low, high = np.percentile(drawn, (2.5, 97.5))
    value = {"auroc": np.mean(each), "low": low, "high": high, "spread_of_seeds": np.ptp(each)}
    return {
        **{name: round(float(figure), 4) for name, figure in value.items()},
        "real_patches": len(real.films),
        "synthetic_patches": len(synthetic.films),
    }
