"""Every example payload of Feldera: read by the adapter, and answered alike by the simulator."""

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from graphql import ObjectTypeDefinitionNode, parse
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

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
from sources.base import (
    ActionNotSupported,
    SourceAuthFailed,
    SourceError,
    SourceMismatch,
    SourceUnreachable,
)
from sources.feldera.checks import READER_TOKEN
from sources.feldera.client import FelderaSource
from sources.feldera.discretion import discreet
from sources.feldera.pipelines import GAUGES, PROGRAM_KEYS
from sources.feldera.simulator import TOKEN, simulator
from sources.feldera.wire import EndpointUnknown, FelderaClient, NotServed, PipelineUnknown
from sources.simulation import Clock
from tests.paths import CONTRACT, EXAMPLES
from tests.sources.canned import Reply, canned
from tests.sources.contract import START
from tests.sources.feldera_stage import (
    FELDERA,
    INCARNATION,
    LIST,
    Api,
    configured,
    counters,
    error_reply,
    feldera,
    pipeline,
    program,
    read,
    shown,
    simulated,
)

FILES = sorted(str(path.relative_to(FELDERA)) for path in FELDERA.rglob("*.json"))
ERRORS = [name for name in FILES if name.startswith("errors/")]
INPUTS = [name for name in FILES if name.startswith("input/")]
OUTPUTS = [name for name in FILES if name.startswith("output/")]
STATS = [name for name in FILES if name.startswith("pipeline_stats/")]
PIPELINES = [name for name in FILES if name.startswith("pipelines/")]
EVERY_STATUS = "pipelines/list.selector_status.every_status.response.json"
WITH_PROGRAM = "pipelines/get.selector_all.stopped_with_program_info.response.json"


async def polled(stats: Any, word: str = "Running", info: Any = None) -> Observation:
    """What a poll sees of the pipeline ``p`` with these counters."""
    async with feldera((pipeline("p", word), stats, info)) as (source, _):
        return await source.poll(Known())


async def polled_endpoint(sent: Any, *, is_input: bool, word: str = "Running") -> tuple[ConnectorFact, JobFact]:
    stats = counters(sent) if is_input else counters(outputs=[sent])
    seen = await polled(stats, word)
    assert seen.complete
    assert not seen.problems
    (fact,), (job,) = seen.connectors, seen.jobs
    return fact, job


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


@pytest.mark.parametrize("name", DERIVED)
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(("word", "status"), RESTING)
@pytest.mark.parametrize("failed", [False, True])
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


@pytest.mark.parametrize(
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
    assert told == {
        "end_of_input": False,
        "pipeline_status": "Running",
        "metrics": sent["metrics"],
        "extra": None,
    }


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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(("transport", "source"), TRANSPORTS)
async def test_transports_are_sources(transport: Any, source: str) -> None:
    config = {"stream": "orders", "transport": {"name": transport}}
    sent = read("input/stats.just_started.response.json")
    seen = await polled(counters(sent), info=program("p", {"orders.kafka_orders": config}))
    assert [fact.source for fact in seen.connectors] == [job.source for job in seen.jobs] == [source]


@pytest.mark.parametrize(
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


# ---- secrets

SECRETS = {
    "sasl.password": "hush",
    "ssl.key.pem": "hush",
    "sasl.jaas.config": 'Login required username="a" password="hush";',
    "aws_secret_access_key": "hush",
    "azure_storage_account_key": "hush",
    "connection_string": "redis://:hush@cache",
    "uri": "postgres://writer:hush@db.example.com/alerts?sslmode=require",
    "dsn": "host=db user=writer password=hush dbname=x",
    "path": "https://files.example.com/a.csv?X-Amz-Signature=hush&X-Amz-Date=20260820",
    "headers": [{"key": "Authorization", "value": "Basic hush"}, {"name": "Cookie", "value": "hush"}],
    "nested": {"deeper": [{"api_key": "hush"}]},
    "rest.headers": [["Authorization", "hush"], ["X-Session-Token", "hush"]],
    "auth": {"nkey": "hush", "jwt": "hush", "user_and_password": {"user": "a", "password": "hush"}},
    "glue.access-key-id": "hush",
    "credentials": '{"private_key": "hush"}',
    "ssl_client_key": "hush",
    "note": "sent with Authorization: Bearer hush.hush",
}
HARMLESS = {
    "topic": "orders",
    "bootstrap.servers": "broker:9092",
    "primary_key": "id",
    "headers": [{"key": "trace", "value": "on"}],
    "key": "id",
    "key_separator": ":",
    "rest.headers": [["X-Region", "eu"]],
    "path": "https://files.example.com/a.csv?part=3",
    "token_refresh": True,
}


@pytest.mark.parametrize("running", [True, False])
async def test_configurations_are_shown_without_secrets(running: bool) -> None:
    def config(options: dict[str, Any]) -> dict[str, Any]:
        return {"stream": "a", "transport": {"name": "kafka_input", "config": options}}

    info = program("p", {"a.secret": config(SECRETS)}, {"a.harmless": config(HARMLESS)})
    sent = [{**read("input/stats.just_started.response.json"), "endpoint_name": "a.secret"}]
    sent += [{**read("output/stats.running.response.json"), "endpoint_name": "a.harmless"}]
    stats = counters(sent[0], outputs=[sent[1]])
    async with feldera((pipeline("p", "Running" if running else "Stopped"), stats, info)) as (source, _):
        seen = await source.poll(Known())
    assert "hush" not in repr(seen)
    secret, harmless = (shown(fact)["config"]["transport"]["config"] for fact in seen.connectors)
    assert harmless == HARMLESS
    assert secret.keys() == SECRETS.keys()
    assert secret["uri"] == "postgres://db.example.com/alerts?sslmode=require"
    assert secret["path"].endswith("X-Amz-Signature=[redacted]&X-Amz-Date=20260820")
    assert secret["dsn"] == "host=db user=writer password=[redacted] dbname=x"


async def test_an_older_server_shows_a_whole_configuration() -> None:
    sent = read("input/stats.version_before_2025_09_full_config.response.json")
    fact, _ = await polled_endpoint(sent, is_input=True)
    assert fact.source == "kafka"
    assert "NOT-A-REAL-SECRET" not in repr(fact)
    assert shown(fact)["config"]["transport"]["config"]["sasl.password"] == "[redacted]"


@pytest.mark.parametrize("where", ["fatal_error", "parse_errors", "transport_errors", "health", "deployment_error"])
async def test_error_texts_quote_no_secret(where: str) -> None:
    text = "no answer from https://bot:hush@db.example.com with password=hush"
    sent = read("input/stats.just_started.response.json")
    entry, stats = pipeline("p"), counters(sent)
    if where == "deployment_error":
        entry = pipeline("p", "Stopped", deployment_error={"message": text, "details": {"token": "hush", "at": [text]}})
    elif where == "health":
        sent["health"] = {"status": "Unhealthy", "description": text}
    else:
        sent[where] = text if where == "fatal_error" else [{"message": text, "index": 0, "tag": None}]
    async with feldera((entry, stats, read(WITH_PROGRAM))) as (source, _):
        seen = await source.poll(Known())
    assert "hush" not in repr(seen)
    assert "db.example.com" in repr(seen.connectors)


# ---- pipelines


@pytest.mark.parametrize(
    "text",
    ["x" * 8192, "a=" * 4096, "=" * 8192, "password" * 1024, "a " * 4096, "://" * 2700, " " * 8192, '"a":' * 2048],
)
def test_long_texts_are_searched_quickly(text: str) -> None:
    began = time.perf_counter()
    for _ in range(20):
        assert discreet(text)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "text",
    [
        "unexpected token at line 1 column 1",
        "Missing bearer token",
        "the key = 5 violates primary_key = id",
        "https://files.example.com/a.csv?part=3",
        "invalid token: }",
        'Bearer error_description="Missing bearer token"',
        "",
    ],
)
def test_harmless_texts_stay_whole(text: str) -> None:
    assert discreet(text) == text


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


@pytest.mark.parametrize("name", STATS)
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


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path, value


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
    for path, value in leaves(sent):
        bare = path.removeprefix("[]")
        if value is None or any(bare == left or bare.startswith((f"{left}.", f"{left}[")) for left in LEFT_OUT):
            continue
        if bare in MOMENTS:
            value = datetime.fromtimestamp(value, UTC).isoformat()
        elif path.endswith(".timestamp"):
            value = datetime.fromisoformat(value).isoformat()
        elif "password" in path:
            value = "[redacted]"
        assert json.dumps(value) in words, path


@pytest.mark.parametrize("name", [*INPUTS, *OUTPUTS])
async def test_every_field_of_an_endpoint_arrives(name: str) -> None:
    sent = read(name)
    is_input = name.startswith("input")
    assert_told(sent, await polled(counters(sent) if is_input else counters(outputs=[sent])))


@pytest.mark.parametrize("name", [name for name in STATS if "no_connectors" not in name])
async def test_every_field_of_the_counters_arrives(name: str) -> None:
    assert_told(read(name), await polled(read(name)))


@pytest.mark.parametrize("name", [name for name in PIPELINES if "empty" not in name])
async def test_every_field_of_a_pipeline_arrives(name: str) -> None:
    body = read(name)
    for entry in body if isinstance(body, list) else [body]:
        resting = {"deployment_status": "Stopped"} if entry["deployment_status"] == "Running" else {}
        info = {**read(WITH_PROGRAM), **entry}
        async with feldera(({**entry, **resting}, error_reply("not_deployed_before_retry_after"), info)) as (source, _):
            seen = await source.poll(Known())
        told = {key: value for key, value in entry.items() if key not in ("deployment_status", *PROGRAM_KEYS)}
        assert_told({**told, **({"program_info": entry["program_info"]} if "program_info" in entry else {})}, seen)


# ---- errors

EXPECTED: dict[str, type[SourceError]] = {
    "bad_api_key_text_body_without_details": SourceAuthFailed,
    "bad_jwt_empty_body": SourceAuthFailed,
    "duplicate_name": SourceMismatch,
    "enterprise_feature": ActionNotSupported,
    "from_pipeline_awaitingapproval": NotServed,
    "from_pipeline_initialization_error": SourceUnreachable,
    "from_pipeline_initializing": NotServed,
    "from_pipeline_suspended": NotServed,
    "from_pipeline_terminating": NotServed,
    "illegal_pipeline_action": SourceMismatch,
    "insufficient_permissions": SourceAuthFailed,
    "invalid_connector_action": ActionNotSupported,
    "invalid_response_too_large": SourceUnreachable,
    "not_deployed": NotServed,
    "not_deployed_before_retry_after": NotServed,
    "not_deployed_provisioning": NotServed,
    "pause_while_not_provisioned": SourceMismatch,
    "proxy_html": SourceUnreachable,
    "start_failed_compilation": SourceMismatch,
    "unavailable": NotServed,
    "unknown_input_endpoint": EndpointUnknown,
    "unknown_output_endpoint": EndpointUnknown,
    "unknown_pipeline": PipelineUnknown,
    "unreachable_disconnected": SourceUnreachable,
    "unreachable_timeout": SourceUnreachable,
    "unsupported_action": ActionNotSupported,
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_are_told_apart(name: str) -> None:
    example = read(name)
    async with canned({f"GET {LIST}": error_reply(name.removeprefix("errors/").removesuffix(".json"))}) as upstream:
        source = FelderaSource(configured(upstream.url))
        with pytest.raises(SourceError) as caught:
            await source.poll(Known())
        await source.close()
    error = caught.value
    assert type(error) is EXPECTED[name.removeprefix("errors/").removesuffix(".json")]
    assert error.status == example["status"]
    if isinstance(error, SourceUnreachable):
        assert error.code is SystemErrorCode.UPSTREAM_ERROR
    if isinstance(example["body"], dict):
        assert example["body"]["error_code"] in str(error)
        assert example["body"]["message"][:60] in str(error)
    if "WWW-Authenticate" in example["headers"]:
        assert "Missing bearer token" in str(error)


@pytest.mark.parametrize("body", [{"error_code": 7, "message": [1]}, {"message": "x" * 5000}, [1], None, 7, "text"])
async def test_any_error_body_makes_a_short_sentence(body: object) -> None:
    async with canned({f"GET {LIST}": Reply(body, 422)}) as upstream:
        source = FelderaSource(configured(upstream.url))
        with pytest.raises(SourceMismatch) as caught:
            await source.poll(Known())
        await source.close()
    assert len(str(caught.value)) < 400


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


# ---- the simulator answers alike

#: Objects whose keys are names or options of a transport.
FREE = ("_connectors", "transport.config", ".metadata", "approval_diff", ".details")


def types(value: Any, path: str = "") -> dict[str, set[str]]:
    """The type names at every path of a JSON value; items of a list share theirs, and so do values of free objects."""
    found: dict[str, set[str]] = defaultdict(set)
    found[path].add(type(value).__name__)
    if isinstance(value, dict) and not path.endswith(FREE[1:]):
        for key, inner in value.items():
            step = ".*" if path.endswith(FREE[0]) else f".{key}"
            for deeper, names in types(inner, path + step).items():
                found[deeper] |= names
    if isinstance(value, list):
        for inner in value:
            for deeper, names in types(inner, f"{path}[]").items():
                found[deeper] |= names
    return found


def assert_alike(answers: list[Any], examples: list[Any]) -> None:
    """The same paths in both, and where both tell more than null the same types."""
    ours, theirs = types(answers), types(examples)
    assert ours.keys() == theirs.keys()
    for path, names in theirs.items():
        told, seen = names - {"NoneType"}, ours[path] - {"NoneType"}
        assert not told or not seen or told == seen, path


async def gathered(api: Api, rounds: int = 80, seconds: float = 7) -> dict[str, list[Any]]:
    """What the simulator answers in a while, by kind."""
    found: dict[str, list[Any]] = defaultdict(list)
    for _ in range(rounds):
        for selector in ("status", "status_with_connectors", "all"):
            found[selector] += await api.get(f"{LIST}?selector={selector}")
        for name in [p.name for p in api.world.pipelines.values() if p.is_serving]:
            for texts in ("true", "false"):
                body = await api.get(f"{LIST}/{name}/stats?include_connector_errors={texts}")
                found["stats"].append(body)
                found["input"] += body["inputs"] if texts == "true" else []
                found["output"] += body["outputs"] if texts == "true" else []
        api.pass_time(seconds)
    return found


async def test_answers_have_the_shape_of_the_examples() -> None:
    async with simulated() as api:
        found = await gathered(api)
    old = "input/stats.version_before_2025_09_full_config.response.json"
    assert_alike(found["input"], [read(name) for name in INPUTS if name != old])
    assert_alike(found["output"], [read(name) for name in OUTPUTS])
    apart: dict[str, Any] = {"inputs": [], "outputs": []}  # they were compared by themselves
    assert_alike([{**body, **apart} for body in found["stats"]], [{**read(name), **apart} for name in STATS])
    assert_alike(found["status"], [*read(EVERY_STATUS), read("pipelines/get.selector_status.running.response.json")])
    with_errors = read("pipelines/list.selector_status_with_connectors.response.json")
    assert_alike(found["status_with_connectors"], [*read(EVERY_STATUS), *with_errors])
    assert_alike(found["all"], [*read(EVERY_STATUS), read(WITH_PROGRAM)])


async def test_keys_come_in_the_order_of_the_examples() -> None:
    async with simulated() as api:
        stats = await api.get(f"{LIST}/orders/stats?include_connector_errors=true")
        whole = await api.get(f"{LIST}/orders")
        entry = await api.get(f"{LIST}/orders?selector=status")
    example = read("pipeline_stats/running.include_connector_errors_true.response.json")
    assert list(stats) == list(example)
    assert list(stats["global_metrics"]) == list(example["global_metrics"])
    latest = next(one for one in stats["inputs"] if one["completed_frontier"])
    assert list(latest) == list(example["inputs"][1])
    assert list(latest["metrics"]) == list(example["inputs"][1]["metrics"])
    assert list(stats["outputs"][0]) == list(example["outputs"][0])
    assert list(stats["outputs"][0]["metrics"]) == list(example["outputs"][0]["metrics"])
    assert list(whole) == list(read(WITH_PROGRAM))
    assert list(entry) == list(read("pipelines/get.selector_status.running.response.json"))


async def test_texts_come_with_the_counters_only_when_asked_for() -> None:
    async with simulated() as api:
        with_texts = await api.get(f"{LIST}/orders/stats?include_connector_errors=true")
        without = await api.get(f"{LIST}/orders/stats")
    lists = {"parse_errors", "encode_errors", "transport_errors"}
    for key, example in (("inputs", "input/stats.running"), ("outputs", "output/stats.running")):
        assert without[key] == [{k: v for k, v in sent.items() if k not in lists} for sent in with_texts[key]]
        assert with_texts[key][0].keys() == read(f"{example}.response.json").keys()


async def test_an_endpoints_own_route_tells_what_the_counters_tell() -> None:
    async with simulated() as api:
        stats = await api.get(f"{LIST}/orders/stats?include_connector_errors=true")
        one = await api.get(f"{LIST}/orders/tables/ORDERS/connectors/kafka_orders/stats")
        out = await api.get(f"{LIST}/orders/views/order_totals/connectors/kafka_out/stats")
    assert one in stats["inputs"]
    assert out in stats["outputs"]


# ---- refusals

_POST: dict[str, Any] = {"method": "POST"}
_KAFKA = f"{LIST}/orders/tables/orders/connectors/kafka_orders"
#: error example → what makes the simulator answer so: path, how, and what is done to the world before
REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "bad_api_key_text_body_without_details": (LIST, {"headers": {"Authorization": f"Bearer {TOKEN[:-1]}"}}, {}),
    "bad_jwt_empty_body": (LIST, {"headers": {}}, {}),
    "duplicate_name": (LIST, {**_POST, "body": {"name": "orders"}}, {}),
    "enterprise_feature": (f"{LIST}/orders/stop", _POST, {}),
    "from_pipeline_awaitingapproval": (f"{LIST}/p/stats", {}, {"runtime": "AwaitingApproval"}),
    "from_pipeline_initializing": (f"{LIST}/p/stats", {}, {"runtime": "Initializing"}),
    "from_pipeline_suspended": (f"{LIST}/p/stats", {}, {"runtime": "Suspended"}),
    "from_pipeline_terminating": (f"{LIST}/p/stats", {}, {"fault": "Terminating"}),
    "from_pipeline_initialization_error": (
        f"{LIST}/prices/stats",
        {},
        {"name": "prices", "fault": "InitializationError"},
    ),
    "illegal_pipeline_action": (
        f"{LIST}/p/start",
        _POST,
        {"resources": "Stopping", "resources_desired": "Stopped"},
    ),
    "insufficient_permissions": (
        f"{_KAFKA}/pause",
        {**_POST, "headers": {"Authorization": f"Bearer {READER_TOKEN}"}},
        {},
    ),
    "invalid_connector_action": (f"{_KAFKA}/restart", _POST, {}),
    "invalid_response_too_large": (f"{LIST}/orders/stats", {}, {"name": "orders", "fault": "payload too large"}),
    "not_deployed": (
        f"{LIST}/nightly/stats",
        {},
        {"name": "nightly", "resources": "Stopped", "resources_desired": "Stopped"},
    ),
    "not_deployed_provisioning": (f"{LIST}/starting/stats", {}, {"name": "starting", "resources": "Provisioning"}),
    "pause_while_not_provisioned": (f"{LIST}/archive/pause", _POST, {}),
    "start_failed_compilation": (f"{LIST}/draft/start", _POST, {}),
    "unavailable": (f"{LIST}/lost/stats", {}, {"name": "lost", "runtime": "Unavailable"}),
    "unknown_input_endpoint": (f"{LIST}/orders/tables/orders/connectors/nope/stats", {}, {}),
    "unknown_output_endpoint": (f"{LIST}/orders/views/order_totals/connectors/nope/stats", {}, {}),
    "unknown_pipeline": (f"{LIST}/nope/stats", {}, {}),
    "unreachable_disconnected": (f"{LIST}/orders/stats", {}, {"name": "orders", "fault": "the pipeline disconnected"}),
    "unreachable_timeout": (f"{LIST}/orders/stats", {}, {"name": "orders", "fault": "timeout (10s) was reached"}),
    "unsupported_action": (f"{LIST}/p/stop", _POST, {"edition": "Enterprise", "has_storage": False}),
}
#: examples of what a present server does not say
NOT_SIMULATED = {"not_deployed_before_retry_after", "proxy_html"}


@pytest.mark.parametrize("name", REFUSED)
async def test_refusals_are_worded_as_in_the_examples(name: str) -> None:
    example = read(f"errors/{name}.json")
    path, how, done = REFUSED[name]
    how = {**how}
    async with simulated() as api:
        api.world.edition = done.get("edition", api.world.edition)
        called = done.get("name", "p")
        target = api.world.pipelines.get(called) or api.world.add(called, resources="Provisioned")
        if target.resources_desired == "Stopped" and called != "nightly":
            target.resources_desired = "Provisioned"
        for key, value in done.items():
            if key not in ("name", "edition"):
                setattr(target, key, value)
        answer = await api.ask(how.pop("method", "GET"), path, how.pop("body", None), **how)
        sent = {key: api.headers.get(key, "").replace("; charset=utf-8", "") for key in example["headers"]}
    assert answer == (example["status"], example["body"] or None)
    assert sent == {key: value.replace("; charset=utf-8", "") for key, value in example["headers"].items()}


async def test_a_503_of_the_process_asks_for_no_pause() -> None:
    async with simulated() as api:
        for word, asked in (("Initializing", None), ("Unavailable", "5")):
            api.world.pipelines["orders"].runtime = word
            status, _ = await api.ask("GET", f"{LIST}/orders/stats")
            assert (status, api.headers.get("Retry-After")) == (503, asked)


# ---- actions

ACTIONS: dict[str, tuple[str, str, int]] = {
    "actions/start.202.response.json": ("POST", f"{LIST}/archive/start", 202),
    "actions/stop_force.202.response.json": ("POST", f"{LIST}/orders/stop?force=true", 202),
    "actions/clear.202.response.json": ("POST", f"{LIST}/archive/clear", 202),
}


@pytest.mark.parametrize("name", ACTIONS)
async def test_actions_are_answered_as_in_the_examples(name: str) -> None:
    method, path, status = ACTIONS[name]
    async with simulated() as api:
        assert await api.ask(method, path) == (status, read(name))


@pytest.mark.parametrize("action", ["pause", "start"])
async def test_connector_actions_have_an_empty_body(action: str) -> None:
    example = read("actions/connector_pause.200.json")
    async with simulated() as api:
        for _ in range(2):
            answer = await api.ask("POST", f"{_KAFKA}/{action}")
            assert answer == (example["status"], example["body"])
            assert {key: api.headers.get(key) for key in example["headers"]} == example["headers"]
        assert (await api.get(f"{_KAFKA}/stats"))["paused"] is (action == "pause")


async def test_completion_tokens_are_redeemed_as_in_the_examples() -> None:
    async with simulated() as api:
        api.pass_time(3)
        said = await api.get(f"{_KAFKA}/completion_token")
        assert_alike([said], [read("actions/completion_token.response.json")])
        path = f"{LIST}/orders/completion_status?token={said['token']}"
        endpoint = next(e for e in api.world.pipelines["orders"].inputs if e.connector == "kafka_orders")
        endpoint.buffered = 10
        assert await api.get(path) == read("actions/completion_status.inprogress.response.json")
        endpoint.buffered = 0
        done = await api.get(path)
        assert (done["status"], type(done["step"])) == ("complete", int)
        assert done.keys() == read("actions/completion_status.complete.response.json").keys()
        assert (await api.ask("GET", f"{LIST}/orders/completion_status?token=nonsense"))[0] == 400


@pytest.mark.parametrize("trouble", [None, "no answer within 5 s"])
async def test_the_health_of_the_cluster(trouble: str | None) -> None:
    status = 503 if trouble else 200
    async with simulated() as api:
        api.world.compiler_trouble = trouble
        told, body = await api.ask("GET", "/v0/cluster_healthz")
    example = read(f"health/cluster_healthz.{status}.response.json")
    assert told == status
    assert_alike([body], [example])
    assert body["compiler"]["message"] == example["compiler"]["message"]


# ---- the simulator against the vendor's OpenAPI document

OPENAPI = json.loads((EXAMPLES / "openapi" / "feldera.json").read_text())


def relaxed(schema: Any) -> Any:
    """The document as real answers need it (feldera.md §11): what may be null is told by ``nullable`` beside ``allOf``,
    a ``$ref`` that may be absent may be null too, and the frontier's metadata is any JSON."""
    if isinstance(schema, list):
        return [relaxed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: relaxed(value) for key, value in schema.items()}
    if made.get("nullable") and "allOf" in made:
        return {"anyOf": [{"allOf": made["allOf"]}, {"enum": [None], "nullable": True}]}
    if isinstance(made.get("properties"), dict) and "metadata" in made["properties"]:
        made["properties"]["metadata"] = {}
    return made


RELAXED = {**OPENAPI, "components": relaxed(OPENAPI["components"])}
REGISTRY: Registry[Any] = Registry().with_resource("urn:feldera", DRAFT4.create_resource(RELAXED))


def complaints(schema: str, value: Any) -> set[str]:
    validator = OAS30Validator({"$ref": f"urn:feldera#/components/schemas/{schema}"}, registry=REGISTRY)
    return {f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)}


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ("InputEndpointStatus", INPUTS),
        ("OutputEndpointStatus", OUTPUTS),
        ("ControllerStatus", STATS),
        ("PipelineSelectedInfo", [n for n in PIPELINES if n.startswith("pipelines/get")]),
        ("HealthStatus", [n for n in FILES if n.startswith("health/")]),
    ],
)
def test_the_examples_are_valid(schema: str, names: list[str]) -> None:
    """So that a complaint about the simulator is the simulator's fault."""
    assert {name: found for name in names if (found := complaints(schema, read(name)))} == {}


def test_the_validation_can_fail() -> None:
    sent = read("input/stats.running.response.json")
    assert complaints("InputEndpointStatus", {**sent, "paused": None})
    assert complaints("InputEndpointStatus", {**sent, "health": {"status": "Splendid"}})
    assert complaints("PipelineSelectedInfo", {"name": "p"})


async def test_simulated_answers_are_valid() -> None:
    async with simulated() as api:
        found = await gathered(api, rounds=12, seconds=45)
        found["config"] = [await api.get("/v0/config")]
        found["health"] = [await api.get("/v0/cluster_healthz")]
        found["token"] = [await api.get(f"{_KAFKA}/completion_token")]
        found["errors"] = [
            (await api.ask("GET", f"{LIST}/nope"))[1],
            (await api.ask("GET", f"{LIST}/archive/stats"))[1],
        ]
        found["authentication"] = [await api.get("/config/authentication")]
    schemas = {
        "status": "PipelineSelectedInfo",
        "status_with_connectors": "PipelineSelectedInfo",
        "all": "PipelineSelectedInfo",
        "stats": "ControllerStatus",
        "input": "InputEndpointStatus",
        "output": "OutputEndpointStatus",
        "config": "Configuration",
        "health": "HealthStatus",
        "token": "CompletionTokenResponse",
        "errors": "ErrorResponse",
        "authentication": "AuthProvider",
    }
    assert schemas.keys() == found.keys()
    for kind, answers in found.items():
        assert answers, kind
        assert set().union(*(complaints(schemas[kind], answer) for answer in answers)) == set(), kind


def test_every_documented_route_of_status_and_actions_is_simulated() -> None:
    served = {
        (route.method.lower(), re.sub(r":[^}]*", "", str(route.resource.canonical)))
        for route in simulator(clock=Clock(start=START, wall=lambda: 0.0)).router.routes()
        if route.resource is not None
    }
    names = {
        "pipeline_name": "pipeline",
        "table_name": "relation",
        "view_name": "relation",
        "connector_name": "connector",
    }
    words = ("start", "pause", "resume", "stop", "dismiss_error", "clear")
    for path, operations in OPENAPI["paths"].items():
        for theirs, ours in names.items():
            path = path.replace(f"{{{theirs}}}", f"{{{ours}}}")
        path = re.sub(rf"(?<={{pipeline}}/)({'|'.join(words)})$", "{action}", path)
        for method in operations.keys() & {"get", "post", "delete"}:
            assert (method, path) in served


# ---- nothing is forgotten


def test_no_example_is_left_out() -> None:
    used = {*ERRORS, *INPUTS, *OUTPUTS, *STATS, *PIPELINES, *ACTIONS, "timelines/bounded_source.json"}
    used |= {name for name in FILES if name.startswith(("health/", "actions/completion_", "actions/connector_"))}
    assert used == set(FILES)
    assert {f"errors/{name}.json" for name in EXPECTED} == set(ERRORS)
    assert REFUSED.keys() | NOT_SIMULATED == EXPECTED.keys()
    assert {f"{name}.response.json" for name in DERIVED} == {*INPUTS, *OUTPUTS}


async def test_names_are_quoted_and_encoded_in_paths() -> None:
    async with simulated() as api:
        async with FelderaClient(configured(api.url, token=TOKEN)) as client:
            told = await client.endpoint("sales", "Sales.Items", "csv_2024", is_input=True)
            with pytest.raises(EndpointUnknown):
                await client.endpoint("sales", "sales.items", "csv_2024", is_input=True)
        status, _ = await api.ask("GET", f"{LIST}/sales/tables/Sales.Items/connectors/csv_2024/stats")
    assert told["endpoint_name"] == read("input/stats.quoted_identifier.response.json")["endpoint_name"]
    assert status == 404  # without quotes SQL makes it sales.items


@pytest.mark.parametrize("relation", ['say "x"', "a/b", "a%2Fb", "a?b#c", "ä ö"])
async def test_odd_names_travel_whole(relation: str) -> None:
    async with feldera(pipeline("p")) as (source, upstream):
        with pytest.raises(EndpointUnknown):
            await source.http.endpoint("p", relation, "c", is_input=False)
        (asked,) = upstream.asked
    assert unquote(asked) == unquote(f'p/views/"{relation}"/connectors/c/stats')


def fields_of(name: str) -> set[str]:
    """The fields of a type of the published contract, as Python names."""
    for definition in parse(CONTRACT.read_text()).definitions:
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
