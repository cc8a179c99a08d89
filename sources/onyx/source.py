"""Onyx over HTTP: one list of everything, then the index attempts of the cc-pairs that moved.

The list is expensive for the server (onyx.md §8.13), so it is asked once a poll. No request ever names a source: one
that the server does not know makes the whole request a 422 (§8.4).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count

from connectory.model import ConnectorFact, HistoryBatch, JobFact, JobFindings, Known, Observation, Problem
from sources.base import Source, SourceAuthFailed, SourceMismatch, by_connector
from sources.gathering import Gathered
from sources.onyx import findings, live, mapping
from sources.onyx.client import OnyxClient, PairUnknown
from sources.onyx.settings import OnyxSettings
from sources.paging import HistoryPage, all_new_met, history_of_each
from sources.rounds import ask_each

#: Attempts on one page of a poll, and of history; the server allows 1,000.
POLL_PAGE, HISTORY_PAGE = 20, 100
#: … and where an open attempt that is not where it should be is looked for.
_LARGEST_PAGE = 1_000


@dataclass
class _Attempts:
    """What one reading of a pair's attempts gave."""

    jobs: dict[str, JobFact] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    #: reading went as far as it was meant to, over a list that held still
    settled: bool = True
    #: the list was read to its end
    ended: bool = False
    #: how many there are in all, as the first page said
    total: int | None = None

    @property
    def newest(self) -> int:
        return max((job.sequence or 0 for job in self.jobs.values()), default=0)


@dataclass(kw_only=True)
class _Poll(Gathered):
    """What one poll has gathered."""

    known: Known
    connectors: dict[str, ConnectorFact]
    #: open jobs known, by pair
    open_jobs: dict[str, set[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.open_jobs = by_connector(self.known, self.known.open_jobs)


class OnyxSource(Source):
    """One Onyx deployment. With ``secondary_index`` the list tells of the index being built, while attempts are still
    those of the present one: the upstream serves no others (onyx.md §5)."""

    def __init__(self, settings: OnyxSettings) -> None:
        self.http = OnyxClient(settings)
        self._secondary = settings.secondary_index
        #: of each pair the newest attempt met, and how many there were then
        self._met: dict[str, tuple[int, int]] = {}

    async def close(self) -> None:
        await self.http.close()

    async def poll(self, known: Known) -> Observation:
        """Raises when the list itself cannot be read or the credentials are refused; trouble with single entries and
        with the attempts of single pairs is reported in ``problems``."""
        groups = await self.http.connectors(secondary_index=self._secondary)
        connectors, problems = await mapping.connectors(groups)
        complete, poll = not problems, _Poll(known=known, connectors=connectors, problems=problems)
        round_ = await ask_each(self._to_read(poll), lambda pair: self._read_pair(poll, pair))
        for pair in round_.take_out(PairUnknown) - connectors.keys():
            poll.gone |= poll.open_jobs.get(pair, set())
        round_.raise_first(SourceAuthFailed)
        poll.owed |= round_.unread
        poll.problems += round_.problems("index attempts of cc-pair")
        return Observation(
            connectors=tuple(connectors.values()),
            jobs=tuple(poll.jobs.values()),
            complete=complete,
            owed=frozenset(poll.owed),
            gone_jobs=frozenset(poll.gone),
            problems=tuple(poll.problems),
        )

    def _to_read(self, poll: _Poll) -> list[str]:
        """Pairs that changed, and pairs with an open job, listed or not: a stalled run changes no list entry, and a
        pair that vanished takes its open jobs along."""
        changed = {fact.external_id for fact in poll.connectors.values() if not poll.known.unchanged(fact)}
        return sorted((pair for pair in changed | poll.open_jobs.keys() if pair.isdecimal()), key=int, reverse=True)

    async def _read_pair(self, poll: _Poll, pair: str) -> None:
        row = poll.known.connectors.get(pair)
        open_jobs = poll.open_jobs.get(pair, set())
        latest = int(row.latest_job) if row and row.latest_job and row.latest_job.isdecimal() else None
        marks = [latest, *(int(job) for job in open_jobs if job.isdecimal())]
        known = sorted(mark for mark in marks if mark is not None)
        # what lies further back is read by history()
        first_page_only = not known and (row is None or not row.history_read)
        read = await self._read_attempts(pair, known, first_page_only)
        if read.settled and not (first_page_only or read.ended or open_jobs <= read.jobs.keys()):
            await self._look_further(pair, read)
        poll.jobs |= read.jobs
        poll.problems.extend(read.problems)
        if read.problems:
            poll.owed.add(pair)
        elif read.settled:
            poll.gone |= open_jobs - read.jobs.keys()
            if read.total is not None:
                self._met[pair] = max(read.newest, latest or 0), read.total

    async def _read_attempts(self, pair: str, known: Sequence[int], first_page_only: bool) -> _Attempts:
        """Pages until all that is new has been met, and an attempt numbered as the first of ``known`` or lower.

        Attempts come by start, newest first, those that never started before all others (onyx.md §5): these may be
        old, so only a started one tells how far reading has come. A new one may stand behind older ones, when a clock
        was set back: numbers tell which are new, and the length of the list how many. A failure on a later page gives
        up what earlier ones held, or the gap between them and the mark would never be read.
        """
        read, totals, page, reached = _Attempts(), set[int | None](), 0, False
        while True:
            items, total = await self.http.attempts(pair, page, POLL_PAGE)
            jobs, problems = await mapping.jobs(items, pair)
            fresh = [job for job in jobs if job.external_id not in read.jobs]
            read.jobs |= {job.external_id: job for job in jobs}
            read.problems += problems
            read.total = total if page == 0 else read.total
            totals.add(total)
            read.settled = len(totals) == 1
            read.ended = len(items) < POLL_PAGE
            reached |= bool(known) and any(job.started_at and (job.sequence or 0) <= known[0] for job in jobs)
            if first_page_only or read.ended or not fresh:
                return read
            if reached and self._all_new_found(pair, known[-1], read, fresh):
                return read
            page += 1

    def _all_new_found(self, pair: str, newest_known: int, read: _Attempts, last_page: list[JobFact]) -> bool:
        """How many came is known where the newest attempt known is the one that the last reading met."""
        new = sum((job.sequence or 0) > newest_known for job in read.jobs.values())
        newest_met, total_met = self._met.get(pair, (None, 0))
        came = read.total - total_met if newest_met == newest_known and read.total is not None else None
        return all_new_met(new, came, ends_known=all((job.sequence or 0) <= newest_known for job in last_page))

    async def _look_further(self, pair: str, read: _Attempts) -> None:
        """An open attempt is not where its number would have it: it is gone, or its start was told by a wrong clock."""
        items, _ = await self.http.attempts(pair, 0, _LARGEST_PAGE)
        jobs, problems = await mapping.jobs(items, pair)
        read.jobs |= {job.external_id: job for job in jobs}
        read.problems += problems

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        return await live.look(self.http, known, jobs)

    async def examine(self, connector: str, jobs: frozenset[str]) -> Mapping[str, JobFindings]:
        return await findings.examine(self.http, connector, jobs)

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        """A few pairs at a time. A pair whose attempts cannot be read is left out; an upstream that cannot be reached,
        refuses us or asks us to wait ends the reading with that error."""
        pairs = sorted((pair for pair in connectors if pair.isdecimal()), key=int, reverse=True)
        if rest := connectors.difference(pairs):
            yield HistoryBatch(jobs=(), finished=rest)  # federated ones have no attempts
        past = history_of_each(pairs, self._past, batch=HISTORY_PAGE, left_out=(SourceMismatch,))
        async with aclosing(past) as batches:
            async for batch in batches:
                yield batch

    async def _past(self, pair: str) -> AsyncGenerator[HistoryPage, None]:
        """Pages up to the last one, or one that tells nothing new. A pair that is not there has none."""
        seen: set[str] = set()
        for page in count():
            try:
                items, _ = await self.http.attempts(pair, page, HISTORY_PAGE)
            except PairUnknown:
                return
            jobs, _ = await mapping.jobs(items, pair)
            fresh = [job for job in jobs if job.external_id not in seen]
            seen.update(job.external_id for job in fresh)
            is_last = len(items) < HISTORY_PAGE or not fresh
            yield HistoryPage(fresh, is_last)
            if is_last:
                return
