"""What the members of one broadcast read of the log's past: read once and rendered once for all who want it at the same
time, wherever in it each of them begins."""

import asyncio
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TypeVar

from connectory.live.rendering import Rendering, Take
from resolvers.feeds import CHUNK, Chunk, Item, LogFeed

#: Ranges and rendered results that are kept for those who come next, and bytes that a member is given at once.
_KEPT, _SHARED, _BATCH_BYTES = 10, 1000, 16 * 1024
#: Seconds after which they are read anew though the log has not grown: some of what is shown changes by the clock.
_OLDEST = 5.0

Result = tuple[Item, bytes]
T = TypeVar("T")


class LogRange:
    """What was read at once. ``after``: the position behind which it begins."""

    __slots__ = ("after", "chunk")

    def __init__(self, after: int, chunk: Chunk) -> None:
        self.after, self.chunk = after, chunk

    def tells(self, position: int, least: int) -> bool:
        """Whether it tells what comes next for who has come to that position; that nothing does, only where it has come
        to ``least`` itself."""
        if self.chunk.is_own:
            return position == self.after
        end = self.chunk.position
        return self.after <= position < end or position == end >= least

    def place(self, position: int | None) -> int:
        """Of the first item that is new to who has come to that position."""
        return 0 if position is None else bisect_right(self.chunk.items, position, key=attrgetter("position"))


@contextmanager
def _counted(waiting: Counter[T], one: T) -> Iterator[None]:
    waiting[one] += 1
    try:
        yield
    finally:
        waiting[one] -= 1
        if not waiting[one]:
            del waiting[one]


class Replay:
    """Reads, one range at a time: whoever waits for its turn may find what it wants read already."""

    def __init__(self, rendering: Rendering, feed: LogFeed) -> None:
        self._rendering, self._feed = rendering, feed
        self._openings: dict[str | None, asyncio.Task[LogRange]] = {}
        #: those that somebody waits for
        self._awaited: Counter[asyncio.Task[LogRange]] = Counter()
        self._ranges: deque[LogRange] = deque(maxlen=_KEPT)
        self._bodies: dict[Hashable, bytes] = {}
        self._snapshot_number, self._since = rendering.snapshot_number, 0.0
        self._turn, self._rendering_turn = asyncio.Lock(), asyncio.Lock()
        #: positions of those who wait
        self._wanted: Counter[int] = Counter()

    def forget(self) -> None:
        """The log has grown: what is rendered from now on shows more."""
        self._openings.clear()
        self._ranges.clear()
        self._bodies.clear()

    async def opening(self, cursor: str | None) -> LogRange:
        """What a member is given first. Raises as LogFeed.open does."""
        self._renew()
        task = self._openings.get(cursor)
        if task is None:
            # in a task of its own: one that one member begins is everybody's, also when that member goes
            task = self._openings[cursor] = asyncio.create_task(self._open(cursor), name="opening")
            task.add_done_callback(partial(self._opened, cursor))
        try:
            with _counted(self._awaited, task):
                return await asyncio.shield(task)
        finally:
            if not task.done() and task not in self._awaited:  # the last of them has gone
                task.cancel()
                self._drop(cursor, task)

    async def _open(self, cursor: str | None) -> LogRange:
        feed = self._feed.after(cursor)
        async with self._rendering.past(feed.begins_at) as ctx:
            return LogRange(0, await feed.open(ctx))

    def _opened(self, cursor: str | None, task: asyncio.Task[LogRange]) -> None:
        """What may pass is tried again by whoever comes next."""
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self._drop(cursor, task)

    def _drop(self, cursor: str | None, task: asyncio.Task[LogRange]) -> None:
        if self._openings.get(cursor) is task:
            del self._openings[cursor]

    async def after(self, position: int, least: int) -> LogRange:
        """The next rows after a position, from a snapshot that has come to ``least``."""
        with _counted(self._wanted, position):
            while True:
                async with self._turn:
                    self._renew()
                    if (found := self._find(position, least)) is not None:
                        return found
                    # from the lowest on: those further on find theirs in it, or wait for what follows
                    start = min(each for each in self._wanted if self._find(each, least) is None)
                    log_range = await self._read(start, least)
                    if start == position or log_range.tells(position, least):
                        return log_range

    async def _read(self, position: int, least: int) -> LogRange:
        """From a little before the position on, so that those who come next find theirs in it too."""
        async with self._rendering.past(least) as ctx:
            start = position - position % CHUNK
            log_range = LogRange(start, await self._feed.replay(ctx, start))
            if log_range.chunk.is_own and start < position:  # not all of that is kept
                log_range = LogRange(position, await self._feed.replay(ctx, position))
        self._ranges.append(log_range)
        return log_range

    def _find(self, position: int, least: int) -> LogRange | None:
        return next((log_range for log_range in self._ranges if log_range.tells(position, least)), None)

    def _renew(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._snapshot_number != self._rendering.snapshot_number or now - self._since > _OLDEST:
            self.forget()
            self._snapshot_number, self._since = self._rendering.snapshot_number, now

    async def results(self, log_range: LogRange, place: int) -> list[Result]:
        """The next of a range from that place on, as many as are sent at once."""
        found, is_complete = self._rendered(log_range, place)
        if not is_complete:
            async with self._rendering_turn:
                found, is_complete = self._rendered(log_range, place)
                if not is_complete:
                    found = await self._render(log_range, place)
        return found

    def _rendered(self, log_range: LogRange, place: int) -> tuple[list[Result], bool]:
        """What there is of them, and whether that is all."""
        found: list[Result] = []
        size = 0
        for item in islice(log_range.chunk.items, place, None):
            body = self._bodies.get(_key(item))
            if body is None:
                return found, False
            found.append((item, body))
            if (size := size + len(body)) >= _BATCH_BYTES:
                break
        return found, True

    async def _render(self, log_range: LogRange, place: int) -> list[Result]:
        found: list[Result] = []
        size = 0
        async with self._rendering.present() as take:
            for item in islice(log_range.chunk.items, place, None):
                body = await self._body(item, take)
                found.append((item, body))
                if (size := size + len(body)) >= _BATCH_BYTES:
                    break
        return found

    async def _body(self, item: Item, take: Take) -> bytes:
        body = self._bodies.get(_key(item))
        if body is None:
            body = await self._rendering.body(item.record, take)
            if len(self._bodies) >= _SHARED:
                self._bodies.clear()
            self._bodies[_key(item)] = body
        return body


def _key(item: Item) -> Hashable:
    return item.position, item.is_opening, item.key
