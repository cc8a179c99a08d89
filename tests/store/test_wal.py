"""SQLite's write-ahead log stays within its bound, however much is read and written, and shrinks when nobody writes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from connectory.store import Store
from tests.api.gateway import served
from tests.wait import PATIENCE, until

BOUND = 1 << 20
#: What one commit writes.
PORTION = 1 << 16


@pytest.fixture
async def store(sqlite_store: Store) -> AsyncIterator[Store]:
    """One whose log is looked after."""
    assert sqlite_store.wal is not None
    sqlite_store.wal.bound, sqlite_store.wal.interval, sqlite_store.wal.idle = BOUND, 0.01, 3600
    async with sqlite_store.write() as connection:
        await connection.execute(text("CREATE TABLE written (what BLOB)"))
    task = asyncio.create_task(sqlite_store.wal.run())
    yield sqlite_store
    task.cancel()


def size(store: Store) -> int:
    assert store.wal is not None
    return store.wal.size


async def write(store: Store) -> None:
    async with store.write() as connection:
        await connection.execute(text("INSERT INTO written VALUES (zeroblob(:bytes))"), {"bytes": PORTION})


async def read(store: Store) -> int:
    async with store.read() as connection:
        found: int = (await connection.execute(text("SELECT count(*) FROM written"))).scalar_one()
        return found


class Relay:
    """Readers of whom there is always one: who reads goes on until another one has begun, if any can."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._others = asyncio.Event()
        self.reads = 0

    async def run(self) -> None:
        while True:
            async with self._store.read() as connection:
                await connection.execute(text("SELECT count(*) FROM written"))
                self._others.set()
                self._others = mine = asyncio.Event()
                self.reads += 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await mine.wait()


@contextlib.asynccontextmanager
async def relay(store: Store, count: int = 3) -> AsyncIterator[Relay]:
    running = Relay(store)
    tasks = [asyncio.create_task(running.run()) for _ in range(count)]
    try:
        yield running
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_it_stays_within_its_bound_though_somebody_always_reads(store: Store) -> None:
    async with relay(store) as readers:

        async def is_within() -> bool:
            return size(store) <= BOUND

        for _ in range(4 * BOUND // PORTION):
            await write(store)
            # without this a machine that others use could let the writer run ahead of who looks after the log
            await until(is_within)
        reads = readers.reads

        async def are_served() -> bool:
            return readers.reads > reads + 10

        await until(are_served)
    assert await read(store) == 4 * BOUND // PORTION


async def test_it_shrinks_when_nobody_writes(store: Store) -> None:
    async with relay(store):
        for _ in range(BOUND // PORTION // 2):
            await write(store)
        assert size(store) > BOUND // 4
        assert store.wal is not None
        store.wal.idle = 0

        async def is_empty() -> bool:
            return size(store) == 0

        await until(is_empty)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_long_reader_is_left_in_peace_and_keeps_nobody_out(
    store: Store, sqlite_url: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = Store(sqlite_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(other.close)
        long = await stack.enter_async_context((store if where == "here" else other).read())
        assert (await long.execute(text("SELECT count(*) FROM written"))).scalar_one() == 0
        for _ in range(2 * BOUND // PORTION):
            await write(store)

        async def was_tried() -> bool:
            return any("somebody reads from it for long" in record.message for record in caplog.records)

        await until(was_tried)
        assert size(store) > BOUND
        for _ in range(10):
            assert await asyncio.wait_for(read(store), PATIENCE) == 2 * BOUND // PORTION
        assert (await long.execute(text("SELECT count(*) FROM written"))).scalar_one() == 0
    assert len([record for record in caplog.records if record.name == "connectory.store.wal"]) == 1

    async def is_within() -> bool:
        return size(store) <= BOUND

    await until(is_within, within=20)  # it rests for a while after it has failed


async def test_a_metric_tells_its_size(store_url: str) -> None:
    async with served(store_url) as client, client.session.get(f"{client.url}/metrics") as answer:
        assert ("connectory_store_wal_bytes" in await answer.text()) == store_url.startswith("sqlite")
