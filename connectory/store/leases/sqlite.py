"""Leases in a file of SQLite: rows with an expiry, by the clocks of the machine that has the file."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.store.leases.process import Process, has_ended
from connectory.store.leases.rows import Found, Holder, LeaseStore, Own, guarded_row, taking
from connectory.store.tables import LEASES

#: Seconds that giving back may wait for who writes; after that the leases expire.
_GIVING_BACK = 1.0


class SqliteLeases:
    """``clock`` tells the time (UTC-aware)."""

    def __init__(self, store: LeaseStore, own: Own, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store, self._own, self._clock = store, own, clock
        self._has_taken = False

    @property
    def is_connected(self) -> bool:
        return True

    async def renew(self, expiry: float) -> Mapping[str, int]:
        async with self._store.write() as connection:
            return await self.renew_within(connection, expiry)

    async def renew_within(self, connection: AsyncConnection, expiry: float) -> Mapping[str, int]:
        now = self._clock()
        renewed = update(LEASES).where(LEASES.c.holder == self._own.id)
        renewed = renewed.values(renewed_at=now, expires_at=now + timedelta(seconds=expiry))
        return {
            row.name: row.fence for row in await connection.execute(renewed.returning(LEASES.c.name, LEASES.c.fence))
        }

    async def look(self, names: list[str], expiry: float) -> Mapping[str, Found]:
        async with self._store.read() as connection:
            rows = {row.name: row for row in await connection.execute(select(LEASES).where(LEASES.c.name.in_(names)))}
        return {name: self._found(rows.get(name)) for name in names}

    async def take(self, name: str, expiry: float) -> int | None:
        async with self._store.write() as connection:
            row = (await connection.execute(select(LEASES).where(LEASES.c.name == name))).first()
            if not self._found(row).is_free:
                return None
            now = self._clock()
            taken = taking(self._own, name, now, now + timedelta(seconds=expiry))
            fence: int = (await connection.execute(taken)).scalar_one()
            if (guarded := guarded_row(name)) is not None:
                table, which = guarded
                await connection.execute(update(table).where(which).values(fence=fence))
        self._has_taken = True
        return fence

    def _found(self, row: Any) -> Found:
        if row is None or row.holder is None:
            return Found(is_free=True, holder=None)
        now = self._clock()
        # a clock that was set back makes no lease last longer
        is_over = not row.renewed_at <= now < row.expires_at
        is_free = is_over or row.holder == self._own.id or has_ended(Process(row.host, row.pid, row.birth))
        return Found(is_free, None if is_free else Holder(row.host, row.pid, row.since))

    async def close(self) -> None:
        if self._has_taken:
            self._has_taken = False
            with suppress(sqlite3.Error, OSError):
                await asyncio.to_thread(self._give_back)

    def _give_back(self) -> None:
        """Without the pools: who stops does not queue."""
        with closing(sqlite3.connect(self._store.file, timeout=_GIVING_BACK)) as connection, connection:
            connection.execute("UPDATE leases SET holder = NULL WHERE holder = ?", (self._own.id,))
