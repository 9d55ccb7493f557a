"""Measures of a chest: cardiothoracic ratio, Cobb angle and lung areas, all from one projection."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from artasyn.errors import DataError
from artasyn.segment.measures.cardiothoracic import CardiothoracicRatio
from artasyn.segment.measures.cobb import CobbAngle
from artasyn.segment.measures.lung_areas import LungAreas
from artasyn.segment.projection.projection import Convention, Projection


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
    """

    cardiothoracic_ratio: CardiothoracicRatio | None = None
    cobb_angle: CobbAngle | None = None
    lung_areas: LungAreas | None = None
    spacing: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the measures as plain numbers, words, lists and dictionaries, for JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def measure(projection: Projection, convention: Convention = "visible") -> Measures:
    """Measures a projection; measures that the projection does not allow are None, with a reason.

    `artasyn.segment.check_volume` tells whether the scan holds the whole lungs and heart.

    Args:
        projection: a projection of a volume with structures.
        convention: lungs whose areas are measured, see `Projection.lungs`.

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
        >>> measures.cardiothoracic_ratio.value, measures.reasons
        (0.4, {'cobb_angle': 'the curve of the spine needs 5 whole vertebrae, found 0'})
    """
    found: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, way in (
        ("cardiothoracic_ratio", CardiothoracicRatio.of),
        ("cobb_angle", CobbAngle.of),
        ("lung_areas", lambda projection: LungAreas.of(projection, convention)),
    ):
        try:
            found[name] = way(projection)
        except DataError as error:
            found[name] = None
            reasons[name] = str(error)
    return Measures(spacing=projection.spacing_isocentre, reasons=reasons, **found)


def _plain(value: Any) -> Any:
    """Turns tuples into lists, as JSON returns them."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
