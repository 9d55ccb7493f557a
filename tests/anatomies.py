"""The anatomy of a chest of ellipsoids, as a network would read it without fault, for tests of what uses an anatomy."""

from __future__ import annotations

from functools import cache

import numpy as np

from artasyn.arrays import Image
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.footprints import footprints, with_landmarks
from artasyn.segment.projection.projection import Projection, project
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY
from tests.chest import chest


@cache
def projected(side: int = 160) -> Projection:
    """The chest as a frontal film."""
    return project(with_landmarks(chest()), View(size=(side, side)), frame="film")


@cache
def seen(side: int = 160) -> tuple[Image, Anatomy]:
    """The film of the chest, and its anatomy."""
    film = projected(side)
    masks, known = footprints(film.thickness, film.names, np.ones(film.image.shape, bool), film.view.angle)
    names = tuple(np.array(ANATOMY)[known].tolist())
    return film.image, Anatomy(names, masks[known].astype(np.float32), 0.0, (0.9,) * len(names))
