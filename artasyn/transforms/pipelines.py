"""Opacities in training loops: a transform for albumentations, one in the style of torchvision, and a data set."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from artasyn.arrays import generator, identity
from artasyn.errors import SynthesisError
from artasyn.segment import Lungs
from artasyn.segment.lungs import Zone
from artasyn.synthesis import FINDINGS, LungOpacity, OpacityRecord
from artasyn.synthesis.finding import Side
from artasyn.transforms.insertion import Inserted, Insertion, as_lungs, grey, opacity

_SWITCH = "NO_ALBUMENTATIONS_UPDATE"
_before = os.environ.get(_SWITCH)
os.environ.setdefault(_SWITCH, "1")  # otherwise the import asks a server for newer versions
try:
    import albumentations as A
finally:
    if _before is None:
        del os.environ[_SWITCH]

OnFailure = Literal["raise", "skip"]
"""How an image that nothing can be added to is handled: an error, or the image unchanged."""


class LungOpacityTransform(A.DualTransform):  # type: ignore[misc]
    """Inserts lung opacities, as a transform of albumentations.

    The transform works on ``image`` (uint8, or float32 in [0, 1]; one or three channels; bright = dense), ``mask`` and
    ``lungs``. The anomaly is merged into the mask by union. Lungs are labels (0, 1 right, 2 left) or a boolean mask.
    Where no lungs are given, PBTSeg finds them, and they are remembered. If geometric transforms come before this one,
    they move the lungs too with ``Compose(..., additional_targets={"lungs": "mask"})``.

    Workers of a torch `DataLoader` draw different anomalies. After ``torch.manual_seed`` they draw the same ones again.

    A mask with as many channels as there are `findings` gets one finding in each channel.

    For `severity_range` to `sides`, a value applies to every finding, and None keeps each finding's own.

    Args:
        findings: names, keys of `artasyn.synthesis.FINDINGS`; no names mean all of them.
        severity_range: share of the step from lung to soft tissue.
        size_range: of a lesion, in heights of the lungs.
        number_range: number of lesions of a finding.
        zones: where lesions may lie: upper, middle, lower, central, peripheral.
        sides: right, left.
        kinds_range: number of different findings in one anomaly.
        anomalies_range: number of anomalies in an image.
        tolerance: smallest change of a pixel, in image units.
        lungs_labelled: whether integer lungs are labels; otherwise every value except 0 is lung.
        mask_value: the value that is written into masks that are not boolean.
        on_failure: for an image that nothing can be added to, as one without lungs: ``raise`` an error, or ``skip`` the
            anomaly.
        p: probability of an anomaly.

    Example:
        >>> from artasyn import Phantom
        >>> chest = Phantom(size=96)(seed=1)
        >>> film = (255 * chest.image).astype(np.uint8)
        >>> augment = A.Compose([A.HorizontalFlip(), LungOpacityTransform(p=1.0)], seed=7)
        >>> out = augment(image=film, mask=np.zeros_like(film))
        >>> out["image"].dtype, bool(out["mask"].any())
        (dtype('uint8'), True)
    """

    def __init__(
        self,
        findings: Sequence[str] = (),
        severity_range: Sequence[float] | None = None,
        size_range: Sequence[float] | None = None,
        number_range: Sequence[int] | None = None,
        zones: Sequence[Zone] | None = None,
        sides: Sequence[Side] | None = None,
        kinds_range: Sequence[int] = (1, 2),
        anomalies_range: Sequence[int] = (1, 1),
        tolerance: float = 1 / 255,
        lungs_labelled: bool = True,
        mask_value: float = 1.0,
        on_failure: OnFailure = "raise",
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.findings, self.zones, self.sides = findings, zones, sides
        self.severity_range, self.size_range, self.number_range = severity_range, size_range, number_range
        self.kinds_range, self.anomalies_range, self.tolerance = kinds_range, anomalies_range, tolerance
        self.lungs_labelled, self.mask_value, self.on_failure = lungs_labelled, mask_value, on_failure
        made = opacity(
            findings,
            severity_range=severity_range,
            size_range=size_range,
            number_range=number_range,
            zones=zones,
            sides=sides,
            kinds_range=kinds_range,
            tolerance=tolerance,
        )
        self._insertion = Insertion(made, (anomalies_range[0], anomalies_range[1]))

    @property
    def targets(self) -> dict[str, Any]:
        """The targets by name; `apply_with_params` changes them."""
        return {"image": self.apply, "mask": self.apply}

    def set_deterministic(self, flag: bool, save_key: str = "replay") -> LungOpacityTransform:
        """Makes replays possible: the drawn records are plain numbers and fit any image."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().set_deterministic(flag, save_key)
        return self

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draws anomalies for an image; draws none where that fails and `on_failure` is ``skip``."""
        worker = torch.utils.data.get_worker_info()  # the generator of a Compose is the same in every worker
        own = self.random_generator.integers(2**63)
        rng = np.random.default_rng([own, worker.seed] if worker else own)
        try:
            made = self._insertion.draw(data["image"], self._lungs(data), rng)
        except SynthesisError:
            if self.on_failure == "raise":
                raise
            return {"records": []}
        return {"records": [record.to_json() for record in made.records]}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Inserts the anomalies of the drawn records into an image and its mask."""
        records = [OpacityRecord.from_json(text) for text in params.get("records", [])]
        if not records:
            return kwargs
        made = self._insertion.replay(kwargs["image"], self._lungs(kwargs), records)
        result = kwargs | {"image": made.image}
        if kwargs.get("mask") is not None:
            result["mask"] = merged(kwargs["mask"], made, tuple(self.findings) or tuple(FINDINGS), self.mask_value)
        return result

    def _lungs(self, data: Mapping[str, Any]) -> Lungs | None:
        given = data.get("lungs")
        return None if given is None else as_lungs(given, labelled=self.lungs_labelled)


def merged(mask: Any, made: Inserted, names: Sequence[str], value: float) -> Any:
    """Adds the pixels of an anomaly to a mask, by union.

    Args:
        mask: (h, w) or (h, w, 1); or (h, w, n), a channel for each of n findings.
        made: the anomaly.
        names: the findings of the channels.
        value: the value that is written; a boolean mask gets True.
    """
    result = mask.copy()
    if mask.ndim == 3 and mask.shape[2] > 1:
        if mask.shape[2] != len(names):
            raise SynthesisError(
                f"a mask of {mask.shape[2]} channels for {len(names)} findings; give one for each, or one"
            )
        for channel, name in enumerate(names):
            if name in made.findings:
                result[made.findings[name], channel] = value
        return result
    result[made.mask] = value
    return result


class RandomLungOpacity(torch.nn.Module):
    """Inserts lung opacities in the style of torchvision's transforms: on tensors, with torch's random generator.

    Args:
        opacity: makes the anomalies; None takes all findings.
        anomalies_range: number of anomalies in an image.
        p: probability of an anomaly.
        on_failure: for an image that nothing can be added to, as one without lungs: ``raise`` an error, or ``skip`` the
            anomaly.

    Example:
        >>> from artasyn import Phantom
        >>> chest = Phantom(size=96)(seed=1)
        >>> sample = {"image": torch.from_numpy(chest.image)[None], "lungs": torch.from_numpy(chest.lungs.labels)[None]}
        >>> _ = torch.manual_seed(3)
        >>> out = RandomLungOpacity(p=1.0)(sample)
        >>> sorted(out), bool(((out["image"] != sample["image"]) == out["mask"]).all())
        (['image', 'lungs', 'mask'], True)
    """

    def __init__(
        self,
        opacity: LungOpacity | None = None,
        *,
        anomalies_range: tuple[int, int] = (1, 1),
        p: float = 0.5,
        on_failure: OnFailure = "raise",
    ) -> None:
        super().__init__()
        self.insertion = Insertion(opacity or LungOpacity(), anomalies_range)
        self.p, self.on_failure = p, on_failure

    def forward(self, sample: Any, target: dict[str, Any] | None = None) -> Any:
        """Inserts anomalies into an image.

        Args:
            sample: a dictionary with ``image`` (tensor (1, h, w) or (3, h, w), uint8 or float32 in [0, 1]) and, if
                there are any, ``lungs`` (labels (1, h, w) or (h, w)) and ``mask`` (the same shapes); or an image.
            target: the rest of the dictionary, where `sample` is an image.

        Returns:
            The dictionary with the changed image and the mask, changed by union; or the image and the target.
        """
        if isinstance(sample, Mapping):
            return self._changed(dict(sample))
        whole = self._changed({"image": sample} | (target or {}))
        return whole.pop("image"), whole

    def _changed(self, sample: dict[str, Any]) -> dict[str, Any]:
        image: Tensor = sample["image"]
        mask = sample.get("mask")
        if mask is None:
            mask = torch.zeros((1, *image.shape[1:]), dtype=torch.bool, device=image.device)
        if torch.rand(()) < self.p:
            rng = np.random.default_rng(int(torch.randint(2**62, ())))
            given = sample.get("lungs")
            lungs = None if given is None else as_lungs(_plane(given))
            channels_last = np.ascontiguousarray(image.detach().cpu().permute(1, 2, 0).numpy())
            try:
                made = self.insertion.draw(channels_last, lungs, rng)
            except SynthesisError:
                if self.on_failure == "raise":
                    raise
            else:
                changed = torch.from_numpy(np.ascontiguousarray(made.image.transpose(2, 0, 1))).to(image.device)
                where = torch.from_numpy(made.mask).to(mask.device)
                union = torch.where(where.expand(mask.shape), torch.ones_like(mask), mask)
                image, mask = _like(changed, image), _like(union, mask)
        return sample | {"image": image, "mask": mask}


def _plane(values: Any) -> Any:
    """Returns a tensor (1, h, w) or (h, w) as an array (h, w)."""
    if not isinstance(values, Tensor):
        return values
    array = values.detach().cpu().numpy()
    return array[0] if array.ndim == 3 else array


def _like(values: Tensor, given: Tensor) -> Tensor:
    """Returns a tensor in the subclass of the given one, such as torchvision's Image and Mask."""
    return values.as_subclass(type(given)) if type(given) is not Tensor else values.as_subclass(Tensor)


class OpacityDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """Any data set of normal radiographs, with anomalies made on the fly.

    A sample depends only on the seed, the epoch and the image's pixels. Any number of workers and any order give the
    same sample.

    Args:
        normals: a data set with a length; its items are images, or tuples or dictionaries with one at `key`. Images
            are arrays as for `LungOpacityTransform`, or tensors (1, h, w) or (3, h, w).
        opacity: makes the anomalies; None takes all findings.
        lungs: a function that returns the lungs of an item from the item's index; with None, PBTSeg finds them.
        key: of the image in an item; None if the item is the image.
        seed: seed of all random choices.
        p: probability of an anomaly.
        anomalies_range: number of anomalies in an image.

    Example:
        >>> from artasyn import Phantom
        >>> films = [Phantom(size=96)(seed).image for seed in (1, 2)]
        >>> sample = OpacityDataset(films, seed=4)[1]
        >>> sorted(sample), sample["image"].shape
        (['image', 'mask', 'normal', 'records'], torch.Size([1, 96, 96]))
    """

    def __init__(
        self,
        normals: Any,
        opacity: LungOpacity | None = None,
        *,
        lungs: Any = None,
        key: Any = None,
        seed: int = 0,
        p: float = 1.0,
        anomalies_range: tuple[int, int] = (1, 1),
    ) -> None:
        self.normals, self.lungs, self.key, self.seed, self.p, self.epoch = normals, lungs, key, seed, p, 0
        self.insertion = Insertion(opacity or LungOpacity(), anomalies_range)

    def __len__(self) -> int:
        return len(self.normals)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, for other anomalies; call it before the loader starts its workers."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Returns item `index`: image, normal and mask as float32 (c, h, w), and the records as JSON."""
        item = self.normals[index]
        image = item if self.key is None else item[self.key]
        image = image.permute(1, 2, 0).numpy() if isinstance(image, Tensor) else image
        rng = generator(self.seed, self.epoch, identity(grey(image)))
        made = Inserted(image, np.zeros(image.shape[:2], bool), {}, ())
        if rng.random() < self.p:
            lungs = None if self.lungs is None else as_lungs(self.lungs(index))
            made = self.insertion.draw(image, lungs, rng)
        return {
            "image": _tensor(made.image),
            "normal": _tensor(image),
            "mask": torch.from_numpy(made.mask.astype(np.float32))[None],
            "records": [record.to_json() for record in made.records],
        }


def _tensor(image: Any) -> Tensor:
    """Returns an image as float32 (c, h, w) in [0, 1]."""
    values = image / np.float32(255) if image.dtype == np.uint8 else image
    planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return torch.from_numpy(np.array(planes, np.float32))
