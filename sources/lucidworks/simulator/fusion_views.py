"""The simulated Fusion's payloads (lucidworks.md §11), over the same data sources."""

from datetime import UTC, datetime
from typing import Any

from sources.lucidworks.simulator.crawls import Crawl, DataSource
from sources.lucidworks.simulator.views import date

OWNER = "09f00000-0000-4000-8000-000000000001"
STATUS = {
    "FINISHED": "success",
    "EXCEPTION": "failed",
    "STOPPED": "aborted",
    "ABORTED": "aborted",
}


def zulu(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch(moment: datetime) -> int:
    """Milliseconds."""
    return int(moment.timestamp() * 1000)


def data_source(source: DataSource) -> dict[str, Any]:
    return {
        "id": source.key,
        "created": zulu(source.created),
        "modified": zulu(source.created),
        "connector": source.crawler,
        "type": source.type,
        "pipeline": f"{source.collection}-default",
        "properties": {"collection": source.collection, **source.settings},
    }


def counters(crawl: Crawl) -> dict[str, int]:
    counts = crawl.counts
    failed, deleted = counts["failed"], counts["deleted"]
    return {
        "input": crawl.total,
        "output": crawl.total - failed - deleted,
        "new": counts["new"] + counts["updated"],
        "deleted": deleted,
        "skipped": crawl.total - failed - deleted - counts["new"] - counts["updated"],
        "failed": failed,
    }


def _extra(source: DataSource, crawl: Crawl) -> dict[str, Any]:
    extra: dict[str, Any] = {"datasourceId": source.key, "startTime": epoch(crawl.started)}
    if crawl.stopped:
        extra["endTime"] = epoch(crawl.stopped)
    if crawl.message:
        extra["exception"] = crawl.message
    extra |= {f"counter.{name}": number for name, number in counters(crawl).items()}
    return extra | {"counter.other.pipeline.in": crawl.total}


def _status(crawl: Crawl | None) -> str:
    return STATUS.get(crawl.state, "running") if crawl else "ready"


def job(source: DataSource) -> dict[str, Any]:
    """An entry of the job list."""
    crawl = source.crawl
    entry: dict[str, Any] = {
        "resource": f"datasource:{source.key}",
        "enabled": True,
        "startedBy": OWNER,
        "status": _status(crawl),
        "extra": _extra(source, crawl) if crawl else {},
    }
    if crawl:
        entry["lastStartTime"] = zulu(crawl.started)
        if crawl.stopped:
            entry["lastEndTime"] = zulu(crawl.stopped)
    return entry


def history(source: DataSource) -> list[dict[str, Any]]:
    """Ended runs, the latest first."""
    return [
        {
            "resource": f"datasource:{source.key}",
            "runId": run_id(crawl),
            "startTime": zulu(crawl.started),
            "endTime": zulu(crawl.stopped or crawl.started),
            "status": _status(crawl),
            "extra": _extra(source, crawl),
        }
        for crawl in reversed(source.history)
    ]


def run_id(crawl: Crawl) -> str:
    return f"K3p9{crawl.number:06d}"


def schedule(source: DataSource) -> dict[str, Any]:
    start = zulu(source.created)
    return {
        "resource": f"datasource:{source.key}",
        "enabled": True,
        "triggers": [
            {"type": "cron", "enabled": source.scheduled, "expression": "0 0 2 * * ?"},
            {"type": "interval", "enabled": False, "startTime": start, "interval": 1, "timeUnit": "day"},
        ],
        "default": False,
    }


def connector_job_1(source: DataSource, crawl: Crawl) -> dict[str, Any]:
    """Fusion 1 to 4."""
    return {
        "id": source.key,
        "dataSourceId": source.key,
        "state": "FAILED" if crawl.state == "EXCEPTION" else crawl.state,
        "message": crawl.message,
        "startTime": epoch(crawl.started),
        "endTime": epoch(crawl.stopped) if crawl.stopped else None,
        "counters": counters(crawl),
    }


def history_1(source: DataSource) -> list[dict[str, Any]]:
    """Fusion 1 to 4."""
    return [
        {
            "id": source.key,
            "message": crawl.message,
            "crawl_started": date(crawl.started),
            "crawl_stopped": date(crawl.stopped),
            "crawl_state": crawl.state,
            "pipeline": {"stats": {"counters": {k: v for k, v in counters(crawl).items() if k in ("input", "output")}}},
        }
        for crawl in source.history
    ]


def cumulative(source: DataSource) -> dict[str, int]:
    sums = {
        name: sum(counters(crawl)[name] for crawl in source.history)
        for name in ("input", "skipped", "failed", "output")
    }
    milliseconds = sum(epoch(crawl.stopped or crawl.started) - epoch(crawl.started) for crawl in source.history)
    return {"total_time": milliseconds, "total_runs": len(source.history), **sums}


def connector_job_5(source: DataSource, crawl: Crawl, now: datetime) -> dict[str, Any]:
    """Fusion 5: the job's state outside, the crawl's inside."""
    outer = {"FINISHED": "SUCCESS", "EXCEPTION": "FAILED", "STOPPED": "ABORTED"}.get(crawl.state, crawl.state)
    counted = counters(crawl)
    numbers = {"pipeline.in": counted["input"]}
    extra: dict[str, Any] = {
        "connectorType": f"lucidworks.{source.type}",
        "timers": {},
        "counters": {},
        "configId": source.key,
        "startTime": epoch(crawl.started),
        "id": run_id(crawl),
        "state": crawl.state,
    }
    if crawl.stopped:
        numbers |= {
            "fetch.plugin-response.document": counted["input"],
            "content-indexer.completed.count": counted["output"],
            "pipeline.out": counted["output"],
        }
        extra["timers"] = {"fetch.item.add.time": {"meanRate": 1.5, "count": str(counted["input"])}}
        extra |= {"endTime": epoch(crawl.stopped), "currentBlockId": "3ab", "previousBlockId": "3aa"}
    extra["counters"] = {name: {"count": number} for name, number in numbers.items()}
    return {
        "resource": f"datasource:{source.key}",
        "runId": run_id(crawl),
        "startTime": epoch(crawl.started),
        "state": outer,
        "time": epoch(crawl.stopped or now),
        "error": crawl.message,
        "extra": extra,
    }
