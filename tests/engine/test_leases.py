"""Several gateways on one PostgreSQL, and a PostgreSQL that goes away under them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, update

from connectory.engine import ConfiguredSystem, Engine
from connectory.model import EventKind, Observation, SystemHealth
from connectory.store import Store
from connectory.store.leases.rows import Lease
from connectory.store.tables import CONNECTORS, EVENTS, JOBS, LEASES, SYSTEMS
from connectory.store.writes.registration import Registration, register_systems
from tests.engine.stage import rows
from tests.facts import Scripted, configured, connector, job
from tests.wait import PATIENCE, until

A = connector("a")


class Gateway:
    """A process of its own as far as the database can tell: its own store, engine and source."""

    def __init__(self, url: str, *names: str) -> None:
        self.store = Store(url)
        self.sources = {name: Scripted() for name in names or ("scripted",)}
        for source in self.sources.values():
            source.says = Observation(connectors=[A])
        self.engine = self.engine_of(*(configured(source, name) for name, source in self.sources.items()))

    def engine_of(self, *systems: ConfiguredSystem) -> Engine:
        return Engine(self.store, systems)

    @property
    def source(self) -> Scripted:
        return self.sources["scripted"]

    @property
    def polls(self) -> int:
        return sum(source.polls for source in self.sources.values())

    async def start(self) -> None:
        await self.store.open()
        await self.store.upgrade()
        await self.engine.start()

    async def stop(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.engine.stop()
            await self.store.close()

    async def is_decided(self) -> bool:
        """Whether each of its systems is polled by somebody."""
        async with self.store.read() as connection:
            held = await connection.execute(select(LEASES.c.name).where(LEASES.c.holder.is_not(None)))
            return {f"system:{name}" for name in self.sources} <= set(held.scalars())

    def polled(self, times: int) -> Callable[[], Awaitable[bool]]:
        least = self.polls + times

        async def look() -> bool:
            return self.polls >= least

        return look


@asynccontextmanager
async def gateways(*all_of_them: Gateway) -> AsyncIterator[None]:
    """Each starts when it is decided who polls the systems of the ones before."""
    try:
        for gateway in all_of_them:
            await gateway.start()
            await until(gateway.is_decided)
        yield
    finally:
        for gateway in all_of_them:
            await gateway.stop()


async def execute(url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(url, timeout=PATIENCE)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


_END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_END_HOLDERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


async def test_one_polls_and_the_other_takes_over_when_it_stops(postgres_url: str) -> None:
    first, second = Gateway(postgres_url), Gateway(postgres_url)
    first.source.says = Observation(connectors=[A, connector("b")], jobs=[job("1")])
    second.source.says = Observation(connectors=[A, connector("b")], jobs=[job("1"), job("2")])
    async with gateways(first, second):
        await until(first.polled(10))
        assert second.polls == 0
        await first.stop()
        await until(second.polled(3))
        assert [row["external_id"] for row in await rows(second.store, JOBS)] == ["1", "2"]
    kinds = [row["kind"] for row in await read_events(postgres_url)]
    assert kinds.count(EventKind.CONNECTOR_ADDED) == 2
    assert kinds.count(EventKind.JOB_CREATED) == 2


async def test_each_system_has_a_lease_of_its_own(postgres_url: str) -> None:
    first = Gateway(postgres_url, "one")
    second = Gateway(postgres_url, "one", "two")
    async with gateways(first, second):
        await until(first.polled(3))
        await until(second.polled(3))
        assert second.sources["one"].polls == 0
        assert second.sources["two"].polls > 0


async def test_when_the_holders_connection_is_cut_somebody_polls_on(postgres_url: str) -> None:
    first, second = Gateway(postgres_url), Gateway(postgres_url)
    async with gateways(first, second):
        await until(first.polled(3))
        for round_ in range(4):
            assert len(await execute(postgres_url, _END_HOLDERS)) == 1
            answer = Observation(connectors=[replace(A, name=f"Name {round_}")])
            first.source.says = second.source.says = answer

            async def stored(name: str = f"Name {round_}") -> bool:
                return [row["name"] for row in await rows(first.store, CONNECTORS)] == [name]

            await until(stored)
        before = first.polls, second.polls
        await until(lambda: either(first, second, sum(before) + 10))
        moved = [now > then for now, then in zip((first.polls, second.polls), before, strict=True)]
        assert sorted(moved) == [False, True], "one of them only"
    kinds = [row["kind"] for row in await read_events(postgres_url)]
    assert kinds.count(EventKind.CONNECTOR_ADDED) == 1
    assert kinds.count(EventKind.CONNECTOR_CHANGED) == 4


async def either(first: Gateway, second: Gateway, least: int) -> bool:
    return first.polls + second.polls >= least


async def take_from(first: Gateway, second: Gateway) -> None:
    """Let what the first one holds expire, before it can renew it, and the second one take over."""

    async def polls() -> bool:
        async with second.store.write() as connection:
            await connection.execute(
                update(LEASES).where(LEASES.c.holder == first.store.leases.own.id).values(expires_at=LEASES.c.since)
            )
        return second.polls > 0

    await until(polls, every=0.1)


async def test_who_takes_over_does_not_believe_what_it_remembers_from_its_last_term(store_url: str) -> None:
    """The first holder polls again after the second has: the rows are what the second one left."""
    first, second = Gateway(store_url), Gateway(store_url)
    changed = replace(A, name="As the second saw it")
    second.source.says = Observation(connectors=[changed])
    async with gateways(first):
        await until(first.polled(3))
        async with gateways(second):
            # the first one is cut off while it polls, and the second one takes over meanwhile
            first.source.hangs = asyncio.Event()
            await until(first.polled(1))
            await take_from(first, second)
            await until(second.polled(3))
        first.source.hangs.set()
        first.source.hangs = None

        async def as_before() -> bool:
            return [row["name"] for row in await rows(first.store, CONNECTORS)] == [A.name]

        await until(as_before)
        await until(first.polled(3))
        assert await as_before()
    names = [row["changed_fields"] for row in await read_events(store_url) if row["connector_id"]]
    assert names == [None, "name", "name"]


async def test_a_poll_that_began_before_the_lease_was_lost_stores_nothing(store_url: str) -> None:
    first, second = Gateway(store_url), Gateway(store_url)
    second.source.says = Observation(connectors=[replace(A, name="Newer")])
    async with gateways(first):
        await until(first.polled(3))
        first.source.hangs = asyncio.Event()
        await until(first.polled(1))
        async with gateways(second):
            await take_from(first, second)
            await until(second.polled(3))
            first.source.says = Observation(connectors=[replace(A, name="Older")])
            first.source.hangs.set()
            await until(second.polled(20))
            assert [row["name"] for row in await rows(second.store, CONNECTORS)] == ["Newer"]
            answer = [row["changed_fields"] for row in await read_events(store_url) if row["connector_id"]]
            assert answer == [None, "name"]


async def test_polls_go_on_after_all_connections_were_cut(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(postgres_url, "scripted", "other")
    async with gateways(gateway):
        await until(gateway.polled(4))
        for count in range(5):
            await execute(postgres_url, _END_ALL)
            for source in gateway.sources.values():
                source.says = Observation(connectors=[A, connector(f"b{count}")], jobs=[job(f"{count}")])

            async def stored(name: str = f"b{count}") -> bool:
                found = [row for row in await rows(gateway.store, CONNECTORS) if row["external_id"] == name]
                return len(found) == 2

            await until(lambda: quietly(stored))
    events = await read_events(postgres_url)
    assert [row["position"] for row in events] == list(range(1, len(events) + 1))
    created = [row["job_id"] for row in events if row["kind"] is EventKind.JOB_CREATED]
    assert len(created) == len(set(created)) == 10


async def quietly(look: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await look()
    except Exception:
        return False


async def read_events(url: str) -> list[dict[str, Any]]:
    store = Store(url)
    try:
        return await rows(store, EVENTS)
    finally:
        await store.close()


async def test_two_gateways_may_start_at_once(postgres_url: str) -> None:
    first = Store(postgres_url)
    await first.upgrade()
    stores = [first, *(Store(postgres_url) for _ in range(3))]
    names = [f"s{n}" for n in range(20)]
    try:
        orders = (names, names[::-1], names[10:] + names[:10], names)
        await asyncio.wait_for(
            asyncio.gather(
                *(
                    register_systems(store, [Registration(name, "scripted", (), 90.0) for name in order])
                    for store, order in zip(stores, orders, strict=True)
                )
            ),
            30,
        )
        stored = await rows(first, SYSTEMS)
    finally:
        for store in stores:
            await store.close()
    assert sorted(row["name"] for row in stored) == sorted(names)
    assert {(row["configured"], row["health"]) for row in stored} == {(True, SystemHealth.UNKNOWN)}


async def test_leases_are_free_once_the_store_is_closed(postgres_url: str) -> None:
    first, second = Store(postgres_url), Store(postgres_url)
    assert await first.leases.hold("a") == await first.leases.hold("a") == Lease("a", 1)
    assert await second.leases.hold("a") is None
    assert await second.leases.hold("b") is not None
    await first.close()

    async def free() -> bool:
        return await second.leases.hold("a") is not None

    await until(free)
    await second.close()


async def test_a_lease_that_was_lost_is_of_another_term(postgres_url: str) -> None:
    store = Store(postgres_url)
    before = await store.leases.hold("a")
    await execute(postgres_url, _END_HOLDERS)

    async def again() -> bool:
        try:
            return await store.leases.hold("a") not in (None, before)
        except Exception:
            return False

    await until(again)
    await store.close()


async def test_closing_after_the_connection_was_cut(postgres_url: str) -> None:
    store = Store(postgres_url)
    await store.leases.hold("a")
    await execute(postgres_url, _END_ALL)
    await asyncio.wait_for(store.close(), PATIENCE)


async def test_a_lease_asked_for_and_cut_short_can_be_had_again(postgres_url: str) -> None:
    store, chance = Store(postgres_url), Random(8)
    try:
        for count in range(60):
            asking = asyncio.create_task(store.leases.hold(f"s{count}"))
            for _ in range(chance.randint(1, 40)):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking], timeout=PATIENCE)
        assert await asyncio.wait_for(store.leases.hold("s0"), PATIENCE) is not None
    finally:
        await store.close()
