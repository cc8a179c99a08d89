"""The long-lived connections of one application: how many a client may hold, and how they all end at shutdown."""

import asyncio
from collections import Counter
from typing import Protocol

from connectory.execution.bad_request import BadRequest


class LiveConnection(Protocol):
    """A WebSocket or an event stream."""

    async def go_away(self) -> None:
        """End it so that the client comes back, to whoever serves then. Does not wait for a client that is slow."""


class LiveConnections:
    """Whoever is connected now. ``most`` is what one client's address may hold, whatever the transport."""

    def __init__(self, most: int) -> None:
        #: those that have been opened
        self.open: set[LiveConnection] = set()
        self._most = most
        self._by_client: Counter[str | None] = Counter()
        self._is_closing = False

    def enter(self, client: str | None) -> None:
        """Count one more. Raises BadRequest: 429 when the client has too many already, 503 at shutdown."""
        if self._is_closing:
            raise BadRequest("The gateway is shutting down; come back soon.", status=503)
        if self._by_client[client] >= self._most:
            raise BadRequest(
                f"This address holds {self._most:,} live connections already. End some, carry several subscriptions on "
                "one WebSocket, or raise connections_per_client under [server] in the configuration.",
                status=429,
            )
        self._by_client[client] += 1

    def leave(self, client: str | None) -> None:
        """Count one less, of a client that has entered."""
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]

    async def close(self) -> None:
        """Send everybody away and admit nobody any more."""
        self._is_closing = True
        await asyncio.gather(*(connection.go_away() for connection in self.open), return_exceptions=True)
