"""Every field of Elastic's connectors and sync jobs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from connectory.store import Store
from tests.e2e.fields.comparison import Place, Table, differences, under
from tests.e2e.fields.probe import MARK, Answers, Case, Data, by_external_id, examples, payload, wrong
from tests.sources.canned import Asked, Reply

CONNECTORS = examples("elastic/connector/get.*.response.json", "elastic/connector/list.*.response.json")
JOBS = examples("elastic/sync_job/get.*.response.json", "elastic/sync_job/list.*.response.json")
TIMELINES = examples("elastic/timelines/*.json")
EXERCISED = {*CONNECTORS, *JOBS, *TIMELINES}


def without_sensitive_values(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {k: v for k, v in entry.items() if not entry["sensitive"] or k not in ("value", "default_value")}
        for name, entry in configuration.items()
    }


CONNECTOR: Table = {
    "id": "connector.externalId",
    "name": "connector.name",
    "status": "connector.upstreamStatus",
    "error": "connector.errorMessage",
    **under(
        "connector.details",
        "description", "language", "deleted", "scheduling", "filtering", "features", "pipeline",
        index_name="indexName",
        service_type="serviceType",
        is_native="isNative",
        sync_now="syncNow",
        last_seen="lastSeen",
        last_synced="lastSynced",
        last_sync_status="lastSyncStatus",
        last_sync_error="lastSyncError",
        last_sync_scheduled_at="lastSyncScheduledAt",
        last_incremental_sync_scheduled_at="lastIncrementalSyncScheduledAt",
        last_access_control_sync_status="lastAccessControlSyncStatus",
        last_access_control_sync_error="lastAccessControlSyncError",
        last_access_control_sync_scheduled_at="lastAccessControlSyncScheduledAt",
        last_indexed_document_count="lastIndexedDocumentCount",
        last_deleted_document_count="lastDeletedDocumentCount",
        custom_scheduling="customScheduling",
        sync_cursor="syncCursor",
        api_key_id="apiKeyId",
        # a key that the specification does not know
        legacy_notes="extra.legacy_notes",
    ),
    "configuration": Place("connector.details.configuration", without_sensitive_values),
}  # fmt: skip
JOB: Table = {
    "id": "job.externalId",
    "status": "job.upstreamStatus",
    "created_at": "job.createdAt",
    "started_at": "job.startedAt",
    "completed_at": "job.completedAt",
    "cancelation_requested_at": "job.cancelRequestedAt",
    "canceled_at": "job.canceledAt",
    "last_seen": "job.lastSeenAt",
    "error": "job.errorMessage",
    "worker_hostname": "job.workerHostname",
    "indexed_document_count": "job.counts.indexed",
    "deleted_document_count": "job.counts.deleted",
    **under(
        "job.details",
        "metadata",
        job_type="jobType",
        trigger_method="triggerMethod",
        indexed_document_volume="indexedDocumentVolume",
        total_document_count="totalDocumentCount",
        # a key that the specification does not know
        extra_worker_key="extra.extra_worker_key",
    ),
    "connector.id": "job.connector.externalId",
    "connector.index_name": "job.details.indexName",
    "connector.service_type": "job.details.serviceType",
    "connector.language": "job.details.language",
    "connector.pipeline": "job.details.pipeline",
    "connector.filtering": "job.details.filtering",
    "connector.sync_cursor": "job.details.syncCursor",
    "connector.configuration": Place("job.details.configuration", without_sensitive_values),
}


def elastic(connectors: list[Any], jobs: list[Any]) -> Case:
    """An upstream with these, each of which has to be told as it is."""

    def page(entries: list[Any]) -> Any:
        def answer(asked: Asked) -> Reply:
            start, size = int(asked.query.get("from", 0)), int(asked.query.get("size", 100))
            word = asked.query.get("status")
            found = [entry for entry in entries if word is None or entry["status"] == word]
            return Reply({"count": len(found), "results": found[start : start + size]})

        return answer

    answers: Answers = {"GET /_connector": page(connectors), "GET /_connector/_sync_job": page(jobs)}
    settings = {"api_key": "ZXhhbXBsZTprZXk="}
    return Case(answers=answers, settings=settings, jobs=len(jobs), wrong=partial(_wrong, connectors, jobs))


def _wrong(connectors: list[Any], jobs: list[Any], data: Data) -> Iterator[str]:
    shown = by_external_id(data["connectors"])
    assert shown.keys() == {entry["id"] for entry in connectors}
    for entry in connectors:
        yield from connector_differences(shown[entry["id"]], entry)
    ran = by_external_id(data["jobs"])
    assert ran.keys() == {entry["id"] for entry in jobs}
    for entry in jobs:
        yield from differences("elastic job", {"job": ran[entry["id"]]}, entry, JOB)


def entries(names: list[str]) -> dict[str, Any]:
    """Each entry of these lists and single objects, once per file."""
    found = {}
    for name in names:
        body = payload(name)
        for entry in body.get("results", [body] if "results" not in body else []):
            found[f"{name}: {entry['id']}"] = entry
    return found


def connector_differences(node: Data, entry: dict[str, Any]) -> list[str]:
    """A connector without a name gets one from us."""
    if not entry.get("name"):
        assert node["name"]
        entry = {key: value for key, value in entry.items() if key != "name"}
    return differences("elastic connector", {"connector": node}, entry, CONNECTOR)


async def test_connectors(sqlite_store: Store) -> None:
    cases = {name: elastic([entry], []) for name, entry in entries(CONNECTORS).items()}
    assert await wrong(sqlite_store, "elastic", cases) == {}


async def test_jobs(sqlite_store: Store) -> None:
    any_one = payload("elastic/connector/get.created.response.json")
    cases = {
        name: elastic([{**any_one, "id": entry["connector"]["id"]}], [entry]) for name, entry in entries(JOBS).items()
    }
    assert await wrong(sqlite_store, "elastic", cases) == {}


def test_nothing_else_stands_in_a_list() -> None:
    bodies = {name: body for name in (*CONNECTORS, *JOBS) if "results" in (body := payload(name))}
    found = {
        name: differences("elastic page", {}, {k: v for k, v in body.items() if k != "results"}, {})
        for name, body in bodies.items()
    }
    assert found == {name: [] for name in bodies}


async def test_timelines(sqlite_store: Store) -> None:
    cases = {}
    for name in TIMELINES:
        connector = payload("elastic/connector/get.connected.response.json")
        for place, step in enumerate(payload(name)):
            job = step["sync_job"]
            connector = {**connector, **step["connector_changes"]}
            cases[f"{name} {place}"] = elastic([{**connector, "id": job["connector"]["id"]}], [job])
    assert await wrong(sqlite_store, "elastic", cases) == {}


async def test_no_marked_secret_is_shown(sqlite_store: Store) -> None:
    """The examples mark their secrets, so that no test here can overlook one: see ``wrong``."""
    connectors = payload("elastic/connector/list.from_0.size_4.response.json")["results"]
    jobs = payload("elastic/sync_job/list.from_0.size_5.newest_first.response.json")["results"]
    assert MARK in json.dumps(connectors)
    assert MARK in json.dumps(jobs)
    case = replace(elastic(connectors, jobs), wrong=lambda data: ())
    assert await wrong(sqlite_store, "elastic", {"whole lists": case}) == {}
