"""What runs between the upstreams and the store: one loop per system that polls, diffs, commits and wakes.

Beside the loops run the one reader of the change log, and the talk with other gateways on the same store.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from random import Random
from uuid import uuid4

from connectory.config.settings import RetentionSettings
from connectory.engine.configured import ConfiguredSystem
from connectory.engine.polling.peers import PATIENCE, RENEWAL, Peers
from connectory.engine.polling.poller import STOPPING, Poller
from connectory.engine.polling.watches import Watches
from connectory.engine.retention import Retention
from connectory.model import ActionFailureCode, ActionRefusal
from connectory.observability.metrics import PollMetrics
from connectory.store import Store
from connectory.store.error_texts import in_our_words
from connectory.store.log.bus import Bus
from connectory.store.log.notify_channel import NotifyChannel
from connectory.store.log.tail import Tail
from connectory.store.transactions import shielded
from connectory.store.write_health import is_failure, reason
from connectory.store.writes.notices import acknowledge
from connectory.store.writes.registration import register_systems

__all__ = ["ConfiguredSystem", "Engine"]

_log = logging.getLogger(__name__)
#: Seconds that the pollers get to end by themselves.
_GRACE = 3.5
#: Seconds that they then get to give their connections back.
_CLOSING = 1.0


class Engine:
    """Polls every configured system until it is stopped. One system's trouble never delays another.

    ``clock`` tells the time (UTC-aware), ``ticks`` counts seconds, ``chance`` is the jitter. ``renewal`` and
    ``patience`` are of the talk with other gateways, see ``Peers``. Without ``retention`` everything is kept.
    """

    def __init__(
        self,
        store: Store,
        systems: Sequence[ConfiguredSystem],
        *,
        bus: Bus | None = None,
        retention: RetentionSettings | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ticks: Callable[[], float] = time.monotonic,
        chance: Random | None = None,
        renewal: float = RENEWAL,
        patience: float = PATIENCE,
    ) -> None:
        self.bus = bus or Bus()
        #: the one reader of the change log in this process
        self.tail = Tail(store, self.bus, clock=clock)
        self.notify_channel = NotifyChannel(store, self.bus, chance=chance)
        self.watches = Watches({system.name for system in systems}, ticks)
        self._store, self._clock = store, clock
        self._systems = systems
        #: counted for whoever watches over us
        self.polls = PollMetrics()
        chance = chance or Random()
        self.pollers = {
            system.name: Poller(store, system, self.bus, self.watches, self.polls, clock=clock, chance=chance)
            for system in systems
        }
        self._peers = Peers(
            self.notify_channel, self.watches, self.pollers, name=uuid4().hex, renewal=renewal, patience=patience
        )
        self._retention = None if retention is None else Retention(store, retention, clock=clock)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Make the store know the configured systems, and start polling them. Returns at once, whoever answers."""
        await register_systems(self._store, [system.registration for system in self._systems])
        await self.tail.begin()
        work = {f"poll {name}": poller.run() for name, poller in self.pollers.items()}
        work |= {"tail": self.tail.run(), "wire": self.notify_channel.run(), "peers": self._peers.run()}
        if self._retention is not None:
            work["retention"] = self._retention.run()
        if self._store.wal is not None:
            work["write-ahead log"] = self._store.wal.run()
        self._tasks = [asyncio.create_task(running, name=name) for name, running in work.items()]

    # ---- the port that resolvers and subscriptions call

    def notes(self) -> list[str]:
        """Who polls the systems that this gateway does not."""
        found = (poller.standby.note for poller in self.pollers.values())
        return [note for note in found if note is not None]

    async def refresh(self, system: str) -> ActionRefusal | None:
        """Poll ``system`` now, or have it polled by the gateway that does; see ``Poller.refresh``."""
        poller = self.pollers.get(system)
        if poller is None:
            return ActionRefusal(ActionFailureCode.NOT_FOUND, f"No system is configured by the name {system!r}.")
        refusal = await poller.refresh()
        return await self._peers.refresh(system) if refusal is poller.elsewhere else refusal

    def watch(self, ids: Iterable[str]) -> None:
        """Look at these jobs, and at the open jobs of these connectors (global ids), every ``live_interval`` until
        ``unwatch`` has been called as often. Ids that nobody knows are ignored."""
        new = self.watches.add(ids)
        for system in {thing.system for thing in new}:
            self.pollers[system].wake()
        self._peers.tell_watched(new)

    def unwatch(self, ids: Iterable[str]) -> None:
        """One watcher fewer of each."""
        self._peers.tell_left(self.watches.remove(ids))

    async def acknowledge(self, notice: str, by: str) -> ActionRefusal | None:
        """Note that ``by`` has seen to a notice; whoever was first stays. Part of the port that resolvers call."""
        try:
            known = await shielded(self._acknowledge(notice, by))
        except Exception as error:
            if not is_failure(error):
                raise
            sentence = f"The store cannot be written now: {in_our_words(error)}."
            _log.error(f"a notice cannot be acknowledged: {reason(error)}", extra={"action": "acknowledge_failed"})
            return ActionRefusal(ActionFailureCode.STORE_UNAVAILABLE, sentence)
        if known:
            return None
        return ActionRefusal(ActionFailureCode.NOT_FOUND, f"There is no notice with the id {notice!r}.")

    async def _acknowledge(self, notice: str, by: str) -> bool:
        async with self._store.write(hurried=True) as connection:
            return await acknowledge(connection, notice, by, self._clock())

    async def stop(self) -> None:
        """End all work within five seconds. A commit that has begun is finished or rolled back as a whole."""
        self._peers.give_up(STOPPING)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_GRACE)
            for task in late:
                _log.warning(
                    "a task of the engine does not end", extra={"action": "engine_stop_late", "task": task.get_name()}
                )
        self._tasks = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                await asyncio.gather(*(poller.close() for poller in self.pollers.values()), return_exceptions=True)
