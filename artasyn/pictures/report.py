"""Reports as one self-contained HTML file: text, tables and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np

from artasyn.arrays import Picture
from artasyn.evaluation.evaluation import Interval, Metrics
from artasyn.files import atomic
from artasyn.pictures.overlays import data_uri
from artasyn.version import __version__

Values = Sequence[float] | np.ndarray
"""The coordinates of a curve along one axis, (n,)."""

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
    """

    title: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    pictures: Sequence[tuple[str, Picture]] = field(default=())


def metrics_section(title: str, text: str, columns: Mapping[str, Metrics]) -> Section:
    """Returns a section with a table of figures and their intervals, with one column for each method."""
    rows = [[name, *(shown(getattr(metrics, key)) for metrics in columns.values())] for key, name in FIGURES.items()]
    return Section(title, text, ["", *columns], [row for row in rows if set(row[1:]) != {"-"}])


def shown(interval: Interval) -> str:
    """Formats a figure with its interval for people; an undefined figure becomes a dash."""
    if math.isnan(interval.value):
        return "-"
    if math.isnan(interval.low):
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def roc_picture(curves: Mapping[str, tuple[Sequence[float], Sequence[bool]]]) -> Picture:
    """Draws ROC curves of image scores.

    Args:
        curves: scores and labels of each curve; both classes must occur.
    """
    from sklearn.metrics import roc_curve  # takes a second to import

    lines = {name: roc_curve(labels, scores)[:2] for name, (scores, labels) in curves.items()}
    return curve_picture(lines, "healthy films flagged", "diseased films flagged", diagonal=True)


def curve_picture(
    lines: Mapping[str, tuple[Values, Values]], across: str, up: str, *, diagonal: bool = False
) -> Picture:
    """Draws curves in a square from 0 to 1.

    Args:
        lines: horizontal and vertical coordinates of each curve.
        across: label of the horizontal axis.
        up: label of the vertical axis.
        diagonal: whether to draw the diagonal of chance.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # these two take a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 4.2), dpi=110, layout="tight")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, (values, heights) in lines.items():
        axes.plot(values, heights, label=name)
    if diagonal:
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    axes.set(xlabel=across, ylabel=up, aspect="equal", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(loc="best", fontsize="small")
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[..., :3])


def write_report(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Writes a report as one HTML file.

    Args:
        path: of the file.
        title: the heading of the report.
        sections: the parts of the report.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["data_uri"] = data_uri
    page = environment.from_string(PAGE).render(title=title, sections=sections, version=__version__)
    atomic.write_text(path, page)


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem 1rem .25rem 0; text-align: left; border-bottom: 1px solid #d5dde5; }
td + td { font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; }
img { max-width: 100%; }
figcaption, footer { color: #5a6875; font-size: .9rem; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% if section.text %}
<p>{{ section.text }}</p>
{% endif %}
{% if section.rows %}
<table>
<tr>{% for cell in section.header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in section.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% endif %}
{% for caption, picture in section.pictures %}
<figure><img src="{{ picture | data_uri }}" alt="{{ caption }}"><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
{% endfor %}
<footer>artasyn {{ version }}. For research; not a medical device.</footer>
</body>
</html>
"""
