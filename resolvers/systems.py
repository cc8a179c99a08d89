"""Systems: they come with the snapshot; what is counted about them is batched."""

from typing import Any

from sqlalchemy import func, select

from connectory.model import RUNNING
from connectory.store.reads.records import SystemRecord
from connectory.store.tables import CONNECTORS, JOBS
from resolvers.context import Context


async def all_systems(ctx: Context) -> list[SystemRecord]:
    """In the order of their names."""
    return list((await ctx.snapshot()).systems.values())


async def system_by_name(ctx: Context, name: str) -> SystemRecord | None:
    """None where none is configured by that name."""
    return next((system for system in await all_systems(ctx) if system.name == name), None)


async def system(ctx: Context, id: str) -> SystemRecord | None:
    """None for an id that is unknown, malformed, or of a system that is no longer configured."""
    return (await ctx.snapshot()).systems.get(id)


async def total_connectors(ctx: Context, system: SystemRecord) -> int:
    """Removed ones left out."""
    return await _count(ctx, system, CONNECTORS, CONNECTORS.c.removed_at.is_(None))


async def running_jobs(ctx: Context, system: SystemRecord) -> int:
    """Those that are RUNNING or CANCELING."""
    return await _count(ctx, system, JOBS, JOBS.c.status.in_(list(RUNNING)))


async def _count(ctx: Context, system: SystemRecord, table: Any, criterion: Any) -> int:
    snapshot = await ctx.snapshot()

    async def counts(ids: list[Any]) -> list[int]:
        column = table.c.system_id
        statement = select(column, func.count()).where(column.in_(ids), criterion).group_by(column)
        found = {row[0]: row[1] for row in await snapshot.fetch(statement)}
        return [found.get(id, 0) for id in ids]

    count: int = await ctx.loader(("system count", table.name), counts).load(system.id)
    return count
