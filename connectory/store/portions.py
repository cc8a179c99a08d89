"""What retention removes in one transaction, its limits, and what is beyond them of outages and notices."""

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, Select, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.store.database import Store
from connectory.store.tables import DELIVERIES, NOTICES

#: How many rows of a table one transaction may remove; asked anew for every portion.
Stride = Callable[[str], int]


@dataclass(frozen=True)
class Portion:
    """Rows to be removed in one transaction. The statements check once more what may have changed meanwhile."""

    table: str
    rows: int
    statements: Sequence[tuple[Executable, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
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


async def remove(connection: AsyncConnection, portion: Portion) -> None:
    for statement, parameters in portion.statements:
        await connection.execute(statement, parameters)


async def intervals(store: Store, table: Any, limits: Limits, stride: Stride) -> AsyncIterator[Portion]:
    """What is over of ``table``, whose rows are of systems and get their ids in the order of time."""
    t = table.c
    over = select(t.id).where(t.ended_at.is_not(None)).order_by(t.id)

    def gone(ids: Sequence[int]) -> list[Executable]:
        return [delete(table).where(t.id.in_(ids))]

    if limits.jobs_from is not None:
        async for portion in _oldest(store, table.name, over.where(t.ended_at < limits.jobs_from), gone, stride):
            yield portion
    if limits.outages_per_system:
        counts = select(t.system_id, func.count()).where(t.ended_at.is_not(None)).group_by(t.system_id)
        async with store.read() as connection:
            crowded = (await connection.execute(counts.having(func.count() > limits.outages_per_system))).all()
        for system_id, count in crowded:
            of, surplus = over.where(t.system_id == system_id), count - limits.outages_per_system
            async for portion in _oldest(store, table.name, of, gone, stride, surplus):
                yield portion


async def notices(store: Store, limits: Limits, stride: Stride) -> AsyncIterator[Portion]:
    """Notices that are over, with what was sent of them."""
    n, d = NOTICES.c, DELIVERIES.c
    over = select(n.id).where(n.recovered_at.is_not(None)).order_by(n.raised_at, n.id)

    def gone(ids: Sequence[str]) -> list[Executable]:
        return [delete(DELIVERIES).where(d.notice_id.in_(ids)), delete(NOTICES).where(n.id.in_(ids))]

    if limits.jobs_from is not None:
        async for portion in _oldest(store, "notices", over.where(n.recovered_at < limits.jobs_from), gone, stride):
            yield portion
    if limits.notices:
        async with store.read() as connection:
            count = select(func.count()).where(n.recovered_at.is_not(None))
            surplus = (await connection.execute(count)).scalar_one() - limits.notices
        waits = exists().where(d.notice_id == n.id, d.delivered_at.is_(None), d.dead_at.is_(None))
        async for portion in _oldest(store, "notices", over.where(~waits), gone, stride, surplus):
            yield portion


async def _oldest(
    store: Store,
    name: str,
    over: Select[Any],
    gone: Callable[[Sequence[Any]], Sequence[Executable]],
    stride: Stride,
    most: int | None = None,
) -> AsyncIterator[Portion]:
    """Portions of what ``over`` finds, by their ids; ``most``: so many of them, None is all. ``gone`` removes them."""
    left = sys.maxsize if most is None else most
    while left > 0:
        async with store.read() as connection:
            ids = [row.id for row in await connection.execute(over.limit(min(left, stride(name))))]
        if not ids:
            return
        left -= len(ids)
        yield Portion(name, len(ids), [(statement, None) for statement in gone(ids)])
