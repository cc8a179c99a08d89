"""Messages between gateways on one PostgreSQL, through every trouble that a connection may have."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import make_url

from connectory.store import Store
from connectory.store.log.bus import Bus
from connectory.store.log.notify_channel import LONGEST_PAYLOAD, WATCHES_CHANNEL, NotifyChannel
from connectory.store.log.tail import Tail
from connectory.store.writes.rows import append_events
from tests.store.test_tail import NEVER, actions, append, following, line
from tests.wait import until

_END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Post:
    """A channel of its own, as another process has it, and the payloads that it was given."""

    def __init__(self, store: Store) -> None:
        self.bus = Bus()
        self.notify_channel = NotifyChannel(store, self.bus)
        self.got: list[str] = []
        self.notify_channel.listen(WATCHES_CHANNEL, self.got.append)

    async def has(self, *payloads: str) -> None:
        async def arrived() -> bool:
            return self.got == list(payloads)

        await until(arrived)

    async def connected(self) -> None:
        async def look() -> bool:
            return self.notify_channel.is_connected

        await until(look)


@asynccontextmanager
async def open_posts(*posts: Post) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(post.notify_channel.run()) for post in posts]
    try:
        for post in posts:
            await post.connected()
        yield
    finally:
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(10):
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Store]:
    store = Store(postgres_url)
    await store.upgrade()
    yield store
    await store.close()


async def execute(url: str, statement: str, *arguments: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def test_a_commit_of_another_process_wakes_without_a_poll(postgres: Store, postgres_url: str) -> None:
    post, other = Post(postgres), Store(postgres_url)
    try:
        async with open_posts(post), following(Tail(postgres, post.bus, poll_interval=NEVER)) as listener:
            await append(other, line("a"), line("a"))
            await listener.come_to(2)
            await append(other, line("b"))
            await listener.come_to(3)
    finally:
        await other.close()
    assert listener.positions == [1, 2, 3]


async def test_what_is_rolled_back_wakes_nobody(postgres: Store) -> None:
    post = Post(postgres)
    async with open_posts(post):
        with contextlib.suppress(ZeroDivisionError):
            async with postgres.write() as connection:
                await append_events(connection, [line("a")] * 5)
                _ = 1 / 0
        await append(postgres, line("b"))
        assert await asyncio.wait_for(post.bus.wait(0), 10) == 1


async def test_messages_reach_everybody_in_order(postgres: Store) -> None:
    first, second = Post(postgres), Post(postgres)
    async with open_posts(first, second):
        sent = [f"message {number}" for number in range(1_200)]
        for payload in sent:
            first.notify_channel.send(WATCHES_CHANNEL, payload)
        await second.has(*sent)
        await first.has(*sent)


async def test_the_longest_payload(postgres: Store) -> None:
    post = Post(postgres)
    async with open_posts(post):
        post.notify_channel.send(WATCHES_CHANNEL, "ä" * (LONGEST_PAYLOAD // 2))
        await post.has("ä" * (LONGEST_PAYLOAD // 2))


async def test_a_connection_that_is_cut_is_made_anew_and_logged_once(
    postgres: Store, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "connectory.store.log.notify_channel")
    post = Post(postgres)

    async def lost() -> bool:
        return not post.notify_channel.is_connected

    async with open_posts(post):
        for count in range(2):
            await execute(postgres_url, _END_ALL)
            await until(lost)
            post.notify_channel.send(WATCHES_CHANNEL, f"kept {count}")
            await post.has(*(f"kept {n}" for n in range(count + 1)))
            await post.connected()
    assert actions(caplog) == ["wire_lost", "wire_restored"] * 2


async def test_a_database_that_is_away_is_logged_once(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectory.store.log.notify_channel._LONGEST_PAUSE", 0.01)
    attempts = 0
    store = Store(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/nothing")
    notify_channel = NotifyChannel(store, Bus())
    original = notify_channel._hold_connection

    async def hold() -> None:
        nonlocal attempts
        attempts += 1
        await original()

    async def tried() -> bool:
        return attempts >= 4

    monkeypatch.setattr(notify_channel, "_hold_connection", hold)
    task = asyncio.create_task(notify_channel.run())
    await until(tried)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    await store.close()
    assert actions(caplog) == ["wire_lost"]


async def test_a_server_that_has_gone_silent_is_noticed(
    postgres: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells that the connection is dead, until it is tried."""
    monkeypatch.setattr("connectory.store.log.notify_channel._KEEP_ALIVE", 0.05)
    async with silencer(postgres_url) as (url, silence):
        monkeypatch.setattr("connectory.store.log.notify_channel._PATIENCE", 1.0)
        behind = Store(url)
        post = Post(behind)

        async def lost() -> bool:
            return not post.notify_channel.is_connected

        async with open_posts(post):
            silence.set()
            await until(lost)
            silence.clear()
            await post.connected()
        await behind.close()


@asynccontextmanager
async def silencer(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to the server that swallows everything while the event is set."""
    silent, writers, server_url = asyncio.Event(), [], make_url(url)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                if not silent.is_set():
                    sink.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(server_url.host, server_url.port or 5432)
        writers.extend([writer, up_writer])
        await asyncio.wait(
            [asyncio.create_task(pump(reader, up_writer)), asyncio.create_task(pump(up_reader, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        writer.close()
        up_writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield server_url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False), silent
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def test_messages_that_nobody_understands_are_logged_and_cost_nothing_else(
    postgres: Store, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    post = Post(postgres)
    async with open_posts(post):
        await execute(postgres_url, "SELECT pg_notify('connectory_log', $1)", "not a number")
        post.notify_channel.send(WATCHES_CHANNEL, "understood")
        await post.has("understood")
    assert actions(caplog) == ["wire_message_unreadable"]


async def test_on_sqlite_there_is_nobody_to_tell(sqlite_store: Store) -> None:
    notify_channel = NotifyChannel(sqlite_store, Bus())
    notify_channel.send(WATCHES_CHANNEL, "to nobody")
    await asyncio.wait_for(notify_channel.run(), 5)
    assert not notify_channel.is_connected
