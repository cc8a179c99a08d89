"""A crawl, whichever dialect told of it, and how tellings of the same crawl go together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from connectory.model import CountsFact, JobFact, JobStatus
from sources.reading import details, instant


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was told of one crawl. ``word`` is the upstream's word for its state."""

    word: str
    status: JobStatus
    started: datetime
    stopped: datetime | None = None
    counts: CountsFact = field(default_factory=CountsFact)
    #: documents in the index after it; None while it runs
    docs_in_index: int | None = None
    message: str | None = None
    batch_job: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status.ended or self.stopped is not None

    def job(self, source: str) -> JobFact:
        return JobFact(
            external_id=job_id(source, self.started),
            connector=source,
            status=self.status,
            upstream_status=self.word,
            counts=self.counts,
            processed=self.counts.total,
            started_at=self.started,
            completed_at=self.stopped,
            error_message=self.message,
            order_at=self.started,
            docs_in_index=self.docs_in_index,
            details=details(
                "LucidworksJobDetails",
                {"batch_job": self.batch_job, "crawl_state": self.word, "extra": dict(self.extra) or None},
            ),
        )


@dataclass(frozen=True)
class RunHistory:
    """The ended runs of one data source that the upstream still serves, and what of them could not be read."""

    runs: tuple[Run, ...] = ()
    complaints: tuple[str, ...] = ()


def job_id(source: str, started: datetime) -> str:
    """``<connector>@<crawl_started>``: nothing else names a crawl (lucidworks.md §8).

    In whole seconds, which is all that some answers tell of the same moment; a source has one crawl at a time.
    """
    return f"{source}@{started.astimezone(UTC):%Y-%m-%dT%H:%M:%S}+0000"


def started_of(job: str | None) -> datetime | None:
    """The moment in a job's id."""
    return instant(job.rpartition("@")[2]) if job and "@" in job else None


def merged(present: Run | None, past: Iterable[Run]) -> list[Run]:
    """All runs, newest first, each once. What both tell of a run is taken from the present, which tells more."""
    runs: dict[str, Run] = {}
    for run in past:
        runs[job_id("", run.started)] = run
    if present is not None:
        key = job_id("", present.started)
        earlier = runs.get(key)
        # history is read after the present state: a run that has ended since then is told best by it
        outdated = earlier is not None and earlier.ended and not present.ended
        if earlier is None:
            runs[key] = present
        elif not outdated:
            runs[key] = _over(present, earlier)
    return sorted(runs.values(), key=lambda run: run.started, reverse=True)


def _over(upper: Run, lower: Run) -> Run:
    """``upper``, with what only ``lower`` tells."""
    numbers = upper.counts._asdict()
    counts = {name: getattr(lower.counts, name) if number is None else number for name, number in numbers.items()}
    return replace(
        upper,
        stopped=upper.stopped or lower.stopped,
        counts=CountsFact(**counts),
        docs_in_index=lower.docs_in_index if upper.docs_in_index is None else upper.docs_in_index,
        message=upper.message or lower.message,
        batch_job=lower.batch_job if upper.batch_job is None else upper.batch_job,
        extra={**lower.extra, **upper.extra},
    )
