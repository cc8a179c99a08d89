"""Whether a client takes what it is sent. Nothing is queued here: what waits for a client is the sender's to keep."""

import asyncio
import contextlib
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from connectory.live.sink import TooSlow
from connectory.tcp import set_tcp_option

#: Bytes that may wait for a client before it counts as not ready, and at which it is ready again.
_HIGH, _LOW = 32 * 1024, 8 * 1024
#: Seconds that a client has to read from the one to the other.
TOO_SLOW_AFTER = 30.0


class Flow:
    """The sending side of one connection. ``on_too_slow`` is called when a client has not read for too long."""

    __slots__ = ("_draining", "_protocol", "_writer", "on_too_slow", "transport")

    def __init__(self, request: web.BaseRequest, writer: AbstractStreamWriter | None) -> None:
        assert writer is not None
        assert request.transport is not None
        self.transport: asyncio.WriteTransport = request.transport
        self.transport.set_write_buffer_limits(_HIGH, _LOW)
        # without it the system's own buffer takes megabytes for a client that reads nothing, and nobody would know
        set_tcp_option(self.transport, "TCP_NOTSENT_LOWAT", _HIGH)
        self._protocol = request.protocol
        self._writer = writer
        self.on_too_slow: Callable[[], None] = lambda: None
        self._draining: asyncio.Task[bool] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it can be sent to without anybody having to wait."""
        return not self._protocol.writing_paused

    @property
    def is_empty(self) -> bool:
        """Whether the client's side of the network has been given everything."""
        return self.transport.get_write_buffer_size() == 0

    async def drained(self) -> None:
        """Return once it is ready, or the connection has gone. Raises TooSlow."""
        # of several who wait, the first to go on may have filled it again
        while not self.is_ready and not self.transport.is_closing():
            if self._draining is None:
                self._draining = asyncio.create_task(self._drain(), name="drain")
            if not await asyncio.shield(self._draining):
                raise TooSlow

    async def _drain(self) -> bool:
        # in a task that is never cancelled: all who drain share a future of aiohttp's, and a cancelled one stays there
        emptying = asyncio.create_task(self._empty(), name="drain")
        try:
            done, _ = await asyncio.wait([emptying], timeout=TOO_SLOW_AFTER)
        finally:
            self._draining = None
        if not done:
            self.on_too_slow()
        return bool(done)

    async def _empty(self) -> None:
        # when the client has gone, its handler is told
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def release(self) -> None:
        """Wait no longer."""
        if self._draining is not None:
            self._draining.cancel()
