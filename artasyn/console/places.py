"""URLs among the options of a command: what stands for them on this machine, and results that go to them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artasyn.errors import DataError
from artasyn.remote.objects import stand_in
from artasyn.remote.results import published
from artasyn.remote.urls import place_of, url_in, url_of

if TYPE_CHECKING:
    from artasyn.bulk.portions import Portion

REMOTE = "remote"
"""The key of a field's metadata that says what its URLs are, see `artasyn.console.options.remote`."""


def here(options: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a command's options, with paths of this machine in place of URLs.

    Args:
        options: the dataclass of the options.
        values: the values by the names of the options.

    Raises:
        DataError: there is nothing at a URL, or the command cannot write to one, or films lie where the results go.
        StoreError: a store does not answer.
        MissingExtra: a package is missing.
    """
    kinds = {field.name: field.metadata.get(REMOTE, "files") for field in dataclasses.fields(options)}
    out = values.get("out")
    target = url_in(out) if isinstance(out, Path) else ""
    if target and kinds["out"] != "results":
        raise DataError(f"{target}: this command writes to folders of this machine alone; give one, and copy it then")

    def local(name: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(local(name, each) for each in value)
        url = url_in(value) if isinstance(value, Path) else ""
        if not url:
            return value
        if name == "out":
            return place_of(url, "results")
        if kinds.get(name) != "films":
            return stand_in(url, leave=target)
        if target and f"{url}/".startswith(f"{target}/"):
            raise DataError(f"{target} holds the radiographs; choose another folder for the results")
        from artasyn.files.radiograph import RADIOGRAPH_SUFFIXES  # loads slowly, and URLs are rare

        return stand_in(url, lazy=RADIOGRAPH_SUFFIXES, leave=target)

    return {name: local(name, value) for name, value in values.items()}


@contextmanager
def sent(out: object, portion: str = "") -> Iterator[None]:
    """Copies the results of a block to the store that they belong to, if they do.

    Args:
        out: the folder that the block writes to, as `here` returned it.
        portion: that the block works on, such as 2/8; it needs no results of the others.

    Raises:
        DataError: another command writes there, or there is no such bucket.
        StoreError: the store does not answer.
    """
    url = url_of(out, "results") if isinstance(out, Path) else ""
    if not url:
        yield
        return
    from artasyn.bulk.lock import claimed  # loads slowly, and URLs are rare
    from artasyn.bulk.portions import Portion

    assert isinstance(out, Path)
    one = Portion.parse(portion) if portion else None
    needs = (functools.partial(_needs, out, one), one.writes) if one else ()
    with claimed(out, ranks=False), published(url, out, *needs):  # the jobs of one srun are no training
        yield


def _needs(out: Path, portion: Portion) -> Iterator[Callable[[str], bool]]:
    """Yields which results a portion needs: first its journal, then the files that the journal lists."""
    from artasyn.bulk.journal import written

    yield portion.needs
    yield written(portion.folder(out)).__contains__
