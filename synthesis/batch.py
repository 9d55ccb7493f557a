"""Lung opacities on batches of radiographs, on any device."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from artasyn.arrays import Rng, as_generator
from artasyn.errors import ImageError, NothingShows, SynthesisError
from artasyn.segment.lungs import Lungs
from artasyn.shapes import Bool, Float32, Integer, Shaped
from artasyn.synthesis import rendering
from artasyn.synthesis.context import (
    CELLS,
    FADE_BLUR,
    LEAST_STEP,
    LEVEL_BLUR,
    MARGIN,
    NEAR_BLUR,
    SAMPLES,
    SOFT_TISSUE,
    kernel,
)
from artasyn.synthesis.finding import Findings
from artasyn.synthesis.lesions import Draws, OpacityRecord
from artasyn.synthesis.opacity import DRAWS, LungOpacity, rendered
from artasyn.synthesis.places import Found, Place
from artasyn.synthesis.rendering import POINTS, Extents, Lesions
from artasyn.synthesis.textures import GRID, bank

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


@dataclass(frozen=True, eq=False)
class _Windows:
    """The square around the lungs of every image, as `artasyn.synthesis.context.Window`; integers (b,)."""

    top: Tensor
    left: Tensor
    side: Tensor
    height: Tensor

    @classmethod
    def around(cls, lungs: Tensor) -> _Windows:
        """Returns the windows around lungs (b, h, w); around the whole image where there are no lungs."""
        (top, bottom), (left, right) = (_ends((lungs > 0).any(dim)) for dim in (2, 1))
        height, width = bottom - top, right - left
        longer = torch.maximum(height, width)
        side = longer + 2 * (1 + torch.round(MARGIN * longer.double()).long())
        half = [torch.div(length - side, 2, rounding_mode="floor") for length in (height, width)]
        return cls(top + half[0], left + half[1], side, height)

    def sampled(self, values: Tensor) -> Tensor:
        """Returns values (b, h, w) at the sample points of every window, (b, samples, samples)."""
        count = CELLS * SAMPLES
        steps = (2 * torch.arange(count, device=values.device) + 1) * self.side[:, None] // (2 * count)
        rows = (self.top[:, None] + steps).clamp(0, values.shape[1] - 1)
        columns = (self.left[:, None] + steps).clamp(0, values.shape[2] - 1)
        return values[
            torch.arange(len(values), device=values.device)[:, None, None], rows[:, :, None], columns[:, None]
        ]

    def on_film(self, shape: tuple[int, ...]) -> Tensor:
        """Returns 1 for cells whose centre lies on the image and 0 for the others, (b, cells, cells)."""
        middle = (torch.arange(CELLS, device=self.side.device) + 0.5) * (self.side[:, None] / CELLS)
        rows, columns = (
            ((start[:, None] + middle >= 0) & (start[:, None] + middle < length)).float()
            for start, length in zip((self.top, self.left), shape, strict=True)
        )
        return rows[:, :, None] * columns[:, None]

    def enlarged(self, values: Tensor, shape: tuple[int, int]) -> Tensor:
        """Resamples values from the windows' grids, (b, grid, grid), to the images' grid, (b, h, w)."""
        places = [
            (2 * (torch.arange(length, device=values.device) - start[:, None]) + 1) / self.side[:, None] - 1
            for length, start in zip(shape, (self.top, self.left), strict=True)
        ]
        down, across = (p.to(values.dtype) for p in places)
        where = torch.stack(
            [across[:, None].expand(-1, shape[0], -1), down[:, :, None].expand(-1, -1, shape[1])], dim=-1
        )
        return functional.grid_sample(values[:, None], where, padding_mode="border", align_corners=False)[:, 0]


def _ends(there: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first set index of each row of flags and the index after the last, (b,); 0 and the length if none."""
    there = (there | ~there.any(1, keepdim=True)).long()
    return there.argmax(1), there.shape[1] - there.flip(1).argmax(1)


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
        made = self._render(images, lungs, draws, torch.full((len(images),), self.opacity.tolerance))
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
        return self._render(images, lungs, draws, torch.tensor([record.tolerance for record in records]))

    @torch.no_grad()
    def _render(self, images: FilmBatch, lungs: LungBatch, draws: Draws, tolerances: Tensor) -> Anomalies:
        """Renders a draw."""
        if self.at_once is False or (self.at_once is None and images.device.type == "cpu"):
            return self._one_by_one(images, lungs, draws, tolerances)
        if self.textures.device != images.device or self.textures.dtype != torch.float32:  # as after half()
            self.textures = torch.from_numpy(bank().copy()).to(images.device)
        films, labels = images[:, 0], lungs[:, 0]
        packed = Lesions.pack(draws)
        lesions = _Tensors({f.name: torch.from_numpy(getattr(packed, f.name)).to(films.device) for f in fields(packed)})
        windows = _Windows.around(labels)
        share, step, soft_tissue = _context(films, labels, windows)
        left = self._left(lesions, share, windows.on_film(labels.shape[1:]), windows)
        grids = torch.zeros((len(films), GRID, GRID), device=films.device)
        grids.index_add_(0, lesions.image, torch.log(left.clamp(min=1e-7)))
        added = windows.enlarged((1 - grids.exp()) * _finer(step), (films.shape[1], films.shape[2])) * (labels > 0)
        added = rendering.saturated(added, films, soft_tissue, torch)
        brighter = torch.minimum(films + added, torch.ones_like(films))
        change = brighter - films
        mask = change >= tolerances.to(films)[:, None, None]
        result = torch.where(mask, brighter, films)
        return Anomalies(result[:, None], mask[:, None], (change * mask)[:, None], draws, tolerances)

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
                change.placed(change.image, films[number])
                change.placed(change.mask, masks[number])
                change.placed(change.attenuation, attenuations[number])
        device = images.device
        return replace(made, images=result.to(device), masks=changed.to(device), attenuations=added.to(device))

    def _left(self, lesions: Any, share: Tensor, on_film: Tensor, windows: _Windows) -> Tensor:
        """Returns the share of air that every lesion leaves, (n, grid, grid)."""
        extents = Extents.of(share * on_film[:, None], torch)
        row, column = extents.place(lesions.image, lesions.side, lesions.focus, torch)
        points = (torch.arange(POINTS, device=share.device) + 0.5) / POINTS
        height = (windows.height / windows.side)[lesions.image]
        outward = extents.outward[lesions.image, lesions.side].to(share.dtype)
        level = rendering.levels(lesions.stamps, row, column, outward, height, points, points, torch)
        place, mirrored = rendering.at_the_hilum(lesions, extents, torch)
        along = torch.arange(GRID, device=share.device)
        rows, columns = (
            place[:, :, axis, None] + torch.where(mirrored[:, :, axis, None] > 0, GRID - 1 - along, along)
            for axis in (0, 1)
        )
        pieces = self.textures[lesions.texture[:, :, None, None], rows[:, :, :, None], columns[:, :, None]]
        air = lesions.airways.clip(min=0)[:, None, None]
        look = [number[:, None, None] for number in lesions.look.T[:-1]]
        dense = rendering.density(
            _finer(level), pieces[:, 0], pieces[:, 1], air + (1 - 2 * air) * pieces[:, 2], look, torch
        )
        thin = _blurred(share.flatten(0, 1), FADE_BLUR).reshape(share.shape)
        fade = rendering.fades(thin[lesions.image, lesions.side], lesions.look[:, -1], torch)
        return cast(Tensor, rendering.remaining(lesions.severity[:, None, None], dense, _finer(fade), torch))


class _Tensors(SimpleNamespace):
    """`Lesions` as tensors."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(**tensors)


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
    flat = lungs.flatten(1)
    plain = (flat == 1) | (flat == 2)
    sides = [(flat == side).any(1) for side in (1, 2)]
    known = (plain | (flat == 0)).all(1) if flat.dtype != torch.bool else torch.zeros_like(sides[0])
    inside = ((images >= 0) & (images <= 1)).flatten(1).all(1)  # also finds NaN
    right, left, known, inside = torch.stack([*sides, known, inside]).cpu().numpy()
    if not inside.all():
        raise ImageError(f"images must lie in [0, 1]; images {np.flatnonzero(~inside).tolist()} of the batch do not")
    doubtful = ~known if labelled else ~known | (right & ~left) if labelled is None else np.ones_like(known)
    present = np.stack([right, left], axis=1)
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


def _context(films: Tensor, labels: Tensor, windows: _Windows) -> tuple[Tensor, Tensor, Tensor]:
    """Returns each lung's share of the cells, (b, 2, cells, cells), the step to soft tissue and the soft tissue's grey.

    See `artasyn.synthesis.context.Context`.
    """
    sides = windows.sampled(labels)
    share = functional.avg_pool2d(torch.stack([(sides == side).float() for side in (1, 2)], dim=1), SAMPLES)
    film = functional.avg_pool2d(windows.sampled(films)[:, None], SAMPLES)[:, 0]
    at = round(SOFT_TISSUE * (CELLS * CELLS - 1))
    soft_tissue = film.flatten(1).kthvalue(at + 1).values[:, None, None]
    lung = share.sum(1)
    mean = (film * lung).sum((1, 2)) / lung.sum((1, 2)).clamp(min=1e-3)
    soft_tissue = torch.maximum(soft_tissue, mean[:, None, None] + LEAST_STEP)
    level = _blurred(film * lung, LEVEL_BLUR) / _blurred(lung, LEVEL_BLUR).clamp(min=1e-3)
    near = _blurred(film, NEAR_BLUR, border="replicate")
    return share, (soft_tissue - torch.maximum(level, near)).clamp(min=0), soft_tissue


def _blurred(values: Tensor, sigma: float, border: str = "constant") -> Tensor:
    """Blurs values (n, cells, cells) with a Gaussian, like `artasyn.synthesis.context.blurred`."""
    taps = torch.from_numpy(kernel(sigma)).to(values.device)
    reach = len(taps) // 2
    wide = functional.pad(values[:, None], (reach,) * 4, mode=border)
    return functional.conv2d(functional.conv2d(wide, taps[None, None, None]), taps[None, None, :, None])[:, 0]


def _finer(values: Tensor) -> Tensor:
    """Resamples values (n, rows, columns) to the grid, (n, grid, grid)."""
    return functional.interpolate(values[:, None], size=(GRID, GRID), mode="bilinear", align_corners=False)[:, 0]
