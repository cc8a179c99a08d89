"""The past: a connector's buckets, a system's outages, a job's earlier stretches. Each is read for all at once."""

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from connectory.model import SystemErrorCode
from connectory.store import history as past
from connectory.store.history import Span
from connectory.store.records import ConnectorRecord, CountsRecord, JobRecord, SystemRecord
from connectory.store.tables import OUTAGES
from resolvers.context import Context
from resolvers.errors import BadUserInput
from resolvers.lists import ROOT
from resolvers.paging import Edge, PageArguments, PageInfo, decode_cursor, encode_cursor, is_long, not_ours
from resolvers.timeline import HistoryBucketRecord, Past, timeline
from resolvers.vocabulary import HistoryBucketSize

MOST_BUCKETS = 1_000
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
) -> list[HistoryBucketRecord]:
    """Buckets from ``begin`` to ``end``, by default the last seven days. Raises BadUserInput."""
    snapshot = await ctx.snapshot()
    span = _span(begin, end, size, snapshot.now)
    states, jobs, bounds, outages, log_begin = await asyncio.gather(
        _grouped(ctx, "states", span, past.states, connector.id),
        _grouped(ctx, "ended jobs", span, past.ended_jobs, connector.id),
        _grouped(ctx, "job bounds", span, lambda ids, _: past.job_bounds(ids), connector.id),
        _grouped(ctx, "outages", span, past.outages_within, connector.system_id),
        _log_begin(ctx),
    )
    floors = {is_floor: order for _, order, is_floor in bounds}
    kept = Past(
        states=states,
        jobs=[(bucket, status, count) for _, bucket, status, count in jobs],
        oldest_job=floors.get(0),
        job_floor=floors.get(1),
        outages=[(began, ended) for _, began, ended in outages],
        log_begin=log_begin,
    )
    return timeline(connector, kept, span, snapshot.now)


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


async def _grouped(ctx: Context, name: str, span: Span, statement: Any, key: str) -> list[Any]:
    """The rows of ``statement`` whose first column is ``key``."""
    snapshot = await ctx.snapshot()

    async def rows(keys: list[Any]) -> list[list[Any]]:
        found = defaultdict(list)
        for row in await snapshot.fetch(statement(keys, span)):
            found[row[0]].append(row)
        return [found[each] for each in keys]

    grouped: list[Any] = await ctx.loader(("history", name, span), rows).load(key)
    return grouped


async def _log_begin(ctx: Context) -> datetime | None:
    snapshot = await ctx.snapshot()

    async def read(keys: list[Any]) -> list[datetime | None]:
        found = await snapshot.fetch(past.log_begin())
        return [found[0].at if found else None for _ in keys]

    begin: datetime | None = await ctx.loader(("history", "log begin"), read).load(ROOT)
    return begin


# ---- jobs


@dataclass(slots=True)
class JobStretchRecord:
    started_at: datetime | None
    ended_at: datetime | None
    processed: int | None
    counts: CountsRecord


async def earlier_stretches(ctx: Context, job: JobRecord) -> list[JobStretchRecord]:
    """Oldest first."""
    rows = await _grouped(ctx, "stretches", ROOT, lambda ids, _: past.stretches(ids), job.id)  # type: ignore[arg-type]
    names = CountsRecord.__dataclass_fields__
    return [
        JobStretchRecord(
            row.started_at,
            row.ended_at,
            row.processed,
            CountsRecord(**{name: counts.get(name) for name in names}),
        )
        for row in rows
        for counts in [json.loads(row.counts)]
    ]


# ---- systems


@dataclass(slots=True)
class OutageRecord:
    started_at: datetime
    ended_at: datetime | None
    code: SystemErrorCode
    message: str


@dataclass(slots=True)
class OutageConnection:
    edges: list[Edge]
    nodes: list[OutageRecord]
    page_info: PageInfo
    _ctx: Context
    _system_id: str

    async def total_count(self) -> int:
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
    start = None if after is None else _outage_position(after, system)
    snapshot = await ctx.snapshot()
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
    nodes = [OutageRecord(row.started_at, row.ended_at, row.code, row.message) for row in rows]
    edges = [Edge(encode_cursor("outages", row.id, system.id), node) for row, node in zip(rows, nodes, strict=True)]
    start_cursor, end_cursor = (edges[0].cursor, edges[-1].cursor) if edges else (None, None)
    return OutageConnection(edges, nodes, PageInfo(more, after is not None, start_cursor, end_cursor), ctx, system.id)


def _outage_position(cursor: str, system: SystemRecord) -> int:
    position, of = decode_cursor(cursor, "outages", "after")
    if not is_long(position):
        raise not_ours("after")
    if of != system.id:
        raise BadUserInput("'after' is a cursor of another system's outages.")
    return int(position)
