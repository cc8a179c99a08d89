"""Waiting for a condition, with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds for what needs none to speak of: who waits in vain fails then, and a machine that others use has them.
PATIENCE = 30.0


async def until(look: Callable[[], Awaitable[T]], within: float = PATIENCE, every: float = 0.02) -> T:
    """What ``look`` gives as soon as it is true. Fails with the last thing seen after ``within`` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not (seen := await look()):
        if loop.time() > deadline:
            raise AssertionError(f"not within {within} seconds; last seen: {seen!r}")
        await asyncio.sleep(every)
    return seen
