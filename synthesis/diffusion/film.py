"""Films from pathology masks: every finding's attenuation on a healthy radiograph, and nothing outside the masks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from artasyn.arrays import Attenuation, Heatmap, Image, Mask, check_image, identity
from artasyn.errors import ImageError, NothingShows
from artasyn.segment.lungs import Lungs
from artasyn.synthesis.anomaly import expose
from artasyn.synthesis.diffusion.masks import PathologyMasks
from artasyn.synthesis.diffusion.record import PromptRecord
from artasyn.synthesis.opacity import Ground
from artasyn.synthesis.rendering import saturated

RIM, RIM_BLUR, BESIDE = 0.05, 0.004, 0.02
"""Width of the lungs' rim, and the blurs of the film that tell its grey there and the grey of what lies beside the
lungs, in heights of the lungs."""

DARKEST = 0.02
"""Quantile of the lungs' grey; what is darker beside them is no lung."""


@dataclass(frozen=True, eq=False)
class ImaginedAnomaly:
    """A radiograph that shows the findings of a prompt.

    Attributes:
        image: float32 (h, w) in [0, 1], the radiograph with the findings.
        mask: bool (h, w), exactly the pixels that differ from the healthy radiograph.
        attenuation: float32 (h, w), ``image - healthy``; 0 outside the mask. Inside it is at least the tolerance; with
            a denoiser at least 1/255, or the tolerance where that is smaller.
        masks: the soft maps that the film was made from.
        regions: the changed pixels of each finding of the prompt, bool (h, w), in order. They may overlap; their union
            is `mask`.
    """

    image: Image
    mask: Mask
    attenuation: Attenuation
    masks: PathologyMasks
    regions: tuple[Mask, ...]

    @cached_property
    def record(self) -> PromptRecord:
        """The random choices; they remake the film on the same radiograph, by a generator with the same denoiser."""
        return PromptRecord(self.masks.prompt, tuple(each.record for each in self.masks.masks))

    @property
    def findings(self) -> Mapping[str, Mask]:
        """The changed pixels of every finding by its name; those of both lungs are one mask."""
        found: dict[str, Mask] = {}
        for each, region in zip(self.masks.masks, self.regions, strict=True):
            name = each.asked.finding
            found[name] = found[name] | region if name in found else region
        return found


@runtime_checkable
class Refiner(Protocol):
    """Moves the attenuation of a film's findings, such as `artasyn.synthesis.diffusion.denoiser.Denoiser`."""

    @property
    def digest(self) -> str:
        """Tells refiners apart, for records."""

    def refine(self, normal: Image, physics: Image, soft: Attenuation, lungs: Lungs, seed: int = 0) -> Image:
        """Returns a film that differs from the normal one exactly where the physics' film does."""


@dataclass(frozen=True)
class FilmGenerator:
    """Makes diseased films from healthy films and pathology masks.

    The attenuation of a finding is the share of air that it replaces, times the step from the lung's grey to that of
    soft tissue. Findings over each other leave the product of the air that each leaves, in any order. Ribs, vessels and
    noise show through, and outside the masks not one value changes.

    Attributes:
        denoiser: moves the attenuation within the masks to where real disease has it; None leaves the physics as it is.

    Example:
        >>> from artasyn import Phantom
        >>> from artasyn.synthesis.diffusion import MaskSampler, Prompt
        >>> chest, prompt = Phantom(size=128)(seed=1), Prompt.parse("consolidation in the right lung")
        >>> film = FilmGenerator()(chest.image, MaskSampler()(prompt, chest.lungs, np.random.default_rng(0)))
        >>> bool((film.mask == (film.image != chest.image)).all())
        True
    """

    denoiser: Refiner | None = None

    @property
    def digest(self) -> str:
        """Tells denoisers apart, for records; empty without one."""
        return self.denoiser.digest if self.denoiser else ""

    def __call__(self, image: Image, masks: PathologyMasks) -> ImaginedAnomaly:
        """Renders masks on a radiograph; the same input always gives the same film.

        Args:
            image: float32 (h, w) in [0, 1], the healthy radiograph.
            masks: on the same grid; without findings, the film is the radiograph itself.

        Raises:
            NothingShows: a finding changes no pixel, because the lungs are white there.
            ImageError: the image is not valid, or the masks are on another grid.
        """
        check_image(image)
        shape = masks.place.region.shape
        if shape != image.shape:
            raise ImageError(f"masks are {shape}, the image is {image.shape}; draw them for the lungs of this image")
        if not masks.masks:
            none = np.zeros(shape, bool)
            return ImaginedAnomaly(image.copy(), none, np.zeros(shape, np.float32), masks, ())
        ground = Ground.of(masks.place, image)
        step = _steps(image, masks.place.lungs.mask, ground)
        more = saturated(masks.soft * step, image, np.float32(ground.context.soft_tissue), np)
        tolerance = min(each.record.tolerance for each in masks.masks)
        changed, mask, added = expose(image, np.asarray(more, np.float32), tolerance=tolerance)
        if self.denoiser and mask.any():
            drawn = PromptRecord(masks.prompt, tuple(each.record for each in masks.masks)).to_json()
            seed = int(hashlib.sha256(f"{identity(image)} {drawn}".encode()).hexdigest()[:8], 16)
            changed = self.denoiser.refine(image, changed, masks.soft, masks.place.lungs, seed)
            added = np.asarray(changed - image, np.float32)
        regions = _regions([each.soft * step for each in masks.masks], mask, tolerance)
        for each, region in zip(masks.masks, regions, strict=True):
            if not region.any():
                raise NothingShows(
                    f"{each.asked.words()!r} changes no pixel: the lungs are white there, or other findings hide it"
                )
        return ImaginedAnomaly(changed, mask, added, masks, regions)


def _steps(image: Image, lungs: Mask, ground: Ground) -> Attenuation:
    """Returns the step from the grey of every pixel's lung to that of soft tissue, at the pleura and just beyond too.

    The steps are known in coarse cells. A cell at the pleura holds lung and heart or chest wall alike, so there the
    film itself tells what is left: up to the grey of the heart, dome or wall beside it, which disease hides so.
    """
    height = ground.window.height
    near = cv2.GaussianBlur(image, (0, 0), max(0.5, RIM_BLUR * height))
    beside = (~lungs).astype(np.float32)
    wide = max(1.0, BESIDE * height)
    level = cv2.GaussianBlur(image * beside, (0, 0), wide) / np.maximum(cv2.GaussianBlur(beside, (0, 0), wide), 1e-3)
    room = np.maximum(np.minimum(level, np.float32(ground.context.soft_tissue)) - near, 0)
    step = ground.step
    room[~lungs & (near < np.quantile(near[lungs], DARKEST))] = 0  # air beside the body, or a film's black border
    if ground.place.hidden is not None:
        room = np.where(ground.place.hidden, step, room)
    inward = cv2.distanceTransform(np.pad(lungs, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    rim = np.maximum(1 - inward / np.float32(max(1.0, RIM * height)), 0)
    return np.asarray(step + rim * (room - step), np.float32)


def _regions(parts: list[Heatmap], mask: Mask, tolerance: float) -> tuple[Mask, ...]:
    """Returns the changed pixels of each finding: where it reaches the tolerance, or adds no less than any other."""
    most = np.maximum.reduce(parts)
    return tuple(np.asarray(mask & ((part >= np.float32(tolerance)) | ((part == most) & (part > 0)))) for part in parts)
