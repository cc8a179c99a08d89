"""Waiting for a condition, with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds for what needs none to speak of: who waits in vain fails then, and a machine that others use has them.
PATIENCE = 30.0


async def until(look: Callable[[], Awaitable[T]], within: float = 10.0, every: float = 0.02) -> T:
    """What ``look`` gives as soon as it is true. Fails with the last thing seen after ``within`` seconds.

    A machine that others use gets longer: half of the looks that fit into that time are had in any case. Beyond ten
    seconds the product's own timers (heartbeats, pings) could stand in for what a test waits for.
    """
    loop = asyncio.get_running_loop()
    deadline, looks = loop.time() + within, within / max(every, 0.02) / 2
    while not (seen := await look()):
        looks -= 1
        if loop.time() > deadline and looks < 0:
            raise AssertionError(f"not within {within} seconds; last seen: {seen!r}")
        await asyncio.sleep(every)
    return seen
