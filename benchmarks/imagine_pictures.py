"""Draws films from prompts, beside the outlines of their masks: ``python -m benchmarks.imagine_pictures``.

The program draws usual prompts on phantoms and writes docs/imagine.png. With ``--real SHEET.png`` it draws 24 films
from prompts on real normals beside 24 real films with boxes around disease, for visual inspection. Sheets of real
radiographs stay out of the repository.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np

from artasyn import Phantom
from artasyn.arrays import Image, Mask, Picture, generator
from artasyn.bulk.sources import find_sources
from artasyn.errors import SynthesisError
from artasyn.files.radiograph import read_radiograph
from artasyn.pictures.overlays import contact_sheet, write_picture
from artasyn.segment.anatomy.segmenters import AnatomyReader, visible_lungs
from artasyn.synthesis.diffusion import FilmGenerator, MaskSampler, Prompt
from artasyn.synthesis.diffusion.imagined import COMMON
from artasyn.synthesis.places import Found
from benchmarks.synthesis_pictures import TILE, pair

ROOT = Path(__file__).parent.parent
PROMPTS = (
    "moderate left pleural effusion",
    "severe consolidation in the right upper zone",
    "two 20 mm nodules in the left lung",
    "moderate mass in the right middle zone",
    "patchy bilateral ground glass opacity, peripheral",
    "bilateral perihilar opacity, small bilateral pleural effusions",
)
SHOWN = 24
"""Films from prompts, and real films, on the sheet of real radiographs."""


def imagined(image: Image, found: Found, sentence: str, seed: int) -> tuple[Image, Mask]:
    """A film from a prompt with its mask; the film alone where it cannot show the prompt."""
    try:
        film = FilmGenerator()(image, MaskSampler()(Prompt.parse(sentence), found, generator(seed)))
    except SynthesisError:
        return image, np.zeros(image.shape, bool)
    return film.image, film.mask


def on_phantoms(size: int) -> Picture:
    """Prompts on phantoms, each beside the outline of its mask."""
    tiles, captions = [], []
    for seed, sentence in enumerate(PROMPTS, start=3):
        chest = Phantom(size=size)(seed)
        tiles += pair(*imagined(chest.image, chest.lungs, sentence, seed), chest.lungs)
        captions += [sentence, "its mask"]
    return contact_sheet(tiles, captions, columns=4, tile=TILE)


def on_films(data: Path, seed: int) -> Picture:
    """Films from prompts and real diseased films in turn."""
    reader, rng = AnatomyReader(), generator(seed)
    normals = find_sources([data / "nih_normal"])
    with (data / "opacity_boxes" / "boxes.csv").open(encoding="utf-8") as file:
        boxes = {row["file"]: row for row in csv.DictReader(file)}
    tiles, captions = [], []
    chosen = rng.permutation(len(normals))
    for number, name in enumerate(rng.permutation(list(boxes))[:SHOWN]):
        image = read_radiograph(normals[chosen[number]].path)
        found, sentence = reader(image), COMMON[number % len(COMMON)]
        tiles.append(pair(*imagined(image, found, sentence, seed + number), visible_lungs(found))[0])
        real = read_radiograph(data / "opacity_boxes" / "images" / name)
        tiles.append(pair(real, np.zeros(real.shape, bool), visible_lungs(reader(real)))[0])
        captions += [sentence, f"real: {boxes[name]['label']}"]
    return contact_sheet(tiles, captions, columns=8, tile=TILE)


def main() -> None:
    """Draws the sheet."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--real", type=Path, help="draw on real radiographs, and write this sheet")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    out = given.real or ROOT / "docs" / "imagine.png"
    write_picture(out, on_films(given.data, given.seed) if given.real else on_phantoms(512))
    print(out)


if __name__ == "__main__":
    main()
