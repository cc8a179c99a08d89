"""A system's outages as intervals, and the times when nobody asked it."""

from datetime import datetime

from sqlalchemy import insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import SystemErrorCode
from connectory.store.tables import OUTAGES, SYSTEMS, UNWATCHED
from connectory.store.tables.columns import Instant


async def begin_outage(
    connection: AsyncConnection, system_id: str, began: datetime, code: SystemErrorCode | None, message: str
) -> None:
    row = {"system_id": system_id, "started_at": began, "ended_at": None, "code": code, "message": message}
    await connection.execute(insert(OUTAGES).values(**row))


async def end_outage(connection: AsyncConnection, system_id: str, ended: datetime) -> None:
    """The one that lasts. ``register_systems`` ends that of a system that is taken out of the configuration."""
    lasting = (OUTAGES.c.system_id == system_id) & OUTAGES.c.ended_at.is_(None)
    await connection.execute(update(OUTAGES).where(lasting).values(ended_at=ended))


async def note_unwatched(
    connection: AsyncConnection, system_id: str, due: datetime, now: datetime, late: float
) -> None:
    """Remember that nobody asked it from ``due`` to ``now``, if ``late`` seconds are more than its ``stale_after``."""
    row = select(SYSTEMS.c.id, literal(due, Instant()), literal(now, Instant()))
    too_late = row.where(SYSTEMS.c.id == system_id, SYSTEMS.c.stale_after < late)
    await connection.execute(insert(UNWATCHED).from_select(["system_id", "started_at", "ended_at"], too_late))
