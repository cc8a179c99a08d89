"""What HTTP itself refuses, below every path: in our shape and words, without a word of what was sent."""

import asyncio
import contextlib
import gzip
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from connectory.execution import body
from connectory.live.protocol import PROTOCOL
from connectory.web import http_server
from connectory.web.http_server import LONGEST_URL, MOST_HEADERS
from tests.api.gateway import Client, served
from tests.api.stand_in import STAND_IN

#: Stands for what clients send and nobody is to read again.
SECRET = b"swordfish"
#: What would tell what we run on.
FOREIGN = (SECRET, b"Python", b"aiohttp", b"Brotli", b"zstd")
GET = b"GET /graphql?query={hello} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
POST = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Protocol: " + PROTOCOL.encode() + b"\r\n"
)
LONG = SECRET * 4000


@pytest.fixture
async def client(sqlite_url: str) -> AsyncIterator[Client]:
    async with served(sqlite_url, STAND_IN) as found:
        yield found


@asynccontextmanager
async def connected(client: Client) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The bare bytes of a connection. Whoever waits in vain on it fails."""
    host, port = client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(client: Client, sent: bytes) -> bytes:
    """What comes back until the other side ends the connection."""
    async with connected(client) as (reader, writer):
        writer.write(sent)
        return await reader.read()


def refusal(found: bytes) -> tuple[int, str]:
    """Status and code of an answer, which has to be ours in every respect."""
    assert [word for word in FOREIGN if word in found] == [], found
    head, _, body = found.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["Content-Type"] == "application/json; charset=utf-8", headers
    assert (headers["Server"], headers["X-Content-Type-Options"]) == ("Connectory", "nosniff")
    (error,) = json.loads(body)["errors"]
    assert error["message"]
    return int(first.split()[1]), error["extensions"]["code"]


TAKEN = {
    "cookies of 12 kB": GET + b"Cookie: session=" + b"x" * 12_000 + b"\r\n\r\n",
    "a header of 32 KiB": GET + b"Authorization: " + b"x" * LONGEST_URL + b"\r\n\r\n",
    "a URL of 32 KiB": GET.replace(b"{hello}", b"{hello}&x=".ljust(LONGEST_URL - len("/graphql?query="), b"x"))
    + b"\r\n",
}


@pytest.mark.parametrize("sent", TAKEN.values(), ids=TAKEN)
async def test_what_single_sign_on_sends_is_taken(client: Client, sent: bytes) -> None:
    found = await exchange(client, sent)
    assert found.split()[1] == b"200", found[:300]
    assert found.endswith(b'{"data":{"hello":"world"}}')


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "a long header": (GET + b"Cookie: " + LONG + b"\r\n\r\n", 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    "a long name of a header": (GET + LONG + b": x\r\n\r\n", 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    "long headers together": (
        GET + (b"Cookie: " + SECRET * 3000 + b"\r\n") * 3 + b"\r\n", 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"
    ),
    "long headers without an end": (
        GET + (b"Cookie: " + SECRET * 3000 + b"\r\n") * 3, 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"
    ),
    "a header of megabytes": (GET + b"Cookie: " + SECRET * 500_000, 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    "many headers": (GET + b"X: swordfish\r\n" * MOST_HEADERS + b"\r\n", 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    "a long URL": (GET.replace(b"{hello}", LONG) + b"\r\n", 414, "URI_TOO_LONG"),
    "no HTTP": (b"swordfish\r\n\r\n", 400, "BAD_REQUEST"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00swordfish", 400, "BAD_REQUEST"),
    "no colon": (GET + b"Cookie swordfish\r\n\r\n", 400, "BAD_REQUEST"),
    "no host": (b"GET /swordfish HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nswordfish", 400, "BAD_REQUEST"),
    "a chunk": (CHUNKED + b"\r\nswordfish", 400, "BAD_REQUEST"),
    "an expectation": (GET + b"Expect: swordfish\r\n\r\n", 417, "EXPECTATION_FAILED"),
    "Brotli": (POST + b"Content-Encoding: br\r\nContent-Length: 9\r\n\r\nswordfish", 415, "UNSUPPORTED_MEDIA_TYPE"),
    "Zstandard": (
        POST + b"Content-Encoding: zstd\r\nContent-Length: 9\r\n\r\nswordfish", 415, "UNSUPPORTED_MEDIA_TYPE"
    ),
    "an unknown coding": (
        POST + b"Content-Encoding: swordfish\r\nContent-Length: 2\r\n\r\n{}", 415, "UNSUPPORTED_MEDIA_TYPE"
    ),
    "no gzip": (POST + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nswordfish", 400, "BAD_REQUEST"),
    "a WebSocket without a key": (UPGRADE + b"Sec-WebSocket-Version: 13\r\n\r\n", 400, "BAD_REQUEST"),
    "a WebSocket with a wrong key": (
        UPGRADE + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: swordfish\r\n\r\n", 400, "BAD_REQUEST"
    ),
    "a WebSocket of another version": (UPGRADE + b"Sec-WebSocket-Version: swordfish\r\n\r\n", 400, "BAD_REQUEST"),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_not_repeated(
    client: Client, sent: bytes, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    if sent.startswith(UPGRADE):
        sent = sent.replace(b"Connection: Upgrade", b"Connection: Upgrade, close")
    assert refusal(await exchange(client, sent)) == (status, code)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert SECRET.decode() not in caplog.text


async def test_a_body_that_breaks_on_its_way_is_answered_at_once(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    zipped = gzip.compress(b'{"query": "{hello}"}' * 100)
    for head, rest in (
        (CHUNKED, b"swordfish\r\n"),
        (CHUNKED + b"Content-Encoding: gzip\r\n", b"9\r\nswordfish\r\n"),
        (POST + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(zipped), zipped[:12] + SECRET * 100),
    ):
        async with connected(client) as (reader, writer):
            writer.write(head + b"Expect: 100-continue\r\n\r\n")
            assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
            writer.write(rest)
            assert refusal(await reader.readuntil(b"]}")) == (400, "BAD_REQUEST"), head
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert SECRET.decode() not in caplog.text


# ---- who sends too slowly


async def test_headers_have_to_come_in_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_WITHIN", 0.2)
    async with connected(client) as (reader, writer):
        writer.write(GET.replace(b"Connection: close\r\n", b"") + b"\r\n")
        assert b'{"hello":"world"}' in await reader.readuntil(b"}}")
        writer.write(GET + b"Cookie: swordfish")
        assert refusal(await reader.read()) == (408, "REQUEST_TIMEOUT")


async def test_a_body_has_to_come_in_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "WITHIN", 0.2)
    async with connected(client) as (reader, writer):
        writer.write(POST + b'Content-Length: 100\r\n\r\n{"swordfish')
        assert refusal(await reader.readuntil(b"]}")) == (408, "REQUEST_TIMEOUT")


@pytest.mark.parametrize("begin", [b"", b"GET /graphql"], ids=["nothing", "a beginning"])
async def test_who_is_silent_is_left(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(http_server, "IDLE_WITHIN", 0.2)
    async with served(sqlite_url, STAND_IN) as client:
        assert await exchange(client, begin) == b""
