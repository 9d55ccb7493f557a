"""Films from prompts, measured: ``python -m benchmarks.score_generation``; a quarter of an hour on two cores.

- Adherence: random prompts on held-out normals of four collections, with the anatomy that the bundled network reads.
  Side, lobe, third, number, size and severity are measured back from the pixels of maps and films by other code than
  that which draws them. The same prompts with PBTSeg's lungs are counted beside.
- Severity: one shape on one film at eight severities; Spearman's correlation with what the film shows.
- Values changed outside the stated regions, and films that their records remake bit for bit.
- Filters: how many films of the usual prompts each filter rejects. --records keeps the random choices of kept and of
  rejected films, which `benchmarks.score_ladder` trains detectors on.

Writes results/generation.json and results/generation_filters.json.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy import ndimage, stats
from scipy.spatial.distance import pdist
from tqdm import tqdm

from artasyn import Detector, read_radiograph
from artasyn.arrays import Image, Mask, generator, identity
from artasyn.errors import PromptError, SynthesisError
from artasyn.files import atomic
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.segmenters import AnatomyReader, visible_lungs
from artasyn.synthesis import FINDINGS
from artasyn.synthesis.diffusion import (
    FilmGenerator,
    FilmRecord,
    ImaginedAnomaly,
    MaskSampler,
    PathologyMask,
    Prompt,
    PromptFinding,
)
from artasyn.synthesis.diffusion.filters import Filters
from artasyn.synthesis.diffusion.imagined import COMMON
from artasyn.synthesis.diffusion.plans import ROUND, grade_range, size_range
from benchmarks.development import SETS
from benchmarks.speed_stages import RESULTS, machine

ROOT = Path(__file__).parent.parent
SEED = 19
SETS_USED = ("zhanglab", "nih", "jsrt and hannover", "openist")
PARTS = ("adherence", "severity", "filters")
SEVERITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9)
SLACK = 0.2
"""Share by which a size that other code measures may leave its class: two measures of one shape differ."""


def normals(data: Path, each: int) -> list[Path]:
    """Held-out normals, evenly from each collection."""
    found = []
    for name in SETS_USED:
        healthy = [film.source.path for film in SETS[name](data).films if not film.diseased]
        found += healthy[:: max(1, len(healthy) // each)][:each]
    return found


def random_prompt(rng: np.random.Generator) -> Prompt | None:
    """A prompt of one or two findings; None if the words contradict each other."""

    def one_of(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    asked = []
    for _ in range(int(rng.integers(1, 3))):
        finding = one_of(*(name for name in FINDINGS if name != "texture_opacity"))
        values: dict[str, Any] = {"side": one_of("right", "left")}
        if not FINDINGS[finding].dependent:
            place = one_of("lobe", "zone", "", "")
            if place == "lobe":
                values["lobe"] = one_of("upper", "lower", "middle" if values["side"] == "right" else "lingula")
            elif place == "zone":
                values["zone"] = one_of("upper", "middle", "lower")
        if finding in ROUND:
            values["number"] = one_of(None, 1, 2, 3)
        if not FINDINGS[finding].hilar:
            values["size"] = one_of(None, "small", "moderate", "large")
        values["severity"] = one_of(None, "mild", "moderate", "severe")
        try:
            asked.append(PromptFinding(finding, **values))
        except PromptError:
            return None
    try:
        return Prompt(tuple(asked))
    except PromptError:
        return None


def lobe_mask(asked: PromptFinding, found: Anatomy | Lungs) -> Mask | None:
    """The lobe of a finding by the anatomy's own names; None where it does not show it."""
    if isinstance(found, Lungs) or asked.lobe in ("middle", None):
        return None
    return found.mask(f"lung_{'upper' if asked.lobe == 'lingula' else asked.lobe}_lobe_{asked.side}")


def longest(part: Mask) -> float:
    """The longest distance of two pixels of a lesion's border, and the width of a pixel."""
    border = part & ~ndimage.binary_erosion(part)
    return float(pdist(np.argwhere(border)).max(initial=0)) + 1


def checks(mask: PathologyMask, region: Mask, found: Anatomy | Lungs, lungs: Lungs, pixel: float) -> dict[str, bool]:
    """What a finding shows of what was asked for, by pixels alone."""
    asked, soft, region = mask.asked, mask.soft, region & lungs.mask
    result = {"side": bool((region & (lungs.right if asked.side == "right" else lungs.left)).sum() == region.sum())}
    lobe = lobe_mask(asked, found)
    if lobe is not None:
        result["lobe"] = bool((region & lobe).sum() >= 0.98 * region.sum())
    if asked.zone:
        third = lungs.zone(asked.zone)  # type: ignore[arg-type]
        result["zone"] = bool((region & third).sum() >= 0.98 * region.sum())
    parts, count = ndimage.label(soft >= 0.25 * soft.max(), structure=np.ones((3, 3)))
    areas = ndimage.sum_labels(np.ones_like(soft), parts, np.arange(1, count + 1))
    areas = areas[areas >= 0.1 * areas.max()]
    if asked.number:
        result["number"] = len(areas) == asked.number
    if asked.size and asked.finding in ROUND:
        low, high = size_range(asked.finding, asked.size)
        kept = [number for number in range(1, count + 1) if (parts == number).sum() in areas]
        diameter = float(np.median([longest(parts == number) for number in kept])) * pixel
        result["size"] = low * (1 - SLACK) - 2 * pixel <= diameter <= high * (1 + SLACK) + 2 * pixel
    elif asked.size and not FINDINGS[asked.finding].dependent:
        low, high = size_range(asked.finding, asked.size)
        height = np.ptp(np.flatnonzero(lungs.mask.any(axis=1))) + 1
        joined = cv2.GaussianBlur(soft, (0, 0), 0.015 * height)
        share = float((joined >= 0.2 * joined.max())[mask.region.place.region].mean())
        result["size"] = low * (1 - SLACK) <= share <= high * (1 + SLACK)
    elif asked.size:
        lung = lungs.right if asked.side == "right" else lungs.left
        rows = np.flatnonzero(lung.any(axis=1))
        filled = (region & lung).sum(axis=1) > lung.sum(axis=1) / 3
        low, high = size_range(asked.finding, asked.size)
        result["size"] = low * (1 - SLACK) <= filled[rows].mean() <= high * (1 + SLACK)
    if asked.severity:
        low, high = grade_range(asked.finding, asked.severity)
        shown = float(np.quantile(soft[soft > 0.01], 0.98))
        result["severity"] = low * 0.97 <= shown <= high * 1.03
    return result


def adherence(films: list[Path], count: int, reader: Any, title: str) -> dict[str, Any]:
    """Random prompts on films: what is found again, what changes outside, and what records remake."""
    found: Counter[str] = Counter()
    right: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    outside = remade = made = 0
    for number in tqdm(range(count), desc=title, unit="prompt"):
        rng = generator(SEED, number)
        prompt = random_prompt(rng)
        if prompt is None:
            continue
        image = read_radiograph(films[number % len(films)])
        anatomy = reader(image)
        if not visible_lungs(anatomy).found:
            continue
        segmenter = reader if isinstance(reader, PBTSeg) else None
        try:
            record, film = FilmRecord.draw(image, anatomy, prompt, seed=SEED, copy=1, segmenter=segmenter)
        except SynthesisError as error:
            refused["no such part" if "no such part" in str(error) else "not shown in any draw"] += 1
            continue
        made += 1
        allowed = np.logical_or.reduce([mask.region.stated for mask in film.masks.masks])
        outside += int(((film.image != image) & ~allowed).sum())
        remade += bool((FilmRecord.from_json(record.to_json()).remake(image).image == film.image).all())
        lungs = film.masks.place.lungs
        for mask, region in zip(film.masks.masks, film.regions, strict=True):
            for name, good in checks(mask, region, anatomy, lungs, film.masks.millimetres).items():
                found[name] += 1
                right[name] += good
    shares = {name: {"share": round(right[name] / found[name], 4), "of": found[name]} for name in sorted(found)}
    return {"films": made, "refused": dict(refused), "changed_outside": outside, "remade": remade, "found": shares}


def severities(films: list[Path], reader: AnatomyReader) -> dict[str, Any]:
    """Spearman's correlation of the severity and what films show of it, one shape at a time."""
    each: list[float] = []
    asked: list[float] = []
    shown: list[float] = []
    for number, path in enumerate(tqdm(films, desc="severity", unit="film")):
        image = read_radiograph(path)
        prompt = Prompt.parse(COMMON[number % len(COMMON)])
        try:
            masks = MaskSampler()(prompt, reader(image), generator(SEED, number))
        except SynthesisError:
            continue
        mask = masks.masks[0]
        found = []
        for severity in SEVERITIES:
            one = mask.at(severity, millimetres=masks.millimetres)
            film = FilmGenerator()(image, _alone(masks, one))
            found.append(float(np.quantile(film.attenuation[film.mask], 0.9)))
        each.append(float(stats.spearmanr(SEVERITIES, found).statistic))
        scale = found[-1]
        asked += SEVERITIES
        shown += [value / scale for value in found]
    pooled = float(stats.spearmanr(asked, shown).statistic)
    return {"films": len(each), "least": round(min(each), 4), "pooled": round(pooled, 4)}


def _alone(masks: Any, one: PathologyMask) -> Any:
    return replace(masks, prompt=Prompt((one.asked,)), masks=(one,))


def rejections(films: list[Path], count: int, reader: AnatomyReader, records: Path | None) -> dict[str, Any]:
    """How many films of the usual prompts each filter rejects."""
    detector = Detector.from_pretrained()
    filters = Filters(detector, reader)
    rejected: Counter[str] = Counter()
    sorted_records: dict[str, list[str]] = {"kept": [], "rejected": []}
    scores: dict[str, list[float]] = {"kept": [], "rejected": []}
    for number in tqdm(range(count), desc="filters", unit="film"):
        image = read_radiograph(films[number % len(films)])
        anatomy = reader(image)
        prompt = Prompt.parse(COMMON[int(generator(SEED, number, 7).integers(len(COMMON)))])
        film = _film(image, anatomy, prompt, number)
        if film is None:
            continue
        verdict = filters(image, film, before=anatomy)
        kind = "kept" if verdict.ok else "rejected"
        sorted_records[kind].append(film.record.to_json())
        scores[kind].append(verdict.scores.get("detected", float("nan")))
        rejected.update(name for name in verdict.scores if any(f"({name} " in reason for reason in verdict.reasons))
    if records:
        atomic.write_text(records, json.dumps(sorted_records))
    return {
        "films": sum(map(len, sorted_records.values())),
        "kept": len(sorted_records["kept"]),
        "rejected_by": dict(rejected.most_common()),
        "detected": {kind: round(float(np.nanmean(values)), 4) for kind, values in scores.items()},
    }


def _film(image: Image, anatomy: Anatomy, prompt: Prompt, number: int) -> ImaginedAnomaly | None:
    try:
        masks = MaskSampler()(prompt, anatomy, generator(SEED, identity(image), number))
        return FilmGenerator()(image, masks)
    except SynthesisError:
        return None


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--prompts", type=int, default=600, help="random prompts")
    options.add_argument("--films", type=int, default=600, help="films that the filters judge")
    options.add_argument("--records", type=Path, help="file for the random choices of kept and rejected films")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure anew")
    options.add_argument("--out", type=Path, default=RESULTS / "generation.json")
    given = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    films, reader = normals(given.data, 40), AnatomyReader()
    about = {"machine": machine(), "seed": SEED, "normals": len(films)}
    if "filters" in given.parts:
        judged = about | {"filters": rejections(films, given.films, reader, given.records)}
        write(given.out.with_name(f"{given.out.stem}_filters.json"), judged)
    held = json.loads(given.out.read_text()) if given.out.is_file() else {}
    if "severity" in given.parts:
        held["severity"] = severities(films[::2], reader)
    if "adherence" in given.parts:
        held["adherence"] = {
            "anatomy network": adherence(films, given.prompts, reader, "anatomy"),
            "PBTSeg": adherence(films, given.prompts // 2, PBTSeg(), "PBTSeg"),
        }
    write(given.out, held | about)


def write(out: Path, result: dict[str, Any]) -> None:
    """Writes a result and prints its path."""
    atomic.write_text(out, json.dumps(result, indent=1) + "\n")
    print(out)


if __name__ == "__main__":
    main()
