"""Every field of LucidWorks Search: collections, data sources, statuses and histories."""

from typing import Any

import pytest

from connectory.store import Store
from tests.e2e.fields.comparison import Place, Table, differences, under
from tests.e2e.fields.probe import Data, by_external_id, examples, payload, told
from tests.sources.canned import Reply

SEARCH = "lucidworks/search_2x"
COLLECTIONS = f"{SEARCH}/documented/collections.response.json"
SOURCES = examples(f"{SEARCH}/documented/datasource*.response.json")
STATUSES = examples(f"{SEARCH}/*/status.*.response.json")
HISTORIES = examples(f"{SEARCH}/documented/history.*response.json")
ALL_STATUS, ALL_HISTORY = (f"{SEARCH}/implementation/all_{what}.response.json" for what in ("status", "history"))
TIMELINE = f"{SEARCH}/timelines/start_finish_restart_stop.json"
EXERCISED = {COLLECTIONS, *SOURCES, *STATUSES, *HISTORIES, ALL_STATUS, ALL_HISTORY, TIMELINE}

SOURCE: Table = {
    "id": "connector.details.dataSourceId",
    "name": "connector.name",
    "collection": "connector.details.collection",
    **under(
        "connector.details.extra",
        "auth", "bounds", "caching", "category", "commit_on_finish", "commit_within", "crawl_depth", "crawler",
        "delta_sql_query", "driver", "exclude_paths", "include_paths", "indexing", "mapping", "max_docs",
        "nested_queries", "parsing", "path", "primary_key", "sql_select_statement", "type", "url", "username",
    ),
}  # fmt: skip
COLLECTION: Table = {
    "name": "connector.details.collection",
    "instance_dir": "connector.details.collectionExtra.instance_dir",
}
#: What a status tells of its data source, whether or not it ever ran.
STATE: Table = {
    "id": "connector.details.dataSourceId",
    "job_id": "connector.details.jobId",
    "batch_job": "connector.details.batchJob",
    "crawl_state": ("connector.details.crawlState", "connector.upstreamStatus"),
}
RUN: Table = {
    "id": "job.connector.details.dataSourceId",
    "job_id": Place("job.details.extra.job_id", str),
    "batch_job": "job.details.batchJob",
    "crawl_state": ("job.details.crawlState", "job.upstreamStatus"),
    "crawl_started": "job.startedAt",
    "crawl_stopped": "job.completedAt",
    "message": "job.errorMessage",
    "exception": "job.details.extra.exception",
    **under(
        "job.counts",
        num_new="added",
        num_updated="updated",
        num_deleted="deleted",
        num_unchanged="unchanged",
        num_failed="failed",
        num_access_denied="accessDenied",
        num_filter_denied="filterDenied",
        num_robots_denied="robotsDenied",
        num_not_found="notFound",
        num_total="total",
    ),
}


def path(*rest: object) -> str:
    return "GET /api/collections/" + "/".join(map(str, rest))


async def search(
    store: Store, sources: list[Any], *, collection: str = "collection1", jobs: int = 0, **answers: Any
) -> Data:
    """``answers`` by what comes after the data sources' path, with ``_`` for a slash."""
    given = {
        "GET /api/collections": Reply(payload(COLLECTIONS)),
        **{path(entry["name"], "datasources"): Reply([]) for entry in payload(COLLECTIONS)},
        path(collection, "datasources"): Reply(sources),
        **{path(collection, "datasources", *key.split("_")): Reply(answer) for key, answer in answers.items()},
    }
    return await told(store, "lucidworks", given, {"below": "/api"}, jobs=jobs)


def listed(number: Any) -> dict[str, Any]:
    return {**payload(f"{SEARCH}/documented/datasource.get.response.json"), "id": number}


def told_of(status: dict[str, Any], data: Data) -> list[str]:
    """Differences of a status: of its data source, and of its crawl if there was one."""
    connectors = {node["details"]["dataSourceId"]: node for node in data["connectors"]}
    nodes = {"connector": connectors[str(status["id"])]}
    state = {key: status[key] for key in STATE if key in status}
    if status["crawl_started"] is None:
        assert not [job for job in data["jobs"] if job["connector"]["id"] == nodes["connector"]["id"]]
        left = {key: value for key, value in status.items() if key not in STATE and value is not None}
        assert not any(left.values())
        return differences("lucidworks idle status", nodes, {**state, **left}, STATE)
    return differences("lucidworks status", nodes, state, STATE) + run_differences(status, data["jobs"])


def run_differences(status: dict[str, Any], jobs: list[Data]) -> list[str]:
    """The crawl is the one of its data source that began then: nothing else names it."""
    (job,) = (
        job
        for job in jobs
        if job["connector"]["details"]["dataSourceId"] == str(status["id"])
        and job["externalId"].endswith(status["crawl_started"])
    )
    return differences("lucidworks status", {"job": job}, status, RUN)


@pytest.mark.parametrize("example", SOURCES)
async def test_data_sources(sqlite_store: Store, example: str) -> None:
    body = payload(example)
    sources = body if isinstance(body, list) else [body]
    data = await search(sqlite_store, sources)
    connectors = by_external_id(data["connectors"])
    for source in sources:
        nodes = {"connector": connectors[f"collection1/{source['id']}"]}
        assert differences("lucidworks data source", nodes, source, SOURCE) == []
    assert len(connectors) == len(sources)


@pytest.mark.parametrize("collection", payload(COLLECTIONS))
async def test_collections(sqlite_store: Store, collection: dict[str, Any]) -> None:
    data = await search(sqlite_store, [{"id": 6, "type": "web"}], collection=collection["name"])
    (connector,) = data["connectors"]
    assert differences("lucidworks collection", {"connector": connector}, collection, COLLECTION) == []


@pytest.mark.parametrize("example", STATUSES)
async def test_status(sqlite_store: Store, example: str) -> None:
    status = payload(example)
    number = status["id"] if status else 6
    ran = bool(status and status["crawl_started"])
    data = await search(sqlite_store, [listed(number)], jobs=ran, **{f"{number}_status": status})
    assert len(data["jobs"]) == ran
    if status is None:  # it never ran, and there is nothing that could be lost
        assert data["connectors"][0]["upstreamStatus"] is None
    else:
        assert told_of(status, data) == []


@pytest.mark.parametrize("example", HISTORIES)
async def test_history(sqlite_store: Store, example: str) -> None:
    entries = payload(example)
    data = await search(sqlite_store, [listed(6)], jobs=len(entries), **{"6_status": None, "6_history": entries})
    assert [line for entry in entries for line in run_differences(entry, data["jobs"])] == []
    assert len(data["jobs"]) == len(entries)


async def test_all_at_once(sqlite_store: Store) -> None:
    """A fourth data source makes one request for all histories the cheaper way."""
    statuses, histories = payload(ALL_STATUS), payload(ALL_HISTORY)
    sources = [listed(number) for number in (6, 7, 8, 9)]
    data = await search(sqlite_store, sources, jobs=2, all_status=statuses, all_history=histories)
    assert [line for status in statuses for line in told_of(status, data)] == []
    assert len(data["jobs"]) == 2
    for entry in histories:
        assert entry.keys() == {"id", "history"}
        assert f"collection1/{entry['id']}" in by_external_id(data["connectors"])
        assert [line for run in entry["history"] for line in run_differences(run, data["jobs"])] == []


async def test_history_of_all_alone(sqlite_store: Store) -> None:
    """Crawls that no status tells of any more."""
    histories = payload(ALL_HISTORY)
    runs = [run for entry in histories for run in entry["history"]]
    sources = [listed(number) for number in (6, 7, 8, 9)]
    data = await search(sqlite_store, sources, jobs=len(runs), all_status=[], all_history=histories)
    assert [line for run in runs for line in run_differences(run, data["jobs"])] == []


ANSWERED = [step for step in payload(TIMELINE) if step["request"].startswith("GET")]


@pytest.mark.parametrize("step", ANSWERED, ids=[str(step["seconds"]) for step in ANSWERED])
async def test_timeline(sqlite_store: Store, step: dict[str, Any]) -> None:
    status = step["response"]
    ran = bool(status["crawl_started"])
    data = await search(sqlite_store, [listed(6)], jobs=ran, **{"6_status": status})
    assert told_of(status, data) == []
