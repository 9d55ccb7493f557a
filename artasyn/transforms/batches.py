"""Opacities on batches that lie on a device, in the style of kornia."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from artasyn.errors import ImageError
from artasyn.segment.lungs import Lungs
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.batch import BatchLungOpacity, FilmBatch, LungsOfBatch, as_labels
from artasyn.synthesis.finding import Findings
from artasyn.tensors import Masks
from artasyn.transforms.options import check_options


class RandomBatchLungOpacity(torch.nn.Module):
    """Inserts lung opacities into batches on any device, in the style of kornia, with torch's random generator.

    As kornia's augmentations do, the module changes images in training and in evaluation alike. Put it before a
    `kornia.augmentation.AugmentationSequential`, which then moves images, masks and lungs together.

    Args:
        opacity: a `LungOpacity`, or the names of findings; None takes all findings.
        p: probability of an anomaly in each image.
        same_on_batch: draws one anomaly for all images, relative to the lungs of each. It fits lungs with the same
            sides as the first ones, and changes nothing where it does not show.
        lungs_labelled: as for `BatchLungOpacity`.

    Raises:
        DataError: `p` is no probability.

    Example:
        >>> from artasyn import Phantom
        >>> chests = [Phantom(size=96)(seed) for seed in (1, 2)]
        >>> images = torch.stack([torch.from_numpy(chest.image)[None] for chest in chests])
        >>> lungs = torch.stack([torch.from_numpy(chest.lungs.labels)[None] for chest in chests])
        >>> _ = torch.manual_seed(3)
        >>> changed, masks = RandomBatchLungOpacity(["nodule"], p=1.0)(images, lungs)
        >>> masks.shape, bool(((changed != images) == (masks > 0)).all())
        (torch.Size([2, 1, 96, 96]), True)
    """

    def __init__(
        self,
        opacity: LungOpacity | Findings | None = None,
        *,
        p: float = 0.5,
        same_on_batch: bool = False,
        lungs_labelled: bool | None = None,
    ) -> None:
        super().__init__()
        check_options(p)
        self.insert = BatchLungOpacity(opacity, lungs_labelled=True)
        self.p, self.same_on_batch, self.lungs_labelled = p, same_on_batch, lungs_labelled

    def forward(self, images: FilmBatch, lungs: LungsOfBatch) -> tuple[FilmBatch, Masks]:
        """Inserts an anomaly into each image with probability `p`.

        Args:
            images: float32 (b, 1, h, w) in [0, 1].
            lungs: as for `BatchLungOpacity`.

        Returns:
            The changed images, and the masks of the changed pixels as 0.0 and 1.0, on the device of the images.

        Raises:
            SynthesisError: an image has no lungs, or nothing can be added to them.
            ImageError: the images are no valid batch, or the lungs are on another grid or device.
        """
        _check_kinds(images, lungs)
        labels, _ = as_labels(images, lungs, self.lungs_labelled)
        masks = torch.zeros_like(images)
        where = torch.nonzero(torch.rand(len(images)) < self.p).flatten()
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        if not len(where):
            return images, masks
        where = where.to(images.device)
        chosen = labels[where]
        if self.same_on_batch:
            first = Lungs.from_labels(chosen[0, 0].cpu().numpy())
            record = self.insert.opacity.draw(first, rng)
            made = self.insert.render(images[where], chosen, [record] * len(where))
        else:
            made = self.insert(images[where], chosen, rng)
        return images.index_copy(0, where, made.images), masks.index_copy(0, where, made.masks.to(masks.dtype))


def _check_kinds(images: object, lungs: object) -> None:
    """Refuses images that are no tensor, and lungs that are neither a tensor nor a list."""
    if not isinstance(images, Tensor) or not isinstance(lungs, Tensor | Sequence):
        kinds = f"{type(images).__name__} and {type(lungs).__name__}"
        raise ImageError(f"images must be a tensor, and lungs a tensor or a list, not {kinds}")
