"""All who asked the same: each result is rendered once and handed to every one of them as the same bytes."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from connectory.live.rendering import Rendering
from connectory.live.sink import Sink
from connectory.live.subscriber import Subscriber
from connectory.store.records import EventRecord, SystemRecord
from resolvers.feeds import Chunk, Feed, Item, LogFeed, SummaryFeed

#: Subscribers that are served before others get their turn on the loop.
_AT_A_TIME = 100
#: Rows that may wait to be rendered; beyond it, readers go back to the log.
_WAITING = 1000
#: Bodies that those who read the same stretch of the log again share.
_SHARED = 1000
#: Seconds between two counts of the same summaries.
_PAUSE = 0.25
#: Seconds until what failed is tried again.
_AGAIN = 1.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Surroundings:
    """What a broadcast needs of its process."""

    #: the position of the log that broadcasts have been told of
    position: Callable[[], int]
    #: called when the last subscriber has left
    forget: Callable[["Broadcast"], None]


class Broadcast(ABC):
    """One distinct subscription: document, variables and viewer."""

    def __init__(self, key: Hashable, rendering: Rendering, around: Surroundings) -> None:
        self.key = key
        self.rendering = rendering
        self.members: set[Subscriber] = set()
        #: members that are given what is new as it comes
        self._live: dict[Subscriber, None] = {}
        self._around = around
        self._work: asyncio.Task[None] | None = None

    def join(self, sink: Sink, cursor: str | None) -> Subscriber:
        """A new member; it is served from ``cursor`` on, by a task of its own until it has come to the present."""
        subscriber = Subscriber(self, sink)
        self.members.add(subscriber)
        subscriber.run(partial(self._bring_up, subscriber, cursor))
        return subscriber

    def remove(self, subscriber: Subscriber) -> None:
        self._live.pop(subscriber, None)
        self.members.discard(subscriber)
        if not self.members:
            if self._work is not None and self._work is not asyncio.current_task():
                self._work.cancel()
            self._around.forget(self)

    @property
    def feed(self) -> Feed:
        return self.rendering.feed

    @property
    def about(self) -> frozenset[str] | None:
        """Global ids that it is about; None: it may be any."""
        return self.rendering.feed.about

    @property
    def is_ordered(self) -> bool:
        """Whether an item at a position that a member has passed is no news to it."""
        return True

    @abstractmethod
    def hear(self, events: Sequence[EventRecord], systems: Mapping[str, SystemRecord]) -> None:
        """Rows that the log has grown by. Returns at once."""

    @abstractmethod
    def fall_behind(self, subscriber: Subscriber, item: Item, body: bytes) -> None:
        """A live member's client does not take ``item`` now."""

    @abstractmethod
    async def _bring_up(self, subscriber: Subscriber, cursor: str | None) -> None:
        """Open, and bring a member to the present."""

    @abstractmethod
    async def _render_waiting(self) -> None:
        """Render and hand out whatever waits."""

    def _set_to_work(self) -> None:
        if self._live and (self._work is None or self._work.done()):
            self._work = asyncio.create_task(self._guarded(), name="broadcast")

    async def _guarded(self) -> None:
        while True:
            try:
                return await self._render_waiting()
            except Exception as error:
                await _rest(error)

    async def _hand_out(self, item: Item, body: bytes) -> None:
        for number, subscriber in enumerate(tuple(self._live), 1):
            await subscriber.offer(item, body)
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)


async def _rest(error: Exception) -> None:
    """The store does not answer: try again in a while, rather than end what clients follow."""
    _log.warning(f"a subscription cannot be served: {error}", extra={"action": "live_store_failed"})
    await asyncio.sleep(_AGAIN)


class LogBroadcast(Broadcast):
    """Rows of the log."""

    def __init__(self, key: Hashable, rendering: Rendering, feed: LogFeed, around: Surroundings) -> None:
        super().__init__(key, rendering, around)
        self._feed = feed
        self._waiting: list[Item] = []
        #: rendered for those who read again, until the log grows
        self._bodies: dict[tuple[int, bool], bytes] = {}
        self._turn = asyncio.Lock()

    def hear(self, events: Sequence[EventRecord], systems: Mapping[str, SystemRecord]) -> None:
        self._bodies.clear()
        if not self._live:
            return
        self._waiting += [item for event in events if (item := self._feed.item(event, systems)) is not None]
        if len(self._waiting) > _WAITING:
            self._shed()
        if self._waiting:
            self._set_to_work()

    def _shed(self) -> None:
        """More than can be rendered in time: nothing is lost, but it is given at everybody's own pace."""
        if self._feed.coalesces:
            newest = {item.key: item for item in self._waiting}
            self._waiting = sorted(newest.values(), key=lambda item: item.position)
            return
        self._waiting.clear()
        for subscriber in tuple(self._live):
            self._read_again(subscriber)

    async def _render_waiting(self) -> None:
        while self._waiting and self._live:
            item = self._waiting.pop(0)
            await self._hand_out(item, await self.rendering.body(item.record))
        self._waiting.clear()

    def fall_behind(self, subscriber: Subscriber, item: Item, body: bytes) -> None:
        if self._feed.coalesces:
            subscriber.keep(item, body)
        else:
            self._read_again(subscriber)

    def _read_again(self, subscriber: Subscriber) -> None:
        self._live.pop(subscriber, None)
        subscriber.run(partial(self._replay, subscriber))

    async def _bring_up(self, subscriber: Subscriber, cursor: str | None) -> None:
        async with self.rendering.context() as ctx:
            chunk = await self._feed.after(cursor).open(ctx)
        await self._deliver(subscriber, chunk)
        await self._replay(subscriber)

    async def _replay(self, subscriber: Subscriber) -> None:
        """Read on in the log until it is told to the end; from there on the member is live."""
        while not subscriber.has_left:
            assert subscriber.position is not None
            if subscriber.position >= self._around.position():
                self._live[subscriber] = None  # without any pause since the comparison
                return
            if not subscriber.sink.is_ready:
                await subscriber.sink.drained()
            try:
                async with self.rendering.context() as ctx:
                    chunk = await self._feed.replay(ctx, subscriber.position)
            except Exception as error:
                await _rest(error)  # nothing is lost: it goes on from the same position
            else:
                await self._deliver(subscriber, chunk)

    async def _deliver(self, subscriber: Subscriber, chunk: Chunk) -> None:
        for item in chunk.items:
            if subscriber.has_left:
                return
            await subscriber.deliver(item, await self._shared_body(item))
        if not subscriber.has_left:
            subscriber.position = chunk.position
            if chunk.is_over:
                await subscriber.finish()

    async def _shared_body(self, item: Item) -> bytes:
        key = (item.position, item.is_opening)
        async with self._turn:
            body = self._bodies.get(key)
            if body is None:
                body = await self.rendering.body(item.record)
                if len(self._bodies) >= _SHARED:
                    self._bodies.clear()
                self._bodies[key] = body
        return body


class StateBroadcast(Broadcast):
    """A state that is counted anew when the log grows; members are given what of it has changed."""

    def __init__(self, key: Hashable, rendering: Rendering, feed: SummaryFeed, around: Surroundings) -> None:
        super().__init__(key, rendering, around)
        self._feed = feed
        #: as it was last counted: the records by key, and rendered
        self._records: dict[str, Any] = {}
        self._bodies: dict[str, tuple[Item, bytes]] = {}
        self._position = -1
        self._is_due = True
        self._turn = asyncio.Lock()

    def hear(self, events: Sequence[EventRecord], systems: Mapping[str, SystemRecord]) -> None:
        """Also called with no events at all, for what changes by the clock alone."""
        self._is_due = True
        self._set_to_work()

    async def _render_waiting(self) -> None:
        while self._is_due and self._live:
            async with self._turn:
                await self._count()
            await asyncio.sleep(_PAUSE)

    async def _count(self) -> None:
        """Count, render and hand out what has changed."""
        async with self.rendering.context() as ctx:
            self._is_due = False
            try:
                records, position = await self._feed.state(ctx)
            except Exception:
                self._is_due = True
                raise
        vanished = {key: self._feed.vanished(key) for key in self._records.keys() - records.keys()}
        changed = {key: record for key, record in records.items() if self._records.get(key) != record}
        self._records, self._position = records, position
        for key, record in {**changed, **vanished}.items():
            item = Item(record, position, key)
            body = await self.rendering.body(record)
            self._bodies[key] = (item, body)
            await self._hand_out(item, body)
        for key in vanished:
            del self._bodies[key]

    @property
    def is_ordered(self) -> bool:
        return False  # what changed by the clock alone has no position of its own

    def fall_behind(self, subscriber: Subscriber, item: Item, body: bytes) -> None:
        subscriber.keep(item, body)

    async def _bring_up(self, subscriber: Subscriber, cursor: str | None) -> None:
        async with self._turn:
            if self._is_due or self._position < self._around.position():
                await self._count()
            present = list(self._bodies.values())
            self._live[subscriber] = None
            self._set_to_work()  # the log may have grown while nobody was live
            # the lock is not held while a client takes its time
            for item, body in sorted(present, key=lambda pair: str(pair[0].key)):
                subscriber.keep(item, body)
        await subscriber.hand_over()
