"""A connector's past in buckets, folded from what the log and the jobs tell. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connectory.model import SUCCEEDED, ConnectorHealth, ConnectorStatus, EventKind, JobStatus
from connectory.store.reads.history import BADNESS, Span
from connectory.store.reads.records import ConnectorRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BY_BADNESS = {bad: health for health, bad in BADNESS.items()}


@dataclass(slots=True)
class HistoryBucketRecord:
    """A connector in one bucket of time; None where nothing is known."""

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


Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Watch:
    """How a system was asked, bucket by bucket."""

    #: seconds for which it was asked and did not answer
    down: Sequence[float]
    #: buckets in all of which nobody asked it
    unwatched: Set[int]
    #: bucket at whose begin nobody asked it → when somebody did again
    resumed: Mapping[int, datetime]


@dataclass(frozen=True, slots=True)
class ConnectorPast:
    """What the store keeps of one connector's past."""

    #: of the log, see store.history.states
    states: Sequence[Any]
    #: (bucket, status, jobs)
    jobs: Sequence[tuple[int, JobStatus, int]]
    #: where the oldest job stands that is kept; the latest end of those that were removed
    oldest_job_at: datetime | None
    removed_until: datetime | None
    #: of its system
    watch: Watch
    #: time of the oldest row of the log; None when it is empty
    log_begin: datetime | None


def watched(span: Span, outages: Iterable[Interval], unwatched: Sequence[Interval]) -> Watch:
    """Each in the order of time, and none overlaps another of its own."""
    down, without, resumed = [0.0] * span.count, set(), {}
    for bucket, began, ended in _pieces(span, _cut(outages, unwatched)):
        down[bucket] += (ended - began).total_seconds()
    for bucket, began, ended in _pieces(span, unwatched):
        begin, end = span.bounds(bucket)
        if (began, ended) == (begin, end):
            without.add(bucket)
        elif began == begin:
            resumed[bucket] = ended
    return Watch(down, without, resumed)


def _cut(intervals: Iterable[Interval], holes: Sequence[Interval]) -> Iterator[Interval]:
    """What is left of the intervals."""
    ends = [end for _, end in holes]
    for begin, ended in intervals:
        began = begin
        for hole in holes[bisect_right(ends, begin) :]:
            if hole[0] >= ended:
                break
            if hole[0] > began:
                yield began, hole[0]
            began = hole[1]
        if began < ended:
            yield began, ended


def _pieces(span: Span, intervals: Iterable[Interval]) -> Iterator[tuple[int, datetime, datetime]]:
    """The intervals as far as they lie in the span, cut where its buckets end."""
    for begin, end in intervals:
        began, ended = max(begin, span.begin), min(end, span.end)
        while began < ended:
            bucket = span.place(began)
            cut = min(ended, span.bounds(bucket)[1])
            yield bucket, began, cut
            began = cut


def timeline(
    connector: ConnectorRecord, past: ConnectorPast, span: Span, now: datetime
) -> Iterator[HistoryBucketRecord]:
    """The buckets of ``span``, oldest first. What nothing is known of is None."""
    known_from, state = _before(connector, past, now)
    jobs_from = min(known_from, past.oldest_job_at or known_from)
    last = {row.bucket: row for row in past.states if row.from_last == 1}
    if (earlier := last.get(-1)) is not None:
        state = _after(earlier)
    jobs = _tallies(past.jobs)
    for place in range(span.count):
        record, row = HistoryBucketRecord(*span.bounds(place)), last.get(place)
        is_watched, resumed = place not in past.watch.unwatched, past.watch.resumed.get(place)
        # while nobody watched, it need not have stayed as it was
        holds = resumed is None or row is None or row.first_at > resumed
        badness = [BADNESS[state.health]] if state is not None and holds else []
        if row is not None:
            badness, state = [*badness, row.worst], _after(row)
        if record.to > known_from and is_watched:
            if state is not None:
                record.status, record.health, record.docs_indexed = state.status, state.health, state.docs_indexed
            record.worst_health = _BY_BADNESS[max(badness)] if badness else None
            record.system_down_seconds = past.watch.down[place]
        if record.from_ > past.removed_until if past.removed_until else record.to > jobs_from:
            # of what nobody watched, what was told later is known
            tally = jobs.get(place, (0, 0, 0) if is_watched else (None, None, None))
            record.jobs_succeeded, record.jobs_failed, record.jobs_other = tally
        yield record


def _before(connector: ConnectorRecord, past: ConnectorPast, now: datetime) -> tuple[datetime, State | None]:
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


def moment(order: int) -> datetime:
    """A job's place, ``created_order``, as a time."""
    return _EPOCH + timedelta(microseconds=order)


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
