"""Synthesis inside training loops: transforms for albumentations and torchvision, and a data set."""

from artasyn.transforms.dataset import OpacityDataset
from artasyn.transforms.pipelines import LungOpacityTransform, RandomLungOpacity

__all__ = ["LungOpacityTransform", "OpacityDataset", "RandomLungOpacity"]
