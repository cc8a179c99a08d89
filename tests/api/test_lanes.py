"""Clients, the house and the writers have connections of their own: none of them waits for another."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from typing import Any

import aiohttp
import asyncpg
import pytest

from connectory.config.settings import ServerSettings
from connectory.engine import Engine
from connectory.lanes import CONNECTIONS, Lane
from connectory.model import Observation
from connectory.store import Store
from connectory.web.app import STORE, build_app
from connectory.web.serving import serving
from tests.api.gateway import Answer, Client, served
from tests.api.test_actions import REFRESH
from tests.facts import Scripted, configured, connector
from tests.held import QUERY, held_statements
from tests.live.client import SocketClient, item
from tests.live.running import PROGRESS, job_id, running
from tests.store.test_notify_channel import silencer
from tests.stores import few_connections
from tests.wait import PATIENCE, until

COUNT = "{ connectors { totalCount } }"


async def readiness(client: Client) -> tuple[int, str]:
    async with client.session.get(f"{client.url}/readyz") as response:
        return response.status, " ".join((await response.json()).get("reasons", []))


async def test_slow_clients_delay_nobody_else(store_url: str) -> None:
    async with running(store_url) as gateway:
        client = gateway.client
        quick = await (await SocketClient.connect(client.session, client.url)).subscribe(PROGRESS, {"id": job_id()})
        assert (await item(quick))["processed"] == 1
        assert (await client.ask(QUERY))[0] == 200  # more may ask at once for what is known to be light
        with held_statements() as slow:
            asking = [asyncio.create_task(client.ask(QUERY)) for _ in range(20)]

            async def begun() -> bool:
                return slow.held >= 8

            await until(begun)
            assert await readiness(client) == (200, "")
            async with client.session.get(f"{client.url}/metrics") as response:
                page = await response.text()
            assert "connectory_store_up 1.0" in page
            assert 'connectory_store_connections_in_use{lane="clients"} 8.0' in page
            assert await client.engine.refresh("scripted") is None
            gateway.go("j", 2)
            assert (await item(quick))["processed"] == 2
            slow.let_go()
            answers = await asyncio.gather(*asking)
        assert [status for status, _ in answers].count(200) >= 8
        assert {status for status, _ in answers} <= {200, 503}


@asynccontextmanager
async def taken(store: Store, lane: Lane) -> AsyncIterator[None]:
    """All connections of the lane are in use."""
    async with AsyncExitStack() as stack:
        for _ in range(store.lanes[lane].size):
            await stack.enter_async_context(store.read(lane))
        yield


def codes(body: Any) -> list[str]:
    return [error["extensions"]["code"] for error in body["errors"]]


async def test_who_gets_no_connection_is_told_so(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system = configured(Scripted(), poll_interval=3600.0, live_interval=3600.0)
    async with served(store_url, systems=[system], anonymous="OPERATOR") as client:
        assert await client.engine.refresh("scripted") is None
        socket = await SocketClient.connect(client.session, client.url)
        store = client.app[STORE]
        async with taken(store, Lane.CLIENTS):
            monkeypatch.setattr(store.lanes[Lane.CLIENTS], "_patience", 0.3)
            for accept in ("application/json", "application/graphql-response+json"):
                asked = {"json": {"query": COUNT}, "headers": {"Accept": accept}}
                async with client.session.post(f"{client.url}/graphql", **asked) as response:
                    body = await response.json(content_type=None)
                    assert (response.status, response.headers.get("Retry-After")) == (503, "1")
                assert (codes(body), "data" in body) == (["STORE_UNAVAILABLE"], False)
                assert body["errors"][0]["message"] == (
                    "The store does not answer now: no connection to the database is free. Try again in a while."
                )
            status, body = await client.ask(REFRESH, variables={"name": "scripted"})
            assert (status, codes(body), body["data"]) == (200, ["STORE_UNAVAILABLE"], {"refreshSystem": None})
            assert codes(await (await socket.subscribe(COUNT)).next()) == ["STORE_UNAVAILABLE"]
            monkeypatch.undo()
        assert client.counted("unavailable") == 4
        assert (await client.ask(COUNT))[0] == 200
        assert await readiness(client) == (200, "")


async def test_sixty_queries_at_once_on_a_server_with_few_connections(postgres_url: str) -> None:
    source = Scripted()
    system = configured(source, poll_interval=3600.0, live_interval=3600.0)
    async with few_connections(postgres_url, CONNECTIONS - 3) as url, served(url, systems=[system]) as client:
        await client.engine.refresh("scripted")
        assert (await client.ask(QUERY))[0] == 200
        with held_statements() as slow:
            asking = [asyncio.create_task(client.ask(QUERY)) for _ in range(60)]

            async def begun() -> bool:
                return slow.held >= 5

            await until(begun)
            for number in range(3):
                source.says = Observation(connectors=[connector(name=f"New {number}")])
                assert await client.engine.refresh("scripted") is None
            slow.let_go()
            answers: list[Answer] = await asyncio.gather(*asking)
        assert client.counted("internal") == 0, [body for _, body in answers if "errors" in body][:1]
        for status, body in answers:
            assert status == 200 or codes(body) == ["STORE_UNAVAILABLE"]
        assert await readiness(client) == (200, "")
        assert await client.ask(COUNT) == (200, {"data": {"connectors": {"totalCount": 1}}})


async def test_during_a_stall_queries_are_answered_within_their_time(postgres_url: str) -> None:
    async with silencer(postgres_url) as (url, silence), served(url, seconds_per_operation=3.0) as client:
        assert (await client.ask(COUNT))[0] == 200
        silence.set()
        asking = asyncio.create_task(client.ask(COUNT))
        try:
            done, _ = await asyncio.wait([asking], timeout=10)
        finally:
            silence.clear()
        assert done, "it waits for longer than its three seconds"
        status, body = asking.result()
        assert (status, codes(body)) == (503, ["STORE_UNAVAILABLE"])


@asynccontextmanager
async def held(url: str) -> AsyncIterator[None]:
    """Somebody else is in the middle of writing of all systems, for as long as the block runs."""
    if url.startswith("postgresql"):
        other = await asyncpg.connect(url, timeout=10)
        try:
            async with other.transaction():
                await other.execute("UPDATE systems SET configured = configured")
                yield
        finally:
            await other.close()
        return
    file = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, timeout=20, isolation_level=None, check_same_thread=False)) as lite:
        await asyncio.to_thread(lite.execute, "BEGIN IMMEDIATE")
        yield
        lite.execute("ROLLBACK")


def hasty(url: str, source: Scripted, **system: Any) -> tuple[Store, Engine]:
    store = Store(url, short_patience=0.5)
    return store, Engine(store, [configured(source, **{"poll_interval": 3600.0, "live_interval": 3600.0} | system)])


async def started_once(url: str) -> None:
    store, engine = hasty(url, Scripted())
    try:
        await engine.start()
        await engine.refresh("scripted")
        await engine.stop()
    finally:
        await store.close()


@asynccontextmanager
async def starting(engine: Engine, store: Store) -> AsyncIterator["asyncio.Task[None]"]:
    async def start() -> None:
        await store.open()
        await store.upgrade()
        await engine.start()

    task = asyncio.create_task(start())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        await engine.stop()
        await store.close()


async def test_a_gateway_that_changes_nothing_starts_while_somebody_holds_the_rows(store_url: str) -> None:
    await started_once(store_url)
    store, engine = hasty(store_url, Scripted())
    async with starting(engine, store) as start, held(store_url):
        done, _ = await asyncio.wait([start], timeout=10)
        assert done, "it waits for the rows"
        assert start.exception() is None


async def test_a_gateway_that_starts_tries_again_while_somebody_holds_the_rows(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await started_once(store_url)
    store, engine = hasty(store_url, Scripted(), stale_after=4000.0)

    async def told() -> bool:
        return "registration_waits" in [getattr(each, "action", "") for each in caplog.records]

    async with starting(engine, store) as start:
        async with held(store_url):
            await until(told)
            assert not start.done()
        await asyncio.wait_for(start, PATIENCE)


async def test_readiness_notices_that_nothing_can_be_written(store_url: str) -> None:
    source = Scripted()
    store, engine = hasty(store_url, source, poll_interval=0.05, live_interval=0.05)
    app = build_app(store, engine, ServerSettings(port=0))
    async with serving(app, "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:
        client = Client(url, session, app, engine)
        await engine.refresh("scripted")

        async def is_ready(wanted: bool) -> bool:
            return ((await readiness(client))[0] == 200) is wanted

        async with held(store_url):
            await until(lambda: is_ready(False))
            assert "somebody else has held its lock" in (await readiness(client))[1]
        await until(lambda: is_ready(True))


async def test_a_gateway_is_ready_again_after_a_cut_though_nothing_is_due_to_be_written(store_url: str) -> None:
    system = configured(Scripted(), poll_interval=3600.0, live_interval=3600.0)
    async with served(store_url, systems=[system]) as client:
        await client.engine.refresh("scripted")
        store = client.app[STORE]
        with suppress(OSError):
            async with store.write():
                raise ConnectionResetError("the network was cut")
        assert store.write_health.failures == 1
        assert await readiness(client) == (200, "")
