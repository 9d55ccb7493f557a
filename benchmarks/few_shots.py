"""A new target from a few films: the films of each target, and the rivals of a learnt word, for `score_few_shots`.

All learn from the same films and the same varied copies of them, and see films at the same size. A rival's mask is
where its map is at least 0.5.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from artasyn.arrays import Image, Mask, generator
from artasyn.detection.detector import Detector
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.segment import PBTSeg
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.window import Window, resample
from artasyn.segment.structures import ANATOMY
from artasyn.segment.tokens import MaskCodec, Request
from artasyn.segment.tokens.learning import (
    STEPS,
    Examples,
    WordMap,
    copies_of,
    examples_of,
    fitted,
    overlap_loss,
)
from artasyn.segment.tokens.writers import SmallWriter
from artasyn.stock.films import Films
from artasyn.stock.finish import Finish
from artasyn.stock.packed import Stock
from benchmarks.train_denoiser import patient_of

LONGEST = 512
"""Pixels of the longer side on which films are compared."""
HALF = 8
"""Films of a step of the rivals that train a whole network."""
WHOLE_STEPS = 100
"""Training steps of these rivals."""
RATES = {"all": 1e-3, "scratch": 2e-3}
"""Their highest learning rates."""
WORD = "target"
SERIES = ("pneumocystis-pneumonia", "auntminnie", "nejmoa2001191")
"""Beginnings of the names of films that probably show one patient, besides those that `patient_of` knows."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A film with the target's mask, its patient, and what it is called."""

    image: Image
    mask: Mask
    patient: str
    name: str = ""


Predict = Callable[[Image], Mask]
"""A learnt predictor: a film in, the target's mask out."""


def real_shots(data: Path, images: str, masks: str) -> Iterator[Shot]:
    """Yields the films of a folder of real radiographs that have a mask in another folder."""
    for file in sorted((data / images).iterdir()):
        path = data / masks / f"{file.stem}.png"
        if path.exists():
            image, mask = read_radiograph(file), read_mask(path)
            scale = min(1.0, LONGEST / max(image.shape))
            shape = round(image.shape[0] * scale), round(image.shape[1] * scale)
            small = np.asarray(resample(image, shape).clip(0, 1), np.float32)
            shown = np.asarray(resample(mask.astype(np.float32), shape) >= 0.5)
            patient = next((series for series in SERIES if file.stem.startswith(series)), patient_of(file.stem))
            yield Shot(small, shown, patient, patient_of(file.stem))


def projected_shots(stock: Stock, structure: str, count: int, seed: int) -> list[Shot]:
    """Frontal films composed from a stock, each of another patient, with the mask of a structure.

    No film is inverted, or shows borders or letters: nobody would teach with such films.
    """
    place, ranges = ANATOMY.index(structure), Films(finish=Finish(invert_share=0.0, extras_share=0.0))
    views = [view for view in stock.views if view.frontal and view.known[place]]
    rng = generator(seed, count)
    order = rng.permutation(len(views))
    first = {views[number].patient: number for number in reversed(order)}
    shots = []
    for patient, number in sorted(first.items(), key=lambda item: int(np.flatnonzero(order == item[1])[0]))[:count]:
        made = ranges.compose(Stock((views[number],), np.ones(1)), LONGEST // 2, (seed, int(number)))
        inside = made["window"].inside
        rows, columns = (slice(part.start // 2, part.stop // 2) for part in inside)
        mask = made["masks"][rows, columns, place].astype(np.float32) / 4
        image = np.asarray(made["image"][0][inside], np.float32)
        shots.append(Shot(image, np.asarray(resample(mask, image.shape) >= 0.5), patient))
    return shots


def drawn(shots: Sequence[Shot], patients: Sequence[str], count: int, seed: int) -> list[Shot]:
    """Films of as many of the patients, one of each, drawn anew for each seed."""
    rng = generator(seed, count, 1)
    chosen = rng.permutation(sorted(patients))[:count]
    of = {patient: [shot for shot in shots if shot.patient == patient] for patient in chosen}
    return [each[int(rng.integers(len(each)))] for each in of.values()]


class Learners:
    """The learnt word and its rivals, taught on the same films.

    Args:
        writer: the writer that learns a word.
        codec: reads its masks.
    """

    def __init__(self, writer: SmallWriter, codec: MaskCodec) -> None:
        self.writer, self.codec, self.anatomy = writer, codec, writer.anatomy

    def word(self, shots: Sequence[Shot], seed: int) -> Predict:
        """A new word of the writer."""
        images, masks = [shot.image for shot in shots], [shot.mask for shot in shots]
        taught = self.writer.taught(WORD, images, masks, seed)

        def predict(image: Image) -> Mask:
            (said,) = taught.write(image, Request("segment", (WORD,)))
            found: Mask = self.codec.masks([said.tokens], image.shape)[0]
            return found

        return predict

    def head(self, shots: Sequence[Shot], seed: int) -> Predict:
        """The anatomy network with a new last layer."""
        return pixels(self.anatomy, self._layer(shots, seed))

    def all(self, shots: Sequence[Shot], seed: int) -> Predict:
        """The anatomy network with a new last layer, all of it retrained."""
        layer = self._layer(shots, seed)
        return self._whole(copy.deepcopy(self.anatomy), layer, shots, seed, "all")

    def scratch(self, shots: Sequence[Shot], seed: int) -> Predict:
        """The same network from random weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = AnatomyNetwork(self.anatomy.settings)
            layer = WordMap(self.anatomy.settings.widths[-1])
        return self._whole(network, layer, shots, seed, "scratch")

    def _layer(self, shots: Sequence[Shot], seed: int) -> WordMap:
        return fitted(self._examples(shots, seed), steps=STEPS, seed=seed)

    def _examples(self, shots: Sequence[Shot], seed: int) -> Examples:
        return examples_of([shot.image for shot in shots], [shot.mask for shot in shots], self.anatomy, seed)

    def _whole(self, network: AnatomyNetwork, layer: WordMap, shots: Sequence[Shot], seed: int, way: str) -> Predict:
        squares, targets = copies_of(
            [shot.image for shot in shots], [shot.mask for shot in shots], self.anatomy.settings.size, seed
        )
        weights = [*network.parameters(), *layer.parameters()]
        optimiser = torch.optim.AdamW(weights, RATES[way], weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATES[way], WHOLE_STEPS, pct_start=0.1)
        random = torch.Generator().manual_seed(seed)
        network.train(way == "scratch")  # few films spoil the statistics of a network that has learnt
        for _ in range(WHOLE_STEPS):
            chosen = torch.randint(len(squares), (HALF,), generator=random)
            _, shallow, _ = network.trunk(squares[chosen].contiguous(memory_format=torch.channels_last))
            loss = overlap_loss(layer(shallow), targets[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        return pixels(network.eval(), layer.eval())


def pixels(network: AnatomyNetwork, layer: WordMap) -> Predict:
    """A predictor whose mask is where a map of a network's features is at least 0.5."""
    size = network.settings.size

    @torch.inference_mode()
    def predict(image: Image) -> Mask:
        window = Window.of((image.shape[0], image.shape[1]), size)
        square = torch.from_numpy(window.prepare(image))[None, None]
        _, shallow, _ = network.trunk(square.contiguous(memory_format=torch.channels_last))
        found: Tensor = torch.sigmoid(layer(shallow))[0]
        return np.asarray(resample(window.cut(found.numpy()), image.shape) >= 0.5)

    return predict


def whole_lungs() -> Predict:
    """Everything inside the lungs, as the anatomy network reads them."""
    net = AnatomyNet.from_pretrained()

    def predict(image: Image) -> Mask:
        return np.asarray(net(image).lungs().labels > 0)

    return predict


def detected() -> Predict:
    """The bundled detector, which has learnt no target, with the lungs of PBTSeg."""
    detector, lungs = Detector.from_pretrained(), PBTSeg()

    def predict(image: Image) -> Mask:
        return np.asarray(detector(image, lungs(image)).mask, bool)

    return predict
