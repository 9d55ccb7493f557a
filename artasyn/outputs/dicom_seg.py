"""Regions of a film as a DICOM Segmentation on the film's stored grid; regions may overlap."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from artasyn.arrays import LEFT, RIGHT, LungLabels, Mask
from artasyn.codes import SIDES, Code, Coded, Side, coded
from artasyn.files.opened import Radiograph
from artasyn.outputs.dicom_instance import Maker, concept, encoded, identifiers, library, plain
from artasyn.outputs.dicom_source import SourceFilm
from artasyn.version import __version__

ANATOMICAL = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
"""Categories of segments. Source: DICOM PS3.16, CID 7150."""


@dataclass(frozen=True, eq=False)
class Segment:
    """A region of a film.

    Attributes:
        coded: the name and the code of the region.
        mask: bool (h, w) on the image's grid.
        region: where a finding lies; None for a structure, which is its own region.
        side: of the region.
    """

    coded: Coded
    mask: Mask
    region: Coded | None = None
    side: Side = ""

    @classmethod
    def structure(cls, name: str, mask: Mask) -> Segment:
        """Returns the segment of an anatomical structure.

        Args:
            name: of the structure.
            mask: bool (h, w) on the image's grid.
        """
        row = coded("structure", name)
        return cls(row, mask, side=row.side)

    @classmethod
    def finding(cls, name: str, mask: Mask, lungs: LungLabels) -> Segment:
        """Returns the segment of a finding in the lungs; its side is that of the lungs that it touches.

        Args:
            name: of the finding.
            mask: bool (h, w) on the image's grid.
            lungs: labels of the lungs, uint8 (h, w).
        """
        there: dict[tuple[bool, bool], Side] = {(True, False): "right", (False, True): "left", (True, True): "both"}
        touched = bool((mask & (lungs == RIGHT)).any()), bool((mask & (lungs == LEFT)).any())
        return cls(coded("finding", name), mask, coded("structure", "lungs"), there.get(touched, ""))

    def without_side(self) -> Segment:
        """Returns a finding on one side without its side, which is not known; other segments as they are."""
        return dataclasses.replace(self, side="") if self.region and self.side in ("right", "left") else self


def segmentation(radiograph: Radiograph, film: SourceFilm, segments: Iterable[Segment], maker: Maker) -> bytes | None:
    """Returns the file of a binary DICOM Segmentation, with one frame for each segment.

    The frames lie on the stored grid of the film: the turn from the stored pixels to the image is undone. A structure
    without pixels is left out. A finding without pixels has an empty frame: it was looked for and not found.

    Where the film does not state the patient's sides, a finding on one side names none. Structures keep the sides that
    tell them apart, and the description of the content says that these follow the convention.

    Args:
        radiograph: whose image the masks lie on.
        film: the source.
        segments: the regions; one mask is in memory at a time, and then one byte for each pixel of each region.
        maker: what made the regions.

    Returns:
        The bytes; None without any segment, because the standard allows no empty Segmentation.

    Raises:
        ImageError: a mask is not on the image's grid.
        MissingExtra: highdicom is not installed.

    Source: DICOM PS3.3 A.51 (segmentation), C.8.20.4 (segment description).
    """
    hd = library()
    packed = [
        (dataclasses.replace(each, mask=each.mask[:0]), np.packbits(radiograph.restored(each.mask)))
        for each in segments
        if each.region is not None or each.mask.any()
    ]
    if not packed:
        return None
    assumed = film.assumes_sides(each.coded.name for each, _ in packed)
    pixels = film.rows * film.columns
    frames = np.empty((len(packed), film.rows, film.columns), np.bool_)
    for frame, (_, bits) in zip(frames, packed, strict=True):
        frame[:] = np.unpackbits(bits, count=pixels).reshape(frame.shape)
    algorithm = hd.AlgorithmIdentificationSequence(
        maker.name,
        concept(maker.family),
        __version__,
        parameters={"settings": maker.settings},
    )
    instance = hd.seg.Segmentation(
        source_images=[film.reference],
        pixel_array=np.moveaxis(frames, 0, -1)[None],
        segmentation_type="BINARY",
        segment_descriptions=[
            _described(number, each if film.sided else each.without_side(), algorithm)
            for number, (each, _) in enumerate(packed, 1)
        ],
        omit_empty_frames=False,
        content_label="SEGMENTATION",
        content_description=plain(f"Regions by {maker.name}{'; sides by convention' * assumed}")[:64],
        **identifiers(film, maker, "seg"),
    )
    instance.PatientOrientation = film.orientation
    return encoded(instance, film)


def _described(number: int, segment: Segment, algorithm: Any) -> Any:
    """Returns the description of a segment, with its side beside the code of the structure or of the region."""
    regions = [segment.region.code] if segment.region else []
    described = library().seg.SegmentDescription(
        number,
        plain(segment.coded.name)[:64],
        concept(ABNORMAL if segment.region else ANATOMICAL),
        concept(segment.coded.code),
        "AUTOMATIC",
        algorithm,
        anatomic_regions=[concept(code) for code in regions] or None,
    )
    if segment.side:
        side = [concept(SIDES[segment.side])]
        if segment.region:
            described.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = side
        else:
            described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = side
    return described
