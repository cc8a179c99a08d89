"""The simulated LucidWorks Search's payloads (lucidworks.md §2 to §8), as one build or another shows them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sources.lucidworks.simulator.crawls import COUNTERS, Crawl, DataSource

#: What an older server leaves out of its history.
_YOUNGER = ("num_access_denied", "num_filter_denied", "num_robots_denied", "batch_job", "job_id")


@dataclass(frozen=True)
class Build:
    """In what servers differ, where the pages and what was seen disagree or are silent (§13)."""

    #: it answers for ``all`` data sources of a collection
    bulk: bool = True
    #: errors come in the documented envelope, not as a bare array
    envelope: bool = True
    #: ids are text of 32 hexadecimal digits, not numbers
    text_ids: bool = False
    #: what the status of one that never ran is
    never_run: Literal["idle", "missing", "null", "empty"] = "idle"
    #: its history leaves out counters
    short_history: bool = False
    #: Fusion 5 with its job API, or Fusion 1 with connector jobs only
    fusion: Literal[1, 5] = 5

    def id(self, source: DataSource) -> int | str:
        return f"{source.id:032x}" if self.text_ids else source.id

    def source_of(self, text: str) -> int | None:
        """The number behind an id in a path."""
        try:
            return int(text, 16) if self.text_ids else int(text)
        except ValueError:
            return None


def date(moment: datetime | None) -> str | None:
    """No colon in the offset, no fraction (§6)."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}+0000" if moment else None


def collection(name: str) -> dict[str, Any]:
    return {"name": name, "instance_dir": name}


def data_source(source: DataSource, build: Build) -> dict[str, Any]:
    return {
        "id": build.id(source),
        "type": source.type,
        "crawler": source.crawler,
        "name": source.name,
        "category": source.category,
        "collection": source.collection,
        "max_docs": -1,
        "commit_on_finish": True,
        "commit_within": 900000,
        "caching": False,
        "parsing": True,
        "indexing": True,
        "mapping": None,
        **source.settings,
    }


def status(source: DataSource, crawl: Crawl | None, build: Build) -> dict[str, Any]:
    """The status of a crawl; of none, what one that never ran is told to have."""
    counts = crawl.counts if crawl else None
    entry: dict[str, Any] = {
        "batch_job": False,
        "crawl_started": date(crawl.started) if crawl else None,
        "crawl_state": crawl.state if crawl else "IDLE",
        "crawl_stopped": date(crawl.stopped) if crawl else None,
        "id": build.id(source),
        "job_id": str(build.id(source)),
        "message": crawl.message if crawl else None,
        **{f"num_{name}": number for name, number in (counts or dict.fromkeys(COUNTERS, 0)).items()},
        "num_total": crawl.total if crawl else 0,
    }
    if crawl and crawl.exception:
        entry["exception"] = crawl.exception
    return dict(sorted(entry.items()))


def history(source: DataSource, build: Build) -> list[dict[str, Any]]:
    """Ended runs, oldest first; here ``job_id`` is a number (§4)."""
    entries = []
    for crawl in source.history:
        entry = status(source, crawl, build)
        entry["job_id"] = build.id(source)
        entries.append({key: value for key, value in entry.items() if not build.short_history or key not in _YOUNGER})
    return entries


def schedule(source: DataSource) -> dict[str, Any]:
    return source.schedule or {"start_time": None, "period": 0, "type": "crawl", "active": False}
