"""The answers to what users do on the page: inputs in; words, pictures and files out, or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from artasyn.app.cards import (
    FIRST,
    FIRST_SCAN,
    FIRST_TWIN,
    figure,
    film_card,
    gallery,
    measures_table,
    notice,
    scan_card,
    twin_card,
)
from artasyn.app.downloads import film_zip, scan_zip, twin_zip
from artasyn.app.reading import Models, Reading, anatomy_picture, heat_picture, measures_picture, refusal
from artasyn.app.scans import Projected, Scan, film_picture, phantom_scan, read_scan, views_of
from artasyn.app.twin import Twin, Wish, chosen_twin, described_twin, original_picture, twin_picture
from artasyn.app.uploads import Desk
from artasyn.bulk.run import FAILURES, reason_of
from artasyn.errors import DataError
from artasyn.pictures.detected import SIDES

SEEDS = 2**31
"""The first number that is no seed."""


Written = int | float | None
"""A number as a user wrote it; None for an empty field."""


class FilmAnswer(NamedTuple):
    """The answer about a film.

    Attributes:
        reading: None if there is none.
        card: the verdict, or why there is none, as are the further texts HTML.
        pictures: the film with its structures, and with its heatmap.
        measures: the measures as a table, and drawn on the film.
    """

    reading: Reading | None
    card: str
    pictures: str = ""
    measures: str = ""


class TwinAnswer(NamedTuple):
    """The answer about a twin: the twin, or None, and HTML."""

    twin: Twin | None
    card: str
    pictures: str = ""


class ScanAnswer(NamedTuple):
    """The answer about a CT: HTML, and the path of a ZIP with its films, which are too large to be kept in memory."""

    card: str
    pictures: str = ""
    file: str | None = None


@dataclass(frozen=True)
class Answers:
    """Answers the users of one server.

    Attributes:
        models: shared by all users.
        desk: the server's folder.
        most: bytes that the files of a ZIP may have together.
    """

    models: Models
    desk: Desk
    most: int

    def sent(self, session: str, path: str | None) -> None:
        """Notes whose a file is, at once, so that no other user who leaves takes it along.

        Args:
            session: of the user.
            path: of the file; None if there is none.
        """
        if path:
            self.desk.claim(session, Path(path))

    def film(self, path: str | None) -> FilmAnswer:
        """Reads a film that a user has sent.

        Args:
            path: of the file; None after the user has taken it away.
        """
        if not path:
            return FilmAnswer(None, notice(FIRST))
        file = Path(path)
        try:
            return film_answer(self.models.read(file))
        except FAILURES as error:
            return FilmAnswer(None, notice(refusal(error, file), "fault"))

    def phantom(self, seed: Written, lesions: bool) -> FilmAnswer:
        """Reads the film of a phantom.

        Args:
            seed: as the user wrote it.
            lesions: whether the lungs are diseased.
        """
        try:
            return film_answer(self.models.phantom(seed_of(seed), lesions=lesions))
        except FAILURES as error:
            return FilmAnswer(None, notice(reason_of(error), "fault"))

    def chosen(self, reading: Reading | None, wish: Sequence[Any]) -> TwinAnswer:
        """Makes a twin by its properties.

        Args:
            reading: of the film; None if there is none.
            wish: the values of a `Wish`, in order.
        """
        if reading is None:
            return TwinAnswer(None, notice(FIRST_TWIN))
        finding, severity, zone, side, seed = wish
        try:
            return twin_answer(
                chosen_twin(self.models, reading, Wish(finding, float(severity or 0), zone, side, seed_of(seed)))
            )
        except FAILURES as error:
            return TwinAnswer(None, notice(reason_of(error), "fault"))

    def described(self, reading: Reading | None, sentence: str, seed: Written) -> TwinAnswer:
        """Makes a twin that a sentence describes.

        Args:
            reading: of the film; None if there is none.
            sentence: the prompt.
            seed: as the user wrote it.
        """
        if reading is None:
            return TwinAnswer(None, notice(FIRST_TWIN))
        try:
            return twin_answer(described_twin(self.models, reading, sentence, seed_of(seed)))
        except FAILURES as error:
            return TwinAnswer(None, notice(reason_of(error), "fault"))

    def scan(
        self, session: str, paths: tuple[str | None, str | None, str | None], views: Sequence[str], angles: str
    ) -> ScanAnswer:
        """Projects a CT that a user has sent.

        Args:
            session: of the user.
            paths: of the CT, its labels and their names; None for what is not there.
            views: names of usual views.
            angles: further angles, as the user wrote them.
        """
        ct, labels, names = (None if path is None else Path(path) for path in paths)
        if ct is None:
            return ScanAnswer(notice(FIRST_SCAN))
        try:
            wanted = views_of(views, angles)
            with self.desk.scratch(session) as folder:
                scan = read_scan(ct, labels, names, folder=folder, most=self.most)
            return self._projected(session, scan, scan.films(wanted))
        except FAILURES as error:
            return ScanAnswer(notice(refusal(error, ct), "fault"))

    def phantom_scan(self, session: str, seed: Written, views: Sequence[str], angles: str) -> ScanAnswer:
        """Projects the CT of a phantom.

        Args:
            session: of the user.
            seed: as the user wrote it.
            views: names of usual views.
            angles: further angles, as the user wrote them.
        """
        try:
            wanted = views_of(views, angles)
            scan = phantom_scan(seed_of(seed))
            return self._projected(session, scan, scan.films(wanted))
        except FAILURES as error:
            return ScanAnswer(notice(reason_of(error), "fault"))

    def packed_film(self, session: str, reading: Reading | None) -> str | None:
        """Returns the path of a ZIP with all about a film; None if there is none."""
        return None if reading is None else str(film_zip(reading, self.models, self.desk.session(session)))

    def packed_twin(self, session: str, twin: Twin | None) -> str | None:
        """Returns the path of a ZIP with all about a twin; None if there is none."""
        return None if twin is None else str(twin_zip(twin, self.desk.session(session)))

    def _projected(self, session: str, scan: Scan, films: list[Projected]) -> ScanAnswer:
        """Returns words, pictures and the ZIP about a CT."""
        shown = gallery(
            figure(film_picture(each), f"{scan.name}, view {each.view.replace('_', ' ')}") for each in films
        )
        return ScanAnswer(scan_card(scan, films), shown, str(scan_zip(scan, films, self.desk.session(session))))


def seed_of(number: Written) -> int:
    """Returns a seed.

    Args:
        number: as the user wrote it.

    Raises:
        DataError: it is no seed.

    Example:
        >>> seed_of(3.0)
        3
    """
    if number is None or not 0 <= number < SEEDS or number != int(number):  # a NaN is in no range
        raise DataError(f"the seed must be a whole number from 0 to {SEEDS - 1}, not {number}")
    return int(number)


def film_answer(reading: Reading) -> FilmAnswer:
    """Returns words and pictures about a film."""
    if not reading.usable:  # neither sides nor evidence mean anything there
        return FilmAnswer(reading, film_card(reading), gallery([figure(anatomy_picture(reading), reading.name)]))
    shown = (
        figure(anatomy_picture(reading), f"Anatomy. {SIDES[reading.sides]}."),
        figure(heat_picture(reading), "Detection. The scale of the heat is the same for every film."),
    )
    drawn = measures_picture(reading)
    measured = () if drawn is None else (figure(drawn, "The measures on the film"),)
    return FilmAnswer(reading, film_card(reading), gallery(shown), gallery((measures_table(reading), *measured)))


def twin_answer(twin: Twin) -> TwinAnswer:
    """Returns words and pictures about a twin."""
    pair = (
        figure(original_picture(twin), twin.original.name),
        figure(twin_picture(twin), "Synthetic twin with the outline of exactly the pixels that changed"),
    )
    return TwinAnswer(twin, twin_card(twin), gallery(pair))
