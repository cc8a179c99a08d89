"""A system's outages as intervals, written as the system's health turns."""

from datetime import datetime

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.engine.pace import SystemState, transition
from connectory.model import EventKind
from connectory.store.tables import OUTAGES


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
