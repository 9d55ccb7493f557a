"""A residual rectified flow: what the physics of `LungOpacity` leaves out of the look of real opacities.

`LungOpacity` adds attenuation in a soft shape. The flow starts at this film and moves the attenuation within the shape:
a gain, larger than 1 in some places and smaller in others, multiplies what the physics added. The sum over every
connected part of the anomaly stays the same, and the network does not see the severity. So a lesion that is asked to be
denser becomes denser, wherever nothing is cut off at white. Pixels that the physics left alone keep their value bit for
bit, and all others keep the fine texture, the ribs and the noise of the film.

The network works on few cells around the lungs, see `Denoiser.conditions`. Needs pip install artasyn[diffusion].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from artasyn.arrays import Attenuation, Image, Mask, check_image, generator
from artasyn.doors import required
from artasyn.errors import ImageError, ModelError, SynthesisError
from artasyn.fields import Count, Fault, Within, build, check_fields
from artasyn.networks.stored import PACKAGE, ModelKind, digest_of, save_model
from artasyn.segment.lungs import Lungs
from artasyn.shapes import Float, Float32
from artasyn.synthesis.context import Window
from artasyn.synthesis.lesions import OpacityRecord
from artasyn.synthesis.opacity import Ground, rendered
from artasyn.synthesis.places import Found, Place
from artasyn.tensors import on_one_thread

EXTRA = "diffusion"
"""The extra of artasyn that brings diffusers."""

TRAIN_STEPS = 1000
"""The time of diffusers' networks at a noise level of 1."""

LEAST_GAIN = 0.1
"""Smallest gain: a pixel that the physics changed keeps this share of its change."""

LEAST_CHANGE = 1 / 255
"""A change by the physics that is at least this large does not become smaller than this, in image units."""

LUNG, TISSUE = 0.25, 0.8
"""Quantiles of the grey in the lungs and in the window, which a network sees as 0 and 1."""

LEAST_SPAN = 0.1
"""Smallest difference of these two greys, in image units; used where a film shows less."""

GROUPS = 8
"""Channels of the network are normalised in this many groups."""

Cells = Float32[np.ndarray, "side side"]
"""Values in the cells of the window around the lungs."""
Conditions = Float32[np.ndarray, "2 side side"]
"""What the network knows of a film: the normal film, lung 0 and soft tissue 1, and the shape of the opacity, peak 1."""
States = Float[Tensor, "b 1 side side"]
"""The gain of several films less 1, on its way from the noise to the result."""
Known = Float[Tensor, "b 2 side side"]
"""`Conditions` of several films."""


@dataclass(frozen=True)
class DenoiserSettings:
    """Holds everything that defines a denoiser except the weights of its network.

    Attributes:
        side: rows and columns of cells that divide the window around the lungs.
        channels: channels of the network at every scale, finest first; each scale has half the cells of the one before.
        patch: rows and columns of cells that the network sees as one place with more channels.
        layers: residual blocks at every scale.
        steps: Euler steps from the physics to the result.
        noise: standard deviation of the gain that the flow starts with, around the physics' gain of 1.
        grain: standard deviation of the Gaussian that correlates this noise, in cells.
        limit: largest distance of the gain from 1, before the sum of the attenuation is restored.

    Raises:
        ModelError: a number is out of range, or the scales do not fit the cells.

    Example:
        >>> DenoiserSettings(side=64, channels=(8, 16)).steps
        6
    """

    side: Annotated[int, Within(16, 256)] = 64
    channels: Annotated[tuple[Annotated[int, Within(GROUPS, 512)], ...], Count(1, 6)] = (24, 48, 96)
    patch: Annotated[int, Within(1, 4)] = 2
    layers: Annotated[int, Within(1, 8)] = 1
    steps: Annotated[int, Within(1, 100)] = 6
    noise: Annotated[float, Within(0, 2)] = 0.25
    grain: Annotated[float, Within(0.3, 16)] = 1.5
    limit: Annotated[float, Within(0, 0.9)] = 0.7

    def __post_init__(self) -> None:
        check_fields(self, ModelError)
        if any(width % GROUPS for width in self.channels):
            raise ModelError(f"DenoiserSettings: channels are {self.channels}, not multiples of {GROUPS}")
        if self.side % (self.patch * 2 ** (len(self.channels) - 1)):
            scales = f"patches of {self.patch} that are halved {len(self.channels) - 1} times"
            raise ModelError(f"DenoiserSettings: side {self.side} cannot be divided into {scales}")

    @classmethod
    def of(cls, values: Any, place: str) -> DenoiserSettings:
        """Makes settings from the values that JSON holds.

        Args:
            values: the values of the fields by their names.
            place: where the values stand, for the message.

        Raises:
            ModelError: a field is unknown, missing or cannot hold its value.
        """
        try:
            made: DenoiserSettings = build(cls, values)
        except Fault as fault:
            raise ModelError(str(fault.within(place))) from fault
        return made


def network_of(settings: DenoiserSettings) -> nn.Module:
    """Returns an untrained network: patches of three channels of cells and a noise level give a velocity.

    Raises:
        MissingExtra: diffusers is not installed.
    """
    count = len(settings.channels)
    network: nn.Module = required("diffusers", extra=EXTRA).UNet2DModel(
        sample_size=settings.side // settings.patch,
        in_channels=3 * settings.patch**2,
        out_channels=settings.patch**2,
        layers_per_block=settings.layers,
        block_out_channels=settings.channels,
        down_block_types=("DownBlock2D",) * count,
        up_block_types=("UpBlock2D",) * count,
        norm_num_groups=GROUPS,
        add_attention=False,
    )
    return network


DENOISER = ModelKind(
    noun="a denoiser",
    settings=DenoiserSettings,
    bundled=PACKAGE / "denoiser",
    command="python -m benchmarks.train_denoiser",
    from_onnx="nothing: no ONNX file of a denoiser can be loaded",
)
"""The denoisers among the stored models."""


@dataclass(frozen=True, eq=False)
class Denoiser:
    """Refines the films of `LungOpacity`.

    Attributes:
        settings: what defines it except the weights.
        network: in evaluation mode, from `network_of`.
    """

    settings: DenoiserSettings
    network: nn.Module

    @classmethod
    def untrained(cls, settings: DenoiserSettings, seed: int = 0) -> Denoiser:
        """Returns a denoiser with random weights; the global random generator keeps its state.

        Args:
            settings: of the denoiser.
            seed: of the weights.

        Raises:
            MissingExtra: diffusers is not installed.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(settings, network_of(settings).eval())

    @classmethod
    def load(cls, model: str | Path, **options: Any) -> Denoiser:
        """Loads a denoiser.

        Args:
            model: a folder that `save` wrote, or the id of a model on the Hugging Face hub.
            **options: options of `huggingface_hub.hf_hub_download`.

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
            MissingExtra: diffusers is not installed.
        """
        folder = DENOISER.find(model, options)
        return cls(DENOISER.read_settings(folder), DENOISER.load(network_of, folder, options))

    def save(self, folder: Path) -> None:
        """Writes the settings as JSON and the weights as safetensors in half precision.

        Args:
            folder: the folder to write to; it is created if it is missing.
        """
        save_model(folder, self.network.state_dict(), self.settings)

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits over weights and settings, for the records of films that this denoiser made."""
        return digest_of(self.network.state_dict(), self.settings)

    def refine(self, normal: Image, physics: Image, soft: Attenuation, lungs: Lungs, seed: int = 0) -> Image:
        """Moves the attenuation of an opacity to where a real one would have it.

        Args:
            normal: float32 (h, w) in [0, 1], the radiograph without the opacity.
            physics: float32 (h, w) in [0, 1], the same radiograph with the opacity that `LungOpacity` made.
            soft: float32 (h, w) in [0, 1], the share of the lung's air that the opacity replaces, see `air_replaced`.
            lungs: the lungs of the radiograph, on the same grid.
            seed: of the noise that the flow starts with, 0 or more; the same seed gives the same film.

        Returns:
            The new radiograph, float32 (h, w) in [0, 1]. It differs from `normal` exactly where `physics` does.

        Raises:
            ImageError: an array is not valid, or the arrays have different shapes.
            SynthesisError: there are no lungs.

        Source: rectified flow (Liu, Gong, Liu; ICLR 2023; arXiv 2209.03003), from the physics to the real film.
        """
        _check(normal, physics, soft, lungs)
        changed = np.asarray(physics != normal)
        if not changed.any():
            return np.array(physics)
        gain = self.gain(self.conditions(normal, soft, lungs), seed)
        return composited(normal, physics, changed, on_film(gain, _window(lungs), normal.shape))

    def conditions(self, normal: Image, soft: Attenuation, lungs: Lungs) -> Conditions:
        """Returns what the network knows of a film, in the cells of the window around the lungs.

        The shape of the opacity has a peak of 1, so that the severity does not show.

        Args:
            normal: float32 (h, w) in [0, 1], the radiograph without the opacity.
            soft: float32 (h, w) in [0, 1], the share of the lung's air that the opacity replaces.
            lungs: the lungs of the radiograph, on the same grid.

        Raises:
            SynthesisError: there are no lungs.
        """
        window = _window(lungs)
        film, share, air = (
            in_cells(each, window, self.settings.side) for each in (normal, soft, lungs.mask.astype(np.float32))
        )
        return np.stack([standard(film, air), share / max(float(share.max()), 1e-3)])

    def gain(self, conditions: Conditions, seed: int) -> Cells:
        """Returns the factor of the attenuation in every cell, from 1 - limit to 1 + limit.

        Args:
            conditions: float32 (2, side, side), from `conditions`.
            seed: of the noise that the flow starts with.
        """
        settings = self.settings
        scheduler = required("diffusers", extra=EXTRA).FlowMatchEulerDiscreteScheduler(TRAIN_STEPS)
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / settings.steps, settings.steps).tolist())
        known = torch.from_numpy(conditions)[None]
        state = torch.from_numpy(np.float32(settings.noise) * grains(settings, generator(seed), 1))
        with torch.no_grad(), on_one_thread():
            for time in scheduler.timesteps:
                velocity = self.velocity(state, known, time[None] / TRAIN_STEPS)
                state = scheduler.step(velocity, time, state).prev_sample
        change = state[0, 0].numpy().clip(-settings.limit, settings.limit)
        return np.asarray(1 + change, np.float32)

    def velocity(self, state: States, known: Known, level: Float[Tensor, " b"]) -> States:
        """Returns the velocity of the flow, from the film that is looked for to the noise; differentiable.

        Args:
            state: (b, 1, side, side), the gain less 1 on the way.
            known: (b, 2, side, side), conditions of the films.
            level: (b,) noise level in [0, 1]: 1 at the physics, 0 at the result.
        """
        unit, patch = max(self.settings.noise, 0.05), self.settings.patch
        seen = nn.functional.pixel_unshuffle(torch.cat([state / unit, known], dim=1), patch)
        told: Tensor = self.network(seen, TRAIN_STEPS * level).sample
        return unit * nn.functional.pixel_shuffle(told, patch)


def grains(settings: DenoiserSettings, rng: np.random.Generator, count: int) -> Float32[np.ndarray, "b 1 side side"]:
    """Returns noise of mean 0 and deviation 1 that is correlated over the grain of the settings.

    Args:
        settings: of the denoiser.
        rng: the source of randomness.
        count: number of films.
    """
    reach = round(4 * settings.grain)
    taps = cv2.getGaussianKernel(2 * reach + 1, settings.grain, cv2.CV_32F)
    wide = settings.side + 2 * reach
    inner = slice(reach, reach + settings.side)
    noise = [
        cv2.sepFilter2D(each, -1, taps, taps)[inner, inner]
        for each in rng.standard_normal((count, wide, wide), np.float32)
    ]
    return np.asarray(np.stack(noise)[:, None] / (taps**2).sum(), np.float32)


def air_replaced(image: Image, lungs: Found | Place, record: OpacityRecord) -> Attenuation:
    """Returns the share of the lung's air that an anomaly of `LungOpacity` replaces, float32 (h, w) in [0, 1].

    Args:
        image: float32 (h, w) in [0, 1], the radiograph without the anomaly.
        lungs: the lungs, the anatomy or the projection of the radiograph.
        record: the record of the anomaly.

    Raises:
        NothingShows: no pixel of this image changes.
    """
    place = Place.of(lungs, record.part, record.convention)
    change = rendered(image, place, record)
    share = 1 - np.prod(list(change.air_left.values()), axis=0, dtype=np.float32)
    whole: Attenuation = Ground.of(place, image).placed(share).clip(0, 1)
    return whole


def composited(normal: Image, physics: Image, changed: Mask, gain: Attenuation) -> Image:
    """Returns the film whose change by the physics is multiplied by a gain.

    The gain is scaled in every connected part, so that the sum of the change stays the same there.

    Args:
        normal: float32 (h, w) in [0, 1].
        physics: float32 (h, w) in [0, 1].
        changed: bool (h, w), where the two differ.
        gain: float32 (h, w), above 0.
    """
    added = np.asarray(physics - normal, np.float64)
    count, parts = cv2.connectedComponents(changed.astype(np.uint8), connectivity=8)
    before, after = (np.bincount(parts.ravel(), (added * times).ravel(), count) for times in (1.0, gain))
    even = np.where(np.abs(after) > 1e-9, before / np.where(np.abs(after) > 1e-9, after, 1), 1)
    more = added * np.maximum(gain * even[parts], LEAST_GAIN)
    least = np.minimum(np.abs(added), LEAST_CHANGE)
    more = np.where(np.abs(more) < least, np.sign(added) * least, more)
    film = np.clip(normal + more, 0, 1).astype(np.float32)
    return np.where(changed & (film != normal), film, physics)


def in_cells(values: Attenuation, window: Window, side: int) -> Cells:
    """Returns the means of a film's values in the cells of a window; beyond the film its border is repeated."""
    rows, columns = (
        np.clip(at + np.arange(window.side), 0, length - 1)
        for at, length in zip((window.top, window.left), values.shape, strict=True)
    )
    inside = np.ascontiguousarray(values[rows][:, columns], np.float32)
    method = cv2.INTER_AREA if window.side >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(inside, (side, side), interpolation=method), np.float32)


def on_film(gain: Cells, window: Window, shape: tuple[int, ...]) -> Attenuation:
    """Returns a gain on the pixels of a film, float32 (h, w); it is 1 outside the window."""
    size = (window.side, window.side)
    inside = cv2.resize(gain, size, interpolation=cv2.INTER_LINEAR)
    whole = np.ones(shape, np.float32)
    top, left = max(window.top, 0), max(window.left, 0)
    down, across = (min(at + window.side, n) for at, n in zip((window.top, window.left), shape, strict=True))
    whole[top:down, left:across] = inside[
        top - window.top : down - window.top, left - window.left : across - window.left
    ]
    return whole


def standard(film: Cells, air: Cells) -> Cells:
    """Returns a film's cells with the grey of lung as 0 and the grey of soft tissue as 1.

    Args:
        film: float32 (side, side) in [0, 1].
        air: float32 (side, side) in [0, 1], the share of lung.
    """
    lung = float(np.quantile(film[air >= min(0.5, float(air.max()))], LUNG))
    return np.asarray((film - lung) / max(float(np.quantile(film, TISSUE)) - lung, LEAST_SPAN), np.float32)


def _window(lungs: Lungs) -> Window:
    window = Window.around(lungs)
    if window is None:
        raise SynthesisError("no lungs to refine an opacity in; find them first or leave the denoiser out")
    return window


def _check(normal: Image, physics: Image, soft: Attenuation, lungs: Lungs) -> None:
    """Refuses arrays that are no radiographs or on different grids."""
    check_image(normal, "normal")
    check_image(physics, "physics")
    check_image(soft, "soft")
    for name, shape in (("physics", physics.shape), ("soft", soft.shape), ("lungs", lungs.labels.shape)):
        if shape != normal.shape:
            raise ImageError(f"{name}: the shape is {shape}, that of normal {normal.shape}; give both on one grid")
