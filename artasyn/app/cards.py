"""The words of the page as HTML: verdicts, doubts, tables, pictures; every text from outside is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from artasyn.app.reading import Reading, verdict
from artasyn.app.scans import Projected, Scan
from artasyn.app.twin import Twin
from artasyn.arrays import Picture
from artasyn.outputs.measured import table_of
from artasyn.pictures.overlays import data_uri
from artasyn.synthesis.diffusion.filters import usual_bounds

HEADER = """<header class="artasyn-head"><strong>artasyn</strong>
<span>Research use only. This is not a medical device.</span></header>"""

FIRST = "Drop a chest film on the left, or show a phantom."
FIRST_TWIN = "Read a film on the first tab; then make its twin here."
FIRST_SCAN = """Drop a CT on the left, or project the CT of a phantom. A CT is NIfTI, NRRD, MetaImage, or a ZIP with the
slices of one DICOM series. Labels are a label map, a DICOM segmentation, or a ZIP with a mask for each structure. Names
of the labels, if the label map lacks them, are CSV, JSON or a colour table."""


def notice(text: str, kind: str = "quiet") -> str:
    """Returns a sentence in a box.

    Args:
        text: any text.
        kind: ``quiet``, ``fault`` for what was refused, ``doubt`` for what must be looked at.

    Example:
        >>> notice("<b>", "fault")
        '<div class="artasyn-note fault" role="alert">&lt;b&gt;</div>'
    """
    role = "alert" if kind == "fault" else "status"
    return f'<div class="artasyn-note {kind}" role="{role}">{html.escape(text)}</div>'


def figure(picture: Picture | str, caption: str) -> str:
    """Returns a picture, or an SVG, with its caption.

    Args:
        picture: uint8 (h, w, 3), or the text of an SVG.
        caption: a text.
    """
    shown = picture if isinstance(picture, str) else f'<img src="{data_uri(picture)}" alt="{html.escape(caption)}">'
    return f'<figure class="artasyn-figure">{shown}<figcaption>{html.escape(caption)}</figcaption></figure>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table; the last column may hold sentences.

    Args:
        header: names of the columns.
        rows: of texts.
    """
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="artasyn-table"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>'


def film_card(reading: Reading) -> str:
    """Returns the verdict about a film with its score and all doubts."""
    word, sentence = verdict(reading)
    kind = {"Flagged": "hot", "Not flagged": "calm"}.get(word, "fault")
    doubts = "".join(notice(f"{reading.name}: {each}", "doubt") for each in reading.doubts)
    return (
        f'<section class="artasyn-card {kind}"><h2>{html.escape(word)}</h2><p>{html.escape(sentence)}</p>'
        f"<p class='file'>{html.escape(reading.name)}, {_size(reading)}</p></section>{doubts}"
    )


def measures_table(reading: Reading) -> str:
    """Returns every measure with its unit and confidence, or the reason why it is missing."""
    rows = []
    for name, each in table_of(reading.measures, reading.anatomy).items():
        value, sure = f"not measured: {each['reason']}", ""
        if each["value"] is not None:
            unit = {"cm2": "cm²", "px2": "px²", "degrees": "°"}.get(each["unit"], each["unit"])
            value = f"{each['value']:.{0 if unit else 2}f} {unit}".strip()
            sure = f"{each['confidence']:.2f}"
        rows.append((name.replace("_", " "), value, sure))
    pixel = reading.anatomy.pixel
    note = notice("The file states no size of a pixel, so lengths are in pixels.") if pixel is None else ""
    return f"<div><h3>Measures</h3>{table(('measure', 'value', 'confidence'), rows)}{note}</div>"


def twin_card(twin: Twin) -> str:
    """Returns what a twin shows, what the detector says of it, and what the filters say."""
    before, after = twin.original.detection, twin.detection
    names = ", ".join(dict.fromkeys(name.replace("_", " ") for name, _ in twin.findings))
    share = twin.mask.mean()
    word = "flags the twin" if after.abnormal else "does not flag the twin"
    text = f"The score rose from {before.score:.3f} to {after.score:.3f}"
    if after.score <= before.score:
        text = f"The score was {before.score:.3f} before and is {after.score:.3f}"
    card = (
        f'<section class="artasyn-card calm"><h2>{html.escape(names)}</h2><p>The anomaly changes '
        f"{100 * share:.1f} % of the film. {text}; the detector {word}.</p></section>"
    )
    card += "".join(notice(each, "doubt") for each in twin.notes)
    if twin.verdict is None:
        return card
    if twin.verdict.ok:
        card += notice("All filters accept this film.")
    card += "".join(notice(f"Filtered out: {reason}", "doubt") for reason in twin.verdict.reasons)
    bounds = usual_bounds()
    rows = [(name, f"{score:.2f}", _range(*bounds[name])) for name, score in twin.verdict.scores.items()]
    return card + table(("filter", "score", "accepted"), rows)


def scan_card(scan: Scan, films: Sequence[Projected]) -> str:
    """Returns what was read of a CT, and what is missing."""
    voxels = " x ".join(map(str, scan.volume.hu.shape))
    spacing = " x ".join(f"{size:.2f}" for size in scan.volume.spacing)
    missing = dict.fromkeys(f"{each.view}: {note}" for each in films for note in each.notes)
    ratios = [
        f"cardiothoracic ratio {each.measures.cardiothoracic_ratio.value:.2f} ({each.view})"
        for each in films
        if each.measures.cardiothoracic_ratio
    ]
    told = "".join(f"<p>{html.escape(text)}</p>" for text in ratios)
    unmeasured = (
        f"<details><summary>What was not measured, and why</summary><ul>"
        f"{''.join(f'<li>{html.escape(text)}</li>' for text in missing)}</ul></details>"
        if missing
        else ""
    )
    return (
        f'<section class="artasyn-card calm"><h2>{html.escape(scan.name)}</h2><p>{voxels} voxels of {spacing} mm, '
        f"{len(scan.volume.structures)} labelled structures.</p>{told}{unmeasured}</section>"
        + "".join(notice(f"{scan.name}: {each}", "doubt") for each in scan.doubts)
    )


def gallery(figures: Iterable[str]) -> str:
    """Returns figures side by side, as many as the width allows."""
    return f'<div class="artasyn-gallery">{"".join(figures)}</div>'


def _range(low: float, high: float) -> str:
    """Returns a range of scores in words; a bound that no score reaches is left out."""
    return f"at least {low:.2f}" if high >= 1e6 else f"{low:.2f} to {high:.2f}"


def _size(reading: Reading) -> str:
    rows, columns = reading.image.shape
    return f"{columns} x {rows} pixels"
