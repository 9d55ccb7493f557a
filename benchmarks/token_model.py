"""Figures of the writer of masks beside the anatomy network, for the part ``model`` of `score_tokens`.

Both see the same films: projections of patients that no training has seen, and real radiographs with masks. The writer
is asked for every structure that a projection shows, in one prompt; on real radiographs for both lungs and the heart as
readers draw them. Every answer is also read from its text, and counts as well-formed if that succeeds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from artasyn.arrays import Image
from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.footprints import frontal_turn
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.structures import ANATOMY, RIBS, SIDES
from artasyn.segment.tokens import Request, TokenSegmenter, parse_answers
from artasyn.segment.tokens.answers import SEPARATOR
from artasyn.segment.tokens.crops import box_of
from artasyn.segment.tokens.settings import LATERAL, OBLIQUE, View
from artasyn.segment.tokens.words import name_of
from artasyn.segment.tokens.writers import Said, Writer
from benchmarks.projected_anatomy import Case
from benchmarks.real_anatomy import film_figures, summary

LEAST = 30
"""Least pixels of a structure on a film on which it counts."""

CAGE = tuple(f"ribs_{side}" for side in SIDES)
SETS = ("JSRT", "wingspan")
REAL = "segment visible right lung ; visible left lung ; drawn heart"
"""What the writer is asked for on real radiographs."""

KEPT = ("dice", "right", "left", "heart", "worst_5_percent")
"""Figures of real sets that the result holds."""

TIMED, CAPTIONED = 40, 12
"""Films that are timed, and frontal projections on which captions are asked for."""

Row = tuple[str, float, str, dict[str, float]]
"""A patient, a turn, a structure, and the figures of both."""


@dataclass(eq=False)
class Heard:
    """A writer that keeps what it has said last."""

    writer: Writer
    said: Sequence[Said] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Structures that it can write."""
        return self.writer.names

    @property
    def digest(self) -> str:
        """That of the writer."""
        return self.writer.digest

    def write(self, image: Image, request: Request) -> list[Said]:
        """What the writer says."""
        found = self.writer.write(image, request)
        self.said = found
        return found


class Asked:
    """Asks the writer, and counts answers and those whose text can be read.

    Args:
        segmenter: the writer.
    """

    def __init__(self, segmenter: TokenSegmenter) -> None:
        self.heard = Heard(segmenter.writer)
        self.segmenter = replace(segmenter, writer=self.heard)
        self.answers = self.formed = 0

    def __call__(self, image: Image, prompt: str) -> Anatomy:
        """The anatomy of a film."""
        self.heard.said = list[Said]()
        found = self.segmenter(image, prompt)
        texts = [said.text() for said in self.heard.said]
        self.answers += len(texts)
        with suppress(DataError):
            self.formed += len(texts) * (len(parse_answers(SEPARATOR.join(texts))) == len(texts))
        return found


def rows_of(cases: Iterable[Case], asked: Asked, net: AnatomyNet, views: list[bool]) -> Iterator[Row]:
    """Yields the figures of every structure on every projection.

    Args:
        cases: the projections.
        asked: the writer.
        net: the anatomy network.
        views: gets whether the view of each projection was told.
    """
    for case in cases:
        shown = [place for place, known in enumerate(case.known) if known and case.masks[place].sum() >= LEAST]
        shown = [place for place in shown if ANATOMY[place] in asked.segmenter.names]
        found = asked(case.image, "segment " + " ; ".join(name_of(ANATOMY[place]) for place in shown))
        theirs = net(case.image)
        turn = frontal_turn(case.angle)
        true: View = "frontal" if turn < OBLIQUE else "oblique" if turn <= LATERAL else "lateral"
        if min(abs(turn - OBLIQUE), abs(turn - LATERAL)) > 1:  # no film on the border of two views
            views.append(asked.segmenter.view(case.image) == true)
        for place in shown:
            name, truth = ANATOMY[place], case.masks[place]
            ours, other = found.mask(name), theirs.mask(name)
            figures = {
                "writer": dice(ours, truth),
                "network": dice(other, truth),
                "box": box_overlap(ours, truth),
                "network box": box_overlap(other, truth),
                "silent": float(not ours.any()),
                "network silent": float(not other.any()),
            }
            yield case.patient, case.angle, name, figures


def box_overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """The intersection of the boxes of two masks over their union; 0 if one is empty."""
    one, two = box_of(mask), box_of(truth)
    if one is None or two is None:
        return 0.0
    (a, b, c, d), (e, f, g, h) = one, two
    both = max(0, min(c, g) - max(a, e)) * max(0, min(d, h) - max(b, f))
    return both / ((c - a) * (d - b) + (g - e) * (h - f) - both)


def means(rows: Sequence[Row]) -> dict[str, Any]:
    """The mean figures by structure, and the means over structures of groups of films and structures."""

    def by_structure(chosen: Iterable[Row]) -> dict[str, dict[str, float]]:
        found: dict[str, list[dict[str, float]]] = {}
        for _, _, name, values in chosen:
            found.setdefault(name, []).append(values)
        return {
            name: {"masks": len(of)} | {key: float(np.mean([each[key] for each in of])) for key in of[0]}
            for name, of in sorted(found.items())
        }

    def mean(chosen: list[Row]) -> dict[str, float]:
        of = by_structure(chosen)
        keys = [key for key in next(iter(of.values())) if key != "masks"] if of else []
        return {"structures": len(of), "masks": len(chosen)} | {
            key: float(np.mean([each[key] for each in of.values()])) for key in keys
        }

    plain = [row for row in rows if row[2] not in {*RIBS, *CAGE}]
    frontal = [row for row in plain if frontal_turn(row[1]) < OBLIQUE]
    return {
        "means": {
            "without ribs": mean(plain),
            "without ribs, frontal": mean(frontal),
            "without ribs, frontal, both": mean(
                [row for row in frontal if not (row[3]["silent"] or row[3]["network silent"])]
            ),
            "without ribs, frontal, phantom": mean([row for row in frontal if row[0].startswith("phantom")]),
            "without ribs, frontal, icrp": mean([row for row in frontal if row[0].startswith("icrp")]),
            "single ribs": mean([row for row in rows if row[2] in RIBS]),
            "cages of ribs": mean([row for row in rows if row[2] in CAGE]),
            "all": mean(list(rows)),
        },
        "structures": by_structure(rows),
        "frontal structures": by_structure(row for row in rows if frontal_turn(row[1]) < OBLIQUE),
    }


def real(asked: Asked, net: AnatomyNet, data: Path) -> dict[str, Any]:
    """The figures on real radiographs, of both, by set."""

    def written(images: Sequence[Image]) -> list[Anatomy]:
        return [asked(image, REAL) for image in images]

    found: dict[str, Any] = {}
    for who, predict in (("writer", written), ("network", lambda images: net(list(images)))):
        films = film_figures(predict, data, "all", sets=SETS)
        for name, of in films.items():
            every = summary(list(of.values()))
            found.setdefault(name, {"films": len(of)})[who] = {key: every[key] for key in KEPT if key in every}
    return found


def captions(cases: Iterable[Case], segmenter: TokenSegmenter) -> dict[str, float]:
    """The share of true boxes on frontal projections whose structure is named."""
    right, count = 0, 0
    chosen = [case for case in cases if frontal_turn(case.angle) < OBLIQUE][:CAPTIONED]
    for case in chosen:
        for place in np.flatnonzero(case.known)[::4]:
            box = box_of(case.masks[place])
            if box is not None and case.masks[place].sum() >= LEAST:
                count += 1
                right += segmenter.caption(case.image, box) == name_of(ANATOMY[place])
    return {"boxes": count, "named": right / max(1, count), "chance": 1 / len(segmenter.names)}


def absences(cases: Iterable[Case], segmenter: TokenSegmenter, net: AnatomyNet) -> dict[str, float]:
    """The share of structures without a pixel on a frontal projection that both leave out."""
    count, ours, theirs = 0, 0, 0
    for case in cases:
        places = [place for place in np.flatnonzero(case.known) if not case.masks[place].any()]
        names = [ANATOMY[place] for place in places if ANATOMY[place] in segmenter.names]
        if names and frontal_turn(case.angle) < OBLIQUE:
            found = segmenter(case.image, "segment " + " ; ".join(map(name_of, names)))
            network = net(case.image)
            count += len(names)
            ours += sum(not found.mask(name).any() for name in names)
            theirs += sum(not network.mask(name).any() for name in names)
    return {"structures": count, "writer": ours / max(1, count), "network": theirs / max(1, count)}


def seconds(segmenter: TokenSegmenter, images: Sequence[Image]) -> dict[str, float]:
    """The median time of a film and one prompt, on one thread: on the clock, and of the processor."""
    clock, used = [], []
    segmenter(images[0], "segment heart")
    for image in images:
        start, spent = time.perf_counter(), time.process_time()
        segmenter(image, "segment heart")
        clock.append(time.perf_counter() - start)
        used.append(time.process_time() - spent)
    return {"films": len(images), "median": statistics.median(clock), "processor": statistics.median(used)}


def model_figures(segmenter: TokenSegmenter, net: AnatomyNet, cases: Sequence[Case], data: Path) -> dict[str, Any]:
    """The figures of the part ``model``.

    Args:
        segmenter: the writer.
        net: the anatomy network.
        cases: projections of patients that no training has seen.
        data: folder of real data.
    """
    asked, views = Asked(segmenter), list[bool]()
    projections = means(list(rows_of(cases, asked, net, views)))
    found = {
        "models": {"writer": segmenter.writer.digest, "network": net.digest},
        "views": {"films": len(views), "told": float(np.mean(views)), "names": list(get_args(View))},
        "captions": captions(cases, segmenter),
        "absent": absences(cases, segmenter, net),
        "real": real(asked, net, data),
        "seconds": seconds(segmenter, [case.image for case in cases[:TIMED]]),
        "projections": projections,
    }
    return found | {"answers": {"asked": asked.answers, "well-formed": asked.formed / max(1, asked.answers)}}
