"""Cursors of the change log for tests, and a log that has lost its oldest rows."""

from typing import Any

from sqlalchemy import select

from connectory.store import Store
from connectory.store.log.cursors import Place, read_cursor
from connectory.store.retention.batches import remove_events
from connectory.store.tables import EVENTS, LOG_START

#: Where every log begins.
START = Place(0, None, 1).cursor


def log_position(cursor: str) -> int:
    """The position in a cursor. Raises ValueError for anything else."""
    return read_cursor(cursor).position


async def cursor_at(store: Store, position: int) -> str:
    """The cursor that a client has been given of this position."""
    row = select(EVENTS.c.mark).where(EVENTS.c.position == position).scalar_subquery()
    async with store.read() as connection:
        found: Any = (await connection.execute(select(LOG_START, row.label("of_row")))).one()
    mark = found.mark if position == found.position else found.of_row
    return Place(position, mark, found.store).cursor


async def forget(store: Store, up_to: int) -> None:
    """Remove the rows up to there, as retention does."""
    async with store.write() as connection:
        last = select(EVENTS.c.position, EVENTS.c.mark).where(EVENTS.c.position == up_to)
        await remove_events(connection, (await connection.execute(last)).one())
