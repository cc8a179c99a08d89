"""Transactions that are not cut short."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

#: Seconds to wait for a lock or a connection.
PATIENCE = 30.0

T = TypeVar("T")

#: What the store opens to read or to write in; whoever is given one hands it to the store's functions.
Transaction = AsyncConnection


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Let a transaction come to its end even if we are to stop, and however often we are told to: a driver that is cut
    short may keep its locks."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        task.cancelled() or task.exception()  # nobody asks for it any more
        raise
