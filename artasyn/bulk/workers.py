"""Worker processes: one that dies takes only its own job with it, and all end when their parent dies."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import current_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, TypeVar

from artasyn.bulk.memory import keep_freed
from artasyn.errors import DataError
from artasyn.limits import limits, using

Job = TypeVar("Job")
Result = TypeVar("Result")


def dumps(value: Any) -> bytes:
    """Pickles an object, or a function with what it needs."""
    from joblib.externals.loky.backend import reduction  # takes half a second to import

    return bytes(reduction.dumps(value))


PATIENCE = 60.0
"""Seconds that a worker waits for the next job before it ends."""

_BEGUN, _DONE, RAISED = "begun", "done", "raised"
"""Kinds of messages from a worker."""


_PARENT: list[Connection] = []
"""In a worker: the connection to its parent."""


@dataclass(frozen=True)
class Death:
    """The end of a worker in the middle of a job.

    Attributes:
        how: what ended it, for messages.
        begun: what the job had told `begin` last; "" if nothing.
    """

    how: str
    begun: str


def begin(name: str) -> None:
    """Tells the parent which part of its job a worker begins now; does nothing in another process.

    Args:
        name: of the part. If the worker dies, the part is held responsible.
    """
    for connection in _PARENT:
        connection.send((_BEGUN, name))


def follow_parent(parent: int) -> None:
    """Ends this process when its parent ends, however busy this process is and whatever ended the parent.

    Args:
        parent: the process id of the parent.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="follow parent").start()


def _watch(parent: int) -> None:
    if sys.platform == "win32":
        import _winapi

        handle = _winapi.OpenProcess(0x00100000, False, parent)  # SYNCHRONIZE
        _winapi.WaitForSingleObject(handle, _winapi.INFINITE)
    else:
        while os.getppid() == parent:
            time.sleep(0.5)
    os._exit(1)


class _Worker:
    """One worker process, seen from its parent."""

    def __init__(self) -> None:
        if current_process().daemon:
            raise DataError("a daemonic process may start no workers; call artasyn from a process that may")
        from joblib.externals.loky.backend import get_context  # takes half a second to import

        context = get_context("loky")
        self.parent = os.getpid()
        self.begun = ""
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.parent))
        with uninterrupted():
            self.process.start()
        theirs.close()
        Finalize(self, self.connection.close, exitpriority=1)  # a waiting worker ends with this process, of any kind

    def give(self, work: bytes, job: Any) -> None:
        """Hands over a job."""
        self.begun = ""
        message = dumps((work, job, limits(), Path.cwd()))
        with suppress(OSError):  # `answer` tells that the worker is dead
            self.connection.send_bytes(message)

    def answer(self) -> tuple[Any] | Death | None:
        """Reads a message: a result, or the worker's death; None if the job goes on."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(10)
            return Death(_ending(self.process.exitcode), self.begun)
        if kind == RAISED:
            raise value
        if kind == _BEGUN:
            self.begun = value
            return None
        return (value,)

    def end(self) -> None:
        """Ends the process, whatever it does."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        self.process.join()
        self.connection.close()


_IDLE: list[_Worker] = []
"""Workers of earlier runs, which wait for the next run of this process."""


def _idle_worker() -> _Worker:
    """Returns a worker that waits for a job, or else a new one."""
    while _IDLE:
        worker = _IDLE.pop()
        if worker.parent == os.getpid() and worker.process.is_alive():
            return worker
    return _Worker()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Lets a process start without Ctrl-C, which the terminal sends to every process; the parent ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # if the first process started it, it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ending(code: int | None) -> str:
    """Describes how a process ended."""
    if code is None or code >= 0:
        return f"exit status {code}"
    name = signal.Signals(-code).name
    return f"{name}, perhaps out of memory" if name == "SIGKILL" else name


def _serve(connection: Connection, parent: int) -> None:
    """Works on jobs until none comes any more; the body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follow_parent(parent)
    keep_freed()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))  # for what is imported later
    _PARENT.append(connection)
    with suppress(EOFError, ConnectionError):
        while connection.poll(PATIENCE):
            connection.send_bytes(worked(connection.recv_bytes()))


def worked(message: bytes) -> bytes:
    """Works on one job and returns the answer.

    Args:
        message: the pickled function, job, limits and working directory.
    """
    try:
        work, job, bounds, place = pickle.loads(message)
        os.chdir(place)  # a worker that waited may have begun at another place
        with using(bounds):
            return dumps((_DONE, pickle.loads(work)(job)))
    except Exception as error:
        return dumps((RAISED, ExceptionWithTraceback(error, error.__traceback__)))
    except BaseException:  # the work ends the process, which is its death
        os._exit(1)


def work_here(function: Callable[[Job], Result], jobs: deque[Job]) -> Generator[tuple[Job, Result], None, None]:
    """Works through jobs in this process, as `work_through` does in others.

    Args:
        function: the work.
        jobs: taken from the left until none is left.
    """
    while jobs:
        job = jobs.popleft()
        yield job, function(job)


def work_through(
    function: Callable[[Job], Result], jobs: deque[Job], count: int, *, fresh: bool = False
) -> Generator[tuple[Job, Result | Death], None, None]:
    """Works through jobs in worker processes and yields each job with its result, in the order in which they end.

    Args:
        function: the work, run in a worker. An exception that it raises is raised here and stops everything.
        jobs: taken from the left until none is left; the caller may add jobs in the meantime.
        count: number of workers.
        fresh: each job gets a new process of its own.
    """
    work = dumps(function)
    busy: dict[Connection, tuple[_Worker, Job]] = {}
    try:
        while jobs or busy:
            while jobs and len(busy) < count:
                worker = _Worker() if fresh else _idle_worker()
                job = jobs.popleft()
                busy[worker.connection] = worker, job
                worker.give(work, job)
            for connection in wait(list(busy)):
                worker, job = busy[connection]  # type: ignore[index]
                result = worker.answer()
                if result is None:
                    continue
                del busy[worker.connection]
                if isinstance(result, Death) or fresh:
                    worker.end()
                else:
                    _IDLE.append(worker)
                yield job, result[0] if isinstance(result, tuple) else result
    finally:
        for worker, _ in busy.values():
            worker.end()
