"""Reports as one self-contained HTML file: text, tables, pictures and lists of films."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jinja2

from artasyn.arrays import Picture
from artasyn.evaluation.evaluation import ERROR_LIMIT, Interval, Metrics
from artasyn.files import atomic
from artasyn.pictures.film_list import FilmList
from artasyn.pictures.overlays import data_uri
from artasyn.pictures.page import PAGE
from artasyn.version import __version__

FIGURES: Mapping[str, str] = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "sensitivity": "diseased films flagged",
    "flagged_healthy": "healthy films flagged",
    "pixel_auroc": "pixel AUROC",
    "pixel_auroc_in_lungs": "pixel AUROC inside the lungs",
    "pixel_auroc_in_lungs_per_image": "the same, mean of single films",
    "pixel_ap": "pixel AP",
    "pixel_base_rate": "its base rate",
    "pixel_ap_in_lungs": "pixel AP inside the lungs",
    "pixel_base_rate_in_lungs": "its base rate",
    "aupro": "AUPRO (FPR up to 0.3)",
    "dice": "Dice at the stored threshold",
    "oracle_dice": "oracle Dice (threshold from the test set)",
    "false_positive_pixels_on_healthy": "pixels marked on healthy films",
    "pointing": "highest point inside a box",
}
"""The figures that a report shows, in order, with their names for people."""


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: the heading of the section.
        text: a paragraph.
        header: of the table.
        rows: of the table.
        pictures: pairs of a caption and a picture.
        films: a list of films, which readers can sort.
    """

    title: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    pictures: Sequence[tuple[str, Picture]] = field(default=())
    films: FilmList | None = None

    def moved(self, folder: str) -> Section:
        """Returns the section for a report beside which the files of its films lie in a folder.

        Args:
            folder: of the films' files, relative to the report.
        """
        return self if self.films is None else replace(self, films=self.films.moved(folder))


def metrics_section(title: str, text: str, columns: Mapping[str, Metrics]) -> Section:
    """Returns a section with a table of figures and their intervals, with one column for each method.

    A figure that is not defined is a dash with the reason.
    """
    rows = [[name, *(_cell(key, metrics) for metrics in columns.values())] for key, name in FIGURES.items()]
    return Section(title, text, ["", *columns], rows)


def _cell(key: str, metrics: Metrics) -> str:
    """Returns a figure for people, or a dash with the reason."""
    figure: Interval = getattr(metrics, key)
    return dash(why_undefined(key, metrics)) if math.isnan(figure.value) else shown(figure)


def dash(reason: str) -> str:
    """Returns the text that stands for a figure that is not defined.

    Args:
        reason: why.
    """
    return f"\N{EN DASH} ({reason})"


def why_undefined(key: str, metrics: Metrics) -> str:
    """Returns why a figure is not defined.

    Args:
        key: a key of `FIGURES`, whose figure is NaN.
        metrics: with the figure.
    """
    healthy = metrics.images - metrics.diseased
    if key in ("image_auroc", "image_ap") or not metrics.diseased:
        return "no diseased films" if not metrics.diseased else "no healthy films"
    if key in ("sensitivity", "flagged_healthy", "false_positive_pixels_on_healthy"):
        return "no healthy films" if not healthy and key != "sensitivity" else "no threshold"
    if key == "pointing":
        return "no boxes around lesions"
    if metrics.pixel_auroc_error > ERROR_LIMIT:
        return "the heatmaps are nearly constant"
    return "no masks of lesions" if math.isnan(metrics.dice.value) else "lungs and lesions do not meet"


def shown(interval: Interval) -> str:
    """Formats a figure with its interval for people; an undefined figure becomes a dash."""
    if math.isnan(interval.value):
        return "-"
    if math.isnan(interval.low):
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def write_report(path: Path, title: str, sections: Sequence[Section], facts: Sequence[tuple[str, str]] = ()) -> None:
    """Writes a report as one HTML file in UTF-8, which needs no other file and no network.

    Bytes of file names that are not UTF-8 are shown as replacement characters.

    Args:
        path: of the file.
        title: the heading of the report.
        sections: the parts of the report.
        facts: names and values that the report is about, such as the model; they stand below the heading.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["data_uri"] = data_uri
    page = environment.from_string(PAGE).render(title=title, sections=sections, facts=facts, version=__version__)
    atomic.write_text(path, page.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
