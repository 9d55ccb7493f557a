"""What reports on detections share: the facts about the detector, the date, and the list of films with pictures."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from artasyn.bulk.progress import LOG
from artasyn.bulk.run import Outcome, Row, reason_of
from artasyn.console.results import UNUSABLE, Done, not_judged
from artasyn.detection.opening import heat_scale
from artasyn.errors import DataError, RadiographError
from artasyn.files.radiograph import read_radiograph
from artasyn.pictures.detected import reading_size
from artasyn.pictures.film_list import EMBEDDED, LISTED, SIDE, Cell, FilmList, ListedFilm, compact_uri
from artasyn.pictures.overlays import grey_picture, read_picture
from artasyn.pictures.report import Section, write_report
from artasyn.pictures.thumbnails import thumbnail
from artasyn.version import __version__

if TYPE_CHECKING:
    from artasyn.detection.detector import Detector

DATE = "the date that report.html states, such as 2026-01-31; without it SOURCE_DATE_EPOCH, or else today"

VERDICTS = ("flagged", "not flagged", "not judged")
"""What the detector says of a film."""

Beside = Callable[[Outcome], tuple[str, str] | None]
"""Returns the caption and the data URI of the picture beside a film's overlay; None for no picture."""


def report_date(given: str) -> str:
    """Returns the date that a report states, as YYYY-MM-DD.

    The same date gives the same bytes. No other file of a run holds the date.

    Args:
        given: the date; empty for the one of the environment variable SOURCE_DATE_EPOCH, or else for today.

    Raises:
        DataError: not a date.

    Source: Reproducible Builds, SOURCE_DATE_EPOCH specification 1.1.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        if given:
            return datetime.date.fromisoformat(given).isoformat()
        if epoch:
            return datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc).date().isoformat()
    except (ValueError, OverflowError, OSError) as error:
        named = f"date {given}" if given else f"SOURCE_DATE_EPOCH {epoch}"
        raise DataError(f"{named[:80]} is no date; write a date as 2026-01-31") from error
    return datetime.date.today().isoformat()


def detector_facts(model: str, detector: Detector, date: str) -> list[tuple[str, str]]:
    """Returns what a report says about the detector and itself.

    Args:
        model: as the user named it.
        detector: the detector.
        date: of the report.
    """
    top = heat_scale(detector).top
    return [
        ("model", f"{model} (weights {detector.digest[:12]})"),
        ("film threshold", f"score {detector.image_threshold:.4f} or more: flagged"),
        (
            "pixel threshold",
            f"heat {detector.threshold:.4f} or more: inside the contour; heat is shown from 0 to {top:g}",
        ),
        ("artasyn", __version__),
        ("date", date),
        ("use", "research use; not a medical device, not for diagnosis"),
    ]


def verdict(row: Row) -> str:
    """Returns what the detector says of a film, one of `VERDICTS`."""
    if row["status"] == UNUSABLE:
        return "not judged"
    return "flagged" if row["abnormal"] == "true" else "not flagged"


def listed_films(
    out: Path,
    outcomes: Sequence[Outcome],
    columns: Sequence[str],
    cells: Callable[[Outcome], Sequence[Cell]],
    beside: Beside,
) -> FilmList:
    """Returns the list of the first `LISTED` films; the first `EMBEDDED` have the overlay and what lies beside it.

    Args:
        out: the folder of results.
        outcomes: of the films, in the order of the list.
        columns: headings.
        cells: returns the cells of a film.
        beside: returns the picture beside the overlay.
    """
    films = []
    for number, outcome in enumerate(outcomes[:LISTED]):
        link = outcome.rows[0]["overlay"]
        pictures: list[tuple[str, str]] = []
        if number < EMBEDDED:
            other = beside(outcome)
            pictures = [*([other] if other else []), ("overlay", compact_uri(read_picture(out / link)))]
        films.append(ListedFilm(outcome.source.name, cells(outcome), link, pictures))
    return FilmList(columns, films, len(outcomes) - len(films))


def plain_film(outcome: Outcome) -> tuple[str, str] | None:
    """Returns the plain film beside the overlay of a flagged film; the overlay of another film is plain itself.

    A film that has gone or changed since it was judged has no plain film, which a warning tells.
    """
    if verdict(outcome.rows[0]) != "flagged":
        return None
    try:
        small = thumbnail(reading_size(read_radiograph(outcome.source.path)), SIDE)
    except (RadiographError, OSError) as error:
        LOG.warning("the report shows the overlay of %s alone: %s", outcome.source.name, reason_of(error))
        return None
    return "plain film", compact_uri(grey_picture(small))


def write_detections(out: Path, done: Done, facts: Sequence[tuple[str, str]]) -> Path:
    """Writes report.html of a run of `detect`: the films, those with the highest scores first; returns its path.

    Args:
        out: the folder of results.
        done: the results.
        facts: about the detector.
    """
    judged = [outcome for outcome in done.outcomes if outcome.rows]
    order = sorted(
        judged,
        key=lambda one: (one.rows[0]["status"] == UNUSABLE, -float(one.rows[0]["score"]), one.source.name),
    )
    verdicts = [verdict(outcome.rows[0]) for outcome in judged]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in VERDICTS)
    text = (
        f"{len(done.outcomes)} films: {counts}, {len(done.outcomes) - len(judged)} not read. Choose a picture to "
        "enlarge it. Heat and contours are drawn on flagged films only, beside the plain film; the colours mean the "
        "same on every film."
    )
    films = listed_films(out, order, ("score", "verdict", "percentile", "warnings"), _cells, plain_film)
    told = not_judged(done, "Films without a verdict, and films of which a DICOM object is missing.")
    path = out / "report.html"
    write_report(path, "Detection on radiographs", [Section("Films", text, films=films), *told], facts)
    return path


def _cells(outcome: Outcome) -> list[Cell]:
    """Returns score, verdict, percentile and warnings of a film; a film that is not judged has no score."""
    row = outcome.rows[0]
    word = verdict(row)
    score, percentile = (row["score"], row["percentile"]) if word != "not judged" else ("", "")
    return [
        Cell(f"{float(score):.4f}" if score else "\N{EN DASH}", float(score or math.nan)),
        Cell(word, f"{VERDICTS.index(word)}"),
        Cell(percentile or "\N{EN DASH}", float(percentile or math.nan)),
        Cell(row["warnings"].replace("_", " "), row["warnings"]),
    ]
