"""Every field of Feldera's pipelines, and of the counters of their endpoints."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from connectory.store import Store
from tests.e2e.fields.comparison import Place, Table, differences, under
from tests.e2e.fields.probe import Case, Data, by_external_id, examples, payload, wrong
from tests.sources.canned import Reply

INPUTS, OUTPUTS = examples("feldera/input/*.json"), examples("feldera/output/*.json")
COUNTERS = [name for name in examples("feldera/pipeline_stats/*.json") if "no_connectors" not in name]
LISTS = examples("feldera/pipelines/*.selector_status*.json", "feldera/pipelines/list.empty.response.json")
PROGRAM = "feldera/pipelines/get.selector_all.stopped_with_program_info.response.json"
TIMELINE = "feldera/timelines/bounded_source.json"
EXERCISED = {*INPUTS, *OUTPUTS, *COUNTERS, *LISTS, PROGRAM, TIMELINE}

RUNNING = payload("feldera/pipelines/get.selector_status.running.response.json")
WHOLE = payload(PROGRAM)
#: What only the selector ``all`` adds.
PROGRAM_KEYS = WHOLE.keys() - RUNNING.keys()


def moments(texts: Any) -> Any:
    """Errors as GraphQL tells them."""
    return texts and [
        {"index": one["index"], "tag": one["tag"], "message": one["message"], "at": iso(one["timestamp"])}
        for one in texts
    ]


def failed(texts: Any) -> Any:
    none = {"documentId": None, "url": None, "isResolved": None}
    return [{"message": one["message"], "at": iso(one["timestamp"]), **none} for one in texts or ()]


def iso(text: str) -> str:
    return datetime.fromisoformat(text).isoformat()


def from_seconds(number: int) -> str:
    return datetime.fromtimestamp(number, UTC).isoformat()


RECORD_ERRORS = (Place("connector.details.parseErrors", moments), Place("job.errors", failed))
ENDPOINT: Table = {
    "endpoint_name": ("connector.details.endpointName", "connector.name", "job.connector.name"),
    "metrics": ("connector.details.metrics", "job.details.metrics"),
    "parse_errors": RECORD_ERRORS,
    "encode_errors": RECORD_ERRORS,
    "transport_errors": Place("connector.details.transportErrors", moments),
    "fatal_error": ("connector.details.fatalError", "job.errorMessage"),
    **under("connector.details", "health", "paused", "barrier", completed_frontier="completedFrontier"),
    "config.stream": ("connector.details.config.stream", "connector.details.stream"),
    "config.format": "connector.details.config.format",
    "config.paused": "connector.details.config.paused",
    "config.transport.name": "connector.details.config.transport.name",
    "config.transport.config.topic": "connector.details.config.transport.config.topic",
    "config.transport.config.bootstrap.servers": "connector.details.config.transport.config.bootstrap.servers",
}
WHOLE_RUN: Table = {
    "global_metrics.start_time": (
        Place("job.details.run.start_time", from_seconds),
        Place("job.startedAt", from_seconds),
    ),
    "global_metrics.initial_start_time": Place("job.details.run.initial_start_time", from_seconds),
    **under(
        "job.details.run",
        "suspend_error", "checkpoint_activity", "permanent_checkpoint_errors",
        **{
            f"global_metrics.{key}": key
            for key in (
                "state", "bootstrap_in_progress", "transaction_status", "transaction_id", "commit_progress",
                "transaction_initiators", "concurrent_bootstrap_phase", "concurrent_bootstrap_progress",
                "memory_pressure", "memory_pressure_epoch", "incarnation_uuid", "pipeline_complete",
            )
        },
    ),
}  # fmt: skip
PIPELINE: Table = {
    "name": "connector.details.pipelineName",
    "deployment_status": ("connector.details.pipelineStatus", "connector.upstreamStatus"),
    "deployment_error": "connector.details.deploymentError",
    **under(
        "connector.details.pipeline",
        "id", "description", "tags", "created_at", "version", "platform_version", "program_version", "program_status",
        "program_status_since", "refresh_version", "storage_status", "storage_status_details", "deployment_id",
        "deployment_initial", "deployment_status_since", "deployment_desired_status", "deployment_desired_status_since",
        "deployment_resources_status", "deployment_resources_status_details", "deployment_resources_status_since",
        "deployment_resources_desired_status", "deployment_resources_desired_status_since",
        "deployment_runtime_status", "deployment_runtime_status_details", "deployment_runtime_status_since",
        "deployment_runtime_desired_status", "deployment_runtime_desired_status_since",
        "program_config", "runtime_config",
        # of the selector status_with_connectors
        "connectors",
    ),
}  # fmt: skip


def feldera(
    pipelines: list[Any],
    differing: Callable[[Data], Iterable[str]],
    *,
    stats: Any,
    program: Any = None,
    endpoints: Mapping[str, Any] | None = None,
    **options: Any,
) -> Case:
    """Pipelines that all run the same program and tell the same counters. ``endpoints``: their own answers by what
    stands between the pipeline's path and /stats."""

    def pipeline(entry: Any) -> Any:
        answer = {**{key: WHOLE[key] for key in PROGRAM_KEYS}, "program_info": program, **entry}
        return lambda asked: Reply(answer if asked.query["selector"] == "all" else entry)

    answers: dict[str, Any] = {"GET /v0/pipelines": Reply(pipelines)}
    for entry in pipelines:
        path = f"GET /v0/pipelines/{entry['name']}"
        answers |= {path: pipeline(entry), f"{path}/stats": Reply(stats)}
        answers |= {f"{path}/{name}/stats": Reply(body) for name, body in (endpoints or {}).items()}
    return Case(answers=answers, settings={}, wrong=differing, **options)


def counters(*inputs: Any, outputs: tuple[Any, ...] = ()) -> dict[str, Any]:
    body = payload("feldera/pipeline_stats/no_connectors.response.json")
    return {**body, "inputs": list(inputs), "outputs": list(outputs)}


TEXTS = ("parse_errors", "encode_errors", "transport_errors")


def with_known_texts(sent: dict[str, Any]) -> dict[str, Any]:
    """Without lists that cannot be meant: an empty one although errors were counted is told as unknown (§12)."""
    counted = {key: sent["metrics"].get(f"num_{key}") for key in TEXTS}
    return {key: value for key, value in sent.items() if key not in TEXTS or value or not counted[key]}


def endpoint_differences(sent: dict[str, Any], data: Data, pipeline: str = "orders") -> list[str]:
    connector = by_external_id(data["connectors"])[f"{pipeline}/{sent['endpoint_name']}"]
    (job,) = (job for job in data["jobs"] if job["connector"]["id"] == connector["id"])
    for key in TEXTS:
        if sent.get(key) == [] and sent["metrics"].get(f"num_{key}"):
            assert connector["details"]["transportErrors" if "transport" in key else "parseErrors"] is None
    nodes = {"connector": connector, "job": job}
    return differences("feldera endpoint", nodes, with_known_texts(sent), ENDPOINT)


async def test_endpoints(sqlite_store: Store) -> None:
    """Older servers (before 2026-04-29) tell error texts on the endpoint's own route only."""
    cases = {}
    for example in (*INPUTS, *OUTPUTS):
        sent, is_input = payload(example), example in INPUTS
        relation, _, name = sent["endpoint_name"].rpartition(".")
        route = f'{"tables" if is_input else "views"}/"{relation}"/connectors/{name}'
        without_texts = {key: value for key, value in sent.items() if key not in TEXTS}
        for age, entry in (("now", sent), ("before", without_texts)):
            stats = counters(entry) if is_input else counters(outputs=(entry,))
            differing = partial(endpoint_differences, sent)
            cases[f"{example} {age}"] = feldera([RUNNING], differing, stats=stats, endpoints={route: sent}, jobs=1)
    assert await wrong(sqlite_store, "feldera", cases) == {}


def counters_wrong(body: dict[str, Any], endpoints: list[Any], data: Data) -> Iterator[str]:
    run = {key: value for key, value in body.items() if key not in ("inputs", "outputs")}
    for sent in endpoints:
        yield from endpoint_differences(sent, data)
    for job in data["jobs"]:
        yield from differences("feldera counters", {"job": job}, run, WHOLE_RUN)
    assert len(data["jobs"]) == len(endpoints) > 0


async def test_counters(sqlite_store: Store) -> None:
    cases = {}
    for example in COUNTERS:
        body = payload(example)
        endpoints = body["inputs"] + body["outputs"]
        differing = partial(counters_wrong, body, endpoints)
        cases[example] = feldera([RUNNING], differing, stats=body, jobs=len(endpoints))
    assert await wrong(sqlite_store, "feldera", cases) == {}


def pipelines_wrong(entries: list[Any], data: Data) -> Iterator[str]:
    configured = WHOLE["program_info"]["input_connectors"] | WHOLE["program_info"]["output_connectors"]
    connectors = by_external_id(data["connectors"])
    for entry in entries:
        for name, config in configured.items():
            connector = connectors[f"{entry['name']}/{name}"]
            yield from differences("feldera pipeline", {"connector": connector}, shown(entry), PIPELINE)
            assert connector["details"]["config"] == config


async def test_pipelines(sqlite_store: Store) -> None:
    """A single pipeline is what an entry of the list is; with the selector ``all`` it has its program, too."""
    cases = {}
    stats = payload("feldera/pipeline_stats/running.response.json")
    for example in (*LISTS, PROGRAM):
        body = payload(example)
        entries = body if isinstance(body, list) else [body]
        listed = [{key: value for key, value in entry.items() if key not in PROGRAM_KEYS} for entry in entries]
        cases[example] = feldera(
            listed, partial(pipelines_wrong, entries), stats=stats, program=WHOLE["program_info"], complete=False
        )
    assert await wrong(sqlite_store, "feldera", cases) == {}


def shown(entry: dict[str, Any]) -> dict[str, Any]:
    """The configured connectors are compared one by one."""
    info = entry.get("program_info")
    if info is None:
        return entry
    rest = {key: value for key, value in info.items() if key not in ("input_connectors", "output_connectors")}
    return {**entry, "program_info": rest}


def step_wrong(pipeline: dict[str, Any], sent: dict[str, Any], runs: bool, data: Data) -> Iterator[str]:
    connector = by_external_id(data["connectors"])["nightly/customers.unnamed-0"]
    yield from differences("feldera pipeline", {"connector": connector}, pipeline, PIPELINE)
    if runs:
        yield from endpoint_differences(sent, data, "nightly")
    assert len(data["jobs"]) == runs


async def test_timeline(sqlite_store: Store) -> None:
    cases = {}
    for place, step in enumerate(payload(TIMELINE)):
        pipeline = {**RUNNING, "name": "nightly", "deployment_status": step["deployment_status"]}
        runs = step["status"] == 200
        sent = step["response"] if runs else {"endpoint_name": "customers.unnamed-0"}
        differing = partial(step_wrong, pipeline, sent, runs)
        cases[f"{TIMELINE} {place}"] = feldera(
            [pipeline], differing, stats=counters(sent), program=WHOLE["program_info"], jobs=runs
        )
    assert await wrong(sqlite_store, "feldera", cases) == {}
