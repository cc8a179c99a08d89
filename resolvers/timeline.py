"""A connector's past in buckets, folded from what the log and the jobs tell. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connectory.model import SUCCEEDED, ConnectorHealth, ConnectorStatus, EventKind, JobStatus
from connectory.store.history import BADNESS, Span
from connectory.store.records import ConnectorRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BY_BADNESS = {bad: health for health, bad in BADNESS.items()}


@dataclass(slots=True)
class HistoryBucketRecord:
    from_: datetime
    to: datetime
    status: ConnectorStatus | None = None
    health: ConnectorHealth | None = None
    worst_health: ConnectorHealth | None = None
    docs_indexed: int | None = None
    jobs_succeeded: int | None = None
    jobs_failed: int | None = None
    jobs_other: int | None = None
    system_down_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """A connector at one moment."""

    status: ConnectorStatus
    health: ConnectorHealth
    docs_indexed: int | None


@dataclass(frozen=True, slots=True)
class Past:
    """What the store keeps of one connector's past."""

    #: of the log, see store.history.states
    states: Sequence[Any]
    #: (bucket, status, jobs)
    jobs: Sequence[tuple[int, JobStatus, int]]
    #: created_order of the oldest job that is kept; of the newest that was removed
    oldest_job: int | None
    job_floor: int | None
    #: (began, ended) of its system's outages
    outages: Sequence[tuple[datetime, datetime | None]]
    #: time of the oldest row of the log; None when it is empty
    log_begin: datetime | None


def timeline(connector: ConnectorRecord, past: Past, span: Span, now: datetime) -> list[HistoryBucketRecord]:
    """The buckets of ``span``, oldest first. What nothing is known of is None."""
    known_from, state = _before(connector, past, now)
    jobs_from = _jobs_from(past, known_from)
    last = {row.bucket: row for row in past.states if row.from_last == 1}
    if (earlier := last.get(-1)) is not None:
        state = _after(earlier)
    jobs = _tallies(past.jobs)
    found = []
    for place in range(span.count):
        record = HistoryBucketRecord(*span.bounds(place))
        if record.to > known_from:
            row = last.get(place)
            badness = [] if state is None else [BADNESS[state.health]]
            if row is not None:
                badness, state = [*badness, row.worst], _after(row)
            if state is not None:
                record.status, record.health, record.docs_indexed = state.status, state.health, state.docs_indexed
            record.worst_health = _BY_BADNESS[max(badness)] if badness else None
            record.system_down_seconds = _down(past.outages, record, now)
        if record.to > jobs_from:
            record.jobs_succeeded, record.jobs_failed, record.jobs_other = jobs.get(place, (0, 0, 0))
        found.append(record)
    return found


def _before(connector: ConnectorRecord, past: Past, now: datetime) -> tuple[datetime, State | None]:
    """From when on the log knows of the connector, and how it was then; None for its state: not there."""
    log_begin = past.log_begin or now
    if not past.states:  # nothing has changed for as long as the log goes back
        there = connector.removed_at is None
        return log_begin, State(connector.status, connector.health, connector.docs_indexed) if there else None
    first = past.states[0]
    if first.previous_status is None:
        return first.at, None
    if first.kind is EventKind.CONNECTOR_ADDED:
        return log_begin, None
    docs = None if "docsIndexed" in (first.changed_fields or "").split(",") else first.processed
    return log_begin, State(ConnectorStatus(first.previous_status), ConnectorHealth(first.previous_health), docs)


def _after(row: Any) -> State | None:
    if row.removed > row.added:
        return None
    return State(ConnectorStatus(row.status), ConnectorHealth(row.health), row.processed)


def _jobs_from(past: Past, known_from: datetime) -> datetime:
    """From when on all jobs are kept."""
    if past.job_floor is not None:
        return _EPOCH + timedelta(microseconds=past.job_floor)
    if past.oldest_job is None:
        return known_from
    return min(known_from, _EPOCH + timedelta(microseconds=past.oldest_job))


def _tallies(jobs: Sequence[tuple[int, JobStatus, int]]) -> Mapping[int, tuple[int, int, int]]:
    """Per bucket how many succeeded, failed, and ended otherwise."""
    found: dict[int, tuple[int, int, int]] = {}
    for bucket, status, count in jobs:
        succeeded, failed, other = found.get(bucket, (0, 0, 0))
        if status in SUCCEEDED:
            succeeded += count
        elif status is JobStatus.FAILED:
            failed += count
        else:
            other += count
        found[bucket] = (succeeded, failed, other)
    return found


def _down(outages: Sequence[tuple[datetime, datetime | None]], record: HistoryBucketRecord, now: datetime) -> float:
    """Seconds of the bucket that outages cover."""
    overlaps = (min(ended or now, record.to) - max(began, record.from_) for began, ended in outages)
    return sum(max(0.0, overlap.total_seconds()) for overlap in overlaps)
