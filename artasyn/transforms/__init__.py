"""Synthesis inside training loops: transforms for albumentations and torchvision, and a data set."""

from artasyn.transforms.pipelines import LungOpacityTransform, OpacityDataset, RandomLungOpacity

__all__ = ["LungOpacityTransform", "OpacityDataset", "RandomLungOpacity"]
