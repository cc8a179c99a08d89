"""The change log, page by page, for those who poll it."""

from dataclasses import dataclass

from sqlalchemy import select

from connectory.store.criteria import EventCriteria, event_criteria
from connectory.store.log import EVENT_COLUMNS, event_record, gap_after, log_cursor, log_position
from connectory.store.records import ConnectorRecord, EventRecord, GapRecord, JobRecord, SystemRecord
from connectory.store.snapshot import Snapshot
from connectory.store.tables import EVENTS
from resolvers.connectors import connector
from resolvers.context import Context
from resolvers.errors import BadUserInput
from resolvers.filters import check_filter
from resolvers.jobs import job
from resolvers.paging import Edge, PageArguments, PageInfo
from resolvers.systems import system


@dataclass(slots=True)
class EventConnection:
    edges: list[Edge]
    nodes: list[EventRecord | GapRecord]
    page_info: PageInfo


async def event_cursor(ctx: Context) -> str:
    """The position of the log that this operation's answer shows."""
    return log_cursor((await ctx.snapshot()).position)


async def events(
    ctx: Context,
    *,
    filter: EventCriteria | None,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> EventConnection:
    """Oldest first. ``endCursor`` is the position read to, whatever the filter let through. A stretch after ``after``
    that is no longer kept is one GapEvent, whatever the filter, beside the page's own events."""
    check_filter(filter)
    page = PageArguments(first=first, after=after, last=last, before=before)
    page.check()
    snapshot = await ctx.snapshot()
    low = _position(page.after, "after", snapshot, 0)
    high = _position(page.before, "before", snapshot, snapshot.position + 1)
    at = EVENTS.c.position
    statement = select(*EVENT_COLUMNS).where(*event_criteria(filter, snapshot), at > low, at < high)
    order = at.desc() if page.backwards else at.asc()
    rows = list(await snapshot.fetch(statement.order_by(order).limit(page.size + 1)))
    more, rows = len(rows) > page.size, rows[: page.size]
    ctx.budget.spend_rows(len(rows))
    if page.backwards:
        rows.reverse()
    nodes: list[EventRecord | GapRecord] = [event_record(row) for row in rows]
    read_to = nodes[-1].position if more and not page.backwards else max(low, high - 1)
    if page.after is not None and not page.backwards and (gap := await gap_after(snapshot, low)) is not None:
        nodes.insert(0, gap)
        read_to = max(read_to, gap.position)
    read_from = nodes[0].position if nodes else low
    info = PageInfo(
        has_next_page=page.before is not None if page.backwards else more,
        has_previous_page=more if page.backwards else low > 0,
        start_cursor=log_cursor(read_from),
        end_cursor=log_cursor(read_to),
    )
    return EventConnection([Edge(node.cursor, node) for node in nodes], nodes, info)


def _position(cursor: str | None, argument: str, snapshot: Snapshot, default: int) -> int:
    if cursor is None:
        return default
    try:
        position = log_position(cursor)
    except ValueError:
        raise BadUserInput(f"'{argument}' is not a cursor of the change log.") from None
    if position > snapshot.position:
        raise BadUserInput(f"'{argument}' is a cursor of another store: this one's log has not come that far.")
    return position


async def connector_of_event(ctx: Context, event: EventRecord) -> ConnectorRecord | None:
    return None if event.connector_id is None else await connector(ctx, event.connector_id)


async def job_of_event(ctx: Context, event: EventRecord) -> JobRecord | None:
    return None if event.job_id is None else await job(ctx, event.job_id)


async def system_of_event(ctx: Context, event: EventRecord) -> SystemRecord | None:
    return await system(ctx, event.system_id)
