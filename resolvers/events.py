"""The change log, page by page, for those who poll it."""

from dataclasses import dataclass

from sqlalchemy import select

from connectory.store.log.entries import EVENT_COLUMNS, event_record
from connectory.store.reads.criteria import event_criteria
from connectory.store.reads.filters import EventCriteria
from connectory.store.reads.records import ConnectorRecord, EventRecord, GapRecord, JobRecord, SystemRecord
from connectory.store.tables import EVENTS
from resolvers.arguments import check_filter
from resolvers.connectors import connector
from resolvers.context import Context
from resolvers.cursors import Begin, begin_after, end_before, place_at
from resolvers.jobs import job
from resolvers.paging import Edge, PageArguments, PageInfo
from resolvers.systems import system


@dataclass(slots=True)
class EventConnection:
    """A page of the change log."""

    edges: list[Edge]
    nodes: list[EventRecord | GapRecord]
    page_info: PageInfo


async def event_cursor(ctx: Context) -> str:
    """The position of the log that this operation's answer shows."""
    return (await ctx.snapshot()).end.cursor


async def events(
    ctx: Context,
    *,
    filter: EventCriteria | None,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> EventConnection:
    """Oldest first. ``endCursor`` is the position read to, whatever the filter let through. What is not there of the
    stretch after ``after`` is one GapEvent, whatever the filter, beside the events of the page that begins with it."""
    check_filter(filter)
    page = PageArguments(first=first, after=after, last=last, before=before)
    page.check()
    snapshot = await ctx.snapshot()
    begin = Begin(0) if page.after is None else await begin_after(ctx, page.after)
    high = snapshot.position + 1 if page.before is None else await end_before(ctx, page.before)
    low, at = begin.position, EVENTS.c.position
    statement = select(*EVENT_COLUMNS).where(*event_criteria(filter, snapshot), at > low, at < high)
    order = at.desc() if page.backwards else at.asc()
    rows = list(await snapshot.fetch(statement.order_by(order).limit(page.size + 1)))
    more, rows = len(rows) > page.size, rows[: page.size]
    ctx.budget.spend_rows(len(rows))
    if page.backwards:
        rows.reverse()
    nodes: list[EventRecord | GapRecord] = [event_record(row, snapshot.store) for row in rows]
    read_to = nodes[-1].position if more and not page.backwards else max(low, high - 1)
    end = nodes[-1] if nodes and nodes[-1].position == read_to else await place_at(ctx, read_to)
    if begin.gap is not None and not (more and page.backwards):
        nodes.insert(0, begin.gap)
    info = PageInfo(
        has_next_page=page.before is not None if page.backwards else more,
        has_previous_page=more if page.backwards else low > snapshot.start.position,
        start_cursor=nodes[0].cursor if nodes else (await place_at(ctx, low)).cursor,
        end_cursor=end.cursor,
    )
    return EventConnection([Edge(node.cursor, node) for node in nodes], nodes, info)


async def connector_of_event(ctx: Context, event: EventRecord) -> ConnectorRecord | None:
    """None for an event of no connector, and once retention has removed it."""
    return None if event.connector_id is None else await connector(ctx, event.connector_id)


async def job_of_event(ctx: Context, event: EventRecord) -> JobRecord | None:
    """None for an event of no job, and once retention has removed it."""
    return None if event.job_id is None else await job(ctx, event.job_id)


async def system_of_event(ctx: Context, event: EventRecord) -> SystemRecord | None:
    """None when it is no longer configured."""
    return await system(ctx, event.system_id)
