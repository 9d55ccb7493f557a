"""Measures of a chest, all from one projection or from the anatomy of one radiograph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from artasyn.errors import DataError
from artasyn.segment.measures.cardiothoracic import CardiothoracicRatio
from artasyn.segment.measures.carina import BRONCHI, CarinalAngle
from artasyn.segment.measures.cobb import CobbAngle
from artasyn.segment.measures.diaphragm import DiaphragmHeights
from artasyn.segment.measures.footprints import HEARTS, THORAX, Structures, chosen, lung_names
from artasyn.segment.measures.lung_areas import LungAreas


@dataclass(frozen=True)
class Measures:
    """The measures of one image, as plain numbers and words.

    Attributes:
        cardiothoracic_ratio: None if it cannot be measured.
        cobb_angle: None if it cannot be measured.
        lung_areas: None if they cannot be measured.
        spacing: size of a pixel for lengths and areas, mm; None if it is unknown. In a projection it is the size at the
            isocentre: structures nearer to the source appear larger, structures nearer to the detector smaller.
        reasons: reasons why measures are None, by the name of the measure.
        carinal_angle: None if it cannot be measured.
        diaphragm_heights: None if they cannot be measured.
        confidence: confidence of the measures that are not None, by the name of the measure: that of the structure they
            rest on that is least sure, and of the Cobb angle the mean of its vertebrae. 1 in a projection.
    """

    cardiothoracic_ratio: CardiothoracicRatio | None = None
    cobb_angle: CobbAngle | None = None
    lung_areas: LungAreas | None = None
    spacing: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    carinal_angle: CarinalAngle | None = None
    diaphragm_heights: DiaphragmHeights | None = None
    confidence: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the measures as plain numbers, words, lists and dictionaries, for JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def measure(structures: Structures, convention: str = "visible") -> Measures:
    """Measures a projection or an anatomy; measures that are not possible are None, with a reason.

    `artasyn.segment.check_volume` tells whether a scan holds the whole lungs and heart.

    Args:
        structures: a projection of a volume with structures, or the anatomy of a radiograph.
        convention: lungs whose areas are measured, see `Projection.lungs` and `Anatomy.lungs`.

    Example:
        >>> import numpy as np
        >>> from artasyn.segment.projection.projection import project
        >>> from artasyn.segment.projection.view import View
        >>> from artasyn.segment.ct.volume import Structure, Volume
        >>> masks = np.zeros((3, 40, 40, 60), bool)
        >>> masks[0, 5:35, 5:35, 5:25] = masks[1, 5:35, 5:35, 35:55] = masks[2, 20:32, 10:25, 22:42] = True
        >>> names = ("lung_right", "lung_left", "heart")
        >>> structures = {name: Structure.of(mask) for name, mask in zip(names, masks)}
        >>> affine = np.zeros((4, 4))
        >>> affine[[2, 1, 0, 3], [0, 1, 2, 3]] = -5, -5, -5, 1
        >>> volume = Volume(np.zeros((40, 40, 60), np.int16), affine, structures)
        >>> measures = measure(project(volume, View(source_to_detector=None, size=None)))
        >>> measures.cardiothoracic_ratio.value, measures.reasons["cobb_angle"]
        (0.4, 'the curve of the spine needs 5 whole vertebrae, found 0')
    """
    found: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    ways: dict[str, Callable[[], Any]] = {
        "cardiothoracic_ratio": lambda: CardiothoracicRatio.of(structures),
        "cobb_angle": lambda: CobbAngle.of(structures),
        "lung_areas": lambda: LungAreas.of(structures, convention),
        "carinal_angle": lambda: CarinalAngle.of(structures),
        "diaphragm_heights": lambda: DiaphragmHeights.of(structures),
    }
    for name, way in ways.items():
        try:
            found[name] = way()
        except DataError as error:
            reasons[name] = str(error)
    confidence = {name: _confidence(structures, name, each, convention) for name, each in found.items()}
    return Measures(spacing=structures.pixel, reasons=reasons, confidence=confidence, **found)


def _confidence(structures: Structures, name: str, found: Any, convention: str) -> float:
    """Returns the confidence of a measure, from the structures it rests on."""
    if isinstance(found, CobbAngle):
        return sum(map(structures.sure, found.names)) / len(found.names)
    used = {
        "cardiothoracic_ratio": (HEARTS, THORAX),
        "lung_areas": (lung_names(convention),),
        "carinal_angle": (BRONCHI,),
        "diaphragm_heights": (lung_names("whole"),),
    }
    return min(structures.sure(each) for choices in used[name] for each in chosen(structures, choices, name))


def _plain(value: Any) -> Any:
    """Turns tuples into lists, as JSON returns them."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
