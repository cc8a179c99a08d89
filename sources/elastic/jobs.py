"""Which jobs are read, in which order, and what is left for next time (elastic.md §3)."""

from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from datetime import datetime, timedelta

from connectory.model import JobFact, Known, Problem, SystemErrorCode
from sources.base import SourceAuthFailed, SourceError
from sources.elastic.client import RESULT_WINDOW, ElasticClient, JobUnknown
from sources.elastic.listing import PAGE, JobList, names
from sources.elastic.mapping import OPEN_WORDS, read_job
from sources.elastic.places import Places
from sources.elastic.reading import JobsRead
from sources.rounds import ask_all, ask_each

_LOOK = 100
#: Clocks of servers and workers differ: jobs up to this much older than the newest one known are looked at again.
_OVERLAP = timedelta(seconds=300)
#: Up to this many open jobs are asked for one by one; more are looked up in the lists by status.
_FEW = 4
#: Connectors whose jobs are still owed, read again in one poll; and jobs that have left the lists, read in one look.
_OWED_AT_ONCE = _ENDED_AT_ONCE = 100
#: A server that is down is not asked for the rest.
_PATIENCE = 1


class JobReader:
    """Reads, in one poll, the jobs that are new, open or owed."""

    def __init__(self, client: ElasticClient, jobs: JobList) -> None:
        self._client = client
        self._list = jobs
        #: up to which moment the polls with this memory have read all that is new
        self._read_until: tuple[Known, datetime] | None = None
        #: what the polls with this memory have met
        self._met: tuple[Known, Places] | None = None

    async def read(self, known: Known, changed: AbstractSet[str]) -> JobsRead:
        """``changed`` names the connectors whose facts are not what was stored.

        Raises SourceAuthFailed; every other failure becomes a problem, and what could not be read is owed.
        """
        reading = JobsRead()
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
            missing = reading.missing(known.open_jobs)
            reading.owed.update(filter(None, (known.open_jobs[job] for job in missing)))
            reading.failed(error, "open jobs were not all read")
        return reading

    async def look(self, known: Known, jobs: AbstractSet[str]) -> JobsRead:
        """Only these jobs, and others that come along. Raises SourceError when nothing could be read.

        Few are asked for one by one. Many are looked up in the lists by status, those at work first, and what is in
        none of them has ended; of these at most a hundred are read at once.
        """
        reading = JobsRead()
        failures: list[SourceError] = []
        try:
            for word in OPEN_WORDS:
                if len(reading.missing(jobs)) <= _FEW:
                    break
                async with aclosing(self._list.pages(status=word)) as pages:
                    async for page in pages:
                        reading.take(page.results)
        except SourceError as error:
            failures.append(error)
        else:
            rest = reading.missing(jobs)[:_ENDED_AT_ONCE]
            round_ = await ask_each(rest, lambda job: self._one(job, known, reading), patience=_PATIENCE)
            failures += round_.failures.values()
        if failures and not (reading.jobs or reading.gone or reading.unreadable):
            raise failures[0]
        if failures:
            reading.failed(failures[0], "open jobs were not all read")
        return reading

    def _since(self, known: Known) -> datetime | None:
        """From which moment on jobs may be new. A look may have seen newer jobs than the last poll that got through:
        what lies between the two has not been read, so the poll's own mark counts."""
        newest = known.newest_job_at
        if newest is None:
            return None
        if self._read_until is not None and self._read_until[0] is known:
            newest = min(newest, self._read_until[1])
        return newest - _OVERLAP

    def _places(self, known: Known) -> Places:
        if self._met is None or self._met[0] is not known:
            self._met = (known, Places())
        return self._met[1]

    async def _new(self, known: Known, changed: AbstractSet[str], reading: JobsRead) -> None:
        since, places = self._since(known), self._places(known)
        moved = None if self._list.oldest_first else await places.moved(self._client)
        read: list[str] = []
        total, complete = 0, False
        # a first poll is content with one page: the rest is history
        async with aclosing(self._list.pages(first=_LOOK if since and places else PAGE)) as pages:
            async for page in pages:
                total, ids = page.count, names(page.results)
                read += ids
                complete = _older(reading.take(page.results), since) or complete
                if since is None or (complete and places.all_found(read, ids, total, moved)):
                    break
        places.keep(read, total)
        newest = max((job.order_at for job in reading.jobs.values()), default=known.newest_job_at)
        self._read_until = None if newest is None else (known, newest)
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

    async def _latest(self, connector: str, since: datetime | None, reading: JobsRead) -> None:
        async with aclosing(self._list.pages(first=_LOOK if since else PAGE, connector_id=connector)) as pages:
            async for page in pages:
                if _older(reading.take(page.results), since):
                    return

    async def _owed(self, known: Known, reading: JobsRead) -> None:
        """Read again the jobs of connectors of which something is owed, up to a page of each."""
        owed = _owed_before(known)
        reading.owed.update(owed[_OWED_AT_ONCE:])
        await self._each(owed[:_OWED_AT_ONCE], lambda connector: self._latest(connector, None, reading), reading)

    async def _each(self, connectors: list[str], read: Callable[[str], Awaitable[None]], reading: JobsRead) -> None:
        """Read each connector's jobs; those that fail are owed, and one problem tells the first reason."""
        round_ = await ask_each(connectors, read, patience=_PATIENCE)
        reading.owed |= round_.unread
        round_.raise_first(SourceAuthFailed)
        if failure := round_.first():
            reading.failed(failure, "jobs of some connectors were not read")

    async def _open(self, known: Known, reading: JobsRead) -> None:
        """See every open job again: by the lists of each open status, and one by one where a list does not help."""
        if known.newest_job_at is None or reading.beyond_window or len(reading.missing(known.open_jobs)) > _FEW:
            for word in OPEN_WORDS:
                async for page in self._list.pages(status=word):
                    reading.take(page.results)
        await ask_all(reading.missing(known.open_jobs), lambda job: self._one(job, known, reading))

    async def _one(self, job: str, known: Known, reading: JobsRead) -> None:
        try:
            sent = await self._client.job(job)
        except JobUnknown:
            reading.gone.add(job)
            return
        if not reading.take([read_job(sent)]):
            reading.owed.update(filter(None, [known.open_jobs.get(job)]))


def _owed_before(known: Known) -> list[str]:
    return [name for name, connector in known.connectors.items() if connector.fingerprint is None]


def _older(facts: list[JobFact], since: datetime | None) -> bool:
    """Whether the page reaches back beyond ``since``: then every later page lies beyond it, if clocks were right."""
    return since is None or any(fact.created_at is not None and fact.created_at < since for fact in facts)
