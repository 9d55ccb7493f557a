"""Fits the detector that ships around trained weights: ``python -m benchmarks.refit_bundled --network FOLDER ...``.

The bundled detector keeps encoder, decoder and head of the first round, because trainings with nuisances drew poorer
masks (docs/detection.md, second round). This program fits the rest anew, from normal radiographs and synthetic
anomalies: the head's lungs, novelty, film head and thresholds. It takes about five minutes on two cores.

FOLDER is the model folder of a trained detector. --cache is the folder of normals that `benchmarks.train_bundled`
prepared as OUT/cache, or an empty one. Writes the model to --out.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from tqdm import tqdm

from artasyn.detection.network import DetectorNetwork
from artasyn.detection.settings import DetectorSettings
from artasyn.training.data import NormalsData
from artasyn.training.module import ReconstructionTraining
from benchmarks.development import training_normals
from benchmarks.train_bundled import RUN

RATES = (0.03, 0.15, 0.04)
"""Learning rates of the lungs' layer, pass by pass."""


def trained_weights(folder: Path) -> DetectorNetwork:
    """Returns a detector with the encoder, decoder and head of a trained one; the rest is not fitted yet."""
    network = DetectorNetwork(DetectorSettings(RUN.encoder, RUN.size, RUN.kind, RUN.levels, region="hulls"))
    own = network.state_dict()
    stored = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in stored.items() if name in own and name.startswith(("network.", "head."))}
    network.load_state_dict(kept, strict=False)
    return network.eval()


def fit_lungs(network: DetectorNetwork, data: NormalsData) -> None:
    """Fits the layer that marks the lungs; everything before it stays as it is."""
    layer = network.head.lungs.parameters()
    optimizer = torch.optim.Adam(layer, RATES[0])
    for number, rate in enumerate(RATES):
        optimizer.param_groups[0]["lr"] = rate
        for batch in tqdm(data.varied(number), desc=f"lungs {number + 1} of {len(RATES)}", unit="batch"):
            seen = network.look(batch["image"])
            assert seen.lungs is not None
            loss = F.binary_cross_entropy_with_logits(seen.lungs, batch["lungs"])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()


def fit_thresholds(module: ReconstructionTraining, data: NormalsData) -> None:
    """Fixes the thresholds on held-out normals, as a training does."""
    module.on_validation_epoch_start()
    with torch.inference_mode():
        for index, batch in enumerate(tqdm(data.val_dataloader(), desc="thresholds", unit="batch")):
            module.validation_step(batch, index)
    found = module.calibration
    threshold = found.pixel_threshold(module.false_positive_pixels)
    module.detector.calibrate(threshold, found.image_threshold(module.false_positive_rate), module.healthy_scores)


def main() -> None:
    """Fits and writes the model."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="the folder of development sets")
    options.add_argument("--network", type=Path, required=True, help="the model folder of a trained detector")
    options.add_argument("--cache", type=Path, default=Path("bundled/cache"), help="folder of the prepared normals")
    options.add_argument("--out", type=Path, default=Path("refitted"), help="folder of the model")
    options.add_argument("--workers", type=int, default=1)
    given = options.parse_args()
    torch.manual_seed(RUN.seed)
    network = trained_weights(given.network)
    data = NormalsData(
        training_normals(given.data), given.cache, size=RUN.size, batch_size=32, workers=given.workers, seed=RUN.seed,
        held_out=RUN.held_out, nuisances=0.0,
    )  # fmt: skip
    data.prepare_data()
    fit_lungs(network, data)
    module = ReconstructionTraining(network)
    module.learn_normal(data)
    network.settings = dataclasses.replace(network.settings, region="hulls")
    fit_thresholds(module, data)
    network.save_pretrained(given.out)
    print(given.out)


if __name__ == "__main__":
    main()
