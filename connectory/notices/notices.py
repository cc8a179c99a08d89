"""Making and sending notices: the work of one gateway among those over a store."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random

from connectory.bus import Bus
from connectory.metrics import Deliveries
from connectory.notices.deliverer import Backoff, Deliverer
from connectory.notices.notifier import Notifier
from connectory.notices.settings import ReceiverSettings
from connectory.store import Store
from connectory.store.notices import Overtaken, give_up_unknown, take_up_known

_log = logging.getLogger(__name__)
#: No system can be named so.
LEASE = "/notices"
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
        self._notifier = Notifier(store, receivers, clock=clock, chance=self._chance)
        #: counted for whoever watches over us
        self.deliveries = Deliveries()
        self._deliverers: list[Deliverer] = []
        self._tasks: list[asyncio.Task[None]] = []
        #: of the lease; None while another gateway has it
        self._term: int | None = None

    async def run(self) -> None:
        """Work for ever. A store that fails is logged once and tried again; no notice is lost for it."""
        fails = False
        try:
            while True:
                woken = self._bus.position
                has_news = True  # a look that fails may have written some
                try:
                    has_news = await self._is_ours() and await self._notifier.look()
                except Overtaken:
                    self._notifier.forget()
                except Exception as error:
                    self._notifier.forget()
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

    async def _is_ours(self) -> bool:
        """Whether this gateway is the one to work; what others did meanwhile is read anew."""
        term = await self._store.leases.hold(LEASE)
        if term != self._term:
            self._term = None
            self._notifier.forget()
            await self._stop_delivering()
            if term is not None:
                await self._start_delivering()
            self._term = term
        return term is not None

    async def _start_delivering(self) -> None:
        names = [each.name for each in self._receivers]
        async with self._store.write() as connection:
            unknown = await give_up_unknown(connection, names, self._clock())
            await take_up_known(connection, names, self._clock())
        if unknown:
            said = f"{unknown} notices wait for receivers that are no longer configured; they are given up"
            _log.warning(said, extra={"action": "deliveries_orphaned"})
        self._deliverers = [
            Deliverer(self._store, each, self.deliveries, clock=self._clock, chance=self._chance, backoff=self._backoff)
            for each in self._receivers
        ]
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
