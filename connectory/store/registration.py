"""Which systems are configured: the others are hidden with all that is theirs, and come back when they are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import SystemHealth
from connectory.store.database import Store
from connectory.store.identity import SYSTEM, global_id
from connectory.store.tables import OUTAGES, SYSTEMS


@dataclass(frozen=True, slots=True)
class Registration:
    """What the store must know of a system before its first poll."""

    name: str
    kind: str
    capabilities: tuple[str, ...]
    #: seconds
    stale_after: float


async def register_systems(store: Store, systems: Sequence[Registration]) -> None:
    """Make exactly these the configured ones. Rows of the others stay. Several processes may do so at once.

    Of a system that goes or comes back nobody knows how it fares until it is asked.
    """
    insert = sqlite.insert if store.is_sqlite else postgresql.insert
    async with store.write() as connection:
        await _forget_health(connection, [system.name for system in systems])
        await connection.execute(update(SYSTEMS).values(configured=False))
        # in one order everywhere, lest two processes wait for each other
        for system in sorted(systems, key=lambda system: system.name):
            told: dict[str, Any] = {
                "kind": system.kind,
                "configured": True,
                "capabilities": json.dumps(system.capabilities),
                "stale_after": system.stale_after,
            }
            key = {"id": global_id(SYSTEM, system.name), "name": system.name}
            new = {"health": SystemHealth.UNKNOWN, "consecutive_failures": 0}
            row = insert(SYSTEMS).values(**key, **told, **new)
            await connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=told))


async def _forget_health(connection: AsyncConnection, configured: Sequence[str]) -> None:
    """Of systems that go or come back; their outage ends with the last poll that we know of."""
    s, o = SYSTEMS.c, OUTAGES.c
    turned = s.configured != s.name.in_(configured)
    polled: Any = select(s.last_poll_at).where(s.id == o.system_id).scalar_subquery()
    ended = case((polled > o.started_at, polled), else_=o.started_at)
    lasting = o.ended_at.is_(None) & o.system_id.in_(select(s.id).where(turned))
    await connection.execute(update(OUTAGES).where(lasting).values(ended_at=ended))
    unknown = {"health": SystemHealth.UNKNOWN, "down_since": None, "consecutive_failures": 0}
    await connection.execute(update(SYSTEMS).where(turned).values(**unknown))
