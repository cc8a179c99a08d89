"""A client that stops reading costs nobody anything, and finds what it needs when it reads on."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectory.live import flow, sse
from connectory.model import JobStatus
from connectory.store.log import log_cursor, log_position
from tests.facts import connector, job
from tests.live.client import Stream, item, rest
from tests.live.ground import Ground, grounds

#: Items are fat, so that no kernel buffers them all, and cost no statement of their own.
_EVENTS = """subscription($after: String) { events(after: $after) {
    cursor ... on JobEvent { processed changedFields } } }"""
_PROGRESS = """subscription($id: ID!) { jobProgress(jobId: $id) {
    cursor kind processed a: changedFields b: changedFields c: changedFields } }"""
_FAT = "x" * 4400
_ROWS = 10_000
_AT_ONCE = 500
#: Bytes that the process may grow by while they do not read, of 33 MB that they do not read.
_FLAT = 5_000_000


def _small_socket(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    found.setblocking(False)
    return found


@pytest.fixture
async def ground(store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    monkeypatch.setattr(flow, "TOO_SLOW_AFTER", 300.0)
    monkeypatch.setattr(sse, "DEAD_AFTER", 300.0)
    monkeypatch.setattr("connectory.live.socket.HEARTBEAT", 200.0)
    async with grounds(store_url, "websocket") as found:
        await found.stage.poll([connector()], [_job(0)])
        yield found


@pytest.fixture
async def narrow() -> AsyncIterator[aiohttp.ClientSession]:
    """For clients that do not read: little of what they are sent is on its way."""
    connector = aiohttp.TCPConnector(socket_factory=_small_socket)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=8192) as session:
        yield session


def _job(processed: int, status: JobStatus = JobStatus.RUNNING) -> Any:
    return job("j", status=status, processed=processed)


def _resident() -> int:
    """Bytes of this process in memory, without what only waits to be collected."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def _grow(ground: Ground, quick: Stream, first: int, last: int) -> None:
    """Append so many lines; somebody who reads gets each of them, whoever else does not."""
    for start in range(first, last, _AT_ONCE):
        position = await ground.append([ground.line(n, changed_fields=_FAT) for n in range(start, start + _AT_ONCE)])
        for n in range(_AT_ONCE):
            told = await item(quick)
            assert told["cursor"] == log_cursor(position - _AT_ONCE + 1 + n)


async def _idle(ground: Ground, session: aiohttp.ClientSession, query: str, **variables: Any) -> list[Stream]:
    """The same subscription over each transport, by clients that do not read yet."""
    streams: list[Stream] = []
    for ground.transport in ("websocket", "sse"):
        streams.append(await (await ground.connect(session)).subscribe(query, variables))
    return streams


async def test_every_event_comes_in_order_to_one_who_paused(ground: Ground, narrow: aiohttp.ClientSession) -> None:
    head = len(await ground.log())
    quick = await ground.subscribe(_EVENTS, after=log_cursor(head))
    slow = await _idle(ground, narrow, _EVENTS, after=log_cursor(head))
    await _grow(ground, quick, 0, 2500)
    before = _resident()
    await _grow(ground, quick, 2500, _ROWS)
    grown = _resident() - before
    assert grown < _FLAT, f"{grown / 1e6:.0f} MB are kept for those who do not read"

    async def read_on(stream: Stream) -> list[int]:
        return [log_position((await item(stream))["cursor"]) for _ in range(_ROWS)]

    for positions in await asyncio.gather(*map(read_on, slow)):
        assert positions == list(range(head + 1, head + _ROWS + 1))
    position = await ground.append([ground.line(0)])
    assert [(await item(stream))["cursor"] for stream in slow] == [log_cursor(position)] * 2, "they are live again"


async def test_the_newest_state_and_the_end_come_to_one_who_paused(
    ground: Ground, narrow: aiohttp.ClientSession
) -> None:
    quick = await ground.subscribe(_EVENTS, after=log_cursor(len(await ground.log())))
    slow = await _idle(ground, narrow, _PROGRESS, id=ground.stage.job_id("j"))
    assert [(await item(stream))["processed"] for stream in slow] == [0, 0]
    await _grow(ground, quick, 1, _ROWS // 2)
    await ground.stage.poll([connector()], [_job(_ROWS)])
    for stream in slow:
        told = [await item(stream)]
        while told[-1]["processed"] != _ROWS:
            told.append(await item(stream))
        positions = [log_position(each["cursor"]) for each in told]
        assert positions == sorted(set(positions))
        assert len(told) < _ROWS / 4
    await ground.stage.poll([connector()], [_job(_ROWS + 1, JobStatus.SUCCEEDED)])
    for stream in slow:
        (last,) = await rest(stream)
        assert (last["kind"], last["processed"]) == ("JOB_FINISHED", _ROWS + 1)


async def test_the_end_comes_though_it_fell_into_the_pause(ground: Ground, narrow: aiohttp.ClientSession) -> None:
    quick = await ground.subscribe(_EVENTS, after=log_cursor(len(await ground.log())))
    slow = await _idle(ground, narrow, _PROGRESS, id=ground.stage.job_id("j"))
    await _grow(ground, quick, 1, _ROWS // 4)
    await ground.stage.poll([connector()], [_job(_ROWS, JobStatus.FAILED)])
    await item(quick)
    for stream in slow:
        told = await rest(stream)
        assert [each["kind"] for each in told].count("JOB_FINISHED") == 1
        assert (told[-1]["kind"], told[-1]["processed"]) == ("JOB_FINISHED", _ROWS)
