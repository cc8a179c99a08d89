"""Places for operations: so many may be executed at once, of one socket, of one client and in all. Who finds none waits
in a short line, in which clients take turns; who finds that full is told so at once, before anything is done for it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from connectory.bad_request import BadRequest
from connectory.limits import Crowd, how_to_raise

#: Seconds after which another try may be worth it: lines move on within that.
RETRY_AFTER = 1


class Full(BadRequest):
    """There is no place, and none to wait for one."""


class _Waiter(NamedTuple):
    turn: "asyncio.Future[None]"
    socket: Hashable | None


@dataclass(slots=True)
class _Client:
    running: int = 0
    on_sockets: Counter[Hashable] = field(default_factory=Counter)
    waiting: deque[_Waiter] = field(default_factory=deque)


class Places:
    """Those of one application."""

    def __init__(self, crowd: Crowd) -> None:
        self.running = 0
        self.waiting = 0
        self._crowd = crowd
        #: those who have something here; who was let in last stands last
        self._clients: dict[str | None, _Client] = {}

    @asynccontextmanager
    async def place(self, client: str | None, socket: Hashable | None = None) -> AsyncIterator[None]:
        """A place for as long as the block runs; ``client`` is an address. Raises Full."""
        await self._enter(client, socket)
        try:
            yield
        finally:
            self._leave(client, socket)

    def check(self, client: str | None) -> None:
        """Raises Full where ``client`` could not even wait."""
        crowd, found = self._crowd, self._clients.get(client)
        if found is not None and len(found.waiting) >= crowd.waiting_operations_per_client:
            setting = "waiting_operations_per_client"
            raise Full(
                f"{crowd.waiting_operations_per_client:,} operations of this address wait already. Ask for less at "
                f"once, or {how_to_raise(setting)}.",
                status=429,
                code="TOO_MANY_OPERATIONS",
                setting=setting,
                retry_after=RETRY_AFTER,
            )
        if self.waiting >= crowd.waiting_operations:
            setting = "waiting_operations"
            raise Full(
                f"The gateway is busy: {crowd.waiting_operations:,} operations wait already. Come back soon, or "
                f"{how_to_raise(setting)}.",
                status=503,
                code="OVERLOADED",
                setting=setting,
                retry_after=RETRY_AFTER,
            )

    async def _enter(self, client: str | None, socket: Hashable | None) -> None:
        found = self._clients.get(client) or _Client()
        if self._is_free(found, socket):
            self._take(client, found, socket)
            return
        self.check(client)
        self._clients[client] = found
        waiter = _Waiter(asyncio.get_running_loop().create_future(), socket)
        found.waiting.append(waiter)
        self.waiting += 1
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.cancelled():
                found.waiting.remove(waiter)
                self.waiting -= 1
                self._forget(client)
            else:  # the place came at the same moment
                self._leave(client, socket)
            raise

    def _is_free(self, client: _Client, socket: Hashable | None) -> bool:
        crowd = self._crowd
        return (
            self.running < crowd.operations_at_once
            and client.running < crowd.operations_per_client
            and (socket is None or client.on_sockets[socket] < crowd.operations_per_socket)
        )

    def _take(self, name: str | None, client: _Client, socket: Hashable | None) -> None:
        self._clients.pop(name, None)
        self._clients[name] = client
        self.running += 1
        client.running += 1
        if socket is not None:
            client.on_sockets[socket] += 1

    def _leave(self, client: str | None, socket: Hashable | None) -> None:
        found = self._clients[client]
        self.running -= 1
        found.running -= 1
        if socket is not None:
            found.on_sockets[socket] -= 1
            if not found.on_sockets[socket]:
                del found.on_sockets[socket]
        while self.waiting and self._let_in_next():
            pass
        self._forget(client)

    def _let_in_next(self) -> bool:
        """The first who may, of the client who has waited longest for one of its operations to be let in."""
        for name, client in self._clients.items():
            for waiter in client.waiting:
                if not waiter.turn.done() and self._is_free(client, waiter.socket):
                    client.waiting.remove(waiter)
                    self.waiting -= 1
                    self._take(name, client, waiter.socket)
                    waiter.turn.set_result(None)
                    return True
        return False

    def _forget(self, name: str | None) -> None:
        client = self._clients.get(name)
        if client is not None and not client.running and not client.waiting:
            del self._clients[name]
