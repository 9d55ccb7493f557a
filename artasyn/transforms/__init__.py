"""Synthesis inside training loops: transforms for torchvision, albumentations, MONAI and kornia, and a data set."""

from typing import TYPE_CHECKING

from artasyn.doors import later
from artasyn.transforms.batches import RandomBatchLungOpacity
from artasyn.transforms.dataset import OpacityDataset
from artasyn.transforms.pipelines import LungOpacityTransform, RandomLungOpacity

if TYPE_CHECKING:
    from artasyn.transforms.dictionaries import AnatomyNetd, LungOpacityd, PBTSegd

__all__ = [
    "AnatomyNetd",
    "LungOpacityTransform",
    "LungOpacityd",
    "OpacityDataset",
    "PBTSegd",
    "RandomBatchLungOpacity",
    "RandomLungOpacity",
]

__getattr__ = later(
    __name__, dict.fromkeys(("AnatomyNetd", "LungOpacityd", "PBTSegd"), "artasyn.transforms.dictionaries")
)  # all need MONAI
