"""Patients and groups of the films of a test set: from a table, from DICOM headers, and from the set itself."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artasyn.errors import DataError, RadiographError
from artasyn.files.opened import read_person
from artasyn.testsets.tables import Record, bare, read_cells
from artasyn.testsets.testset import TestFilm, TestSet, listed

NAMES = {
    "film": ("film", "file", "filename", "name", "path", "image", "image index"),
    "patient": ("patient", "patient id", "patientid", "subject id"),
    "sex": ("sex", "gender", "patient gender", "patient sex", "patientsex"),
    "age": ("age", "patient age", "patientage"),
    "view": ("view", "view position", "viewposition"),
    "site": ("site", "institution", "hospital", "institutionname"),
}
"""The columns of a table of groups and their names, in lower case; ``_`` and blanks are the same."""

GROUPED = ("sex", "age", "view", "site")
"""The columns that make groups."""

AGES = (18, 40, 60)
"""Ages in years at which bands begin."""

SEXES = {"f": "female", "female": "female", "w": "female", "m": "male", "male": "male", "o": "other sex"}
"""What tables and DICOM headers write for a sex, in lower case, and the name of the group."""

AGE = re.compile(r"0*(\d{1,3})(?:\.\d+)?\s*([ymwd]?)", re.IGNORECASE)
"""An age in years, or as DICOM writes it: 063Y, 008M, 003W, 021D."""

OLDEST = 120

MANY = 10
"""The fewest films of one identifier that are remarked on, if they are more than half of all films."""


@dataclass(frozen=True)
class FilmGroups:
    """Patients and groups of films.

    Attributes:
        patients: the patient of each film by its name, where it is known.
        groups: by column (sex, age, view, site, and their crossing) the group of each film by its name.
        notes: sentences about films without a group, values that have no reading, and an identifier that most films
            share.
    """

    patients: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def film_groups(
    test: TestSet, table: Path | None = None, *, ages: Sequence[int] = AGES, cross: Sequence[str] = ("sex", "age")
) -> FilmGroups:
    """Reads patients and groups of a test set's films.

    The table counts before the DICOM header, and the header before the names of the test set.

    Args:
        test: the films.
        table: a CSV file with a column of film or patient, and any of patient, sex, age, view and site; see `NAMES`.
        ages: in years, ascending, at which the bands of ages begin.
        cross: two columns whose groups are crossed, where both are known; nothing for no crossing.

    Raises:
        DataError: the table has no such columns, none of its rows belongs to a film, two rows contradict each other, or
            the ages or the columns to cross are not valid.
    """
    if any(high <= low for low, high in zip((0, *ages), ages, strict=False)):
        raise DataError(f"ages must rise and be above 0, such as 18 40 60, not {' '.join(map(str, ages))}")
    if len(cross) not in (0, 2) or not set(cross) <= set(GROUPED) or len(set(cross)) != len(cross):
        raise DataError(f"cross takes two of {', '.join(GROUPED)}, not {' '.join(cross) or 'nothing'}")
    people, notes = {film.source.name: _known(film) for film in test.films}, []
    if table is not None:
        notes += _join(test, table, people)
    patients, doubts = _patients(people)
    notes += doubts
    groups: dict[str, dict[str, str]] = {}
    for column in GROUPED:
        found = {name: person[column] for name, person in people.items() if person.get(column)}
        read = {name: _group(column, value, ages) for name, value in found.items()}
        strange = sorted({found[name] for name, group in read.items() if not group})
        notes += [f"no reading of {column}: {', '.join(strange[:5])}" + ", ..." * (len(strange) > 5)] * bool(strange)
        known = {name: group for name, group in read.items() if group}
        if known:
            groups[column] = known
            without = len(people) - len(known)
            notes += [f"{without} of {len(people)} films have no {column}"] * bool(without)
    if len(cross) == 2 and set(cross) <= groups.keys():
        one, other = (groups[column] for column in cross)
        both = {name: f"{group}, {other[name]}" for name, group in one.items() if name in other}
        groups |= {f"{cross[0]} and {cross[1]}": both} if both else {}
    return FilmGroups(patients, groups, tuple(notes))


def _patients(people: Mapping[str, Record]) -> tuple[dict[str, str], list[str]]:
    """Returns the patient of each film where it is known, and a sentence about an identifier that may be no patient's.

    Anonymisers may give all films one identifier, such as ANON or 0. If no other one is known, no patient is.
    """
    patients = {name: person["patient"] for name, person in people.items() if person.get("patient")}
    often = Counter(patients.values()).most_common(1)
    same = often[0][1] if often else 0
    shared = f"{same} of {len(people)} films have the same identifier of a patient"
    if same < 2 or 2 * same <= len(people):
        return patients, []
    if len(set(patients.values())) == 1:
        return {}, [f"{shared} and no other one is known, so patients count as not known"]
    return patients, [f"{shared}; intervals are wrong if it is a placeholder"] * (same >= MANY)


def _known(film: TestFilm) -> Record:
    """Returns what the test set and the film's DICOM header tell."""
    try:
        stated = read_person(film.source.path)
    except RadiographError:  # the film itself will fail, with its reason
        stated = {}
    return ({"patient": film.patient} if film.patient else {}) | stated


def _join(test: TestSet, table: Path, people: Mapping[str, Record]) -> list[str]:
    """Adds the rows of a table to the films they belong to; returns sentences about rows and films without any."""
    header, *rows = read_cells(table)
    columns = {place: _column(name) for place, name in enumerate(header)}
    twice = [name for name in NAMES if list(columns.values()).count(name) > 1]
    if twice or not {"film", "patient"} & set(columns.values()) or not set(columns.values()) & {*GROUPED, "patient"}:
        problem = f"two columns of {twice[0]}" if twice else "no column of film or patient with one of patient or group"
        raise DataError(f"{table}: {problem}; its columns are {', '.join(header)[:300]}; wanted: {', '.join(NAMES)}")
    owners, key = (_by_film(test), "film") if "film" in columns.values() else (_by_patient(people), "patient")
    met: dict[str, Record] = {}
    foreign = 0
    for cells in rows:
        row = {name: cells[place] for place, name in columns.items() if name and place < len(cells) and cells[place]}
        mine = owners.get(_address(row.get(key, "")) if key == "film" else row.get(key, ""), ())
        if key == "film" and len(mine) > 1:
            raise DataError(f"{table}: {row[key]} may be {listed(sorted(mine))}; write the path below the data folder")
        foreign += not mine
        row.pop("film", None)
        for name in mine:
            against = [column for column, value in row.items() if met.get(name, {}).get(column, value) != value]
            if against:
                raise DataError(f"{table}: two rows about {name} differ in {against[0]}; leave one")
            met[name] = met.get(name, {}) | row
    if not met:
        example = next(iter(people))
        raise DataError(f"{table}: none of its {len(rows)} rows belongs to a film of the set, such as {example}")
    for name, row in met.items():
        people[name].update(row)
    notes = [f"{foreign} of {len(rows)} rows of {table.name} belong to no film of the set"] * bool(foreign)
    return notes + [f"{len(people) - len(met)} films have no row in {table.name}"] * (len(met) < len(people))


def _column(name: str) -> str:
    """Returns the column that a heading names; empty for another one."""
    plain = " ".join(name.lower().replace("_", " ").split())
    return next((column for column, names in NAMES.items() if plain in names), "")


def _by_film(test: TestSet) -> dict[str, set[str]]:
    """Returns the names of the films that each way to write a film may mean."""
    found = defaultdict[str, set[str]](set)
    for film in test.films:
        name, path = film.source.name, film.source.path
        for way in (name, name.rpartition("/")[2], path.as_posix(), path.resolve().as_posix(), path.name):
            found[_address(way)].add(name)
    return found | {film.source.name: {film.source.name} for film in test.films}  # a whole name means its film alone


def _by_patient(people: Mapping[str, Record]) -> dict[str, set[str]]:
    """Returns the films of each patient that is known already."""
    found = defaultdict[str, set[str]](set)
    for name, person in people.items():
        found[person.get("patient", "")].add(name)
    found.pop("", None)
    return found


def _address(text: str) -> str:
    """Returns one way to write the path of a film: with ``/`` and without the suffix of a radiograph."""
    return bare(text.replace("\\", "/").removeprefix("./"))


def _group(column: str, value: str, ages: Sequence[int]) -> str:
    """Returns the group that a value belongs to; empty where the value has no reading."""
    if column == "sex":
        return SEXES.get(value.lower(), "")
    return band_of(value, ages) if column == "age" else value


def band_of(age: str, ages: Sequence[int] = AGES) -> str:
    """Returns the band of an age; empty for a text that is no age.

    Args:
        age: in years, or as DICOM writes it.
        ages: in years, ascending, at which bands begin.

    Example:
        >>> band_of("063Y"), band_of("45"), band_of("008M"), band_of("411")
        ('60 and over', '40 to 59', 'under 18', '')
    """
    read = AGE.fullmatch(age.strip())
    if not read:
        return ""
    years = int(read[1]) // {"": 1, "y": 1, "m": 12, "w": 52, "d": 365}[read[2].lower()]
    if years > OLDEST:
        return ""
    above = sum(years >= limit for limit in ages)
    if not above:
        return f"under {ages[0]}" if ages else "all ages"
    return f"{ages[-1]} and over" if above == len(ages) else f"{ages[above - 1]} to {ages[above] - 1}"
