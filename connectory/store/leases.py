"""Which gateway does what only one may do: poll a system, send notices."""

import asyncio

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from connectory.store.postgres import Postgres, lock_key
from connectory.store.transactions import PATIENCE


class Leases:
    """Which systems this process polls: on PostgreSQL the holder of a system's advisory lock does; on SQLite, we do."""

    def __init__(self, postgres: Postgres | None) -> None:
        # all systems wait for this one connection: a server that has gone silent must not hold them for ever
        self._engine = None
        if postgres is not None:
            self._engine = postgres.engine(PATIENCE, statements=PATIENCE, poolclass=NullPool)
        self._connection: AsyncConnection | None = None
        self._held: set[str] = set()
        self._turn = asyncio.Lock()
        #: how many connections have held leases; with each of them everything was free for others in between
        self._term = 0

    async def hold(self, system: str) -> int | None:
        """Take the lease, or make sure that it is still ours; None when another process has it.

        Gives the number of the term: when it is another than before, others may have polled meanwhile. Raises what the
        database raises when it is down.
        """
        if self._engine is None:
            return self._term
        async with self._turn:
            if self._connection is not None and not await self._alive():
                await self._drop()
            if self._connection is None:
                connection = await self._engine.connect()
                self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
                self._term += 1
            if system not in self._held:
                taken = await self._connection.execute(
                    text("SELECT pg_try_advisory_lock(:key)"), {"key": lock_key(f"system:{system}")}
                )
                if not taken.scalar():
                    return None
                self._held.add(system)
            return self._term

    async def _alive(self) -> bool:
        assert self._connection is not None
        try:
            await self._connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError):  # also the library's own, of a connection that broke before
            return False
        return True

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        if self._engine is not None:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
            self._held.clear()
            await self._engine.dispose()
