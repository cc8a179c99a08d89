"""Anything that has a global id."""

import asyncio
from typing import Any

from connectory.store.tables.identity import CONNECTOR, JOB, NOTICE, SYSTEM, type_of
from resolvers.arguments import MAXIMUM_SIZE, BadUserInput
from resolvers.connectors import connector
from resolvers.context import Context
from resolvers.jobs import job
from resolvers.notices import notice
from resolvers.systems import system

_READERS = {SYSTEM: system, CONNECTOR: connector, JOB: job, NOTICE: notice}


async def node(ctx: Context, id: str) -> Any:
    """None for an id that is unknown or malformed."""
    reader = _READERS.get(type_of(id) or "")
    return None if reader is None else await reader(ctx, id)


async def nodes(ctx: Context, ids: list[str]) -> list[Any]:
    """In the order asked; None where there is none."""
    if len(ids) > MAXIMUM_SIZE:
        raise BadUserInput(f"'ids' may hold at most {MAXIMUM_SIZE} ids, not {len(ids)}.")
    return list(await asyncio.gather(*(node(ctx, id) for id in ids)))
