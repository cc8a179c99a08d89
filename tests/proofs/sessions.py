"""How many sessions PostgreSQL has of each gateway, watched from beside."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg

from tests.e2e.bridge import Bridge

_PORTS = "SELECT client_port FROM pg_stat_activity WHERE backend_type = 'client backend'"
#: Seconds between two looks.
_EVERY = 0.05


class Sessions:
    """Each gateway comes over a bridge of its own, whose ports tell whose a session is. Our own come over none.

    A gateway has those of which it holds its end open. The server may keep others: of a process that was killed, and
    of connections that were given up while nothing arrived. No gateway can use or end those, so they count as nobody's.
    """

    def __init__(self, url: str, bridges: Mapping[str, Bridge]) -> None:
        self._url, self._bridges = url, bridges
        #: at once, since ``anew``, by gateway; and of those that are nobody's
        self.most: Counter[str] = Counter()
        self.most_left = 0
        self.looks = 0

    def anew(self) -> None:
        self.most.clear()
        self.most_left = self.looks = 0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            (ended,) = await asyncio.gather(watching, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended

    async def _watch(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(self._url, timeout=10)
                try:
                    while True:
                        self._count([row["client_port"] for row in await connection.fetch(_PORTS, timeout=10)])
                        await asyncio.sleep(_EVERY)
                finally:
                    connection.terminate()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                await asyncio.sleep(_EVERY)  # it is being restarted

    def _count(self, ports: list[int]) -> None:
        """What is open now was open when the server told of it: nobody is counted who was not there at once."""
        links = {link.port: (name, link) for name, bridge in self._bridges.items() for link in bridge.links}
        found = [links[port] for port in ports if port in links]
        held = Counter(name for name, link in found if link.is_open)
        self.most |= held
        self.most_left = max(self.most_left, len(found) - held.total())
        self.looks += 1
