"""Time in a simulation: a clock that can run faster, and a world that moves by itself.

A world is a discrete-event simulation: ``advance(now)`` runs everything due until ``now``, so the same seed gives the
same world however often it is asked.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Simulated time: starts at ``start`` and runs ``speed`` times as fast as the wall clock.

    Tests pass ``wall``, a function that tells seconds.
    """

    def __init__(
        self, *, start: datetime | None = None, speed: float = 1.0, wall: Callable[[], float] | None = None
    ) -> None:
        self._wall = wall or _monotonic
        self._zero = self._wall()
        self.start = start or datetime.now(UTC)
        self.speed = speed

    def now(self) -> datetime:
        return self.start + timedelta(seconds=(self._wall() - self._zero) * self.speed)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


class World:
    """A discrete-event simulation. Subclasses fill it in ``__init__`` and schedule what happens with ``after``."""

    def __init__(self, *, seed: int, start: datetime) -> None:
        self.random = random.Random(seed)
        self.now = start
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._skew = 0.0

    def after(self, seconds: float, happening: Callable[[], None]) -> None:
        """Let ``happening`` run ``seconds`` of simulated time from the world's present."""
        moment = self.now + timedelta(seconds=seconds)
        heapq.heappush(self._agenda, (moment, next(self._order), happening))

    def advance(self, now: datetime, *, skew: float = 0.0) -> None:
        """Run everything that is due until ``now``, in order, each at its own moment.

        ``skew``: so many seconds the world's clock is wrong by now. What it has written down stays as it is, and what
        is due comes no sooner and no later for it.
        """
        step = timedelta(seconds=skew - self._skew)
        if step:
            self._skew = skew
            self._agenda = [(moment + step, order, happening) for moment, order, happening in self._agenda]
            self.now += step
        now += timedelta(seconds=skew)
        while self._agenda and self._agenda[0][0] <= now:
            self.now, _, happening = heapq.heappop(self._agenda)
            happening()
        self.now = max(self.now, now)
