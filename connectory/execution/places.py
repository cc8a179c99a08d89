"""Places for operations: so many may be executed at once, of one socket, of one client and in all, and fewer of those
that are heavy. Who finds none waits in a short line, in which clients take turns and what is light passes what is
heavy; who finds that full is told so at once, before anything is done for it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from connectory.execution.bad_request import BadRequest
from connectory.limits import Crowd, how_to_raise

#: Seconds after which another try may be worth it: lines move on within that.
RETRY_AFTER = 1


class Full(BadRequest):
    """There is no place, and none to wait for one."""


class Weight(Enum):
    """What the last execution of an operation's document says of it."""

    LIGHT = auto()
    HEAVY = auto()
    #: it was not executed yet
    NEW = auto()


def _light() -> Weight:
    return Weight.LIGHT


@dataclass(slots=True, eq=False)
class _Entrant:
    """An operation that has a place, or waits for one. ``weigh`` is asked until there is a place: what was new may be
    known by then."""

    socket: Hashable | None
    weigh: Callable[[], Weight]
    #: what it weighed when it got its place
    weight: Weight = Weight.NEW


@dataclass(slots=True)
class _Client:
    running: int = 0
    on_sockets: Counter[Hashable] = field(default_factory=Counter)
    of_weight: Counter[Weight] = field(default_factory=Counter)
    #: in their order; each is done once it has a place
    waiting: dict[_Entrant, "asyncio.Future[None]"] = field(default_factory=dict)


class Places:
    """Those of one application."""

    def __init__(self, crowd: Crowd) -> None:
        self.running = 0
        self.waiting = 0
        self._crowd = crowd
        #: of one client; what is new may be heavy
        self._most = {
            Weight.LIGHT: crowd.operations_per_client,
            Weight.HEAVY: crowd.heavy_operations_per_client,
            Weight.NEW: crowd.heavy_operations_per_client,
        }
        #: those who have something here; who was let in last stands last
        self._clients: dict[str | None, _Client] = {}

    @asynccontextmanager
    async def place(
        self, client: str | None, socket: Hashable | None = None, weigh: Callable[[], Weight] = _light
    ) -> AsyncIterator[None]:
        """A place for as long as the block runs; ``client`` is an address. Raises Full."""
        entrant = _Entrant(socket, weigh)
        await self._enter(client, entrant)
        try:
            yield
        finally:
            self._leave(client, entrant)

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

    async def _enter(self, client: str | None, entrant: _Entrant) -> None:
        found, weight = self._clients.get(client) or _Client(), entrant.weigh()
        if self._is_free(found, entrant.socket, weight):
            self._take(client, found, entrant, weight)
            return
        self.check(client)
        self._clients[client] = found
        turn = found.waiting[entrant] = asyncio.get_running_loop().create_future()
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                del found.waiting[entrant]
                self.waiting -= 1
                self._forget(client)
            else:  # the place came at the same moment
                self._leave(client, entrant)
            raise

    def _is_free(self, client: _Client, socket: Hashable | None, weight: Weight) -> bool:
        """Whether there is a place for an operation of that weight."""
        crowd = self._crowd
        return (
            self.running < crowd.operations_at_once
            and client.running < crowd.operations_per_client
            and (socket is None or client.on_sockets[socket] < crowd.operations_per_socket)
            and client.of_weight[weight] < self._most[weight]
        )

    def _take(self, name: str | None, client: _Client, entrant: _Entrant, weight: Weight) -> None:
        entrant.weight = weight
        self._clients.pop(name, None)
        self._clients[name] = client
        self.running += 1
        client.running += 1
        client.of_weight[weight] += 1
        if entrant.socket is not None:
            client.on_sockets[entrant.socket] += 1

    def _leave(self, client: str | None, entrant: _Entrant) -> None:
        found = self._clients[client]
        self.running -= 1
        found.running -= 1
        found.of_weight[entrant.weight] -= 1
        if entrant.socket is not None:
            found.on_sockets[entrant.socket] -= 1
            if not found.on_sockets[entrant.socket]:
                del found.on_sockets[entrant.socket]
        while self.waiting and self._let_in_next():
            pass
        self._forget(client)

    def _let_in_next(self) -> bool:
        """The first who may, of the client who has waited longest for one of its operations to be let in."""
        for name, client in self._clients.items():
            for entrant, turn in client.waiting.items():
                weight = entrant.weigh()
                if not turn.done() and self._is_free(client, entrant.socket, weight):
                    del client.waiting[entrant]
                    self.waiting -= 1
                    self._take(name, client, entrant, weight)
                    turn.set_result(None)
                    return True
        return False

    def _forget(self, name: str | None) -> None:
        client = self._clients.get(name)
        if client is not None and not client.running and not client.waiting:
            del self._clients[name]
