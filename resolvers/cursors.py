"""Cursors of the change log as clients hand them back: whether they are of this log, and what follows from it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from connectory.store.log.cursors import NO_STORE, Place, read_cursor
from connectory.store.log.entries import gap
from connectory.store.reads.records import GapRecord
from connectory.store.tables import EVENTS
from resolvers.arguments import BadUserInput
from resolvers.context import Context


@dataclass(frozen=True, slots=True)
class Begin:
    """Where somebody goes on who hands back a cursor, and what lies before that and cannot be told."""

    position: int
    gap: GapRecord | None = None


def place_in(cursor: str, argument: str) -> Place:
    """Raises BadUserInput for what is no cursor."""
    try:
        return read_cursor(cursor)
    except ValueError:
        raise BadUserInput(f"'{argument}' is not a cursor of the change log.") from None


async def begin_after(ctx: Context, cursor: str) -> Begin:
    """Who has read another log, or more than is kept of this one, begins with the oldest row and is told so. Raises
    BadUserInput for what is no cursor."""
    snapshot, place = await ctx.snapshot(), place_in(cursor, "after")
    if place.position >= snapshot.start.position and await _is_of_this_log(ctx, place):
        return Begin(place.position)
    return Begin(snapshot.start.position, gap(snapshot, cursor))


async def end_before(ctx: Context, cursor: str) -> int:
    """Raises BadUserInput for a cursor of another log, too."""
    place = place_in(cursor, "before")
    if not await _is_of_this_log(ctx, place):
        raise BadUserInput("'before' is a cursor of another store, or of this one before a backup was restored.")
    return place.position


async def place_at(ctx: Context, position: int) -> Place:
    """The place of a position that this log has come to."""
    snapshot = await ctx.snapshot()
    for end in (snapshot.start, snapshot.end):
        if end.position == position:
            return end
    if position < snapshot.start.position:
        return Place(position, None, snapshot.store)

    async def marks(positions: list[Any]) -> list[int | None]:
        rows = await snapshot.fetch(select(EVENTS.c.position, EVENTS.c.mark).where(EVENTS.c.position.in_(positions)))
        found = {row.position: row.mark for row in rows}
        return [found.get(each) for each in positions]

    return Place(position, await ctx.loader("marks", marks).load(position), snapshot.store)


async def _is_of_this_log(ctx: Context, place: Place) -> bool:
    """Of a position whose row is no longer kept, the store has to do. Whoever names no store is believed."""
    snapshot = await ctx.snapshot()
    if place.position > snapshot.end.position:
        return False
    if place.position == 0 or place.store == NO_STORE:
        return True
    if place.store != snapshot.store:
        return False
    return place.position < snapshot.start.position or place == await place_at(ctx, place.position)
