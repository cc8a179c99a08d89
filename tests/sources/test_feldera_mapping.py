"""What the adapter makes of Feldera's counters and pipelines: every example, and nothing in them is lost."""

import json
import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from graphql import DocumentNode, ObjectTypeDefinitionNode, parse

from connectory.model import (
    ConnectorFact,
    ConnectorMode,
    ConnectorStatus,
    CountsFact,
    JobErrorFact,
    JobFact,
    JobStatus,
    JobType,
    Known,
    Observation,
    SystemErrorCode,
)
from sources.feldera.pipelines import GAUGES, PROGRAM_KEYS
from tests.paths import CONTRACT
from tests.sources.canned import Reply
from tests.sources.cases import cases
from tests.sources.feldera_stage import (
    EVERY_STATUS,
    INCARNATION,
    INPUTS,
    OUTPUTS,
    PIPELINES,
    STATS,
    WITH_PROGRAM,
    counters,
    error_reply,
    feldera,
    pipeline,
    polled,
    polled_endpoint,
    program,
    read,
    shown,
)
from tests.sources.payloads import leaves

# ---- endpoints: the derivation table

A, P, E = ConnectorStatus.ACTIVE, ConnectorStatus.PAUSED, ConnectorStatus.ERROR
#: example → status, the run's status, whether it is called unhealthy, how many records are done
DERIVED = {
    "input/stats.end_of_input_still_buffered": (A, "RUNNING", False, 20800),
    "input/stats.errors_truncated": (A, "RUNNING", False, 40),
    "input/stats.fatal_error": (E, "FAILED", False, 0),
    "input/stats.finished": (A, "SUCCEEDED", False, 25000),
    "input/stats.healthy": (A, "RUNNING", False, 410000),
    "input/stats.just_started": (A, "RUNNING", False, 0),
    "input/stats.large_counters": (A, "RUNNING", False, 4611686018427387904),
    "input/stats.paused_by_user": (P, "SUSPENDED", False, 400),
    "input/stats.quoted_identifier": (A, "SUCCEEDED", False, 1),
    "input/stats.running": (A, "RUNNING", False, 1819792),
    "input/stats.unhealthy": (A, "RUNNING", True, 410000),
    "input/stats.version_before_2025_09_full_config": (A, "RUNNING", False, 2),
    "input/stats.waiting_for_start_after": (P, "SUSPENDED", False, 0),
    "output/stats.backlog_and_errors": (A, "RUNNING", False, 500),
    "output/stats.fatal_error": (E, "FAILED", False, 0),
    "output/stats.running": (A, "RUNNING", False, 88012),
    "output/stats.unhealthy": (A, "RUNNING", True, 12),
}


def test_the_table_names_every_endpoint() -> None:
    assert {f"{name}.response.json" for name in DERIVED} == {*INPUTS, *OUTPUTS}


@cases("name", DERIVED)
async def test_what_follows_from_the_examples(name: str) -> None:
    sent = read(f"{name}.response.json")
    fact, job = await polled_endpoint(sent, is_input=name.startswith("input"))
    status, run, unhealthy, processed = DERIVED[name]
    assert (fact.status, job.status, fact.is_unhealthy, job.processed) == (status, JobStatus[run], unhealthy, processed)
    assert (fact.upstream_status, job.upstream_status) == ("Running", "Running")
    assert fact.error_message == (sent["fatal_error"] or (sent.get("health") or {}).get("description"))
    assert (fact.docs_indexed, fact.latest_job_docs_indexed, fact.last_sync_at) == (None, None, None)
    assert shown(fact)["extra"] is None


FLAGS: dict[str, Any] = {
    "fatal": {"fatal_error": "no"},
    "ended": {"metrics": {"end_of_input": True, "buffered_records": 0}},
    "ending": {"metrics": {"end_of_input": True, "buffered_records": 1}},
    "erred": {"metrics": {"end_of_input": True, "buffered_records": 0, "num_parse_errors": 1}},
    "cut": {"metrics": {"end_of_input": True, "buffered_records": 0, "num_transport_errors": 1}},
    "paused": {"paused": True},
}


@cases(
    ("flags", "word", "state", "status", "run"),
    [
        ("", "Running", "Running", "ACTIVE", "RUNNING"),
        ("fatal ended paused", "Paused", "Paused", "ERROR", "FAILED"),
        ("ended paused", "Paused", "Paused", "ACTIVE", "SUCCEEDED"),
        ("erred", "Running", "Running", "ACTIVE", "SUCCEEDED_WITH_ERRORS"),
        ("cut", "Running", "Running", "ACTIVE", "SUCCEEDED_WITH_ERRORS"),
        ("ending", "Running", "Running", "ACTIVE", "RUNNING"),
        ("ending paused", "Running", "Running", "PAUSED", "SUSPENDED"),
        ("", "Paused", "Paused", "PAUSED", "SUSPENDED"),
        ("", "Running", "Paused", "PAUSED", "SUSPENDED"),  # the process knows sooner than the list
        ("", "Paused", "Running", "ACTIVE", "RUNNING"),
        ("", "Paused", None, "PAUSED", "SUSPENDED"),
        ("", "Bootstrapping", "Running", "ACTIVE", "RUNNING"),
        ("", "ConcurrentBootstrapping", "Running", "ACTIVE", "RUNNING"),
        ("", "Synchronizing", "Running", "ACTIVE", "RUNNING"),
        ("", "Replaying", "Running", "ACTIVE", "RUNNING"),
        ("", "Standby", "Running", "INACTIVE", "SUSPENDED"),
        ("", "Coordination", "Running", "SCHEDULED", "RUNNING"),
        ("", "Running", "Terminated", "INACTIVE", "CANCELED"),
        ("fatal", "Running", "Terminated", "ERROR", "FAILED"),
        ("ended", "Running", "Terminated", "ACTIVE", "SUCCEEDED"),
        ("", "Hibernating", "Running", "UNKNOWN", "UNKNOWN"),
        ("fatal", "Hibernating", "Running", "ERROR", "FAILED"),
        ("", None, "Running", "UNKNOWN", "UNKNOWN"),
    ],
)
async def test_the_first_rule_that_fits(flags: str, word: str, state: str, status: str, run: str) -> None:
    sent = read("input/stats.just_started.response.json")
    for flag in flags.split():
        change = FLAGS[flag]
        sent |= {**change, "metrics": {**sent["metrics"], **change.get("metrics", {})}}
    seen = await polled(counters(sent, run={"state": state}), word)
    (fact,), (job,) = seen.connectors, seen.jobs
    assert (fact.status.name, job.status.name, fact.upstream_status) == (status, run, word)


RESTING = [
    ("Stopped", "INACTIVE"),
    ("Stopping", "INACTIVE"),
    ("Suspended", "INACTIVE"),
    ("Standby", "INACTIVE"),
    ("Provisioning", "SCHEDULED"),
    ("Initializing", "SCHEDULED"),
    ("AwaitingApproval", "SCHEDULED"),
    ("Coordination", "SCHEDULED"),
    ("Unavailable", "UNKNOWN"),
    ("Hibernating", "UNKNOWN"),
]


@cases(("word", "status"), RESTING)
@cases("failed", [False, True])
async def test_without_counters_the_pipelines_word_decides(word: str, status: str, failed: bool) -> None:
    error = {"message": "worker 3 ran out of memory", "error_code": "PipelineError", "details": None}
    entry = pipeline("p", word, deployment_error=error if failed else None)
    refusal = Reply({**error_reply("not_deployed").body, "details": None}, 503)  # tells no word of its own
    async with feldera((entry, refusal, read(WITH_PROGRAM))) as (source, _):
        seen = await source.poll(Known())
    expected = "ERROR" if failed and word in ("Stopped", "Stopping", "Suspended", "Provisioning") else status
    assert {fact.status.name for fact in seen.connectors} == {expected}
    assert {fact.upstream_status for fact in seen.connectors} == {word}
    assert {fact.error_message for fact in seen.connectors} == {error["message"] if expected == "ERROR" else None}
    assert seen.complete is (word != "Unavailable")
    for fact in seen.connectors:
        assert shown(fact)["metrics"] is None
        assert shown(fact)["parse_errors"] is None


@cases(
    ("complete", "ended", "queued", "status"),
    [
        (True, True, 0, "SUCCEEDED"),
        (True, True, 5, "RUNNING"),
        (False, True, 0, "RUNNING"),
        (True, False, 0, "RUNNING"),  # HTTP ingress, which the pipeline does not ask
        (True, None, 0, "RUNNING"),  # no input at all
    ],
)
async def test_when_an_output_is_done(complete: bool, ended: bool | None, queued: int, status: str) -> None:
    stats = read("pipeline_stats/complete.response.json")
    stats["global_metrics"]["pipeline_complete"] = complete
    stats["outputs"][0]["metrics"]["queued_records"] = queued
    clock = {**stats["inputs"][0], "endpoint_name": "now", "metrics": {"end_of_input": False}}
    stats["inputs"][0]["metrics"]["end_of_input"] = ended
    stats["inputs"] = [] if ended is None else [*stats["inputs"], clock]
    seen = await polled(stats)
    assert seen.jobs[-1].connector == "p/customer_count.unnamed-0"
    assert seen.jobs[-1].status.name == status


# ---- endpoints in full


async def test_an_input_in_full() -> None:
    sent = read("input/stats.running.response.json")
    info = program("p", read(WITH_PROGRAM)["program_info"]["input_connectors"])
    seen = await polled(counters(sent), info=info)
    (fact,), (job,) = seen.connectors, seen.jobs
    errors: list[dict[str, Any]] = [
        {"index": 0, "tag": "json", "at": "2026-08-20T08:01:12.000417+00:00"},
        {"index": 1, "tag": "json", "at": "2026-08-20T08:01:12.000433+00:00"},
        {"index": 2, "tag": None, "at": "2026-08-20T09:44:03.910002+00:00"},
    ]
    texts = [error["message"] for error in sent["parse_errors"]]
    assert fact == ConnectorFact(
        external_id="p/orders.kafka_orders",
        name="orders.kafka_orders",
        source="kafka",
        status=ConnectorStatus.ACTIVE,
        upstream_status="Running",
        mode=ConnectorMode.STREAMING,
        last_success_at=datetime(2026, 8, 20, 10, 15, 1, 402115, tzinfo=UTC),
        parse_errors=sent["metrics"]["num_parse_errors"],
        transport_errors=sent["metrics"]["num_transport_errors"],
        details=fact.details,
    )
    assert fact.details is not None
    assert fact.details.type == "FelderaEndpointDetails"
    details = shown(fact)
    assert details.pop("pipeline")["id"] == "id of p"
    assert details == {
        "pipeline_name": "p",
        "endpoint_name": "orders.kafka_orders",
        "connector_name": "kafka_orders",
        "relation": "orders",
        "stream": "orders",
        "direction": "INPUT",
        "pipeline_status": "Running",
        "deployment_error": None,
        "paused": False,
        "barrier": False,
        "fatal_error": None,
        "health": None,
        "completed_frontier": sent["completed_frontier"],
        "metrics": sent["metrics"],
        "config": info["program_info"]["input_connectors"]["orders.kafka_orders"],
        "parse_errors": [{**error, "message": text} for error, text in zip(errors, texts, strict=True)],
        "transport_errors": [],
        "extra": None,
    }
    started = datetime(2026, 8, 20, 8, 5, tzinfo=UTC)
    assert job == JobFact(
        external_id=f"p/orders.kafka_orders@{INCARNATION}",
        connector="p/orders.kafka_orders",
        source="kafka",
        status=JobStatus.RUNNING,
        upstream_status="Running",
        type=JobType.STREAM,
        counts=CountsFact(total=1820104, failed=3, volume_bytes=734003200),
        processed=1819792,
        started_at=started,
        order_at=started,
        errors=tuple(
            JobErrorFact(message=text, at=datetime.fromisoformat(error["at"]))
            for error, text in zip(errors, texts, strict=True)
        ),
        details=job.details,
    )
    assert job.details is not None
    assert job.details.type == "FelderaJobDetails"
    told = shown(job)
    assert told.pop("run")["incarnation_uuid"] == INCARNATION
    assert told == {"end_of_input": False, "pipeline_status": "Running", "metrics": sent["metrics"], "extra": None}


async def test_an_output_in_full() -> None:
    sent = read("output/stats.backlog_and_errors.response.json")
    fact, job = await polled_endpoint(sent, is_input=False)
    details = shown(fact)
    assert (details["direction"], details["paused"], details["barrier"]) == ("OUTPUT", None, None)
    assert (details["relation"], details["connector_name"]) == ("order_totals", "delta_out")
    assert [error["message"] for error in details["parse_errors"]] == ["unable to encode record: decimal out of range"]
    assert [error["index"] for error in details["transport_errors"]] == [10]
    assert details["metrics"] == sent["metrics"]
    assert job.counts == CountsFact(total=500, failed=2, volume_bytes=40000)
    assert job.processed == 500
    assert shown(job)["end_of_input"] is None
    assert job.errors is not None
    assert [error.message for error in job.errors] == ["unable to encode record: decimal out of range"]


@cases(
    ("change", "shows", "names"),
    [
        ({}, [], ()),
        ({"metrics": {"num_parse_errors": 9}}, None, None),  # texts were dropped: not that there are none
        ({"parse_errors": None}, [], ()),
        ({"parse_errors": None, "metrics": {"num_parse_errors": 9}}, None, None),
        ({"parse_errors": None, "metrics": {"num_parse_errors": None}}, None, None),
    ],
)
async def test_no_texts_are_not_no_errors(change: dict[str, Any], shows: Any, names: Any) -> None:
    sent = read("input/stats.just_started.response.json")
    sent |= {**change, "metrics": {**sent["metrics"], **change.get("metrics", {})}}
    fact, job = await polled_endpoint(sent, is_input=True)
    assert (shown(fact)["parse_errors"], job.errors) == (shows, names)


async def test_a_pausable_output_of_newer_servers() -> None:
    sent = {**read("output/stats.running.response.json"), "paused": True}
    fact, job = await polled_endpoint(sent, is_input=False)
    assert (fact.status, job.status, shown(fact)["paused"]) == (ConnectorStatus.PAUSED, JobStatus.SUSPENDED, True)


async def test_what_the_mapping_does_not_know_is_kept() -> None:
    sent = {**read("input/stats.running.response.json"), "mood": "fine", "api_token": "hush"}
    sent["metrics"] |= {"lag": -4, "zone": "eu"}
    seen = await polled(counters(sent, run={"weather": "fine", "new_gauge": 5}, next_thing={"password": "hush"}))
    (fact,), (job,) = seen.connectors, seen.jobs
    assert shown(fact)["extra"] == {"mood": "fine", "api_token": "[redacted]"}
    assert shown(fact)["metrics"]["lag"] == -4
    assert shown(job)["run"]["weather"] == "fine"
    assert shown(job)["run"]["next_thing"] == {"password": "[redacted]"}
    assert "new_gauge" not in shown(job)["run"]  # it might move with every answer


@cases(
    ("name", "stream", "relation", "connector"),
    [
        ("orders.kafka_orders", "orders", "orders", "kafka_orders"),
        ("Sales.Items.csv_2024", "Sales.Items", "Sales.Items", "csv_2024"),
        ("orders.api-ingress-9d2c1f2e3d4c5b6a", "orders", "orders", "api-ingress-9d2c1f2e3d4c5b6a"),
        ("now", "now", None, None),
        ("known.a.b", None, None, None),
        ("known.b", None, "known", "b"),
        ("a.b", "c", "c", None),
    ],
)
async def test_names_are_taken_apart(
    name: str, stream: str | None, relation: str | None, connector: str | None
) -> None:
    sent = {**read("input/stats.just_started.response.json"), "endpoint_name": name, "config": {"stream": stream}}
    info = program("p")
    info["program_info"]["schema"]["inputs"] = [{"name": "known", "case_sensitive": False, "fields": []}]
    seen = await polled(counters(sent), info=info)
    details = shown(seen.connectors[0])
    assert (details["relation"], details["connector_name"], details["stream"]) == (relation, connector, stream)


TRANSPORTS = [
    ("kafka_input", "kafka"),
    ("delta_table_output", "delta_table"),
    ("postgres_cdc_input", "postgres_cdc"),
    ("datagen", "datagen"),
    ("s3_input", "s3"),
    ("pub_sub_input", "pub_sub"),
    ("", "unknown"),
    (None, "unknown"),
    (7, "unknown"),
]


@cases(("transport", "source"), TRANSPORTS)
async def test_transports_are_sources(transport: Any, source: str) -> None:
    config = {"stream": "orders", "transport": {"name": transport}}
    sent = read("input/stats.just_started.response.json")
    seen = await polled(counters(sent), info=program("p", {"orders.kafka_orders": config}))
    assert [fact.source for fact in seen.connectors] == [job.source for job in seen.jobs] == [source]


@cases(
    ("name", "is_input", "source"),
    [
        ("orders.api-ingress-9d2c1f2e3d4c5b6a", True, "http"),
        ("totals.api-0198c3f2-6d10-7cc3-98c4-dc0c0c07398f", False, "http"),
        ("orders.api-ingress-short", True, "unknown"),
        ("now", True, "clock"),
        ("a.b", True, "unknown"),
    ],
)
async def test_endpoints_without_a_configuration(name: str, is_input: bool, source: str) -> None:
    example = "input/stats.just_started" if is_input else "output/stats.running"
    sent = {**read(f"{example}.response.json"), "endpoint_name": name}
    fact, _ = await polled_endpoint(sent, is_input=is_input)
    assert fact.source == source


# ---- pipelines


async def test_every_status_of_the_list() -> None:
    entries = read(EVERY_STATUS)
    async with feldera(*((entry, counters(), read(WITH_PROGRAM)) for entry in entries)) as (source, upstream):
        seen = await source.poll(Known())
        stats = {path.split("/")[0] for path in upstream.asked if path.endswith("/stats")}
    assert stats == {"orders", "ledger", "multi", "mirror", "boot", "cboot", "syncing", "replay"}
    by_pipeline = {fact.external_id.split("/")[0]: fact.status.name for fact in seen.connectors}
    assert by_pipeline == {
        **dict.fromkeys(("nightly", "susp", "ending", "early", "new", "compiling", "compiled"), "INACTIVE"),
        **dict.fromkeys(("badsql", "badrust", "nodisk"), "INACTIVE"),
        **dict.fromkeys(("starting", "changed", "connecting"), "SCHEDULED"),
        "broken": "ERROR",
        "lost": "UNKNOWN",
    }
    (problem,) = seen.problems
    assert problem.code is SystemErrorCode.UPSTREAM_ERROR
    assert "pipeline lost: Unavailable: the pipeline did not answer" in problem.message
    assert not seen.complete


async def test_an_unknown_word_is_kept() -> None:
    (entry,) = read("pipelines/list.selector_status.unknown_future_word.response.json")
    async with feldera((entry, counters(read("input/stats.running.response.json")))) as (source, _):
        seen = await source.poll(Known())
    (fact,), (job,) = seen.connectors, seen.jobs
    assert (fact.status, fact.upstream_status) == (ConnectorStatus.UNKNOWN, "Hibernating")
    assert (job.status, job.upstream_status) == (JobStatus.UNKNOWN, "Hibernating")
    assert seen.complete


async def test_an_empty_list() -> None:
    async with feldera() as (source, _):
        seen = await source.poll(Known())
    assert (seen.connectors, seen.jobs, seen.complete, seen.problems) == ((), (), True, ())


@cases("name", STATS)
async def test_counters_of_whole_pipelines(name: str) -> None:
    body = read(name)
    seen = await polled(body)
    assert seen.complete
    assert not seen.problems
    sent = [*body["inputs"], *body["outputs"]]
    assert [fact.name for fact in seen.connectors] == [one["endpoint_name"] for one in sent]
    assert len(seen.jobs) == len(sent)
    expected = {
        "complete": ["SUCCEEDED", "SUCCEEDED"],
        "no_connectors": [],
        "paused": ["SUCCEEDED", "SUSPENDED", "SUSPENDED"],
        "running": ["SUCCEEDED", "RUNNING", "SUCCEEDED", "RUNNING", "RUNNING"],
        "terminated": ["SUCCEEDED"],
    }
    key = name.removeprefix("pipeline_stats/").removesuffix(".response.json")
    if key in expected:
        assert [job.status.name for job in seen.jobs] == expected[key]


# ---- every field arrives


#: what is not kept, and why
LEFT_OUT: dict[str, str] = {
    **{f".global_metrics.{gauge}": "of the process as a whole; it moves with every answer" for gauge in GAUGES},
    **{f".{key}": "the program and how it is run; its text holds secrets" for key in PROGRAM_KEYS - {"program_info"}},
    ".program_info.schema": "the program's tables and views",
    ".program_info.udf_stubs": "the program's text",
}
#: values that are shown in another form
MOMENTS = frozenset({".global_metrics.start_time", ".global_metrics.initial_start_time"})


def spoken(seen: Observation) -> set[str]:
    """All values in facts, and in the JSON of their details."""
    words: set[str] = set()
    facts: list[ConnectorFact | JobFact] = [*seen.connectors, *seen.jobs]
    for fact in facts:
        words |= {json.dumps(value) for _, value in leaves(shown(fact))}
        words |= {json.dumps(value, default=str) for key, value in vars(fact).items() if key != "details"}
    return words


def assert_told(sent: Any, seen: Observation) -> None:
    words = spoken(seen)
    assert seen.connectors
    for steps, value in leaves(sent):
        path = "".join("[]" if isinstance(step, int) else f".{step}" for step in steps)
        bare = path.removeprefix("[]")
        if value in (None, {}, []) or any(
            bare == left or bare.startswith((f"{left}.", f"{left}[")) for left in LEFT_OUT
        ):
            continue
        if bare in MOMENTS:
            value = datetime.fromtimestamp(value, UTC).isoformat()
        elif path.endswith(".timestamp"):
            value = datetime.fromisoformat(value).isoformat()
        elif "password" in path:
            value = "[redacted]"
        assert json.dumps(value) in words, path


@cases("name", [*INPUTS, *OUTPUTS, *(name for name in STATS if "no_connectors" not in name)])
async def test_every_field_of_counters_arrives(name: str) -> None:
    sent = read(name)
    whole = {"input": lambda: counters(sent), "output": lambda: counters(outputs=[sent])}
    assert_told(sent, await polled(whole.get(name.partition("/")[0], lambda: sent)()))


@cases("name", [name for name in PIPELINES if "empty" not in name])
async def test_every_field_of_a_pipeline_arrives(name: str) -> None:
    body = read(name)
    for entry in body if isinstance(body, list) else [body]:
        resting = {"deployment_status": "Stopped"} if entry["deployment_status"] == "Running" else {}
        info = {**read(WITH_PROGRAM), **entry}
        async with feldera(({**entry, **resting}, error_reply("not_deployed_before_retry_after"), info)) as (source, _):
            seen = await source.poll(Known())
        told = {key: value for key, value in entry.items() if key not in ("deployment_status", *PROGRAM_KEYS)}
        assert_told({**told, **({"program_info": entry["program_info"]} if "program_info" in entry else {})}, seen)


# ---- the timeline


async def test_the_timeline_of_a_bounded_source() -> None:
    seen = []
    config = {"stream": "customers", "transport": {"name": "url_input", "config": {}}}
    info = program("nightly", {"customers.unnamed-0": config})
    async with feldera((pipeline("nightly", "Stopped"), None, info)) as (source, upstream):
        for moment in read("timelines/bounded_source.json"):
            word, body = moment["deployment_status"], moment["response"]
            upstream.listed[0]["deployment_status"] = word
            state = "Paused" if word == "Paused" else "Running"
            stats = counters(body, run={"state": state}) if moment["status"] == 200 else body
            upstream.counters["nightly"] = Reply(stats, moment["status"])
            observation = await source.poll(Known(open_jobs={f"nightly/x@{INCARNATION}": None}))
            assert observation.complete
            assert not observation.problems
            (fact,) = observation.connectors
            (job,) = observation.jobs or (None,)
            assert fact.source == "url"
            ended = bool(observation.canceled_jobs) and job is None
            seen.append((fact.status.name, job and job.status.name, job and job.processed, ended))
    assert seen == [
        ("INACTIVE", None, None, True),
        ("SCHEDULED", None, None, True),
        ("SCHEDULED", None, None, False),
        ("ACTIVE", "RUNNING", 0, False),
        ("ACTIVE", "RUNNING", 10100, False),
        ("PAUSED", "SUSPENDED", 14300, False),
        ("PAUSED", "SUSPENDED", 14300, False),
        ("PAUSED", "SUSPENDED", 14300, False),
        ("ACTIVE", "RUNNING", 18890, False),
        ("ACTIVE", "RUNNING", 20800, False),
        ("ACTIVE", "SUCCEEDED", 25000, False),
        ("INACTIVE", None, None, True),
        ("INACTIVE", None, None, True),
    ]


@cache
def definitions() -> DocumentNode:
    return parse(CONTRACT.read_text())


def fields_of(name: str) -> set[str]:
    """The fields of a type of the published contract, as Python names."""
    for definition in definitions().definitions:
        if isinstance(definition, ObjectTypeDefinitionNode) and definition.name.value == name:
            return {re.sub(r"(?=[A-Z])", "_", field.name.value).lower() for field in definition.fields or ()}
    raise AssertionError(name)


async def test_details_have_the_fields_of_the_contract() -> None:
    fact, job = await polled_endpoint(read("input/stats.running.response.json"), is_input=True)
    resting = await polled(None, "Stopped", read(WITH_PROGRAM))
    for one in (fact, *resting.connectors):
        assert shown(one).keys() - fields_of("FelderaEndpointDetails") == {"pipeline"}
        assert fields_of("FelderaEndpointDetails") <= shown(one).keys()
    assert shown(job).keys() - fields_of("FelderaJobDetails") == {"run"}
    assert fields_of("FelderaJobDetails") <= shown(job).keys()
    for error in shown(fact)["parse_errors"]:
        assert error.keys() == fields_of("FelderaConnectorError")
