"""What a subscription yields: where it begins, what it reads again from the log, and which changes belong to it.

A feed knows neither clients nor transports. ``connectory.live`` renders its items and hands them out.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, select

from connectory.model import EventKind
from connectory.store.log.cursors import Place
from connectory.store.log.entries import EVENT_COLUMNS, event_record, gap_after
from connectory.store.reads.criteria import event_criteria, lets_through
from connectory.store.reads.filters import EventCriteria
from connectory.store.reads.records import EventRecord, GapRecord, JobRecord, SummaryRecord, SystemRecord
from connectory.store.reads.snapshot import Snapshot
from connectory.store.tables import EVENTS
from connectory.store.tables.identity import JOB, type_of
from resolvers.arguments import NotFound, check_filter, check_list
from resolvers.context import Context
from resolvers.cursors import begin_after, place_in
from resolvers.jobs import job
from resolvers.paging import given
from resolvers.summaries import source_summaries

#: Rows of the log that a replay reads at once.
CHUNK = 100
#: Jobs and connectors that one feed has looked at more often.
_MOST_WATCHED = 100
_JOB_ENDED = EventKind.JOB_FINISHED


@dataclass(frozen=True, slots=True)
class Item:
    """One result before it is rendered. A newer item of the same ``key`` may take its place for a slow reader."""

    record: Any
    position: int
    #: of this position
    cursor: str
    key: Hashable
    is_last: bool = False
    #: the record is no row of the log but stands for all up to here
    is_opening: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """Items in order, and the position of the log up to which they tell everything."""

    items: Sequence[Item]
    position: int
    #: nothing will ever follow
    is_over: bool = False
    #: it speaks of the very position that it was asked for: nobody who has come to another one can be given it
    is_own: bool = False


class Feed:
    """What the resolver of a subscription field gives."""

    #: global ids of the connectors and jobs that it is about; None: it may be any
    about: frozenset[str] | None = None

    @property
    def watched(self) -> frozenset[str]:
        """What shall be looked at more often for its sake; a long list is a filter, not somebody's attention."""
        return self.about if self.about is not None and len(self.about) <= _MOST_WATCHED else frozenset()

    def __aiter__(self) -> AsyncIterator[Any]:
        """GraphQL wants an asynchronous iterable here. A feed is no stream for one client: it is shared."""
        raise TypeError("a feed is not iterated over; connectory.live renders it")


class LogFeed(Feed, ABC):
    """A feed of log rows."""

    #: whether a slow reader is given the newest item alone, rather than all of them later
    coalesces: ClassVar[bool]
    #: without a cursor it begins with what comes from now on, rather than with the present state
    begins_now: ClassVar[bool]
    #: where it begins: what the client has seen already
    cursor: str | None

    @property
    def begins_at(self) -> int:
        """The position of the log that its opening has to show: who hands back a cursor has seen it."""
        return 0 if self.cursor is None else place_in(self.cursor, "after").position

    @abstractmethod
    def after(self, cursor: str | None) -> "LogFeed":
        """The same, begun after ``cursor``. Raises BadUserInput for what is none."""

    @abstractmethod
    async def open(self, ctx: Context) -> Chunk:
        """What a subscriber is given first. Raises NotFound."""

    @abstractmethod
    async def replay(self, ctx: Context, position: int) -> Chunk:
        """The next rows after ``position``."""

    @abstractmethod
    def item(self, event: EventRecord, systems: Mapping[str, SystemRecord]) -> Item | None:
        """A new row as an item; None when it does not belong to the feed. ``systems``: the configured ones, by id."""


@dataclass(frozen=True)
class EventFeed(LogFeed):
    """Rows of the log that ``filter`` lets through."""

    coalesces = False
    begins_now = True

    filter: EventCriteria | None
    cursor: str | None = None

    def __post_init__(self) -> None:
        ids = self.filter and (self.filter.job_ids or self.filter.connector_ids)
        object.__setattr__(self, "about", frozenset(ids) if ids else None)

    def after(self, cursor: str | None) -> "EventFeed":
        return replace(self, cursor=_checked(cursor))

    async def open(self, ctx: Context) -> Chunk:
        snapshot = await ctx.snapshot()
        if self.cursor is None:
            return Chunk([], snapshot.position)
        begin = await begin_after(ctx, self.cursor)
        return Chunk([], begin.position) if begin.gap is None else _gap(begin.gap)

    async def replay(self, ctx: Context, position: int) -> Chunk:
        snapshot = await ctx.snapshot()
        gap = gap_after(snapshot, position)
        if gap is not None:
            return _gap(gap)
        records, position = await _rows(snapshot, event_criteria(self.filter, snapshot), position)
        return Chunk([_item(record) for record in records], position)

    def item(self, event: EventRecord, systems: Mapping[str, SystemRecord]) -> Item | None:
        return _item(event) if lets_through(self.filter, event, systems) else None


@dataclass(frozen=True)
class JobFeed(LogFeed):
    """One job until it has ended."""

    coalesces = True
    begins_now = False

    job_id: str
    cursor: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", frozenset([self.job_id]))

    def after(self, cursor: str | None) -> "JobFeed":
        return replace(self, cursor=_checked(cursor))

    async def open(self, ctx: Context) -> Chunk:
        """Its present state, left out when it has not changed since the cursor."""
        snapshot = await ctx.snapshot()
        record = await _job(ctx, self.job_id)
        if self.cursor is not None and await self._is_unchanged(ctx, self.cursor):
            return Chunk([], snapshot.position, is_over=record.has_ended)
        event = _present(record, snapshot)
        present = Item(event, event.position, event.cursor, self.job_id, is_last=record.has_ended, is_opening=True)
        return Chunk([present], snapshot.position)

    async def replay(self, ctx: Context, position: int) -> Chunk:
        snapshot = await ctx.snapshot()
        records, position = await _rows(snapshot, self._criteria(), position)
        return Chunk([self._item(record) for record in records], position)

    def item(self, event: EventRecord, systems: Mapping[str, SystemRecord]) -> Item | None:
        return self._item(event) if event.job_id == self.job_id and event.system_id in systems else None

    async def _is_unchanged(self, ctx: Context, cursor: str) -> bool:
        """What the log no longer tells, or another one told, may have been a change."""
        begin = await begin_after(ctx, cursor)
        if begin.gap is not None:
            return False
        return not (await _rows(await ctx.snapshot(), self._criteria(), begin.position, limit=1))[0]

    def _criteria(self) -> list[ColumnElement[bool]]:
        return [EVENTS.c.job_id == self.job_id]

    def _item(self, event: EventRecord) -> Item:
        is_last = event.kind is _JOB_ENDED or (event.job_status is not None and event.job_status.ended)
        return Item(event, event.position, event.cursor, self.job_id, is_last)


@dataclass(frozen=True)
class SummaryFeed(Feed):
    """The summaries of some sources, or of all: a state that is counted anew, rather than rows of the log."""

    sources: frozenset[str] | None = None

    async def state(self, ctx: Context) -> tuple[dict[str, SummaryRecord], Place]:
        """The summaries by source, and the place of the log that they show. All feeds over one snapshot share one
        count."""
        snapshot = await ctx.snapshot()

        async def count(keys: list[Any]) -> list[list[SummaryRecord]]:
            return [await source_summaries(ctx, None) for _ in keys]

        counted: list[SummaryRecord] = await ctx.loader("all summaries", count).load("all")
        wanted = [summary for summary in counted if self.sources is None or summary.source in self.sources]
        return {summary.source: summary for summary in wanted}, snapshot.end

    def vanished(self, source: str) -> SummaryRecord:
        """The summary of a source that no connector reads any more."""
        return SummaryRecord(source, 0, 0, 0, 0, 0, 0, None, None, None)


def event_feed(filter: EventCriteria | None, after: str | None) -> EventFeed:
    """What ``Subscription.events`` follows. Raises BadUserInput: too many values, no cursor."""
    check_filter(filter)
    return EventFeed(filter, _checked(after))


def job_feed(job_id: str, after: str | None) -> JobFeed:
    """Raises NotFound for what is no id of a job. Whether there is such a job, its opening finds out."""
    if type_of(job_id) != JOB:
        raise NotFound(f"{job_id!r} is not the id of a job.")
    return JobFeed(job_id, _checked(after))


def summary_feed(sources: Sequence[str] | None) -> SummaryFeed:
    """What ``Subscription.sourceSummaryChanged`` follows. Raises BadUserInput for too many sources."""
    check_list("sources", sources)
    return SummaryFeed(frozenset(sources) if sources else None)


async def _job(ctx: Context, id: str) -> JobRecord:
    found = await job(ctx, id)
    if found is None:
        raise NotFound(f"There is no job with the id {id!r}.")
    return found


def _present(job: JobRecord, snapshot: Snapshot) -> EventRecord:
    """The opening: the job's present state in the shape of an event."""
    return EventRecord(
        typename="JobEvent",
        position=snapshot.position,
        cursor=snapshot.end.cursor,
        at=snapshot.now,
        kind=_JOB_ENDED if job.has_ended else EventKind.JOB_PROGRESSED,
        system_id=job.system_id,
        connector_id=job.connector_id,
        job_id=job.id,
        processed=job.processed,
        message="",
        changed_fields=[],
        job_status=job.status,
        previous_job_status=job.status,
    )


def _item(event: EventRecord) -> Item:
    return Item(event, event.position, event.cursor, event.position)


def _gap(gap: GapRecord) -> Chunk:
    return Chunk([Item(gap, gap.position, gap.cursor, (gap.from_, gap.to))], gap.position, is_own=True)


async def _rows(
    snapshot: Snapshot, criteria: Sequence[ColumnElement[bool]], after: int, limit: int = CHUNK
) -> tuple[list[EventRecord], int]:
    """The next rows, and the position read to: the snapshot's own once there are no more."""
    at = EVENTS.c.position
    newer = select(*EVENT_COLUMNS).where(*criteria, at > after, at <= snapshot.position)
    rows = await snapshot.fetch(newer.order_by(at).limit(limit))
    records = [event_record(row, snapshot.store) for row in rows]
    return records, records[-1].position if len(records) == limit else max(after, snapshot.position)


def _checked(cursor: str | None) -> str | None:
    """The cursor to begin after; None where none is given. Raises BadUserInput for what is no cursor."""
    cursor = given(cursor)
    if cursor is not None:
        place_in(cursor, "after")
    return cursor
