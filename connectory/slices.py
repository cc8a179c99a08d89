"""Loops over everything that a system has: whatever else there is to do goes on in between."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar

#: Items that are taken at once, and seconds after which the others get their turn.
_AT_ONCE, _HELD = 100, 0.005

T = TypeVar("T")


class slices(Generic[T]):
    """``async for some in slices(items)``: so many at once, with pauses. Others may run in each pause: what they can
    see has to be whole then, and ``items`` must not change before the end."""

    def __init__(self, items: Iterable[T], at_once: int = _AT_ONCE) -> None:
        self._left, self._at_once = iter(items), at_once
        self._since = time.monotonic()

    def __aiter__(self) -> "slices[T]":
        return self

    async def __anext__(self) -> Sequence[T]:
        if time.monotonic() - self._since > _HELD:
            await asyncio.sleep(0)
            self._since = time.monotonic()
        if some := list(islice(self._left, self._at_once)):
            return some
        raise StopAsyncIteration
