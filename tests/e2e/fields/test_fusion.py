"""Every field of Fusion's jobs, in the five shapes that its versions send."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from connectory.store import Store
from tests.e2e.fields.comparison import Place, Table, differences, under
from tests.e2e.fields.probe import Case, Data, by_external_id, examples, payload, wrong
from tests.sources.canned import Reply

FUSION = "lucidworks/fusion"
LIST, HISTORY = f"{FUSION}/jobs.list.response.json", f"{FUSION}/jobs.history.response.json"
OLD_HISTORY = f"{FUSION}/v1_history.entries.response.json"
OLD_JOBS, NEW_JOBS = examples(f"{FUSION}/v1_job.*.response.json"), examples(f"{FUSION}/v5_job.*.response.json")
EXERCISED = {LIST, HISTORY, OLD_HISTORY, *OLD_JOBS, *NEW_JOBS}


def resource(path: str) -> Place:
    return Place(path, lambda sent: str(sent).removeprefix("datasource:"))


#: An entry of the list: of its data source, and where there was a run, of that.
SOURCE: Table = {
    "resource": (resource("connector.externalId"), "connector.details.extra.resource"),
    "enabled": "connector.details.extra.enabled",
    "startedBy": "connector.details.extra.startedBy",
    "status": ("connector.details.crawlState", "connector.upstreamStatus"),
}
COUNTERS = ("input", "output", "new", "deleted", "skipped", "failed", "other.pipeline.in")
RUN: Table = {
    "resource": resource("job.connector.externalId"),
    "runId": "job.details.extra.runId",
    "status": ("job.details.crawlState", "job.upstreamStatus"),
    "startTime": "job.startedAt",
    "endTime": "job.completedAt",
    "lastStartTime": "job.startedAt",
    "lastEndTime": "job.completedAt",
    **{f"extra.counter.{name}": f"job.details.extra.counters.{name}" for name in COUNTERS},
    "extra.exception": ("job.errorMessage", "job.details.extra.exception"),
    **under("job.details.extra", **{f"extra.{key}": key for key in ("datasourceId", "startTime", "endTime")}),
}
OLD_JOB: Table = {
    "id": "job.connector.externalId",
    "dataSourceId": "job.connector.externalId",
    "state": ("job.details.crawlState", "job.upstreamStatus"),
    "message": "job.errorMessage",
    "startTime": "job.startedAt",
    "endTime": "job.completedAt",
    "counters": Place("job.details.extra", lambda sent: {"counters": sent} if sent else None),
}
NEW_JOB: Table = {
    "resource": (resource("job.connector.externalId"), "job.connector.details.extra.resource"),
    "runId": "job.details.extra.runId",
    "startTime": "job.startedAt",
    "state": ("job.details.crawlState", "job.upstreamStatus"),
    "time": "job.details.extra.time",
    "error": "job.errorMessage",
    "extra.counters": Place(
        "job.details.extra.counters", lambda sent: {name: value["count"] for name, value in sent.items()}
    ),
    "extra.endTime": ("job.completedAt", "job.details.extra.endTime"),
    **under(
        "job.details.extra",
        **{
            f"extra.{key}": key
            for key in (
                "connectorType", "timers", "configId", "startTime", "id", "state", "currentBlockId", "previousBlockId",
            )
        },
    ),
}  # fmt: skip
OLD_RUN: Table = {
    "id": "job.connector.externalId",
    "message": "job.errorMessage",
    "crawl_started": "job.startedAt",
    "crawl_stopped": "job.completedAt",
    "crawl_state": ("job.details.crawlState", "job.upstreamStatus"),
    "pipeline.stats.counters": "job.details.extra.counters",
}


def fusion(answers: dict[str, Any], differing: Callable[[Data], Iterable[str]], *, jobs: int = 1) -> Case:
    """Answers by their path below /api."""
    given = {f"GET /api{path}": Reply(answer) for path, answer in answers.items()}
    return Case(answers=given, settings={"below": "/api", "dialect": "fusion"}, jobs=jobs, wrong=differing)


def list_wrong(entries: list[Any], ran: list[Any], data: Data) -> Iterator[str]:
    connectors = by_external_id(data["connectors"])
    jobs = {job["connector"]["externalId"]: job for job in data["jobs"]}
    for entry in entries:
        name = entry["resource"].removeprefix("datasource:")
        standing = {key: value for key, value in entry.items() if key in SOURCE}
        yield from differences("fusion job", {"connector": connectors[name]}, standing, SOURCE)
        run = {key: value for key, value in entry.items() if key not in ("enabled", "startedBy")}
        if name in jobs:
            yield from differences("fusion job", {"job": jobs[name]}, run, RUN)
        else:
            assert run.keys() - SOURCE.keys() == {"extra"}
            assert run["extra"] == {}
    assert len(jobs) == len(ran) == len(data["jobs"])


def job_wrong(about: str, body: Any, table: Table, data: Data) -> list[str]:
    (job,) = data["jobs"]
    return differences(about, {"job": job}, body, table)


DOCS = {"/connectors/datasources": [{"id": "docs", "type": "web"}]}


async def test_jobs(sqlite_store: Store) -> None:
    entries, (run,), (old_run,) = payload(LIST), payload(HISTORY), payload(OLD_HISTORY)
    ran = [entry for entry in entries if "lastStartTime" in entry]
    cases = {
        LIST: fusion({"/jobs": entries}, partial(list_wrong, entries, ran), jobs=len(ran)),
        HISTORY: fusion(
            {**DOCS, "/jobs": [], "/jobs/datasource:docs/history": [run]}, partial(job_wrong, "fusion run", run, RUN)
        ),
        OLD_HISTORY: fusion(
            {**DOCS, "/connectors/jobs/docs": None, "/connectors/history/docs": [old_run]},
            partial(job_wrong, "fusion run", old_run, OLD_RUN),
        ),
    }
    for example in (*OLD_JOBS, *NEW_JOBS):
        body, table = payload(example), OLD_JOB if example in OLD_JOBS else NEW_JOB
        cases[example] = fusion({**DOCS, "/connectors/jobs/docs": body}, partial(job_wrong, "fusion job", body, table))
    assert await wrong(sqlite_store, "lucidworks", cases) == {}
