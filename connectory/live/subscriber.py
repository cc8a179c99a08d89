"""One subscription of one client: how far it has come, and what it does when its client reads too slowly."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, Protocol

from graphql import GraphQLError

from connectory.execution.answer import encode
from connectory.execution.prepared import Refused
from connectory.live.sink import Sink, TooSlow
from resolvers.feeds import Item

_log = logging.getLogger(__name__)


def _refusal(error: Exception) -> Refused:
    shown = error if isinstance(error, GraphQLError) else GraphQLError("failed", original_error=error, path=[])
    return Refused([shown], before_execution=False)


class Publisher(Protocol):
    """What a subscriber needs of the broadcast that it is a member of."""

    @property
    def is_ordered(self) -> bool:
        """Whether an item at a position that a member has passed is no news to it."""

    def remove(self, subscriber: "Subscriber") -> None:
        """It has left."""

    def fall_behind(self, subscriber: "Subscriber", item: Item, body: bytes) -> None:
        """A live member's client does not take ``item`` now."""


class Subscriber:
    """A place in a broadcast. While its client keeps up it has no task, no timer and no queue of its own."""

    __slots__ = ("_broadcast", "_pending", "_task", "has_left", "position", "sink")

    def __init__(self, broadcast: Publisher, sink: Sink) -> None:
        self.sink = sink
        #: everything up to here of the log has been sent, or needs no sending; None before the opening
        self.position: int | None = None
        self.has_left = False
        self._broadcast = broadcast
        #: what waits for a slow client: the newest result of each key
        self._pending: dict[Hashable, tuple[Item, bytes]] = {}
        self._task: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """Forget the client: no message follows."""
        if not self.has_left:
            self.has_left = True
            self._pending.clear()
            self._broadcast.remove(self)
            if self._task is not None and self._task is not asyncio.current_task():
                self._task.cancel()

    async def offer(self, item: Item, body: bytes) -> None:
        """A new result. Never waits for the client."""
        if self.has_left or (self._broadcast.is_ordered and item.position <= (self.position or 0)):
            return
        if self._pending or not self.sink.is_ready:
            self._broadcast.fall_behind(self, item, body)
            return
        self.position = item.position
        await self._send(item, body)

    async def give(self, results: Sequence[tuple[Item, bytes]]) -> None:
        """Results of the past, in order, all of them new to it."""
        last = next((number for number, (item, _) in enumerate(results) if item.is_last), len(results))
        given = results[: last + 1]
        self.position = given[-1][0].position
        await self.sink.send_all([(body, item.cursor) for item, body in given])
        if last < len(results):
            await self.finish()

    async def _send(self, item: Item, body: bytes) -> None:
        await self.sink.send(body, item.cursor)
        if item.is_last:
            await self.finish()

    async def finish(self) -> None:
        """Tell the client that nothing more comes, and leave."""
        if not self.has_left:
            self.leave()
            await self.sink.complete()

    def keep(self, item: Item, body: bytes) -> None:
        """Put a result aside until the client reads on; it takes the place of an older one of its key."""
        self._pending[item.key] = (item, body)
        if self._task is None:
            self.run(self.hand_over)

    async def hand_over(self) -> None:
        """Give what was put aside, at the client's own pace. Raises TooSlow."""
        while self._pending and not self.has_left:
            if not self.sink.is_ready:
                await self.sink.drained()
            key = next(iter(self._pending))
            item, body = self._pending.pop(key)
            self.position = max(item.position, self.position or 0)
            await self._send(item, body)

    def go_back(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let go of what waits for the client, and read it again from the log by ``work``."""
        self._pending.clear()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self.run(work)

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do what takes its time: open, read again from the log, or wait for the client."""
        self._task = asyncio.create_task(self._guarded(work), name="subscriber")

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except TooSlow:
            self.leave()  # the transport ends the connection
        except Exception as error:
            await self.fail(error)
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    async def fail(self, error: Exception) -> None:
        """Tell the client why nothing more comes, if it can be told, and leave."""
        if not self.has_left:
            body = encode(_refusal(error).body())
            with contextlib.suppress(Exception):
                await self.sink.send(body, "")
            with contextlib.suppress(Exception):
                await self.finish()
