"""The anatomy of a chest of ellipsoids, as a network would read it without fault, for tests of what uses an anatomy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from artasyn.arrays import Image
from artasyn.cautions import CAUTIONS
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.footprints import footprints, with_landmarks
from artasyn.segment.anatomy.segmenters import AnatomyReader
from artasyn.segment.anatomy.window import resample
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


@dataclass(frozen=True)
class Settings:
    """The settings of `Exact`."""

    names: tuple[str, ...]


class Exact:
    """Reads the film of the chest of ellipsoids without fault, at any size, and nothing on any other film."""

    settings = Settings(seen()[1].names)

    def __call__(
        self, image: Image, angle: float | None = None, *, spacing: tuple[float, float] | None = None
    ) -> Anatomy:
        film, anatomy = seen()
        shape = (image.shape[0], image.shape[1])
        anatomy = replace(anatomy, angle=float(angle or 0), spacing=spacing, shape=shape)
        if np.corrcoef(resample(image, film.shape).ravel(), film.ravel())[0, 1] > 0.95:
            return replace(anatomy, confidence=tuple(0.7 + 0.01 * (place % 20) for place in range(len(anatomy.names))))
        return replace(
            anatomy,
            maps=np.zeros_like(anatomy.maps),
            confidence=(0.0,) * len(anatomy.names),
            reasons=(CAUTIONS["not_a_chest"],),
            warnings=("not_a_chest",),
        )


@dataclass(frozen=True)
class ExactReader(AnatomyReader):
    """Reads with `Exact`, in worker processes too."""

    digest: str = "exact"

    @property
    def net(self) -> Any:
        return Exact()

    def pinned(self) -> ExactReader:
        return self
