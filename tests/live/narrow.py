"""Clients that read nothing, over connections that hold little for them."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.live.client import Listener, SocketClient, SseClient
from tests.live.running import job_id

_FIELDS = " ".join(f"a{n}: errorMessage" for n in range(20))
#: About 100 kB for each item, once MESSAGE is the error message of the job.
FAT = f"subscription($id: ID!) {{ jobProgress(jobId: $id) {{ kind processed job {{ {_FIELDS} }} }} }}"
MESSAGE = "it goes on " * 450


class Narrow:
    """Such clients; they lose their connections in the end."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._clients: list[Listener] = []

    async def socket(self, url: str) -> SocketClient:
        client = await SocketClient.connect(self._session, url)
        self._clients.append(client)
        return client

    async def stuck(self, url: str, transport: str) -> None:
        """One that follows a job and never looks at what comes."""
        if transport == "websocket":
            await (await self.socket(url)).subscribe(FAT, {"id": job_id()})
        else:
            client = SseClient(self._session, url)
            self._clients.append(client)
            await client.subscribe(FAT, {"id": job_id()})

    async def drop(self) -> None:
        for client in self._clients:
            client.drop()
            await client.close()  # aiohttp wants its own side of a lost connection to be closed too


@asynccontextmanager
async def narrow_clients() -> AsyncIterator[Narrow]:
    connector = aiohttp.TCPConnector(limit=0, socket_factory=_narrow)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=4096) as session:
        clients = Narrow(session)
        try:
            yield clients
        finally:
            await clients.drop()


def _narrow(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    found.setblocking(False)
    return found
