"""The reader of anatomy: radiographs in, their structures with confidence and the patient's turn out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np

from artasyn.arrays import GivenImage, Image, Prepared, SoftMasks, check_image
from artasyn.cautions import pixel_cautions
from artasyn.errors import ImageError, ModelError
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.closer import Closer, lungs_place
from artasyn.segment.anatomy.judgement import Judgement, is_inverted, judge_chest, judge_view, lungs_sure
from artasyn.segment.anatomy.looks import (
    LookMaps,
    Squares,
    Turns,
    agreements,
    aligned,
    centred,
    looks_at,
    told_turns,
    turn_of,
)
from artasyn.segment.anatomy.onnx_network import OnnxAnatomyNetwork
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.anatomy.window import Window
from artasyn.segment.lungs import Lungs
from artasyn.segment.pbtseg.pbtseg import PBTSeg

BATCH = 8
"""Films that the network sees at once."""

BLANK = 1 / 255
"""Range of grey below which an image is blank."""


@runtime_checkable
class Network(Protocol):
    """A trained network with its settings, independent of the library that runs it.

    `artasyn.segment.anatomy.network.AnatomyNetwork` runs in torch,
    `artasyn.segment.anatomy.onnx_network.OnnxAnatomyNetwork` in onnxruntime.

    Attributes:
        settings: the settings of the reader.
    """

    settings: AnatomySettings

    @property
    def digest(self) -> str:
        """A string that tells two trained networks apart."""

    def read(self, images: Squares, turns: Turns) -> tuple[LookMaps, Turns]:
        """Returns the probabilities of the structures, and the estimated turns.

        Args:
            images: float32 (b, 1, size, size) in [0, 1], from `artasyn.segment.anatomy.window.prepare`.
            turns: float32 (b, 2), sine and cosine of the patient's turn; NaN where it is unknown.

        Returns:
            Probabilities float32 (b, k, size / 2, size / 2), and turns (b, 2).
        """


def _bundled() -> Network:
    """Returns the network that comes with artasyn."""
    from artasyn.segment.anatomy.network import AnatomyNetwork  # needs torch and timm; from_onnx does not

    return AnatomyNetwork.from_pretrained("bundled")


@dataclass(frozen=True, eq=False)
class AnatomyNet:
    """Reads the anatomy of radiographs at any angle with a network that has seen projections only.

    The network sees the whole film, and the film's mirrored negative. How well both agree is the confidence of each
    structure. (The mean of both would be worse than the film's own maps: it blurs what has one side.) Then the network
    reads the lungs' part of the film again, with more pixels (`artasyn.segment.anatomy.closer`). A structure below the
    confidence `AnatomySettings.floor` is left empty. Nothing is read on a film that shows no chest,
    or a turned one: the result is empty and says why.

    A reader runs on torch (`from_pretrained`) or on onnxruntime (`from_onnx`). Only `from_pretrained` imports torch.
    ``AnatomyNet()`` is the reader that comes with artasyn, as ``AnatomyNet.from_pretrained()``.

    Attributes:
        network: the network with its settings.

    Source: networks that read real films and have seen projected CT only: CXAS (Seibold et al. 2023) and AnyCXR (Dong
        et al. 2025).
    """

    network: Network = field(default_factory=_bundled)

    def __post_init__(self) -> None:
        if isinstance(self.network, str | os.PathLike):
            raise ModelError(
                f"a reader needs a network, not a path; use AnatomyNet.from_pretrained({os.fspath(self.network)!r}), "
                "or from_onnx for a file of onnxruntime"
            )

    @classmethod
    def from_pretrained(cls, model: str | Path = "bundled", *, device: str = "cpu", **options: Any) -> AnatomyNet:
        """Loads a reader that runs on torch.

        Args:
            model: a folder that `save_pretrained` or training wrote, or the id of a model on the Hugging Face hub;
                ``bundled`` is the one that comes with artasyn (its card: ``artasyn/anatomy_model/README.md``).
            device: a device of torch: cpu, cuda, cuda:1, mps.
            **options: options of `huggingface_hub.hf_hub_download` (revision, token, ...).

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
        """
        from artasyn.segment.anatomy.network import AnatomyNetwork  # needs torch and timm; from_onnx does not

        return cls(AnatomyNetwork.from_pretrained(model, **options).to(device))

    @classmethod
    def from_onnx(
        cls, path: str | Path, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> AnatomyNet:
        """Loads a reader from the file that `artasyn export` wrote; the reader runs on onnxruntime, without torch.

        Args:
            path: the file, which also holds the settings.
            providers: execution providers of onnxruntime, the best first; None takes CUDA if this onnxruntime has it,
                then the CPU.
            threads: number of threads that work on one batch; None takes onnxruntime's default, the physical cores.

        Raises:
            ModelError: the file does not exist or is no reader of anatomy, or a provider is not available.
            ArtasynError: onnxruntime is not installed.
        """
        return cls(OnnxAnatomyNetwork(path, providers, threads))

    @property
    def settings(self) -> AnatomySettings:
        """The settings of the reader."""
        return self.network.settings

    @property
    def digest(self) -> str:
        """A string that tells two trained readers apart."""
        return self.network.digest

    def calibrate(self, thresholds: Sequence[float] | None = None, agreements: Sequence[float] | None = None) -> None:
        """Replaces thresholds and usual agreements; `save_pretrained` writes the new ones.

        Args:
            thresholds: probability from which a pixel belongs to each structure; None keeps those that are there.
            agreements: usual agreement of each structure, see `usual_agreements`; None keeps those that are there.
        """
        self.network.settings = self.settings.calibrated(thresholds, agreements)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors``, for `from_pretrained`; the weights in half precision.

        Args:
            folder: the folder to write to; it is created if it is missing.

        Raises:
            ModelError: the reader runs on onnxruntime.
        """
        self._torch("save_pretrained")(folder)

    def export_onnx(self, path: str | Path) -> None:
        """Writes the reader as one ONNX file, for `from_onnx`.

        Args:
            path: the file to write, complete or not at all; its folder is created.

        Raises:
            ModelError: the reader runs on onnxruntime.
            ArtasynError: onnx or onnxscript is not installed, or torch is too old.
        """
        self._torch("export_onnx")(Path(path))

    def _torch(self, method: str) -> Any:
        """Returns a method that only the network in torch has."""
        found = getattr(self.network, method, None)
        if found is None:
            raise ModelError("a reader from an ONNX file has no weights to write; copy the file")
        return found

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a path of text counts as one image, not as a sequence
        self, images: GivenImage, angle: float | None = None, *, spacing: tuple[float, float] | None = None
    ) -> Anatomy: ...
    @overload
    def __call__(
        self,
        images: Sequence[GivenImage],
        angle: Sequence[float | None] | None = None,
        *,
        spacing: Sequence[tuple[float, float] | None] | None = None,
    ) -> list[Anatomy]: ...
    def __call__(self, images: Any, angle: Any = None, *, spacing: Any = None) -> Any:
        """Reads the anatomy of one radiograph, or of several of any sizes.

        Args:
            images: float32 (h, w) in [0, 1], or the path of a file; or a sequence of these.
            angle: the turn of each patient about the body's axis, degrees, as in `View`; with None, it is estimated.
            spacing: size of a pixel of each radiograph, mm, rows and columns, as `Radiograph.spacing`; with None, a
                file says it, and it is unknown of an array.

        Returns:
            An `Anatomy`, or a list of them.

        Raises:
            ImageError: an image is not valid, or there are angles or spacings for another number of images.
            RadiographError: a file cannot be read.
            ModelError: the network gives values that are not finite.
        """
        if not isinstance(images, np.ndarray | Sequence | os.PathLike):
            raise ImageError(
                f"images must be a numpy array (h, w), a path, or a list of these, not {type(images).__name__}; "
                "tensors: image.numpy()"
            )
        if isinstance(images, np.ndarray | str | os.PathLike):
            return self([images], [angle], spacing=[spacing])[0]
        nothing: list[Any] = [None] * len(images)
        angles, spacings = (nothing.copy() if given is None else list(given) for given in (angle, spacing))
        if not len(images) == len(angles) == len(spacings):
            raise ImageError(f"{len(images)} images, but {len(angles)} angles and {len(spacings)} spacings")
        images = list(images)
        for number, image in enumerate(images):
            if isinstance(image, str | os.PathLike):
                from artasyn.files.opened import open_radiograph  # needs packages that arrays do without

                opened = open_radiograph(image)
                images[number], spacings[number] = opened.image, spacings[number] or opened.spacing
            check_image(images[number], f"image {number}")
        found: list[Anatomy] = []
        for first in range(0, len(images), BATCH):
            part = slice(first, first + BATCH)
            found += self._read(images[part], angles[part], spacings[part])
        return found

    def usual_agreements(self, images: Sequence[np.ndarray]) -> list[float]:
        """Measures the usual agreement of the looks about each structure, for `calibrate`.

        Args:
            images: upright films of chests, held out from training.

        Returns:
            For each structure the median over the films that show it; 1 if none does.
        """
        found = np.stack([agreements(maps) for image in images for maps, _ in self._looked([image], [None])[1]])
        shown = [values[values > 0] for values in found.T]
        return [float(np.median(values)) if values.size else 1.0 for values in shown]

    def _looked(
        self, images: Sequence[np.ndarray], angles: Sequence[float | None]
    ) -> tuple[list[tuple[Window, Prepared]], list[tuple[LookMaps, Turns]]]:
        """Returns the prepared films with their windows, and the aligned maps and the turns of all looks at each."""
        settings, count = self.settings, self.settings.looks
        windows = [Window.of((image.shape[0], image.shape[1]), settings.size) for image in images]
        squares = [window.prepare(image) for window, image in zip(windows, images, strict=True)]
        seen = [looks_at(square, window, count) for square, window in zip(squares, windows, strict=True)]
        maps, turns = self._run(np.concatenate(seen), np.concatenate([told_turns(angle, count) for angle in angles]))
        looks = [
            (aligned(maps[first : first + count], settings.names), turns[first : first + count])
            for first in range(0, len(maps), count)
        ]
        return list(zip(windows, squares, strict=True)), looks

    def _run(self, squares: Squares, turns: Turns) -> tuple[LookMaps, Turns]:
        maps, found = self.network.read(squares, turns)
        if not (np.isfinite(maps).all() and np.isfinite(found).all()):
            raise ModelError("the network gives values that are not finite; its weights are damaged")
        return maps, found

    def _read(
        self,
        images: Sequence[np.ndarray],
        angles: Sequence[float | None],
        spacings: Sequence[tuple[float, float] | None],
    ) -> list[Anatomy]:
        """Reads films of one batch."""
        prepared, looks = self._looked(images, angles)
        lungs = [PBTSeg()(image) for image in images]
        found = [
            self._anatomy(image, angle, spacing, seen, *film, *look)
            for image, angle, spacing, seen, film, look in zip(
                images, angles, spacings, lungs, prepared, looks, strict=True
            )
        ]
        return self._closer(images, angles, lungs, found) if self.settings.closer else found

    def _closer(
        self,
        images: Sequence[np.ndarray],
        angles: Sequence[float | None],
        lungs: Sequence[Lungs],
        anatomies: list[Anatomy],
    ) -> list[Anatomy]:
        """Reads the lungs' part of films again, where both lungs were found."""
        settings = self.settings
        places = [lungs_place(each.maps, settings.names, seen) for each, seen in zip(anatomies, lungs, strict=True)]
        parts = {
            number: part
            for number, (each, place) in enumerate(zip(anatomies, places, strict=True))
            if (part := Closer.at(place, each.grid, settings.size)) is not None
        }
        if not parts:
            return anatomies
        squares = np.stack([part.window.prepare(images[number][part.part]) for number, part in parts.items()])
        maps, _ = self._run(squares[:, None], np.concatenate([told_turns(angles[number], 1) for number in parts]))
        found = list(anatomies)
        for (number, part), each in zip(parts.items(), maps, strict=True):
            anatomy = anatomies[number]
            seen = np.array(anatomy.confidence) >= settings.floor
            near = part.window.cut(centred(each, settings.thresholds)) * seen[:, None, None]
            found[number] = replace(
                anatomy, maps=part.joined(anatomy.maps, np.asarray(near, np.float32), settings.names)
            )
        return found

    def _anatomy(
        self,
        image: Image,
        angle: float | None,
        spacing: tuple[float, float] | None,
        lungs: Lungs,
        window: Window,
        square: Prepared,
        looks: LookMaps,
        turns: Turns,
    ) -> Anatomy:
        """Joins the looks at one film, and judges it."""
        settings = self.settings
        usual = np.array(settings.agreements or [1.0] * len(settings.names), np.float32)
        confidence = np.minimum(agreements(looks) / np.maximum(usual, 1e-3), 1)
        maps = centred(looks[0], settings.thresholds)
        turn = turn_of(turns) if angle is None else float(angle)
        sure = lungs_sure(confidence.tolist(), settings.names)
        if np.ptp(image) < BLANK:
            judgement = Judgement().adding("not_a_chest", "the image is blank", readable=False)
        else:
            judgement = judge_chest(sure, self._evidence(looks[0]), turn, lungs, lambda: self._turned(square))
        if judgement.readable:
            if is_inverted(square, maps, settings.names):
                judgement = judgement.adding("inverted")
            judgement = judge_view(judgement, turn, sure)
            for word in pixel_cautions(image):
                judgement = judgement.adding(word)
        confidence = np.round(confidence.astype(np.float64) * judgement.readable, 4)
        seen = (confidence >= settings.floor) & judgement.readable
        maps = window.cut(maps) * seen[:, None, None]
        return Anatomy(
            settings.names,
            np.asarray(maps, np.float32),
            turn,
            tuple(confidence.tolist()),
            spacing,
            judgement.reasons,
            judgement.warnings,
            window.shape,
        )

    def _evidence(self, maps: SoftMasks) -> float:
        """Returns the mean confidence of all structures on one look."""
        return float(agreements(maps[None]).mean())

    def _turned(self, square: Prepared) -> list[float]:
        """Returns the evidence for the film turned by one, two and three quarter turns counter-clockwise."""
        films = np.stack([np.rot90(square, quarter) for quarter in (1, 2, 3)])[:, None]
        maps, _ = self._run(np.ascontiguousarray(films), np.full((3, 2), np.nan, np.float32))
        return [self._evidence(each) for each in maps]
