"""Opacities in training loops: a transform for albumentations, and one in the style of torchvision."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

from artasyn.errors import ImageError, SynthesisError
from artasyn.segment.anatomy.anatomy import Convention
from artasyn.segment.anatomy.segmenters import LungsBy, Segmenter
from artasyn.segment.anatomy.segmenters import segmenter as find_segmenter
from artasyn.segment.lungs import Zone
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.diffusion import Imagined
from artasyn.synthesis.finding import Findings, Side
from artasyn.synthesis.places import Found
from artasyn.transforms.boxes import LabelFields, with_boxes
from artasyn.transforms.given import check_moved, pixels
from artasyn.transforms.insertion import Insertion, Maker, as_lungs, as_maker, opacity
from artasyn.transforms.options import OnFailure, check_options
from artasyn.transforms.returned import as_held, boxes_name, marked_as, no_mask, with_tensor_boxes
from artasyn.transforms.targets import KINDS, A, Targets, marked, marked_list


class LungOpacityTransform(A.DualTransform):  # type: ignore[misc]
    """Inserts lung opacities, as a transform of albumentations.

    The transform serves these targets, and refuses a call with others:

    - ``image``: uint8, or floats in [0, 1]; one or three channels; bright = dense.
    - ``mask``: the changed pixels are added by union. A mask with as many channels as there are `findings` gets one
      finding in each channel.
    - ``masks``: one mask, or one for each of the `findings`, in their order.
    - ``lesion`` and ``lesions``, and the names of findings, as in ``additional_targets={"nodule": "mask"}``. The target
      of a finding gets the pixels of that finding.
    - ``bboxes``: a box is added for each lesion, in the format and with the label fields of ``bbox_params``.
    - ``lungs``: labels (0, 1 right, 2 left), or a mask of both lungs, as `artasyn.Lungs.from_array` tells them apart.
      Where no lungs are given, the segmenter finds them, and they are remembered. Where another transform may move the
      image first, the lungs must move with it: ``Compose(..., additional_targets={"lungs": "mask"})``. An `Anatomy` or
      a `Projection` may be given where nothing moves.
    - Other targets are named in `lesion_targets` if they show lesions, and in `untouched` if they do not.

    Workers of a torch `DataLoader` draw different anomalies. After ``torch.manual_seed`` they draw the same ones again.

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
        lungs_labelled: True takes lungs as labels, False takes every value except 0 as lung, None goes by the values.
        mask_value: the value that is written into masks that are not boolean.
        lesion_targets: names of further masks and boxes that show lesions.
        untouched: names of targets that the anomaly leaves as they are, as a mask of the heart or a second image.
        box_labels: the label of new boxes: a value, or a dictionary with a value for each finding. Several label
            fields need a dictionary with one of these for each field. None takes the finding's name.
        on_failure: for an image that nothing can be added to, as one without lungs: ``raise`` an error, or ``skip`` the
            anomaly.
        p: probability of an anomaly.
        segmenter: who finds the lungs where none are given: pbtseg; anatomy, the network that comes with artasyn, which
            also finds lobes; given refuses an image without lungs.
        part: the part of the lungs that lesions lie in, as in `LungOpacity`: lungs, a zone, a lobe.
        convention: the extent of the lungs, as in `LungOpacity`: visible, or whole, behind the heart too.
        prompts: sentences in a radiologist's words, each as likely, instead of findings with ranges and places; see
            `artasyn.synthesis.diffusion.Prompt`. Masks of several channels then follow the order of the findings in
            the sentences.

    Raises:
        SynthesisError: there is no such finding, a value cannot be drawn from, or a sentence cannot be read.
        DataError: `p` is no probability, or `on_failure` is unknown.

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
        lungs_labelled: bool | None = None,
        mask_value: float = 1.0,
        on_failure: OnFailure = "raise",
        p: float = 0.5,
        lesion_targets: Sequence[str] = (),
        untouched: Sequence[str] = (),
        box_labels: Any = None,
        segmenter: LungsBy = "pbtseg",
        part: str = "lungs",
        convention: Convention = "visible",
        prompts: Sequence[str] = (),
    ) -> None:
        check_options(p, on_failure)
        super().__init__(p=p)
        self.findings, self.zones, self.sides = findings, zones, sides
        self.severity_range, self.size_range, self.number_range = severity_range, size_range, number_range
        self.kinds_range, self.anomalies_range, self.tolerance = kinds_range, anomalies_range, tolerance
        self.lungs_labelled, self.mask_value, self.on_failure = lungs_labelled, mask_value, on_failure
        self.lesion_targets, self.untouched, self.box_labels = lesion_targets, untouched, box_labels
        self.segmenter, self.part, self.convention, self.prompts = segmenter, part, convention, prompts
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
        maker: Maker = replace(made, part=part, convention=convention)
        if prompts:
            if maker != LungOpacity():
                raise SynthesisError("prompts say findings, severities and places; give prompts, or these options")
            maker = Imagined.of(*prompts)
        self._insertion = Insertion(maker, (anomalies_range[0], anomalies_range[1]), find_segmenter(segmenter))

    @property
    def targets(self) -> dict[str, Any]:
        """The targets by name; `apply_with_params` changes them."""
        return dict.fromkeys((*KINDS, "lungs"), self.apply)

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Returns the names of the arguments that are stored with a pipeline."""
        return tuple(name for name in inspect.signature(type(self)).parameters if name != "p")

    def __call__(self, *args: Any, force_apply: bool = False, **kwargs: Any) -> Any:
        """Applies the transform to a call's targets by name; refuses targets that are not served."""
        Targets.of(self).check(kwargs, self.lesion_targets, self.untouched)
        return super().__call__(*args, force_apply=force_apply, **kwargs)

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
        """Inserts the anomalies of the drawn records into an image, its masks and its boxes."""
        records = [self._insertion.read(text) for text in params.get("records", [])]
        if not records:
            return kwargs
        image, lungs, targets = kwargs["image"], self._lungs(kwargs), Targets.of(self)
        made = self._insertion.replay(image, lungs, records)
        names = self._insertion.names
        result = kwargs | {"image": made.image}
        for name in targets.marked(kwargs, self.lesion_targets, self.untouched):
            values, kind = kwargs[name], targets.kinds[name]
            if kind == "bboxes":
                fields = LabelFields.of(name, targets.processors["bboxes"], kwargs)
                boxes = self._insertion.boxes(image, lungs, records, made.mask)
                result[name] = with_boxes(values, boxes, made.mask.shape, fields, self.box_labels)
            else:
                mark = marked if kind == "mask" else marked_list
                result[name] = mark(values, made, names, float(self.mask_value), name)
        return result

    def _lungs(self, data: Mapping[str, Any]) -> Found | None:
        given = data.get("lungs")
        return None if given is None else as_lungs(given, data["image"].shape[:2], labelled=self.lungs_labelled)


class RandomLungOpacity(torch.nn.Module):
    """Inserts lung opacities in the style of torchvision's transforms, with torch's random generator.

    Images are tensors (h, w), (1, h, w) or (3, h, w), of uint8 or of floats in [0, 1], or PIL images of mode L or RGB.
    The changed image has the kind, dtype and shape of the given one. Half precision is computed in float32. The mask
    holds exactly the pixels that changed in the image's own dtype.

    Args:
        opacity: makes the anomalies: a `LungOpacity`, an `artasyn.synthesis.diffusion.Imagined`, or the names of
            findings; None takes all findings.
        anomalies_range: number of anomalies in an image.
        p: probability of an anomaly.
        on_failure: for an image that nothing can be added to, as one without lungs: ``raise`` an error, or ``skip`` the
            anomaly.
        lungs_labelled: True takes lungs as labels, False takes every value except 0 as lung, None goes by the values,
            as `artasyn.Lungs.from_array` does.
        mask_value: the value that is written into masks that are not boolean; None writes 255 into PIL images of mode
            L, and 1 into others.
        segmenter: who finds the lungs where none are given: ``pbtseg``; ``anatomy``, the network that comes with
            artasyn, which also finds lobes; ``given`` refuses an image without lungs; or a function that returns the
            lungs or the anatomy of an image.
        box_labels: the label of new boxes, where a sample has boxes and ``labels``: a number, or a dictionary with one
            for each finding. None takes the finding's name, which a list of labels can hold.

    Raises:
        SynthesisError: there is no such finding.
        DataError: `p` is no probability, or `on_failure` is unknown.

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
        opacity: Maker | Findings | None = None,
        *,
        anomalies_range: tuple[int, int] = (1, 1),
        p: float = 0.5,
        on_failure: OnFailure = "raise",
        lungs_labelled: bool | None = None,
        mask_value: float | None = None,
        segmenter: LungsBy | Segmenter = "pbtseg",
        box_labels: Any = None,
    ) -> None:
        super().__init__()
        check_options(p, on_failure)
        self.insertion = Insertion(as_maker(opacity), anomalies_range, find_segmenter(segmenter))
        self.p, self.on_failure = p, on_failure
        self.lungs_labelled, self.mask_value, self.box_labels = lungs_labelled, mask_value, box_labels

    def forward(self, sample: Any, target: dict[str, Any] | None = None) -> Any:
        """Inserts anomalies into an image.

        Args:
            sample: a dictionary with ``image`` and, if there are any, ``lungs`` (labels, or a mask of both lungs;
                (h, w), or with axes of length 1 before) and ``mask`` ((h, w), (1, h, w), or a channel for each finding
                of the opacity); or an image. Boxes, as `tv_tensors.BoundingBoxes`, get a box for each lesion, of
                several those named ``boxes``. Where a transform of torchvision.transforms.v2 may move the image first,
                lungs and mask are `tv_tensors.Mask`, or PIL images, so that they move with it.
            target: the rest of the dictionary, where `sample` is an image.

        Returns:
            The dictionary with the changed image, the mask, changed by union, and the boxes; or the image and the
            target.

        Raises:
            SynthesisError: nothing can be added to the image, and `on_failure` is ``raise``.
            ImageError: the image, the lungs, the mask or the boxes are of another kind.
        """
        if isinstance(sample, Mapping):
            return self._changed(dict(sample))
        if "image" in (target or {}):
            raise ImageError("the target holds an image beside the one before it; give one of them")
        whole = self._changed({"image": sample} | (target or {}))
        return whole.pop("image"), whole

    def _changed(self, sample: dict[str, Any]) -> dict[str, Any]:
        given = sample.get("image")
        if not isinstance(given, Tensor | PILImage.Image):
            raise ImageError(f"image must be a tensor or a PIL image, not {type(given).__name__}")
        image = pixels(given)
        for name in ("lungs", "mask"):
            check_moved(name, sample.get(name), self)
        boxes = boxes_name(sample)
        mask = no_mask(given, image.shape) if sample.get("mask") is None else sample["mask"]
        if torch.rand(()) < self.p:
            rng = np.random.default_rng(int(torch.randint(2**62, ())))
            lungs = sample.get("lungs")
            known = None if lungs is None else as_lungs(lungs, image.shape[:2], labelled=self.lungs_labelled)
            try:
                made = self.insertion.draw(image, known, rng)
            except SynthesisError:
                if self.on_failure == "raise":
                    raise
            else:
                if boxes:
                    new = self.insertion.boxes(image, known, made.records, made.mask)
                    sample |= with_tensor_boxes(sample, boxes, new, made.mask.shape, self.box_labels)
                changed, made = as_held(made, given)
                names = self.insertion.names
                return sample | {"image": changed, "mask": marked_as(mask, made, names, self.mask_value)}
        return sample | {"image": given, "mask": mask}
