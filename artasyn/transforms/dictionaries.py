"""Transforms of dictionaries for MONAI: opacities with their masks, lungs and anatomy."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artasyn.arrays import Image
from artasyn.doors import required
from artasyn.errors import DataError, ImageError, SynthesisError
from artasyn.segment import Anatomy, PBTSeg
from artasyn.segment.anatomy.segmenters import AnatomyReader, LungsBy, Segmenter
from artasyn.segment.anatomy.segmenters import segmenter as find_segmenter
from artasyn.synthesis.finding import Findings
from artasyn.synthesis.places import Found
from artasyn.transforms.given import pixels
from artasyn.transforms.insertion import Inserted, Insertion, Maker, as_lungs, as_maker, grey
from artasyn.transforms.options import OnFailure, check_options
from artasyn.transforms.returned import as_held, marked_as

_MONAI = required("monai.transforms", extra="monai")
_DATA = required("monai.data", extra="monai")

Key = Hashable
"""The key of an item of a dictionary."""
Keys = Key | tuple[Key, ...] | list[Key]
"""One key or several."""


class LungOpacityd(_MONAI.RandomizableTransform, _MONAI.MapTransform):  # type: ignore[misc]
    """Inserts lung opacities into an image of a dictionary, as a random transform of MONAI.

    The image is an array or a tensor (1, h, w) or (3, h, w): uint8, or floats in [0, 1]; bright = dense. Rows run from
    head to foot, which MONAI's readers of pictures must be told: ``LoadImaged(keys, reverse_indexing=False)``. The
    changed image has the class, the dtype and the metadata of the given one. The outputs have the image's class and its
    metadata, so that later transforms move them and `Invertd` brings them back.

    Randomness comes from ``self.R``, as `set_random_state`, `monai.utils.set_determinism` and the workers of
    `monai.data.DataLoader` seed it.

    Args:
        keys: the key of the image. Each image needs a transform of its own, since its anomaly is its own.
        opacity: makes the anomalies: a `LungOpacity`, an `artasyn.synthesis.diffusion.Imagined`, or the names of
            findings; None takes all findings.
        lungs_key: of the lungs, (1, h, w), as labels or as a mask of both lungs; None, or a dictionary without this
            key, asks the segmenter.
        mask_key: of the output of all changed pixels, uint8 (1, h, w). A mask that is there already is changed by union
            and keeps its dtype.
        findings_key: of an output with a channel for each finding, uint8 (k, h, w), in the order of `names`; None
            leaves it out.
        prob: probability of an anomaly.
        anomalies_range: number of anomalies in an image.
        on_failure: for an image that nothing can be added to, as one without lungs: ``raise`` an error, or ``skip`` the
            anomaly.
        lungs_labelled: as for `RandomLungOpacity`.
        segmenter: as for `RandomLungOpacity`.
        allow_missing_keys: passes a dictionary without the image on as it is.

    Raises:
        DataError: there is more than one key of an image, `prob` is no probability, or `on_failure` is unknown.
        MissingExtra: MONAI is not installed.

    Example:
        >>> from artasyn import Phantom
        >>> chest = Phantom(size=96)(seed=1)
        >>> insert = LungOpacityd("image", ["nodule"], prob=1.0).set_random_state(seed=3)
        >>> out = insert({"image": torch.from_numpy(chest.image)[None]})
        >>> sorted(out), out["mask"].shape, bool(out["mask"].any())
        (['image', 'mask'], torch.Size([1, 96, 96]), True)
    """

    def __init__(
        self,
        keys: Keys,
        opacity: Maker | Findings | None = None,
        *,
        lungs_key: Key | None = None,
        mask_key: Key = "mask",
        findings_key: Key | None = None,
        prob: float = 0.5,
        anomalies_range: tuple[int, int] = (1, 1),
        on_failure: OnFailure = "raise",
        lungs_labelled: bool | None = None,
        segmenter: LungsBy | Segmenter = "pbtseg",
        allow_missing_keys: bool = False,
    ) -> None:
        check_options(prob, on_failure, name="prob")
        _MONAI.MapTransform.__init__(self, keys, allow_missing_keys)
        _MONAI.RandomizableTransform.__init__(self, prob)
        if len(self.keys) != 1:
            raise DataError(f"LungOpacityd takes the key of one image, not {self.keys}; use one transform for each")
        self.insertion = Insertion(as_maker(opacity), anomalies_range, find_segmenter(segmenter))
        self.lungs_key, self.mask_key, self.findings_key = lungs_key, mask_key, findings_key
        self.on_failure, self.lungs_labelled = on_failure, lungs_labelled
        self._seed = (0, 0)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings, in the order of the channels under `findings_key`."""
        return self.insertion.names

    def randomize(self, data: Any = None) -> None:
        """Draws whether there is an anomaly, and the seed of its generator."""
        super().randomize(None)
        if self._do_transform:
            self._seed = (int(self.R.randint(2**31)), int(self.R.randint(2**31)))

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Inserts anomalies into the image of a dictionary.

        Args:
            data: with the image, and perhaps lungs and a mask.

        Returns:
            A dictionary with the changed image and the outputs; the given one stays as it is.

        Raises:
            SynthesisError: nothing can be added to the image, and `on_failure` is ``raise``.
            ImageError: the image, the lungs or the mask are of another kind.
            KeyError: there is no image, and `allow_missing_keys` is False.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            self.randomize()
            given = result[key]
            plain = _plain(given, key)
            image = pixels(plain)
            made = Inserted(image, np.zeros(image.shape[:2], bool), {}, ())
            if self._do_transform:
                try:
                    made = self.insertion.draw(image, self._lungs(result, image), np.random.default_rng(self._seed))
                except SynthesisError:
                    if self.on_failure == "raise":
                        raise
            changed, made = as_held(made, plain)
            result[key] = _as_given(changed, given)
            result |= self._outputs(result.get(self.mask_key), made, given)
        return result

    def _lungs(self, data: Mapping[Any, Any], image: np.ndarray) -> Found | None:
        given = None if self.lungs_key is None else data.get(self.lungs_key)
        return None if given is None else as_lungs(given, image.shape[:2], labelled=self.lungs_labelled)

    def _outputs(self, mask: Any, made: Inserted, given: Any) -> dict[Key, Any]:
        """Returns the masks of all changed pixels and of each finding; the first one changes a mask that is there."""
        none = np.zeros(made.mask.shape, bool)
        if mask is None:
            outputs = {self.mask_key: _as_given(_channels([made.mask]), given)}
        elif not isinstance(mask, np.ndarray | Tensor):
            kind = type(mask).__name__
            raise ImageError(f"{self.mask_key} must be an array or a tensor, not {kind}; use EnsureTyped before")
        else:
            values = torch.from_numpy(mask) if isinstance(mask, np.ndarray) else mask.as_subclass(Tensor)
            outputs = {self.mask_key: _as_given(marked_as(values, made, self.names, None), mask)}
        if self.findings_key is not None:
            found = _channels([made.findings.get(name, none) for name in self.names])
            outputs[self.findings_key] = _as_given(found, given)
        return outputs


class PBTSegd(_MONAI.MapTransform):  # type: ignore[misc]
    """Finds the lungs of images of a dictionary, as a transform of MONAI.

    The images are as for `LungOpacityd`. Where no lungs are found, the labels are 0 everywhere.

    Args:
        keys: the keys of the images.
        lungs_keys: the key of each image's lungs: uint8 (1, h, w), 0 background, 1 the patient's right lung, 2 the
            left, with the metadata of the image.
        segmenter: the options of PBTSeg.
        allow_missing_keys: passes over images that are not there.

    Raises:
        DataError: there are more or fewer keys of lungs than of images.
        MissingExtra: MONAI is not installed.

    Example:
        >>> from artasyn import Phantom
        >>> film = torch.from_numpy(Phantom(size=128)(seed=1).image)[None]
        >>> PBTSegd("image")({"image": film})["lungs"].unique().tolist()
        [0, 1, 2]
    """

    def __init__(
        self,
        keys: Keys,
        lungs_keys: Keys = "lungs",
        segmenter: PBTSeg | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.lungs_keys, self.segmenter = _as_many(lungs_keys, self.keys), segmenter or PBTSeg()

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Finds the lungs of each image.

        Raises:
            ImageError: an image is of another kind.
            KeyError: there is no such image, and `allow_missing_keys` is False.
        """
        result = dict(data)
        for key, lungs_key in self.key_iterator(result, self.lungs_keys):
            found = self.segmenter(_film(result[key], key))
            result[lungs_key] = _as_given(torch.from_numpy(found.labels[None]), result[key])
        return result


class AnatomyNetd(_MONAI.MapTransform):  # type: ignore[misc]
    """Reads the anatomy of images of a dictionary, as a transform of MONAI.

    The images are as for `LungOpacityd`. Each process loads the network when it is first asked.

    Args:
        keys: the keys of the images.
        names: the structures or groups that are wanted, such as ``lungs``, ``heart`` or ``lung_lower_lobe_left``.
        anatomy_keys: the key of each image's masks: uint8 (k, h, w), a channel for each of `names`, with the metadata
            of the image.
        reader: reads the anatomy, as an `AnatomyNet` does; None takes the network that comes with artasyn.
        allow_missing_keys: passes over images that are not there.

    Raises:
        DataError: there are more or fewer keys of masks than of images.
        MissingExtra: MONAI is not installed.
    """

    def __init__(
        self,
        keys: Keys,
        names: list[str] | tuple[str, ...] = ("lungs", "heart"),
        anatomy_keys: Keys = "anatomy",
        reader: Callable[[Image], Anatomy] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.names, self.anatomy_keys = tuple(names), _as_many(anatomy_keys, self.keys)
        self.reader: Callable[[Image], Anatomy] = reader or AnatomyReader()

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Reads the anatomy of each image.

        Raises:
            ImageError: an image is of another kind.
            DataError: there is no such structure.
            KeyError: there is no such image, and `allow_missing_keys` is False.
        """
        result = dict(data)
        for key, anatomy_key in self.key_iterator(result, self.anatomy_keys):
            anatomy = self.reader(_film(result[key], key))
            result[anatomy_key] = _as_given(_channels([anatomy.mask(name) for name in self.names]), result[key])
        return result


def _as_many(outputs: Keys, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Returns the keys of outputs, one for each key of an image."""
    found = tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
    if len(found) != len(keys):
        raise DataError(f"{len(found)} keys of outputs, {found}, for {len(keys)} images, {keys}; give one for each")
    return found


def _plain(image: Any, key: Key) -> Tensor:
    """Returns an image with the channel first as a tensor without metadata.

    Raises:
        ImageError: the image is none.
    """
    if not isinstance(image, np.ndarray | Tensor):
        do = "use LoadImaged before" if isinstance(image, str | os.PathLike) else "use EnsureTyped before"
        raise ImageError(f"{key} must be an array or a tensor (1, h, w), not {type(image).__name__}; {do}")
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        last = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))
        do = "use EnsureChannelFirstd before" if last else "give one radiograph at a time"
        raise ImageError(f"{key} must be (1, h, w) or (3, h, w), not {tuple(image.shape)}; {do}")
    return torch.from_numpy(image) if isinstance(image, np.ndarray) else image.as_subclass(Tensor)


def _film(image: Any, key: Key) -> Image:
    """Returns an image with the channel first as one radiograph, float32 (h, w) in [0, 1]."""
    return grey(pixels(_plain(image, key)))


def _channels(masks: Sequence[np.ndarray]) -> Tensor:
    """Returns masks as uint8 (k, h, w)."""
    return torch.from_numpy(np.stack(masks).astype(np.uint8))


def _as_given(values: Tensor, given: Any) -> Any:
    """Returns values as an image is held: as an array, or on its device and with its metadata."""
    if isinstance(given, np.ndarray):
        return values.numpy()
    values = values.to(given.device)
    return _DATA.MetaTensor(values).copy_meta_from(given) if isinstance(given, _DATA.MetaTensor) else values
