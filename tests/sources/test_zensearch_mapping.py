"""What the adapter makes of ZenSearch's connectors and jobs: every example, and nothing in them is lost."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connectory.model import (
    ConnectorFact,
    ConnectorStatus,
    CountsFact,
    JobFact,
    JobStatus,
    Known,
    StageFact,
    SystemErrorCode,
)
from connectory.redaction import REDACTED
from sources.base import SourceMismatch
from sources.zensearch import mapping
from sources.zensearch.source import ZenSearchSource
from tests.sources.canned import Reply, canned
from tests.sources.cases import cases
from tests.sources.contract import START, check_connector, check_job
from tests.sources.payloads import leaves
from tests.sources.zensearch_stage import (
    ID,
    JOBS,
    LISTS,
    SINGLES,
    TIMELINE,
    a_job,
    configured,
    connector,
    details_of,
    job,
    known,
    listed,
    read,
    told,
    zensearch,
)

# ---- connectors


@cases("name", LISTS)
async def test_lists_are_read_without_a_problem(name: str) -> None:
    async with zensearch(Reply(read(name))) as (source, _):
        seen = await source.poll(Known())
    entries = read(name)["data"]
    assert seen.complete
    assert not seen.problems
    assert [fact.external_id for fact in seen.connectors] == [entry["id"] for entry in entries]
    assert len(seen.jobs) == sum(entry["lastSync"] is not None for entry in entries)
    for fact in seen.connectors:
        check_connector(fact)
        assert details_of(fact)["extra"] is None


async def test_the_list_of_every_status() -> None:
    async with zensearch(Reply(read("assumed/connectors_list.every_status.response.json"))) as (source, _):
        seen = await source.poll(Known())
    assert [(fact.source, fact.status.name, fact.upstream_status) for fact in seen.connectors] == [
        ("confluence", "ACTIVE", "active"),
        ("salesforce", "PAUSED", "paused"),
        ("slack", "ERROR", "error"),
        ("web_crawler", "INACTIVE", "inactive"),
        ("postgresql", "ACTIVE", "active"),
        ("google_drive", "ACTIVE", "active"),
        ("jira", "UNKNOWN", "syncing"),
    ]


def test_a_connector_in_full() -> None:
    fact, complaints = mapping.connector(read("assumed/connector_get.response.json")["data"])
    assert not complaints
    assert fact == ConnectorFact(
        external_id="conn_1b88c0",
        name="Document Storage",
        source="s3",
        status=ConnectorStatus.ACTIVE,
        upstream_status="active",
        last_sync_at=datetime(2026, 8, 22, 8, tzinfo=UTC),
        created_at=datetime(2026, 2, 1, 12, 30, tzinfo=UTC),
        details=fact.details,
    )
    assert fact.details is not None
    assert fact.details.type == "ZenSearchConnectorDetails"
    assert details_of(fact) == {
        "collection": "col_docs",
        "type": "s3",
        "config": {"bucket": "acme-documents", "region": "eu-west-1", "prefix": "/contracts/"},
        "extra": None,
    }


def test_what_the_mapping_does_not_know_is_kept_without_secrets() -> None:
    create = read("documented/connector_create_s3.request.json")
    fact, complaints = mapping.connector(connector(1, **create, enabled=True, schedule={"cron": "0 * * * *"}))
    assert not complaints
    told = details_of(fact)
    assert told["config"] == create["config"]
    assert told["extra"] == {"credentials": REDACTED, "enabled": True, "schedule": {"cron": "0 * * * *"}}
    fact, _ = mapping.connector(connector(1, config={"host": "db", "password": "hush", "api_key": "hush"}))
    assert "hush" not in repr(fact)


@cases(
    ("changes", "name", "source"),
    [
        ({"name": " "}, "s3 conn_1", "s3"),
        ({"name": None, "type": "MS SQL Server"}, "ms_sql_server conn_1", "ms_sql_server"),
        ({"id": 17, "name": ""}, "s3 17", "s3"),
        ({"type": None}, "connector 1", "unknown"),
    ],
)
def test_names_and_sources(changes: dict[str, Any], name: str, source: str) -> None:
    fact, _ = mapping.connector(connector(1, **changes))
    assert (fact.name, fact.source) == (name, source)


@cases(
    ("field", "value"),
    [
        ("name", 7),
        ("type", None),
        ("type", ["s3"]),
        ("status", None),
        ("status", True),
        ("collection", {}),
        ("lastSync", "soon"),
        ("createdAt", "22 August"),
        ("config", ["bucket"]),
    ],
)
def test_a_wrong_value_of_a_connector_is_named_and_left_out(field: str, value: object) -> None:
    fact, (complaint,) = mapping.connector(connector(1, **{field: value}))
    assert complaint.startswith(f"{field}: ")
    check_connector(fact)
    assert details_of(fact)["type"] == ("unknown" if field == "type" else "s3")


@cases("number", [None, "", " ", True, 1.5, ["x"], {}])
def test_without_an_id_nothing_can_be_said(number: object) -> None:
    with pytest.raises(SourceMismatch, match=r"^id: "):
        mapping.connector(connector(1, id=number))


# ---- jobs


@cases("name", JOBS)
async def test_jobs_are_read_without_a_problem(name: str) -> None:
    path = f"GET /v1/connectors/conn_1/sync/{ID}"
    memory = Known(open_jobs={ID: "conn_1"})
    async with canned({path: Reply(read(name))}) as upstream:
        source = ZenSearchSource(configured(upstream.url))
        seen = await source.look(memory, frozenset({ID}))
        await source.close()
    assert not seen.problems
    (fact,) = seen.jobs
    check_job(fact)
    assert fact.upstream_status == read(name)["data"]["status"]
    assert details_of(fact)["extra"] is None
    assert (fact.total, fact.counts.failed, fact.counts.total, fact.errors) == (None, None, None, None)


@cases(
    ("name", "status", "indexed", "completed", "message"),
    [
        ("documented/sync_trigger", "PENDING", None, None, None),
        ("documented/sync_status.running", "RUNNING", 100, None, None),
        ("assumed/sync_status.no_progress", "RUNNING", None, None, None),
        ("assumed/sync_status.null_progress", "PENDING", None, None, None),
        ("assumed/sync_status.unknown_word", "UNKNOWN", 312, None, None),
        ("assumed/sync_status.canceled_us_spelling", "CANCELED", 60, None, None),
        ("assumed/sync_status.cancelled", "CANCELED", 60, "09:30:20", None),
        ("assumed/sync_status.failed", "FAILED", 12, "09:30:31", "The source rejected the stored credentials"),
    ],
)
def test_what_the_examples_of_jobs_say(
    name: str, status: str, indexed: int | None, completed: str | None, message: str | None
) -> None:
    fact = a_job(read(f"{name}.response.json")["data"])
    end = datetime.fromisoformat(f"2026-08-22T{completed}Z") if completed else None
    assert (fact.status.name, fact.processed, fact.completed_at, fact.error_message) == (status, indexed, end, message)
    assert fact.order_at == START


def test_a_job_in_full() -> None:
    fact = a_job(read("assumed/sync_status.failed.response.json")["data"])
    assert fact == JobFact(
        external_id=ID,
        connector="conn_1",
        status=JobStatus.FAILED,
        upstream_status="failed",
        counts=CountsFact(indexed=12),
        processed=12,
        stages=(StageFact("collected", 40), StageFact("parsed", 40), StageFact("indexed", 12)),
        started_at=START,
        completed_at=datetime(2026, 8, 22, 9, 30, 31, tzinfo=UTC),
        error_message="The source rejected the stored credentials",
        order_at=START,
        details=fact.details,
    )
    assert fact.details is not None
    assert fact.details.type == "ZenSearchJobDetails"
    assert details_of(fact) == {
        "collected": 40,
        "parsed": 40,
        "indexed": 12,
        "error_code": "source_unauthorized",
        "inferred_from": None,
        "extra": None,
    }


@cases("progress", [None, {}, {"collected": None}])
def test_absent_progress_is_null_and_never_0(progress: object) -> None:
    fact = a_job(job(1, jobId=ID, progress=progress))
    assert (fact.processed, fact.counts, fact.stages) == (None, CountsFact(), ())


def test_only_a_number_that_was_sent_as_0_is_0() -> None:
    fact = a_job(job(1, jobId=ID, progress={"collected": 0, "indexed": 0}))
    assert (fact.processed, fact.stages) == (0, (StageFact("collected", 0), StageFact("indexed", 0)))


@cases("stage", mapping.STAGES)
@cases("value", [-1, 2**63, 1.5, "12", True])
async def test_a_counter_that_is_none_is_reported_and_left_out(stage: str, value: object) -> None:
    counters = {"collected": 3, "parsed": 2, "indexed": 2**63 - 1}
    sent = job(7, progress={**counters, stage: value})
    async with zensearch(listed(), {(1, 7): told(sent)}) as (source, _):
        seen = await source.poll(known(open_jobs={7: 1}))
    (fact,) = seen.jobs
    assert fact.status is JobStatus.RUNNING
    assert {found.name: found.count for found in fact.stages} == {k: v for k, v in counters.items() if k != stage}
    assert fact.processed == (None if stage == "indexed" else 2**63 - 1)
    assert details_of(fact)[stage] is None
    (problem,) = seen.problems
    assert problem.code is SystemErrorCode.MISMATCH
    assert problem.message.startswith(f"sync job job_7: progress.{stage}: ")


@cases(
    ("field", "value"),
    [
        ("status", None),
        ("status", 3),
        ("progress", [1]),
        ("startedAt", "soon"),
        ("completedAt", {}),
        ("error", ["x"]),
        ("error.code", 401),
        ("error.message", {}),
    ],
)
def test_a_wrong_value_of_a_job_is_named_and_left_out(field: str, value: object) -> None:
    outer, _, inner = field.partition(".")
    sent = job(1, jobId=ID) | {outer: {inner: value} if inner else value}
    fact, (complaint,) = mapping.job(sent, ID, "conn_1", seen_at=START)
    assert complaint.startswith(f"{field}: ")
    check_job(fact)


def test_a_job_without_an_id_is_the_one_asked_for() -> None:
    sent = job(1)
    del sent["jobId"]
    assert a_job(sent).external_id == ID


def test_what_a_job_tells_beyond_the_documents_is_kept() -> None:
    error = {"code": "x", "message": "no answer from https://bot:hush@wiki.example.com/a?b=c", "details": {"page": 3}}
    fact = a_job(job(1, jobId=ID, progress={"indexed": 1, "skipped": 4}, error=error, mode="full", apiToken="hush"))
    assert details_of(fact)["extra"] == {
        "progress": {"skipped": 4},
        "error": {"details": {"page": 3}},
        "mode": "full",
        "apiToken": REDACTED,
    }
    assert fact.error_message == "no answer from https://wiki.example.com/a?b=c"
    assert a_job(job(1, jobId=ID, error="it broke")).error_message == "it broke"


def test_the_timeline_of_a_job() -> None:
    seen = []
    for moment in read(TIMELINE):
        fact = a_job(moment["response"]["data"])
        seen.append((fact.status.name, [stage.count for stage in fact.stages], fact.ended))
    assert seen == [
        ("PENDING", [], False),
        ("RUNNING", [0, 0, 0], False),
        ("RUNNING", [150, 120, 100], False),
        ("RUNNING", [312, 300, 281], False),
        ("SUCCEEDED", [312, 312, 309], True),
    ]


# ---- nothing that is sent is lost

#: path → where it stands in the fact; times are compared as times
PLACES: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "id": lambda fact, _: fact.external_id,
    "name": lambda fact, _: fact.name,
    "type": lambda _, details: details["type"],
    "status": lambda fact, _: fact.upstream_status,
    "collection": lambda _, details: details["collection"],
    "lastSync": lambda fact, _: fact.last_sync_at,
    "createdAt": lambda fact, _: fact.created_at,
    "config.bucket": lambda _, details: details["config"]["bucket"],
    "config.region": lambda _, details: details["config"]["region"],
    "config.prefix": lambda _, details: details["config"]["prefix"],
    "jobId": lambda fact, _: fact.external_id,
    "progress.collected": lambda _, details: details["collected"],
    "progress.parsed": lambda _, details: details["parsed"],
    "progress.indexed": lambda _, details: details["indexed"],
    "startedAt": lambda fact, _: fact.started_at,
    "completedAt": lambda fact, _: fact.completed_at,
    "error.code": lambda _, details: details["error_code"],
    "error.message": lambda fact, _: fact.error_message,
}
#: path → why it is in no fact
LEFT_OUT = {
    "meta.requestId": "another one with every answer; errors quote it",
    "meta.timestamp": "the time of the answer",
}


def sent_values(sent: Any) -> list[tuple[str, Any]]:
    """Every value that is not null, by its dotted path."""
    return [(".".join(map(str, path)), value) for path, value in leaves(sent) if value not in (None, {})]


@cases("name", [*LISTS, *SINGLES, *JOBS])
def test_every_value_ends_up_in_a_fact(name: str) -> None:
    sent = read(name)
    data = sent.pop("data")
    assert {path for path, _ in sent_values(sent)} <= LEFT_OUT.keys()
    for row in data if isinstance(data, list) else [data]:
        fact = a_job(row) if "jobId" in row else mapping.connector(row)[0]
        for path, value in sent_values(row):
            found = PLACES[path](fact, details_of(fact))
            assert found == (datetime.fromisoformat(value) if isinstance(found, datetime) else value), path
