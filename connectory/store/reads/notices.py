"""Notices as they stand in the store: those that are open, and what waits for each receiver."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import DeliveryPhase
from connectory.store.rows import Row
from connectory.store.tables import DELIVERIES, NOTICES, NOTIFIER

IS_OPEN = NOTICES.c.recovered_at.is_(None)
#: Rows that are fetched at once; what else there is to do goes on in between.
_BY_AND_BY = {"yield_per": 200}
#: neither delivered nor given up
WAITING = and_(DELIVERIES.c.delivered_at.is_(None), DELIVERIES.c.dead_at.is_(None))


# ---- what is open


async def read_place(connection: AsyncConnection) -> Any:
    """The notifier's ``position``, ``turn`` and ``sequence``, see NotifierRow."""
    return (await connection.execute(select(NOTIFIER))).one()


async def open_notices(connection: AsyncConnection) -> AsyncIterator[list[Row]]:
    """Those that are not over, raised or not, some at a time."""
    found = await connection.stream(select(NOTICES).where(IS_OPEN), execution_options=_BY_AND_BY)
    async for some in found.mappings().partitions():
        yield [dict(row) for row in some]


async def told_receivers(connection: AsyncConnection) -> AsyncIterator[Sequence[Any]]:
    """(notice, receiver) of those that are not over and have been told, some at a time."""
    d = DELIVERIES.c
    receivers = select(d.notice_id, d.receiver).join(NOTICES, NOTICES.c.id == d.notice_id)
    raised = receivers.where(IS_OPEN, d.phase == DeliveryPhase.RAISED)
    async for some in (await connection.stream(raised, execution_options=_BY_AND_BY)).partitions():
        yield some


# ---- queues


async def next_delivery(connection: AsyncConnection, receiver: str) -> Any:
    """The oldest that waits; None when there is none."""
    d = DELIVERIES.c
    waiting = select(DELIVERIES).where(d.receiver == receiver, WAITING).order_by(d.sequence).limit(1)
    return (await connection.execute(waiting)).first()


def is_raising(*criteria: Any) -> Any:
    """The criterion of deliveries that tell the beginning of a notice."""
    return and_(DELIVERIES.c.phase == DeliveryPhase.RAISED, *criteria)


async def was_given_up(connection: AsyncConnection, delivery: Any) -> bool:
    """Whether it tells the end of what this receiver has never accepted."""
    if delivery.phase is not DeliveryPhase.RECOVERED:
        return False
    d = DELIVERIES.c
    raised = is_raising(d.notice_id == delivery.notice_id, d.receiver == delivery.receiver, d.dead_at.is_not(None))
    return (await connection.execute(select(d.id).where(raised))).first() is not None
