"""The live side of one application: who is subscribed to what, and what the log's growth means for them."""

import asyncio
import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any, Protocol

from strawberry import Schema

from connectory.execution.prepared import Prepared, Refused
from connectory.lanes import Lane
from connectory.live.broadcast import Broadcast, BroadcastContext, LogBroadcast, StateBroadcast
from connectory.live.rendering import Rendering, SharedRendering, render_with, taken_variables
from connectory.live.shared_snapshots import SharedSnapshots
from connectory.live.sink import Sink
from connectory.live.subscriber import Subscriber
from connectory.store import Store
from connectory.store.log.tail import LogBatch, Tail
from connectory.store.reads.records import EventRecord, SystemRecord
from connectory.store.reads.snapshot import open_snapshot
from resolvers.arguments import BadUserInput
from resolvers.context import Context, Viewer
from resolvers.feeds import LogFeed, SummaryFeed

_log = logging.getLogger(__name__)
#: Seconds between counts of summaries without any event: staleness grows by the clock alone.
_CLOCK_INTERVAL = 5.0


class Watches(Protocol):
    """The engine's port for those who want to see something move."""

    def watch(self, ids: Iterable[str]) -> None:
        """Look often at these jobs, and at the open jobs of these connectors, by global id; counted."""

    def unwatch(self, ids: Iterable[str]) -> None:
        """As often as they were watched."""


class Live:
    """All broadcasts of one application. ``clock`` tells the time of snapshots."""

    def __init__(
        self,
        schema: Schema,
        store: Store,
        open_context: Callable[[Viewer], Context],
        tail: Tail,
        watches: Watches,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._tail = tail
        self._watches = watches
        self._snapshots = SharedSnapshots(lambda: open_snapshot(store, clock(), Lane.LIVE))
        #: what is read again of the past: however long that takes, what is new goes out meanwhile
        self._replays = SharedSnapshots(lambda: open_snapshot(store, clock(), Lane.CLIENTS))
        self._shared = SharedRendering(schema, open_context, self._snapshots, self._replays)
        self._context = BroadcastContext(position=lambda: tail.position, forget=self._forget, chance=Random())
        self._broadcasts: dict[Hashable, Broadcast] = {}
        self._by_id: dict[str, set[Broadcast]] = defaultdict(set)
        #: those that any event may concern
        self._open: set[Broadcast] = set()
        #: those that are counted anew
        self._states: set[Broadcast] = set()
        self._ticking: asyncio.Task[None] | None = None
        tail.listen(self._hear, self._miss)

    @property
    def broadcasts(self) -> int:
        """Distinct subscriptions."""
        return len(self._broadcasts)

    @property
    def subscribers(self) -> int:
        """Subscriptions of all clients together."""
        return sum(len(broadcast.members) for broadcast in self._broadcasts.values())

    async def subscribe(
        self, prepared: Prepared, sink: Sink, viewer: Viewer, *, last_event_id: str | None = None
    ) -> Subscriber:
        """Begin a subscription of ``viewer``; its results go to ``sink`` from tasks of its own.

        ``last_event_id`` takes the place of the field's ``after``. Raises Refused.
        """
        now = self._tail.position  # before anything is waited for, so that nothing after the asking is missed
        variables, name = prepared.operation.variables or {}, prepared.cursor_variable
        given = None if name is None else variables.get(name)
        key = _key(prepared, taken_variables(prepared), viewer)
        broadcast = self._broadcasts.get(key) if isinstance(given, str | None) else None
        rendering = broadcast.rendering if broadcast is not None else await render_with(self._shared, prepared, viewer)
        cursor = begin = None
        if isinstance(feed := rendering.feed, LogFeed):
            # one that does not stand in a variable is everybody's
            cursor = _checked(feed, last_event_id or (feed.cursor if name is None else given))
            if cursor is None and feed.begins_now and now:
                begin = now
        return (self._broadcasts.get(key) or self._begin(key, rendering)).join(sink, cursor, begin)

    async def close(self) -> None:
        """Forget everybody, and give the store's connections back."""
        for broadcast in list(self._broadcasts.values()):
            for subscriber in list(broadcast.members):
                subscriber.leave()
        await self._snapshots.close()
        await self._replays.close()

    def _begin(self, key: Hashable, rendering: Rendering) -> Broadcast:
        broadcast: Broadcast
        match rendering.feed:
            case LogFeed() as feed:
                broadcast = LogBroadcast(key, rendering, feed, self._context)
            case SummaryFeed() as feed:
                broadcast = StateBroadcast(key, rendering, feed, self._context)
            case other:
                raise TypeError(f"nobody knows how to broadcast {other!r}")
        self._broadcasts[key] = broadcast
        for index in self._indexes(broadcast):
            index.add(broadcast)
        self._watches.watch(broadcast.feed.watched)
        self._tail.listening = True
        if isinstance(broadcast, StateBroadcast):
            self._states.add(broadcast)
        if self._states and self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="live clock")
        return broadcast

    def _forget(self, broadcast: Broadcast) -> None:
        if self._broadcasts.pop(broadcast.key, None) is None:
            return
        for index in self._indexes(broadcast):
            index.discard(broadcast)
        for id in broadcast.feed.about or ():
            if not self._by_id[id]:
                del self._by_id[id]
        self._watches.unwatch(broadcast.feed.watched)
        self._tail.listening = bool(self._broadcasts)
        self._states.discard(broadcast)
        if self._ticking is not None and not self._states:
            self._ticking.cancel()
            self._ticking = None

    def _indexes(self, broadcast: Broadcast) -> list[set[Broadcast]]:
        about = broadcast.feed.about
        return [self._open] if about is None else [self._by_id[id] for id in about]

    def _hear(self, batch: LogBatch) -> None:
        """The log has grown. Called by the tail; nobody waits here."""
        self._pass_on()
        if batch.is_another:
            for broadcast in self._broadcasts.values():
                broadcast.begin_anew(self._tail.place.store)
            return
        concerned: dict[Broadcast, list[Any]] = dict.fromkeys(self._open, batch.events)
        for event in batch.events:
            for id in (event.job_id, event.connector_id):
                for broadcast in self._by_id.get(id, ()) if id is not None else ():
                    events = concerned.setdefault(broadcast, [])
                    if not events or events[-1] is not event:
                        events.append(event)
        for broadcast, events in concerned.items():
            self._pass_events(broadcast, events, batch.systems)

    def _pass_events(
        self, broadcast: Broadcast, events: Sequence[EventRecord], systems: Mapping[str, SystemRecord]
    ) -> None:
        """One that cannot take what it is told reads it again from the log, and costs the others nothing."""
        try:
            broadcast.hear(events, systems)
        except Exception:
            _log.exception("a subscription could not take new events", extra={"action": "live_broadcast_failed"})
            broadcast.miss()

    def _miss(self) -> None:
        """The log has grown, and who has been told of it is not known."""
        self._pass_on()
        for broadcast in self._broadcasts.values():
            broadcast.miss()

    def _pass_on(self) -> None:
        self._snapshots.pass_on()
        self._replays.pass_on()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_CLOCK_INTERVAL)
            self._pass_on()
            for broadcast in list(self._states):
                self._pass_events(broadcast, (), {})


def _key(prepared: Prepared, variables: Mapping[str, Any], viewer: Viewer) -> Hashable:
    """Equal for those who are to get the same bytes, wherever in the log they begin."""
    distinguishing = {name: value for name, value in variables.items() if name != prepared.cursor_variable}
    asked = json.dumps([prepared.operation.query, prepared.operation.name, distinguishing], sort_keys=True)
    return hashlib.blake2b(asked.encode(), digest_size=16).digest(), viewer


def _checked(feed: LogFeed, cursor: str | None) -> str | None:
    """Raises Refused for what is no cursor of the log."""
    try:
        return feed.after(cursor).cursor
    except BadUserInput as error:
        raise Refused([error], before_execution=False) from None
