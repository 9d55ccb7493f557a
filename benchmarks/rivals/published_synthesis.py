"""The texture synthesis as published, a direct implementation for comparison: ART-ASyn (arXiv 2512.00310), 256 x 256.

The code is new but follows the published program step by step. Anomalies are RGBA pictures in Pillow, with Python loops
over stamps and Voronoi cells. The order and the weights of the layers are the published ones. The published brush is a
photograph of a texture. Here the brush is drawn as clouds in a disc, so dense that about half of the texture beneath
remains, as measured on the original.
"""

from __future__ import annotations

import cv2
import numpy as np
import PIL.Image
from PIL import ImageChops, ImageEnhance, ImageFilter
from scipy.spatial import cKDTree

from artasyn.arrays import Image, Mask
from artasyn.errors import SynthesisError
from artasyn.segment import Lungs
from artasyn.shapes import Float

SIZE = 256
BRUSHES = (80, 50)
CELLS = 500
Point = Float[np.ndarray, " 2"]
"""Row and column."""
STROKES = (*range(5), *range(10, 15))
LAYERS = (("blurred", 1.0), ("cells", 0.5), ("blurred cells", 0.5), ("cells", 0.5), ("blurred", 1.0))
"""Layers over the strokes, from bottom to top, with their opacities; the opacity of the strokes is 0.4."""


def published_synthesis(image: Image, lungs: Lungs, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A film of 256 x 256 pixels with an anomaly, and the anomaly's mask, which may be empty.

    Raises:
        SynthesisError: there are no lungs.
    """
    places = [np.argwhere(lung) for lung in (lungs.right, lungs.left) if lung.any()]
    if not places:
        raise SynthesisError("no lungs to place an anomaly in")
    grey = round(255 * float(np.quantile(image, 0.85)))
    brush = _brush(grey, rng)
    counts = [0]
    while not any(counts):
        counts = rng.choice(STROKES, size=len(places), p=[0.2, *9 * [0.8 / 9]]).tolist()
    anomaly = _blank(image.shape)
    for lung, count in zip(places, counts, strict=True):
        for _ in range(count):
            start, end = lung[rng.integers(len(lung), size=2)].astype(float)
            anomaly.alpha_composite(_stroke(start, end, brush, image.shape, rng))
    cells = _crystallised(anomaly, rng)
    layers = {
        "blurred": anomaly.filter(ImageFilter.GaussianBlur(8)),
        "cells": cells,
        "blurred cells": cells.filter(ImageFilter.GaussianBlur(3)),
    }
    anomaly = _faded(anomaly, 0.4)
    for name, opacity in LAYERS:
        anomaly.alpha_composite(_faded(layers[name], opacity))
    dilated = cv2.dilate(lungs.mask.astype(np.float32), np.ones((7, 7), np.uint8))
    alpha = np.asarray(anomaly.getchannel("A")) * (0.5 + 0.5 * image) * cv2.GaussianBlur(dilated, (31, 31), 0)
    stronger = ImageEnhance.Brightness(PIL.Image.fromarray(alpha.astype(np.uint8))).enhance(1.5)
    anomaly.putalpha(stronger)
    film = PIL.Image.fromarray(np.round(255 * image).astype(np.uint8)).convert("RGBA")
    result = ImageChops.lighter(PIL.Image.alpha_composite(film, anomaly), film)
    return np.asarray(result.getchannel("R"), np.float32) / np.float32(255), np.asarray(stronger) > 80


def _blank(shape: tuple[int, ...]) -> PIL.Image.Image:
    return PIL.Image.new("RGBA", (shape[1], shape[0]), (0, 0, 0, 0))


def _faded(picture: PIL.Image.Image, opacity: float) -> PIL.Image.Image:
    """A picture with its alpha scaled."""
    result = picture.copy()
    result.putalpha(picture.getchannel("A").point([int(opacity * value) for value in range(256)]))
    return result


def _brush(grey: int, rng: np.random.Generator) -> PIL.Image.Image:
    """A brush of one grey. Its alpha is clouds in a disc that fades toward the rim."""
    side = 2 * max(BRUSHES)
    clouds = np.zeros((side, side), np.float32)
    for octave in range(4):
        knots = rng.random((3 * 2**octave, 3 * 2**octave), np.float32)
        clouds += 0.5**octave * cv2.resize(knots, (side, side), interpolation=cv2.INTER_CUBIC)
    axis = np.linspace(-1, 1, side)
    disc = np.clip(1 - np.hypot(axis[:, None], axis[None, :]) ** 2, 0, 1)
    alpha = 255 * ((clouds - clouds.min()) / np.ptp(clouds)) ** 2 * disc**1.5
    brush = PIL.Image.new("RGBA", (side, side), (grey, grey, grey, 255))
    brush.putalpha(PIL.Image.fromarray(alpha.astype(np.uint8)))
    return brush


def _stroke(
    start: Point,
    end: Point,
    brush: PIL.Image.Image,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> PIL.Image.Image:
    """Stamps of both brushes along a curve between two places, in any order."""
    displaced = rng.uniform(-30, 30, size=2)
    t = np.linspace(0, 1, 100)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * ((start + end) / 2 + displaced) + t**2 * end
    length = np.hypot(*(end - start)) + np.hypot(*displaced)
    stroke = _blank(shape)
    for diameter in BRUSHES:
        resized = brush.resize((diameter, diameter))
        stamps = min(len(curve), max(1, int(length / int(0.05 * diameter))))
        for row, column in rng.choice(curve, size=stamps, replace=False):
            stamp = _jittered(resized, rng)
            top, first = round(row - stamp.height / 2), round(column - stamp.width / 2)
            inside = stamp.crop((max(0, -first), max(0, -top), stamp.width, stamp.height))
            stroke.alpha_composite(inside, (max(0, first), max(0, top)))
    return _faded(stroke, 0.95)


def _jittered(brush: PIL.Image.Image, rng: np.random.Generator) -> PIL.Image.Image:
    """A stamp: a brush of another size, turned, and fainter."""
    side = max(1, round(brush.width * rng.uniform(0.3, 1)))
    turned = brush.resize((side, side)).rotate(rng.uniform(0, 360), PIL.Image.Resampling.BILINEAR)
    return _faded(turned, rng.uniform(0.07, 0.3) * rng.uniform(0.67, 1))


def _crystallised(picture: PIL.Image.Image, rng: np.random.Generator) -> PIL.Image.Image:
    """The picture with every cell of a random Voronoi diagram filled with the cell's mean."""
    values = np.asarray(picture)
    centres = rng.integers(0, values.shape[:2], size=(CELLS, 2))
    pixels = np.argwhere(np.ones(values.shape[:2], bool))
    nearest = cKDTree(centres).query(pixels)[1].reshape(values.shape[:2])
    result = np.zeros_like(values)
    for number in range(CELLS):
        cell = nearest == number
        if cell.any():
            result[cell] = values[cell].mean(axis=0).astype(np.uint8)
    return PIL.Image.fromarray(result)
