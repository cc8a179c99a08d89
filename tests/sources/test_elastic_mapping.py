"""What the adapter makes of Elastic's documents: every example, and nothing in them is lost (elastic.md §4 – §6)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectory.model import ConnectorFact, ConnectorStatus, JobFact, JobStatus, JobTrigger, JobType
from sources.base import SourceMismatch
from sources.elastic.mapping import configuration, connector_fact, job_fact
from sources.reading import instant
from tests.sources.cases import cases
from tests.sources.elastic_stage import CONNECTORS, JOBS, TIMELINES, load
from tests.sources.payloads import leaves


@cases(
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


@cases(
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


@cases(
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


def dotted(value: Any) -> Iterator[tuple[str, Any]]:
    return ((".".join(map(str, path)), leaf) for path, leaf in leaves(value))


def lost(sent: Any, fact: ConnectorFact | JobFact, fields: dict[str, str]) -> list[str]:
    """Paths of leaves that neither a field nor the details tell."""
    shown = dict(dotted(told(fact)))
    return [
        path
        for path, value in dotted(sent)
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


@cases("name", [*CONNECTORS, *JOBS])
def test_no_field_is_lost_and_no_secret_is_kept(name: str) -> None:
    sent = {**CONNECTORS, **JOBS}[name]
    fact = job_fact(sent) if "connector" in sent else connector_fact(sent)
    assert lost(sent, fact, JOB_FIELDS if "connector" in sent else CONNECTOR_FIELDS) == []
    assert "NOT-A-REAL-SECRET" not in repr(fact)


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


@cases(
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
