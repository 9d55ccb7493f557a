"""Batches of sources in worker processes: a source that kills its worker fails, and the others go on."""

from __future__ import annotations

import functools
import sys
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
from threadpoolctl import ThreadpoolController

from artasyn.bulk.clusters import Where, work_on
from artasyn.bulk.progress import LOG
from artasyn.bulk.sources import Source
from artasyn.bulk.workers import Death, work_here, work_through
from artasyn.errors import DataError

if TYPE_CHECKING:
    from artasyn.bulk.run import BatchWork, Outcome

_REFUSED: dict[str, str] = {}
"""In a worker: the sources of its batch that are not read again, with the reason."""


def refusal_of(source: Source) -> str:
    """Returns why a source is not read: its own fault, or that it killed a worker; "" if it is read."""
    return source.fault or _REFUSED.get(source.name, "")


@dataclass(frozen=True, slots=True)
class Batch:
    """The sources that a worker takes at once.

    Attributes:
        number: of the batch in the collection.
        sources: the sources.
        refused: names of sources that are not read again, with the reason.
    """

    number: int
    sources: tuple[Source, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _OneThread:
    """Works on a batch with one thread."""

    work: BatchWork

    def __call__(self, batch: Batch) -> list[Outcome]:
        """Returns an outcome for each source."""
        _REFUSED.clear()
        _REFUSED.update(batch.refused)
        with one_thread():
            return self.work(batch.number, batch.sources)


def survive(
    work: BatchWork, batches: deque[Batch], *, workers: int, sealed: bool, where: Where = Where()
) -> Generator[list[Outcome], None, None]:
    """Yields the outcomes of the batches, in any order; a source that kills its worker fails.

    A source that killed a worker, or that lacked memory, is tried once more at the end: alone, in a process of its own.

    Args:
        work: the work on one batch.
        batches: the batches; emptied.
        workers: number of processes; 0 works in this process, which a source may then kill.
        sealed: whether a batch must stay whole.
        where: the machines of the processes. The second try is on this machine, which tells which source is to blame.
    """
    suspects: deque[Batch] = deque()
    deaths: Counter[tuple[str, int]] = Counter()
    for queue, count in ((batches, workers), (suspects, 1)):
        alone = queue is suspects
        one = _OneThread(work)
        with closing(_results(one, queue, count, Where() if alone else where, fresh=alone)) as results:
            for batch, result in results:
                if isinstance(result, Death) and where.cluster and not alone:
                    suspects.extend([batch] if sealed else (replace(batch, sources=(each,)) for each in batch.sources))
                    continue
                if isinstance(result, Death):
                    key = result.begun, 0 if result.begun else batch.number
                    deaths[key] += 1
                    LOG.warning("a worker process ended (%s) at %s", result.how, result.begun or "its start")
                    _split(batch, result, deaths[key], (queue, suspects), sealed=sealed)
                    continue
                again = [] if alone else [outcome.source for outcome in result if outcome.passing]
                if again and sealed:
                    suspects.append(batch)
                    continue
                suspects.extend(Batch(batch.number, (source,)) for source in again)
                yield [outcome for outcome in result if alone or not outcome.passing]


def _results(
    work: _OneThread, batches: deque[Batch], count: int, where: Where, *, fresh: bool
) -> Generator[tuple[Batch, list[Outcome] | Death], None, None]:
    """Yields each batch with its outcomes, from the cluster, from worker processes, or from this process."""
    if where.cluster and count:
        return work_on(where, work, batches)
    return work_through(work, batches, count, fresh=fresh) if count else work_here(work, batches)


def _split(batch: Batch, death: Death, times: int, queues: tuple[deque[Batch], deque[Batch]], *, sealed: bool) -> None:
    """Queues a batch again whose worker died: the guilty source alone, or refused if it died alone."""
    queue, suspects = queues
    if not death.begun:
        if times > 1:
            raise DataError(f"a worker process ended twice before it read a file ({death.how}); try with fewer workers")
        queue.append(batch)
        return
    guilty = tuple(source for source in batch.sources if source.name == death.begun)
    if times > 1:
        reason = f"{guilty[0].path} killed the reader ({death.how}); export it again, or leave it out"
        suspects.append(replace(batch, refused={**batch.refused, death.begun: reason}))
    elif sealed:
        suspects.append(batch)
    else:
        suspects.append(replace(batch, sources=guilty))
        rest = tuple(source for source in batch.sources if source.name != death.begun)
        if rest:
            queue.append(replace(batch, sources=rest))


@functools.lru_cache(maxsize=1)
def _pools(modules: int) -> ThreadpoolController:
    """Returns the thread pools of the loaded libraries, which takes a millisecond to find.

    Args:
        modules: number of modules that are imported; another number asks for another search.
    """
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits OpenCV, PyTorch and linear algebra to one thread: another number may change the rounding of sums.

    PyTorch is limited only if the module of the work has imported it.
    """
    torch = sys.modules.get("torch")
    before = cv2.getNumThreads(), torch.get_num_threads() if torch else 1
    cv2.setNumThreads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        with _pools(len(sys.modules)).limit(limits=1):
            yield
    finally:
        cv2.setNumThreads(before[0])
        if torch:
            torch.set_num_threads(before[1])
