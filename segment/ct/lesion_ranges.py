"""The ranges from which three-dimensional lesions are drawn, for every kind, in a CT and in a phantom.

The ranges for CT and phantom differ because the models differ. A CT lesion is tissue that replaces a share of the air
of a real lung, up to a whole lobe. A phantom's lesion is one body in a lung of -865 HU. It is large enough to be seen
on the phantom's film and smaller than the lung. A phantom's `hu` is the mixture of lung and tissue in the densest parts
of the lesion. Nodules and consolidation agree with the CT's tissue and density. Ground glass is denser in a phantom,
because the patchy inside of a phantom's lesion thins it more. With the CT's numbers, ground glass on a phantom's film
would be an eighth fainter.

Source: sizes and densities from the Fleischner Society glossary of terms for thoracic imaging (Hansell et al. 2008).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Range = tuple[float, float]
"""Lowest and highest value of a range, both included."""


@dataclass(frozen=True)
class CTRanges:
    """The ranges from which a `artasyn.segment.ct.lesion.CTLesion` is drawn.

    Attributes:
        radius: mm; drawn log-uniformly.
        hu: Hounsfield units of the tissue.
        density: share of the air that the tissue replaces, in (0, 1].
        edge: width of the border's slope, mm.
        irregularity: irregularity of the border, relative to the radius.
        patchiness: relative variation of the density inside; a number, not a range.
    """

    radius: Range
    hu: Range
    density: Range
    edge: Range
    irregularity: Range
    patchiness: float


@dataclass(frozen=True)
class PhantomRanges:
    """The ranges from which a `artasyn.phantom.lesions.PhantomLesion` is drawn.

    Attributes:
        radius: mm.
        hu: Hounsfield units of the densest parts, lung and tissue together.
        edge: softness of the border, relative to the radius.
        irregularity: irregularity of the border, relative to the radius.
    """

    radius: Range
    hu: Range
    edge: Range
    irregularity: Range


@dataclass(frozen=True)
class LesionRanges:
    """One row of the table.

    Attributes:
        ct: the ranges for a lesion in a CT.
        phantom: the ranges for a lesion in a phantom.
    """

    ct: CTRanges
    phantom: PhantomRanges


LESION_RANGES: Mapping[str, LesionRanges] = {
    "nodule": LesionRanges(
        CTRanges((2.5, 15.0), (0.0, 70.0), (0.9, 1.0), edge=(1.0, 2.5), irregularity=(0.05, 0.3), patchiness=0.05),
        PhantomRanges((5.0, 15.0), (-80.0, 60.0), edge=(0.06, 0.2), irregularity=(0.1, 0.45)),
    ),
    "consolidation": LesionRanges(
        CTRanges((18.0, 60.0), (10.0, 60.0), (0.85, 1.0), edge=(2.0, 8.0), irregularity=(0.3, 0.7), patchiness=0.1),
        PhantomRanges((20.0, 46.0), (-120.0, 40.0), edge=(0.1, 0.35), irregularity=(0.5, 1.0)),
    ),
    "ground_glass_opacity": LesionRanges(
        CTRanges((15.0, 70.0), (0.0, 40.0), (0.15, 0.45), edge=(5.0, 15.0), irregularity=(0.3, 0.8), patchiness=0.35),
        PhantomRanges((20.0, 44.0), (-680.0, -380.0), edge=(0.3, 0.6), irregularity=(0.6, 1.1)),
    ),
}
"""The ranges of every `artasyn.findings.LesionKind`."""
