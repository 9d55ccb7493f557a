"""A data set of normal radiographs, with anomalies made on the fly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from artasyn.arrays import generator, identity
from artasyn.segment.anatomy.segmenters import LungsBy, Segmenter
from artasyn.segment.anatomy.segmenters import segmenter as find_segmenter
from artasyn.synthesis.finding import Findings
from artasyn.transforms.given import pixels
from artasyn.transforms.insertion import Inserted, Insertion, Maker, as_lungs, as_maker, grey
from artasyn.transforms.options import check_options


class OpacityDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """Any data set of normal radiographs, with anomalies made on the fly.

    A sample depends only on the seed, the epoch and the image's pixels. Any number of workers and any order give the
    same sample.

    Args:
        normals: a data set with a length; its items are images, or tuples or dictionaries with one at `key`. Images
            are arrays as for `LungOpacityTransform`, or tensors or PIL images as for `RandomLungOpacity`.
        opacity: makes the anomalies: a `LungOpacity`, an `artasyn.synthesis.diffusion.Imagined`, or the names of
            findings; None takes all findings.
        lungs: a function that returns the lungs of an item from the item's index, or its `Anatomy`; with None, the
            segmenter finds them.
        key: of the image in an item; None if the item is the image.
        seed: seed of all random choices.
        p: probability of an anomaly.
        anomalies_range: number of anomalies in an image.
        lungs_labelled: as for `RandomLungOpacity`.
        segmenter: as for `RandomLungOpacity`.

    Raises:
        DataError: `p` is no probability.

    Example:
        >>> from artasyn import Phantom
        >>> films = [Phantom(size=96)(seed).image for seed in (1, 2)]
        >>> sample = OpacityDataset(films, seed=4)[1]
        >>> sorted(sample), sample["image"].shape
        (['image', 'mask', 'normal', 'records'], torch.Size([1, 96, 96]))
    """

    def __init__(
        self,
        normals: Any,
        opacity: Maker | Findings | None = None,
        *,
        lungs: Any = None,
        key: Any = None,
        seed: int = 0,
        p: float = 1.0,
        anomalies_range: tuple[int, int] = (1, 1),
        lungs_labelled: bool | None = None,
        segmenter: LungsBy | Segmenter = "pbtseg",
    ) -> None:
        check_options(p)
        self.normals, self.lungs, self.key, self.seed, self.p, self.epoch = normals, lungs, key, seed, p, 0
        self.insertion = Insertion(as_maker(opacity), anomalies_range, find_segmenter(segmenter))
        self.lungs_labelled = lungs_labelled

    def __len__(self) -> int:
        return len(self.normals)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, for other anomalies; call it before the loader starts its workers."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Returns item `index`: image, normal and mask as float32 (c, h, w), and the records as JSON."""
        item = self.normals[index]
        image = pixels(item if self.key is None else item[self.key])
        rng = generator(self.seed, self.epoch, identity(grey(image)))
        made = Inserted(image, np.zeros(image.shape[:2], bool), {}, ())
        if rng.random() < self.p:
            given = None if self.lungs is None else self.lungs(index)
            lungs = None if given is None else as_lungs(given, image.shape[:2], labelled=self.lungs_labelled)
            made = self.insertion.draw(image, lungs, rng)
        return {
            "image": _sample(made.image),
            "normal": _sample(image),
            "mask": torch.from_numpy(made.mask.astype(np.float32))[None],
            "records": [record.to_json() for record in made.records],
        }


def _sample(image: Any) -> Tensor:
    """Returns an image as float32 (c, h, w) in [0, 1]."""
    values = image / np.float32(255) if image.dtype == np.uint8 else image
    planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return torch.from_numpy(np.array(planes, np.float32))
