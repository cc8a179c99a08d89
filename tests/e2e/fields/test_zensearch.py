"""Every field of ZenSearch's connectors and sync jobs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from connectory.engine.pace import SystemState
from connectory.engine.recording.commit import Commit
from connectory.model import JobFact, JobStatus, Known, Observation
from connectory.store import Store
from connectory.store.leases.rows import lease_of
from connectory.store.tables.identity import SYSTEM as SYSTEMS
from connectory.store.tables.identity import global_id
from tests.e2e.fields.comparison import Table, differences, under
from tests.e2e.fields.probe import Case, Data, by_external_id, examples, payload, system_of, wrong
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


def connectors_wrong(body: dict[str, Any], entries: list[Any], data: Data) -> Iterator[str]:
    connectors = by_external_id(data["connectors"])
    for entry in entries:
        yield from differences("zensearch connector", {"connector": connectors[entry["id"]]}, entry, CONNECTOR)
    assert len(connectors) == len(entries)
    around = {key: value for key, value in body.items() if key != "data"}
    yield from differences("zensearch answer", {}, around, {})


async def test_connectors(sqlite_store: Store) -> None:
    """The answer for one connector has the list's entries, with their configuration."""
    cases = {}
    for example in (*LISTS, ONE):
        body = payload(example)
        entries = body["data"] if isinstance(body["data"], list) else [body["data"]]
        answers = {"GET /v1/connectors": Reply({**body, "data": entries})}
        cases[example] = Case(answers=answers, settings=SETTINGS, wrong=partial(connectors_wrong, body, entries))
    assert await wrong(sqlite_store, "zensearch", cases) == {}


def job_wrong(status: dict[str, Any], data: Data) -> Iterator[str]:
    (job,) = data["jobs"]
    yield from differences("zensearch job", {"job": job}, status, JOB)
    stages = {stage["name"]: stage["count"] for stage in job["progress"]["stages"]}
    assert stages == (status.get("progress") or {})


async def test_sync_status(sqlite_store: Store) -> None:
    """Nothing lists the jobs: somebody must have triggered one through the gateway for it to be read."""
    bodies = {example: payload(example) for example in STATUSES}
    bodies |= {f"{TIMELINE} {place}": step["response"] for place, step in enumerate(payload(TIMELINE))}
    assert [name for name, body in bodies.items() if body.keys() != {"data"}] == []
    entry = {**payload(ONE)["data"], "lastSync": None}
    listed = {"GET /v1/connectors": Reply({"data": [entry]})}
    untriggered = {name: Case(answers=listed, settings=SETTINGS, wrong=lambda data: ()) for name in bodies}
    assert await wrong(sqlite_store, "zensearch", untriggered) == {}
    cases = {}
    for number, (name, body) in enumerate(bodies.items()):
        status, system, now = body["data"], system_of(number), datetime.now(UTC)
        triggered = JobFact(external_id=status["jobId"], connector=entry["id"], status=JobStatus.PENDING, order_at=now)
        lease = await sqlite_store.leases.hold(lease_of(system))
        assert lease is not None
        commit = Commit(
            sqlite_store,
            global_id(SYSTEMS, system),
            system,
            frozenset(),
            Known(),
            now,
            lease=lease,
        )
        await commit.look(Observation(connectors=[], jobs=[triggered], complete=False), SystemState())
        route = f"GET /v1/connectors/{entry['id']}/sync/{status['jobId']}"
        cases[name] = Case(
            answers={**listed, route: Reply({"data": status})},
            settings=SETTINGS,
            jobs=1,
            ready=lambda data: data["jobs"][0]["upstreamStatus"] is not None,
            wrong=partial(job_wrong, status),
        )
    assert await wrong(sqlite_store, "zensearch", cases) == {}
