"""Everything about a film, a twin or a projected CT as one ZIP in standard formats."""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.app.reading import Models, Reading
from artasyn.app.scans import Projected, Scan
from artasyn.app.twin import Twin
from artasyn.files.atomic import write_text
from artasyn.files.radiograph import needed_bits, write_image, write_labels, write_mask
from artasyn.outputs.coco import outlined, write_coco
from artasyn.outputs.masks import MaskFiles
from artasyn.outputs.measured import measures_text, write_measures
from artasyn.segment.structures import find_members
from artasyn.version import __version__

DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every file in a ZIP, so that the same results give the same bytes."""


def film_zip(reading: Reading, models: Models, folder: Path) -> Path:
    """Writes all results of a film as one ZIP.

    The ZIP holds image.png, heatmap.png (16 bits, 65535 for 1), marked.png, lungs.png, masks/STRUCTURE.png (0 and 255),
    annotations.json (COCO), measures.json, measures.csv and record.json (score, thresholds, warnings and versions).

    Args:
        reading: of the film.
        models: that read it.
        folder: to write to.

    Returns:
        The ZIP.
    """

    def write(out: Path) -> None:
        found, anatomy = reading.detection, reading.anatomy
        write_image(out / "image.png", reading.image, bits=needed_bits(reading.image))
        write_image(out / "heatmap.png", found.heatmap, bits=16)
        write_mask(out / "marked.png", found.mask)
        write_labels(out / "lungs.png", anatomy.lungs().labels)
        masks = MaskFiles(out, anatomy.names, frozenset({"png", "coco"}))
        row = masks.write("film", anatomy.grid, anatomy.angle, anatomy.mask, anatomy.sure)
        row |= {"height": reading.image.shape[0], "width": reading.image.shape[1]}
        masks.collect([(Path("image.png"), row)])
        shutil.rmtree(out / "annotations")
        _lift(out / "masks" / "film")
        write_text(out / "measures.json", measures_text(reading.measures, anatomy))
        write_measures(out / "measures.csv", [({"name": reading.name}, out / "measures.json")], ("name",))
        write_text(out / "record.json", _record_text(reading, models))

    return _zipped(write, folder, reading.name)


def twin_zip(twin: Twin, folder: Path) -> Path:
    """Writes a twin with its masks and its record as one ZIP.

    The ZIP holds image.png, original.png, mask.png (exactly the pixels that changed), findings/N_FINDING.png,
    record.json (remakes the twin), annotations.json (COCO), heatmap.png of the twin (16 bits), and for a prompt
    verdict.json.

    Args:
        twin: the twin.
        folder: to write to.

    Returns:
        The ZIP.
    """

    def write(out: Path) -> None:
        bits = needed_bits(twin.original.image)
        write_image(out / "image.png", twin.image, bits=bits)
        write_image(out / "original.png", twin.original.image, bits=bits)
        write_image(out / "heatmap.png", twin.detection.heatmap, bits=16)
        write_mask(out / "mask.png", twin.mask)
        for number, (name, mask) in enumerate(twin.findings, 1):
            write_mask(out / "findings" / f"{number}_{name}.png", mask)
        described = [{**each, "finding": name} for name, mask in twin.findings for each in outlined({name: mask})]
        write_coco(out / "annotations.json", _names(twin), [_about(twin.image)], [described])
        write_text(out / "record.json", twin.record)
        if twin.verdict is not None:
            write_text(out / "verdict.json", twin.verdict_text)

    return _zipped(write, folder, f"{twin.original.name}_twin")


def scan_zip(scan: Scan, films: list[Projected], folder: Path) -> Path:
    """Writes the films of a CT as one ZIP.

    The ZIP holds for each view VIEW/image.png, VIEW/masks/STRUCTURE.png (0 and 255), VIEW/lungs.png, VIEW/record.json
    (remakes the film), VIEW/measures.json and VIEW/annotations.json (COCO).

    Args:
        scan: the CT.
        films: its films.
        folder: to write to.

    Returns:
        The ZIP.
    """

    def write(out: Path) -> None:
        for each in films:
            film, place = each.film, out / _safe(each.view)
            write_image(place / "image.png", film.image, bits=16)
            write_text(place / "record.json", film.record.to_json())
            write_text(place / "measures.json", json.dumps(each.measures.to_dict(), indent=1) + "\n")
            footprints = dict(zip(film.projection.names, film.masks(), strict=True))
            for name, mask in footprints.items():
                write_mask(place / "masks" / f"{_safe(name)}.png", mask)
            described = outlined(footprints)
            names = list(footprints)
            write_coco(place / "annotations.json", names, [_about(film.image)], [described], of="structure")
            if find_members("lungs", film.projection.names):
                labels = film.projection.lungs().labels * film.field
                write_labels(place / "lungs.png", labels.astype(np.uint8))
        write_text(out / "notes.txt", "".join(f"{doubt}\n" for doubt in (scan.name, *scan.doubts)))

    return _zipped(write, folder, scan.name)


def _zipped(write: Callable[[Path], None], folder: Path, name: str) -> Path:
    """Returns a ZIP of what a function writes to a folder."""
    path = folder / f"{_safe(Path(name).stem.removesuffix('.nii') or 'film')}.zip"
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        write(Path(temporary))
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(each for each in Path(temporary).rglob("*") if each.is_file()):
                about = zipfile.ZipInfo(file.relative_to(temporary).as_posix(), DATE)
                packs = zipfile.ZIP_STORED if file.suffix == ".png" else zipfile.ZIP_DEFLATED
                archive.writestr(about, file.read_bytes(), packs)
    return path


def _record_text(reading: Reading, models: Models) -> str:
    """Returns what was found on a film, with all that is needed to find it again."""
    found, judged = reading.detection, reading.usable
    percentile = None if math.isnan(found.percentile) else round(found.percentile, 1)
    record: dict[str, Any] = {
        "name": reading.name,
        "artasyn": __version__,
        "detector": models.detector.digest,
        "anatomy_network": models.net.digest,
        "status": "ok" if judged else "unusable",
        "warnings": list(dict.fromkeys((*found.warnings, *reading.anatomy.warnings))),
        "reasons": list(reading.doubts),
        "score": found.score,
        "novelty": found.novelty,
        "percentile": percentile,
        "abnormal": found.abnormal and judged,
        "image_threshold": reading.image_threshold,
        "heatmap_threshold": reading.scale.threshold,
        "use": "research only; not a medical device",
    }
    return json.dumps(record, indent=1) + "\n"


def _about(image: np.ndarray) -> dict[str, Any]:
    return {"file_name": "image.png", "height": image.shape[0], "width": image.shape[1]}


def _names(twin: Twin) -> list[str]:
    return list(dict.fromkeys(name for name, _ in twin.findings))


def _lift(folder: Path) -> None:
    """Moves the files of a folder to the folder above, and deletes the empty one."""
    for file in folder.iterdir():
        file.rename(folder.parent / file.name)
    folder.rmdir()


def _safe(name: str) -> str:
    """Returns a name as a file's name, for any name that a user gives."""
    return re.sub(r"[^\w. +-]", "_", name).strip(". ")[:80] or "film"
