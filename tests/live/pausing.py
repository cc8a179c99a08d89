"""Clients that stop reading beside one who reads on, over both transports, and as many rows of the log as asked for."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectory.live import flow, sse
from connectory.model import JobStatus
from tests.cursors import cursor_at, log_position
from tests.facts import connector, job
from tests.live.client import Stream, item, rest
from tests.live.ground import Ground, grounds

#: Items are fat, so that no kernel buffers them all, and cost no statement of their own.
_EVENTS = """subscription($after: String) { events(after: $after) {
    cursor ... on JobEvent { processed changedFields } } }"""
_PROGRESS = """subscription($id: ID!) { jobProgress(jobId: $id) {
    cursor kind processed a: changedFields b: changedFields c: changedFields } }"""


@dataclass(frozen=True)
class Size:
    """How much they do not read."""

    #: while they pause, ``at_once`` in one commit
    rows: int
    at_once: int
    #: bytes of a row
    fat: int
    #: rows until the process is as large as it gets, and bytes that it may grow by from there on
    settled: int
    flat: int


class Pausing:
    """``session`` is for clients that do not read: little of what they are sent is on its way."""

    def __init__(self, ground: Ground, session: aiohttp.ClientSession, size: Size) -> None:
        self._ground, self._session, self._size = ground, session, size
        self._stuff = "x" * size.fat

    async def is_told_every_event_in_order(self) -> None:
        """Whoever paused finds all of them when it reads on; meanwhile they are kept for nobody."""
        ground, rows = self._ground, self._size.rows
        head = len(await ground.log())
        quick = await ground.subscribe(_EVENTS, after=await cursor_at(ground.store, head))
        slow = await self._idle(_EVENTS, after=await cursor_at(ground.store, head))
        await self._grow(quick, 0, self._size.settled)
        before = _resident()
        await self._grow(quick, self._size.settled, rows)
        grown = _resident() - before
        assert grown < self._size.flat, f"{grown / 1e6:.1f} MB are kept for those who do not read"

        async def read_on(stream: Stream) -> list[int]:
            return [log_position((await item(stream))["cursor"]) for _ in range(rows)]

        for positions in await asyncio.gather(*map(read_on, slow)):
            assert positions == list(range(head + 1, head + rows + 1))
        position = await ground.append([ground.line(0)])
        assert [log_position((await item(stream))["cursor"]) for stream in slow] == [position] * 2, (
            "they are live again"
        )

    async def is_told_the_newest_state_and_the_end(self) -> None:
        """Of a job that goes on after the pause."""
        ground, rows = self._ground, self._size.rows
        quick = await ground.subscribe(_EVENTS, after=await cursor_at(ground.store, len(await ground.log())))
        slow = await self._idle(_PROGRESS, id=ground.stage.job_id("j"))
        assert [(await item(stream))["processed"] for stream in slow] == [0, 0]
        await self._grow(quick, 1, rows // 2)
        await ground.stage.poll([connector()], [_job(rows)])
        for stream in slow:
            told = [await item(stream)]
            while told[-1]["processed"] != rows:
                told.append(await item(stream))
            positions = [log_position(each["cursor"]) for each in told]
            assert positions == sorted(set(positions))
            assert len(told) < rows / 4
        await ground.stage.poll([connector()], [_job(rows + 1, JobStatus.SUCCEEDED)])
        for stream in slow:
            (last,) = await rest(stream)
            assert (last["kind"], last["processed"]) == ("JOB_FINISHED", rows + 1)

    async def is_told_the_end_that_fell_into_the_pause(self) -> None:
        ground, rows = self._ground, self._size.rows
        quick = await ground.subscribe(_EVENTS, after=await cursor_at(ground.store, len(await ground.log())))
        slow = await self._idle(_PROGRESS, id=ground.stage.job_id("j"))
        await self._grow(quick, 1, rows // 4)
        await ground.stage.poll([connector()], [_job(rows, JobStatus.FAILED)])
        await item(quick)
        for stream in slow:
            told = await rest(stream)
            assert [each["kind"] for each in told].count("JOB_FINISHED") == 1
            assert (told[-1]["kind"], told[-1]["processed"]) == ("JOB_FINISHED", rows)

    async def _grow(self, quick: Stream, first: int, last: int) -> None:
        """Append these lines; somebody who reads gets each of them, whoever else does not."""
        for start in range(first, last, self._size.at_once):
            numbers = range(start, start + self._size.at_once)
            lines = [self._ground.line(n, changed_fields=self._stuff) for n in numbers]
            position = await self._ground.append(lines)
            for n in range(len(lines)):
                told = await item(quick)
                assert log_position(told["cursor"]) == position - len(lines) + 1 + n

    async def _idle(self, query: str, **variables: Any) -> list[Stream]:
        """The same subscription over each transport, by clients that do not read yet."""
        streams: list[Stream] = []
        for self._ground.transport in ("websocket", "sse"):
            streams.append(await (await self._ground.connect(self._session)).subscribe(query, variables))
        return streams


@asynccontextmanager
async def pausing(store_url: str, size: Size) -> AsyncIterator[Pausing]:
    """With a job that runs, on a gateway that gives nobody up."""
    narrow = aiohttp.TCPConnector(socket_factory=_small_socket)
    with pytest.MonkeyPatch.context() as patient:
        patient.setattr(flow, "TOO_SLOW_AFTER", 300.0)
        patient.setattr(sse, "DEAD_AFTER", 300.0)
        patient.setattr("connectory.live.socket.HEARTBEAT", 200.0)
        async with (
            aiohttp.ClientSession(connector=narrow, read_bufsize=_BUFFER) as session,
            grounds(store_url, "websocket") as ground,
        ):
            await ground.stage.poll([connector()], [_job(0)])
            yield Pausing(ground, session, size)


#: What aiohttp buffers twice, and the longest line that it reads half of.
_BUFFER = 32 * 1024


def _small_socket(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    found.setblocking(False)
    return found


def _job(processed: int, status: JobStatus = JobStatus.RUNNING) -> Any:
    return job("j", status=status, processed=processed)


def _resident() -> int:
    """Bytes of this process in memory, without what only waits to be collected."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class SlowReaders:
    """The tests of those who pause; ``scene`` says on which store, and how much they do not read."""

    async def test_every_event_comes_in_order_to_one_who_paused(self, scene: Pausing) -> None:
        await scene.is_told_every_event_in_order()

    async def test_the_newest_state_and_the_end_come_to_one_who_paused(self, scene: Pausing) -> None:
        await scene.is_told_the_newest_state_and_the_end()

    async def test_the_end_comes_though_it_fell_into_the_pause(self, scene: Pausing) -> None:
        await scene.is_told_the_end_that_fell_into_the_pause()
