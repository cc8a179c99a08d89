"""Which systems are configured: the others are hidden with all that is theirs, and come back when they are."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import SystemHealth
from connectory.store.database import Store
from connectory.store.error_texts import in_our_words, is_unavailable
from connectory.store.tables import OUTAGES, SYSTEMS
from connectory.store.tables.identity import SYSTEM, global_id

_log = logging.getLogger(__name__)
#: Seconds for which a gateway that starts waits for others to let it, and between two tries.
_WITHIN, _PAUSE = 60.0, 0.5


@dataclass(frozen=True, slots=True)
class Registration:
    """What the store must know of a system before its first poll."""

    name: str
    kind: str
    capabilities: tuple[str, ...]
    #: seconds
    stale_after: float


async def register_systems(store: Store, systems: Sequence[Registration], *, within: float = _WITHIN) -> None:
    """Make exactly these the configured ones. Rows of the others stay. Several processes may do so at once.

    Of a system that goes or comes back nobody knows how it fares until it is asked. Where somebody else holds the rows
    it is tried again for ``within`` seconds; then it raises what the database raises.
    """
    deadline, is_logged = time.monotonic() + within, False
    while True:
        try:
            return await _register(store, {system.name: system for system in systems})
        except Exception as error:
            if not is_unavailable(error) or time.monotonic() > deadline:
                raise
            if not is_logged:
                sentence = f"the configured systems cannot be stored yet: {in_our_words(error)}"
                _log.warning(sentence, extra={"action": "registration_waits"})
            is_logged = True
        await asyncio.sleep(_PAUSE)


async def _register(store: Store, wanted: Mapping[str, Registration]) -> None:
    """Only what differs is written: a gateway that starts as it has ended waits for nobody."""
    s = SYSTEMS.c
    columns = (s.name, s.configured, s.kind, s.capabilities, s.stale_after)
    async with store.read() as connection:
        stored = {row.name: row for row in await connection.execute(select(*columns))}
    different = [
        name for name, system in wanted.items() if tuple(stored.get(name, ())) != (name, *_columns(system).values())
    ]
    gone = [name for name, row in stored.items() if row.configured and name not in wanted]
    if not different and not gone:
        return
    async with store.write(hurried=True) as connection:
        # in one order everywhere, lest two processes wait for each other
        for name in sorted([*different, *gone]):
            await connection.execute(select(s.id).where(s.name == name).with_for_update())
            await _forget_health(connection, name, is_configured=name in wanted)
            if name in wanted:
                await _store(connection, wanted[name])
            else:
                await connection.execute(update(SYSTEMS).where(s.name == name).values(configured=False))


def _columns(system: Registration) -> dict[str, Any]:
    return {
        "configured": True,
        "kind": system.kind,
        "capabilities": json.dumps(system.capabilities),
        "stale_after": system.stale_after,
    }


async def _store(connection: AsyncConnection, system: Registration) -> None:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    key, columns = {"id": global_id(SYSTEM, system.name), "name": system.name}, _columns(system)
    new = {"health": SystemHealth.UNKNOWN, "consecutive_failures": 0}
    # another process may insert it at this moment, and the row's name is as unique as its id
    await connection.execute(insert(SYSTEMS).values(**key, **columns, **new).on_conflict_do_nothing())
    await connection.execute(update(SYSTEMS).where(SYSTEMS.c.id == key["id"]).values(**columns))


async def _forget_health(connection: AsyncConnection, name: str, *, is_configured: bool) -> None:
    """Of a system that goes or comes back; its outage ends with the last poll that we know of."""
    s, o = SYSTEMS.c, OUTAGES.c
    turned = (s.name == name) & (s.configured != is_configured)
    polled: Any = select(s.last_poll_at).where(s.id == o.system_id).scalar_subquery()
    ended = case((polled > o.started_at, polled), else_=o.started_at)
    lasting = o.ended_at.is_(None) & o.system_id.in_(select(s.id).where(turned))
    await connection.execute(update(OUTAGES).where(lasting).values(ended_at=ended))
    unknown = {"health": SystemHealth.UNKNOWN, "down_since": None, "consecutive_failures": 0}
    await connection.execute(update(SYSTEMS).where(turned).values(**unknown))
