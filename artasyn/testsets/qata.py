"""Reader of QaTa-COV19 as published."""

from __future__ import annotations

from pathlib import Path

from artasyn.bulk.sources import find_sources
from artasyn.testsets.folders import UNOWNED, child, known_film
from artasyn.testsets.names import Beside
from artasyn.testsets.tables import located
from artasyn.testsets.testset import TestSet


def qata(data: Path) -> TestSet | None:
    """Reads QaTa-COV19: films in Images, and masks in Ground-truths with mask_ before each name.

    Of version 2, the Test Set is read. Every film is of a patient with COVID-19. Version 1 has masks for 2951 of its
    4603 films; the others are left out.
    """
    truths = located(data, "Ground-truths", depth=4, folders=True)
    places = [place for place in truths if child(place.parent, "images")]
    tests = [place for place in places if place.parent.name == "Test Set"]
    if not places:
        return None
    chosen = (tests or places)[0]
    split = "Test Set" if tests else chosen.parent.name
    films = find_sources([child(chosen.parent, "images") or chosen])
    beside = Beside(chosen)
    masks = beside.of(films)
    published = chosen.parent.name in ("Test Set", "Train Set")
    if published:
        beside.missing(films, masks)
    bare_films = [film.name for film in films if film.name not in masks]
    known = films if published else [film for film in films if film.name in masks]
    return TestSet(
        "qata",
        tuple(known_film(film, True, masks, {}) for film in known),
        {"without a mask": [] if published else bare_films, UNOWNED: beside.spare},
        f"From {split}: {chosen.parent}.",
    )
