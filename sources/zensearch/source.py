"""ZenSearch in the engine's words: one list of connectors, and each job that is known to be open.

Nothing lists jobs. One is known because somebody triggered it through us, and is then in ``Known.open_jobs``; or it is
inferred from a connector whose ``lastSync`` moved without such a job (zensearch.md §6).
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectory.model import ConnectorFact, HistoryBatch, JobFact, JobStatus, Known, Observation, Problem
from connectory.model import SystemErrorCode as Code
from sources.base import Source, SourceAuthFailed, SourceError, SourceRateLimited
from sources.gathering import Gathered
from sources.reading import mismatches, readable
from sources.rounds import ask_each
from sources.zensearch import mapping
from sources.zensearch.client import JobUnknown, ZenSearchClient
from sources.zensearch.inference import Inference
from sources.zensearch.settings import ZenSearchSettings

#: A job with a word that nobody knows is read until so many answers in a row were the same.
UNDECIDED = 20
#: A list as long as one of these may be a page of a longer one: paging is documented nowhere (zensearch.md §11).
ROUND_SIZES = frozenset({10, 20, 25, 50, 100})

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _Reading(Gathered):
    """What the reading of jobs gave."""

    failures: list[SourceError] = field(default_factory=list)


@dataclass
class _Undecided:
    """A job whose status is a word that nobody knows; the engine does not count it as open."""

    connector: str
    fingerprint: str
    same: int = 0


class ZenSearchSource(Source):
    """One ZenSearch deployment. ``now`` is the time at which a job without any time of its own is first seen."""

    def __init__(
        self,
        settings: ZenSearchSettings,
        *,
        http: ZenSearchClient | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.http = http or ZenSearchClient(settings)
        self._now = now
        self._inference = Inference()
        self._first_seen: dict[str, datetime] = {}
        self._undecided: dict[str, _Undecided] = {}
        self._round_size = 0

    async def close(self) -> None:
        await self.http.close()

    async def poll(self, known: Known) -> Observation:
        """One request, one more for each open job, and one for each connector whose ``lastSync`` moved while its newest
        job was a told one. Raises when the list cannot be read or the credentials are refused.

        When an answer says that no request is left before its reset, a problem with that wait says so, and the engine
        asks no sooner.
        """
        connectors, problems, complete = await _read_list(await self.http.connectors())
        self._mind_the_size(len(connectors))
        moved = [fact for fact in connectors.values() if not known.unchanged(fact) and fact.last_sync_at]
        open_jobs, gone = self._open_jobs(known)
        consulted = {job: fact.external_id for fact in moved if (job := _newest_told(known, fact.external_id))}
        reading = await self._read({**consulted, **open_jobs})
        for failure in reading.failures:
            if _refuses_us(failure):
                raise failure
        for fact in moved:
            self._infer(known, fact, reading)
        self._inference.remember(fact for fact in connectors.values() if fact.external_id not in reading.owed)
        return Observation(
            connectors=tuple(connectors.values()),
            jobs=tuple(reading.jobs.values()),
            complete=complete,
            owed=frozenset(reading.owed & {fact.external_id for fact in moved}),
            gone_jobs=frozenset(gone | (reading.gone & known.open_jobs.keys())),
            problems=(*problems, *reading.problems, *self._spent(reading)),
        )

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        """One request for each of these open jobs. Raises when there was trouble and not one could be read."""
        open_jobs, gone = self._open_jobs(known)
        reading = await self._read({job: connector for job, connector in open_jobs.items() if job in jobs})
        if reading.failures and not reading.jobs and not reading.gone:
            raise reading.failures[0]
        return Observation(
            connectors=[],
            jobs=tuple(reading.jobs.values()),
            complete=False,
            gone_jobs=frozenset((gone | reading.gone) & jobs),
            problems=(*reading.problems, *self._spent(reading)),
        )

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        """Nothing: the upstream serves no past job to anybody who does not know its id (zensearch.md §2)."""
        if connectors:
            yield HistoryBatch(jobs=(), finished=connectors)

    # ---- jobs

    def _open_jobs(self, known: Known) -> tuple[dict[str, str], set[str]]:
        """The jobs to read, with their connectors, and those that nobody could read for want of a connector."""
        jobs: Mapping[str, str | None] = {job: row.connector for job, row in self._undecided.items()} | known.open_jobs
        wanted: dict[str, str] = {}
        gone: set[str] = set()
        for job, connector in jobs.items():
            if connector is None:
                gone.add(job)
            elif not mapping.is_inferred(job, connector):
                wanted[job] = connector
        self._first_seen = {job: moment for job, moment in self._first_seen.items() if job in wanted}
        return wanted, gone

    async def _read(self, wanted: Mapping[str, str]) -> _Reading:
        """``wanted``: the connector of each job."""
        reading = _Reading()

        async def ask(job: str) -> None:
            self._take(reading, job, wanted[job], await self.http.job(wanted[job], job))

        round_ = await ask_each(wanted, ask, concerns_all=_concerns_all)
        reading.gone = round_.take_out(JobUnknown)
        for job in reading.gone:
            self._undecided.pop(job, None)
        reading.owed.update(wanted[job] for job in round_.unread)
        reading.problems += round_.problems("sync job")
        reading.failures += round_.failures.values()
        return reading

    def _take(self, reading: _Reading, job: str, connector: str, sent: object) -> None:
        fact, complaints = mapping.job(sent, job, connector, seen_at=self._first_seen.get(job) or self._now())
        self._first_seen.setdefault(job, fact.order_at)
        reading.jobs[job] = fact
        reading.problems += mismatches(f"sync job {job}", complaints)
        self._decide(fact, connector)

    def _decide(self, fact: JobFact, connector: str) -> None:
        """Go on reading a job with an unknown word (zensearch.md §5) for as long as something happens to it."""
        before = self._undecided.pop(fact.external_id, None)
        if fact.status is not JobStatus.UNKNOWN or fact.ended:
            return
        same = before.same + 1 if before is not None and before.fingerprint == fact.fingerprint else 0
        if same < UNDECIDED:
            self._undecided[fact.external_id] = _Undecided(connector, fact.fingerprint, same)

    def _infer(self, known: Known, fact: ConnectorFact, reading: _Reading) -> None:
        if fact.external_id in reading.owed:
            return  # perhaps that job explains it
        jobs = [job for job in reading.jobs.values() if job.connector == fact.external_id]
        job = self._inference.job(fact, jobs, is_new=fact.external_id not in known.connectors)
        if job is not None:
            reading.jobs[job.external_id] = job

    # ---- what else there is to say

    def _spent(self, reading: _Reading) -> Iterable[Problem]:
        wait = self.http.budget.wait
        if wait and not any(problem.code is Code.RATE_LIMITED for problem in reading.problems):
            yield Problem(Code.RATE_LIMITED, f"no request is left for {wait:.0f} s", retry_after=wait)

    def _mind_the_size(self, size: int) -> None:
        if size in ROUND_SIZES and size != self._round_size:
            _log.warning(
                "ZenSearch listed exactly %d connectors; if there are more, its answer was one page of several.",
                size,
                extra={"action": "zensearch.round_list", "connectors": size},
            )
        self._round_size = size


def _refuses_us(error: SourceError) -> bool:
    return isinstance(error, SourceAuthFailed) and error.status == 401  # a 403 may be about jobs alone


def _concerns_all(error: SourceError) -> bool:
    return isinstance(error, SourceRateLimited) or _refuses_us(error)


def _newest_told(known: Known, connector: str) -> str | None:
    """The connector's newest job, if the upstream told of it itself."""
    row = known.connectors.get(connector)
    job = row.latest_job if row is not None else None
    return None if job is None or mapping.is_inferred(job, connector) else job


async def _read_list(entries: list[object]) -> tuple[dict[str, ConnectorFact], list[Problem], bool]:
    """The facts by external id, what was wrong, and whether each entry gave one. Of entries with one id the first
    counts."""
    facts: dict[str, ConnectorFact] = {}
    problems: list[Problem] = []
    read = 0
    async for fact, complaints in readable(entries, mapping.connector, problems, named=_place_in_list):
        read += 1
        if fact.external_id not in facts:
            facts[fact.external_id] = fact
            problems += mismatches(f"connector {fact.external_id}", complaints)
    return facts, problems, read == len(entries)


def _place_in_list(place: int, _: object) -> str:
    return f"connector {place} of the list"
