"""Where a command works: on a portion of the collection, or on a cluster; and how a portion ends."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from artasyn.bulk.clusters import Backend
from artasyn.bulk.merging import Merging
from artasyn.bulk.portions import Portion
from artasyn.console.options import POSITIONAL, PYTHON_ONLY, SPREAD, add_options, instantiated, read_options
from artasyn.console.results import Done
from artasyn.errors import DataError
from artasyn.outputs.dicom_files import with_refusals
from artasyn.remote.urls import shown

if TYPE_CHECKING:
    from artasyn.bulk.run import BulkRun, Outcome


@dataclass(frozen=True)
class Machines:
    """The machines that a command works on.

    Attributes:
        portion: I/N works on portion I of N of the collection, so that N jobs or machines share it and the folder of
            results; artasyn merge OUT joins them when all are done.
        backend: loky starts processes on this machine; dask and ray send the work to the cluster whose address is in
            DASK_SCHEDULER_ADDRESS or RAY_ADDRESS, and then workers is the number of its processes.
        merging: what is joined instead of working on anything, see `artasyn.bulk.run.BulkRun`.

    Raises:
        DataError: there is no such portion.
    """

    portion: str = ""
    backend: Backend = "loky"
    merging: Merging = ""

    def __post_init__(self) -> None:
        if self.portion:
            Portion.parse(self.portion)


@runtime_checkable
class Asked(Protocol):
    """The options of a command that works on collections."""

    @property
    def machines(self) -> Machines:
        """The machines that the command works on."""


def placed(command: str, options: Asked) -> dict[str, Any]:
    """Returns the arguments of a `BulkRun` that say where it works.

    Args:
        command: its name.
        options: its options.
    """
    machines = options.machines
    if not machines.portion:
        return {"backend": machines.backend, "merging": machines.merging}
    text = json.dumps(
        {"command": command, "place": str(Path.cwd()), "options": _values(options)}, indent=2, sort_keys=True
    )
    return {"backend": machines.backend, "portion": Portion.parse(machines.portion), "asked": text + "\n"}


def _values(options: Any) -> dict[str, Any]:
    """Returns the values of a command's options, as a configuration file holds them."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if PYTHON_ONLY in field.metadata:
            if value != field.default:
                raise DataError(
                    f"{field.name} is no option that a portion can keep for artasyn merge; leave portion out"
                )
        elif isinstance(value, Machines):
            continue
        elif SPREAD in field.metadata:
            found |= _plain(dataclasses.asdict(value))
        elif value is None and POSITIONAL in field.metadata:
            found[field.name] = []
        else:
            is_record = dataclasses.is_dataclass(value) and not isinstance(value, type)
            found[field.name] = _plain(dataclasses.asdict(value) if is_record else value)
    return found


def _plain(value: Any) -> Any:
    """Returns a value with texts for paths and lists for sequences."""
    if isinstance(value, Path):
        return shown(str(value))
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def options_of(kind: Any, values: Mapping[str, Any], merging: Merging) -> Any:
    """Returns a command's options again, from the values that a portion has kept.

    Args:
        kind: the dataclass of the options.
        values: of the options, by name.
        merging: what is to be joined.

    Raises:
        DataError: the values are none of such options.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    add_options(parser, kind)
    try:
        parsed = parser.parse_object(dict(values))
    except (ArgumentError, TypeError, ValueError) as error:
        raise DataError(f"the options that a portion has kept are damaged ({error}); run the portion again") from error
    options = read_options(kind, vars(instantiated(parser, parsed)))
    return dataclasses.replace(options, machines=Machines(merging=merging))


def portion_done(run: BulkRun, outcomes: Sequence[Outcome], *, strict: bool = False) -> Done:
    """Returns the results of a portion, which has no files about the whole collection.

    Args:
        run: the run of the portion.
        outcomes: its outcomes.
        strict: whether unusable radiographs count as failures in the exit status.
    """
    note = f"portion {run.portion} is done; when all are, run artasyn merge {run.out}"
    return Done((run.manifest,), with_refusals(outcomes), notes=(note,), strict=strict)
