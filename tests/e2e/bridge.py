"""A way to a server that can be broken while somebody uses it."""

import asyncio
import contextlib

from yarl import URL


class Bridge:
    """A way to a server whose connections can be broken or held up. ``async with`` opens and closes it."""

    def __init__(self, url: URL) -> None:
        self._to = url
        self._writers: list[asyncio.StreamWriter] = []
        self.opened = 0
        #: while it is not set nothing arrives at either end, and nobody is told
        self.flowing = asyncio.Event()
        self.flowing.set()
        #: false: new connections are refused, too
        self.is_whole = True

    async def __aenter__(self) -> "Bridge":
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.url = self._to.with_port(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.flowing.set()
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Nobody at either end is told."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_whole:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._to.host, self._to.port)
        self._writers += [writer, back]
        self.opened += 1
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                await self.flowing.wait()
                writer.write(data)
                await writer.drain()
        await self.flowing.wait()
        writer.close()
