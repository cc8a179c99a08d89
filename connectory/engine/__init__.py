"""What runs between the upstreams and the store: one loop per system that polls, diffs, commits and wakes."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random

from connectory.bus import Bus
from connectory.engine.configured import ConfiguredSystem
from connectory.engine.poller import Poller
from connectory.engine.retention import Retention
from connectory.model import ActionFailureCode, ActionRefusal
from connectory.settings import RetentionSettings
from connectory.store import Store
from connectory.store.notices import acknowledge
from connectory.store.registration import register_systems

__all__ = ["ConfiguredSystem", "Engine"]

_log = logging.getLogger(__name__)
#: Seconds that the pollers get to end by themselves.
_GRACE = 3.5
#: Seconds that they then get to give their connections back.
_FAREWELL = 1.0


class Engine:
    """Polls every configured system until it is stopped. One system's trouble never delays another.

    ``clock`` tells the time (UTC-aware), ``chance`` the jitter. Without ``retention`` everything is kept.
    """

    def __init__(
        self,
        store: Store,
        systems: Sequence[ConfiguredSystem],
        *,
        bus: Bus | None = None,
        retention: RetentionSettings | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Random | None = None,
    ) -> None:
        self.bus = bus or Bus()
        self._store, self._clock = store, clock
        self._systems = systems
        chance = chance or Random()
        self.pollers = {system.name: Poller(store, system, self.bus, clock=clock, chance=chance) for system in systems}
        self._retention = None if retention is None else Retention(store, retention, clock=clock)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Make the store know the configured systems, and start polling them. Returns at once, whoever answers."""
        await register_systems(self._store, [system.registration for system in self._systems])
        self._tasks = [asyncio.create_task(poller.run(), name=f"poll {name}") for name, poller in self.pollers.items()]
        if self._retention is not None:
            self._tasks.append(asyncio.create_task(self._retention.run(), name="retention"))

    async def refresh(self, system: str) -> ActionRefusal | None:
        """Poll ``system`` now; see ``Poller.refresh``. Part of the port that resolvers call."""
        poller = self.pollers.get(system)
        if poller is None:
            return ActionRefusal(ActionFailureCode.NOT_FOUND, f"No system is configured by the name {system!r}.")
        return await poller.refresh()

    async def acknowledge(self, notice: str, by: str) -> ActionRefusal | None:
        """Note that ``by`` has seen to a notice; whoever was first stays. Part of the port that resolvers call."""
        async with self._store.write() as connection:
            if await acknowledge(connection, notice, by, self._clock()):
                return None
        return ActionRefusal(ActionFailureCode.NOT_FOUND, f"There is no notice with the id {notice!r}.")

    async def stop(self) -> None:
        """End all work within five seconds. A commit that has begun is finished or rolled back as a whole."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_GRACE)
            for task in late:
                _log.warning("a task does not end", extra={"action": "engine_stop_late", "task": task.get_name()})
        self._tasks = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await asyncio.gather(*(poller.close() for poller in self.pollers.values()), return_exceptions=True)
