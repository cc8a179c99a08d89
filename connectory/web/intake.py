"""Whose bytes are read next. Each turn of the loop takes a little of what clients have sent: clients in turn, and of
one client the connection that was read least lately. Who sends much waits for itself, and not everybody for it.
"""

import asyncio
import heapq
import logging
from itertools import count
from typing import Protocol

#: Portions that one turn of the loop reads: a request or some frames each.
PER_TURN = 4

_log = logging.getLogger(__name__)


class Sender(Protocol):
    """A connection that has something to be read."""

    client: str
    #: chunks of it that were read in this second of the loop's clock
    lately: tuple[int, int]

    def proceed(self) -> None:
        """Read a chunk."""

    def abort(self) -> None:
        """End its connection at once."""


class Intake:
    """All that was sent to one server and is not read."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        #: of each client a heap; the client that comes next stands first
        self._queues: dict[str, list[tuple[int, int, Sender]]] = {}
        self._numbers = count()
        self._left = PER_TURN
        self._is_turning = False

    def goes_now(self, sender: Sender) -> bool:
        """Whether a chunk may be read at once; it is counted then."""
        if self._queues or not self._left:
            return False
        self._count(sender)
        return True

    def put(self, sender: Sender) -> None:
        """Let it proceed when its turn has come."""
        second, chunks = sender.lately
        chunks = chunks if second == int(self._loop.time()) else 0
        heapq.heappush(self._queues.setdefault(sender.client, []), (chunks, next(self._numbers), sender))
        self._begin_turn()

    def _count(self, sender: Sender) -> None:
        now, (second, chunks) = int(self._loop.time()), sender.lately
        sender.lately = now, chunks + 1 if second == now else 1
        self._left -= 1
        self._begin_turn()

    def _begin_turn(self) -> None:
        if not self._is_turning:
            self._is_turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_turning = False
        self._left = PER_TURN
        while self._left and self._queues:
            client, queue = next(iter(self._queues.items()))
            *_, sender = heapq.heappop(queue)
            del self._queues[client]
            if queue:
                self._queues[client] = queue
            self._count(sender)
            try:
                sender.proceed()
            except Exception:
                _log.exception("what a client sent could not be read", extra={"action": "http.unreadable"})
                sender.abort()
        if self._queues:
            self._begin_turn()
