"""Reader of COCO annotations in the dialects of labelling programs; whatever may mean several things is refused."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.files.texts import read_text
from artasyn.limits import limits, too_large
from artasyn.records import parse_json
from artasyn.testsets.names import listed_films
from artasyn.testsets.tables import NOT_ON_DISK
from artasyn.testsets.testset import TestFilm, listed
from artasyn.testsets.truth import CocoRegions, checked_polygons

WANTED = (
    "wanted are images with id, file_name, height, width, each once, and annotations with image_id, bbox and, for "
    "pixel figures, segmentation"
)
"""What a COCO file must hold."""

NO_LESION = ("normal", "healthy", "no finding", "no findings", "background")
"""Names of categories, with blanks between the words, that name no lesion."""


@dataclass(frozen=True)
class _Image:
    """An image of a COCO file: its name, and rows and columns of the grid of its annotations."""

    name: str
    shape: tuple[int, int]


def annotated(
    films: Sequence[Source], place: Path, path: Path, left_out: dict[str, list[str]], failed: list[tuple[Source, str]]
) -> list[TestFilm]:
    """Reads films with the annotations of a COCO file: boxes, and regions if the file has any.

    An image without annotations is healthy. An annotation without bbox gets the box around its segmentation. Ids may
    be numbers or text. Names of images are matched by `artasyn.testsets.names.listed_films`.

    Args:
        films: below `place`.
        place: the folder of the films.
        path: the COCO file.
        left_out: takes the names of films that are not listed, and of images that are not on disk.
        failed: takes the films whose annotations are damaged, with the reasons.

    Raises:
        DataError: the file is no COCO file, an id or a film is there twice, an annotation belongs to no image, or a
            name fits several films.
    """
    coco = _read(path)
    try:
        images, drawn = _images(coco["images"]), _by_image(coco["annotations"])
        _check_categories(coco, drawn)
        unknown = [image for image in drawn if image not in images]
        if unknown:
            raise DataError(f"annotations of images that it does not list: {listed(unknown)}")
    except DataError as error:
        raise DataError(f"{path} is no COCO file that can be used ({error}); {WANTED}") from error
    named = listed_films([image.name for image in images.values()], films, [place], path)
    _check_once(images, named, path)
    made = []
    for key, image in images.items():
        if image.name in named:
            film = named[image.name]
            try:
                made.append(dataclasses.replace(_film(film, image, drawn.get(key, [])), origin=path))
            except DataError as error:
                failed.append((film, f"{path}: {error}"))
    there = {film.name for film in named.values()}
    left_out[NOT_ON_DISK] = [image.name for image in images.values() if image.name not in named]
    left_out[f"not in {path.name}"] = [film.name for film in films if film.name not in there]
    if not named:
        raise DataError(
            f"{path}: none of its {len(images)} images is a film in {place}; {NOT_ON_DISK}: "
            f"{listed(left_out[NOT_ON_DISK])}, on disk but not listed: {listed([film.name for film in films])}"
        )
    return made


def _read(path: Path) -> dict[str, Any]:
    """Reads the object of a COCO file with its two lists."""
    try:
        coco = parse_json(read_text(path))
    except ValueError as error:
        raise DataError(f"{path} is no COCO file ({error}); {WANTED}") from error
    if not isinstance(coco, dict):
        raise DataError(f"{path} is no COCO file (it holds a {type(coco).__name__}); {WANTED}")
    for name in ("images", "annotations"):
        if not isinstance(coco.get(name), list) or not all(isinstance(each, dict) for each in coco[name]):
            raise DataError(f"{path} is no COCO file (there is no list of {name}); {WANTED}")
    return coco


def _images(given: Sequence[Mapping[str, Any]]) -> dict[str, _Image]:
    """Returns the images by id."""
    found: dict[str, _Image] = {}
    for each in given:
        name = each.get("file_name") or each.get("coco_url")
        key, rows, columns = _id(each.get("id")), _whole(each.get("height")), _whole(each.get("width"))
        if not isinstance(name, str) or not key:
            raise DataError(f"an image without id or file_name: {_brief(each)}")
        if key in found:
            raise DataError(f"the id {key} is there twice: {found[key].name} and {name}")
        if rows < 1 or columns < 1:
            raise DataError(f"{name} has no height and width, so the grid of its annotations is not known")
        if rows * columns > limits().pixels:
            raise DataError(f"{name} {too_large('pixels', rows * columns, 'pixels')}")
        found[key] = _Image(name, (rows, columns))
    return found


def _by_image(given: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
    """Returns the annotations, each with a name for messages, by the id of their image."""
    found = defaultdict[str, list[tuple[str, Mapping[str, Any]]]](list)
    for number, each in enumerate(given):
        key = _id(each.get("image_id"))
        if not key:
            raise DataError(f"an annotation without image_id: {_brief(each)}")
        name = _id(each.get("id"))
        found[key].append((f"annotation {name}" if name else f"annotation number {number + 1}", each))
    return dict(found)


def _check_categories(coco: Mapping[str, Any], drawn: Mapping[str, list[tuple[str, Mapping[str, Any]]]]) -> None:
    """Refuses annotations of categories that name no lesion: whether their films are healthy is not known."""
    kinds = coco.get("categories")
    names = {
        _id(kind.get("id")): str(kind.get("name"))
        for kind in (kinds if isinstance(kinds, list) else ())
        if isinstance(kind, dict)
    }
    none = {key for key, name in names.items() if " ".join(name.casefold().replace("_", " ").split()) in NO_LESION}
    wrong = [
        f"{name}: {names[_id(each.get('category_id'))]}"
        for mine in drawn.values()
        for name, each in mine
        if _id(each.get("category_id")) in none
    ]
    if wrong:
        raise DataError(f"annotations of a category that is no lesion ({listed(wrong)}); an image without is healthy")


def _check_once(images: Mapping[str, _Image], named: Mapping[str, Source], path: Path) -> None:
    """Refuses two images that are the same film."""
    owners = defaultdict[str, list[str]](list)
    for key, image in images.items():
        if image.name in named:
            owners[named[image.name].name].append(f"id {key}: {image.name}")
    for film, keys in owners.items():
        if len(keys) > 1:
            raise DataError(f"{path}: several images are the same film, {film} ({listed(keys)}); keep one of them")


def _film(film: Source, image: _Image, drawn: Sequence[tuple[str, Mapping[str, Any]]]) -> TestFilm:
    """Returns a film with the boxes and regions of its annotations."""
    regions = [each["segmentation"] if _is_region(each.get("segmentation")) else None for _, each in drawn]
    without = [name for (name, _), region in zip(drawn, regions, strict=True) if region is None]
    if without and len(without) < len(drawn):
        raise DataError(
            f"no segmentation of {listed(without)}, unlike others of {image.name}: the mask would lack them"
        )
    boxes = tuple(_box(*each, region, image.shape) for each, region in zip(drawn, regions, strict=True))
    whole = drawn and not without
    truth = CocoRegions(tuple(regions), image.shape, tuple(name for name, _ in drawn)) if whole else None
    return TestFilm(film, bool(drawn), truth, boxes, image.shape)


def _is_region(segmentation: Any) -> bool:
    """Returns whether an annotation has a segmentation; programs write an empty list where there is none."""
    return bool(segmentation) and segmentation != [[]]


def _box(name: str, annotation: Mapping[str, Any], region: Any, shape: tuple[int, int]) -> Box:
    """Returns the box of an annotation, or else the box around its region.

    Raises:
        DataError: there is neither, or the box is damaged.
    """
    given = annotation.get("bbox")
    if given is None or given == []:
        if region is None:
            raise DataError(f"{name} has neither bbox nor segmentation")
        return _around(name, region, shape)
    try:
        left, top, width, height = map(float, given)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name} has the bbox {_brief(given)}; wanted are column, row, width, height") from error
    if not (width > 0 and height > 0 and all(map(math.isfinite, (left, top, width, height)))):
        raise DataError(f"{name} has the bbox {_brief(given)}; wanted are a width and a height above 0")
    return top, left, height, width


def _around(name: str, region: Any, shape: tuple[int, int]) -> Box:
    """Returns the box around a region."""
    if isinstance(region, Mapping):
        rows, columns = CocoRegions((region,), shape, (name,)).whole.nonzero()
        if not rows.size:
            raise DataError(f"{name} has no bbox and an empty segmentation")
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    else:
        try:
            corners = np.concatenate(checked_polygons(region, shape))
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return float(top), float(left), float(bottom - top), float(right - left)


def _id(value: Any) -> str:
    """Returns an id as text, the same for 7, 7.0 and "7"; empty if it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, str) or type(value) is int else ""


def _whole(value: Any) -> int:
    """Returns a whole number that may be written as text; 0 if it is none."""
    text = _id(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _brief(value: Any) -> str:
    return str(value)[:80]
