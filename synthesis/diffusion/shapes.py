"""Learnt shapes of opacities: a rectified flow draws what a reader would outline in a lung.

The flow draws the signed distance to the outline on the cells of the lung's own box, from noise, given the lung and the
size that a prompt says. `ShapeSampler.ellipses` covers the shape with a few ellipses, the stamps of a lesion. So a
record holds the shape as plain numbers, and remakes it without the network. Needs pip install artasyn[diffusion].
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

from artasyn.arrays import Mask, Rng, as_generator
from artasyn.doors import required
from artasyn.errors import ModelError
from artasyn.fields import Count, Fault, Within, build, check_fields
from artasyn.networks.stored import PACKAGE, ModelKind, digest_of, save_model
from artasyn.shapes import Bool, Float, Float32, Float64
from artasyn.synthesis.diffusion.plans import WORDS
from artasyn.synthesis.prompts.said import Size
from artasyn.tensors import on_one_thread

EXTRA = "diffusion"
"""The extra of artasyn that brings diffusers."""
TRAIN_STEPS = 1000
"""The time of diffusers' networks at a noise level of 1."""
GROUPS = 8
"""Channels of the network are normalised in this many groups."""
FINE = 4
"""Points of a lung's box for each cell, along an axis."""
REACH = 6.0
"""Cells; larger distances count as this one."""
MARGIN = 0.06
"""Room beside a lung in its box, as a share of its height and width."""
KINDS = ("reader", "consolidation", "ground_glass_opacity")
"""Where a shape comes from: a reader's outline on a radiograph, or the projection of a lesion put into a CT."""
CODES = len(KINDS) + len(WORDS)
CANDIDATES = 24
"""Shapes that are drawn for a part of a lung; the one that lies in it best is taken."""
ENOUGH = 0.2
"""Share of a part of a lung that a shape must cover, to be as good as any larger one."""
ELLIPSES = 24
"""Most ellipses of a shape."""
LEAST = 1.5
"""Points of the box; smaller ellipses are left out."""

Distances = Float32[np.ndarray, "side side"]
"""Signed distance to an outline in cells over `REACH`, from -1 to 1; above 0 is inside."""
Points = Bool[np.ndarray, "count count"]
"""A mask of a lung's box, with `FINE` points a cell."""
Code = Float32[np.ndarray, " codes"]
"""Kind and size as ones and zeros; without a size, the last three are 0."""
States = Float[Tensor, "b 1 side side"]
"""Distances of several shapes, on their way from the noise to the result."""


@dataclass(frozen=True)
class ShapeSettings:
    """Holds everything that defines a sampler of shapes except the weights of its network.

    Attributes:
        side: rows and columns of cells that divide the box of a lung.
        channels: channels of the network at every scale, finest first; each scale has half the cells of the one before.
        patch: rows and columns of cells that the network sees as one place with more channels.
        steps: Euler steps from the noise to the shape.

    Raises:
        ModelError: a number is out of range, or the scales do not fit the cells.

    Example:
        >>> ShapeSettings(channels=(8, 16)).side
        32
    """

    side: Annotated[int, Within(16, 128)] = 32
    channels: Annotated[tuple[Annotated[int, Within(GROUPS, 512)], ...], Count(1, 6)] = (32, 64, 96)
    patch: Annotated[int, Within(1, 4)] = 2
    steps: Annotated[int, Within(1, 100)] = 12

    def __post_init__(self) -> None:
        check_fields(self, ModelError)
        if any(width % GROUPS for width in self.channels):
            raise ModelError(f"ShapeSettings: channels are {self.channels}, not multiples of {GROUPS}")
        if self.side % (self.patch * 2 ** (len(self.channels) - 1)):
            scales = f"patches of {self.patch} that are halved {len(self.channels) - 1} times"
            raise ModelError(f"ShapeSettings: side {self.side} cannot be divided into {scales}")

    @classmethod
    def of(cls, values: Any, place: str) -> ShapeSettings:
        """Makes settings from the values that JSON holds.

        Args:
            values: the values of the fields by their names.
            place: where the values stand, for the message.

        Raises:
            ModelError: a field is unknown, missing or cannot hold its value.
        """
        try:
            made: ShapeSettings = build(cls, values)
        except Fault as fault:
            raise ModelError(str(fault.within(place))) from fault
        return made


def network_of(settings: ShapeSettings) -> nn.Module:
    """Returns an untrained network: distances of shape and lung, a code and a noise level give a velocity.

    Raises:
        MissingExtra: diffusers is not installed.
    """
    count = len(settings.channels)
    network: nn.Module = required("diffusers", extra=EXTRA).UNet2DModel(
        sample_size=settings.side // settings.patch,
        in_channels=2 * settings.patch**2 + CODES,
        out_channels=settings.patch**2,
        layers_per_block=1,
        block_out_channels=settings.channels,
        down_block_types=("DownBlock2D",) * count,
        up_block_types=("UpBlock2D",) * count,
        norm_num_groups=GROUPS,
        add_attention=False,
    )
    return network


SHAPES = ModelKind(
    noun="a sampler of shapes",
    settings=ShapeSettings,
    bundled=PACKAGE / "shape_model",
    command="python -m benchmarks.train_shapes",
    from_onnx="nothing: no ONNX file of a sampler of shapes can be loaded",
)
"""The samplers of shapes among the stored models."""


@dataclass(frozen=True, eq=False)
class ShapeSampler:
    """Draws shapes of opacities in lungs.

    Attributes:
        settings: what defines it except the weights.
        network: in evaluation mode, from `network_of`.

    Source: rectified flow (Liu, Gong, Liu; ICLR 2023; arXiv 2209.03003).
    """

    settings: ShapeSettings
    network: nn.Module

    @classmethod
    def untrained(cls, settings: ShapeSettings, seed: int = 0) -> ShapeSampler:
        """Returns a sampler with random weights; the global random generator keeps its state.

        Args:
            settings: of the sampler.
            seed: of the weights.

        Raises:
            MissingExtra: diffusers is not installed.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(settings, network_of(settings).eval())

    @classmethod
    def from_pretrained(cls, model: str | Path = "bundled", **options: Any) -> ShapeSampler:
        """Loads a sampler.

        Args:
            model: a folder that `save` wrote, or the id of a model on the Hugging Face hub; ``bundled`` is the one that
                comes with artasyn (its card: ``artasyn/shape_model/README.md``).
            **options: options of `huggingface_hub.hf_hub_download`.

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
            MissingExtra: diffusers is not installed.
        """
        folder = SHAPES.find(model, options)
        return cls(SHAPES.read_settings(folder), SHAPES.load(network_of, folder, options))

    def save(self, folder: Path) -> None:
        """Writes the settings as JSON and the weights as safetensors in half precision.

        Args:
            folder: the folder to write to; it is created if it is missing.
        """
        save_model(folder, self.network.state_dict(), self.settings)

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits over weights and settings."""
        return digest_of(self.network.state_dict(), self.settings)

    def draw(self, lung: Distances, size: Size | None, rng: Rng, count: int = 1) -> list[Distances]:
        """Draws shapes in a lung.

        Args:
            lung: its distances, from `Frame.distances`.
            size: the size that is said, or None.
            rng: the source of randomness, a generator or a seed.
            count: number of shapes.
        """
        side, steps = self.settings.side, self.settings.steps
        scheduler = required("diffusers", extra=EXTRA).FlowMatchEulerDiscreteScheduler(TRAIN_STEPS)
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps).tolist())
        state = torch.from_numpy(as_generator(rng).standard_normal((count, 1, side, side), np.float32))
        lungs = torch.from_numpy(lung).expand(count, 1, -1, -1)
        codes = torch.from_numpy(code_of("reader", size)).expand(count, -1)
        with torch.no_grad(), on_one_thread():
            for time in scheduler.timesteps:
                velocity = self.velocity(state, lungs, codes, (time / TRAIN_STEPS).expand(count))
                state = scheduler.step(velocity, time, state).prev_sample
        return [np.asarray(each[0].numpy().clip(-1, 1), np.float32) for each in state]

    def velocity(
        self, state: States, lung: States, code: Float[Tensor, "b codes"], level: Float[Tensor, " b"]
    ) -> States:
        """Returns the velocity of the flow, from the shape to the noise; differentiable.

        Args:
            state: (b, 1, side, side), distances on the way.
            lung: (b, 1, side, side), distances of the lungs.
            code: (b, codes), from `code_of`.
            level: (b,) noise level in [0, 1]: 1 at the noise, 0 at the shape.
        """
        seen = nn.functional.pixel_unshuffle(torch.cat([state, lung], dim=1), self.settings.patch)
        told = code[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        found: Tensor = self.network(torch.cat([seen, told], dim=1), TRAIN_STEPS * level).sample
        return nn.functional.pixel_shuffle(found, self.settings.patch)

    def ellipses(
        self, lung: Mask, part: Mask, mirrored: bool, size: Size | None, rng: Rng
    ) -> Float64[np.ndarray, "n 4"]:
        """Draws a shape and covers it with ellipses.

        Args:
            lung: bool (h, w), one lung.
            part: bool (h, w), the part of it that the shape is for; all of it for the whole lung.
            mirrored: whether the ribs of this lung are at higher columns.
            size: the size that is said of the whole lung, or None.
            rng: the source of randomness, a generator or a seed.

        Returns:
            Row and column of each centre, half the height and half the width, in pixels; none where no draw shows.
        """
        frame = Frame.of(lung, mirrored, self.settings.side)
        inside = frame.points(lung)
        wanted = frame.points(part)
        whole = bool((wanted == inside).all())
        drawn = self.draw(signed(inside), size, rng, 1 if whole else CANDIDATES)
        shapes = [(finer(each) > 0) & inside for each in drawn]
        best = max(shapes, key=lambda shape: _fit(shape, wanted))
        return frame.on_film(discs(best & wanted))


def _fit(shape: Points, part: Points) -> float:
    """Returns how well a shape lies in a part of a lung: the share of it that does, less if that is little."""
    inside = float((shape & part).sum())
    return inside / max(1.0, float(shape.sum())) * min(1.0, inside / max(1.0, ENOUGH * float(part.sum())))


@dataclass(frozen=True, eq=False)
class Frame:
    """The box of one lung, whose points lie at the same places in every lung; the ribs are at lower columns.

    Attributes:
        count: points along an axis.
        start: row and column of the first point on the film.
        scale: pixels from one point to the next, down and across.
        mirrored: whether the ribs of this lung are at higher columns.
    """

    count: int
    start: tuple[float, float]
    scale: tuple[float, float]
    mirrored: bool

    @classmethod
    def of(cls, lung: Mask, mirrored: bool, side: int) -> Frame:
        """Returns the box of a lung.

        Args:
            lung: bool (h, w), not empty.
            mirrored: whether its ribs are at higher columns.
            side: cells along an axis.
        """
        x, y, width, height = cv2.boundingRect(lung.astype(np.uint8))
        count = side * FINE
        down, across = (length * (1 + 2 * MARGIN) / count for length in (height, width))
        start = (y - MARGIN * height + 0.5 * down - 0.5, x - MARGIN * width + 0.5 * across - 0.5)
        return cls(count, start, (down, across), mirrored)

    def points(self, mask: Mask) -> Points:
        """Returns the points of the box that a mask covers, bool (count, count)."""
        last = self.count - 1 if self.mirrored else 0
        turn = -1 if self.mirrored else 1
        down, across = self.scale
        back = np.array([[turn * across, 0, self.start[1] + last * across], [0, down, self.start[0]]])
        size = (self.count, self.count)
        soft = cv2.warpAffine(mask.astype(np.float32), back, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        return np.asarray(soft >= 0.5)

    def on_film(self, circles: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 4"]:
        """Returns discs of the box, row, column and radius, as ellipses on the film."""
        rows, columns, radii = circles.T
        columns = self.count - 1 - columns if self.mirrored else columns
        (top, left), (down, across) = self.start, self.scale
        return np.stack([top + down * rows, left + across * columns, down * radii, across * radii], axis=1)


def code_of(kind: str, size: Size | None) -> Code:
    """Returns the code of a kind and of a size."""
    return np.array([kind == each for each in KINDS] + [size == each for each in WORDS], np.float32)


def signed(points: Points) -> Distances:
    """Returns the distances of a mask with `FINE` points a cell; -1 everywhere for an empty one."""
    side = points.shape[0] // FINE
    if not points.any():
        return np.full((side, side), -1, np.float32)
    inner = cv2.distanceTransform(np.pad(points, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    outer = cv2.distanceTransform((~points).astype(np.uint8), cv2.DIST_L2, 5)
    distance = np.where(points, inner - 0.5, 0.5 - outer) / FINE / REACH
    return np.asarray(cv2.resize(distance.clip(-1, 1), (side, side), interpolation=cv2.INTER_AREA), np.float32)


def finer(distances: Distances) -> Float32[np.ndarray, "fine fine"]:
    """Returns distances with `FINE` points a cell."""
    return np.asarray(cv2.resize(distances, None, fx=FINE, fy=FINE, interpolation=cv2.INTER_LINEAR), np.float32)


def discs(shape: Points) -> Float64[np.ndarray, "n 3"]:
    """Covers a shape with discs within it, the largest first: row, column and radius of each, in points.

    Args:
        shape: bool (count, count).
    """
    inside = cv2.distanceTransform(np.pad(shape, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows, columns = np.mgrid[: shape.shape[0], : shape.shape[1]]
    left, found = shape.copy(), []
    for _ in range(ELLIPSES):
        gain = np.where(left, inside, 0)
        row, column = np.unravel_index(int(gain.argmax()), shape.shape)
        radius = float(gain[row, column])
        if radius < LEAST:
            break
        found.append((float(row), float(column), radius))
        left &= (rows - row) ** 2 + (columns - column) ** 2 > radius**2
    return np.array(found, np.float64).reshape(-1, 3)
