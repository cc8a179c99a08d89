"""Making and sending notices: the work of one gateway among those over a store."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random

from connectory.notices.deliverer import Backoff, Deliverer
from connectory.notices.notifier import Notifier
from connectory.notices.settings import ReceiverSettings
from connectory.observability.metrics import Deliveries
from connectory.store import Store
from connectory.store.leases.rows import NOTICES_LEASE, Lease, LeaseLost
from connectory.store.log.bus import Bus
from connectory.store.writes.notices import give_up_unknown, take_up_known

_log = logging.getLogger(__name__)
#: Seconds: how long a change can stay unseen that nobody has told the bus of.
_INTERVAL = 1.0
#: Seconds between two looks: a poll's commit and what is judged of it come in one.
_SETTLING = 0.25


class Notices:
    """The notifier and the deliverers of one gateway; of several gateways over one store, one is at work.

    ``clock`` tells the time (UTC-aware), ``chance`` the jitter and names.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        receivers: Sequence[ReceiverSettings],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Random | None = None,
        backoff: Backoff = Backoff(),  # noqa: B008 (frozen)
    ) -> None:
        self._store, self._bus, self._receivers, self._clock = store, bus, receivers, clock
        self._chance, self._backoff = chance or Random(), backoff
        #: counted for whoever watches over us
        self.deliveries = Deliveries()
        self._deliverers: list[Deliverer] = []
        self._tasks: list[asyncio.Task[None]] = []
        #: None while another gateway makes and sends them
        self._lease: Lease | None = None
        self._notifier: Notifier | None = None

    async def run(self) -> None:
        """Work for ever. A store that fails is logged once and tried again; no notice is lost for it."""
        fails = False
        try:
            while True:
                woken = self._bus.position
                has_news = True  # a look that fails may have written some
                try:
                    notifier = await self._own_notifier()
                    has_news = notifier is not None and await notifier.look()
                except LeaseLost:
                    self._forget()
                except Exception as error:
                    self._forget()
                    if not fails:
                        _log.warning(f"notices cannot be made: {error}", extra={"action": "notices_failed"})
                    fails = True
                else:
                    fails = False
                if has_news:
                    for deliverer in self._deliverers:
                        deliverer.wake()
                await asyncio.sleep(_SETTLING)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_INTERVAL):
                        await self._bus.wait(woken)
        finally:
            await self._stop_delivering()

    def _forget(self) -> None:
        if self._notifier is not None:
            self._notifier.forget()

    async def _own_notifier(self) -> Notifier | None:
        """None while another gateway is the one to work; what others did before is read anew."""
        lease = await self._store.leases.hold(NOTICES_LEASE)
        if lease != self._lease:
            self._lease = self._notifier = None
            await self._stop_delivering()
            if lease is not None:
                await self._start_delivering(lease)
                self._notifier = Notifier(
                    self._store, self._receivers, lease=lease, clock=self._clock, chance=self._chance
                )
            self._lease = lease
        return self._notifier

    async def _start_delivering(self, lease: Lease) -> None:
        names = [each.name for each in self._receivers]
        async with self._store.leases.guarded(lease) as connection:
            unknown = await give_up_unknown(connection, names, self._clock())
            await take_up_known(connection, names, self._clock())
        if unknown:
            message = f"{unknown} notices wait for receivers that are no longer configured; they are given up"
            _log.warning(message, extra={"action": "deliveries_orphaned"})
        self._deliverers = [
            Deliverer(
                self._store, each, self.deliveries, lease=lease, clock=self._clock, chance=self._chance,
                backoff=self._backoff,
            )
            for each in self._receivers
        ]  # fmt: skip
        self._tasks = [asyncio.create_task(each.run(), name="deliver") for each in self._deliverers]

    async def _stop_delivering(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks, self._deliverers = [], []


@asynccontextmanager
async def notifying(notices: Notices) -> AsyncIterator[None]:
    """Let it work for as long as the block runs; the store has to be open and upgraded."""
    task = asyncio.create_task(notices.run(), name="notices")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
