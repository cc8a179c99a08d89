"""Every field of LucidWorks Search: collections, data sources, statuses and histories."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from connectory.store import Store
from tests.e2e.fields.comparison import Place, Table, differences, under
from tests.e2e.fields.probe import Case, Data, by_external_id, examples, payload, wrong
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


def search(
    sources: list[Any],
    differing: Callable[[Data], Iterable[str]],
    *,
    collection: str = "collection1",
    jobs: int = 0,
    **answers: Any,
) -> Case:
    """``answers`` by what comes after the data sources' path, with ``_`` for a slash."""
    given = {
        "GET /api/collections": Reply(payload(COLLECTIONS)),
        **{path(entry["name"], "datasources"): Reply([]) for entry in payload(COLLECTIONS)},
        path(collection, "datasources"): Reply(sources),
        **{path(collection, "datasources", *key.split("_")): Reply(answer) for key, answer in answers.items()},
    }
    return Case(answers=given, settings={"below": "/api"}, jobs=jobs, wrong=differing)


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


def sources_wrong(sources: list[Any], data: Data) -> Iterator[str]:
    connectors = by_external_id(data["connectors"])
    for source in sources:
        nodes = {"connector": connectors[f"collection1/{source['id']}"]}
        yield from differences("lucidworks data source", nodes, source, SOURCE)
    assert len(connectors) == len(sources)


def collection_wrong(collection: dict[str, Any], data: Data) -> list[str]:
    (connector,) = data["connectors"]
    return differences("lucidworks collection", {"connector": connector}, collection, COLLECTION)


async def test_data_sources_and_collections(sqlite_store: Store) -> None:
    cases = {}
    for example in SOURCES:
        body = payload(example)
        sources = body if isinstance(body, list) else [body]
        cases[example] = search(sources, partial(sources_wrong, sources))
    for collection in payload(COLLECTIONS):
        name = collection["name"]
        cases[f"{COLLECTIONS}: {name}"] = search(
            [{"id": 6, "type": "web"}], partial(collection_wrong, collection), collection=name
        )
    assert await wrong(sqlite_store, "lucidworks", cases) == {}


def status_wrong(status: dict[str, Any] | None, ran: bool, data: Data) -> list[str]:
    assert len(data["jobs"]) == ran
    if status is not None:
        return told_of(status, data)
    assert data["connectors"][0]["upstreamStatus"] is None  # it never ran, and there is nothing that could be lost
    return []


async def test_statuses(sqlite_store: Store) -> None:
    statuses = {example: payload(example) for example in STATUSES}
    steps = [step for step in payload(TIMELINE) if step["request"].startswith("GET")]
    statuses |= {f"{TIMELINE} {place}": step["response"] for place, step in enumerate(steps)}
    cases = {}
    for name, status in statuses.items():
        number, ran = status["id"] if status else 6, bool(status and status["crawl_started"])
        answers = {f"{number}_status": status}
        cases[name] = search([listed(number)], partial(status_wrong, status, ran), jobs=ran, **answers)
    assert await wrong(sqlite_store, "lucidworks", cases) == {}


def runs_wrong(runs: list[Any], data: Data) -> Iterator[str]:
    for run in runs:
        yield from run_differences(run, data["jobs"])


def history_wrong(entries: list[Any], data: Data) -> Iterator[str]:
    yield from runs_wrong(entries, data)
    assert len(data["jobs"]) == len(entries)


def all_wrong(statuses: list[Any], histories: list[Any], data: Data) -> Iterator[str]:
    for status in statuses:
        yield from told_of(status, data)
    assert len(data["jobs"]) == 2
    for entry in histories:
        assert entry.keys() == {"id", "history"}
        assert f"collection1/{entry['id']}" in by_external_id(data["connectors"])
        yield from runs_wrong(entry["history"], data)


async def test_histories(sqlite_store: Store) -> None:
    """A fourth data source makes one request for all histories the cheaper way."""
    cases = {}
    for example in HISTORIES:
        entries = payload(example)
        answers = {"6_status": None, "6_history": entries}
        cases[example] = search([listed(6)], partial(history_wrong, entries), jobs=len(entries), **answers)
    statuses, histories = payload(ALL_STATUS), payload(ALL_HISTORY)
    runs = [run for entry in histories for run in entry["history"]]
    sources = [listed(number) for number in (6, 7, 8, 9)]
    cases["all at once"] = search(
        sources, partial(all_wrong, statuses, histories), jobs=2, all_status=statuses, all_history=histories
    )
    cases["crawls that no status tells of any more"] = search(
        sources, partial(runs_wrong, runs), jobs=len(runs), all_status=[], all_history=histories
    )
    assert await wrong(sqlite_store, "lucidworks", cases) == {}
