"""Damaged texts for `benchmarks.hostile`: test set layouts, records and recipes, settings, YAML configurations."""

from __future__ import annotations

import functools
import io
import json
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.errors import ArtasynError, DataError
from benchmarks.hostile_damage import (
    CELLS,
    RAW,
    Edit,
    Rng,
    Tree,
    choice,
    damage_bytes,
    damage_cells,
    damage_json,
    damage_text,
)

# Layouts of test sets -----------------------------------------------------------------------------------


def _tree(write: Callable[[Path], object]) -> Tree:
    """The files that a function writes into a folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "set")
        folder.mkdir()
        write(folder)
        files = {p.relative_to(place).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return Tree(files, "set")


def layouts() -> dict[str, Tree]:
    """A small intact tree of every layout; of the plain folder, one for every kind of truth."""
    from tests.testsets.builders import WRITERS, film, region, runs, text

    def images(data: Path) -> None:
        for name in ("a", "b", "c"):
            film(data / f"images/{name}.png")

    def boxes(data: Path) -> None:
        images(data)
        text(data / "boxes.csv", "file,x,y,w,h\na.png,4,8,16,20\na.png,30,30,9,9\nb.png,,,,\nc.png,1,2,3,4\n")

    def coco(data: Path) -> None:
        images(data)
        polygon = [[10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.5]]
        plain = {"size": [64, 64], "counts": [700, 40, 3356]}
        regions = (polygon, runs(region()), plain)
        listed = [{"id": n, "file_name": f"{name}.png", "height": 64, "width": 64} for n, name in enumerate("abc")]
        drawn = [
            {"id": n, "image_id": image, "bbox": [10, 10, 20, 20.5], "category_id": 1, "segmentation": regions[n]}
            for n, image in enumerate((0, 0, 1))
        ]
        content = {"images": listed, "annotations": drawn, "categories": [{"id": 1, "name": "opacity"}]}
        text(data / "annotations.json", json.dumps(content))

    own = {"boxes": boxes, "coco": coco, "polygons": coco}
    return {name: _tree(write) for name, write in (WRITERS | own).items()}


def layout_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages a list of the set, or the place of a file."""
    lists = [name for name in tree.files if name.endswith((".json", ".csv", ".txt"))]
    if not lists or rng.random() < 0.1:
        name = choice(rng, list(tree.files))
        files = {other: data for other, data in tree.files.items() if other != name}
        moved = choice(
            rng, (None, name.upper(), f"{name}.png", name.rpartition("/")[0] + "/other/" + name.rpartition("/")[2])
        )
        return Tree(files | ({moved: tree.files[name]} if moved else {}), tree.target, damage="a file lost or moved")
    name = choice(rng, lists)
    text = tree.bytes_of(name).decode()
    if rng.random() < 0.2:
        return tree.having(name, *damage_text(rng, text))
    if name.endswith(".json"):
        out, damage = damage_json(rng, text, numbers=rng.random() < 0.5)
        return tree.having(name, out.encode("utf-8", "surrogatepass"), damage)
    return tree.having(name, *damage_cells(rng, text))


def read_layout(path: Path) -> list[Any]:
    """Reads a test set, and the lesions and boxes of every film."""
    from artasyn.testsets.layouts import find

    found: list[Any] = []
    for film in find(path).films:
        lesions = film.lesions((64, 64))
        if lesions is not None and (lesions.shape != (64, 64) or lesions.dtype != np.bool_):
            raise AssertionError(f"lesions of shape {lesions.shape}, {lesions.dtype}")
        boxes = film.boxes_on((64, 64))
        if not np.isfinite(np.array(boxes, np.float64)).all():
            raise AssertionError(f"boxes {boxes}")
        found += [film.source.name, film.diseased, lesions, boxes]
    return found


# Records ------------------------------------------------------------------------------------------------


@functools.cache
def _phantom() -> Any:
    from artasyn.phantom.film import Phantom

    return Phantom(size=96)(1)


def records() -> dict[str, Tree]:
    """One intact record of every class."""
    from tests.catalogue import RECORDS

    return {
        kind.__name__: Tree({f"{kind.__name__}.json": make().to_json().encode()}, f"{kind.__name__}.json")
        for kind, make in RECORDS.items()
    }


def json_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages the values of a JSON file, rarely its lines and encoding."""
    text = tree.bytes_of(tree.target).decode()
    if rng.random() < 0.1:
        return tree.having(tree.target, *damage_text(rng, text))
    out, damage = damage_json(rng, text, numbers=rng.random() < 0.4)
    return tree.having(tree.target, out.encode("utf-8", "surrogatepass"), damage)


def read_record(path: Path) -> list[Any]:
    """Reads a record and makes its image, which must be an image."""
    from artasyn.arrays import check_image
    from artasyn.synthesis import LungOpacity, LungVolume
    from tests.catalogue import RECORDS

    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:  # the records take texts
        raise DataError(f"{path} is no UTF-8") from error
    made: Any
    kind = next(kind for kind in RECORDS if kind.__name__ == path.stem)
    record = kind.from_json(text)
    json.loads(record.to_json(), parse_constant=_no_constant)
    if path.stem == "PatientRecord":
        return []  # its CT lies in another file, which is not here
    if path.stem == "Prompt":
        if kind.parse(record.text()) != record:
            raise AssertionError(f"accepted, but its text is another prompt: {record.text()}")
        return []
    if path.stem == "OpacityRecord":
        made = LungOpacity().render(_phantom().image, _phantom().lungs, record)
    elif path.stem == "VolumeRecord":
        made = LungVolume().render(_phantom().image, _phantom().lungs, record)
    elif path.stem == "PromptRecord":
        from artasyn.synthesis.diffusion import Imagined

        made = Imagined.of("mass").render(_phantom().image, _phantom().lungs, record)
    elif path.stem in ("Recipe", "FilmRecord"):
        made = record.remake(_phantom().image)
    elif path.stem in ("ThoraxRecord", "WholeFilm"):
        from artasyn.phantom.film import Phantom

        thorax = record.thorax if path.stem == "WholeFilm" else record
        if thorax is None:
            return []  # the film of a CT, which is not here
        made = Phantom(size=96).render(thorax)
    else:
        made = _projected(record)
    try:
        check_image(made.image)
    except ArtasynError as error:
        raise AssertionError(f"accepted, but: {error}") from error
    return [made.image]


def _no_constant(name: str) -> float:
    raise AssertionError(f"accepted {name}")


def _projected(record: Any) -> Any:
    from artasyn.segment.projection.randomisation import Film
    from tests.chest import chest

    volume = chest((6.0, 5.0, 5.0), length=420.0)
    return Film.of(volume, record, structures=("heart",))


# Configurations and settings ----------------------------------------------------------------------------

CONFIGURATIONS = {
    "segment": "segmenter:\n  size: 160\nworkers: 1\n",
    "synthesise": "seed: 3\nper_image: 2\nfindings: [consolidation, nodule]\nworkers: 1\n",
    "project": "views: [pa, lateral]\npixel: 0.7\nrandomisation:\n  gamma_range: [0.6, 1.6]\nseed: 3\nworkers: 1\n",
    "train": "size: 64\nepochs: 2\nbatch_size: 2\nheld_out: 0.34\nseed: 3\nworkers: 1\n",
}


def configurations() -> dict[str, Tree]:
    """An intact YAML file of options for some commands."""
    return {name: Tree({f"{name}.yaml": text.encode()}, f"{name}.yaml") for name, text in CONFIGURATIONS.items()}


def yaml_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages values, structure and encoding of a YAML file."""
    text = tree.bytes_of(tree.target).decode()
    kind = choice(rng, ("text", "value", "value", "value", "aliases", "tag", "merge", "key"))
    if kind == "text":
        return tree.having(tree.target, *damage_text(rng, text))
    lines = text.splitlines()
    at = int(rng.integers(len(lines)))
    key = lines[at].partition(":")[0]
    if kind == "value":
        own = (
            "~",
            "yes",
            "2001-01-01",
            "0o17",
            "1_000",
            "!!binary eA==",
            "&a [*a]",
            "*nothing",
            "? x",
            "- - -",
            "{",
            "'",
            "@x",
            "%x",
        )
        lines[at] = f"{key}: {choice(rng, (*RAW, *own, *CELLS))}"
    elif kind == "aliases":
        rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]" for n in range(choice(rng, (9, 30)))]
        lines = [*rows, *lines, f"{key}: *a{len(rows) - 1}"]
    elif kind == "tag":
        lines[at] = f"{key}: !!python/object/apply:os.system ['touch ran']"
    elif kind == "merge":
        lines += ["base: &base {x: 1}", "<<: *base", "<<: [*base, *base]"]
    else:
        lines[at] = choice(
            rng, ("config: x.yaml", "nothing: 1", "1: 1", "[1]: 1", "a.b.c: 1", "__class__: 1", "help: true")
        )
    return tree.having(tree.target, "\n".join(lines).encode("utf-8", "surrogatepass"), f"YAML {kind}")


def read_configuration(path: Path) -> list[Any]:
    """Runs a command with the file as ``--config`` on an empty folder, which the command refuses last."""
    from artasyn.cli.main import main

    empty = path.parent / "no films"
    empty.mkdir()
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            status = main([path.stem, "--config", str(path), str(empty), "--out", str(path.parent / "out")])
        except SystemExit as stop:
            status = int(stop.code or 0)
    text = said.getvalue().strip()
    if "Traceback" in text or (status != 2 and status != 0):
        raise AssertionError(f"status {status}: {text[-300:]}")
    if "no films" in text:  # the options were accepted
        return [status]
    raise DataError(f"{path}: {text[-600:]}")


def settings() -> dict[str, Tree]:
    """The metadata of an ONNX file with a detector's settings."""
    from artasyn.detection.settings import DetectorSettings

    return {"metadata": Tree({"a.json": json.dumps(DetectorSettings(size=64).to_metadata()).encode()}, "a.json")}


def settings_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages one value of the metadata, which is JSON in a text."""
    values: dict[str, str] = json.loads(tree.bytes_of(tree.target))
    name = choice(rng, list(values))
    if rng.random() < 0.1:
        del values[name]
        damage = "a setting lost"
    else:
        values[name], damage = damage_json(rng, values[name])
    return tree.having(tree.target, json.dumps(values).encode(), damage)


def read_settings(path: Path) -> list[Any]:
    """Reads settings from metadata; whatever is no table of texts cannot be metadata."""
    from artasyn.detection.settings import DetectorSettings

    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        metadata = {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is no metadata") from error
    found = DetectorSettings.from_metadata(metadata)
    for name in ("threshold", "image_threshold", "smoothing", "top", "novelty_weight", "novelty_prior"):
        value = getattr(found, name)
        if type(value) not in (int, float) or not np.isfinite(value):
            raise AssertionError(f"accepted {name} {value!r}")
    return [repr(found)]


LAYOUT_EDITS: tuple[Edit, ...] = (layout_edit, layout_edit, layout_edit, damage_bytes)
RECORD_EDITS: tuple[Edit, ...] = (json_edit, json_edit, json_edit, json_edit, damage_bytes)
YAML_EDITS: tuple[Edit, ...] = (yaml_edit, yaml_edit, damage_bytes)
