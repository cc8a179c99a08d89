"""The past: a connector's buckets, a system's outages, a job's earlier segments. Each is read for all at once."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import func, select

from connectory.model import CountsFact, SystemErrorCode
from connectory.store.reads import history as past
from connectory.store.reads.history import Span
from connectory.store.reads.records import ConnectorRecord, JobRecord, SystemRecord
from connectory.store.reads.snapshot import Snapshot
from connectory.store.tables import OUTAGES
from resolvers.arguments import BadUserInput
from resolvers.context import Context
from resolvers.paging import Edge, PageArguments, PageInfo, decode_cursor, encode_cursor, is_long, not_ours
from resolvers.timeline import ConnectorPast, HistoryBucketRecord, Watch, moment, timeline, watched
from resolvers.vocabulary import HistoryBucketSize

#: Of one field.
MOST_BUCKETS = 1_000
#: Buckets that are made and shown without a pause: some milliseconds.
_AT_ONCE = 50
_DEFAULT_LENGTH = timedelta(days=7)
_STEPS = {
    HistoryBucketSize.MINUTE: timedelta(minutes=1),
    HistoryBucketSize.HOUR: timedelta(hours=1),
    HistoryBucketSize.DAY: timedelta(days=1),
    HistoryBucketSize.WEEK: timedelta(weeks=1),
}


# ---- connectors


async def connector_history(
    ctx: Context, connector: ConnectorRecord, begin: datetime | None, end: datetime | None, size: HistoryBucketSize
) -> AsyncIterator[HistoryBucketRecord]:
    """Buckets from ``begin`` to ``end``, by default the last seven days, made as they are read. Raises BadUserInput."""
    snapshot = await ctx.snapshot()
    span = _span(begin, end, size, snapshot.now)
    ctx.budget.spend_rows(span.count)

    async def pasts(keys: list[Any]) -> list[ConnectorPast]:
        return await _pasts(snapshot, span, keys)

    kept: ConnectorPast = await ctx.loader(("history", span), pasts).load((connector.id, connector.system_id))
    return _slowly(ctx, timeline(connector, kept, span, snapshot.now))


async def _slowly(ctx: Context, buckets: Iterator[HistoryBucketRecord]) -> AsyncIterator[HistoryBucketRecord]:
    """A few at a time, and one field of the operation after the other: whatever else there is to do goes on between."""
    while True:
        async with ctx.turn:
            await asyncio.sleep(0)
            some = list(islice(buckets, _AT_ONCE))
            for bucket in some:  # GraphQL shows each before it asks for the next
                yield bucket
        if len(some) < _AT_ONCE:
            return


def _span(begin: datetime | None, end: datetime | None, size: HistoryBucketSize, now: datetime) -> Span:
    try:
        end = min(end or now, now)
        span = Span(end - _DEFAULT_LENGTH if begin is None else begin, end, _STEPS[size])
    except OverflowError:
        raise BadUserInput("'to' must be a time that has been.") from None
    if span.begin >= span.end:
        raise BadUserInput("'from' must be before 'to', and before now.")
    if span.count > MOST_BUCKETS:
        raise BadUserInput(f"That would be {span.count:,} buckets; ask for at most {MOST_BUCKETS:,}.")
    return span


async def _pasts(snapshot: Snapshot, span: Span, keys: Sequence[tuple[str, str]]) -> list[ConnectorPast]:
    """What is kept of these connectors, each with its system (global ids)."""
    ids = [id for id, _ in keys]
    states = await _grouped(snapshot, past.states(ids, span))
    jobs = await _grouped(snapshot, past.ended_jobs(ids, span))
    oldest = await _grouped(snapshot, past.oldest_jobs(ids))
    floors = await _grouped(snapshot, past.floors(ids))
    watches = await _watches(snapshot, span, sorted({system for _, system in keys}))
    first = await snapshot.fetch(past.log_begin())
    log_begin = first[0].at if first else None
    return [
        ConnectorPast(
            states=states[id],
            jobs=[(bucket, status, count) for _, bucket, status, count in jobs[id]],
            oldest_job_at=next((moment(order) for _, order in oldest[id]), None),
            removed_until=next((ended or moment(order) for _, order, ended in floors[id]), None),
            watch=watches[system],
            log_begin=log_begin,
        )
        for id, system in keys
    ]


async def _grouped(snapshot: Snapshot, statement: Any) -> Mapping[str, Sequence[Any]]:
    """The rows of ``statement`` by their first column."""
    found = defaultdict(list)
    for row in await snapshot.fetch(statement):
        found[row[0]].append(row)
    return found


async def _watches(snapshot: Snapshot, span: Span, system_ids: Sequence[str]) -> Mapping[str, Watch]:
    rows = await _grouped(snapshot, past.interruptions(system_ids, span))
    found = {}
    for id in system_ids:
        system = snapshot.systems[id]
        lasted = [(row.started_at, row.ended_at or snapshot.now, row) for row in rows[id]]
        outages, unwatched = (
            [each[:2] for each in lasted if bool(each[2].was_asked) is asked] for asked in (True, False)
        )
        if system.next_poll_at is not None and snapshot.now > system.fresh_until(system.next_poll_at):
            unwatched.append((system.next_poll_at, snapshot.now))  # nobody watches it now
        found[id] = watched(span, outages, unwatched)
    return found


# ---- jobs


@dataclass(slots=True)
class JobSegmentRecord:
    """What a job had done before it was resumed and counted anew."""

    started_at: datetime | None
    ended_at: datetime | None
    processed: int | None
    counts: CountsFact


async def earlier_segments(ctx: Context, job: JobRecord) -> list[JobSegmentRecord]:
    """Oldest first."""
    snapshot = await ctx.snapshot()

    async def segments(ids: list[Any]) -> list[Sequence[Any]]:
        found = await _grouped(snapshot, past.segments(ids))
        return [found[id] for id in ids]

    rows: Sequence[Any] = await ctx.loader("segments", segments).load(job.id)
    ctx.budget.spend_rows(len(rows))
    return [
        JobSegmentRecord(
            row.started_at,
            row.ended_at,
            row.processed,
            CountsFact._make(map(counts.get, CountsFact._fields)),
        )
        for row in rows
        for counts in [json.loads(row.counts)]
    ]


# ---- systems


@dataclass(slots=True)
class OutageRecord:
    """A time in which a system did not answer."""

    started_at: datetime
    ended_at: datetime | None
    code: SystemErrorCode
    message: str


@dataclass(slots=True)
class OutageConnection:
    """A page of outages; the rest is counted only when asked for."""

    edges: list[Edge]
    nodes: list[OutageRecord]
    page_info: PageInfo
    _ctx: Context
    _system_id: str

    async def total_count(self) -> int:
        """Of all that are kept."""
        snapshot = await self._ctx.snapshot()

        async def counts(ids: list[Any]) -> list[int]:
            column = OUTAGES.c.system_id
            statement = select(column, func.count()).where(column.in_(ids)).group_by(column)
            found = {row[0]: row[1] for row in await snapshot.fetch(statement)}
            return [found.get(id, 0) for id in ids]

        count: int = await self._ctx.loader("outage count", counts).load(self._system_id)
        return count


async def outages(ctx: Context, system: SystemRecord, first: int | None, after: str | None) -> OutageConnection:
    """Newest first: in the order of their ids, which are given as they begin."""
    page = PageArguments(first=first, after=after)
    page.check()
    snapshot = await ctx.snapshot()
    start = None if page.after is None else _outage_position(page.after, system, snapshot.store)
    o = OUTAGES.c

    async def pages(ids: list[Any]) -> list[list[Any]]:
        place = func.row_number().over(partition_by=o.system_id, order_by=o.id.desc()).label("place")
        older = [o.system_id.in_(ids), *([] if start is None else [o.id < start])]
        ranked = select(OUTAGES, place).where(*older).subquery()
        wanted = select(ranked).where(ranked.c.place <= page.size + 1).order_by(ranked.c.id.desc())
        found = defaultdict(list)
        for row in await snapshot.fetch(wanted):
            found[row.system_id].append(row)
        return [found[id] for id in ids]

    rows: list[Any] = await ctx.loader(("outages", page), pages).load(system.id)
    more, rows = len(rows) > page.size, rows[: page.size]
    ctx.budget.spend_rows(len(rows))
    nodes = [OutageRecord(row.started_at, row.ended_at, row.code, row.message) for row in rows]
    cursors = [encode_cursor("outages", row.id, system.id, snapshot.store) for row in rows]
    edges = [Edge(cursor, node) for cursor, node in zip(cursors, nodes, strict=True)]
    start_cursor, end_cursor = (edges[0].cursor, edges[-1].cursor) if edges else (None, None)
    return OutageConnection(
        edges, nodes, PageInfo(more, page.after is not None, start_cursor, end_cursor), ctx, system.id
    )


def _outage_position(cursor: str, system: SystemRecord, store: int) -> int:
    position, of = decode_cursor(cursor, "outages", "after", store)
    if not is_long(position):
        raise not_ours("after")
    if of != system.id:
        raise BadUserInput("'after' is a cursor of another system's outages.")
    return int(position)
