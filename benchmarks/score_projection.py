"""Accuracy of projections of CTs: ``python -m benchmarks.score_projection``.

1. Solids with known chords in a grid of anisotropic voxels, parallel and cone beam, at seven angles.
2. A real CT compared with two independent projectors, plastimatch (exact) and DiffDRR (trilinear), if they are
   installed: line integrals and images where the scan covers the rays, with the table left in.
3. The mask of the CT's nodule against a projection with 16 times as many pixels.
4. Figures of the lung and trachea masks, the cardiothoracic ratio and the Cobb angle of the CT.
5. The verdict of quality control on the CT, and on copies of the CT that were broken on purpose.

``--parts`` measures some parts again and keeps the others as they are. Nothing is drawn at random, so there is no seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from artasyn.evaluation.overlap import dice
from artasyn.phantom.faults import mirrored, shifted, sliced, without
from artasyn.phantom.solids import SHAPE, SPACING, VIEWS, as_beam, errors, solid_volume
from artasyn.segment.ct.volume import Volume
from artasyn.segment.measures.measures import measure
from artasyn.segment.projection.projection import THRESHOLD, Projection, project, rays_of
from artasyn.segment.projection.quality import check_volume
from artasyn.segment.projection.tone import BODY
from artasyn.segment.projection.view import View
from artasyn.segment.structures import find_members
from benchmarks.rivals.drr_peers import DiffDRR, Geometry, Plastimatch, attenuation

ROOT = Path(__file__).parent.parent
ANGLES = {"pa": 0.0, "45": 45.0, "lateral": 90.0}
PARTS = ("phantom", "peers", "nodule", "masks", "measures", "quality")
PEER_SIZE, MASK_SIZE, FINER = 256, 512, 4
SAMPLES = 1000
"""Steps of DiffDRR along a ray."""

Peer = Callable[[Geometry, tuple[int, int]], npt.NDArray[np.float32]]


def phantom_scores() -> dict[str, Any]:
    """The errors of projected solids, see `artasyn.phantom.solids.Errors`."""
    volume = solid_volume()
    views: list[dict[str, Any]] = []
    for beam in ("parallel", "cone"):
        for view in tqdm(VIEWS, desc=f"solids, {beam}", unit="view"):
            found = {
                name: _finite(value) for name, value in dataclasses.asdict(errors(volume, as_beam(view, beam))).items()
            }
            views.append({"beam": beam, "angle": view.angle, "tilt": view.tilt, "roll": view.roll, **found})
    worst = {
        name: max(each[name] for each in views if each[name] is not None)
        for name in ("beyond", "diagonal", "total", "worst_total", "interior", "integral")
    }
    return {"voxels": list(SHAPE), "spacing": list(SPACING), "views": views, "worst": worst, **_equivalences(volume)}


def _equivalences(volume: Volume) -> dict[str, float]:
    """Largest differences of thickness, mm, between pairs of calls that must give the same thickness."""
    parallel, far, turned = 0.0, 0.0, 0.0
    for view in VIEWS:
        near, away = (
            project(
                volume, dataclasses.replace(view, size=(120, 136), pixel=1.2, source_to_detector=distance)
            ).thickness
            for distance in (None, 1e7)
        )
        far = max(far, float(np.abs(near - away).max()))
        parallel = max(parallel, float(near.max()))
        turn = np.eye(4)
        angle = math.radians(17)
        turn[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        other = dataclasses.replace(view, angle=view.angle + 17, mirror=view.mirrored, size=(120, 136), pixel=1.2)
        here = project(volume, dataclasses.replace(view, size=(120, 136), pixel=1.2)).thickness
        there = project(dataclasses.replace(volume, affine=turn @ volume.affine), other).thickness
        turned = max(turned, float(np.abs(here - there).max()))
    return {
        "largest_mm": round(parallel, 2),
        "cone_from_10_km_mm": round(far, 4),
        "volume_turned_as_view_mm": round(turned, 4),
    }


def peer_scores(ct: Path) -> dict[str, Any]:
    """Agreement with independent projectors on the same rays.

    Args:
        ct: folder of the CT.
    """
    volume = Volume.read(ct / "lidc_0001.nii.gz", table=True)
    voxels, affine = attenuation(volume.hu.transpose(2, 1, 0)), volume.affine[:, [2, 1, 0, 3]]
    makers: dict[str, Callable[[], Peer]] = {
        "plastimatch": lambda: Plastimatch(voxels, affine),
        "diffdrr": lambda: DiffDRR(voxels, affine, samples=SAMPLES),
    }
    size = (PEER_SIZE, PEER_SIZE)
    films = {name: project(volume, View(angle, size=size)) for name, angle in ANGLES.items()}
    result: dict[str, Any] = {"size": PEER_SIZE, "diffdrr_samples": SAMPLES}
    for peer, make in makers.items():
        try:
            render = make()
        except ImportError as missing:
            print(f"{peer} is left out: {missing}")
            result[peer] = {"missing": str(missing)}
            continue
        result[peer] = {"version": _version(peer)}
        for name, film in tqdm(films.items(), desc=peer, unit="view"):
            exposure = rays_of(volume, film.view).exposure
            other = render(Geometry(exposure.source, exposure.corner, exposure.row, exposure.column), size)
            result[peer][name] = agreement(film, other)
    return result


def agreement(film: Projection, other: npt.NDArray[np.float32]) -> dict[str, float]:
    """Agreement of two sets of line integrals, and of their images by one tone curve, where rays are covered.

    Args:
        film: the projection of artasyn.
        other: line integrals of the same rays.
    """
    inside = film.covered
    patient = inside & (film.attenuation > BODY)
    ours, theirs = film.attenuation[inside].astype(np.float64), other[inside].astype(np.float64)
    images = film.image[inside], film.tone(other)[inside]
    apart, greys = np.abs(ours - theirs), np.abs(images[0] - images[1])
    return {
        "pixels": int(inside.sum()),
        "correlation": round(float(np.corrcoef(ours, theirs)[0, 1]), 6),
        "correlation_in_patient": round(float(np.corrcoef(film.attenuation[patient], other[patient])[0, 1]), 6),
        "image_correlation": round(float(np.corrcoef(*images)[0, 1]), 6),
        "mean_difference": round(float(apart.mean()), 5),
        "p99_difference": round(float(np.quantile(apart, 0.99)), 5),
        "max_difference": round(float(apart.max()), 5),
        "bias": round(float((ours - theirs).mean()), 5),
        "mean": round(float(theirs.mean()), 4),
        "image_mean_difference": round(float(greys.mean()), 5),
        "image_max_difference": round(float(greys.max()), 5),
    }


def nodule_scores(volume: Volume) -> dict[str, Any]:
    """Dice of the nodule's mask with the mask from a projection on a finer grid, averaged to the same pixels.

    Args:
        volume: the CT with a structure ``nodule``.
    """
    result: dict[str, Any] = {"size": MASK_SIZE, "finer": FINER, "threshold": THRESHOLD}
    for name, angle in tqdm(ANGLES.items(), desc="nodule", unit="view"):
        coarse, fine = (_depth(volume, View(angle, size=(side, side))) for side in (MASK_SIZE, FINER * MASK_SIZE))
        found, truth = coarse > THRESHOLD, _averaged(fine) > THRESHOLD
        result[name] = {"pixels": int(truth.sum()), "dice": round(dice(found, truth), 4)}
    return result


def _depth(volume: Volume, view: View) -> npt.NDArray[np.float32]:
    """The nodule's thickness alone."""
    rays, nodule = rays_of(volume, view), volume.structures["nodule"]
    depth = np.zeros(rays.exposure.size, np.float32)
    part, there = rays.through(nodule.mask, nodule.start)
    depth[part] = there
    return depth


def _averaged(fine: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The means of blocks of `FINER` by `FINER` pixels."""
    rows, columns = (side // FINER for side in fine.shape)
    return np.asarray(fine.reshape(rows, FINER, columns, FINER).mean(axis=(1, 3)))


def mask_scores(volume: Volume) -> dict[str, float]:
    """Figures of the masks of a PA view, parallel, at the CT's own grid.

    Args:
        volume: the CT with its structures.
    """
    wanted = ["lungs", "trachea", "heart", "liver", "spleen", "stomach"]
    film = project(volume, View(source_to_detector=None, size=None), structures=wanted)
    native = volume.mask("lungs").sum(axis=1) * volume.spacing[1]
    visible, projected = film.lungs("visible").mask, film.lungs("projected").mask
    thickness = [
        float(film.depth(name).sum(dtype=np.float64))
        * film.spacing**2
        / (volume.mask(name).sum() * volume.voxel_volume)
        for name in wanted
    ]
    return {
        "lungs_max_mm": round(float(film.depth("lungs").max()), 1),
        "lungs_max_mm_in_labels": round(float(native.max()), 1),
        "trachea_max_mm": round(float(film.depth("trachea").max()), 1),
        "lungs_kept_in_labels": round(float((native > THRESHOLD).sum() / (native > 0).sum()), 4),
        "lungs_area_cm2": round(float(projected.sum()) * film.spacing**2 / 100, 1),
        "lungs_area_cm2_in_labels": round(
            float((native > THRESHOLD).sum()) * volume.spacing[0] * volume.spacing[2] / 100, 1
        ),
        "visible_share": round(float(visible.sum() / projected.sum()), 4),
        "worst_volume_error": round(max(abs(ratio - 1) for ratio in thickness), 5),
    }


def _finite(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def measure_scores(volume: Volume) -> dict[str, Any]:
    """Cardiothoracic ratio, Cobb angle and lung areas of frontal views, parallel and cone beam."""
    views = {"parallel": View(source_to_detector=None, pixel=0.7, size=None), "pa": View(size=(MASK_SIZE,) * 2)}
    scores = {}
    for name, view in views.items():
        found = measure(project(volume, view))
        ratio, cobb, areas = found.cardiothoracic_ratio, found.cobb_angle, found.lung_areas
        if ratio is None or cobb is None or areas is None or areas.total is None:
            raise RuntimeError(f"{name}: not measured: {found.reasons}")
        scores[name] = {
            "cardiothoracic_ratio": round(ratio.value, 4),
            "cobb_degrees": round(cobb.angle, 2),
            "from_to": [cobb.upper.name, cobb.lower.name],
            "lungs_cm2": round(areas.total, 1),
        }
    return scores


def quality_scores(volume: Volume, left_in: Volume) -> dict[str, Any]:
    """The verdict of quality control on a CT, and on copies of the CT that are broken in several ways.

    Args:
        volume: the CT with labels, without the table.
        left_in: the same CT with the table.
    """
    ribs = find_members("ribs", volume.structures)
    slices = np.arange(volume.hu.shape[0])
    lungs = find_members("lungs", volume.structures)
    first = min(volume.structures[name].start[0] for name in lungs)
    last = max(volume.structures[name].box[0].stop for name in lungs)
    middle = (first + last) // 2
    cases = {
        "intact": volume,
        "labels shifted 4 mm to the side": shifted(volume, (0, 0, round(4 / volume.spacing[2]))),
        "labels shifted 14 mm to the back": shifted(volume, (0, round(14 / volume.spacing[1]), 0)),
        "labels shifted 5 mm to the feet": shifted(volume, (round(5 / volume.spacing[0]), 0, 0)),
        "half the ribs gone": without(volume, *ribs[::2]),
        "cut through the upper lungs": sliced(volume, slices[first + 15 :]),
        "cut through the lower lungs": sliced(volume, slices[: last - 15]),
        "30 mm missing in the middle": sliced(volume, np.delete(slices, slice(middle, middle + 12))),
        "mirrored": mirrored(volume),
        "the table left in": left_in,
    }
    found = {}
    for name, case in tqdm(cases.items(), desc="quality", unit="volume"):
        quality = check_volume(case)
        found[name] = {"ok": quality.ok, "reasons": list(quality.reasons)}
    return found


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--ct", type=Path, default=data / "ct", help="folder of the CT lidc_0001 with its labels")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "score_projection.json")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is measured")
    given = options.parse_args()
    files = [given.ct / name for name in ("lidc_0001.nii.gz", "lidc_0001_labels.nii.gz", "structures.csv")]

    @cache
    def patient() -> Volume:
        volume = Volume.read(*files)
        return volume.labelled(given.ct / "lidc_0001_nodule.nii.gz", prefix="nodule")

    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "phantom": phantom_scores,
        "peers": lambda: peer_scores(given.ct),
        "nodule": lambda: nodule_scores(patient()),
        "masks": lambda: mask_scores(patient()),
        "measures": lambda: measure_scores(patient()),
        "quality": lambda: quality_scores(patient(), Volume.read(*files, table=True)),
    }
    machine = {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "threads": cv2.getNumThreads(),
        "packages": {name: _version(name) for name in ("artasyn", "numpy", "opencv-python-headless")},
    }
    result = {"machine": machine} if set(given.parts) == set(PARTS) else json.loads(given.out.read_text())
    result |= {part: ways[part]() for part in PARTS if part in given.parts}
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
