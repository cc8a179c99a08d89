"""Notices as they are written, and the queue of each receiver."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import DeliveryPhase
from connectory.store.leases.rows import LeaseLost
from connectory.store.reads.notices import IS_OPEN, WAITING, is_raising
from connectory.store.rows import Row, batches
from connectory.store.tables import DELIVERIES, NOTICES, NOTIFIER
from connectory.store.writes.rows import insert_rows, update_rows

#: Why a delivery is given up that nobody is there for.
NOT_CONFIGURED = "The receiver is no longer configured."


async def move_notifier(
    connection: AsyncConnection, turn: int, *, deliveries: int = 0, position: int | None = None
) -> None:
    """Take the turn after ``turn``, and numbers for so many deliveries; ``position``: everything up to it is told of.

    Raises LeaseLost where another notifier has taken that turn.
    """
    n = NOTIFIER.c
    moved = {"turn": n.turn + 1, "sequence": n.sequence + deliveries}
    place = {} if position is None else {"position": position}
    written = await connection.execute(update(NOTIFIER).where(n.turn == turn).values(**moved, **place))
    if not written.rowcount:
        raise LeaseLost


async def write_notices(
    connection: AsyncConnection,
    new: Sequence[Row],
    changed: Sequence[Row],
    dropped: Sequence[str],
    deliveries: Sequence[Row],
) -> None:
    for some in batches(dropped):
        await connection.execute(delete(NOTICES).where(NOTICES.c.id.in_(some), NOTICES.c.raised_at.is_(None)))
    # what somebody acknowledges meanwhile is not ours to write
    kept = ("acknowledged_at", "acknowledged_by")
    await update_rows(connection, NOTICES, [{k: v for k, v in row.items() if k not in kept} for row in changed])
    await insert_rows(connection, NOTICES, new)
    await insert_rows(connection, DELIVERIES, deliveries)


async def acknowledge(connection: AsyncConnection, notice: str, by: str, now: datetime) -> bool:
    """Whoever was first stays. False: no such notice has been raised."""
    n = NOTICES.c
    known = and_(n.id == notice, n.raised_at.is_not(None))
    first = update(NOTICES).where(known, n.acknowledged_at.is_(None)).values(acknowledged_at=now, acknowledged_by=by)
    if (await connection.execute(first)).rowcount:
        return True
    return (await connection.execute(select(n.id).where(known))).first() is not None


# ---- queues


async def begin_attempt(connection: AsyncConnection, delivery: Any, next_attempt_at: datetime) -> bool:
    """Count an attempt before it is made. False: somebody else has begun one meanwhile, or has come to an end."""
    d = DELIVERIES.c
    same = and_(d.id == delivery.id, d.attempts == delivery.attempts, WAITING)
    values = {"attempts": delivery.attempts + 1, "next_attempt_at": next_attempt_at}
    return bool((await connection.execute(update(DELIVERIES).where(same).values(**values))).rowcount)


async def end_attempt(connection: AsyncConnection, delivery_id: str, outcome: Mapping[str, Any]) -> None:
    """``outcome``: delivered_at; or last_error with next_attempt_at or dead_at."""
    await connection.execute(update(DELIVERIES).where(DELIVERIES.c.id == delivery_id, WAITING).values(**outcome))


async def give_up_unknown(connection: AsyncConnection, receivers: Sequence[str], now: datetime) -> int:
    """What waits for receivers other than these is dead. Returns how many."""
    unknown = and_(WAITING, DELIVERIES.c.receiver.not_in(receivers))
    values = {"dead_at": now, "last_error": NOT_CONFIGURED}
    return int((await connection.execute(update(DELIVERIES).where(unknown).values(**values))).rowcount)


async def take_up_known(connection: AsyncConnection, receivers: Sequence[str], now: datetime) -> None:
    """What was given up because these receivers were not configured: the ends of what they know of wait again; what is
    open counts as not told, so that it is told as it stands now."""
    d, before = DELIVERIES.c, DELIVERIES.alias()
    given_up = and_(d.receiver.in_(receivers), d.dead_at.is_not(None), d.last_error == NOT_CONFIGURED)
    is_open = d.notice_id.in_(select(NOTICES.c.id).where(IS_OPEN))
    await connection.execute(delete(DELIVERIES).where(given_up, is_raising(is_open)))
    heard = exists().where(
        before.c.notice_id == d.notice_id,
        before.c.receiver == d.receiver,
        before.c.phase == DeliveryPhase.RAISED,
        before.c.delivered_at.is_not(None),
    )
    anew = {"dead_at": None, "last_error": None, "attempts": 0, "created_at": now, "next_attempt_at": now}
    ends = and_(given_up, d.phase == DeliveryPhase.RECOVERED, heard)
    await connection.execute(update(DELIVERIES).where(ends).values(**anew))
