"""The queue of one receiver: strictly in order, one at a time, again and again until it is accepted or given up."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from connectory.notices.plan import Delivery
from connectory.notices.sending import AttemptOutcome, Sender
from connectory.notices.settings import ReceiverSettings
from connectory.observability.metrics import Deliveries
from connectory.store import Store
from connectory.store.leases.rows import Lease, LeaseLost
from connectory.store.reads.notices import next_delivery, was_given_up
from connectory.store.transactions import shielded
from connectory.store.writes.notices import begin_attempt, end_attempt

_log = logging.getLogger(__name__)
#: When a delivery is given up: so many seconds after it was made, and at least one attempt.
LONGEST_AGE = 86_400.0
#: Seconds that an attempt under way gets to end by itself when we are to stop.
GRACE = 2.0
#: Seconds between attempts while the store fails.
_STORE_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts: doubled each time from ``first`` to ``longest``, of which chance takes up to half."""

    first: float = 2.0
    longest: float = 1_800.0

    def pause(self, attempts: int, chance: Random) -> float:
        """Seconds after so many attempts, one or more."""
        return min(self.longest, self.first * 2.0 ** min(attempts - 1, 32)) * chance.uniform(0.5, 1.0)


class Deliverer:
    """Delivers for as long as it runs. ``clock`` tells the time (UTC-aware)."""

    def __init__(
        self,
        store: Store,
        settings: ReceiverSettings,
        counted: Deliveries,
        *,
        lease: Lease,
        clock: Callable[[], datetime],
        chance: Random,
        backoff: Backoff,
    ) -> None:
        self._store, self._settings, self._clock, self._chance = store, settings, clock, chance
        self._backoff, self._counted, self._lease = backoff, counted, lease
        self._sender = Sender(settings)
        self._more = asyncio.Event()
        self._fails = False

    def wake(self) -> None:
        """There may be something new."""
        self._more.set()

    async def run(self) -> None:
        """Deliver until another gateway does. A store that fails is logged once and tried again."""
        try:
            while True:
                self._more.clear()
                try:
                    pause = await self._next()
                except LeaseLost:
                    return
                except Exception as error:
                    if not self._fails:
                        message = f"notices for {self._settings.name} cannot be read or written: {error}"
                        _log.warning(message, extra={"action": "deliveries_failed", "receiver": self._settings.name})
                    self._fails, pause = True, _STORE_PAUSE
                else:
                    self._fails = False
                await self._rest(pause)
        finally:
            await self._sender.close()

    async def _rest(self, pause: float | None) -> None:
        """So many seconds; None: until there is more."""
        if pause is None:
            await self._more.wait()
        else:
            await asyncio.sleep(pause)

    async def _next(self) -> float | None:
        """Deliver the oldest one that waits, if it is due. Returns the seconds to wait; None when nothing waits."""
        async with self._store.read() as connection:
            row = await next_delivery(connection, self._settings.name)
            is_pointless = row is not None and await was_given_up(connection, row)
        if row is None:
            return None
        delivery = Delivery(**row._mapping)
        now = self._clock()
        if is_pointless:
            await shielded(self._end(delivery, {"dead_at": now, "last_error": "Its RAISED was never accepted."}))
            return 0.0
        wait = (delivery.next_attempt_at - now).total_seconds()
        # a clock that was set back holds up nothing new, and one that was set forward is seen before long
        if wait > 0 and delivery.attempts:
            return min(wait, self._backoff.longest)
        attempts = delivery.attempts + 1
        again_at = now + timedelta(seconds=self._backoff.pause(attempts, self._chance))
        # whoever finds this attempt unfinished after a crash waits for it to be over
        if await shielded(self._begin(delivery, again_at + timedelta(seconds=self._settings.timeout))):
            await self._attempt(delivery, attempts, again_at)
        return 0.0

    async def _begin(self, delivery: Delivery, until: datetime) -> bool:
        async with self._store.leases.guarded(self._lease) as connection:
            return await begin_attempt(connection, delivery, until)

    async def _attempt(self, delivery: Delivery, attempts: int, again_at: datetime) -> None:
        """If we are to stop, it gets a moment to end by itself: it may have been accepted, and we want to know."""
        attempt = asyncio.ensure_future(self._send(delivery, attempts, again_at))
        try:
            await asyncio.shield(attempt)
        except asyncio.CancelledError:
            await asyncio.wait([attempt], timeout=GRACE)
            attempt.cancel()
            await asyncio.wait([attempt])
            raise

    async def _send(self, delivery: Delivery, attempts: int, again_at: datetime) -> None:
        outcome = await self._outcome(delivery)
        values = self._judged(outcome, delivery, attempts, again_at)
        while True:
            try:
                await shielded(self._end(delivery, values))
                break
            except Exception:
                if outcome.error is not None:
                    raise
                # what was accepted must not be sent again because the store is away for a moment
                await asyncio.sleep(_STORE_PAUSE)
        self._say(delivery, outcome, attempts, is_dead="dead_at" in values)

    async def _outcome(self, delivery: Delivery) -> AttemptOutcome:
        """What came of one attempt. An accident that nobody foresaw is this message's own: it has failed, and others
        get their turn when it is given up."""
        try:
            return await self._sender.send(delivery)
        except Exception as error:
            _log.exception(
                f"a notice for {self._settings.name} could not be sent",
                extra={"action": "delivery_accident", "receiver": self._settings.name, "delivery": delivery.id},
            )
            return AttemptOutcome(self._sender.error_text(error))

    async def _end(self, delivery: Delivery, values: dict[str, Any]) -> bool:
        """What was accepted was, whoever delivers now; all else is for that one to judge."""
        is_fact = "delivered_at" in values
        async with self._store.write() if is_fact else self._store.leases.guarded(self._lease) as connection:
            await end_attempt(connection, delivery.id, values)
        return True

    def _judged(self, outcome: AttemptOutcome, delivery: Delivery, attempts: int, again_at: datetime) -> dict[str, Any]:
        now = self._clock()
        if outcome.error is None:
            return {"delivered_at": now, "last_error": None}
        age = (now - delivery.created_at).total_seconds()
        if outcome.is_final or age >= LONGEST_AGE:
            return {"dead_at": now, "last_error": outcome.error}
        asked = timedelta(seconds=min(outcome.retry_after or 0.0, LONGEST_AGE))
        return {"next_attempt_at": max(again_at, now + asked), "last_error": outcome.error}

    def _say(self, delivery: Delivery, outcome: AttemptOutcome, attempts: int, *, is_dead: bool) -> None:
        """Counted is each attempt; told are the first failure, the end, and what is given up."""
        name = self._settings.name
        extra = {"receiver": name, "delivery": delivery.id, "attempts": attempts}
        if outcome.error is not None:
            self._counted.failures.labels(name).inc()
        if is_dead or outcome.error is None:
            self._counted.ended.labels(name, "dead" if is_dead else "delivered").inc()
        if is_dead:
            _log.error(f"a notice for {name} is given up: {outcome.error}", extra={"action": "delivery_dead", **extra})
        elif outcome.error is not None and attempts == 1:
            _log.warning(
                f"{name} has not accepted a notice, which will be sent again: {outcome.error}",
                extra={"action": "delivery_failed", **extra},
            )
        elif outcome.error is None:
            _log.info(f"{name} has accepted a notice", extra={"action": "delivery_done", **extra})
