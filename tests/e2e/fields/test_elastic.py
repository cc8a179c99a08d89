"""Every field of Elastic's connectors and sync jobs."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from connectory.store import Store
from tests.e2e.fields.comparison import Place, Table, differences, under
from tests.e2e.fields.probe import MARK, Answers, Data, examples, payload, told
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


async def elastic(store: Store, connectors: list[Any], jobs: list[Any]) -> Data:
    def page(entries: list[Any]) -> Any:
        def answer(asked: Asked) -> Reply:
            start, size = int(asked.query.get("from", 0)), int(asked.query.get("size", 100))
            word = asked.query.get("status")
            found = [entry for entry in entries if word is None or entry["status"] == word]
            return Reply({"count": len(found), "results": found[start : start + size]})

        return answer

    answers: Answers = {"GET /_connector": page(connectors), "GET /_connector/_sync_job": page(jobs)}
    return await told(store, "elastic", answers, {"api_key": "ZXhhbXBsZTprZXk="}, jobs=len(jobs))


def entries(names: list[str]) -> list[Any]:
    """Each entry of these lists and single objects, once per file."""
    found = {}
    for name in names:
        body = payload(name)
        for entry in body.get("results", [body] if "results" not in body else []):
            found[name, entry["id"]] = entry
    return [pytest.param(entry, id=f"{name.rpartition('/')[2]}:{id}") for (name, id), entry in found.items()]


def connector_differences(node: Data, entry: dict[str, Any]) -> list[str]:
    """A connector without a name gets one from us."""
    if not entry.get("name"):
        assert node["name"]
        entry = {key: value for key, value in entry.items() if key != "name"}
    return differences("elastic connector", {"connector": node}, entry, CONNECTOR)


@pytest.mark.parametrize("entry", entries(CONNECTORS))
async def test_connector(sqlite_store: Store, entry: dict[str, Any]) -> None:
    (node,) = (await elastic(sqlite_store, [entry], []))["connectors"]
    assert connector_differences(node, entry) == []


@pytest.mark.parametrize("entry", entries(JOBS))
async def test_job(sqlite_store: Store, entry: dict[str, Any]) -> None:
    connector = {**payload("elastic/connector/get.created.response.json"), "id": entry["connector"]["id"]}
    (job,) = (await elastic(sqlite_store, [connector], [entry]))["jobs"]
    assert differences("elastic job", {"job": job}, entry, JOB) == []


@pytest.mark.parametrize("name", [*CONNECTORS, *JOBS])
def test_nothing_else_stands_in_a_list(name: str) -> None:
    body = payload(name)
    if "results" in body:
        assert differences("elastic page", {}, {k: v for k, v in body.items() if k != "results"}, {}) == []


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name in TIMELINES for place in range(len(payload(name)))]
)
async def test_timeline(sqlite_store: Store, name: str, place: int) -> None:
    steps = payload(name)[: place + 1]
    connector = payload("elastic/connector/get.connected.response.json")
    for step in steps:
        connector |= step["connector_changes"]
    job = steps[-1]["sync_job"]
    connector["id"] = job["connector"]["id"]
    data = await elastic(sqlite_store, [connector], [job])
    assert connector_differences(data["connectors"][0], connector) == []
    assert differences("elastic job", {"job": data["jobs"][0]}, job, JOB) == []


async def test_no_marked_secret_is_shown(sqlite_store: Store) -> None:
    """The examples mark their secrets, so that no test here can overlook one: see ``told``."""
    connectors = payload("elastic/connector/list.from_0.size_4.response.json")["results"]
    jobs = payload("elastic/sync_job/list.from_0.size_5.newest_first.response.json")["results"]
    assert MARK in json.dumps(connectors)
    assert MARK in json.dumps(jobs)
    await elastic(sqlite_store, connectors, jobs)
