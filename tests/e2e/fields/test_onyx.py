"""Every field of Onyx's lists, attempts, errors and stages."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from connectory.store import Store
from tests.e2e.fields.comparison import Table, differences
from tests.e2e.fields.probe import Case, Data, by_external_id, examples, payload, wrong
from tests.sources.canned import Reply

LISTS = examples("onyx/indexing_status/*.response.json")
ATTEMPTS = examples("onyx/cc_pair/index_attempts.*.json")
TIMELINE = "onyx/run_timeline.json"
ERRORS, STAGES = "onyx/cc_pair/errors.response.json", "onyx/index_attempt/stage_metrics.response.json"
EXERCISED = {*LISTS, *ATTEMPTS, TIMELINE, ERRORS, STAGES}

PAIR: Table = {
    "cc_pair_id": ("connector.details.ccPairId", "connector.externalId"),
    "name": "connector.name",
    "source": "connector.source",
    "access_type": "connector.accessType",
    "cc_pair_status": ("connector.details.ccPairStatus", "connector.upstreamStatus"),
    "in_progress": "connector.inProgress",
    "in_repeated_error_state": "connector.inRepeatedErrorState",
    "last_finished_status": "connector.details.lastFinishedStatus",
    "last_status": "connector.details.lastStatus",
    "last_success": "connector.lastSuccessAt",
    "is_editable": "connector.isEditable",
    "permissions": "connector.details.permissions",
    "docs_indexed": "connector.docsIndexed",
    "latest_index_attempt_docs_indexed": "connector.details.latestIndexAttemptDocsIndexed",
}
FEDERATED: Table = {
    "id": "connector.details.federatedId",
    "source": "connector.details.federatedSource",
    "name": "connector.name",
}
GROUP: Table = {
    "source": "summary.source",
    "summary.total_connectors": "summary.totalConnectors",
    "summary.active_connectors": "summary.activeConnectors",
    "summary.public_connectors": "summary.publicConnectors",
    "summary.total_docs_indexed": "summary.totalDocsIndexed",
}
ATTEMPT: Table = {
    "id": "job.externalId",
    "status": "job.upstreamStatus",
    "from_beginning": "job.details.fromBeginning",
    "new_docs_indexed": "job.details.newDocsIndexed",
    "total_docs_indexed": "job.details.totalDocsIndexed",
    "docs_removed_from_index": "job.details.docsRemovedFromIndex",
    "error_msg": "job.errorMessage",
    "error_count": "job.details.errorCount",
    "full_exception_trace": "job.details.fullExceptionTrace",
    "time_started": "job.startedAt",
    "time_updated": "job.details.timeUpdated",
    "poll_range_start": "job.details.pollRangeStart",
    "poll_range_end": "job.details.pollRangeEnd",
}


def onyx(
    groups: Any,
    attempts: dict[int, Any],
    differing: Callable[[Data], Iterable[str]],
    also: Any = None,
    **options: Any,
) -> Case:
    """``attempts``: one page of each cc-pair; pairs without one have none."""
    pairs = {entry["cc_pair_id"] for group in groups for entry in group["indexing_statuses"] if "cc_pair_id" in entry}
    none = {"items": [], "total_items": 0}
    answers = {
        "POST /api/manage/admin/connector/indexing-status": Reply(groups),
        **{
            f"GET /api/manage/admin/cc-pair/{pair}/index-attempts": Reply(attempts.get(pair, none))
            for pair in pairs | attempts.keys()
        },
        **(also or {}),
    }
    settings = {"below": "/api", "token": "on_example"}
    return Case(answers=answers, settings=settings, wrong=differing, **options)


def told_of(entry: Any, connectors: dict[str, Data]) -> list[str]:
    """Differences of one entry. A pair without a name (up to v2.12) gets one from us."""
    federated = "cc_pair_id" not in entry
    node = connectors[f"federated:{entry['id']}" if federated else str(entry["cc_pair_id"])]
    if entry["name"] is None:
        assert node["name"]
        entry = {key: value for key, value in entry.items() if key != "name"}
    about, table = ("onyx federated", FEDERATED) if federated else ("onyx pair", PAIR)
    return differences(about, {"connector": node}, entry, table)


def editable_rows(entries: list[Any]) -> list[Any]:
    """Of a pair that a curator is told twice (up to v4.6), the row that allows more: we are allowed what it says."""
    rows: dict[Any, Any] = {}
    for entry in entries:
        key = entry.get("cc_pair_id", f"federated {entry.get('id')}")
        if key not in rows or entry["is_editable"]:
            rows[key] = entry
    return list(rows.values())


def status_wrong(groups: list[Any], data: Data) -> Iterator[str]:
    connectors = by_external_id(data["connectors"])
    summaries = {node["source"]: node for node in data["sourceSummaries"]}
    for group in groups:
        entries = editable_rows(group["indexing_statuses"])
        for entry in entries:
            yield from told_of(entry, connectors)
        about = {key: value for key, value in group.items() if key != "indexing_statuses"}
        if group["summary"]["total_connectors"] != len(entries):
            del about["summary"]  # it sums up what this answer, filtered or one page of several, does not hold
        elif all("docs_indexed" not in entry for entry in entries):
            # federated ones have no documents: Onyx makes that 0, we say that nobody reports any
            assert about["summary"]["total_docs_indexed"] == 0
            about["summary"] = {**about["summary"], "total_docs_indexed": None}
        yield from differences("onyx group", {"summary": summaries[group["source"]]}, about, GROUP)
    assert len(connectors) == sum(len(editable_rows(group["indexing_statuses"])) for group in groups)


def entry_wrong(entry: Any, data: Data) -> list[str]:
    return told_of(entry, by_external_id(data["connectors"]))


async def test_indexing_status(sqlite_store: Store) -> None:
    cases = {example: onyx(groups := payload(example), {}, partial(status_wrong, groups)) for example in LISTS}
    for place, step in enumerate(payload(TIMELINE)):
        entry = step["status"]
        groups = [{"source": entry["source"], "indexing_statuses": [entry]}]
        cases[f"{TIMELINE} {place}"] = onyx(groups, {}, partial(entry_wrong, entry))
    assert await wrong(sqlite_store, "onyx", cases) == {}


def a_pair(number: int) -> Any:
    groups = payload("onyx/indexing_status/all_connectors.response.json")
    (entry,) = (e for group in groups for e in group["indexing_statuses"] if e.get("cc_pair_id") == number)
    return [{"source": entry["source"], "indexing_statuses": [entry]}]


def attempts_wrong(page: dict[str, Any], items: list[Any], data: Data) -> Iterator[str]:
    jobs = by_external_id(data["jobs"])
    for item in items:
        yield from differences("onyx attempt", {"job": jobs[str(item["id"])]}, item, ATTEMPT)
    assert len(jobs) == len(items)
    yield from differences("onyx page", {}, page, {})


async def test_index_attempts(sqlite_store: Store) -> None:
    cases = {}
    for example in ATTEMPTS:
        page = payload(example)
        items = page.pop("items")
        differing = partial(attempts_wrong, page, items)
        cases[example] = onyx(a_pair(10), {10: {**page, "items": items}}, differing, jobs=len(items))
    assert await wrong(sqlite_store, "onyx", cases) == {}


# ---- a closer look at what has ended

#: documentErrors holds the items as they are; Job.errors has their common part.
COMMON: Table = {
    "document_id": "error.documentId",
    "document_link": "error.url",
    "failure_message": "error.message",
    "is_resolved": "error.isResolved",
    "time_created": "error.at",
}


def examined(number: int, also: Any, found: str, differing: Callable[[Data], Iterable[str]]) -> Case:
    """The job of the one attempt of pair 10, once the closer look has filled the field ``found`` of its details."""
    pages = [payload(name)["items"] for name in ATTEMPTS]
    (item,) = (item for page in pages for item in page if item["id"] == number)
    page = {"items": [item], "total_items": 1}

    def ready(data: Data) -> bool:
        return bool(data["jobs"][0]["details"][found])

    def job_wrong(data: Data) -> Iterable[str]:
        (job,) = data["jobs"]
        return differing(job)

    return onyx(a_pair(10), {10: page}, job_wrong, also, jobs=1, ready=ready)


def errors_wrong(page: dict[str, Any], job: Data) -> Iterator[str]:
    items = page["items"]
    assert job["details"]["documentErrors"] == items
    for item, error in zip(items, job["errors"], strict=True):
        common = {key: item[key] for key in COMMON}
        common["document_id"] = item["document_id"] or item["entity_id"]
        yield from differences("onyx error", {"error": error}, common, COMMON)
    yield from differences("onyx page", {}, {"total_items": page["total_items"]}, {})
    assert page.keys() == {"items", "total_items"}


def stages_wrong(body: dict[str, Any], job: Data) -> list[str]:
    table: Table = {"index_attempt_id": "job.externalId", "stages": "job.details.stageMetrics"}
    return differences("onyx stages", {"job": job}, body, table)


async def test_what_a_closer_look_finds(sqlite_store: Store) -> None:
    page, body = payload(ERRORS), payload(STAGES)
    (attempt,) = {item["index_attempt_id"] for item in page["items"]}
    number = body["index_attempt_id"]
    errors = {"GET /api/manage/admin/cc-pair/10/errors": Reply(page)}
    stages = {
        "GET /api/manage/admin/cc-pair/10/errors": Reply({"items": [], "total_items": 0}),
        f"GET /api/manage/admin/index-attempt/{number}/stage-metrics": Reply(body),
    }
    cases = {
        ERRORS: examined(attempt, errors, "documentErrors", partial(errors_wrong, page)),
        STAGES: examined(number, stages, "stageMetrics", partial(stages_wrong, body)),
    }
    assert await wrong(sqlite_store, "onyx", cases) == {}
