"""A system's outages as intervals, written as the system's health turns, and the times when nobody watched it."""

from datetime import datetime

from sqlalchemy import insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.engine.polling.pace import SystemState, transition
from connectory.model import EventKind
from connectory.store.tables import OUTAGES, SYSTEMS, UNWATCHED
from connectory.store.tables.columns import Instant

#: Seconds that a poll may be late in any case: ``stale_after`` is never so short.
_PUNCTUAL = 1.0


async def note_outage(
    connection: AsyncConnection, system_id: str, before: SystemState, after: SystemState, now: datetime
) -> None:
    """Begin an outage where the log says SYSTEM_DOWN, end it where it says SYSTEM_RECOVERED.

    It keeps what it began with: from AUTH_FAILED to DOWN it is the same outage. ``register_systems``
    ends that of a system that is taken out of the configuration.
    """
    kind = transition(before.health, after.health)
    if kind is EventKind.SYSTEM_DOWN:
        row = {"system_id": system_id, "started_at": after.down_since or now, "ended_at": None}
        await connection.execute(
            insert(OUTAGES).values(**row, code=after.error_code, message=after.error_message or "")
        )
    elif kind is EventKind.SYSTEM_RECOVERED:
        lasting = (OUTAGES.c.system_id == system_id) & OUTAGES.c.ended_at.is_(None)
        await connection.execute(update(OUTAGES).where(lasting).values(ended_at=now))


async def note_unwatched(
    connection: AsyncConnection, system_id: str, before: SystemState, after: SystemState, now: datetime
) -> None:
    """Remember that the system was due and nobody asked it for longer than its ``stale_after``. A system that asked to
    wait is not due; one that is down is asked and does not answer."""
    due, asked = before.next_poll_at, after.last_poll_at
    if due is None or asked is None or (late := (asked - due).total_seconds()) < _PUNCTUAL:
        return
    row = select(SYSTEMS.c.id, literal(due, Instant()), literal(now, Instant()))
    too_late = row.where(SYSTEMS.c.id == system_id, SYSTEMS.c.stale_after < late)
    await connection.execute(insert(UNWATCHED).from_select(["system_id", "started_at", "ended_at"], too_late))
