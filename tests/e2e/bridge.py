"""A way to a server that can be broken while somebody uses it."""

import asyncio
import contextlib

from yarl import URL


class Bridge:
    """A way to a server whose connections can be broken. ``async with`` opens and closes it."""

    def __init__(self, url: URL) -> None:
        self._to = url
        self._writers: list[asyncio.StreamWriter] = []
        self.opened = 0

    async def __aenter__(self) -> "Bridge":
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.url = self._to.with_port(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Nobody at either end is told."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._to.host, self._to.port)
        self._writers += [writer, back]
        self.opened += 1
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
