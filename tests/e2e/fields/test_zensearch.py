"""Every field of ZenSearch's connectors and sync jobs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connectory.engine.commit import Commit
from connectory.engine.pace import SystemState
from connectory.model import JobFact, JobStatus, Known, Observation
from connectory.store import Store
from connectory.store.identity import SYSTEM as SYSTEMS
from connectory.store.identity import global_id
from tests.e2e.fields.comparison import Table, differences, under
from tests.e2e.fields.probe import SYSTEM, Data, by_external_id, examples, payload, told
from tests.sources.canned import Reply

LISTS = examples(
    "zensearch/*/connectors_list.*response.json", "zensearch/documented/success_envelope_with_meta.response.json"
)
ONE = "zensearch/assumed/connector_get.response.json"
STATUSES = examples("zensearch/*/sync_status.*.response.json")
TIMELINE = "zensearch/assumed/sync_job_timeline.json"
EXERCISED = {*LISTS, ONE, *STATUSES, TIMELINE}

CONNECTOR: Table = {
    "id": "connector.externalId",
    "name": "connector.name",
    "status": "connector.upstreamStatus",
    "lastSync": "connector.lastSyncAt",
    "createdAt": "connector.createdAt",
    **under("connector.details", "type", "collection", "config"),
}
JOB: Table = {
    "jobId": "job.externalId",
    "status": "job.upstreamStatus",
    "progress.collected": "job.details.collected",
    "progress.parsed": "job.details.parsed",
    "progress.indexed": ("job.details.indexed", "job.counts.indexed", "job.progress.processed"),
    "startedAt": "job.startedAt",
    "completedAt": "job.completedAt",
    "error.code": "job.details.errorCode",
    "error.message": "job.errorMessage",
}
SETTINGS = {"token": "zen_example"}


@pytest.mark.parametrize("example", [*LISTS, ONE])
async def test_connectors(sqlite_store: Store, example: str) -> None:
    """The answer for one connector has the list's entries, with their configuration."""
    body = payload(example)
    entries = body["data"] if isinstance(body["data"], list) else [body["data"]]
    answer = Reply({**body, "data": entries})
    data = await told(sqlite_store, "zensearch", {"GET /v1/connectors": answer}, SETTINGS)
    connectors = by_external_id(data["connectors"])
    for entry in entries:
        nodes = {"connector": connectors[entry["id"]]}
        assert differences("zensearch connector", nodes, entry, CONNECTOR) == []
    assert len(connectors) == len(entries)
    around = {key: value for key, value in body.items() if key != "data"}
    assert differences("zensearch answer", {}, around, {}) == []


async def told_of(store: Store, status: dict[str, Any]) -> Data:
    """The job, which nothing lists: somebody must have triggered it through the gateway for it to be read."""
    entry = {**payload(ONE)["data"], "lastSync": None}
    connector, number = entry["id"], status["jobId"]
    answers = {"GET /v1/connectors": Reply({"data": [entry]})}
    await told(store, "zensearch", answers, SETTINGS)
    now = datetime.now(UTC)
    triggered = JobFact(external_id=number, connector=connector, status=JobStatus.PENDING, order_at=now)
    commit = Commit(store, global_id(SYSTEMS, SYSTEM), SYSTEM, frozenset(), Known(), now)
    await commit.look(Observation(connectors=[], jobs=[triggered], complete=False), SystemState())
    answers[f"GET /v1/connectors/{connector}/sync/{number}"] = Reply({"data": status})
    data = await told(
        store, "zensearch", answers, SETTINGS, jobs=1, ready=lambda data: data["jobs"][0]["upstreamStatus"] is not None
    )
    (job,) = data["jobs"]
    assert isinstance(job, dict)
    return job


@pytest.mark.parametrize("example", STATUSES)
async def test_sync_status(sqlite_store: Store, example: str) -> None:
    body = payload(example)
    assert body.keys() == {"data"}
    job = await told_of(sqlite_store, body["data"])
    assert differences("zensearch job", {"job": job}, body["data"], JOB) == []
    stages = {stage["name"]: stage["count"] for stage in job["progress"]["stages"]}
    assert stages == (body["data"].get("progress") or {})


@pytest.mark.parametrize("place", range(len(payload(TIMELINE))))
async def test_timeline(sqlite_store: Store, place: int) -> None:
    body = payload(TIMELINE)[place]["response"]
    job = await told_of(sqlite_store, body["data"])
    assert differences("zensearch job", {"job": job}, body["data"], JOB) == []
