"""Clients that follow a subscription through whatever happens to their connection, and gateways that it happens to."""

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from tests.cursors import log_position
from tests.e2e.program import Program, serving
from tests.live.client import Complete, Listener, Lost, Refused, SocketClient, SseClient, Stream
from tests.wait import until

#: Seconds until the next try after a connection was lost.
_PAUSE = 0.02


class Gateways:
    """The program over one store, once for each configuration file."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._running: dict[int, tuple[Program, AsyncExitStack]] = {}
        self._starting: dict[int, asyncio.Task[None]] = {}

    @property
    def urls(self) -> dict[int, str]:
        """Those that can be reached, by number."""
        return {number: program.url for number, (program, _) in self._running.items()}

    async def reachable(self) -> dict[int, str]:
        """The same, once there is one."""

        async def look() -> dict[int, str]:
            return self.urls

        return await until(look, within=80)

    def start(self, number: int) -> None:
        """Returns at once; it can be reached a little later."""
        self._starting[number] = asyncio.create_task(self._start(number), name=f"start {number}")

    async def _start(self, number: int) -> None:
        async with AsyncExitStack() as stack:
            program = await stack.enter_async_context(serving(self._files[number]))
            await program.ready()
            self._running[number] = program, stack.pop_all()

    async def started(self) -> None:
        """Return once all can be reached. Raises what kept one from starting."""
        await asyncio.gather(*self._starting.values())

    async def end(self, number: int, *, softly: bool) -> None:
        """SIGTERM or SIGKILL; returns once the process is gone."""
        await self._starting.pop(number)
        program, stack = self._running.pop(number)
        async with stack:
            if softly:
                program.process.terminate()
                assert await asyncio.wait_for(program.process.wait(), 10) == 0, program.output

    async def close(self) -> None:
        for number in list(self._starting):
            await self.end(number, softly=False)


class Follower:
    """Follows one subscription with a variable ``after``, from ``cursor`` on: connects again, by either transport and
    to any gateway as chance has it, and goes on where it was."""

    def __init__(self, gateways: Gateways, query: str, chance: Random, cursor: str | None, **variables: Any) -> None:
        self._gateways, self._query, self._variables, self._chance = gateways, query, variables, chance
        self._first = self._cursor = cursor
        self._attempt: asyncio.Task[None] | None = None
        self._softly = False
        #: what the root field said, over all connections
        self.items: list[Any] = []
        #: since it last began to connect
        self.new_items = 0
        #: the gateway that it is connected to
        self.place: int | None = None
        #: connections by transport
        self.connections = {"websocket": 0, "sse": 0}

    @property
    def position(self) -> int:
        """How far it has come."""
        return 0 if self._cursor is None else log_position(self._cursor)

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Return once the server has completed the subscription."""
        try:
            while True:
                self.new_items, self.place = 0, None
                self._attempt = asyncio.create_task(self._listen(session))
                await asyncio.wait([self._attempt])
                if not self._attempt.cancelled():
                    self._attempt.result()
        except Complete:
            return
        finally:
            if self._attempt is not None:
                self._attempt.cancel()
                await asyncio.wait([self._attempt])

    def interrupt(self, *, softly: bool) -> None:
        """Lose the connection, or the attempt to make one; ``softly``: with a close frame."""
        self._softly, self.new_items, self.place = softly, 0, None
        if self._attempt is not None:
            self._attempt.cancel()

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        urls = await self._gateways.reachable()
        place = self._chance.choice(sorted(urls))
        listener: Listener | None = None
        try:
            listener, stream = await self._subscribe(session, urls[place])
            self.place = place
            while True:
                self._take(await stream.next())
        except (Lost, aiohttp.ClientError, ConnectionError):
            await asyncio.sleep(_PAUSE)
        except Refused as refused:
            if refused.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            await asyncio.sleep(_PAUSE)
        finally:
            if listener is not None:
                await _end(listener, softly=self._softly)

    async def _subscribe(self, session: aiohttp.ClientSession, url: str) -> tuple[Listener, Stream]:
        if self._chance.random() < 0.5:
            self.connections["sse"] += 1
            sse = SseClient(session, url)
            # as a browser does: the same request again, and the id of the last event
            seen = self._cursor if self.items else None
            return sse, await sse.subscribe(self._query, {**self._variables, "after": self._first}, last_event_id=seen)
        self.connections["websocket"] += 1
        socket = await SocketClient.connect(session, url)
        return socket, await socket.subscribe(self._query, {**self._variables, "after": self._cursor})

    def _take(self, result: dict[str, Any]) -> None:
        assert "errors" not in result, result
        (item,) = result["data"].values()
        self.items.append(item)
        self.new_items += 1
        self._cursor = item["cursor"]


async def _end(listener: Listener, *, softly: bool) -> None:
    if not softly:
        listener.drop()
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        await listener.close()
