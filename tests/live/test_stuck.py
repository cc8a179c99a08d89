"""Connections that nobody reads: they end, with a reason where it still gets out, and cost nobody else anything."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest

from connectory.live import flow, socket
from tests.live.client import Lost, SocketClient, Stream, item, rest
from tests.live.narrow import FAT, MESSAGE, Narrow, narrow_clients
from tests.live.running import PROGRESS, Running, job_id, running
from tests.wait import until

_NAMES = {"websocket": "sockets", "sse": "streams"}


@pytest.fixture
async def narrow() -> AsyncIterator[Narrow]:
    async with narrow_clients() as found:
        yield found


async def too_slow(gateway: Running, transport: str, connections: int) -> None:
    """Let the job go on until so many connections were given up."""
    numbers = count(2)

    async def look() -> bool:
        gateway.go("j", next(numbers), error_message=MESSAGE)
        return gateway.client.metric("connectory_live_too_slow_total", transport=transport) == connections

    await until(look, within=20)


async def follow(gateway: Running) -> Stream:
    client = await SocketClient.connect(gateway.client.session, gateway.client.url)
    stream = await client.subscribe(PROGRESS, {"id": job_id()})
    assert (await item(stream))["processed"] == 1
    return stream


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_ten_that_never_read_delay_nobody(store_url: str, narrow: Narrow, transport: str) -> None:
    async with running(store_url) as gateway:
        quick = await follow(gateway)
        for _ in range(10):
            await narrow.stuck(gateway.client.url, transport)
        for n in range(2, 12):
            gateway.go("j", n, error_message=MESSAGE)
            assert (await item(quick))["processed"] == n
        held = gateway.held()
        assert (held["subscribers"], held[_NAMES[transport]]) == (11, 10 + (transport == "websocket"))


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_who_never_reads_is_given_up(
    sqlite_url: str, narrow: Narrow, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert flow.TOO_SLOW_AFTER == 30
    monkeypatch.setattr(flow, "TOO_SLOW_AFTER", 0.3)
    monkeypatch.setattr(socket, "CLOSE_WITHIN", 0.1)
    async with running(sqlite_url) as gateway:
        for _ in range(3):
            await narrow.stuck(gateway.client.url, transport)
        await too_slow(gateway, transport, 3)
        await gateway.deserted()


async def test_who_reads_on_after_all_is_told_why_it_was_given_up(
    sqlite_url: str, narrow: Narrow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "TOO_SLOW_AFTER", 0.3)
    monkeypatch.setattr(socket, "CLOSE_WITHIN", 20.0)
    async with running(sqlite_url) as gateway:
        client = await narrow.socket(gateway.client.url)
        stream = await client.subscribe(FAT, {"id": job_id()})
        await too_slow(gateway, "websocket", 1)
        with pytest.raises(Lost) as caught:
            await rest(stream)
        assert (caught.value.code, "too slowly" in caught.value.reason) == (1013, True)
        await gateway.deserted()


async def test_who_only_pings_and_never_reads_is_given_up(
    sqlite_url: str, narrow: Narrow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we answer must not pile up."""
    monkeypatch.setattr(flow, "TOO_SLOW_AFTER", 0.3)
    monkeypatch.setattr(socket, "CLOSE_WITHIN", 0.1)
    async with running(sqlite_url) as gateway:
        client = await narrow.socket(gateway.client.url)

        async def flood() -> None:
            while True:
                await client.send({"type": "ping", "payload": {"text": "x" * 50_000}})

        flooding = asyncio.create_task(flood())
        await too_slow(gateway, "websocket", 1)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flooding, 20)
        await gateway.deserted()


async def test_a_slow_reader_does_not_hold_up_the_others_on_its_socket(sqlite_url: str, narrow: Narrow) -> None:
    """One that gives up waiting takes nothing from those who wait on the same connection."""
    async with running(sqlite_url) as gateway:
        client = await narrow.socket(gateway.client.url)
        streams = [await client.subscribe(FAT, {"id": job_id()}) for _ in range(3)]
        quick = await follow(gateway)
        for n in range(2, 6):
            gateway.go("j", n, error_message=MESSAGE)
            assert (await item(quick))["processed"] == n
        await streams[0].leave()

        async def has_left() -> bool:
            return gateway.held()["subscribers"] == 3

        await until(has_left)
        for stream in streams[1:]:
            while (await item(stream))["processed"] != 5:
                pass
