"""Films by name: which file of a list, of masks or of lungs belongs to which film.

Names come in many dialects: with or without suffix, with the separators of Windows, below another folder, or with
``mask`` before or behind. A name that may mean several films is refused.
"""

from __future__ import annotations

import itertools
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError
from artasyn.testsets.tables import bare
from artasyn.testsets.testset import listed

Parts = tuple[str, ...]
"""The folders of a path and, last, its file."""

MARK = re.compile(r"^masks?[ _-]|[ _.-]masks?$", re.IGNORECASE)
"""What the names of masks have before or behind the name of their film."""

SHOWN = 6
"""The number of files that a message shows."""


def listed_films(names: Iterable[str], films: Sequence[Source], roots: Sequence[Path], path: Path) -> dict[str, Source]:
    """Finds the films that a list names.

    A name is a path below one of `roots`, or a longer path that ends in one; the suffix may be missing. Folders before
    it must be those of the film, or, in an absolute path or an address, which may be of another machine, the folder's
    name or what all the names share. Names without any folder fit a film in any folder, if no name of the list has a
    folder.

    Args:
        names: of the list.
        films: below `roots`.
        roots: the folders of the films.
        path: the list, for messages.

    Returns:
        The film of each name; names without a film are missing.

    Raises:
        DataError: a name fits several films.
    """
    there = _Films(films, roots)
    parts = {name: _parts(name) for name in names}
    distant = [given[:-1] for given, absolute in parts.values() if absolute]
    alike = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*distant, strict=False))
    shared = tuple(level[0] for level in alike)
    ends = {_folded(place[-1:]) for place in there.places}
    flat = all(len(given) < 2 or _folded(given[-2:-1]) in ends for given, _ in parts.values())
    chosen = {}
    for name, (given, absolute) in parts.items():
        fitting = there.at(given, shared if absolute else None)
        if not fitting and flat and len(given) == 1:
            fitting = there.called.get(bare(given[0]), [])
        if given and bare(given[-1]) != given[-1]:
            suffix = given[-1][len(bare(given[-1])) :].casefold()
            fitting = [film for film in fitting if film.path.suffix.casefold() == suffix]
        if len(fitting) > 1:
            raise DataError(
                f"{path}: {name} fits {len(fitting)} films ({listed([film.name for film in fitting])}); write their "
                "folders and suffixes"
            )
        if fitting:
            chosen[name] = fitting[0]
    return chosen


class _Films:
    """Films by the parts of their paths.

    Args:
        films: below `roots`.
        roots: the folders of the films.
    """

    def __init__(self, films: Sequence[Source], roots: Sequence[Path]) -> None:
        self.places = [_parts(root.absolute().as_posix())[0] for root in roots]
        self.called = defaultdict[str, list[Source]](list)
        self._below = defaultdict[Parts, list[tuple[Source, Parts]]](list)
        for film in films:
            root = next(root for root in roots if film.path.is_relative_to(root))
            below = _parts(film.path.relative_to(root).as_posix())[0]
            self._below[_bare(below)].append((film, self.places[roots.index(root)]))
            self.called[bare(below[-1])].append(film)

    def at(self, given: Parts, shared: Parts | None) -> list[Source]:
        """Returns the films at a path, without regard to the suffix.

        Args:
            given: the path.
            shared: the folders that all the absolute paths of the list share; None if this path is not absolute.
        """
        for start in range(len(given)):
            before, below = given[:start], given[start:]
            fitting = [
                film
                for film, place in self._below.get(_bare(below), ())
                if _folded(before) == _folded(place[len(place) - len(before) :])
                or (shared is not None and before and (before == shared or _folded(before[-1:]) == _folded(place[-1:])))
            ]
            if fitting:
                return fitting
        return []


def _parts(name: str) -> tuple[Parts, bool]:
    """Returns the parts of a path, and whether the path is absolute or an address."""
    plain, absolute = name.strip(), False
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", plain):
        plain, absolute = unquote(urlsplit(plain).path), True
    plain = plain.replace("\\", "/")
    absolute |= bool(re.match(r"/|[A-Za-z]:/", plain))
    whole = posixpath.normpath(unicodedata.normalize("NFC", plain)) if plain else ""
    parts = [part for part in whole.split("/") if part not in ("", ".", "..")]
    return tuple(parts[1:] if parts and re.fullmatch("[A-Za-z]:", parts[0]) else parts), absolute


def _bare(parts: Parts) -> Parts:
    return (*parts[:-1], bare(parts[-1]))


def _folded(parts: Parts) -> Parts:
    return tuple(part.casefold() for part in parts)


class Beside:
    """The files of a folder that belong to films: masks or lungs.

    Args:
        place: the folder; None if there is none.

    Raises:
        DataError: there are no pictures in the folder.
    """

    def __init__(self, place: Path | None) -> None:
        self.place = place if place is not None and place.is_dir() else None
        self._keys = defaultdict[str, dict[Path, Source]](dict)
        self._spare = {source.path: source for source in find_sources([self.place])} if self.place else {}
        for source in self._spare.values():
            below = source.path.relative_to(self.place or "").as_posix()
            for name in (source.name, bare(below)):
                folder, stem = posixpath.split(name)
                for key in (stem, MARK.sub("", stem)):
                    self._keys[_key(posixpath.join(folder, key))][source.path] = source

    @property
    def spare(self) -> list[str]:
        """The names of the files that no film was given."""
        return [source.name for source in self._spare.values()]

    def of(self, films: Sequence[Source], *, labelled: bool = False) -> dict[str, Path]:
        """Gives each film its file, by the film's name; films without a file are missing. No file is given twice.

        Args:
            films: the films.
            labelled: whether the films' names begin with a folder for the label, which the files' names may lack.

        Raises:
            DataError: two files fit one film, or one file fits two films.
        """
        found, owners = dict[str, Path](), dict[Path, str]()
        own = {film.name: _own_names(film, labelled=labelled) for film in films}
        exact = {_key(name) for names in own.values() for name in names}
        for film in films:
            fitting: list[Source] = []
            for name in own[film.name]:
                there = [each for each in self._keys.get(_key(name), {}).values() if each.path in self._spare]
                named = [each for each in there if _key(each.name) == _key(name) or _key(each.name) not in exact]
                fitting = fitting or named
            if len(fitting) > 1:
                raise DataError(f"{self.place}: {_names(fitting)} are for one film, {film.name}; keep the right one")
            for source in fitting:
                if source.path in owners:
                    raise DataError(
                        f"{self.place}: {source.name} fits both {owners[source.path]} and {film.name}; put it into a "
                        "folder as its film"
                    )
                owners[source.path] = film.name
                found[film.name] = source.path
        for path in owners:
            del self._spare[path]
        return found

    def missing(self, films: Sequence[Source], found: Iterable[str], what: str = "films") -> None:
        """Refuses films without a file, with the names that were looked for and the files that are there.

        Args:
            films: that need a file.
            found: the names of those that have one.
            what: what the films are called in the message.

        Raises:
            DataError: a film has no file.
        """
        without = [film.name for film in films if film.name not in {*found}]
        if without:
            folder, stem = posixpath.split(without[0])
            ways = ", ".join(posixpath.join(folder, way) for way in (stem, f"mask_{stem}", f"{stem}_mask"))
            there = ", ".join(self.spare[:SHOWN]) + ", ..." * (len(self.spare) > SHOWN) or "nothing"
            raise DataError(
                f"{self.place}: no mask for {len(without)} of {len(films)} {what} ({listed(without)}); looked for "
                f"{ways} with any suffix, and found besides the other films' masks: {there}. Add the masks, or leave "
                "those films out: missing is not empty"
            )


def with_lungs(films: Sequence[Source], folder: Path) -> list[Source]:
    """Returns radiographs with the files that hold their lungs, as the first of their further inputs.

    A radiograph without such a file gets a fault, so that it is named and nobody else is asked for its lungs.

    Args:
        films: the radiographs.
        folder: the folder of the lungs, with the names of the radiographs and any suffix, also with ``mask``.

    Raises:
        DataError: there is no such folder or nothing in it, or a name fits several files or radiographs.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder that holds the lungs of the radiographs")
    found = Beside(folder).of(films)
    missing = "{}: no lungs are given for it; {} holds no file of this name"
    return [
        replace(film, inputs=(found[film.name], *film.inputs))
        if film.name in found
        else replace(film, fault=film.fault or missing.format(film.path, folder))
        for film in films
    ]


def _own_names(film: Source, *, labelled: bool) -> list[str]:
    """Returns the names that a file of a film may have."""
    stem = bare(film.path.name)
    names = [film.name, posixpath.join(posixpath.dirname(film.name), stem)]
    if labelled:
        depth = film.name.count("/")
        names += [posixpath.join(film.path.parts[-depth - 1], name.partition("/")[2]) for name in names]
        names += [name.partition("/")[2] for name in names[:2]]
    return names


def _names(sources: Iterable[Source]) -> str:
    return " and ".join(source.path.name for source in sources)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
