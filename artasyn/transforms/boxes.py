"""Boxes around synthetic lesions, and their rows in the box targets of albumentations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Image, Mask
from artasyn.errors import ImageError, SynthesisError
from artasyn.synthesis import FINDINGS, Anomaly, LungOpacity, OpacityRecord
from artasyn.synthesis.anomaly import Change
from artasyn.synthesis.diffusion import Imagined, ImaginedAnomaly, PromptRecord
from artasyn.synthesis.opacity import rendered
from artasyn.synthesis.places import Found, Place


@dataclass(frozen=True)
class LesionBox:
    """The box around the changed pixels of one lesion.

    Attributes:
        finding: the name of the lesion's finding.
        left: its first column.
        top: its first row.
        right: the column after its last.
        bottom: the row after its last.
    """

    finding: str
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, finding: str, mask: Mask) -> LesionBox:
        """Returns the box around a mask that is not empty."""
        left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
        return cls(finding, left, top, left + width, top + height)

    def with_pixel(self, row: int, column: int) -> LesionBox:
        """Returns the smallest box that holds this one and a pixel."""
        left, right = min(self.left, column), max(self.right, column + 1)
        return LesionBox(self.finding, left, min(self.top, row), right, max(self.bottom, row + 1))

    def distance(self, row: int, column: int) -> int:
        """Returns how many pixels lie between this box and a pixel, along the axis with more of them."""
        return max(self.left - column, column + 1 - self.right, self.top - row, row + 1 - self.bottom, 0)


def rendered_again(
    opacity: LungOpacity | Imagined, film: Image, place: Found | Place, record: OpacityRecord | PromptRecord
) -> Anomaly | ImaginedAnomaly:
    """Renders a record on a film with what drew it.

    Args:
        opacity: drew the record.
        film: float32 (h, w) in [0, 1].
        place: the lungs.
        record: of the kind that `opacity` draws.

    Raises:
        SynthesisError: the record is of another kind, or it cannot be rendered here.
    """
    if isinstance(opacity, Imagined) and isinstance(record, PromptRecord):
        return opacity.render(film, place, record)
    if isinstance(opacity, LungOpacity) and isinstance(record, OpacityRecord):
        return opacity.render(film, place, record)
    raise SynthesisError(f"a {type(record).__name__} cannot be rendered by {type(opacity).__name__}")


def lesion_boxes(
    opacity: LungOpacity | Imagined,
    film: Image,
    place: Found | Place,
    records: Sequence[OpacityRecord | PromptRecord],
    mask: Mask,
) -> list[LesionBox]:
    """Returns a box around the changed pixels of each lesion; each changed pixel lies in a box.

    A lesion that another lesion hides has no box. Of what a prompt asks for, each separate part of a finding has one.

    Args:
        opacity: rendered the records, one after the other.
        film: float32 (h, w) in [0, 1], before the anomalies.
        place: the lungs and the part of them that the records may change, on the same grid.
        records: of the anomalies.
        mask: bool (h, w), the pixels that all anomalies changed.
    """
    here, boxes, left = film, [], mask.copy()
    for number, record in enumerate(records):
        if number:
            here = rendered_again(opacity, here, place, records[number - 1]).image
        if not isinstance(record, OpacityRecord) or not isinstance(place, Place):
            made = rendered_again(opacity, here, place, record)
            assert isinstance(made, ImaginedAnomaly)
            boxes += _part_boxes(made, mask)
            left &= ~made.mask
            continue
        alone = tuple(replace(lesion, finding=str(which)) for which, lesion in enumerate(record.lesions))
        change = rendered(here, place, replace(record, lesions=alone))
        for which, part in _parts(change).items():
            whole = part & mask
            left &= ~whole
            if whole.any():
                boxes.append(LesionBox.around(record.lesions[which].finding, whole))
    if not boxes and left.any():
        first = records[0]
        return [LesionBox.around(first.lesions[0].finding if isinstance(first, OpacityRecord) else "", left)]
    for row, column in np.argwhere(left).tolist():  # the few that only the resampling to the film's grid reached
        nearest = min(range(len(boxes)), key=lambda one: boxes[one].distance(row, column))
        boxes[nearest] = boxes[nearest].with_pixel(row, column)
    return boxes


def _part_boxes(made: ImaginedAnomaly, mask: Mask) -> list[LesionBox]:
    """Returns a box around each separate part of each finding."""
    boxes = []
    for each, region in zip(made.masks.masks, made.regions, strict=True):
        _, _, parts, _ = cv2.connectedComponentsWithStats((region & mask).astype(np.uint8), connectivity=8)
        boxes += [
            LesionBox(each.asked.finding, left, top, left + width, top + height)
            for left, top, width, height, _ in parts[1:].tolist()
        ]
    return boxes


def _parts(change: Change) -> dict[int, Mask]:
    """Returns the changed pixels of each lesion, decided on the grid as in `Change.findings`.

    Unlike there, no lesion owns a pixel where every lesion adds nothing on the grid.
    """
    parts = {int(place): (1 - air) * change.step for place, air in change.air_left.items()}
    most = np.maximum.reduce(list(parts.values()))
    return {
        place: change.among((part >= np.float32(change.tolerance)) | ((part == most) & (most > 0)))
        for place, part in parts.items()
    }


def with_boxes(
    boxes: Any, new: Sequence[LesionBox], shape: tuple[int, ...], fields: LabelFields, labels: Any
) -> npt.NDArray[Any]:
    """Adds rows to a box target, as albumentations holds the target between its transforms.

    Args:
        boxes: (n, 4 + k), left, top, right and bottom as shares of the image, then k labels as numbers.
        new: the boxes to add.
        shape: rows and columns of the image.
        fields: the label fields of the target.
        labels: the labels of the new boxes, as in `LungOpacityTransform`.

    Raises:
        ImageError: a label of the new boxes is not known, or cannot be stored beside the given ones.
    """
    given = np.asarray(boxes)
    if not new:
        return given
    known = given.shape[1] - 4 if given.ndim == 2 else int(labels is not None and not fields.names)
    further = max(0, known - (len(fields.names) if fields.joined else 0))
    names = [*(f"column {5 + number}" for number in range(further)), *fields.names]
    before = given if len(given) else np.zeros((0, 4 + len(names)))
    corners = np.array([(box.left, box.top, box.right, box.bottom) for box in new]) / [*shape[1::-1], *shape[1::-1]]
    columns = [np.concatenate([before[:, :4], corners])]
    for number, name in enumerate(names):
        made = [label_of(one.finding, name, names, labels) for one in new]
        columns.append(fields.column(name, before[:, 4 + number], made)[:, None])
    dtype = given.dtype if given.dtype.kind == "f" else np.float32
    return np.ascontiguousarray(np.hstack(columns).astype(dtype))


@dataclass(frozen=True)
class LabelFields:
    """The label fields of a box target in a Compose of albumentations.

    Attributes:
        target: the name of the box target.
        processor: the box processor of the Compose, which keeps labels as numbers.
        joined: whether the labels stand in the columns of the boxes; those of an empty target do not.
    """

    target: str
    processor: Any
    joined: bool

    @classmethod
    def of(cls, target: str, processor: Any, data: Mapping[str, Any]) -> LabelFields:
        """Returns the label fields of a target; albumentations takes labels out of the data where it joins them."""
        return cls(target, processor, not any(name in data for name in processor.params.label_fields or ()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields, in the order of their columns."""
        return tuple(self.processor.params.label_fields or ())

    def column(self, name: str, old: npt.NDArray[Any], new: list[Any]) -> npt.NDArray[Any]:
        """Returns the labels of a field as numbers: the given ones and then the new ones.

        Args:
            name: of the field, or of a further column of the boxes, which holds numbers.
            old: the given labels as numbers.
            new: the labels to add.

        Raises:
            ImageError: the new labels are of another kind than the given ones.
        """
        held = name in self.names
        before = self._decoded(name, old) if held and len(old) else old.tolist()
        numbers = [isinstance(label, (int, float, np.number)) for label in (*before, *new)]
        if not held and all(numbers):
            return np.array([*before, *new])
        if any(numbers) != all(numbers) or not held:
            raise ImageError(self._refusal(name, new))
        try:
            encoded = np.asarray(self._encoded(name, [*before, *new])).ravel()
            stored = self._decoded(name, encoded[len(before) :].astype(np.float32))
        except ValueError as error:
            raise ImageError(self._refusal(name, new)) from error
        if not (np.allclose(stored, new, rtol=2e-7) if all(numbers) else stored == new):
            raise ImageError(self._refusal(name, new))
        return encoded

    def _refusal(self, name: str, new: list[Any]) -> str:
        return (
            f"{name} of {self.target} cannot hold the label {new[0]!r} of a new box; say what the box gets with "
            f"LungOpacityTransform(box_labels=...), a value of the kind that {name} holds or a dictionary with a value "
            "for each finding; give names as a list"
        )

    def _encoded(self, name: str, labels: list[Any]) -> Any:
        """Returns labels as the numbers that albumentations keeps; before 2.0.3 it has no label manager."""
        if hasattr(self.processor, "label_manager"):
            return self.processor.label_manager.process_field(self.target, name, labels)
        return self.processor._encode_label_field({name: labels}, self.target, name)

    def _decoded(self, name: str, numbers: npt.NDArray[Any]) -> list[Any]:
        """Returns the labels of the numbers that albumentations keeps."""
        if hasattr(self.processor, "label_manager"):
            labels = self.processor.label_manager.restore_field(self.target, name, numbers)
        else:
            labels = self.processor._decode_label_field(self.target, name, numbers)
        return labels.tolist() if isinstance(labels, np.ndarray) else list(labels)


def label_of(finding: str, field: str, fields: Sequence[str], labels: Any) -> Any:
    """Returns the label of a new box in a label field.

    Raises:
        ImageError: `labels` does not say it.
    """
    each = isinstance(labels, Mapping) and bool(labels) and set(labels) <= set(fields)
    if len(fields) > 1 and not (each and set(labels) == set(fields)):
        missing = [one for one in fields if not (each and one in labels)]
        raise ImageError(
            f"boxes have the label fields {', '.join(fields)}; say what new boxes get in {', '.join(missing)}: "
            f"LungOpacityTransform(box_labels={{{missing[0]!r}: ..., ...}}), a value for each field"
        )
    said = labels[field] if each else labels
    if said is None:
        return finding
    if not isinstance(said, Mapping):
        return said
    if finding not in said:
        raise ImageError(f"box_labels names no label for {finding} in {field}; findings are {', '.join(FINDINGS)}")
    return said[finding]
