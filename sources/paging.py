"""Lists that are read page by page: how far a poll has to read, and the past of many, a few at a time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from connectory.model import HistoryBatch, JobFact
from sources.base import SourceError
from sources.rounds import CONCURRENCY


def all_new_met(new: int, came: int | None, *, ends_known: bool) -> bool:
    """Whether a list that tells the newest first has been read far enough, when ``new`` entries were met that were not
    known before.

    By their number where it is known how many ``came`` since: a clock that was set back puts new ones behind old ones.
    Else a page without any new one is the end, which ``ends_known`` tells of the last page.
    """
    # fewer came than were met: old ones were removed meanwhile, and their number hides others
    return came == new or (ends_known and (came is None or came < new))


class HistoryPage(NamedTuple):
    """Past jobs of one name. The last page need not say that it is: then the end of the pages does."""

    jobs: Sequence[JobFact]
    is_last: bool = False


async def history_of_each(
    names: Iterable[str],
    pages: Callable[[str], AsyncGenerator[HistoryPage, None]],
    *,
    batch: int,
    left_out: tuple[type[SourceError], ...] = (),
) -> AsyncGenerator[HistoryBatch, None]:
    """The past of each name, a few at a time, gathered into batches of at least so many jobs.

    A name whose ``pages`` raise one of ``left_out`` is not finished. Any other error is raised after what was read
    until then, and nothing is asked after it.
    """
    reading = _HistoryOfEach(iter(names), pages, left_out)
    workers = [asyncio.ensure_future(reading.work()) for _ in range(CONCURRENCY)]
    at_work = len(workers)
    gathered: list[JobFact] = []
    finished: set[str] = set()
    try:
        while at_work:
            match await reading.read.get():
                case None:
                    at_work -= 1
                case (jobs, name):
                    gathered.extend(jobs)
                    finished.update(() if name is None else (name,))
            if len(gathered) >= batch:
                yield HistoryBatch(jobs=gathered, finished=frozenset(finished))
                gathered, finished = [], set()
        if gathered or finished:
            yield HistoryBatch(jobs=gathered, finished=frozenset(finished))
        if reading.failure is not None:
            raise reading.failure
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class _HistoryOfEach:
    """What the workers of one ``history_of_each`` share."""

    def __init__(
        self,
        names: Iterator[str],
        pages: Callable[[str], AsyncGenerator[HistoryPage, None]],
        left_out: tuple[type[SourceError], ...],
    ) -> None:
        self._names, self._pages, self._left_out = names, pages, left_out
        #: jobs, with the name when they are its last ones; None from a worker that is done
        self.read: asyncio.Queue[tuple[Sequence[JobFact], str | None] | None] = asyncio.Queue(2 * CONCURRENCY)
        self.failure: Exception | None = None

    async def work(self) -> None:
        try:
            for name in self._names:
                await self._read(name)
                if self.failure is not None:
                    break
        except Exception as error:
            self.failure = self.failure or error
        await self.read.put(None)

    async def _read(self, name: str) -> None:
        try:
            async with aclosing(self._pages(name)) as pages:
                async for page in pages:
                    await self.read.put((page.jobs, name if page.is_last else None))
                    if page.is_last or self.failure is not None:
                        return
        except self._left_out:
            return
        await self.read.put(((), name))
