"""The adapter that the engine polls: data sources with their latest crawl, and the crawls that ended in between."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from connectory.model import ConnectorFact, HistoryBatch, JobFact, Known, Observation
from sources.base import Source, SourceError, SourceMismatch, by_connector
from sources.gathering import Gathered
from sources.lucidworks.client import LucidworksClient
from sources.lucidworks.fusion import FusionDialect
from sources.lucidworks.runs import Run, RunHistory, merged, started_of
from sources.lucidworks.search import SearchDialect
from sources.lucidworks.settings import LucidworksSettings
from sources.lucidworks.survey import Dialect, Sighting, State, Survey, ask_for
from sources.reading import mismatches
from sources.rounds import failures_of, gravest, problems_of

#: Data sources whose past makes one batch of history.
BATCH = 20


class LucidworksSource(Source):
    """One LucidWorks Search or Fusion, in the engine's words. Raises only SourceError."""

    def __init__(self, settings: LucidworksSettings) -> None:
        self.http = LucidworksClient(settings)
        self._dialect: Dialect = (
            FusionDialect(self.http, settings) if settings.dialect == "fusion" else SearchDialect(self.http, settings)
        )
        #: data source whose history could not be read → the start of the newest crawl known before, None for unknown
        self._since: dict[str, datetime | None] = {}

    async def close(self) -> None:
        await self.http.close()

    async def poll(self, known: Known) -> Observation:
        """Every data source with its latest crawl; and from history what ended behind a newer crawl.

        Raises when nothing could be read; a collection or a data source that could not be read is a problem.
        """
        survey = await self._dialect.survey()
        poll = _Poll(known=known, survey=survey)
        self._since = {name: since for name, since in self._since.items() if not survey.lacks(name)}
        wanted = {name: self._since_of(poll, name) for name in survey.sightings if self._needs_history(poll, name)}
        histories = await self._dialect.histories(list(wanted))
        for name, sighting in survey.sightings.items():
            poll.connectors.append(sighting.connector)
            if name in wanted:
                self._take_history(poll, name, histories[name], wanted[name])
            elif sighting.run is not None and poll.is_news(sighting):
                poll.add([sighting.run.job(name)])
        # one whose state was never readable is shown without it; any other keeps what was known of it
        poll.connectors += [fact for name, fact in survey.unread.items() if name not in known.connectors]
        survey.problems += problems_of(failures_of(histories), "history of data source")
        await self._ask_for_the_vanished(poll)
        poll.owed.update(failures_of(histories))
        poll.problems += survey.problems
        return poll.as_poll(poll.connectors, complete=survey.complete)

    def _needs_history(self, poll: "_Poll", name: str) -> bool:
        """Whether something may have ended that the latest state does not tell. Of a new one ``history`` tells."""
        row, run = poll.known.connectors.get(name), poll.survey.sightings[name].run
        if row is None:
            return False
        job = run.job(name).external_id if run else None
        open_jobs = poll.open_jobs.get(name, set())
        if open_jobs - {job} or row.fingerprint is None:
            return True
        if run is None:
            return False
        if run.ended and job in open_jobs and self._dialect.history_says_more:
            return True
        latest = started_of(row.latest_job)
        return job != row.latest_job and (latest is None or run.started > latest)

    def _since_of(self, poll: "_Poll", name: str) -> datetime | None:
        if name in self._since:
            return self._since[name]
        row = poll.known.connectors[name]
        # with nothing read since the last failure of an earlier process, nobody knows where the gap begins
        return None if row.fingerprint is None else started_of(row.latest_job)

    def _take_history(self, poll: "_Poll", name: str, past: RunHistory | SourceError, since: datetime | None) -> None:
        run = poll.survey.sightings[name].run
        if isinstance(past, SourceError):
            self._since.setdefault(name, since)
            poll.add([run.job(name)] if run else [])
            return
        self._since.pop(name, None)
        poll.survey.note(f"data source {name}", past.complaints)
        poll.merge(_gathered(name, run, past, poll.open_jobs.get(name, set()), since))

    async def _ask_for_the_vanished(self, poll: "_Poll") -> None:
        """Open crawls of data sources that are not listed any more: gone when they are not served either."""
        vanished = {name: jobs for name, jobs in poll.open_jobs.items() if poll.survey.lacks(name)}
        found = await self._look_at(vanished)
        for outcome in found.values():
            if not isinstance(outcome, SourceError):
                poll.add(outcome.jobs.values())
                poll.gone |= outcome.gone

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        """The present state of these open crawls: one status each, and the history of those that a newer one hides.

        A status says too little of its data source to make a connector's fact.
        """
        found = await self._look_at(by_connector(known, jobs))
        failures = failures_of(found)
        if failures and len(failures) == len(found):
            raise gravest(failures.values())
        seen = Gathered(problems=problems_of(failures, "status of data source"))
        for outcome in found.values():
            if not isinstance(outcome, SourceError):
                seen.merge(outcome)
        return seen.as_look()

    async def _look_at(self, wanted: dict[str, set[str]]) -> dict[str, Gathered | SourceError]:
        async def ask(name: str) -> Gathered:
            open_jobs = wanted[name]
            state = await self._dialect.state(name)
            job = state.run.job(name) if state.run else None
            hidden = open_jobs - ({job.external_id} if job else set())
            if not hidden and not (job and job.ended and self._dialect.history_says_more):
                seen = Gathered(problems=mismatches(f"data source {name}", state.complaints))
                seen.add([job] if job else [])
                return seen
            past = (await self._dialect.histories([name]))[name]
            if isinstance(past, SourceError):
                raise past
            since = min(filter(None, map(started_of, open_jobs)), default=None)
            gathered = _gathered(name, state.run, past, open_jobs, since)
            gathered.problems += mismatches(f"data source {name}", (*state.complaints, *past.complaints))
            return gathered

        return await ask_for(sorted(wanted), ask)

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncGenerator[HistoryBatch, None]:
        """Every crawl that is still served of these, the running one too, newest first of each.

        A data source whose past cannot be read is left out; an upstream that cannot be reached, refuses us or asks us
        to wait ends the reading with that error.
        """
        for group in self._dialect.groups(connectors):
            states = await self._dialect.states(group)
            histories = await self._dialect.histories(group)
            failures = {**failures_of(states), **failures_of(histories)}
            readable = [name for name in group if name not in failures]
            for at in range(0, len(readable), BATCH):
                some = readable[at : at + BATCH]
                jobs = [job for name in some for job in _story(name, states[name], histories[name])]
                yield HistoryBatch(jobs=jobs, finished=frozenset(some))
                await asyncio.sleep(0)
            grave = [error for error in failures.values() if not isinstance(error, SourceMismatch)]
            if grave:
                raise gravest(grave)


@dataclass(kw_only=True)
class _Poll(Gathered):
    """What one poll has gathered."""

    known: Known
    survey: Survey
    connectors: list[ConnectorFact] = field(default_factory=list)
    #: open jobs known, by data source
    open_jobs: dict[str, set[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.open_jobs = by_connector(self.known, self.known.open_jobs)

    def is_news(self, sighting: Sighting) -> bool:
        """Whether the latest run is not one that is long known to have ended."""
        assert sighting.run is not None
        name = sighting.connector.external_id
        job = sighting.run.job(name).external_id
        row = self.known.connectors.get(name)
        settled = row is not None and row.latest_job == job and job not in self.open_jobs.get(name, ())
        return not (settled and sighting.run.ended and self.known.unchanged(sighting.connector))


def _gathered(
    name: str, run: Run | None, past: RunHistory, open_jobs: Collection[str], since: datetime | None
) -> Gathered:
    """What the latest state and the past of a data source tell of its crawls: those that began after ``since`` (None:
    all), the latest one, and those in ``open_jobs``, of which is gone what neither tells of."""
    facts = {job.external_id: job for job in _jobs(name, run, past)}
    latest = run.started if run else None
    gathered = Gathered(gone=set(open_jobs) - facts.keys())
    gathered.add(
        job
        for job in facts.values()
        if since is None
        or job.order_at.replace(microsecond=0) > since
        or job.order_at == latest
        or job.external_id in open_jobs
    )
    return gathered


def _jobs(name: str, run: Run | None, past: RunHistory) -> Iterable[JobFact]:
    return (each.job(name) for each in merged(run, past.runs))


def _story(name: str, state: State | SourceError, past: RunHistory | SourceError) -> Iterable[JobFact]:
    assert isinstance(state, State)
    assert isinstance(past, RunHistory)
    return _jobs(name, state.run, past)
