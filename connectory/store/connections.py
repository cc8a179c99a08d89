"""The connections of one lane, so that none waits for another: a lane is as wide as it is, and whoever finds it full
waits in turn.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_log = logging.getLogger(__name__)
#: Seconds that who gives a connection back waits until it is sound again; the rest comes to its end by itself.
_GIVEN_BACK_WITHIN = 1.0

T = TypeVar("T")


class LaneConnections:
    """Those of one lane. ``patience``: seconds for which somebody waits for one.

    ``engine`` has a pool as wide as ``size``, for which nobody waits: turns are given here, in the order of asking, and
    also when a connection that others wait for could not be made.
    """

    def __init__(self, engine: AsyncEngine, size: int, patience: float) -> None:
        self.engine, self.size = engine, size
        #: how many are taken, and how many wait for one
        self.in_use = self.waiting = 0
        self._patience = patience
        self._turn = asyncio.Semaphore(size)
        self._is_closed = False
        #: connections that are being made or given back
        self._moving: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def connection(self, patience: float = math.inf) -> AsyncIterator[AsyncConnection]:
        """One for as long as the block runs. Raises NoConnection where there is none within ``patience``, or within
        that of the lane; and what the database raises."""
        connection = await self._take(min(patience, self._patience))
        try:
            yield connection
        finally:
            await asyncio.wait({self._give_back(connection)}, timeout=_GIVEN_BACK_WITHIN)

    async def keep(self) -> None:
        """Open as many as there are: they stay open. Raises what the database raises when it refuses one."""
        async with AsyncExitStack() as stack:
            for _ in range(self.size):
                await stack.enter_async_context(self.connection())

    async def close(self) -> None:
        """Return once all were given back and are closed; who keeps one for longer closes it then."""
        self._is_closed = True
        given_back = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GIVEN_BACK_WITHIN):
                for _ in range(self.size):
                    await self._turn.acquire()
                    given_back += 1
        await self.engine.dispose()
        for _ in range(given_back):
            self._turn.release()

    async def _take(self, patience: float) -> AsyncConnection:
        try:
            async with asyncio.timeout(None if patience == math.inf else patience) as deadline:
                await self._wait()
                return await self._connect()
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise NoConnection(f"no connection within {patience:g} s, {self.size} are in use") from error

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        self.in_use += 1

    async def _connect(self) -> AsyncConnection:
        """A driver that is cut short may lose a connection: one that nobody waits for any more is made all the same,
        and given back."""
        making = self._begin(self._make())
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(self._unwanted)
            raise
        except BaseException:
            self._free()
            raise

    async def _make(self) -> AsyncConnection:
        return await self.engine.connect()

    def _unwanted(self, making: "asyncio.Task[AsyncConnection]") -> None:
        if making.cancelled() or making.exception() is not None:
            self._free()
        else:
            self._give_back(making.result())

    def _give_back(self, connection: AsyncConnection) -> "asyncio.Task[None]":
        closing = self._begin(self._close(connection))
        closing.add_done_callback(self._given_back)
        return closing

    async def _close(self, connection: AsyncConnection) -> None:
        if self._is_closed:  # the pool that it would go back to is no more
            # to invalidate it would be to stop the thread of SQLite's driver twice, and to wait for ever, if this is
            # cancelled at the wrong moment
            cast("Connection", connection.sync_connection).detach()
        await connection.close()

    def _given_back(self, closing: "asyncio.Task[None]") -> None:
        self._free()
        if not closing.cancelled() and (error := closing.exception()) is not None:
            _log.warning(f"a connection was lost: {error}", extra={"action": "store_connection_lost"})

    def _free(self) -> None:
        self.in_use -= 1
        self._turn.release()

    def _begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work, name="store connection")
        self._moving.add(task)
        task.add_done_callback(self._moving.discard)
        return task
