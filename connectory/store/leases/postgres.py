"""Leases in PostgreSQL: rows with an expiry by its clock, and an advisory lock each, which ends with its session.

One session of ours holds the locks and renews the rows. Who stands still keeps its session, its locks and perhaps a
transaction: whoever finds its rows expired ends all of them.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import func, literal, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from connectory.store.leases.rows import Found, Holder, LeaseStore, Own, guarded_row, taking
from connectory.store.postgres import is_locked, lock_key
from connectory.store.tables import LEASES
from connectory.store.write_health import reason

_log = logging.getLogger(__name__)
#: Seconds that connecting, and one statement, may take: all leases wait for this one session.
_PATIENCE = 5.0
#: Seconds that taking waits for whoever writes what is guarded, before it is tried again later.
_WAIT = 1.0
#: Seconds that giving back may take; after that the end of the session does it.
_GIVING_BACK = 1.0
_NOW = func.clock_timestamp()

#: Take each lock that is free, and tell what the rows say.
_LOOK = text("""
SELECT asked.name, pg_try_advisory_lock(asked.key) AS is_ours, l.holder, l.host, l.pid, l.since,
       coalesce(l.expires_at <= clock_timestamp(), true) AS is_over
FROM unnest(CAST(:names AS text[]), CAST(:keys AS bigint[])) AS asked(name, key)
LEFT JOIN leases AS l ON l.name = asked.name
""")
#: Of a lease that is over: end the session that has its lock, if the row names it or it has been still for as long,
#: and whatever its holder writes. Of one that we have lost: that session.
_END = text("""
SELECT count(pg_terminate_backend(locks.pid))
FROM (SELECT 1) AS always
LEFT JOIN leases AS l ON l.name = :name
JOIN pg_locks AS locks ON locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
 AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
JOIN pg_stat_activity AS session ON session.pid = locks.pid
CROSS JOIN LATERAL (SELECT CAST(locks.classid AS bigint) << 32 | CAST(locks.objid AS bigint)) AS held(key)
WHERE locks.pid <> pg_backend_pid()
  AND (coalesce(l.expires_at <= clock_timestamp(), true) OR l.holder = :own)
  AND (held.key = :key
       AND (locks.pid = l.backend OR session.state_change < clock_timestamp() - CAST(:expiry AS interval))
       OR held.key = :marker AND l.holder <> :own)
""")


def marker(holder: str) -> int:
    """The key of an advisory lock that all transactions of a holder share: it tells whose they are."""
    return lock_key(f"holder:{holder}")


class PostgresLeases:
    """``lost`` is called when the session has ended."""

    def __init__(self, store: LeaseStore, own: Own, lost: Callable[[], None]) -> None:
        assert store.postgres is not None
        self._store, self._own, self._lost = store, own, lost
        self._engine = store.postgres.engine(_PATIENCE, statements=_PATIENCE, poolclass=NullPool)
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        #: of what cannot be ended, each once
        self._logged: set[str] = set()

    @property
    def is_connected(self) -> bool:
        return self._driver is not None and not self._driver.is_closed()

    async def renew(self, expiry: float) -> Mapping[str, int]:
        async with self._session() as session:
            mine = (LEASES.c.holder == self._own.id, LEASES.c.backend == func.pg_backend_pid())
            renewed = update(LEASES).where(*mine).values(renewed_at=_NOW, expires_at=_NOW + _seconds(expiry))
            found = await session.execute(renewed.returning(LEASES.c.name, LEASES.c.fence))
            return {row.name: row.fence for row in found}

    async def look(self, names: list[str], expiry: float) -> Mapping[str, Found]:
        found = {}
        async with self._session() as session:
            asked = {"names": names, "keys": [lock_key(name) for name in names]}
            for row in (await session.execute(_LOOK, asked)).all():
                is_ours = row.is_ours
                is_left = row.is_ours and row.holder is None
                if (row.is_over and not is_left) or row.holder == self._own.id:
                    await self._end(session, row, expiry)
                    is_ours = is_ours or await self._wait_for(session, row.name)
                is_held = row.holder is not None and not is_ours and not row.is_over
                found[row.name] = Found(is_ours, Holder(row.host, row.pid, row.since) if is_held else None)
        return found

    async def _wait_for(self, session: AsyncConnection, name: str) -> bool:
        """The lock of a session that is about to end."""
        try:
            await session.execute(select(func.pg_advisory_lock(lock_key(name))))
        except DBAPIError as error:
            if not is_locked(error):
                raise
            return False
        return True

    async def _end(self, session: AsyncConnection, row: Any, expiry: float) -> None:
        """What keeps a lease that is over, or may be; the database looks again."""
        key, own = lock_key(row.name), self._own.id
        parameters = {"name": row.name, "key": key, "own": own, "expiry": timedelta(seconds=expiry)}
        try:
            ended = await session.execute(_END, {**parameters, "marker": marker(row.holder or own)})
            if count := ended.scalar_one():
                sentence = f"{row.name}: {count} sessions of {row.host} pid {row.pid}, which stands still, were ended"
                _log.warning(sentence, extra={"action": "lease_ended", "lease": row.name, "sessions": count})
        except DBAPIError as error:
            if self._driver.is_closed():
                raise
            sentence = f"{row.name}: the sessions of its holder, which stands still, cannot be ended: {reason(error)}"
            if sentence not in self._logged:
                self._logged.add(sentence)
                _log.error(sentence, extra={"action": "lease_not_ended", "lease": row.name})

    async def take(self, name: str, expiry: float) -> int | None:
        """In one statement: who stands still leaves no transaction open."""
        taken = taking(self._own, name, _NOW, _NOW + _seconds(expiry), func.pg_backend_pid()).cte("taken")
        fence = select(taken.c.fence)
        if (guarded := guarded_row(name)) is not None:
            table, which = guarded
            raised = update(table).where(which).values(fence=fence.scalar_subquery()).cte("raised")
            fence = fence.add_cte(raised)
        async with self._session() as session:
            try:
                return int((await session.execute(fence)).scalar_one())
            except DBAPIError as error:
                if not is_locked(error):
                    raise
                await session.execute(select(func.pg_advisory_unlock(lock_key(name))))
                return None

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncConnection]:
        """The session, made anew when it has ended. Whatever goes wrong ends it, and gives all locks back."""
        try:
            if not self.is_connected:
                await self._drop()
                await self._connect()
            assert self._connection is not None
            await self._store.check_revision(self._connection)
            yield self._connection
        except BaseException:
            await self._drop()
            raise

    async def _connect(self) -> None:
        connection = await self._engine.connect()
        self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        self._driver = (await connection.get_raw_connection()).driver_connection
        self._driver.add_termination_listener(lambda _: self._lost())
        await self._connection.execute(text(f"SET lock_timeout = '{_WAIT:g}s'"))

    async def _drop(self) -> None:
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                await self._give_back(self._connection)
            await self._drop()
        await self._engine.dispose()

    async def _give_back(self, session: AsyncConnection) -> None:
        ours = update(LEASES).where(LEASES.c.holder == self._own.id)
        async with asyncio.timeout(_GIVING_BACK):
            await session.execute(ours.values(holder=None, backend=None, expires_at=_NOW))


def _seconds(seconds: float) -> Any:
    return literal(timedelta(seconds=seconds))
