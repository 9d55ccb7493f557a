"""The reading of one film: anatomy, measures and detection, and the pictures that show them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from artasyn.arrays import Image, Picture
from artasyn.bulk.run import reason_of
from artasyn.cautions import usable
from artasyn.detection.detector import Detector
from artasyn.detection.examination import Detection
from artasyn.detection.opening import heat_scale, open_detector
from artasyn.files.opened import open_radiograph
from artasyn.phantom.film import Phantom
from artasyn.pictures.anatomy import COLOURS, main_structures, overlay_measures, reduced_to
from artasyn.pictures.detected import Scale, Sides, Verdict, overlay_detection
from artasyn.pictures.hover import Region, hover_picture
from artasyn.pictures.thumbnails import thumbnail
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.anatomy.segmenters import AnatomyReader
from artasyn.segment.measures.measures import Measures

SIDE = 768
"""The longer side of pictures on the page, in pixels."""

PHANTOM_SIZE = 512
"""Rows and columns of a phantom's film."""

SHOWN_BY_OTHERS = (
    *("body", "lung_right", "lung_left", "visible_lung_right", "visible_lung_left"),
    *("whole_lung_right", "whole_lung_left", "ribs_right", "ribs_left", "spine", "trachea"),
    *("clavicula_right", "clavicula_left", "drawn_heart", "heart", "mediastinum", "abdomen"),
)
"""Structures that the page shows under another name or by their parts, or that would cover the others."""

FRONTAL_MARKS = {"left": "R", "right": "L"}
"""Marks of a frontal film as it is hung: the patient's right is at the left border."""


@dataclass(frozen=True, eq=False)
class Reading:
    """All that is told of one film.

    Attributes:
        name: of the file, or of the phantom.
        image: float32 (h, w) in [0, 1].
        anatomy: its structures.
        measures: of the anatomy.
        detection: score, heatmap and mask.
        scale: of the heatmap, the same for all films.
        image_threshold: the score from which a film counts as abnormal.
        sides: how the patient's sides are known.
    """

    name: str
    image: Image
    anatomy: Anatomy
    measures: Measures
    detection: Detection
    scale: Scale
    image_threshold: float
    sides: Sides = "convention"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons to doubt the film or its reading, in sentences, each once."""
        return tuple(dict.fromkeys((*self.detection.reasons, *self.anatomy.reasons)))

    @property
    def usable(self) -> bool:
        """Whether the film can be judged."""
        return usable(self.detection.warnings) and self.anatomy.usable


@dataclass(frozen=True)
class Models:
    """The detector and the reader of anatomy of one server, loaded once.

    Attributes:
        detector: looks for anomalies.
        net: reads the anatomy.
    """

    detector: Detector
    net: AnatomyNet

    @classmethod
    def load(cls, model: str = "bundled", device: str = "cpu") -> Models:
        """Loads the models.

        Args:
            model: the detector, as for `artasyn.detection.opening.open_detector`.
            device: a device of torch.

        Raises:
            ModelError: there is no such model.
        """
        return cls(open_detector(model, device), AnatomyReader(device=device).net)

    def read(self, path: Path) -> Reading:
        """Reads a film from a file.

        Args:
            path: PNG, JPEG, TIFF or DICOM.

        Raises:
            RadiographError: the file is no frontal radiograph; the message names the file.
        """
        radiograph = open_radiograph(path)
        reading = self.reading(path.name, radiograph.image, radiograph.spacing)
        return replace(reading, sides="header" if radiograph.sided else "convention")

    def phantom(self, seed: int, *, lesions: bool) -> Reading:
        """Reads the film of a phantom.

        Args:
            seed: not negative.
            lesions: whether its lungs are diseased.
        """
        film = Phantom(size=PHANTOM_SIZE)(seed, lesions=lesions)
        return self.reading(f"phantom {seed}{' with lesions' * lesions}", film.image)

    def reading(self, name: str, image: Image, spacing: tuple[float, float] | None = None) -> Reading:
        """Reads a film.

        Args:
            name: of the film.
            image: float32 (h, w) in [0, 1].
            spacing: size of a pixel, mm, rows and columns; None if it is unknown.
        """
        anatomy = self.net(image, spacing=spacing)
        detector = self.detector
        return Reading(
            name,
            image,
            anatomy,
            anatomy.measure(),
            detector(image),
            heat_scale(detector),
            detector.image_threshold,
        )


def anatomy_picture(reading: Reading) -> str:
    """Returns the film as SVG: lungs and main structures outlined, and every structure named under the pointer."""
    small = np.asarray(thumbnail(reading.image, SIDE), np.float32)
    anatomy = reduced_to(reading.anatomy, small)
    regions = [Region(name, mask, COLOURS[name]) for name, mask in main_structures(anatomy).items()]
    for name in anatomy.names:
        if name not in SHOWN_BY_OTHERS:
            regions.append(Region(spoken(name), anatomy.mask(name)))
    hint = "point at a structure" if any(region.mask.any() for region in regions) else "no structure was found"
    return hover_picture(small, regions, hint=hint, marks=FRONTAL_MARKS if reading.usable else None)


def heat_picture(reading: Reading) -> Picture:
    """Returns the film with heat and colour bar if it is flagged, and plain if it is not, as `artasyn detect` does."""
    found = reading.detection
    labels = found.lungs.labels if found.lungs else np.ones(reading.image.shape, np.uint8)
    told = Verdict(found.abnormal, found.score, reading.image_threshold, sides=reading.sides)
    return overlay_detection(reading.image, found.heatmap, found.mask, labels, reading.scale, told)


def measures_picture(reading: Reading) -> Picture | None:
    """Returns the film with its measures drawn; None if nothing that can be drawn was measured."""
    found = reading.measures
    if not (found.cardiothoracic_ratio or found.cobb_angle or found.lung_areas):
        return None
    return overlay_measures(reading.image, reading.anatomy, SIDE)


def spoken(name: str) -> str:
    """Returns the name of a structure as people say it.

    Example:
        >>> spoken("lung_upper_lobe_right"), spoken("rib_left_7"), spoken("vertebrae_T4")
        ('right upper lobe', 'left rib 7', 'vertebra T4')
    """
    plain = name.replace("vertebrae_", "vertebra_").removeprefix("lung_" if "_lobe_" in name else "")
    words = plain.split("_")
    for side in ("right", "left"):
        if side in words[1:]:
            words.remove(side)
            words.insert(0, side)
    return " ".join(words)


def verdict(reading: Reading) -> tuple[str, str]:
    """Returns the judgement of a film in a few words, and in one or two sentences.

    Args:
        reading: of the film.
    """
    found = reading.detection
    if not reading.usable:
        return "Not judged", "This film cannot be judged as a frontal chest film. Its score means nothing."
    score = f"The score is {found.score:.3f}; from {reading.image_threshold:.3f} on a film is flagged."
    if not math.isnan(found.percentile):
        share = "More than 99 %" if found.percentile > 99 else f"{found.percentile:.0f} %"
        score += f" {share} of healthy films have a lower score."
    return ("Flagged" if found.abnormal else "Not flagged"), score


def refusal(error: Exception, path: Path) -> str:
    """Returns the message of an error with the name of the file that the user chose, not with the server's folder.

    Args:
        error: raised while the file was read.
        path: of the file on the server.
    """
    text = reason_of(error).replace(str(path), path.name).replace(str(path.parent), "")
    return text if path.name in text else f"{path.name}: {text}"
