"""Clients that hold connections and make nothing of them: each state has its end, and who asks something finds room."""

import asyncio
import contextlib
import json
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import create_autospec

import pytest
import strawberry
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from connectory.web import frames, http_server, open_connections
from connectory.web.app import _mask_errors
from connectory.web.http_server import OPEN_CONNECTIONS
from connectory.web.intake import PER_TURN
from tests.api import stand_in
from tests.api.gateway import Client, served
from tests.live.test_frames import CLOSE, PING, PONG, TEXT, Peer, frame
from tests.wait import until

HEAD = b"GET /graphql?query={%s} HTTP/1.1\r\nHost: localhost\r\n"
HELLO = HEAD % b"hello" + b"\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
#: Bytes of an answer that no buffer on its way can hold.
LARGE = 16 << 20


@strawberry.type(name="Query")
class Query(stand_in.Query):
    @strawberry.field
    def large(self) -> str:
        return "x" * LARGE


SCHEMA = strawberry.Schema(Query, subscription=stand_in.Subscription)


@pytest.fixture
async def client(sqlite_url: str) -> AsyncIterator[Client]:
    async with served(sqlite_url, SCHEMA) as found:
        yield found


class Raw:
    """A connection by hand."""

    def __init__(self, client: Client, found: socket.socket) -> None:
        self._client = client
        self.socket = found

    @classmethod
    async def connect(cls, client: Client, sent: bytes = b"", *, address: str = "127.0.0.1") -> "Raw":
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        found.setblocking(False)
        found.bind((address, 0))
        host, port = client.url.removeprefix("http://").split(":")
        loop = asyncio.get_running_loop()
        await loop.sock_connect(found, (host, int(port)))
        await loop.sock_sendall(found, sent)
        return cls(client, found)

    async def read(self, size: int = 65536) -> bytes:
        """What comes next; nothing at the end, however that came."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                return await asyncio.get_running_loop().sock_recv(self.socket, size)
        return b""

    async def rest(self) -> bytes:
        found = b""
        while more := await self.read():
            found += more
        return found

    async def send(self, sent: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, sent)

    def close(self) -> None:
        self.socket.close()


@asynccontextmanager
async def raws() -> AsyncIterator[list[Raw]]:
    found: list[Raw] = []
    try:
        yield found
    finally:
        for raw in found:
            raw.close()


def ended(client: Client, reason: str) -> float:
    return client.metric("connectory_connections_ended_total", reason=reason)


async def has_ended(client: Client, reason: str, count: int = 1) -> None:
    async def look() -> bool:
        return ended(client, reason) == count

    await until(look)


async def is_open(client: Client, count: int) -> None:
    async def look() -> bool:
        return client.metric("connectory_connections") == count

    await until(look)


# ---- clients that do not read


@pytest.mark.parametrize("is_half_closed", [False, True])
async def test_who_takes_nothing_of_an_answer_is_left(
    client: Client, monkeypatch: pytest.MonkeyPatch, is_half_closed: bool
) -> None:
    monkeypatch.setattr(http_server, "TAKE_WITHIN", 0.2)
    raw = await Raw.connect(client, HEAD % b"large" + b"\r\n")
    if is_half_closed:
        assert await raw.read(1)
        raw.socket.shutdown(socket.SHUT_WR)
    await has_ended(client, "stalled")
    await is_open(client, 0)
    assert client.metric("connectory_connections_held_bytes") == 0
    assert len(await raw.rest()) < LARGE
    raw.close()


async def test_who_takes_too_little_of_an_answer_is_left(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "TAKE_WITHIN", 0.2)
    monkeypatch.setattr(http_server, "TAKE_LEAST", LARGE)
    raw = await Raw.connect(client, HEAD % b"large" + b"\r\n")

    async def look() -> bool:
        return not await raw.read(4096) or ended(client, "stalled") == 1

    await until(look)
    await has_ended(client, "stalled")
    raw.close()


async def test_who_takes_it_slowly_is_given_all_of_it(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "TAKE_WITHIN", 0.01)
    monkeypatch.setattr(http_server, "TAKE_LEAST", 0)
    raw = await Raw.connect(client, HEAD % b"large" + b"Connection: close\r\n\r\n")
    assert len(await raw.rest()) > LARGE
    assert ended(client, "stalled") == 0
    raw.close()


async def test_what_is_held_for_clients_has_a_bound(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the one for whom most is held the oldest goes; who holds little is left alone."""
    monkeypatch.setattr(open_connections, "MOST_HELD", 3 * LARGE)
    async with raws() as found:
        found.append(await Raw.connect(client, HEAD % b"large" + b"\r\n"))
        for _ in range(3):
            found.append(await Raw.connect(client, HEAD % b"large" + b"\r\n", address="127.0.0.2"))
            assert await found[-1].read(1)
        await has_ended(client, "memory", 2)  # down to three quarters
        for raw in found[1:3]:
            assert len(await raw.rest()) < LARGE
        assert client.metric("connectory_connections") == 2


async def test_bodies_on_their_way_count_as_held(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_connections, "MOST_HELD", 100_000)
    async with raws() as found:
        for _ in range(3):
            found.append(await Raw.connect(client, POST + b" " * 40_000))
        await has_ended(client, "memory", 2)
        assert not await found[0].read()


# ---- silence


async def test_a_message_has_to_come_in_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MESSAGE_WITHIN", 0.2)
    whole, peer = frame(TEXT, b'{"type":"ping"}'), await Peer.connect(client)
    peer.send(whole[:10])
    peer.send(whole[10:])
    assert await peer.receive() == (TEXT, b'{"type":"pong"}')
    peer.send(whole[:10])
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await peer.receive()
    assert ended(client, "late") == 1
    peer.close()


async def test_the_system_looks_after_peers_that_vanish(client: Client) -> None:
    raw = await Raw.connect(client)
    await is_open(client, 1)
    (guest,) = client.app[OPEN_CONNECTIONS]._guests
    found = guest.transport.get_extra_info("socket")  # type: ignore[attr-defined]
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    told = [found.getsockopt(socket.IPPROTO_TCP, option) for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)]
    assert max(told) <= 30
    assert 0 < found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 60_000
    raw.close()


@pytest.mark.parametrize("is_gone", [True, False])
async def test_who_goes_before_the_answer_begins_leaves_no_error(
    is_gone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    transport = create_autospec(asyncio.Transport, instance=True)
    transport.is_closing.return_value = is_gone

    async def begin(_: web.Request) -> web.StreamResponse:
        raise ConnectionResetError

    await _mask_errors(make_mocked_request("GET", "/graphql", transport=transport), begin)
    assert [record.levelname for record in caplog.records] == ([] if is_gone else ["WARNING"])


# ---- work without any use


async def test_who_floods_with_control_frames_is_left(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_CONTROL", 50)
    peer = await Peer.connect(client)
    peer.send(*[frame(PING, b"")] * 51)
    for _ in range(50):
        assert await peer.receive() == (PONG, b"")
    assert await peer.receive() == (CLOSE, (1002).to_bytes(2, "big"))
    assert ended(client, "flooding") == 1
    peer.close()


async def test_a_message_comes_in_so_many_frames_and_no_more(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_FRAMES", 50)
    first, more = bytes([TEXT, 0x80, 0, 0, 0, 0]), bytes([0, 0x80, 0, 0, 0, 0])
    peer = await Peer.connect(client)
    peer.send(first, more * 50)
    assert await peer.receive() == (CLOSE, (1002).to_bytes(2, "big"))
    assert ended(client, "flooding") == 1
    peer.close()


async def test_a_turn_of_the_loop_takes_few_of_many_messages(client: Client) -> None:
    """Messages that came at once are answered in portions, and everybody else in between."""
    many = 2_000
    peer = await Peer.connect(client)
    peer.send(frame(TEXT, b'{"type":"ping"}') * many)
    turns, answered = 0, 0

    async def turn() -> None:
        nonlocal turns
        while answered < many:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    for answered in range(1, many + 1):  # noqa: B007
        assert await peer.receive() == (TEXT, b'{"type":"pong"}')
    await turning
    assert turns > many // (frames.AT_ONCE * PER_TURN), "all of them were answered in a few turns"
    peer.close()


# ---- how many there may be


async def test_who_has_waited_longest_makes_room(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_connections, "GRACE", 0.0)
    async with served(sqlite_url, SCHEMA, connections=3) as client, raws() as found:
        for sent in (b"", HELLO[:-2], POST):  # nothing, part of a head, part of a body
            found.append(await Raw.connect(client, sent))
            await is_open(client, len(found))
        for place in range(3):
            found.append(await Raw.connect(client, HELLO))
            assert b'"world"' in await found[-1].read()
            assert not await found[place].read()
        assert (ended(client, "crowded_out"), ended(client, "refused")) == (3, 0)


async def test_where_all_are_being_answered_probes_are_too(sqlite_url: str) -> None:
    async with served(sqlite_url, SCHEMA, connections=2) as client, raws() as found:
        for _ in range(2):
            found.append(await Raw.connect(client, HEAD % b"slow" + b"\r\n"))
        await stand_in.begun(2)
        found.append(await Raw.connect(client, READY + HELLO))
        assert (await found[-1].read()).startswith(b"HTTP/1.1 200 ")
        refused = await found[-1].rest()
        assert b" 503 " in refused
        assert b"Retry-After: " in refused
        (error,) = json.loads(refused.partition(b"\r\n\r\n")[2])["errors"]
        assert error["extensions"] == {"code": "TOO_MANY_CONNECTIONS"}
        assert ended(client, "refused") == 1


async def test_beyond_that_a_connection_ends_at_once(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_connections, "FOR_PROBES", 1)
    monkeypatch.setattr(open_connections, "GRACE", 60.0)
    async with served(sqlite_url, SCHEMA, connections=1) as client, raws() as found:
        for _ in range(2):
            found.append(await Raw.connect(client))
            await is_open(client, len(found))
        found.append(await Raw.connect(client))
        assert not await found[-1].read()
        assert ended(client, "refused") == 1
        found.pop(0).close()
        await is_open(client, 1)
        found.append(await Raw.connect(client, READY))
        assert (await found[-1].read()).startswith(b"HTTP/1.1 200 ")


async def test_one_client_takes_nothing_from_the_others(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectory.web.app.CONNECTIONS_BESIDE", 2)
    limits = {"connections_per_client": 1, "heavy_operations_per_client": 10}
    async with served(sqlite_url, SCHEMA, **limits) as client, raws() as found:
        for _ in range(3):
            found.append(await Raw.connect(client, HEAD % b"slow" + b"\r\n", address="127.0.0.2"))
        await stand_in.begun(3)
        found.append(await Raw.connect(client, HELLO, address="127.0.0.2"))
        assert b" 503 " in await found[-1].read()
        found.append(await Raw.connect(client, HELLO))
        assert b'"world"' in await found[-1].read()


@pytest.fixture(autouse=True)
def _nobody_is_patient() -> None:
    stand_in.PATIENT.clear()


@contextmanager
def no_file_left() -> Iterator[None]:
    """This process can open no file more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    filling = []
    try:
        with contextlib.suppress(OSError):
            while True:
                filling.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for opened in filling:
            os.close(opened)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_files_connections_end_at_once(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    host, port = client.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    found = [socket.socket() for _ in range(20)]
    with no_file_left():
        for each in found:
            each.setblocking(False)
            await loop.sock_connect(each, (host, int(port)))
        for each in found:
            async with asyncio.timeout(10):
                assert not await loop.sock_recv(each, 10)
            each.close()
    assert ended(client, "files") == 20
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    status, _ = await client.ask("{ hello }")
    assert status == 200
