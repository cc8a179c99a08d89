"""Feldera over HTTP: one list of pipelines, then one answer for all endpoints of each pipeline that runs.

Whatever the pipeline's state explains is no error: a stopped one shows its configured connectors, without counters.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectory.model import ConnectorFact, HistoryBatch, Known, Observation, Problem, SystemErrorCode
from sources.base import Source, SourceAuthFailed, SourceError, SourceMismatch, SourceRateLimited, SourceUnreachable
from sources.feldera.memory import Memory
from sources.feldera.pipelines import Pipeline, read_pipeline
from sources.feldera.reading import by_turns
from sources.feldera.survey import Reading, survey
from sources.feldera.wire import FelderaClient, PipelineUnknown

if TYPE_CHECKING:
    from sources.feldera import FelderaSettings

#: Pipelines that are read at once.
CONCURRENCY = 4
#: After so many pipelines stayed silent, the rest of them wait for the next poll.
PATIENCE = 8


@dataclass
class _Round:
    """One round over pipelines while it goes on."""

    waiting: deque[str]
    readings: dict[str, Reading] = field(default_factory=dict)
    #: pipelines that are not there any more
    unknown: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    errors: dict[str, SourceError] = field(default_factory=dict)
    fatal: SourceAuthFailed | None = None
    silent: int = 0

    @property
    def complete(self) -> bool:
        return not self.errors and not self.waiting and all(reading.complete for reading in self.readings.values())


class FelderaSource(Source):
    """One Feldera. An endpoint is a connector; its run within one incarnation of its pipeline is a job."""

    def __init__(self, settings: "FelderaSettings") -> None:
        self.http = FelderaClient(settings)
        self._chosen = frozenset(settings.pipelines) if settings.pipelines is not None else None
        self._memory = Memory()

    async def close(self) -> None:
        await self.http.close()

    async def poll(self, known: Known) -> Observation:
        """Raises when the list cannot be read or the credentials are refused; trouble with single pipelines and
        endpoints is reported in ``problems``."""
        problems: list[Problem] = []
        entries = await self.http.pipelines()
        pipelines = await self._listed(entries, problems)
        complete = not problems
        problems += self._missing(pipelines)
        self._memory.keep_only(set(pipelines))

        async def read(name: str) -> Reading:
            return await survey(self.http, pipelines[name], self._memory)

        round_ = await self._go_round(pipelines, read)
        if round_.fatal is not None:
            raise round_.fatal
        readings = [round_.readings[name] for name in pipelines if name in round_.readings]
        open_jobs = {job: name for job in known.open_jobs if self._is_chosen(name := _pipeline_of(job))}
        # one answer without a pipeline is not believed, as with connectors
        served = {_pipeline_of(name) for name, row in known.connectors.items() if not row.missed_polls}
        # an entry of the list that could not be read may be the pipeline of any job
        absent = set(open_jobs.values()) - pipelines.keys() - served if entries and complete else set()
        return Observation(
            connectors=tuple(fact for reading in readings for fact in _facts(reading, known)),
            jobs=tuple(job for reading in readings for job in reading.jobs.values()),
            complete=complete and round_.complete,
            canceled_jobs=_ended(open_jobs, round_, absent),
            problems=(*problems, *round_.problems, *_of(readings)),
        )

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        """Two requests for each pipeline that one of the jobs runs in. Raises when none of them could be read."""
        asked = {job: _pipeline_of(job) for job in jobs}

        async def read(name: str) -> Reading:
            problems: list[Problem] = []
            pipeline = read_pipeline(await self.http.pipeline(name), problems)
            reading = await survey(self.http, pipeline, self._memory)
            reading.problems[:0] = problems
            return reading

        round_ = await self._go_round(sorted(set(asked.values())), read)
        readings = list(round_.readings.values())
        if not readings and not round_.unknown and (error := round_.fatal or next(iter(round_.errors.values()), None)):
            raise error
        return Observation(
            connectors=tuple(c for reading in readings if reading.complete for c in reading.connectors.values()),
            jobs=tuple(job for reading in readings for job in reading.jobs.values()),
            complete=False,
            canceled_jobs=_ended(asked, round_, round_.unknown),
            problems=(*round_.problems, *_of(readings)),
        )

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        """Earlier incarnations leave nothing behind, and the present one comes with every poll."""
        if connectors:
            yield HistoryBatch(jobs=(), finished=connectors)

    def _is_chosen(self, name: str) -> bool:
        return self._chosen is None or name in self._chosen

    async def _listed(self, entries: Iterable[object], problems: list[Problem]) -> dict[str, Pipeline]:
        """The chosen pipelines by name, in the order of the list, each once."""
        found: dict[str, Pipeline] = {}
        async for entry in by_turns(entries):
            name = entry.get("name") if isinstance(entry, Mapping) else None
            if isinstance(name, str) and (name in found or not self._is_chosen(name)):
                continue
            noticed: list[Problem] = []
            try:
                pipeline = read_pipeline(entry, noticed)
            except SourceMismatch as error:
                problems.append(Problem(error.code, str(error)))
                continue
            if self._is_chosen(pipeline.name):
                found.setdefault(pipeline.name, pipeline)
                problems += noticed
        return found

    def _missing(self, pipelines: Mapping[str, Pipeline]) -> list[Problem]:
        names = sorted((self._chosen or frozenset()) - pipelines.keys())
        return [
            Problem(SystemErrorCode.UPSTREAM_ERROR, f"pipeline {name}: configured here, unknown there")
            for name in names
        ]

    async def _go_round(self, names: Iterable[str], read: Callable[[str], Awaitable[Reading]]) -> _Round:
        """Read these pipelines, a few at once, those that were silent last time after the others."""
        round_ = _Round(deque(sorted(names, key=self._memory.silent.__contains__)))

        async def work() -> None:
            while round_.waiting:
                name = round_.waiting.popleft()
                try:
                    round_.readings[name] = await read(name)
                except PipelineUnknown:
                    round_.unknown.add(name)
                except SourceError as error:
                    self._note(round_, name, error)
                else:
                    self._judge_silence(round_, name, round_.readings[name].silent)

        await asyncio.gather(*(work() for _ in range(min(CONCURRENCY, len(round_.waiting)))))
        return round_

    def _note(self, round_: _Round, name: str, error: SourceError) -> None:
        """An error that leaves a pipeline unread. Refused credentials and a rate limit concern all the others too."""
        round_.errors[name] = error
        wait = getattr(error, "retry_after", None) if isinstance(error, SourceRateLimited) else None
        round_.problems.append(Problem(error.code, f"pipeline {name}: {error}", retry_after=wait))
        if isinstance(error, SourceAuthFailed):
            round_.fatal = error
        if isinstance(error, SourceAuthFailed | SourceRateLimited):
            self._give_up(round_)
        self._judge_silence(round_, name, error.code is SystemErrorCode.TIMEOUT)

    def _judge_silence(self, round_: _Round, name: str, silent: bool) -> None:
        (self._memory.silent.add if silent else self._memory.silent.discard)(name)
        round_.silent += silent
        if round_.silent >= PATIENCE:
            self._give_up(round_)

    def _give_up(self, round_: _Round) -> None:
        for name in round_.waiting:
            problem = Problem(SystemErrorCode.UPSTREAM_ERROR, f"pipeline {name}: not asked, after what others answered")
            round_.problems.append(problem)
            round_.errors[name] = SourceUnreachable(problem.message, code=problem.code)
        round_.waiting.clear()


def _pipeline_of(job: str) -> str:
    """The pipeline's name in the external id of a job or a connector; it has no slash in it (feldera.md §2)."""
    return job.split("/", 1)[0]


def _facts(reading: Reading, known: Known) -> list[ConnectorFact]:
    """Its connectors; while counters that should be there cannot be read, only those of which nothing is known yet:
    of the others the last known values are worth more than what the list alone tells."""
    return [
        fact for fact in reading.connectors.values() if not (reading.unread and fact.external_id in known.connectors)
    ]


def _ended(open_jobs: Mapping[str, str], round_: _Round, absent: Iterable[str]) -> frozenset[str]:
    """Open jobs (→ pipeline) whose run is over: their pipeline is gone, has no process, or runs another incarnation,
    or their endpoint has left it."""
    gone = {*absent, *round_.unknown}
    return frozenset(
        job
        for job, name in open_jobs.items()
        if name in gone or (name in round_.readings and round_.readings[name].has_ended(job))
    )


def _of(readings: Iterable[Reading]) -> list[Problem]:
    return [problem for reading in readings for problem in reading.problems]
