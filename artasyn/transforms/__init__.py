"""Synthesis inside training loops: transforms for torchvision, albumentations, MONAI and kornia, and a data set."""

from importlib.util import find_spec
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

_OF_MONAI = ("AnatomyNetd", "LungOpacityd", "PBTSegd")

if find_spec("monai") is None:  # a star import leaves them out; who asks for one by name learns what to install
    __all__ = [name for name in __all__ if name not in _OF_MONAI]

__getattr__ = later(__name__, dict.fromkeys(_OF_MONAI, "artasyn.transforms.dictionaries"))
