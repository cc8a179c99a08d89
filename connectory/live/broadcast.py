"""All who asked the same: each result is rendered once and handed to every one of them as the same bytes."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from random import Random
from typing import Any

from connectory.live.rendering import Rendering, StoreAway
from connectory.live.replay import LogRange, Replay
from connectory.live.sink import Sink
from connectory.live.subscriber import Subscriber
from connectory.store.error_texts import may_recover
from connectory.store.log.cursors import Place
from connectory.store.reads.records import EventRecord, SystemRecord
from connectory.store.write_health import is_failure
from resolvers.feeds import Feed, Item, LogFeed, SummaryFeed

#: Subscribers that are served before others get their turn on the loop.
_AT_A_TIME = 100
#: Rows that may wait to be rendered; beyond it, readers go back to the log.
_WAITING = 1000
#: Seconds between two counts of the same summaries.
_PAUSE = 0.25
#: Seconds, about, until what failed is tried again, and between two sentences about it in the log.
_AGAIN, _SILENCE = 1.0, 60.0

_log = logging.getLogger(__name__)


def _may_pass(error: Exception) -> bool:
    """Whether it lies in the store that fails, rather than in what was asked or in us."""
    return isinstance(error, StoreAway) or may_recover(error) or is_failure(error)


@dataclass(slots=True)
class BroadcastContext:
    """What a broadcast needs of its process."""

    #: the position of the log that broadcasts have been told of
    position: Callable[[], int]
    #: called when the last subscriber has left
    forget: Callable[["Broadcast"], None]
    chance: Random
    #: when the log was last told that the store does not answer
    _warned_at: float = -inf

    async def wait_for_store(self, error: Exception) -> None:
        """The store does not answer: try again in a while, rather than end what clients follow. Told once in a while,
        however many wait."""
        now = asyncio.get_running_loop().time()
        if now - self._warned_at > _SILENCE:
            self._warned_at = now
            _log.warning(f"subscriptions cannot be served for now: {error}", extra={"action": "live_store_failed"})
        await asyncio.sleep(self.chance.uniform(0.5, 1.5) * _AGAIN)


class Broadcast(ABC):
    """One distinct subscription: document, variables and viewer."""

    def __init__(self, key: Hashable, rendering: Rendering, context: BroadcastContext) -> None:
        self.key = key
        self.rendering = rendering
        self.members: set[Subscriber] = set()
        #: members that are given what is new as it comes
        self._live: dict[Subscriber, None] = {}
        self._context = context
        self._work: asyncio.Task[None] | None = None

    def join(self, sink: Sink, cursor: str | None, position: int | None) -> Subscriber:
        """A new member; it is served from ``cursor`` on, or from a ``position`` that we know ourselves, by a task of
        its own until it has come to the present."""
        subscriber = Subscriber(self, sink)
        subscriber.position = position
        self.members.add(subscriber)
        subscriber.run(partial(self._bring_up, subscriber, cursor))
        return subscriber

    def remove(self, subscriber: Subscriber) -> None:
        """The subscriber has left; with the last one the broadcast ends."""
        self._live.pop(subscriber, None)
        self.members.discard(subscriber)
        if not self.members:
            if self._work is not None and self._work is not asyncio.current_task():
                self._work.cancel()
            self._context.forget(self)

    @property
    def feed(self) -> Feed:
        """What it renders."""
        return self.rendering.feed

    @property
    def is_ordered(self) -> bool:
        """Whether an item at a position that a member has passed is no news to it."""
        return True

    @abstractmethod
    def hear(self, events: Sequence[EventRecord], systems: Mapping[str, SystemRecord]) -> None:
        """Rows that the log has grown by. Returns at once."""

    @abstractmethod
    def miss(self) -> None:
        """Rows that the log has grown by did not reach it: whoever is live goes by the log instead. Returns at once."""

    @abstractmethod
    def begin_anew(self, store: int) -> None:
        """The log is another one than that of ``store`` which was read so far. Returns at once."""

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
                if not _may_pass(error):
                    return await self._end(error)
                await self._context.wait_for_store(error)

    async def _end(self, error: Exception) -> None:
        """What is wrong stays so: whoever waits for more is told, rather than left waiting."""
        for subscriber in tuple(self._live):
            await subscriber.fail(error)

    async def _hand_out(self, item: Item, body: bytes) -> None:
        for number, subscriber in enumerate(tuple(self._live), 1):
            if subscriber in self._live:  # while others were served it may have left, or gone back to the log
                try:
                    await subscriber.offer(item, body)
                except Exception as error:  # its own affair: the others are served
                    await subscriber.fail(error)
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)


class LogBroadcast(Broadcast):
    """Rows of the log."""

    def __init__(self, key: Hashable, rendering: Rendering, feed: LogFeed, context: BroadcastContext) -> None:
        super().__init__(key, rendering, context)
        self._feed = feed
        self._waiting: list[Item] = []
        self._past = Replay(rendering, feed)

    def hear(self, events: Sequence[EventRecord], systems: Mapping[str, SystemRecord]) -> None:
        self._past.forget()
        if not self._live:
            return
        self._waiting += [item for event in events if (item := self._feed.item(event, systems)) is not None]
        if len(self._waiting) > _WAITING:
            self._shed()
        if self._waiting:
            self._set_to_work()

    def miss(self) -> None:
        self._past.forget()
        self._waiting.clear()
        for subscriber in tuple(self._live):
            self._read_again(subscriber)

    def begin_anew(self, store: int) -> None:
        """Members go on as if they came back with a cursor of the log that they have read."""
        self._past.forget()
        self._waiting.clear()
        for subscriber in tuple(self.members):
            if subscriber.position is not None:
                cursor = Place(subscriber.position, None, store).cursor
                subscriber.position = None
                self._live.pop(subscriber, None)
                subscriber.go_back(partial(self._bring_up, subscriber, cursor))

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
            item = self._waiting[0]
            body = await self.rendering.body(item.record)
            if self._waiting and self._waiting[0] is item:
                del self._waiting[0]
            await self._hand_out(item, body)
        self._waiting.clear()

    def fall_behind(self, subscriber: Subscriber, item: Item, body: bytes) -> None:
        if self._feed.coalesces:
            subscriber.keep(item, body)
        else:
            self._read_again(subscriber)

    def _read_again(self, subscriber: Subscriber) -> None:
        if subscriber in self._live:
            del self._live[subscriber]
            subscriber.go_back(partial(self._replay, subscriber))

    async def _bring_up(self, subscriber: Subscriber, cursor: str | None) -> None:
        while subscriber.position is None and not subscriber.has_left:
            await self._deliver(subscriber, partial(self._past.opening, cursor))
        # who hands back a cursor may know more of the log than has been told here, and the opening shows no rows
        await self._replay(subscriber, at_least_once=cursor is not None and self._feed.begins_now)

    async def _replay(self, subscriber: Subscriber, *, at_least_once: bool = False) -> None:
        """Read on in the log until it is told to the end; from there on the member is live."""
        while not subscriber.has_left:
            assert subscriber.position is not None
            newest = self._context.position()
            if subscriber.position >= newest and not at_least_once:
                self._live[subscriber] = None  # without any pause since the comparison
                return
            at_least_once = False
            least = max(newest, subscriber.position)
            await self._deliver(subscriber, partial(self._past.after, subscriber.position, least))

    async def _deliver(self, subscriber: Subscriber, read: Callable[[], Awaitable[LogRange]]) -> None:
        """Read a range and give it at the client's own pace. What it does not take is let go and read again: nobody
        holds rows for who does not read. Raises what will not pass by itself, such as GraphQLError and TooSlow."""
        if not subscriber.sink.is_ready:
            await subscriber.sink.drained()
        try:
            log_range = await read()
            place = log_range.place(subscriber.position)
            while results := await self._past.results(log_range, place):
                if subscriber.has_left or not subscriber.sink.is_ready:
                    return
                await subscriber.give(results)
                place += len(results)
        except Exception as error:
            if not _may_pass(error):
                raise
            await self._context.wait_for_store(error)  # nothing is lost: it goes on from the same position
            return
        if not subscriber.has_left:
            subscriber.position = max(log_range.chunk.position, subscriber.position or 0)
            if log_range.chunk.is_over:
                await subscriber.finish()


class StateBroadcast(Broadcast):
    """A state that is counted anew when the log grows; members are given what of it has changed."""

    def __init__(self, key: Hashable, rendering: Rendering, feed: SummaryFeed, context: BroadcastContext) -> None:
        super().__init__(key, rendering, context)
        self._feed = feed
        #: as it was last counted: the records by key, and rendered
        self._records: dict[str, Any] = {}
        self._bodies: dict[str, tuple[Item, bytes]] = {}
        self._position = -1
        self._is_due = True
        self._turn = asyncio.Lock()
        self._admissions: set[asyncio.Task[None]] = set()

    def hear(self, events: Sequence[EventRecord], systems: Mapping[str, SystemRecord]) -> None:
        """Also called with no events at all, for what changes by the clock alone."""
        self._is_due = True
        self._set_to_work()

    def miss(self) -> None:
        self.hear((), {})

    def begin_anew(self, store: int) -> None:
        self.hear((), {})

    async def _render_waiting(self) -> None:
        while self._is_due and self._live:
            async with self._turn:
                await self._count()
            await asyncio.sleep(_PAUSE)

    async def _count(self) -> None:
        """Count, render and hand out what has changed. What it does not come to is due again."""
        self._is_due = False
        try:
            async with self.rendering.context() as ctx:
                records, place = await self._feed.state(ctx)
            vanished = {key: self._feed.vanished(key) for key in self._records.keys() - records.keys()}
            changed = {key: record for key, record in records.items() if self._records.get(key) != record}
            for key, record in {**changed, **vanished}.items():
                item = Item(record, place.position, place.cursor, key)
                body = await self.rendering.body(record)
                self._records[key], self._bodies[key] = record, (item, body)
                await self._hand_out(item, body)
            for key in vanished:
                del self._records[key], self._bodies[key]
            self._position = place.position
        except BaseException:
            self._is_due = True
            raise

    @property
    def is_ordered(self) -> bool:
        return False  # what changed by the clock alone has no position of its own

    def fall_behind(self, subscriber: Subscriber, item: Item, body: bytes) -> None:
        subscriber.keep(item, body)

    async def _bring_up(self, subscriber: Subscriber, cursor: str | None) -> None:
        # in a task of its own: a count that one reader begins is everybody's, also when that reader goes
        admission = asyncio.create_task(self._admit(subscriber), name="broadcast")
        self._admissions.add(admission)
        # who has gone asks for no reason
        admission.add_done_callback(lambda task: task.cancelled() or task.exception())
        admission.add_done_callback(self._admissions.discard)
        await asyncio.shield(admission)
        await subscriber.hand_over()

    def remove(self, subscriber: Subscriber) -> None:
        super().remove(subscriber)
        if not self.members:
            for admission in self._admissions - {asyncio.current_task()}:
                admission.cancel()

    async def _admit(self, subscriber: Subscriber) -> None:
        """Make it live, with the present state waiting for it."""
        async with self._turn:
            while (self._is_due or self._position < self._context.position()) and not subscriber.has_left:
                try:
                    await self._count()
                except Exception as error:
                    if not _may_pass(error):
                        raise
                    await self._context.wait_for_store(error)
            if subscriber.has_left:
                return
            for item, body in sorted(self._bodies.values(), key=lambda pair: str(pair[0].key)):
                subscriber.keep(item, body)
            self._live[subscriber] = None
            self._set_to_work()  # the log may have grown while nobody was live
