"""Lung opacities on batches of radiographs, on any device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from artasyn.arrays import Rng, as_generator
from artasyn.errors import ImageError, NothingShows, SynthesisError
from artasyn.segment.lungs import Lungs
from artasyn.shapes import Bool, Float32, Integer, Shaped
from artasyn.synthesis.finding import Findings
from artasyn.synthesis.lesions import Draws, OpacityRecord
from artasyn.synthesis.opacity import DRAWS, LungOpacity, rendered
from artasyn.synthesis.places import Found, Place
from artasyn.synthesis.rendering import Lesions
from artasyn.synthesis.textures import bank
from artasyn.synthesis.tiles import Laid, Tools, laid, painted

FilmBatch = Float32[Tensor, "b 1 h w"]
LungBatch = Integer[Tensor, "b 1 h w"]
GivenLungs = Shaped[Tensor, "b 1 h w"]
"""Labels, or masks of both lungs, as `Lungs.from_array` tells them apart in each image."""
LungsOfBatch = GivenLungs | Sequence[Found]
"""The lungs of a batch as one tensor, or the lungs, the anatomy or the projection of each image."""


@dataclass(frozen=True, eq=False)
class Anomalies:
    """A batch of radiographs with synthetic anomalies, on the device of the radiographs.

    Attributes:
        images: float32 (b, 1, h, w) in [0, 1].
        masks: bool (b, 1, h, w), exactly the pixels that differ from the normal radiographs.
        attenuations: float32 (b, 1, h, w), the attenuation that was added.
        draws: the lesions as arrays.
        tolerances: float32 (b,), smallest change of a pixel in each image, in image units.
        others: the record of each image that was drawn again, by the image's position in the batch.
    """

    images: FilmBatch
    masks: Bool[Tensor, "b 1 h w"]
    attenuations: FilmBatch
    draws: Draws
    tolerances: Float32[Tensor, " b"]
    others: Mapping[int, OpacityRecord] = field(default_factory=dict)

    @property
    def records(self) -> list[OpacityRecord]:
        """The record of each anomaly, for `BatchLungOpacity.render` or `LungOpacity.render`."""
        lesions = self.draws.lesions(len(self.images))
        records = map(OpacityRecord, lesions, self.tolerances.double().round(decimals=9).tolist())
        return [self.others.get(number, record) for number, record in enumerate(records)]

    def with_others(self, where: Tensor, others: Anomalies) -> Anomalies:
        """Returns this batch with the images at the positions `where` replaced."""
        tensors = {
            name: getattr(self, name).index_copy(0, where, getattr(others, name))
            for name in ("images", "masks", "attenuations")
        }
        records = dict(zip(where.tolist(), others.records, strict=True))
        return replace(self, others={**self.others, **records}, **tensors)


Steps = tuple[Callable[..., Laid], Callable[..., tuple[Tensor, Tensor, Tensor]]]
"""The two steps of rendering a batch, as functions of `artasyn.synthesis.tiles` or compiled."""

EAGER: Steps = (laid, painted)
"""The steps as torch runs them one operation after the other."""


class BatchLungOpacity(torch.nn.Module):
    """Makes lung opacities on batches of radiographs, on any device.

    The result equals that of `LungOpacity` to within 1/255. On an accelerator a whole batch is rendered at once. On a
    CPU the images are rendered one by one with `LungOpacity`. This is faster there, because only the pixels that a
    lesion reaches are computed.

    Lesions lie in the whole visible lungs. `LungOpacity` also takes a part of the lungs, such as a lobe.

    Args:
        opacity: settings of the draw, or the findings, as for `LungOpacity`; None draws from all findings.
        at_once: render a whole batch at once; None does so on an accelerator only.
        lungs_labelled: True takes lungs as labels, False takes every value except 0 as lung, None goes by the values
            of each image, as `artasyn.Lungs.from_array` does.

    Example:
        >>> from artasyn import Phantom
        >>> chests = [Phantom(size=96)(seed) for seed in (1, 2)]
        >>> images = torch.stack([torch.from_numpy(chest.image)[None] for chest in chests])
        >>> lungs = torch.stack([torch.from_numpy(chest.lungs.labels)[None] for chest in chests])
        >>> anomalies = BatchLungOpacity()(images, lungs, np.random.default_rng(0))
        >>> anomalies.images.shape, bool((anomalies.masks == (anomalies.images != images)).all())
        (torch.Size([2, 1, 96, 96]), True)
    """

    textures: Tensor

    def __init__(
        self,
        opacity: LungOpacity | Findings | None = None,
        *,
        at_once: bool | None = None,
        lungs_labelled: bool | None = None,
    ) -> None:
        super().__init__()
        self.opacity = opacity if isinstance(opacity, LungOpacity) else LungOpacity(opacity)
        _refuse_parts([self.opacity])
        self.at_once, self.lungs_labelled = at_once, lungs_labelled
        self.register_buffer("textures", torch.from_numpy(bank().copy()), persistent=False)
        self._tools: Tools | None = None
        self._steps: Steps = EAGER

    def forward(self, images: FilmBatch, lungs: LungsOfBatch, rng: Rng) -> Anomalies:
        """Draws and renders an anomaly for every radiograph; an anomaly that changes no pixel is drawn again.

        Args:
            images: float32 (b, 1, h, w) in [0, 1], normal radiographs.
            lungs: (b, 1, h, w), labels as in `artasyn.arrays.LungLabels` or masks of both lungs, on the same device; or
                a list with the `Lungs`, the `Anatomy` or the `Projection` of each image.
            rng: the only source of randomness, a generator or a seed.

        Raises:
            SynthesisError: an image has no lungs, or they are so bright that nothing can be added to them.
            ImageError: `images` is not a valid batch, or the lungs are on another grid or device.
        """
        (lungs, present), rng = as_labels(images, lungs, self.lungs_labelled), as_generator(rng)
        draws = self.opacity.draw_batch(present, rng)
        made = self._render(images, lungs, draws, torch.full((len(images),), self.opacity.tolerance), self._steps)
        for _ in range(DRAWS - 1):
            empty = torch.nonzero(~made.masks.flatten(1).any(1)).flatten()
            if not len(empty):
                return made
            draws = self.opacity.draw_batch(present[empty.cpu().numpy()], rng)
            tolerances = torch.full((len(empty),), self.opacity.tolerance)
            made = made.with_others(empty, self._render(images[empty], lungs[empty], draws, tolerances))
        raise NothingShows(f"no pixel can be brightened by the tolerance in images {empty.tolist()} of the batch")

    def render(self, images: FilmBatch, lungs: LungsOfBatch, records: Sequence[OpacityRecord]) -> Anomalies:
        """Renders a record on every radiograph; the mask is empty where the record changes no pixel.

        Args:
            images: float32 (b, 1, h, w) in [0, 1].
            lungs: as in `forward`.
            records: one for each image; at least one of them with a lesion.

        Raises:
            ImageError: `images` is not a valid batch, or the lungs are on another grid or device.
            SynthesisError: the number of records differs from the number of images, no record has a lesion, or a record
                is limited to a part of the lungs.
        """
        _refuse_parts(records)
        lungs, _ = as_labels(images, lungs, self.lungs_labelled)
        if len(records) != len(images) or not any(record.lesions for record in records):
            raise SynthesisError(f"{len(records)} records for {len(images)} images; give one for each, with lesions")
        draws = Draws.of([record.lesions for record in records])
        tolerances = torch.tensor([record.tolerance for record in records])
        return self._render(images, lungs, draws, tolerances, self._steps)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Fuses the rendering of whole batches with `torch.compile`; drawing stays as it is.

        The first two batches of a size take a minute longer. The rendering of images that are drawn again is not
        compiled. A pickled module keeps nothing of it. On a CPU the gain is small, if there is one.

        Args:
            *arguments: of `torch.compile`.
            **options: of `torch.compile`.
        """
        self._steps = (torch.compile(laid, *arguments, **options), torch.compile(painted, *arguments, **options))

    def __getstate__(self) -> dict[str, Any]:
        """Returns what a pickle keeps: everything but compiled steps and what is made anew on each device."""
        kept: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {**kept, "_steps": EAGER, "_tools": None}

    @torch.no_grad()
    def _render(
        self, images: FilmBatch, lungs: LungBatch, draws: Draws, tolerances: Tensor, steps: Steps = EAGER
    ) -> Anomalies:
        """Renders a draw."""
        if self.at_once is False or (self.at_once is None and images.device.type == "cpu"):
            return self._one_by_one(images, lungs, draws, tolerances)
        if self.textures.device != images.device or self.textures.dtype != torch.float32:  # as after half()
            self.textures = torch.from_numpy(bank().copy()).to(images.device)
        if self._tools is None or self._tools.textures is not self.textures:
            self._tools = Tools.of(self.textures)
        films, labels = images[:, 0], lungs[:, 0]
        packed = Lesions.pack(draws)
        arrays = (getattr(packed, name) for name in _Tensors._fields)
        lesions = _Tensors(*(torch.from_numpy(array).to(films.device) for array in arrays))
        lay, paint = steps
        with _in_32_bits(films.device.type):
            found = lay(films, labels, lesions, self._tools)
            found = found._replace(changed=found.changed.nonzero())
            result, mask, change = paint(films, labels, tolerances.to(films), lesions, found, self._tools)
        return Anomalies(result[:, None], mask[:, None], change[:, None], draws, tolerances)

    def _one_by_one(self, images: FilmBatch, lungs: LungBatch, draws: Draws, tolerances: Tensor) -> Anomalies:
        """Renders a draw image by image, on the CPU."""
        result = images.detach().cpu().clone()
        changed, added = torch.zeros_like(result, dtype=torch.bool), torch.zeros_like(result)
        labels = lungs.cpu().to(torch.uint8).numpy()
        made = Anomalies(result, changed, added, draws, tolerances)
        films, masks, attenuations = (tensor[:, 0].numpy() for tensor in (result, changed, added))
        for number, record in enumerate(made.records):
            with contextlib.suppress(NothingShows):
                change = rendered(films[number], Place.of(Lungs.from_labels(labels[number, 0])), record)
                films[number], masks[number], attenuations[number] = change.image, change.mask, change.attenuation
        device = images.device
        return replace(made, images=result.to(device), masks=changed.to(device), attenuations=added.to(device))


class _Tensors(NamedTuple):
    """`Lesions` as tensors."""

    image: Tensor
    side: Tensor
    focus: Tensor
    stamps: Tensor
    severity: Tensor
    look: Tensor
    texture: Tensor
    place: Tensor
    mirrored: Tensor
    airways: Tensor
    hilum: Tensor


def _in_32_bits(device: str) -> contextlib.AbstractContextManager[object]:
    """Suspends mixed precision, in which images would differ from the CPU's by more than 1/255."""
    return (
        torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else contextlib.nullcontext()
    )


def _refuse_parts(limited: Sequence[LungOpacity | OpacityRecord]) -> None:
    """Refuses settings and records that are limited to a part of the lungs, or that reach behind the heart."""
    for each in limited:
        if (each.part, each.convention) != ("lungs", "visible"):
            raise SynthesisError(
                f"a batch is rendered in the visible lungs, not in {each.part} of the {each.convention} lungs; use "
                "LungOpacity for a part"
            )


def _stacked(images: Tensor, lungs: Sequence[Found]) -> Tensor:
    """Returns the visible lungs of each image as labels (b, 1, h, w), on the device of the images.

    Raises:
        ImageError: the lungs are of another number or on another grid.
    """
    labels = [Place.of(each).lungs.labels for each in lungs]
    if [each.shape for each in labels] != [tuple(image.shape[1:]) for image in images]:
        shapes = ", ".join(str(each.shape) for each in labels)
        raise ImageError(f"lungs are {shapes or 'missing'}, images {tuple(images.shape)}; give lungs for each image")
    return torch.from_numpy(np.stack(labels)[:, None]).to(images.device)


def as_labels(images: Tensor, lungs: LungsOfBatch, labelled: bool | None) -> tuple[LungBatch, Bool[np.ndarray, "b 2"]]:
    """Returns the lungs of a batch as labels, and whether each image has a right and a left lung.

    Everything that must be known of the values comes from the device in one transfer. Only images whose values are not
    plainly labels follow it.

    Raises:
        ImageError: the tensors are no batch of radiographs with lungs.
    """
    if not isinstance(lungs, Tensor):
        lungs, labelled = _stacked(images, lungs), True
    _check(images, lungs)
    flat, films = lungs.flatten(1), images.flatten(1)
    none, right, left = ((flat == label).view(torch.uint8) for label in (0, 1, 2))  # faster than flags on a CPU
    known = ((none | right | left).amin(1) > 0) & (flat.dtype != torch.bool)
    inside = (films.amin(1) >= 0) & (films.amax(1) <= 1)  # also finds NaN
    sides = [side.amax(1) > 0 for side in (right, left)]
    has_right, has_left, known, inside = torch.stack([*sides, known, inside]).cpu().numpy()
    if not inside.all():
        raise ImageError(f"images must lie in [0, 1]; images {np.flatnonzero(~inside).tolist()} of the batch do not")
    doubtful = ~known if labelled else ~known | (has_right & ~has_left) if labelled is None else np.ones_like(known)
    present = np.stack([has_right, has_left], axis=1)
    labels = lungs.to(torch.uint8, copy=bool(doubtful.any()))
    for number in np.flatnonzero(doubtful):
        values = lungs[number, 0].detach().cpu()
        try:
            one = Lungs.from_array(
                (values.float() if values.is_floating_point() else values).numpy(), labelled=labelled
            )
        except ImageError as error:
            raise ImageError(f"image {number} of the batch: {error}") from error
        labels[number, 0] = torch.from_numpy(one.labels).to(lungs.device)
        present[number] = [bool(side.any()) for side in (one.right, one.left)]
    return labels, present


def _check(images: Tensor, lungs: Tensor) -> None:
    """Refuses tensors that are not a batch of radiographs with lungs."""
    if images.ndim != 4 or images.shape[1] != 1 or images.dtype != torch.float32 or min(images.shape[2:]) < 16:
        raise ImageError(
            f"images must be float32 (b, 1, h, w) of at least 16 rows and columns, "
            f"not {images.dtype} {tuple(images.shape)}; use images.float(), and one channel"
        )
    if not len(images):
        raise ImageError("the batch has no images; leave empty batches out")
    if lungs.shape != images.shape or lungs.device != images.device or lungs.is_complex():
        raise ImageError(
            f"lungs are {tuple(lungs.shape)} on {lungs.device}, images {tuple(images.shape)} on {images.device}"
        )
