"""Reading one pipeline: its program once per edition, its counters, and error texts that did not come with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from connectory.model import ConnectorFact, JobFact, Problem, SystemErrorCode
from sources.base import SourceAuthFailed, SourceError, SourceMismatch, SourceRateLimited
from sources.feldera import mapping
from sources.feldera.client import FelderaClient, NotServed, PipelineUnknown
from sources.feldera.memory import LISTS, Memory, Texts, counted_errors, lacks_texts
from sources.feldera.pipelines import Pipeline, Program, Run, read_program, read_run, split_name
from sources.feldera.reports import Endpoint, read_endpoint
from sources.feldera.statuses import ENDED, SILENT
from sources.reading import by_turns

#: Errors that concern every pipeline.
_EVERYBODYS = (PipelineUnknown, SourceAuthFailed, SourceRateLimited)


@dataclass
class Reading:
    """What was read of one pipeline."""

    pipeline: Pipeline
    connectors: dict[str, ConnectorFact] = field(default_factory=dict)
    jobs: dict[str, JobFact] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    #: every endpoint that there is, is among the connectors
    complete: bool = True
    #: the present one; None where no counters were read
    run: Run | None = None
    #: its counters should have been there and could not be read: the connectors are what the list alone tells
    unread: bool = False
    #: no answer came in time
    silent: bool = False
    #: the list itself said that no process runs
    without_process: bool = False

    def has_ended(self, job: str) -> bool:
        """Whether the run of an open job is over. While endpoints could not be read, those that are absent may be
        among them."""
        if self.run is None:
            return self.without_process
        if self.run.incarnation is None:
            return False
        endpoint, _, incarnation = job.rpartition("@")
        return incarnation != self.run.incarnation or (self.complete and endpoint not in self.connectors)

    def fail(self, what: str, error: SourceError) -> None:
        self.complete = False
        self.problems.append(Problem(error.code, f"pipeline {self.pipeline.name}: {what}: {error}"))


async def survey(http: FelderaClient, pipeline: Pipeline, memory: Memory) -> Reading:
    """Raises PipelineUnknown, SourceAuthFailed and SourceRateLimited; any other trouble is told in ``problems``."""
    reading = Reading(pipeline, without_process=pipeline.word in ENDED)
    program = await _program(http, reading, memory)
    if pipeline.word not in SILENT:
        try:
            body = await http.stats(pipeline.name)
        except NotServed as answer:
            reading.pipeline = replace(pipeline, word=answer.word or pipeline.word)
        except _EVERYBODYS:
            raise
        except SourceError as error:
            reading.fail("its counters", error)
            reading.unread = True
            reading.silent = error.code is SystemErrorCode.TIMEOUT
        else:
            await _read_live(http, reading, program, body, memory)
            return reading
    _read_resting(reading, program)
    return reading


async def _program(http: FelderaClient, reading: Reading, memory: Memory) -> Program:
    pipeline = reading.pipeline
    kept = memory.program(pipeline)
    if kept is not None:
        return kept
    noticed: list[Problem] = []
    try:
        program = read_program(await http.pipeline(pipeline.name, "all"), noticed)
    except _EVERYBODYS:
        raise
    except SourceError as error:
        reading.fail("its program", error)
        return Program()
    reading.problems += noticed
    if not noticed:
        memory.programs[pipeline.name] = (pipeline.edition, program)
    return program


def _read_resting(reading: Reading, program: Program) -> None:
    """The configured connectors of a pipeline that tells no counters."""
    if reading.pipeline.word == "Unavailable":
        reason = reading.pipeline.reason or "it does not answer"
        message = f"pipeline {reading.pipeline.name}: Unavailable: {reason}"
        reading.problems.append(Problem(SystemErrorCode.UPSTREAM_ERROR, message))
        reading.complete = False
    _add_configured(reading, program)


def _add_configured(reading: Reading, program: Program) -> None:
    for is_input, configured in ((True, program.inputs), (False, program.outputs)):
        for name, config in configured.items():
            endpoint = Endpoint(
                pipeline=reading.pipeline,
                name=name,
                is_input=is_input,
                config=config,
                relations=program.relations,
                settings=program.settings,
            )
            if endpoint.external_id not in reading.connectors:
                reading.connectors[endpoint.external_id] = mapping.connector(endpoint, None)


async def _read_live(
    http: FelderaClient, reading: Reading, program: Program, body: Mapping[str, object], memory: Memory
) -> None:
    pipeline, problems = reading.pipeline, reading.problems
    run = reading.run = read_run(body, pipeline, problems)
    for key, is_input in (("inputs", True), ("outputs", False)):
        entries = body.get(key)
        if not isinstance(entries, list):
            reading.fail(key, SourceMismatch(f"expected a list, got {type(entries).__name__}"))
            configured = {key: getattr(program, key)}
            _add_configured(reading, Program(**configured, relations=program.relations, settings=program.settings))
            continue
        async for entry in by_turns(entries):
            try:
                sent = await _with_texts(http, reading, program, entry, memory, is_input=is_input)
                endpoint, live = read_endpoint(sent, pipeline, program, run, is_input=is_input, problems=problems)
            except _EVERYBODYS:
                raise
            except SourceMismatch as error:
                reading.complete = False
                problems.append(error.problem(f"an endpoint of pipeline {pipeline.name}"))
                continue
            if endpoint.external_id in reading.connectors:
                continue
            reading.connectors[endpoint.external_id] = mapping.connector(endpoint, live)
            job = mapping.job(endpoint, live, run, problems)
            if job is not None:
                reading.jobs[job.external_id] = job
    if reading.complete:
        memory.keep_texts(pipeline.name, {fact.name for fact in reading.connectors.values()})


async def _with_texts(
    http: FelderaClient, reading: Reading, program: Program, entry: object, memory: Memory, *, is_input: bool
) -> object:
    """The entry, on older servers with the error texts that the endpoint's own route gives (feldera.md §12.1). It is
    asked when a counter moved; until then the texts are those of last time."""
    if not isinstance(entry, Mapping) or not lacks_texts(entry) or reading.run is None:
        return entry
    name, counted, incarnation = entry.get("endpoint_name"), counted_errors(entry), reading.run.incarnation
    if not isinstance(name, str):
        return entry
    key = (reading.pipeline.name, name)
    kept = memory.texts.get(key)
    if kept is None or (kept.incarnation, kept.counted) != (incarnation, counted):
        config = entry.get("config")
        stream = config.get("stream") if isinstance(config, Mapping) else None
        relation, connector = split_name(name, stream if isinstance(stream, str) else None, program.relations)
        if relation is None or connector is None:
            return entry
        try:
            errors = await http.endpoint(reading.pipeline.name, relation, connector, is_input=is_input)
        except _EVERYBODYS:
            raise
        except SourceError as error:
            if not isinstance(error, SourceMismatch):
                message = f"{reading.pipeline.name}/{name}: error texts: {error}"
                reading.problems.append(Problem(error.code, message))
            errors = kept.lists if kept and kept.incarnation == incarnation else {}
        else:
            errors = {list_: errors[list_] for list_ in LISTS if list_ in errors}
            memory.texts[key] = Texts(incarnation, counted, errors)
    else:
        errors = kept.lists
    return {**entry, **errors}
