"""The body of a request: how much of it is read, as sent and unpacked, and what becomes of the rest."""

import gc
import gzip
import json
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import StreamReader

from tests.api.gateway import Client, served
from tests.api.stand_in import STAND_IN
from tests.api.test_http_server import CHUNKED, POST, connected
from tests.wait import until

MOST = 20_000
MEGABYTE = b" " * (1 << 20)


@pytest.fixture
async def client(sqlite_url: str) -> AsyncIterator[Client]:
    async with served(sqlite_url, STAND_IN, body_bytes=MOST) as found:
        yield found


def body(size: int) -> bytes:
    return b'{"query": "{hello}"}'.ljust(size)


def bare(text: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(text) + packing.flush()


PACKED = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress, "deflate ": bare}


async def post(client: Client, sent: bytes, coding: str = "") -> tuple[int, dict[str, object]]:
    headers = {"Content-Type": "application/json"} | ({"Content-Encoding": coding.strip()} if coding else {})
    data = aiohttp.BytesPayload(sent)
    async with client.session.post(f"{client.url}/graphql", data=data, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("coding", PACKED)
async def test_so_many_bytes_and_no_more(client: Client, coding: str) -> None:
    assert await post(client, PACKED[coding](body(MOST)), coding) == (200, {"data": {"hello": "world"}})
    status, answered = await post(client, PACKED[coding](body(MOST + 1)), coding)
    assert status == 413
    (error,) = answered["errors"]  # type: ignore[misc]
    assert error["extensions"] == {"code": "REQUEST_ENTITY_TOO_LARGE"}
    assert f"more than {MOST:,} bytes" in error["message"]
    assert "raise body_bytes under [server]" in error["message"]
    assert client.metric("connectory_graphql_refused_total", setting="body_bytes") == 1
    assert client.counted("rejected") == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_what_does_not_end_or_goes_on_is_no_body(client: Client, coding: str) -> None:
    packed = PACKED[coding](body(100))
    for sent in (b"", packed[:-1], packed + b"x", packed[1:]):
        assert (await post(client, sent, coding))[0] == 400


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        (b"Content-Length: %d\r\n" % (MOST + 1), b""),
        (b"Content-Length: 1000000000\r\nContent-Encoding: gzip\r\n", b""),
        (b"Content-Length: 1000000000\r\nContent-Encoding: gzip\r\n", gzip.compress(MEGABYTE)),
        (None, b"%x\r\n" % (MOST + 1) + b" " * (MOST + 1) + b"\r\n"),
        (None, b"".join(b"1\r\n \r\n" for _ in range(MOST + 1))),
    ],
    ids=["announced", "packed and announced", "packed", "a piece", "many pieces"],
)
async def test_it_is_refused_before_it_has_come(client: Client, head: bytes | None, sent: bytes) -> None:
    """And the connection ends: what may still come of it is read by nobody."""
    before = POST + head if head else CHUNKED
    async with connected(client) as (reader, writer):
        writer.write(before.replace(b"Connection: close\r\n", b"") + b"\r\n" + sent)
        answered = await reader.read()
    assert b" 413 " in answered.split(b"\r\n")[0]
    assert b"\r\nConnection: close\r\n" in answered


async def test_values_are_counted_before_they_are_made(sqlite_url: str) -> None:
    async with served(sqlite_url, STAND_IN, values_per_request=100) as client:

        async def send(values: object) -> tuple[int, dict[str, object]]:
            return await post(client, json.dumps({"query": "{hello}", "variables": {"a": values}}).encode())

        for fitting in ([1] * 95, ["[,{"] * 95, "," * 1_000, ['\\",'] * 90, [{"": 0}] * 45):
            assert (await send(fitting))[0] == 200, fitting
        for more in ([1] * 99, [[]] * 60, [{"": ","}] * 60):
            status, answered = await send(more)
            (error,) = answered["errors"]  # type: ignore[misc]
            assert status == 400
            assert "more than 100 values" in error["message"]
            assert "raise values_per_request under [server]" in error["message"]
        assert client.metric("connectory_graphql_refused_total", setting="values_per_request") == 3


async def test_nothing_of_a_refused_body_outlives_its_connection(client: Client) -> None:
    """Request, connection and what nobody has read of it know each other: all wait for the collector."""
    gc.collect()
    gc.disable()
    try:
        async with connected(client) as (reader, writer):
            writer.write(POST + b"Content-Length: 1048576\r\n\r\n" + MEGABYTE[:60_000])
            assert b" 413 " in await reader.readline()
            assert unread() > 0
        await until(all_read, within=5)
    finally:
        gc.enable()


async def all_read() -> bool:
    return unread() == 0


def unread() -> int:
    """Bytes of bodies that wait in this process for somebody to read them."""
    readers = [each for each in gc.get_objects() if type(each) is StreamReader]
    return sum(len(piece) for each in readers for piece in each._buffer)
