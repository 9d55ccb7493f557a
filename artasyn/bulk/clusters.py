"""Work on the machines of a cluster of Dask or Ray: a worker that dies takes no job with it."""

from __future__ import annotations

import functools
import os
import pickle
import platform
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from artasyn.bulk.progress import LOG
from artasyn.bulk.workers import RAISED, Death, dumps, worked
from artasyn.doors import required
from artasyn.errors import DataError
from artasyn.limits import limits
from artasyn.version import __version__

Job = TypeVar("Job")
Result = TypeVar("Result")

Backend = Literal["loky", "dask", "ray"]
"""Where worker processes run: on this machine, or on a cluster."""

ADDRESSES = {"dask": "DASK_SCHEDULER_ADDRESS", "ray": "RAY_ADDRESS"}
"""The environment variable with the address of each kind of cluster."""

SECONDS, WORKERS_WITHIN = 5, 60
"""Seconds between two looks at whether Dask is still there, and until its first worker must be there."""

_DIED = "died"
"""A kind of answer beside those of `artasyn.bulk.workers`."""

_ONE_JOB = threading.Lock()
"""In a worker: threads of one process work one after the other, because the number of threads is one of a process."""


@dataclass(frozen=True)
class Where:
    """The machines that processes run on.

    Attributes:
        backend: this machine, or the kind of cluster.
        there: a file that every worker of a cluster must see, because the machines share their folders.
    """

    backend: Backend = "loky"
    there: Path = Path()

    @property
    def cluster(self) -> bool:
        """Whether the processes run on a cluster."""
        return self.backend != "loky"


@dataclass(frozen=True)
class Cluster:
    """A cluster that is connected.

    Attributes:
        name: for messages.
        submit: hands over a call of a function, and returns its future.
        wait: waits for the first of some futures, and returns those that are done.
        result: returns the result of a future that is done.
        processes: returns the number of processes now.
        deaths: the exceptions of `result` when the call has killed its process, and those that it was tried on again.
    """

    name: str
    submit: Callable[..., Any]
    wait: Callable[[list[Any]], Iterable[Any]]
    result: Callable[[Any], Any]
    processes: Callable[[], int]
    deaths: tuple[type[Exception], ...]


@contextmanager
def joined(backend: Backend) -> Iterator[Cluster]:
    """Connects to the cluster whose address the environment holds.

    Args:
        backend: the kind of cluster.

    Raises:
        DataError: there is no address, or no cluster with workers answers there.
        MissingExtra: the package of the cluster is not installed.
    """
    package = required("distributed" if backend == "dask" else "ray", extra=backend)
    address = os.environ.get(ADDRESSES[backend], "")
    if not address:
        raise DataError(f"{ADDRESSES[backend]} is not set; set it to the address of the {backend} cluster")
    with (_dask if backend == "dask" else _ray)(package, address) as cluster:
        LOG.info("%s: %d processes", cluster.name, cluster.processes())
        yield cluster


@contextmanager
def _dask(distributed: Any, address: str) -> Iterator[Cluster]:
    """Connects to a scheduler of Dask; it gives the work of a worker that died to others."""
    name = f"dask at {address}"
    try:
        client = distributed.Client(address, set_as_default=False)
    except (OSError, ValueError) as error:  # time-outs are OSErrors
        raise DataError(f"no dask scheduler answers at {address} ({error}); check DASK_SCHEDULER_ADDRESS") from error

    def wait(futures: list[Any]) -> Iterable[Any]:
        while True:
            with suppress(distributed.TimeoutError), client.as_current():
                return list(distributed.wait(futures, SECONDS, "FIRST_COMPLETED").done)
            if client.status != "running":
                raise ConnectionError(f"the client is {client.status}")

    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS_WITHIN)
        except distributed.TimeoutError as error:
            raise DataError(f"{name} has no workers; start some, then go on with the same command") from error
        yield Cluster(
            name,
            functools.partial(client.submit, pure=False),
            wait,
            lambda future: future.result(),
            lambda: sum(client.ncores().values()),
            (distributed.KilledWorker,),
        )


@contextmanager
def _ray(ray: Any, address: str) -> Iterator[Cluster]:
    """Connects to a cluster of Ray, unless this process is connected; a call that loses its process is tried again."""
    mine = not ray.is_initialized()
    if mine:
        try:
            ray.init(address=address, log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"no ray cluster answers at {address} ({error}); check RAY_ADDRESS") from error
    died = ray.exceptions
    try:
        yield Cluster(
            f"ray at {address}",
            lambda function, *values: ray.remote(num_cpus=1, max_retries=1)(function).remote(*values),
            lambda futures: ray.wait(futures)[0],
            ray.get,
            lambda: int(ray.cluster_resources().get("CPU", 1)),
            (died.WorkerCrashedError, died.OutOfMemoryError, died.NodeDiedError),
        )
    finally:
        if mine:
            ray.shutdown()


def work_on(
    where: Where, function: Callable[[Job], Result], jobs: deque[Job]
) -> Generator[tuple[Job, Result | Death], None, None]:
    """Works through jobs on a cluster, as `artasyn.bulk.workers.work_through` does on this machine.

    The cluster gives the job of a worker that died to another worker. A job that kills those too is yielded with its
    death.

    Args:
        where: the cluster.
        function: the work; an exception that it raises is raised here and stops everything.
        jobs: taken from the left until none is left; the caller may add jobs in the meantime.

    Raises:
        DataError: there is no such cluster, it is lost, or a worker does not share the folders or the version.
        MissingExtra: the package of the cluster is not installed.
    """
    work, place = dumps(function), Path.cwd()
    share = (__version__, place, where.there.absolute())
    busy: dict[Any, Job] = {}
    with joined(where.backend) as cluster:
        while jobs or busy:
            room = 2 * _asked(cluster, cluster.processes) - len(busy)
            for _ in range(min(len(jobs), max(1, room))):
                job = jobs.popleft()
                call = answer, share, dumps((work, job, limits(), place))
                busy[_asked(cluster, cluster.submit, *call)] = job
            for future in _asked(cluster, cluster.wait, [*busy]):
                try:
                    kind, value = pickle.loads(_asked(cluster, cluster.result, future))
                except cluster.deaths as error:
                    kind, value = _DIED, Death(_brief(error), "")
                if kind == RAISED:
                    raise value
                yield busy.pop(future), value


def _asked(cluster: Cluster, call: Callable[..., Any], *values: Any) -> Any:
    """Returns what a cluster answers; the work gives its own exceptions as results, so that others are the cluster's.

    Raises:
        DataError: the cluster cannot do what it is asked.
    """
    try:
        return call(*values)
    except cluster.deaths:
        raise
    except Exception as error:
        raise DataError(
            f"{cluster.name} does not work ({_brief(error)}); check that it runs, and that artasyn {__version__} is "
            "installed on its machines, then go on with the same command"
        ) from error


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def answer(share: tuple[Any, ...], message: bytes) -> bytes:
    """Works on one job in a worker of a cluster, and returns the answer.

    Args:
        share: what the worker must share: the version of artasyn, and files and folders.
        message: for `artasyn.bulk.workers.worked`.
    """
    version, *places = share
    reason = "" if version == __version__ else f"has artasyn {__version__}, not {version}; install the same version"
    for path in places:
        if not path.exists():
            reason = f"does not see {path}; the machines must share the folders of radiographs and results"
    if reason:
        return dumps((RAISED, DataError(f"the worker on {platform.node()} {reason}")))
    with _ONE_JOB:
        return worked(message)
