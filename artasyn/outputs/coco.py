"""Findings and structures as COCO annotations: one run-length encoded region for each, readable by pycocotools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from pycocotools import mask as rle

from artasyn.arrays import Mask
from artasyn.codes import coded
from artasyn.files.atomic import replacing
from artasyn.segment import Lungs
from artasyn.segment.lungs import Zone
from artasyn.shapes import UInt8
from artasyn.synthesis import Anomaly

Annotation = dict[str, Any]
"""One finding or structure of one image."""

ZONES = get_args(Zone)
"""The zones whose shares an annotation holds; the first three shares add up to 1, and so do the last two."""


def annotated(anomaly: Anomaly, lungs: Lungs) -> list[Annotation]:
    """Describes every visible finding of an anomaly.

    Args:
        anomaly: on a radiograph.
        lungs: of the same radiograph.

    Returns:
        For each finding the fields of a COCO annotation, without the ids, which `write_coco` adds: ``segmentation``
        (compressed run lengths), ``area`` in pixels, ``bbox`` (column, row, width, height) and ``iscrowd``. Further
        fields are ``finding``, ``share`` (the finding's area over the area of the lungs), ``severity`` (of the
        finding's densest lesion, 1 for soft tissue) and ``zones`` (the share of the finding's area in each of `ZONES`).
    """
    lesions = anomaly.record.lesions
    found = [
        (name, region, max(each.severity for each in lesions if each.finding == name))
        for name, region in anomaly.findings.items()
    ]
    return described(found, lungs)


def described(findings: Iterable[tuple[str, Mask, float]], lungs: Lungs) -> list[Annotation]:
    """Describes every visible finding of a film, as `annotated` does.

    Args:
        findings: the name, the mask (h, w) and the severity of each; a name may occur more than once.
        lungs: of the same radiograph.
    """
    box, places = _places(lungs)
    lung_area = max(1, int(np.count_nonzero(lungs.labels)))
    found = []
    for name, region, severity in findings:
        if not region.any():  # another finding hides it
            continue
        area = int(np.count_nonzero(region))
        found.append(
            {
                "finding": name,
                **_encoded(region, area),
                "share": round(area / lung_area, 6),
                "severity": round(severity, 4),
                "zones": _shares(places[region[box]]),
            }
        )
    return found


def outlined(masks: Mapping[str, Mask]) -> list[Annotation]:
    """Describes the structures on a radiograph.

    Args:
        masks: the mask of each structure, bool (h, w); empty masks are left out.

    Returns:
        For each structure the fields of a COCO annotation, without the ids, which `write_coco` adds; and ``structure``.
    """
    areas = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    return [{"structure": name, **_encoded(masks[name], area)} for name, area in areas.items() if area]


def _encoded(region: Mask, area: int) -> Annotation:
    """Returns a region as fields of a COCO annotation, run-length encoded."""
    code = rle.encode(np.asfortranarray(region.view(np.uint8)))
    return {
        "segmentation": {"size": list(region.shape), "counts": code["counts"].decode("ascii")},
        "area": area,
        "bbox": rle.toBbox(code).tolist(),
        "iscrowd": 0,
    }


def _places(lungs: Lungs) -> tuple[tuple[slice, slice], UInt8[np.ndarray, "rows columns"]]:
    """Returns the lungs' box and its zones: 0, 1, 2 for the upper, middle, lower third, plus 3 in the periphery."""
    column, row, width, height = cv2.boundingRect(lungs.labels)
    box = slice(row, row + height), slice(column, column + width)
    lungs = Lungs(lungs.labels[box])
    upper, middle, peripheral = (lungs.zone(zone).view(np.uint8) for zone in ("upper", "middle", "peripheral"))
    return box, np.asarray(2 - 2 * upper - middle + 3 * peripheral, np.uint8)


def _shares(places: UInt8[np.ndarray, " pixels"]) -> dict[str, float]:
    """Returns the share of a region in each zone."""
    counts = np.bincount(places, minlength=6).reshape(2, 3) / max(1, places.size)
    return {zone: round(float(share), 4) for zone, share in zip(ZONES, [*counts.sum(0), *counts.sum(1)], strict=True)}


DESCRIPTIONS = {"finding": "synthetic lung anomalies by artasyn", "structure": "chest anatomy by artasyn"}
"""Descriptions of the COCO file, by the kind of its annotations."""


def write_coco(
    path: Path,
    names: Sequence[str],
    images: Iterable[dict[str, Any]],
    described: Iterable[list[Annotation]],
    *,
    of: Literal["finding", "structure"] = "finding",
) -> None:
    """Writes a collection's annotations as one COCO file, line by line, so large collections need little memory.

    Args:
        path: the file, written whole or not at all.
        names: the categories, numbered from 1.
        images: each image's ``file_name``, ``width``, ``height`` and any further fields; numbered from 1.
        described: the annotations of each image, from `annotated` or `outlined`.
        of: the kind of the annotations, which is also the key of their category's name. The categories carry the codes
            of `artasyn.codes`, such as ``"radlex": "RID28493"``.
    """
    numbers = {name: number for number, name in enumerate(names, 1)}
    above = {"finding": "lung", "structure": "anatomy"}[of]
    categories = [
        {"id": number, "name": name, "supercategory": above, **coded(of, name).codes}
        for name, number in numbers.items()
    ]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"info": {json.dumps({"description": DESCRIPTIONS[of]})},\n')
        file.write(f'"categories": {json.dumps(categories)},\n"images": [')
        for image_id, image in enumerate(images, 1):
            file.write(f"{',' * (image_id > 1)}\n{json.dumps({'id': image_id} | image)}")
        file.write('],\n"annotations": [')
        count = 0
        for image_id, regions in enumerate(described, 1):
            for region in regions:
                count += 1
                about = {"id": count, "image_id": image_id, "category_id": numbers[region[of]]}
                file.write(f"{',' * (count > 1)}\n{json.dumps(about | region)}")
        file.write("]}\n")
