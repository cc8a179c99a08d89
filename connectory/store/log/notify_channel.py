"""What the gateways on one PostgreSQL tell each other at once: LISTEN and NOTIFY.

Nothing rests on a message that arrives: the log is read again without it, watches are renewed, and who asks waits for
an answer no longer than a deadline. Those on one file of SQLite tell each other nothing.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from sqlalchemy.pool import NullPool

from connectory.store.database import Store
from connectory.store.log.bus import Bus

#: Where a commit tells the log's new position.
LOG_CHANNEL = "connectory_log"
WATCHES_CHANNEL = "connectory_watches"
REFRESH_CHANNEL = "connectory_refresh"
#: Bytes; PostgreSQL takes less than 8,000.
LONGEST_PAYLOAD = 7_999

_log = logging.getLogger(__name__)
#: Seconds of silence after which the connection is tried, and that it has to answer anything.
_KEEP_ALIVE, _PATIENCE = 10.0, 10.0
#: Seconds between attempts to connect: the first and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
#: Messages kept until they can be sent; beyond that the oldest are dropped.
_KEPT = 10_000
#: Messages sent by one statement.
_AT_ONCE = 500
_NOTIFY = "SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS message(channel, payload)"


class NotifyChannel:
    """One connection of its own to PostgreSQL, made anew whenever it breaks. On SQLite it does nothing.

    ``chance`` is for the pauses between attempts to connect.
    """

    def __init__(self, store: Store, bus: Bus, *, chance: Random | None = None) -> None:
        self._engine = None
        if store.postgres is not None:
            self._engine = store.postgres.engine(_PATIENCE, statements=_PATIENCE, poolclass=NullPool)
        self._chance = chance or Random()
        self._listeners: dict[str, Callable[[str], None]] = {LOG_CHANNEL: lambda position: bus.wake(int(position))}
        self._waiting: deque[tuple[str, str]] = deque(maxlen=_KEPT)
        #: something is to be sent, or the connection has gone
        self._awake = asyncio.Event()
        #: whether messages arrive now
        self.is_connected = False
        self._is_outage_told = False

    @property
    def reaches_others(self) -> bool:
        """Whether another gateway on the same store could hear us."""
        return self._engine is not None

    def listen(self, channel: str, listener: Callable[[str], None]) -> None:
        """Hand the payloads of ``channel`` to ``listener``, our own too. To be called before ``run``."""
        self._listeners[channel] = listener

    def send(self, channel: str, payload: str) -> None:
        """Tell everybody who listens, soon. ``payload`` has at most LONGEST_PAYLOAD bytes."""
        if self._engine is not None:
            self._waiting.append((channel, payload))
            self._awake.set()

    async def run(self) -> None:
        """Listen for ever; on SQLite return at once. A database that is away is logged once and tried again."""
        pause = _FIRST_PAUSE
        while self._engine is not None:
            try:
                await self._hold_connection()
            except Exception as error:
                if self.is_connected:
                    pause = _FIRST_PAUSE
                if not self._is_outage_told:
                    message = f"no messages from other gateways for now: {error or type(error).__name__}"
                    _log.warning(message, extra={"action": "wire_lost"})
            finally:
                self.is_connected = False
            self._is_outage_told = True
            await asyncio.sleep(self._chance.uniform(pause / 2, pause))
            pause = min(_LONGEST_PAUSE, 2 * pause)

    async def _hold_connection(self) -> None:
        """Serve one connection until it breaks. Raises what tells that it has."""
        assert self._engine is not None
        connection = await self._engine.connect()
        try:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(lambda _: self._awake.set())
            for channel in self._listeners:
                await driver.add_listener(channel, self._receive)
            self.is_connected = True
            if self._is_outage_told:
                self._is_outage_told = False
                _log.info("messages from other gateways arrive again", extra={"action": "wire_restored"})
            while not driver.is_closed():
                await self._serve(driver)
            raise ConnectionError("the connection was closed")
        finally:
            await connection.invalidate()
            await connection.close()

    async def _serve(self, driver: Any) -> None:
        """Send what waits; when nothing does, wait for it, and try the connection now and then."""
        self._awake.clear()
        some = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
        if some:
            # not kept for another connection when this fails: one that PostgreSQL refuses would fail there too
            await driver.execute(_NOTIFY, [channel for channel, _ in some], [payload for _, payload in some])
            return
        try:
            async with asyncio.timeout(_KEEP_ALIVE):
                await self._awake.wait()
        except TimeoutError:
            await driver.execute("SELECT 1")

    def _receive(self, connection: object, pid: int, channel: str, payload: str) -> None:
        try:
            self._listeners[channel](payload)
        except Exception:
            _log.exception(f"a message on {channel} could not be read", extra={"action": "wire_message_unreadable"})
