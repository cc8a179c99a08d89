"""Whatever an upstream says can be read through GraphQL.

The example payloads are served over HTTP, polled by the real adapter into a real store, and asked for by one query over
everything. The tables below name the place of each key; a key in a payload that is in no table fails the test.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLUnionType, get_named_type, is_leaf_type

from connectory.engine import ConfiguredSystem, Engine
from connectory.model import Role
from connectory.store import Store
from resolvers.context import Context, Viewer
from schema import build_schema
from sources.base import instant
from sources.registry import kinds
from tests.paths import EXAMPLES
from tests.sources.canned import Reply, canned
from tests.wait import until

SCHEMA = build_schema()

#: Keys of an Onyx entry → where they are. A function compares what is there with what was sent.
ONYX_PAIR = {
    "cc_pair_id": "details.ccPairId",
    "name": "name",
    "source": "source",
    "access_type": "accessType",
    "cc_pair_status": "details.ccPairStatus",
    "in_progress": "inProgress",
    "in_repeated_error_state": "inRepeatedErrorState",
    "last_finished_status": "details.lastFinishedStatus",
    "last_status": "details.lastStatus",
    "last_success": "lastSuccessAt",
    "is_editable": "isEditable",
    "permissions": "details.permissions",
    "docs_indexed": "docsIndexed",
    "latest_index_attempt_docs_indexed": "details.latestIndexAttemptDocsIndexed",
}
ONYX_FEDERATED = {"id": "details.federatedId", "source": "details.federatedSource", "name": "name"}
ONYX_ATTEMPT = {
    "id": "externalId",
    "status": "upstreamStatus",
    "from_beginning": "details.fromBeginning",
    "new_docs_indexed": "details.newDocsIndexed",
    "total_docs_indexed": "details.totalDocsIndexed",
    "docs_removed_from_index": "details.docsRemovedFromIndex",
    "error_msg": "errorMessage",
    "error_count": "details.errorCount",
    "full_exception_trace": "details.fullExceptionTrace",
    "time_started": "startedAt",
    "time_updated": "details.timeUpdated",
    "poll_range_start": "details.pollRangeStart",
    "poll_range_end": "details.pollRangeEnd",
}
ONYX_SUMMARY = {
    "total_connectors": "totalConnectors",
    "active_connectors": "activeConnectors",
    "public_connectors": "publicConnectors",
    "total_docs_indexed": "totalDocsIndexed",
}
#: Of a group: its entries and its summary are looked at one by one, its paging is the upstream's own.
ONYX_GROUP = {"source", "summary", "indexing_statuses", "current_page", "total_pages"}

ELASTIC_CONNECTOR = {
    "id": "externalId",
    "name": "name",
    "status": "upstreamStatus",
    "error": "errorMessage",
    "description": "details.description",
    "index_name": "details.indexName",
    "service_type": "details.serviceType",
    "language": "details.language",
    "is_native": "details.isNative",
    "deleted": "details.deleted",
    "sync_now": "details.syncNow",
    "last_seen": "details.lastSeen",
    "last_synced": "details.lastSynced",
    "last_sync_status": "details.lastSyncStatus",
    "last_sync_error": "details.lastSyncError",
    "last_sync_scheduled_at": "details.lastSyncScheduledAt",
    "last_incremental_sync_scheduled_at": "details.lastIncrementalSyncScheduledAt",
    "last_access_control_sync_status": "details.lastAccessControlSyncStatus",
    "last_access_control_sync_error": "details.lastAccessControlSyncError",
    "last_access_control_sync_scheduled_at": "details.lastAccessControlSyncScheduledAt",
    "last_indexed_document_count": "details.lastIndexedDocumentCount",
    "last_deleted_document_count": "details.lastDeletedDocumentCount",
    "scheduling": "details.scheduling",
    "custom_scheduling": "details.customScheduling",
    "configuration": "details.configuration",
    "filtering": "details.filtering",
    "features": "details.features",
    "pipeline": "details.pipeline",
    "sync_cursor": "details.syncCursor",
    "api_key_id": "details.apiKeyId",
    # a key that the specification does not know
    "legacy_notes": "details.extra.legacy_notes",
}
ELASTIC_JOB = {
    "id": "externalId",
    "status": "upstreamStatus",
    "job_type": "details.jobType",
    "trigger_method": "details.triggerMethod",
    "created_at": "createdAt",
    "started_at": "startedAt",
    "completed_at": "completedAt",
    "cancelation_requested_at": "cancelRequestedAt",
    "canceled_at": "canceledAt",
    "last_seen": "lastSeenAt",
    "error": "errorMessage",
    "worker_hostname": "workerHostname",
    "indexed_document_count": "counts.indexed",
    "deleted_document_count": "counts.deleted",
    "indexed_document_volume": "details.indexedDocumentVolume",
    "total_document_count": "details.totalDocumentCount",
    "metadata": "details.metadata",
    "connector.id": "details.connectorIdOfJob",
    "connector.index_name": "details.indexName",
    "connector.service_type": "details.serviceType",
    "connector.language": "details.language",
    "connector.pipeline": "details.pipeline",
    "connector.filtering": "details.filtering",
    "connector.sync_cursor": "details.syncCursor",
    "connector.configuration": "details.configuration",
    # a key that the specification does not know
    "extra_worker_key": "details.extra.extra_worker_key",
}
#: The only thing of these payloads that GraphQL never shows, with the reason.
SECRET = {"api_key_secret_id": "it leads to the key itself"}


def leaves(type_name: str, *, without: frozenset[str] = frozenset(), deep: bool = True) -> str:
    """A selection of every field of a type that needs no argument and is no list of its own."""
    of = SCHEMA._schema.type_map[type_name]
    if isinstance(of, GraphQLUnionType):
        parts = [f"... on {t.name} {{ {aliased(t.name)} }}" for t in of.types]
        return " ".join(["__typename", *parts])
    assert isinstance(of, GraphQLObjectType | GraphQLInterfaceType)
    found = []
    for name, field in of.fields.items():
        named = get_named_type(field.type)
        if name in without:
            continue
        if is_leaf_type(named):
            found.append(name)
        elif deep and name in ("details", "counts", "progress"):
            found.append(f"{name} {{ {leaves(named.name)} }}")
    return " ".join(found)


def aliased(type_name: str) -> str:
    """Fields of one union member under aliases: two members may give one name different types."""
    of = SCHEMA._schema.type_map[type_name]
    assert isinstance(of, GraphQLObjectType)
    return " ".join(
        f"{type_name}__{name}: {name}" for name, field in of.fields.items() if is_leaf_type(get_named_type(field.type))
    )


def unaliased(node: dict[str, Any]) -> dict[str, Any]:
    details = node.get("details") or {}
    node["details"] = {name.rpartition("__")[2] or name: value for name, value in details.items()}
    return node


EVERYTHING = f"""{{
  connectors(first: 1000, filter: {{ includeRemoved: true }}) {{ nodes {{ {leaves("Connector")} }} }}
  jobs(first: 1000) {{ nodes {{ {leaves("Job")} connector {{ externalId }} }} }}
  sourceSummaries {{ {leaves("SourceSummary")} }}
}}"""


def payload(*path: str) -> Any:
    return json.loads(Path(EXAMPLES, *path).read_text())


@asynccontextmanager
async def gateway(store: Store, kind: str, settings: Mapping[str, Any]) -> AsyncIterator[Engine]:
    found = kinds()[kind]
    told = found.settings.model_validate({"name": "upstream", "kind": kind, **settings})
    times = {"poll_interval": 60.0, "live_interval": 60.0, "stale_after": 600.0}
    system = ConfiguredSystem(kind=found, settings=told, max_backoff=60.0, auth_probe_interval=60.0, **times)
    engine = Engine(store, [system])
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def everything(store: Store, jobs: int) -> dict[str, Any]:
    """The answer to the query over everything, once at least ``jobs`` jobs are there."""

    async def look() -> dict[str, Any] | None:
        context = Context(store, Viewer("test", Role.VIEWER))
        try:
            result = await SCHEMA.execute(EVERYTHING, context_value=context)
        finally:
            await context.close()
        assert result.errors is None, result.errors
        assert result.data is not None
        data = json.loads(json.dumps(result.data))
        return data if data["connectors"]["nodes"] and len(data["jobs"]["nodes"]) >= jobs else None

    data = await until(look)
    for name in ("connectors", "jobs"):
        data[name] = [unaliased(node) for node in data[name]["nodes"]]
    for job in data["jobs"]:
        job["details"]["connectorIdOfJob"] = job["connector"] and job["connector"]["externalId"]
    return data


def at(node: Mapping[str, Any], path: str) -> Any:
    value: Any = node
    for name in path.split("."):
        value = value[name]
    return value


def same(told: Any, sent: Any) -> bool:
    """Whether GraphQL's value is the upstream's: the same, the same word as an enum value, or the same moment."""
    if told == sent:
        return True
    if isinstance(told, str) and isinstance(sent, str) and told == sent.upper():
        return True
    if isinstance(told, str) and isinstance(sent, int) and not isinstance(sent, bool) and told == str(sent):
        return True
    if isinstance(told, str) and sent is not None:
        try:
            return datetime.fromisoformat(told) == instant(sent)
        except Exception:
            return False
    return False


def without_sensitive_values(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {k: v for k, v in entry.items() if not entry["sensitive"] or k not in ("value", "default_value")}
        for name, entry in configuration.items()
    }


def flattened(job: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in job.items() if key != "connector"}
    return flat | {f"connector.{key}": value for key, value in job["connector"].items()}


def compare(node: Mapping[str, Any], sent: Mapping[str, Any], table: Mapping[str, str]) -> list[str]:
    """What is not told, or told differently."""
    wrong = []
    for key, value in sent.items():
        if key in SECRET:
            assert str(value) not in json.dumps(node), f"{key} is shown"
            continue
        if key not in table:
            wrong.append(f"{key}: in no table")
            continue
        if key.endswith("configuration"):
            value = without_sensitive_values(value)
        if not same(at(node, table[key]), value):
            wrong.append(f"{key} → {table[key]}: sent {value!r}, told {at(node, table[key])!r}")
    return wrong


@pytest.mark.parametrize(
    "answer",
    ["all_connectors", "default", "version_4_4_to_4_6", "version_2_6_to_2_12_null_name", "group_manager"],
)
async def test_onyx_indexing_status(sqlite_store: Store, answer: str) -> None:
    groups = payload("onyx", "indexing_status", f"{answer}.response.json")
    entries = [entry for group in groups for entry in group["indexing_statuses"]]
    pairs = {entry["cc_pair_id"]: entry for entry in entries if "cc_pair_id" in entry}
    attempts = payload("onyx", "cc_pair", "index_attempts.page_num_0.page_size_4.response.json")["items"]
    attempts += payload("onyx", "cc_pair", "index_attempts.page_num_1.page_size_4.response.json")["items"]
    chosen = next(iter(pairs))
    answers: dict[str, Any] = {"POST /api/manage/admin/connector/indexing-status": Reply(groups)}
    for pair in pairs:
        items = attempts if pair == chosen else []
        page = {"items": items, "total_items": len(items)}
        answers[f"GET /api/manage/admin/cc-pair/{pair}/index-attempts"] = Reply(page)
    async with (
        canned(answers) as upstream,
        gateway(sqlite_store, "onyx", {"url": f"{upstream.url}/api", "token": "on_example"}),
    ):
        data = await everything(sqlite_store, len(attempts))
    by_id = {node["externalId"]: node for node in data["connectors"]}
    wrong = []
    for entry in entries:
        federated = "cc_pair_id" not in entry
        node = by_id[f"federated:{entry['id']}" if federated else str(entry["cc_pair_id"])]
        if entry["name"] is None:
            assert node["name"]
            entry = {key: value for key, value in entry.items() if key != "name"}
        wrong += compare(node, entry, ONYX_FEDERATED if federated else ONYX_PAIR)
    assert wrong == []
    jobs = {node["externalId"]: node for node in data["jobs"]}
    assert [line for item in attempts for line in compare(jobs[str(item["id"])], item, ONYX_ATTEMPT)] == []
    assert {key for group in groups for key in group} <= ONYX_GROUP
    if answer == "all_connectors":  # the upstream's own summaries, against ours
        summaries = {node["source"]: node for node in data["sourceSummaries"]}
        lines = [
            line for group in groups for line in compare(summaries[group["source"]], group["summary"], ONYX_SUMMARY)
        ]
        assert lines == []


def elastic_connectors() -> list[Any]:
    found = {}
    for file in sorted((EXAMPLES / "elastic" / "connector").glob("*.response.json")):
        body = json.loads(file.read_text())
        for entry in body.get("results", [body] if "is_native" in body else []):
            found.setdefault((file.name, entry["id"]), entry)
    return [pytest.param(entry, id=f"{name}:{id}") for (name, id), entry in found.items()]


def elastic_jobs() -> list[Any]:
    found = {}
    for file in sorted((EXAMPLES / "elastic" / "sync_job").glob("*.response.json")):
        body = json.loads(file.read_text())
        for entry in body.get("results", [body] if "job_type" in body else []):
            found.setdefault((file.name, entry["id"]), entry)
    return [pytest.param(entry, id=f"{name}:{id}") for (name, id), entry in found.items()]


async def elastic_answer(store: Store, connectors: list[Any], jobs: list[Any]) -> dict[str, Any]:
    def page(entries: list[Any]) -> Any:
        def answer(asked: Any) -> Reply:
            start, size = int(asked.query.get("from", 0)), int(asked.query.get("size", 100))
            word = asked.query.get("status")
            found = [entry for entry in entries if word is None or entry["status"] == word]
            return Reply({"count": len(found), "results": found[start : start + size]})

        return answer

    answers = {"GET /_connector": page(connectors), "GET /_connector/_sync_job": page(jobs)}
    async with (
        canned(answers) as upstream,
        gateway(store, "elastic", {"url": upstream.url, "api_key": "ZXhhbXBsZTprZXk="}),
    ):
        return await everything(store, len(jobs))


@pytest.mark.parametrize("entry", elastic_connectors())
async def test_elastic_connector(sqlite_store: Store, entry: dict[str, Any]) -> None:
    data = await elastic_answer(sqlite_store, [entry], [])
    (node,) = data["connectors"]
    if not entry.get("name"):
        assert node["name"]
        entry = {key: value for key, value in entry.items() if key != "name"}
    assert compare(node, entry, ELASTIC_CONNECTOR) == []


@pytest.mark.parametrize("entry", elastic_jobs())
async def test_elastic_job(sqlite_store: Store, entry: dict[str, Any]) -> None:
    connector = payload("elastic", "connector", "get.created.response.json")
    connector["id"] = entry["connector"]["id"]
    data = await elastic_answer(sqlite_store, [connector], [entry])
    (node,) = data["jobs"]
    assert compare(node, flattened(entry), ELASTIC_JOB) == []


def test_no_secret_of_the_examples_is_a_plain_value() -> None:
    """The examples mark their secrets, so that the tests above cannot overlook one."""
    marked = [file for file in EXAMPLES.rglob("*.json") if "NOT-A-REAL-SECRET" in file.read_text()]
    assert marked


async def test_no_marked_secret_is_shown(sqlite_store: Store) -> None:
    connectors = payload("elastic", "connector", "list.from_0.size_4.response.json")["results"]
    jobs = payload("elastic", "sync_job", "list.from_0.size_5.newest_first.response.json")["results"]
    assert "NOT-A-REAL-SECRET" in json.dumps([connectors, jobs])
    data = await elastic_answer(sqlite_store, connectors, jobs)
    assert "NOT-A-REAL-SECRET" not in json.dumps(data)
