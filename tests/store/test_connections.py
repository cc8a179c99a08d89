"""How many connections a store takes, who is given one, and what each is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from connectory.lanes import CONNECTIONS, FEWEST, SESSIONS, Lane, divide
from connectory.store import Store
from connectory.store.connections import LaneConnections
from connectory.store.log.bus import Bus
from connectory.store.log.notify_channel import NotifyChannel
from connectory.store.postgres import SessionLimits
from tests.wait import until

_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def test_the_setting_is_divided_over_all_lanes() -> None:
    assert divide(CONNECTIONS) == {
        Lane.WRITES: 3,
        Lane.HURRIED: 1,
        Lane.HOUSE: 3,
        Lane.LIVE: 3,
        Lane.CLIENTS: 8,
    }
    for connections in range(FEWEST, 200):
        widths = divide(connections)
        assert sum(widths.values()) + SESSIONS == connections
        assert min(widths.values()) >= 1
    with pytest.raises(ValueError, match=f"{FEWEST} connections or more"):
        divide(FEWEST - 1)


@asynccontextmanager
async def everybody_asks(store: Store) -> AsyncIterator[None]:
    """Many at once on every lane, beside the two sessions."""
    notify_channel = NotifyChannel(store, Bus())
    done = asyncio.Event()

    async def read(lane: Lane) -> None:
        with contextlib.suppress(NoConnection):
            async with store.read(lane) as connection:
                await connection.execute(text("SELECT 1"))
                await done.wait()

    async def write(hurried: bool) -> None:
        with contextlib.suppress(NoConnection):
            async with store.write(hurried=hurried) as connection:
                await connection.execute(text("SELECT 1"))
                await done.wait()

    work: list[Any] = [read(lane) for lane in (Lane.HOUSE, Lane.LIVE, Lane.CLIENTS) for _ in range(20)]
    work += [write(hurried) for hurried in (True, False) for _ in range(20)]
    tasks = [asyncio.create_task(each) for each in [*work, notify_channel.run()]]
    try:
        yield
    finally:
        done.set()
        tasks.pop().cancel()
        await asyncio.wait(tasks)


@pytest.mark.parametrize("connections", [FEWEST, CONNECTIONS])
async def test_no_more_connections_than_the_setting_says(postgres_url: str, connections: int) -> None:
    store = Store(postgres_url, connections=connections)
    other = await asyncpg.connect(postgres_url, timeout=10)
    try:
        assert await store.leases.hold("docs") is not None
        async with everybody_asks(store):

            async def count() -> int:
                return int(await other.fetchval(_OTHERS))

            async def all_there() -> bool:
                return await count() >= connections

            await until(all_there, within=20)
            for _ in range(20):
                assert await count() == connections
    finally:
        await other.close()
        await store.close()


async def test_what_a_gateway_must_not_lack_is_opened_when_it_starts(postgres_url: str) -> None:
    store = Store(postgres_url)
    other = await asyncpg.connect(postgres_url, timeout=10)
    try:
        await store.open()
        await store.keep()
        assert await other.fetchval(_OTHERS) == CONNECTIONS - SESSIONS - store.lanes[Lane.CLIENTS].size
    finally:
        await other.close()
        await store.close()


async def settings(lane: LaneConnections, *names: str) -> list[str]:
    async with lane.connection() as connection:
        return [(await connection.execute(text(f"SHOW {name}"))).scalar_one() for name in names]


async def test_a_session_ends_what_keeps_others_waiting(postgres_url: str) -> None:
    store = Store(postgres_url)
    limits = ("idle_in_transaction_session_timeout", "lock_timeout")
    try:
        assert await settings(store.lanes[Lane.WRITES], *limits) == ["15s", "18s"]
        assert await settings(store.lanes[Lane.HURRIED], *limits) == ["15s", "3s"]
        for lane in (Lane.HOUSE, Lane.LIVE, Lane.CLIENTS):
            assert await settings(store.lanes[lane], *limits) == ["1min", "5s"]
        for lane in Lane:
            dead = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
            assert await settings(store.lanes[lane], *dead) == ["5", "5", "2", "15000"]
            assert await settings(store.lanes[lane], "plan_cache_mode") == ["force_custom_plan"]
    finally:
        await store.close()


async def test_what_the_address_says_of_a_session_holds(postgres_url: str) -> None:
    store = Store(f"{postgres_url}?options=-c%20lock_timeout%3D7s%20-c%20tcp_keepalives_idle%3D77")
    try:
        lane = store.lanes[Lane.WRITES]
        assert await settings(lane, "lock_timeout", "tcp_keepalives_idle", "tcp_keepalives_count") == ["7s", "77", "2"]
    finally:
        await store.close()


async def test_a_setting_that_the_server_does_not_take_costs_no_other(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "connectory.store.postgres._SESSION",
        {"statement_timeout": "nonsense", "no_such_setting": "1", "tcp_keepalives_idle": "6"},
    )
    store = Store(postgres_url)
    try:
        assert await settings(store.lanes[Lane.WRITES], "tcp_keepalives_idle", "lock_timeout") == ["6", "18s"]
    finally:
        await store.close()


async def test_a_transaction_of_which_nothing_is_heard_is_ended(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a gateway that was stopped in the middle of one: the others write on."""
    monkeypatch.setattr("connectory.store.database.WRITING", SessionLimits(idle=0.2, locks=18))
    stopped, other = Store(postgres_url), Store(postgres_url)

    async def write(store: Store) -> None:
        async with store.write() as connection:
            await connection.execute(text("UPDATE log_head SET position = position"))
            if store is stopped:
                await write(other)
                await connection.execute(text("SELECT 1"))

    try:
        async with asyncio.timeout(10):
            with pytest.raises(DBAPIError):
                await write(stopped)
    finally:
        await stopped.close()
        await other.close()


async def test_who_finds_a_lane_full_waits_in_turn_and_not_for_ever(sqlite_store: Store) -> None:
    lane, order = sqlite_store.lanes[Lane.WRITES], list[int]()

    async def take(number: int) -> None:
        async with lane.connection():
            order.append(number)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(lane.connection())
        waiting = [asyncio.create_task(take(number)) for number in range(3)]

        async def all_wait() -> bool:
            return lane.waiting == 3

        await until(all_wait)
        with pytest.raises(NoConnection):
            async with lane.connection(patience=0.01):
                pass
        assert (lane.in_use, lane.waiting, order) == (1, 3, [])
    await asyncio.gather(*waiting)
    assert (lane.in_use, lane.waiting, order) == (0, 0, [0, 1, 2])


async def test_a_connection_that_could_not_be_made_keeps_nobody_waiting(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, fails = sqlite_store.lanes[Lane.WRITES], asyncio.Event()

    async def fail() -> Any:
        await fails.wait()
        raise OSError("refused")

    async def take() -> None:
        async with lane.connection():
            pass

    with monkeypatch.context() as patched:
        patched.setattr(lane, "_make", fail)
        first = asyncio.create_task(take())

        async def began() -> bool:
            return lane.in_use == 1

        await until(began)
    second = asyncio.create_task(take())
    fails.set()
    with pytest.raises(OSError, match="refused"):
        await first
    await asyncio.wait_for(second, 10)
    assert (lane.in_use, lane.waiting) == (0, 0)


async def test_a_connection_that_nobody_waits_for_any_more_is_given_back(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, comes = sqlite_store.lanes[Lane.WRITES], asyncio.Event()
    make = lane._make

    async def late() -> Any:
        await comes.wait()
        return await make()

    with monkeypatch.context() as patched:
        patched.setattr(lane, "_make", late)
        with pytest.raises(NoConnection):
            async with lane.connection(patience=0.01):
                pass
    assert lane.in_use == 1
    comes.set()
    async with asyncio.timeout(10), lane.connection() as connection:
        await connection.execute(text("SELECT 1"))
    assert lane.in_use == 0


async def test_the_end_waits_for_what_is_given_back(store: Store) -> None:
    """Whatever goes on after it would be cancelled with the event loop, in the middle of closing a connection."""
    lane = store.lanes[Lane.CLIENTS]
    async with store.read(Lane.CLIENTS) as connection:
        await connection.execute(text("SELECT 1"))
        closing = asyncio.create_task(store.close())

        async def has_begun() -> bool:
            return lane._is_closed

        await until(has_begun)
        assert not closing.done()
    await asyncio.wait_for(closing, 10)
    assert (lane.in_use, lane._moving) == (0, set())
