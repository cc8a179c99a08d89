"""A way to a server that can be broken while somebody uses it."""

import asyncio
import contextlib
from dataclasses import dataclass

from yarl import URL


class _Client(asyncio.StreamReaderProtocol):
    """Notices that a client has closed its end, also while nobody reads what it has sent."""

    has_gone = False

    def eof_received(self) -> bool | None:
        self.has_gone = True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_gone = True
        super().connection_lost(exc)


@dataclass(frozen=True)
class Link:
    """One connection that was carried on to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    #: of the client, as the server sees it
    port: int
    _protocol: _Client

    @property
    def is_open(self) -> bool:
        """Whether the client has its end open still; the server may not have been told."""
        return not self._protocol.has_gone and not self.client.is_closing()


class Bridge:
    """A way to a server whose connections can be broken or held up. ``async with`` opens and closes it."""

    def __init__(self, url: URL) -> None:
        self._to = url
        #: all that there were
        self.links: list[Link] = []
        #: while it is not set nothing arrives at either end, and nobody is told
        self.flowing = asyncio.Event()
        self.flowing.set()
        #: false: new connections are refused, too
        self.is_whole = True

    @property
    def opened(self) -> int:
        return len(self.links)

    async def __aenter__(self) -> "Bridge":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(asyncio.StreamReader(), self._carry), "127.0.0.1", 0)
        self.url = self._to.with_port(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.flowing.set()
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Reset all connections at both ends."""
        for link in self.links:
            link.client.transport.abort()
            link.server.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = writer.transport.get_protocol()
        assert isinstance(protocol, _Client)
        await self.flowing.wait()
        if not self.is_whole:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(self._to.host, self._to.port)
        except OSError:
            writer.transport.abort()
            return
        self.links.append(Link(writer, back, back.get_extra_info("sockname")[1], protocol))
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                await self.flowing.wait()
                writer.write(data)
                await writer.drain()
        await self.flowing.wait()
        writer.close()
