"""Which systems are configured: the others are hidden with all that is theirs, and come back when they are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update

from connectory.model import SystemHealth
from connectory.store.database import Store
from connectory.store.identity import SYSTEM, global_id
from connectory.store.tables import SYSTEMS


@dataclass(frozen=True, slots=True)
class Registration:
    """What the store must know of a system before its first poll."""

    name: str
    kind: str
    capabilities: tuple[str, ...]
    #: seconds
    stale_after: float


async def register_systems(store: Store, systems: Sequence[Registration]) -> None:
    """Make exactly these the configured ones. Rows of the others stay."""
    async with store.write() as connection:
        await connection.execute(update(SYSTEMS).values(configured=False))
        stored = set((await connection.execute(select(SYSTEMS.c.name))).scalars())
        for system in systems:
            told: dict[str, Any] = {
                "kind": system.kind,
                "configured": True,
                "capabilities": json.dumps(system.capabilities),
                "stale_after": system.stale_after,
            }
            if system.name in stored:
                await connection.execute(update(SYSTEMS).where(SYSTEMS.c.name == system.name).values(**told))
            else:
                key = {"id": global_id(SYSTEM, system.name), "name": system.name}
                new = {"health": SystemHealth.UNKNOWN, "consecutive_failures": 0}
                await connection.execute(insert(SYSTEMS).values(**key, **told, **new))
