"""The targets of a pipeline of albumentations: what they mean, and which of them an anomaly can be written into."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from artasyn.errors import ImageError, SynthesisError
from artasyn.synthesis import FINDINGS
from artasyn.transforms.insertion import Inserted

_SWITCH = "NO_ALBUMENTATIONS_UPDATE"
_before = os.environ.get(_SWITCH)
os.environ.setdefault(_SWITCH, "1")  # otherwise the import asks a server for newer versions
try:
    import albumentations as A
finally:
    if _before is None:
        del os.environ[_SWITCH]

__all__ = ["KINDS", "LESIONS", "A", "Targets", "marked", "marked_list"]

KINDS = (
    *("image", "mask", "masks", "bboxes"),
    *("images", "keypoints", "volume", "volumes", "mask3d", "masks3d"),
)
"""The targets of albumentations; anomalies are written into the first four."""
LESIONS = ("mask", "masks", "bboxes", "lesion", "lesions")
"""Names of targets that mean lesions, beside the names of findings."""
_MARKED = ("mask", "masks", "bboxes")
_STILL = ("albumentations.augmentations.dropout.", "albumentations.core.", "artasyn.transforms.")
"""Modules whose transforms move no pixels."""


@dataclass(frozen=True)
class Targets:
    """The targets of one call.

    Attributes:
        kinds: the kind of every named target, as in `KINDS`.
        processors: the processors of boxes and keypoints, by kind.
        movers: the names of transforms that may have moved the image before.
    """

    kinds: Mapping[str, str]
    processors: Mapping[str, Any]
    movers: tuple[str, ...] = ()

    @classmethod
    def of(cls, transform: Any) -> Targets:
        """Returns the targets of the pipeline that is calling a transform, or of the transform alone."""
        pipeline = list(_calling())
        if any(isinstance(part, A.SelectiveChannelTransform) for part in pipeline):
            raise ImageError("SelectiveChannelTransform hides masks and boxes; put LungOpacityTransform beside it")
        named: dict[str, str] = {} if pipeline else dict(transform._additional_targets)
        for part in pipeline:
            named |= part.additional_targets
        processors = pipeline[-1].processors if pipeline else {}
        movers = _movers(pipeline[-1], transform) if pipeline else ()
        return cls({kind: kind for kind in KINDS} | named, processors, movers)

    def check(self, data: Mapping[str, Any], lesions: Sequence[str], untouched: Sequence[str]) -> None:
        """Refuses data that an anomaly cannot be written into.

        Args:
            data: all targets of the call by name.
            lesions: names of further targets that mean lesions.
            untouched: names of targets that the anomaly does not change.

        Raises:
            ImageError: there is no image, or a target is not served, or does not move with the image.
        """
        image = data.get("image")
        if image is None:
            others = ", ".join(name for name in data if self.kinds.get(name, "mask") not in _MARKED) or "nothing"
            raise ImageError(f"there is no target image, but {others}; {_SERVED}")
        if not isinstance(image, np.ndarray):
            raise ImageError(
                f"image must be an array, not {type(image).__name__}; give np.asarray(picture) for a PIL image, and "
                "put LungOpacityTransform before ToTensorV2; RandomLungOpacity takes tensors and PIL images"
            )
        for name, values in data.items():
            if values is not None and name not in ("image", "lungs", *untouched):
                self._check_target(name, values, image.shape, self.means_lesions(name, lesions))
        if data.get("lungs") is not None:
            self._check_lungs()

    def marked(self, data: Mapping[str, Any], lesions: Sequence[str], untouched: Sequence[str]) -> list[str]:
        """Returns the names of the targets that an anomaly is written into, beside the image; as in `check`."""
        return [
            name
            for name, values in data.items()
            if values is not None
            and name not in ("lungs", *untouched)
            and self.kinds.get(name) in _MARKED
            and self.means_lesions(name, lesions)
        ]

    @staticmethod
    def means_lesions(name: str, lesions: Sequence[str]) -> bool:
        """Whether a target of this name shows lesions; `lesions` are the names that the user says."""
        return name in LESIONS or name in FINDINGS or name in lesions

    def _check_target(self, name: str, values: Any, shape: tuple[int, ...], means_lesions: bool) -> None:
        kind = self.kinds.get(name)
        if kind is None:
            if means_lesions and isinstance(values, np.ndarray) and values.shape[:2] == shape[:2]:
                raise ImageError(
                    f"{name} is no target of the pipeline, so nothing moves or marks it; name it: "
                    f"A.Compose(..., additional_targets={{{name!r}: 'mask'}})"
                )
        elif kind not in _MARKED:
            raise ImageError(
                f"the target {name} ({kind}) is not served; {_SERVED}. If the anomaly is to leave it as it is: "
                f"LungOpacityTransform(untouched=[{name!r}])"
            )
        elif not means_lesions:
            raise ImageError(
                f"the target {name} ({kind}) may show lesions or not; name it: "
                f"LungOpacityTransform(lesion_targets=[{name!r}]) if it does, (untouched=[{name!r}]) if it does not"
            )
        elif kind == "bboxes" and kind not in self.processors:
            raise ImageError(f"{name} are boxes of an unknown format; use A.Compose(..., bbox_params=...)")

    def _check_lungs(self) -> None:
        """Refuses lungs that other transforms move as an image or do not move."""
        kind = self.kinds.get("lungs")
        if kind not in (None, "mask"):
            raise ImageError(f"lungs are a target of the kind {kind}; use additional_targets={{'lungs': 'mask'}}")
        if kind is None and self.movers:
            raise ImageError(
                f"{', '.join(self.movers)} may move the image, but not the lungs; name the lungs: "
                "A.Compose(..., additional_targets={'lungs': 'mask'})"
            )


_SERVED = (
    "LungOpacityTransform serves image, mask, masks, bboxes and lungs, and further masks and boxes that are named in "
    "lesion_targets"
)


def _calling() -> Iterator[Any]:
    """Yields the compositions of albumentations that are being called, from the innermost to the outermost.

    A transform is not told which pipeline it is part of, and one transform may be part of several.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "__call__":
            caller = frame.f_locals.get("self")
            if isinstance(caller, A.BaseCompose):
                yield caller
                if isinstance(caller, A.Compose) and caller.main_compose:
                    return
        frame = frame.f_back


def _movers(pipeline: Any, transform: Any) -> tuple[str, ...]:
    """Returns the names of the transforms that may move an image before a transform of a pipeline has its turn."""
    steps = list(_steps(pipeline))
    last = max((number for number, step in enumerate(steps) if step is transform), default=len(steps))
    before = steps if any(isinstance(step, A.RandomOrder) for step in steps) else steps[:last]
    moving = [step for step in before if isinstance(step, A.DualTransform) and _moves(step)]
    return tuple(dict.fromkeys(type(step).__name__ for step in moving))


def _steps(part: Any) -> Iterator[Any]:
    """Yields the parts of a pipeline, depth first."""
    yield part
    for step in getattr(part, "transforms", ()):
        yield from _steps(step)


def _moves(step: Any) -> bool:
    """Whether a transform may move pixels; one that only drops pixels, or inserts opacities, does not."""
    return not type(step).__module__.startswith(_STILL)


def marked(mask: Any, made: Inserted, names: Sequence[str], value: float, target: str = "mask") -> Any:
    """Adds the pixels of an anomaly to a mask, by union.

    Args:
        mask: (h, w) or (h, w, 1); or (h, w, n), a channel for each of n findings.
        made: the anomaly.
        names: the findings of the channels.
        value: the value that is written; a boolean mask gets True.
        target: the name of the mask; the name of a finding gets the pixels of that finding alone.

    Raises:
        ImageError: the mask has another shape or cannot hold the value.
        SynthesisError: the mask has another number of channels than there are findings.
    """
    result = np.array(mask, order="C")
    if result.shape[:2] != made.mask.shape or result.ndim not in (2, 3):
        raise ImageError(f"{target} is {result.shape}, the image is {made.mask.shape}")
    with np.errstate(invalid="ignore"):  # a value that does not fit is refused below
        held = np.bool_(value != 0) if result.dtype == np.bool_ else np.float64(value).astype(result.dtype)
    if result.dtype != np.bool_ and not np.isclose(float(held), value):
        raise ImageError(f"{target} of {result.dtype} cannot hold the mask_value {value:g}; give another one")
    if result.ndim == 3 and result.shape[2] > 1:
        if result.shape[2] != len(names):
            raise SynthesisError(
                f"a mask of {result.shape[2]} channels for {len(names)} findings; give one for each, or one"
            )
        for channel, name in enumerate(names):
            if name in made.findings:
                result[made.findings[name], channel] = held
        return result
    nothing = np.zeros(made.mask.shape, bool)
    result[made.findings.get(target, nothing) if target in FINDINGS else made.mask] = held
    return result


def marked_list(masks: Any, made: Inserted, names: Sequence[str], value: float, target: str = "masks") -> Any:
    """Adds the pixels of an anomaly to a list of masks: to the only mask, or to the mask of each finding.

    Args:
        masks: a sequence of masks as in `marked`, or an array of them.
        made: the anomaly.
        names: the findings of the masks.
        value: as in `marked`.
        target: the name of the list.

    Raises:
        ImageError: as in `marked`.
        SynthesisError: there is neither one mask nor one for each finding.
    """
    if len(masks) == 1:
        result = [marked(masks[0], made, names, value, target)]
    elif len(masks) == len(names):
        result = [marked(mask, made, [name], value, name) for mask, name in zip(masks, names, strict=True)]
    else:
        raise SynthesisError(
            f"{target} holds {len(masks)} masks for {len(names)} findings; give one mask, one for each finding in the "
            "order of `findings`, or each mask as a target of its own that is named in lesion_targets or untouched"
        )
    return np.stack(result) if isinstance(masks, np.ndarray) else result
