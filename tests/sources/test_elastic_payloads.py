"""Every example payload of Elastic goes through the adapter or is compared with the simulator (elastic.md §4 – §11)."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from connectory.model import (
    ConnectorFact,
    ConnectorStatus,
    JobFact,
    JobStatus,
    JobTrigger,
    JobType,
    Known,
    KnownConnector,
    SystemErrorCode,
)
from sources.base import (
    SourceAuthFailed,
    SourceError,
    SourceMismatch,
    SourceRateLimited,
    SourceUnreachable,
)
from sources.elastic import SOURCE
from sources.elastic.client import ElasticSource
from sources.elastic.mapping import configuration, connector_fact, job_fact
from sources.elastic.simulator import API_KEY, simulator
from sources.reading import count, instant
from sources.simulation import FAULTS, Clock, Faults, serve
from tests.paths import EXAMPLES
from tests.sources.contract import START, Hand

FOLDER = EXAMPLES / "elastic"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json"))


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def documents(folder: str) -> dict[str, Any]:
    """Each example document of a folder, alone or in a list, by file and place."""
    found = {}
    for name in FILES:
        if name.startswith(f"{folder}/") and name.endswith(".response.json"):
            content = load(name)
            if "results" in content:
                found.update({f"{name}[{place}]": entry for place, entry in enumerate(content["results"])})
            elif "status" in content:
                found[name] = content
    return found


CONNECTORS, JOBS = documents("connector"), documents("sync_job")
TIMELINES = [name for name in FILES if name.startswith("timelines/")]
ERRORS = [name for name in FILES if name.startswith("errors/")]


# ---- responses through the mapping


@pytest.mark.parametrize(
    ("name", "status", "word", "label"),
    [
        ("get.created", ConnectorStatus.NEEDS_CONFIGURATION, "created", "hTpFRo8BYe1XwP0nZ3aK"),
        (
            "get.needs_configuration.native",
            ConnectorStatus.NEEDS_CONFIGURATION,
            "needs_configuration",
            "Wiki (not set up)",
        ),
        ("get.configured", ConnectorStatus.SCHEDULED, "configured", "Orders replica"),
        ("get.connected", ConnectorStatus.ACTIVE, "connected", "Orders database"),
        ("get.connected.sync_running", ConnectorStatus.ACTIVE, "connected", "Engineering GitHub"),
        ("get.error", ConnectorStatus.ERROR, "error", "HR SharePoint"),
        ("get.deleted.include_deleted_true", ConnectorStatus.ACTIVE, "connected", "Retired Jira"),
        ("get.old_8x_document_epoch_ms_worker_gone", ConnectorStatus.ACTIVE, "connected", "Old file share"),
    ],
)
def test_connectors_by_status(name: str, status: ConnectorStatus, word: str, label: str) -> None:
    sent = load(f"connector/{name}.response.json")
    fact = connector_fact(sent)
    assert (fact.status, fact.upstream_status, fact.name) == (status, word, label)
    assert fact.error_message == sent.get("error")
    assert fact.is_removed is sent.get("deleted", False)
    assert fact.last_sync_at == instant(sent["last_synced"])
    assert fact.source == (sent["service_type"] or "unknown")
    assert (fact.created_at, fact.updated_at, fact.access_type, fact.url, fact.is_editable) == (None,) * 5
    assert (fact.docs_indexed, fact.last_success_at, fact.last_job_status) == (None,) * 3
    assert not fact.is_unhealthy


def test_a_name_is_found_where_there_is_one() -> None:
    assert connector_fact({"id": "i", "name": "", "index_name": "x"}).name == "x"
    assert connector_fact({"id": "i", "name": None}).name == "i"


def test_times_of_every_writer() -> None:
    old = load("connector/get.old_8x_document_epoch_ms_worker_gone.response.json")
    shown = told(connector_fact(old))
    assert shown["last_seen"] == datetime.fromtimestamp(1787113200, UTC).isoformat()
    assert connector_fact(old).last_sync_at == datetime(2026, 8, 17, 22, 15, 9, 551200, UTC)
    pending = job_fact(load("sync_job/get.pending.response.json"))
    assert pending.created_at == pending.order_at == datetime(2026, 8, 20, 10, 15, 30, 123456, UTC)


@pytest.mark.parametrize(
    ("name", "status", "kind", "trigger"),
    [
        ("get.pending", JobStatus.PENDING, JobType.FULL, JobTrigger.ON_DEMAND),
        ("get.in_progress", JobStatus.RUNNING, JobType.FULL, JobTrigger.SCHEDULED),
        ("get.in_progress.stale_epoch_ms_filtering_array", JobStatus.RUNNING, JobType.FULL, JobTrigger.SCHEDULED),
        ("get.suspended", JobStatus.SUSPENDED, JobType.FULL, JobTrigger.SCHEDULED),
        ("get.canceling", JobStatus.CANCELING, JobType.FULL, JobTrigger.ON_DEMAND),
        ("get.canceled", JobStatus.CANCELED, JobType.FULL, JobTrigger.ON_DEMAND),
        ("get.canceled.while_pending", JobStatus.CANCELED, JobType.FULL, JobTrigger.ON_DEMAND),
        ("get.completed", JobStatus.SUCCEEDED, JobType.FULL, JobTrigger.SCHEDULED),
        ("get.completed.incremental", JobStatus.SUCCEEDED, JobType.INCREMENTAL, JobTrigger.SCHEDULED),
        ("get.completed.access_control", JobStatus.SUCCEEDED, JobType.ACCESS_CONTROL, JobTrigger.SCHEDULED),
        ("get.error", JobStatus.FAILED, JobType.FULL, JobTrigger.SCHEDULED),
        ("get.error.set_by_api_no_completed_at", JobStatus.FAILED, JobType.FULL, JobTrigger.ON_DEMAND),
    ],
)
def test_jobs_by_status(name: str, status: JobStatus, kind: JobType, trigger: JobTrigger) -> None:
    sent = load(f"sync_job/{name}.response.json")
    fact = job_fact(sent)
    assert (fact.status, fact.type, fact.trigger) == (status, kind, trigger)
    assert (fact.external_id, fact.connector) == (sent["id"], sent["connector"]["id"])
    assert fact.source == sent["connector"]["service_type"]
    assert (fact.counts.indexed, fact.counts.deleted) == (
        sent["indexed_document_count"],
        sent["deleted_document_count"],
    )
    assert fact.processed == sent["indexed_document_count"] + sent["deleted_document_count"]
    assert fact.counts.volume_bytes == sent["indexed_document_volume"] * 1_048_576
    assert fact.total is fact.counts.total is None
    content_succeeded = status is JobStatus.SUCCEEDED and kind is not JobType.ACCESS_CONTROL
    assert fact.docs_in_index == (sent["total_document_count"] if content_succeeded else None)
    assert fact.completed_at == instant(sent.get("completed_at"))
    assert fact.canceled_at == instant(sent.get("canceled_at"))
    assert fact.cancel_requested_at == instant(sent.get("cancelation_requested_at"))
    assert fact.last_seen_at == instant(sent["last_seen"])
    assert (fact.error_message, fact.worker_hostname) == (sent.get("error"), sent.get("worker_hostname"))


def test_what_is_not_sent_is_null_and_zero_only_when_sent() -> None:
    fact = job_fact({"id": "j", "status": "in_progress"})
    assert fact.counts == type(fact.counts)()
    assert (fact.processed, fact.connector, fact.created_at) == (None, None, None)
    assert fact.order_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert job_fact({"id": "j", "indexed_document_count": 0}).processed == 0
    started = "2026-08-20T03:00:00Z"
    assert job_fact({"id": "j", "started_at": started}).order_at == instant(started)


def test_unknown_words_are_kept_beside_unknown() -> None:
    job = job_fact({"id": "j", "status": "resting", "job_type": "lazy", "trigger_method": "moon"})
    assert (job.status, job.upstream_status, job.type, job.trigger) == (
        JobStatus.UNKNOWN,
        "resting",
        JobType.UNKNOWN,
        JobTrigger.UNKNOWN,
    )
    assert told(job)["job_type"] == "lazy"
    connector = connector_fact({"id": "c", "status": "dreaming"})
    assert (connector.status, connector.upstream_status) == (ConnectorStatus.UNKNOWN, "dreaming")


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        {"id": ""},
        {"id": 7},
        {"id": "j", "created_at": "yesterday"},
        {"id": "j", "indexed_document_count": -1},
        {"id": "j", "indexed_document_count": 2**63},
        {"id": "j", "indexed_document_volume": 2**43},
        {"id": "j", "indexed_document_count": 2**63 - 1, "deleted_document_count": 1},
        {"id": "j", "connector": ["c"]},
        {"id": "j", "error": {"text": "x"}},
    ],
    ids=str,
)
def test_jobs_that_cannot_be_read(broken: Any) -> None:
    with pytest.raises(SourceMismatch):
        job_fact(broken)


# ---- nothing is lost, and no secret is kept

#: leaves that are left out on purpose, and why
LEFT_OUT = {
    "configuration.password.value": "the property is sensitive",
    "configuration.password.default_value": "the property is sensitive",
    "configuration.token.value": "the property is sensitive",
    "configuration.token.default_value": "the property is sensitive",
    "configuration.secret_value.value": "the property is sensitive",
    "configuration.secret_value.default_value": "the property is sensitive",
}
#: keys of documents that stand in fields of the fact
CONNECTOR_FIELDS = {"id": "external_id", "name": "name", "status": "upstream_status", "error": "error_message"}
JOB_FIELDS = {
    "id": "external_id",
    "status": "upstream_status",
    "error": "error_message",
    "connector.id": "connector",
    "created_at": "created_at",
    "started_at": "started_at",
    "completed_at": "completed_at",
    "cancelation_requested_at": "cancel_requested_at",
    "canceled_at": "canceled_at",
    "last_seen": "last_seen_at",
    "worker_hostname": "worker_hostname",
    "indexed_document_count": "counts.indexed",
    "deleted_document_count": "counts.deleted",
}


def told(fact: ConnectorFact | JobFact) -> Any:
    assert fact.details is not None
    return json.loads(fact.details.json)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that holds no other, with its dotted path; an empty object or list is a leaf."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from leaves(item, f"{path}.{place}" if path else str(place))
    else:
        yield path, value


def lost(sent: Any, fact: ConnectorFact | JobFact, fields: dict[str, str]) -> list[str]:
    """Paths of leaves that neither a field nor the details tell."""
    shown = dict(leaves(told(fact)))
    return [
        path
        for path, value in leaves(sent)
        if path.removeprefix("connector.") not in LEFT_OUT and not _found(path, value, fact, fields, shown)
    ]


def _found(path: str, value: Any, fact: Any, fields: dict[str, str], shown: dict[str, Any]) -> bool:
    if path in fields:
        for name in fields[path].split("."):
            fact = getattr(fact, name)
        # a name that is missing is replaced, which is no loss
        return fact == value or (isinstance(fact, datetime) and fact == instant(value)) or value == ""
    inner = path.removeprefix("connector.")
    for place in (inner, f"extra.{path}", f"connector_extra.{inner}"):
        if place in shown and (shown[place] == value or _same_time(shown[place], value)):
            return True
    return False


def _same_time(shown: Any, sent: Any) -> bool:
    try:
        return isinstance(shown, str) and instant(shown) == instant(sent)
    except SourceMismatch:
        return False


@pytest.mark.parametrize("name", CONNECTORS)
def test_no_field_of_a_connector_is_lost(name: str) -> None:
    assert lost(CONNECTORS[name], connector_fact(CONNECTORS[name]), CONNECTOR_FIELDS) == []


@pytest.mark.parametrize("name", JOBS)
def test_no_field_of_a_job_is_lost(name: str) -> None:
    assert lost(JOBS[name], job_fact(JOBS[name]), JOB_FIELDS) == []


def test_the_search_for_losses_finds_one() -> None:
    sent = load("connector/get.connected.response.json")
    fact = connector_fact({key: value for key, value in sent.items() if key != "last_synced"})
    assert lost(sent, fact, CONNECTOR_FIELDS) == ["last_synced"]


def test_nothing_is_left_out_without_need() -> None:
    sensitive = {
        f"configuration.{name}.{key}"
        for document in [*CONNECTORS.values(), *(job["connector"] for job in JOBS.values())]
        for name, entry in document["configuration"].items()
        if entry["sensitive"]
        for key in ("value", "default_value")
    }
    assert set(LEFT_OUT) == sensitive


@pytest.mark.parametrize("name", [*CONNECTORS, *JOBS])
def test_no_secret_is_kept(name: str) -> None:
    sent = {**CONNECTORS, **JOBS}[name]
    assert "NOT-A-REAL-SECRET" not in repr(job_fact(sent) if "connector" in sent else connector_fact(sent))


def test_secrets_by_flag_and_by_name() -> None:
    kept = configuration(
        {
            "flagged": {"sensitive": True, "value": "a", "default_value": "b", "label": "A"},
            "api_key": {"value": "c", "label": "B"},
            "password": {"sensitive": False, "value": "shown, for it says so"},
            "doubtful": {"sensitive": "yes", "value": "d"},
            "host": {"value": "h"},
            "nested": {"sensitive": False, "value": {"user": "u", "token": "e"}},
            "old_token": "f",
            "old_host": "g",
        }
    )
    assert kept == {
        "flagged": {"sensitive": True, "label": "A"},
        "api_key": {"label": "B"},
        "password": {"sensitive": False, "value": "shown, for it says so"},
        "doubtful": {"sensitive": "yes"},
        "host": {"value": "h"},
        "nested": {"sensitive": False, "value": {"user": "u", "token": "[redacted]"}},
        "old_token": "[redacted]",
        "old_host": "g",
    }


def test_secrets_elsewhere_are_taken_out() -> None:
    sent = {
        "id": "c",
        "api_key_id": "shown",
        "api_key_secret_id": "hidden-1",
        "sync_cursor": {"page": 3, "access_token": "hidden-2"},
        "legacy": {"password": "hidden-3"},
    }
    fact = connector_fact(sent)
    assert "hidden" not in repr(fact)
    assert told(fact)["api_key_id"] == "shown"
    assert told(fact)["sync_cursor"] == {"page": 3, "access_token": "[redacted]"}
    job = {"id": "j", "connector": {"id": "c", "api_key_secret_id": "hidden-4", "sync_cursor": "x", "colour": "red"}}
    assert "hidden" not in repr(job_fact(job))
    assert told(job_fact(job))["connector_extra"] == {"colour": "red"}
    assert "connector_extra" not in told(job_fact({"id": "j"}))


# ---- timelines


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("completed", ["PENDING", "RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"]),
        ("canceled", ["PENDING", "RUNNING", "CANCELING", "CANCELED"]),
        ("suspended_then_stuck_then_error", ["PENDING", "RUNNING", "SUSPENDED", "RUNNING", "RUNNING", "FAILED"]),
    ],
)
def test_timelines(name: str, words: list[str]) -> None:
    steps = load(f"timelines/{name}.json")
    facts = [job_fact(step["sync_job"]) for step in steps]
    assert [fact.status.name for fact in facts] == words
    assert [fact.ended for fact in facts] == [False] * (len(facts) - 1) + [True]
    assert len({(fact.external_id, fact.order_at) for fact in facts}) == 1
    processed = [fact.processed or 0 for fact in facts]
    assert processed == sorted(processed)
    seen = [fact.last_seen_at for fact in facts if fact.last_seen_at]
    assert seen == sorted(seen)
    assert len({fact.fingerprint for fact in facts}) == len({json.dumps(step["sync_job"]) for step in steps})
    base = load("connector/get.connected.response.json")
    for step in steps:
        base |= step["connector_changes"]
        fact = connector_fact(base)
        assert fact.upstream_status == base["status"]
        assert (told(fact)["last_sync_status"], fact.error_message) == (base["last_sync_status"], base["error"])


def test_all_timelines_are_told() -> None:
    assert len(TIMELINES) == 3


# ---- answers over HTTP


class Scripted:
    """A server that answers each path and query as told; anything else is a mistake of the test."""

    def __init__(self) -> None:
        self.answers: dict[str, Mapping[str, Any]] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.running = serve(app)

    def lists(self, path: str, body: Any) -> None:
        self.answers[path] = {"status": 200, "headers": {"X-Elastic-Product": "Elasticsearch"}, "body": body}

    async def _answer(self, request: web.Request) -> web.Response:
        known = {key: value for key, value in request.query.items() if key in ("status", "connector_id")}
        suffix = "".join(f"?{key}={value}" for key, value in known.items())
        answer = self.answers.get(request.path + suffix) or self.answers[request.path]
        body = answer["body"]
        text = body if isinstance(body, str) else json.dumps(_window(body, request))
        return web.Response(status=answer["status"], text=text, headers=answer["headers"])


def _window(body: Any, request: web.Request) -> Any:
    if not isinstance(body, dict) or "results" not in body or "from" not in request.query:
        return body
    offset, size = int(request.query["from"]), int(request.query["size"])
    return {**body, "results": body["results"][offset : offset + size]}


@asynccontextmanager
async def scripted() -> AsyncIterator[tuple[Scripted, ElasticSource]]:
    server = Scripted()
    async with server.running as running:
        entry = {"name": "e", "kind": "elastic", "url": running.url, "api_key": API_KEY}
        source = SOURCE.open(SOURCE.settings.model_validate(entry))
        assert isinstance(source, ElasticSource)
        try:
            yield server, source
        finally:
            await source.close()


def joined(*names: str) -> dict[str, Any]:
    pages = [load(name) for name in names]
    return {"count": pages[0]["count"], "results": [entry for page in pages for entry in page["results"]]}


CONNECTOR_PAGES = ("connector/list.from_0.size_4.response.json", "connector/list.from_4.size_4.response.json")
JOB_PAGES = (
    "sync_job/list.from_0.size_5.newest_first.response.json",
    "sync_job/list.from_5.size_5.newest_first.response.json",
    "sync_job/list.from_10.size_5.last_page.response.json",
)


async def test_the_example_lists_make_one_observation() -> None:
    async with scripted() as (server, source):
        connectors, jobs = joined(*CONNECTOR_PAGES), joined(*JOB_PAGES)
        server.lists("/_connector", connectors)
        server.lists("/_connector/_sync_job", jobs)
        for word in ("pending", "canceling", "suspended"):
            server.lists(f"/_connector/_sync_job?status={word}", load("sync_job/list.empty.response.json"))
        running = load("sync_job/list.status_in_progress.response.json")
        server.lists("/_connector/_sync_job?status=in_progress", running)
        seen = await source.poll(Known())
    assert seen.complete
    assert not seen.problems
    assert [fact.external_id for fact in seen.connectors] == [entry["id"] for entry in connectors["results"]]
    assert {job.external_id for job in seen.jobs} == {entry["id"] for entry in jobs["results"]}
    assert len(seen.connectors) == connectors["count"] == 7
    assert len(seen.jobs) == jobs["count"] == 12


async def test_an_empty_cluster_is_a_complete_answer() -> None:
    async with scripted() as (server, source):
        server.lists("/_connector", load("connector/list.empty.response.json"))
        server.lists("/_connector/_sync_job", load("sync_job/list.empty.response.json"))
        seen = await source.poll(Known())
    assert (list(seen.connectors), list(seen.jobs), seen.complete) == ([], [], True)


async def test_one_page_may_be_oldest_first() -> None:
    async with scripted() as (server, source):
        server.lists("/_connector", load("connector/list.empty.response.json"))
        server.lists("/_connector/_sync_job", load("sync_job/list.8_12_oldest_first.response.json"))
        known = Known(connectors={"kzpIRo8BYe1XwP0n5Xj7": KnownConnector()})
        batches = [batch async for batch in source.history(known, frozenset(known.connectors))]
    moments = [job.order_at for batch in batches for job in batch.jobs]
    assert len(moments) == 2
    assert moments == sorted(moments, reverse=True)


async def test_history_of_one_connector_by_its_own_list() -> None:
    latest = load("sync_job/list.connector_id.size_1.latest.response.json")
    connector = latest["results"][0]["connector"]["id"]
    async with scripted() as (server, source):
        server.lists("/_connector/_sync_job", load("connector/list.count_saturated.size_0.response.json"))
        server.lists(f"/_connector/_sync_job?connector_id={connector}", {**latest, "count": 1})
        batches = [batch async for batch in source.history(Known(), frozenset({connector}))]
    assert [job.external_id for batch in batches for job in batch.jobs] == [latest["results"][0]["id"]]
    assert [batch.finished for batch in batches] == [{connector}]


async def test_counts_without_entries_are_understood() -> None:
    async with scripted() as (server, source):
        for name, number in (("size_0", 7), ("count_saturated.size_0", 10_000)):
            server.lists("/_connector", load(f"connector/list.{name}.response.json"))
            page = await source.client.connectors(0, 0, lambda _: None)
            assert (page.count, page.results) == (number, [])


@pytest.mark.parametrize("name", ["root.stack.response.json", "root.serverless.response.json"])
async def test_a_root_answer_is_no_list(name: str) -> None:
    async with scripted() as (server, source):
        server.answers["/_connector"] = {"status": 200, "headers": {}, "body": load(name)}
        with pytest.raises(SourceMismatch, match=r"expected \{count, results\}.*no X-Elastic-Product header"):
            await source.poll(Known())


# ---- errors

#: file → the error that the adapter raises when its list is answered so, and a piece of the message
EXPECTED_ERRORS: dict[str, tuple[type[SourceError], SystemErrorCode, str]] = {
    "bad_job_type": (SourceMismatch, SystemErrorCode.MISMATCH, "Unknown ConnectorSyncJobType [everything]"),
    "cancel_finished_job": (SourceMismatch, SystemErrorCode.MISMATCH, "from [completed] to [canceling]"),
    "circuit_breaker": (SourceRateLimited, SystemErrorCode.RATE_LIMITED, "Data too large"),
    "cluster_block": (SourceUnreachable, SystemErrorCode.UPSTREAM_ERROR, "state not recovered"),
    "connector_not_found": (SourceMismatch, SystemErrorCode.MISMATCH, "connector [nope] not found"),
    "index_in_use": (SourceMismatch, SystemErrorCode.MISMATCH, "used by another connector"),
    "method_not_allowed_error_is_string": (SourceMismatch, SystemErrorCode.MISMATCH, "Incorrect HTTP method"),
    "negative_from": (SourceMismatch, SystemErrorCode.MISMATCH, "Parameter [from] cannot be < 0"),
    "no_credentials": (SourceAuthFailed, SystemErrorCode.AUTH_FAILED, "missing authentication credentials"),
    "no_handler_error_is_string": (SourceMismatch, SystemErrorCode.MISMATCH, "needs 8.12 or newer"),
    "no_privilege": (SourceAuthFailed, SystemErrorCode.AUTH_FAILED, "monitor_connector"),
    "post_job_no_index": (SourceMismatch, SystemErrorCode.MISMATCH, "no index attached"),
    "post_job_unknown_connector": (SourceMismatch, SystemErrorCode.MISMATCH, "does not exist"),
    "proxy_html": (SourceUnreachable, SystemErrorCode.UPSTREAM_ERROR, "502"),
    "proxy_json_without_product_header": (SourceMismatch, SystemErrorCode.MISMATCH, "not come from Elasticsearch"),
    "rejected": (SourceRateLimited, SystemErrorCode.RATE_LIMITED, "rejected execution"),
    "result_window": (SourceMismatch, SystemErrorCode.MISMATCH, "Result window is too large"),
    "sync_job_not_found": (SourceMismatch, SystemErrorCode.MISMATCH, "resource_not_found_exception: nope"),
    "sync_job_not_found_no_index": (SourceMismatch, SystemErrorCode.MISMATCH, "connector sync job [nope] not found"),
    "unknown_parameter": (SourceMismatch, SystemErrorCode.MISMATCH, "unrecognized parameter: [page]"),
    "validation": (SourceMismatch, SystemErrorCode.MISMATCH, "cannot be null or empty"),
    "wrong_api_key": (SourceAuthFailed, SystemErrorCode.AUTH_FAILED, "unable to authenticate"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_are_told_apart(name: str) -> None:
    kind, code, piece = EXPECTED_ERRORS[Path(name).stem]
    answer = load(name)
    async with scripted() as (server, source):
        server.answers["/_connector"] = answer
        with pytest.raises(SourceError) as caught:
            await source.poll(Known())
    assert type(caught.value) is kind
    assert caught.value.code is code
    assert caught.value.status == answer["status"]
    assert piece in str(caught.value)


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("sync_job_not_found", True),
        ("sync_job_not_found_no_index", True),
        ("proxy_json_without_product_header", False),
        ("cluster_block", False),
    ],
)
async def test_which_refusals_mean_that_a_job_is_gone(name: str, gone: bool) -> None:
    async with scripted() as (server, source):
        server.lists("/_connector", load("connector/list.empty.response.json"))
        server.lists("/_connector/_sync_job", load("sync_job/list.empty.response.json"))
        server.answers["/_connector/_sync_job/nope"] = load(f"errors/{name}.json")
        seen = await source.poll(Known(open_jobs={"nope": "c1"}, newest_job_at=START))
    assert (seen.gone_jobs == {"nope"}) is gone
    assert bool(seen.problems) is not gone
    assert seen.owed == (frozenset() if gone else {"c1"})


async def test_a_header_or_version_that_is_not_spoken_is_named() -> None:
    error = {"type": "media_type_header_exception", "reason": "Invalid media-type value on headers [Accept]"}
    async with scripted() as (server, source):
        server.answers["/_connector"] = {"status": 400, "headers": {}, "body": {"error": error, "status": 400}}
        with pytest.raises(SourceMismatch, match="does not speak the media type or API version"):
            await source.poll(Known())


# ---- the simulator against the examples

#: what the examples of single documents call the body that they are the answer to
WRITES: dict[str, tuple[str, str, str | None, int]] = {
    "connector/post.201.response.json": ("POST", "/_connector", "connector/post.request.json", 201),
    "connector/put.existing.200.response.json": ("PUT", "/_connector/{c}", None, 200),
    "connector/delete.response.json": ("DELETE", "/_connector/{c}", None, 200),
    "connector/update_any.response.json": ("PUT", "/_connector/{c}/_check_in", None, 200),
    "sync_job/post.201.response.json": ("POST", "/_connector/_sync_job", "sync_job/post.request.json", 201),
    "sync_job/cancel.response.json": ("PUT", "/_connector/_sync_job/{p}/_cancel", None, 200),
    "sync_job/delete.response.json": ("DELETE", "/_connector/_sync_job/{p}", None, 200),
}
#: requests of the examples → where they go; all are answered like update_any
REQUESTS_TO = {
    "connector/update_error.set.request.json": "/_connector/{c}/_error",
    "connector/update_error.clear.request.json": "/_connector/{c}/_error",
    "connector/update_scheduling.request.json": "/_connector/{c}/_scheduling",
    "connector/update_status.request.json": "/_connector/{n}/_status",
    "sync_job/claim.request.json": "/_connector/_sync_job/{p}/_claim",
    "sync_job/error.request.json": "/_connector/_sync_job/{r}/_error",
    "sync_job/stats.request.json": "/_connector/_sync_job/{r}/_stats",
}


class Door:
    """The simulator by plain requests; ``ids`` name a connected connector, a configured one, a pending and a
    running job."""

    def __init__(self, session: aiohttp.ClientSession, url: str, faults: Faults) -> None:
        self.session, self.url, self.faults = session, url, faults
        self.ids: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any, Mapping[str, str]]:
        url = self.url + path.format(**self.ids)
        async with self.session.request(method, url, json=body, **options) as response:
            return response.status, await response.json(content_type=None), response.headers

    async def documents(self, path: str) -> list[Any]:
        return list((await self.ask("GET", path))[1]["results"])


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    hand = Hand()
    app = simulator(seed=2, clock=Clock(start=START, wall=hand))
    headers = {"Authorization": f"ApiKey {API_KEY}"}
    async with serve(app) as running, aiohttp.ClientSession(headers=headers) as session:
        door = Door(session, running.url, app[FAULTS])
        connectors = await door.documents("/_connector?size=1000")
        hand.move(240)
        jobs = await door.documents("/_connector/_sync_job?size=1000")
        door.ids = {
            "c": next(c["id"] for c in connectors if c["name"] == "Data lake"),
            "n": next(c["id"] for c in connectors if c["status"] == "configured"),
            "p": next(j["id"] for j in jobs if j["status"] == "pending"),
            "r": next(j["id"] for j in jobs if j["status"] == "in_progress"),
        }
        yield door


def shape(value: Any, path: str = "") -> Iterator[str]:
    """Dotted paths of keys; what stands under free names, or is free by itself, is not looked into."""
    if isinstance(value, dict):
        for key, item in value.items():
            name = "*" if path.endswith("configuration") else key
            here = f"{path}.{name}".lstrip(".")
            yield here
            if key not in ("sync_cursor", "metadata", "value", "default_value"):
                yield from shape(item, here)
    elif isinstance(value, list):
        for item in value:
            yield from shape(item, f"{path}[]")


#: what only an old document or a hand-made one has, and the simulator does not play
OLD_ONLY = {
    "legacy_notes",
    "extra_worker_key",
    "extra_worker_key.v",
    "api_key_id",
    "configuration.*.options[].label",
    "configuration.*.options[].value",
    "configuration.*.depends_on[].field",
    "configuration.*.depends_on[].value",
}


def _comparable(paths: set[str]) -> set[str]:
    """Old workers wrote a job's filtering as an array, and such options belong to service types not played."""
    strip = {path.removeprefix("connector.") for path in paths}
    return {path for path in strip if not path.startswith("filtering[].") or "connector" not in path}


async def test_simulated_connectors_have_the_keys_of_the_examples(door: Door) -> None:
    mine = {path for c in await door.documents("/_connector?size=1000&include_deleted=true") for path in shape(c)}
    theirs = {path for c in CONNECTORS.values() for path in shape(c)}
    assert mine - theirs == set()
    assert theirs - mine - OLD_ONLY == set()


async def test_simulated_jobs_have_the_keys_of_the_examples(door: Door) -> None:
    steps = [step["sync_job"] for name in TIMELINES for step in load(name)]
    mine = {path for job in await door.documents("/_connector/_sync_job?size=1000") for path in shape(job)}
    theirs = {path for job in [*JOBS.values(), *steps] for path in shape(job) if "filtering[]" not in path}
    assert mine - theirs == set()
    assert {path for path in theirs - mine if path.removeprefix("connector.") not in OLD_ONLY} == set()


@pytest.mark.parametrize("status", ["pending", "in_progress", "completed", "error", "canceled", "canceling"])
async def test_simulated_jobs_have_the_keys_of_their_status(door: Door, status: str) -> None:
    steps = [step["sync_job"] for name in TIMELINES for step in load(name)]
    examples = [job for job in [*JOBS.values(), *steps] if job["status"] == status]
    if status == "canceling":
        assert (await door.ask("PUT", "/_connector/_sync_job/{r}/_cancel"))[0] == 200
    mine = [job for job in await door.documents("/_connector/_sync_job?size=1000") if job["status"] == status]
    assert mine
    allowed = set().union(*examples)
    always = set(examples[0]).intersection(*examples)
    for job in mine:
        assert always <= job.keys() <= allowed


@pytest.mark.parametrize("name", WRITES)
async def test_simulated_writes_answer_like_the_examples(door: Door, name: str) -> None:
    method, path, sent, status = WRITES[name]
    body = load(sent) if sent else None
    if sent == "sync_job/post.request.json":
        body = {**load(sent), "id": door.ids["c"]}
    elif sent:
        body = {**load(sent), "index_name": "search-tickets-2"}
    got, answered, _ = await door.ask(method, path, body)
    example = load(name)
    assert got == status
    assert {key: type(value) for key, value in answered.items()} == {key: type(v) for key, v in example.items()}
    assert {k: v for k, v in answered.items() if k != "id"} == {k: v for k, v in example.items() if k != "id"}


@pytest.mark.parametrize("name", REQUESTS_TO)
async def test_the_example_requests_are_accepted(door: Door, name: str) -> None:
    if name == "connector/update_error.clear.request.json":
        await door.ask("PUT", REQUESTS_TO[name], load("connector/update_error.set.request.json"))
    got, answered, _ = await door.ask("PUT", REQUESTS_TO[name], load(name))
    assert (got, answered) == (200, load("connector/update_any.response.json"))


async def test_a_second_time_is_a_noop(door: Door) -> None:
    sent = load("connector/update_scheduling.request.json")
    await door.ask("PUT", "/_connector/{c}/_scheduling", sent)
    _, answered, _ = await door.ask("PUT", "/_connector/{c}/_scheduling", sent)
    assert answered == load("connector/update_any.noop.response.json")


async def test_a_minimal_sync_request_is_enough(door: Door) -> None:
    sent = {**load("sync_job/post.minimal.request.json"), "id": door.ids["c"]}
    assert (await door.ask("POST", "/_connector/_sync_job", sent))[0] == 201


async def test_the_simulated_root_is_the_example(door: Door) -> None:
    assert (await door.ask("GET", "/"))[1] == load("root.stack.response.json")


#: errors that the simulator can be brought to by a request: method, path, body, and what is written otherwise there
PROVOKED: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "bad_job_type": ("POST", "/_connector/_sync_job", {"id": "{c}", "job_type": "everything"}, {}),
    "cancel_finished_job": ("PUT", "/_connector/_sync_job/{done}/_cancel", None, {}),
    "connector_not_found": ("GET", "/_connector/nope", None, {}),
    "index_in_use": ("POST", "/_connector", {"index_name": "search-data-lake"}, {"search-data-lake": "search-orders"}),
    "method_not_allowed_error_is_string": ("PATCH", "/_connector", None, {}),
    "negative_from": ("GET", "/_connector?from=-1", None, {}),
    "no_handler_error_is_string": ("GET", "/_connectors", None, {}),
    "post_job_no_index": ("POST", "/_connector/_sync_job", {"id": "{bare}"}, {"{bare}": "hTpFRo8BYe1XwP0nZ3aK"}),
    "post_job_unknown_connector": ("POST", "/_connector/_sync_job", {"id": "nope"}, {}),
    "result_window": ("GET", "/_connector/_sync_job?from=10000&size=100", None, {}),
    "sync_job_not_found": ("GET", "/_connector/_sync_job/nope", None, {}),
    "unknown_parameter": ("GET", "/_connector?page=1", None, {}),
    "validation": ("POST", "/_connector/_sync_job", {}, {}),
    "no_credentials": ("GET", "/_connector", None, {}),
    "wrong_api_key": ("GET", "/_connector", None, {}),
    "no_privilege": ("GET", "/_connector", None, {"[limited]": "[abc]", "id limited": "id abc"}),
    "rejected": ("GET", "/_connector", None, {}),
}
CREDENTIALS = {"wrong_api_key": "ApiKey d3Jvbmc6a2V5", "no_privilege": "ApiKey bGltaXRlZDprZXk="}
#: why the others are not provoked
NOT_PLAYED = {
    "circuit_breaker": "the simulator has memory enough; its 429 is the other one",
    "cluster_block": "a fault switch answers 503",
    "proxy_html": "a fault switch answers with a page",
    "proxy_json_without_product_header": "there is no proxy",
    "sync_job_not_found_no_index": "needs a world without any job",
}


def test_every_error_is_provoked_or_excused() -> None:
    assert {Path(name).stem for name in ERRORS} == PROVOKED.keys() | NOT_PLAYED.keys() == EXPECTED_ERRORS.keys()


@pytest.mark.parametrize("name", PROVOKED)
async def test_simulated_errors_are_the_examples(door: Door, name: str) -> None:
    method, path, body, differs = PROVOKED[name]
    example = load(f"errors/{name}.json")
    everything = await door.documents("/_connector?size=1000")
    finished = await door.documents("/_connector/_sync_job?status=completed&size=1")
    door.ids |= {"done": finished[0]["id"], "bare": next(c["id"] for c in everything if not c["index_name"])}
    if isinstance(body, dict):
        body = {key: value.format(**door.ids) for key, value in body.items()}
    headers = {"Authorization": CREDENTIALS[name]} if name in CREDENTIALS else {}
    if name == "rejected":
        door.faults.rate_limited = True
    if name == "no_credentials":
        async with aiohttp.ClientSession() as anonymous:
            status, answered, got = await Door(anonymous, door.url, door.faults).ask(method, path, body)
    else:
        status, answered, got = await door.ask(method, path, body, headers=headers)
    said = json.dumps(answered)
    for mine, theirs in differs.items():
        said = said.replace(mine.format(**door.ids), theirs)
    assert status == example["status"]
    assert json.loads(said) == example["body"]
    for header, value in example["headers"].items():
        if header != "content-type":
            assert got[header] == value


# ---- the simulator against the vendor's OpenAPI document

OPENAPI = json.loads((EXAMPLES / "openapi" / "elastic-connectors.json").read_text())


def relaxed(schema: Any) -> Any:
    """The document with the three relaxations that real answers need (elastic.md §11): free values may be anything,
    null is allowed, oneOf is read as anyOf."""
    if isinstance(schema, list):
        return [relaxed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {("anyOf" if key == "oneOf" else key): relaxed(value) for key, value in schema.items()}
    if made.get("type") == "object" and len(made) == 1:
        return {}
    if isinstance(made.get("type"), str) or "enum" in made:
        made["nullable"] = True
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    if isinstance(made.get("properties"), dict):
        free: dict[str, Any] = {key: {} for key in made["properties"].keys() & {"value", "default_value"}}
        made["properties"] = {key: _nullable(value) for key, value in made["properties"].items()} | free
    return made


def _nullable(schema: Any) -> Any:
    if isinstance(schema, dict) and schema.keys() & {"allOf", "$ref"}:
        return {"anyOf": [schema, {"enum": [None], "nullable": True}]}
    return schema


RELAXED = {**OPENAPI, "components": relaxed(OPENAPI["components"])}
REGISTRY: Registry[Any] = Registry().with_resource("urn:elastic", DRAFT4.create_resource(RELAXED))


def complaints(schema: str, value: Any) -> list[str]:
    validator = OAS30Validator({"$ref": f"urn:elastic#/components/schemas/{schema}"}, registry=REGISTRY)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


CONNECTOR_SCHEMA, JOB_SCHEMA = "connector._types.Connector", "connector._types.ConnectorSyncJob"


async def test_simulated_documents_are_valid(door: Door) -> None:
    connectors = await door.documents("/_connector?size=1000&include_deleted=true")
    jobs = await door.documents("/_connector/_sync_job?size=1000")
    assert len(connectors) > 20
    assert len(jobs) > 100
    assert {line for document in connectors for line in complaints(CONNECTOR_SCHEMA, document)} == set()
    assert {line for document in jobs for line in complaints(JOB_SCHEMA, document)} == set()


@pytest.mark.parametrize("name", WRITES)
async def test_simulated_answers_to_writes_are_valid(door: Door, name: str) -> None:
    schema = {
        "delete.response.json": "_types.AcknowledgedResponseBase",
        "update_any.response.json": None,
    }.get(Path(name).name)
    if schema is not None:
        method, path, _, _ = WRITES[name]
        assert complaints(schema, (await door.ask(method, path))[1]) == []
    elif (word := load(name).get("result")) is not None:
        assert complaints("_types.Result", word) == []
    else:
        assert isinstance(load(name)["id"], str)


def test_the_document_refuses_what_is_wrong() -> None:
    sound = load("connector/get.connected.response.json")
    assert complaints(CONNECTOR_SCHEMA, sound) == []
    assert complaints(CONNECTOR_SCHEMA, {**sound, "status": "dreaming"})
    assert complaints(CONNECTOR_SCHEMA, {**sound, "is_native": "no"})
    assert complaints(CONNECTOR_SCHEMA, {key: value for key, value in sound.items() if key != "scheduling"})


@pytest.mark.parametrize("name", [name for name in [*CONNECTORS, *JOBS] if "old" not in name and "stale" not in name])
def test_the_examples_are_valid(name: str) -> None:
    sent = {**CONNECTORS, **JOBS}[name]
    deliberate = {"nTpLRo8BYe1XwP0nAHtZ", "vjqLRo8BYe1XwP0nMz1l"}
    if sent["id"] not in deliberate:
        assert complaints(JOB_SCHEMA if "connector" in sent else CONNECTOR_SCHEMA, sent) == []


# ---- every file has its test


def test_every_file_is_exercised() -> None:
    by_name = {
        *CONNECTOR_PAGES,
        *JOB_PAGES,
        *WRITES,
        *REQUESTS_TO,
        *TIMELINES,
        *ERRORS,
        "connector/list.empty.response.json",
        "connector/list.size_0.response.json",
        "connector/list.count_saturated.size_0.response.json",
        "connector/post.request.json",
        "connector/update_any.noop.response.json",
        "sync_job/list.empty.response.json",
        "sync_job/post.request.json",
        "sync_job/post.minimal.request.json",
        "root.stack.response.json",
        "root.serverless.response.json",
    }
    by_document = {name.partition("[")[0] for name in [*CONNECTORS, *JOBS]}
    assert set(FILES) == by_name | by_document


def test_counters_of_the_examples_are_counters() -> None:
    assert all(count(job["indexed_document_count"]) is not None for job in JOBS.values())
