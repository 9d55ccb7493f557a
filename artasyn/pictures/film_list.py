"""The list of films of a report: what is known of each, with pictures inside the page."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from urllib.parse import quote

import PIL.Image

from artasyn.arrays import Picture
from artasyn.pictures.thumbnails import fitted_picture

EMBEDDED = 100
"""The most films of a list whose pictures are inside the page; further films have links."""

LISTED = 10_000
"""The most films of a list: a browser shows a page of a few megabytes at once, and one of a gigabyte not at all."""

SIDE = 800
"""The longer side of a picture inside the page, in pixels."""

QUALITY = 55
"""Quality of a picture inside the page, of 100: about 25 kB for a radiograph."""


@dataclass(frozen=True)
class Cell:
    """One cell of a list.

    Attributes:
        text: for people.
        key: what the column is sorted by: a number, or a text.
    """

    text: str
    key: float | str

    @property
    def numeric(self) -> bool:
        """Whether the cell is sorted as a number."""
        return not isinstance(self.key, str)


@dataclass(frozen=True)
class ListedFilm:
    """One film of a list.

    Attributes:
        name: of the film.
        cells: one for each column behind the name.
        link: the file of its overlay, relative to the report.
        pictures: pairs of a caption and a data URI; empty beyond `EMBEDDED`.
    """

    name: str
    cells: Sequence[Cell]
    link: str
    pictures: Sequence[tuple[str, str]] = field(default=())

    @property
    def address(self) -> str:
        """The link as HTML needs it; names that are not UTF-8 keep their bytes."""
        return quote(os.fsencode(self.link))


@dataclass(frozen=True)
class FilmList:
    """A list of films that readers can sort.

    Attributes:
        columns: headings of the cells.
        films: in the order in which they are shown first, `LISTED` at most.
        left: number of films that come after them and are not in the list.
    """

    columns: Sequence[str]
    films: Sequence[ListedFilm]
    left: int = 0

    def moved(self, folder: str) -> FilmList:
        """Returns the list for a report beside which the files of its films lie in a folder.

        Args:
            folder: relative to the report.
        """
        return replace(self, films=[replace(film, link=f"{folder}/{film.link}") for film in self.films])

    @property
    def note(self) -> str:
        """Sentences about pictures and films that are not inside the page; empty if all are."""
        inside = sum(bool(film.pictures) for film in self.films)
        rest = len(self.films) - inside
        pictures = (
            f"The first {inside} films have their pictures inside this page; the names of the other {rest} lead to the"
            " overlays beside it."
        ) * bool(rest)
        more = "1 more film is" if self.left == 1 else f"{self.left} more films are"
        films = f"{more} not in this list; the tables beside this page hold all." * bool(self.left)
        return " ".join(filter(None, (pictures, films)))


def compact_uri(picture: Picture) -> str:
    """Encodes a picture as WebP of at most `SIDE` pixels in a data URI; the same picture gives the same text.

    Args:
        picture: (h, w, 3), uint8, RGB.

    Example:
        >>> import numpy as np
        >>> compact_uri(np.zeros((2, 2, 3), np.uint8))[:23]
        'data:image/webp;base64,'
    """
    buffer = BytesIO()
    PIL.Image.fromarray(fitted_picture(picture, SIDE)).save(buffer, format="WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
