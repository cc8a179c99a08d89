"""Feldera over HTTP: one list of pipelines, then one answer for all endpoints of each pipeline that runs.

Whatever the pipeline's state explains is no error: a stopped one shows its configured connectors, without counters.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from connectory.model import ConnectorFact, HistoryBatch, Known, Observation, Problem, SystemErrorCode
from sources.base import Source, SourceAuthFailed, SourceError, SourceMismatch, SourceRateLimited
from sources.feldera.client import FelderaClient, PipelineUnknown
from sources.feldera.memory import Memory
from sources.feldera.pipelines import Pipeline, read_pipeline
from sources.feldera.settings import FelderaSettings
from sources.feldera.survey import Reading, survey
from sources.reading import by_turns
from sources.rounds import Round, ask_each

#: After so many pipelines stayed silent, the rest of them wait for the next poll.
PATIENCE = 8


class FelderaSource(Source):
    """One Feldera. An endpoint is a connector; its run within one incarnation of its pipeline is a job."""

    def __init__(self, settings: FelderaSettings) -> None:
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

        round_, unknown = await self._go_round(pipelines, read)
        round_.raise_first(SourceAuthFailed)
        readings = [round_.answers[name] for name in pipelines if name in round_.answers]
        open_jobs = {job: name for job in known.open_jobs if self._is_chosen(name := _pipeline_of(job))}
        # one answer without a pipeline is not believed, as with connectors
        served = {_pipeline_of(name) for name, row in known.connectors.items() if not row.missed_polls}
        # an entry of the list that could not be read may be the pipeline of any job
        absent = set(open_jobs.values()) - pipelines.keys() - served if entries and complete else set()
        return Observation(
            connectors=tuple(fact for reading in readings for fact in _facts(reading, known)),
            jobs=tuple(job for reading in readings for job in reading.jobs.values()),
            complete=complete and _is_complete(round_),
            canceled_jobs=_ended(open_jobs, round_.answers, absent | unknown),
            problems=(*problems, *_problems(round_)),
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

        round_, unknown = await self._go_round(sorted(set(asked.values())), read)
        readings = list(round_.answers.values())
        if round_.in_vain:
            round_.raise_first(SourceAuthFailed)
            round_.raise_first(SourceError)
        return Observation(
            connectors=tuple(c for reading in readings if reading.complete for c in reading.connectors.values()),
            jobs=tuple(job for reading in readings for job in reading.jobs.values()),
            complete=False,
            canceled_jobs=_ended(asked, round_.answers, unknown),
            problems=_problems(round_),
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
                problems.append(error.problem("an entry of the list of pipelines"))
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

    async def _go_round(
        self, names: Iterable[str], read: Callable[[str], Awaitable[Reading]]
    ) -> tuple[Round[str, Reading], set[str]]:
        """Read these pipelines, those that were silent last time after the others. Tells, too, which are not there any
        more."""
        in_turn = sorted(names, key=self._memory.silent.__contains__)
        round_ = await ask_each(in_turn, read, is_silent=_is_silent, patience=PATIENCE)
        unknown = round_.take_out(PipelineUnknown)
        outcomes: dict[str, Reading | SourceError] = {**round_.answers, **round_.failures}
        for name, outcome in outcomes.items():
            (self._memory.silent.add if _is_silent(outcome) else self._memory.silent.discard)(name)
        return round_, unknown


def _is_silent(outcome: Reading | SourceError) -> bool:
    return outcome.silent if isinstance(outcome, Reading) else outcome.code is SystemErrorCode.TIMEOUT


def _is_complete(round_: Round[str, Reading]) -> bool:
    return not round_.unread and all(reading.complete for reading in round_.answers.values())


def _problems(round_: Round[str, Reading]) -> list[Problem]:
    unasked = "not asked, after what others answered"
    return [
        *(_problem(name, error) for name, error in round_.failures.items()),
        *(Problem(SystemErrorCode.UPSTREAM_ERROR, f"pipeline {name}: {unasked}") for name in round_.unasked),
        *(problem for name in sorted(round_.answers) for problem in round_.answers[name].problems),
    ]


def _problem(name: str, error: SourceError) -> Problem:
    """An error that leaves a pipeline unread. A wait that it asks for is this pipeline's, unless it is a rate limit."""
    problem = error.problem(f"pipeline {name}")
    return problem if isinstance(error, SourceRateLimited) else replace(problem, retry_after=None)


def _pipeline_of(job: str) -> str:
    """The pipeline's name in the external id of a job or a connector; it has no slash in it (feldera.md §2)."""
    return job.split("/", 1)[0]


def _facts(reading: Reading, known: Known) -> list[ConnectorFact]:
    """Its connectors; while counters that should be there cannot be read, only those of which nothing is known yet:
    of the others the last known values are worth more than what the list alone tells."""
    return [
        fact for fact in reading.connectors.values() if not (reading.unread and fact.external_id in known.connectors)
    ]


def _ended(open_jobs: Mapping[str, str], readings: Mapping[str, Reading], gone: set[str]) -> frozenset[str]:
    """Open jobs (→ pipeline) whose run is over: their pipeline is gone, has no process, or runs another incarnation,
    or their endpoint has left it."""
    return frozenset(
        job for job, name in open_jobs.items() if name in gone or (name in readings and readings[name].has_ended(job))
    )
