"""What retention removes in one transaction, its limits, and what is beyond them of the log, outages and notices."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Executable, Select, delete, exists, false, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.store.database import Store
from connectory.store.tables import DELIVERIES, EVENTS, LOG_HEAD, LOG_START, NOTICES

#: How many rows of a table one transaction may remove; asked anew for every batch.
BatchSize = Callable[[str], int]


@dataclass(frozen=True)
class ExpiredBatch:
    """Rows that were found beyond a limit. ``remove`` decides once more, in its transaction, which of them go: whatever
    was found may have changed since. It tells how many rows went."""

    table: str
    remove: Callable[[AsyncConnection], Awaitable[int]]
    #: whose rows they are, where polls write such rows: nobody else writes of that system meanwhile
    system_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionLimits:
    """What is kept at least; all else may go."""

    #: events from here on
    events_from: datetime | None = None
    #: so many rows of the log
    events: int = 0
    #: jobs, outages and notices that ended from here on, and connectors that were removed from here on
    jobs_from: datetime | None = None
    #: so many jobs of each connector
    jobs_per_connector: int = 0
    #: so many outages of each system, and so many times when nobody watched it
    outages_per_system: int = 0
    #: so many notices that are over
    notices: int = 0


async def events(store: Store, limits: RetentionLimits, batch_size: BatchSize) -> AsyncIterator[ExpiredBatch]:
    """Positions have no gaps: the log's size is head - oldest + 1, and nobody has to count."""
    at = EVENTS.c.position
    while True:
        async with store.read() as connection:
            oldest = (await connection.execute(select(at).order_by(at).limit(batch_size("events")))).scalars().all()
            if not oldest or (await connection.execute(_last_beyond(limits, oldest[-1]))).first() is None:
                return
        yield ExpiredBatch("events", partial(_cut, limits=limits, up_to=oldest[-1]))


def _last_beyond(limits: RetentionLimits, up_to: int) -> Select[Any]:
    """Position and mark of the last row up to there that is beyond a limit; no row when none is."""
    e = EVENTS.alias().c
    beyond: list[ColumnElement[bool]] = [false()]
    if limits.events:
        beyond.append(e.position <= select(LOG_HEAD.c.position).scalar_subquery() - limits.events)
    if limits.events_from is not None:
        beyond.append(e.at < limits.events_from)
    # from the newest down: of a stretch that is beyond as a whole one row is read
    return select(e.position, e.mark).where(e.position <= up_to, or_(*beyond)).order_by(e.position.desc()).limit(1)


async def _cut(connection: AsyncConnection, limits: RetentionLimits, up_to: int) -> int:
    last = (await connection.execute(_last_beyond(limits, up_to))).first()
    return 0 if last is None else await remove_events(connection, last)


async def remove_events(connection: AsyncConnection, last: Any) -> int:
    """Remove the log's rows up to ``last``, and keep its position and mark: who has read so far has missed nothing."""
    s = LOG_START.c
    moved = update(LOG_START).where(s.position < last.position).values(position=last.position, mark=last.mark)
    await connection.execute(moved)
    return (await connection.execute(delete(EVENTS).where(EVENTS.c.position <= last.position))).rowcount


@dataclass(frozen=True)
class _Expired:
    """What is over of a table. ``found`` gives its ids, oldest first; ``gone`` removes them, theirs last; ``surplus``
    tells how many go at most, and without it all do."""

    table: str
    found: Select[Any]
    gone: Callable[[Sequence[Any]], Sequence[Executable]]
    surplus: Callable[[AsyncConnection], Awaitable[int]] | None = None

    async def batches(self, store: Store, batch_size: BatchSize) -> AsyncIterator[ExpiredBatch]:
        """Each is to be removed before the next is asked for."""
        while True:
            async with store.read() as connection:
                ids = await self._find(connection, self.found, batch_size(self.table))
            if not ids:
                return
            yield ExpiredBatch(self.table, partial(self._remove, ids=ids))

    async def _find(self, connection: AsyncConnection, found: Select[Any], most: int) -> list[Any]:
        if self.surplus is not None:
            most = min(most, await self.surplus(connection))
        return [row.id for row in await connection.execute(found.limit(most))] if most > 0 else []

    async def _remove(self, connection: AsyncConnection, ids: Sequence[Any]) -> int:
        (id,) = self.found.selected_columns
        still = await self._find(connection, self.found.where(id.in_(ids)).with_for_update(), len(ids))
        rows = 0
        for statement in self.gone(still) if still else ():
            rows = (await connection.execute(statement)).rowcount
        return rows


async def intervals(
    store: Store, table: Any, limits: RetentionLimits, batch_size: BatchSize
) -> AsyncIterator[ExpiredBatch]:
    """What is over of ``table``, whose rows are of systems and get their ids in the order of time."""
    t = table.c
    over = select(t.id).where(t.ended_at.is_not(None)).order_by(t.id)

    def gone(ids: Sequence[int]) -> list[Executable]:
        return [delete(table).where(t.id.in_(ids))]

    async def surplus(connection: AsyncConnection, of: str) -> int:
        count = select(func.count()).where(t.ended_at.is_not(None), t.system_id == of)
        return int((await connection.execute(count)).scalar_one()) - limits.outages_per_system

    if limits.jobs_from is not None:
        async for batch in _Expired(table.name, over.where(t.ended_at < limits.jobs_from), gone).batches(
            store, batch_size
        ):
            yield batch
    if limits.outages_per_system:
        counts = select(t.system_id).where(t.ended_at.is_not(None)).group_by(t.system_id)
        async with store.read() as connection:
            crowded = (await connection.execute(counts.having(func.count() > limits.outages_per_system))).all()
        for (id,) in crowded:
            old = _Expired(table.name, over.where(t.system_id == id), gone, partial(surplus, of=id))
            async for batch in old.batches(store, batch_size):
                yield batch


async def notices(store: Store, limits: RetentionLimits, batch_size: BatchSize) -> AsyncIterator[ExpiredBatch]:
    """Notices that are over, with what was sent of them."""
    n, d = NOTICES.c, DELIVERIES.c
    over = select(n.id).where(n.recovered_at.is_not(None)).order_by(n.raised_at, n.id)
    waits = exists().where(d.notice_id == n.id, d.delivered_at.is_(None), d.dead_at.is_(None))
    is_settled = or_(d.delivered_at.is_not(None), d.dead_at.is_not(None))

    def gone(ids: Sequence[str], *which: Any) -> list[Executable]:
        sent = delete(DELIVERIES).where(d.notice_id.in_(ids), *which)
        return [sent, delete(NOTICES).where(n.id.in_(ids), ~exists().where(d.notice_id == n.id))]

    def gone_once_settled(ids: Sequence[str]) -> list[Executable]:
        return gone(ids, is_settled)

    async def surplus(connection: AsyncConnection) -> int:
        count = select(func.count()).where(n.recovered_at.is_not(None))
        return int((await connection.execute(count)).scalar_one()) - limits.notices

    if limits.jobs_from is not None:
        async for batch in _Expired("notices", over.where(n.recovered_at < limits.jobs_from), gone).batches(
            store, batch_size
        ):
            yield batch
    if limits.notices:
        async for batch in _Expired("notices", over.where(~waits), gone_once_settled, surplus).batches(
            store, batch_size
        ):
            yield batch
