"""Which jobs are read, in which order, and what is left for next time (elastic.md §3)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connectory.model import JobFact, Known, Problem, SystemErrorCode
from sources.base import SourceAuthFailed, SourceError, SourceMismatch, SourceRateLimited, SourceUnreachable
from sources.elastic.api import RESULT_WINDOW, ElasticClient
from sources.elastic.listing import PAGE, JobList
from sources.elastic.mapping import OPEN_WORDS, connector_of, job_fact, named

#: Requests at once where each asks for one connector or one job.
CONCURRENCY = 4
#: Entries mapped before the event loop gets a turn: some milliseconds.
STRETCH = 25

_LOOK = 100
#: Clocks of servers and workers differ: jobs up to this much older than the newest one known are looked at again.
_OVERLAP = timedelta(seconds=300)
#: Up to this many open jobs are asked for one by one; more are looked up in the lists by status.
_FEW = 4
#: Connectors whose jobs are still owed, read again in one poll.
_OWED_AT_ONCE = 100


@dataclass
class Reading:
    """What was read of jobs so far, and what went wrong."""

    jobs: dict[str, JobFact] = field(default_factory=dict)
    owed: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    #: ids of jobs that were served but not understood
    unreadable: set[str] = field(default_factory=set)
    #: new jobs may lie where the lists do not reach
    beyond_window: bool = False

    async def take(self, entries: Iterable[Any]) -> list[JobFact]:
        """Map ``entries`` and keep them; an unreadable one becomes a problem and its connector is owed."""
        taken = []
        async for sent, fact in mapped(entries):
            if isinstance(fact, JobFact):
                taken.append(fact)
                self.jobs[fact.external_id] = fact
                continue
            connector, name = connector_of(sent), named(sent) or "without id"
            self.owed.update(() if connector is None else (connector,))
            if name not in self.unreadable:
                self.unreadable.add(name)
                self.problems.append(Problem(SystemErrorCode.MISMATCH, f"job {name}: {fact}"))
        return taken

    def failed(self, error: SourceError, what: str) -> None:
        self.problems.append(problem(error, what))


def problem(error: SourceError, what: str) -> Problem:
    wait = error.retry_after if isinstance(error, SourceRateLimited | SourceUnreachable) else None
    return Problem(error.code, f"{what}: {error}", retry_after=wait)


async def mapped(entries: Iterable[Any]) -> AsyncIterator[tuple[Any, JobFact | SourceMismatch]]:
    """Each entry with its fact, or with the reason why there is none; the event loop gets its turns."""
    for number, sent in enumerate(entries, 1):
        try:
            yield sent, job_fact(sent)
        except SourceMismatch as mismatch:
            yield sent, mismatch
        if number % STRETCH == 0:
            await asyncio.sleep(0)


class JobReader:
    """Reads, in one poll, the jobs that are new, open or owed."""

    def __init__(self, client: ElasticClient, jobs: JobList) -> None:
        self._client = client
        self._list = jobs

    async def read(self, known: Known, changed: AbstractSet[str]) -> Reading:
        """``changed`` names the connectors whose facts are not what was stored.

        Raises SourceAuthFailed; every other failure becomes a problem, and what could not be read is owed.
        """
        reading = Reading()
        try:
            await self._new(known, changed, reading)
        except SourceAuthFailed:
            raise
        except SourceError as error:
            # what was read is newer than what was not: stored, it would hide the gap from the next poll
            reading.jobs.clear()
            reading.owed.update(_owed_before(known), filter(None, known.open_jobs.values()))
            reading.failed(error, "new jobs were not read")
            return reading
        try:
            await self._owed(known, reading)
            await self._open(known, reading)
        except SourceAuthFailed:
            raise
        except SourceError as error:
            reading.owed.update(filter(None, (known.open_jobs[job] for job in _unread(known, reading))))
            reading.failed(error, "open jobs were not all read")
        return reading

    async def _new(self, known: Known, changed: AbstractSet[str], reading: Reading) -> None:
        since = None if known.newest_job_at is None else known.newest_job_at - _OVERLAP
        total, complete = 0, False
        async with aclosing(self._list.pages(first=PAGE if since is None else _LOOK)) as pages:
            async for page in pages:
                total = page.count
                facts = await reading.take(page.results)
                # a first poll is content with one page: the rest is history
                complete = since is None or _older(facts, since)
                if complete:
                    break
        complete = (complete or total < RESULT_WINDOW) and not self._list.misses_newest(total)
        if complete or since is None:
            return
        reading.beyond_window = True
        reading.problems.append(
            Problem(
                SystemErrorCode.MISMATCH,
                f"more than {RESULT_WINDOW:,} new jobs, or as many older ones in front of them: the list ends before "
                "all new ones are read; jobs of connectors that changed are read one connector at a time",
            )
        )
        await self._each(sorted(changed), lambda connector: self._latest(connector, since, reading), reading)

    async def _latest(self, connector: str, since: datetime | None, reading: Reading) -> None:
        async with aclosing(self._list.pages(first=_LOOK if since else PAGE, connector_id=connector)) as pages:
            async for page in pages:
                facts = await reading.take(page.results)
                if since is None or _older(facts, since):
                    return

    async def _owed(self, known: Known, reading: Reading) -> None:
        """Read again the jobs of connectors of which something is owed, up to a page of each."""
        owed = _owed_before(known)
        reading.owed.update(owed[_OWED_AT_ONCE:])
        await self._each(owed[:_OWED_AT_ONCE], lambda connector: self._latest(connector, None, reading), reading)

    async def _each(self, connectors: list[str], read: Callable[[str], Awaitable[None]], reading: Reading) -> None:
        """Read each connector's jobs; those that fail are owed, and one problem tells the first reason.

        A server that is down or asks for patience is not asked for the rest.
        """
        failures: list[SourceError] = []

        async def attempt(connector: str) -> None:
            if any(not isinstance(failure, SourceMismatch) for failure in failures):
                reading.owed.add(connector)
                return
            try:
                await read(connector)
            except SourceAuthFailed:
                raise
            except SourceError as error:
                reading.owed.add(connector)
                failures.append(error)

        await _gather(connectors, attempt)
        if failures:
            reading.failed(failures[0], "jobs of some connectors were not read")

    async def _open(self, known: Known, reading: Reading) -> None:
        """See every open job again: by the lists of each open status, and one by one where a list does not help."""
        if known.newest_job_at is None or reading.beyond_window or len(_unread(known, reading)) > _FEW:
            for word in OPEN_WORDS:
                async for page in self._list.pages(status=word):
                    await reading.take(page.results)
        await _gather(_unread(known, reading), lambda job: self._one(job, known, reading))

    async def _one(self, job: str, known: Known, reading: Reading) -> None:
        sent = await self._client.job(job)
        if sent is None:
            reading.gone.add(job)
            return
        if not await reading.take([sent]):
            reading.owed.update(filter(None, [known.open_jobs[job]]))


def _owed_before(known: Known) -> list[str]:
    return [name for name, connector in known.connectors.items() if connector.fingerprint is None]


def _unread(known: Known, reading: Reading) -> list[str]:
    seen = reading.jobs.keys() | reading.gone | reading.unreadable
    return [job for job in known.open_jobs if job not in seen]


def _older(facts: list[JobFact], since: datetime) -> bool:
    """Whether the page reaches back beyond ``since``: then every later page lies beyond it."""
    return any(fact.created_at is not None and fact.created_at < since for fact in facts)


async def _gather(items: list[str], work: Callable[[str], Awaitable[None]]) -> None:
    """Do ``work`` for every item, a few at a time. The first error ends it and is raised."""
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    tasks = [asyncio.ensure_future(worker()) for _ in range(min(CONCURRENCY, len(items)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
