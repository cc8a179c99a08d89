"""A store that can be read and not written: whoever acts is told within seconds, and so is whoever watches over us."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import Any

import aiohttp
import pytest

from connectory.config.settings import ServerSettings
from connectory.engine import Engine
from connectory.lanes import Lane
from connectory.model import Observation
from connectory.store import Store
from connectory.web.app import build_app
from connectory.web.serving import serving
from tests.api.gateway import OPERATOR, Client
from tests.api.test_actions import refresh
from tests.api.test_notices import acknowledge, filled
from tests.facts import Scripted, configured, connector
from tests.notices.scene import notices

#: Seconds that those who wait for an answer wait for the store here.
PATIENCE = 0.3


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Somebody else is writing, for as long as the block runs."""
    file = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, timeout=20, isolation_level=None, check_same_thread=False)) as other:
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def gateway(url: str, source: Scripted) -> AsyncIterator[Client]:
    store = Store(url, short_patience=PATIENCE)
    engine = Engine(store, [configured(source, poll_interval=3600.0, live_interval=3600.0)])
    app = build_app(store, engine, ServerSettings(port=0), OPERATOR)
    async with serving(app, "127.0.0.1", 0) as address, aiohttp.ClientSession() as session:
        await engine.refresh("scripted")
        yield Client(address, session, app, engine)


async def readiness(client: Client) -> tuple[int, str]:
    async with client.session.get(f"{client.url}/readyz") as response:
        return response.status, " ".join((await response.json()).get("reasons", []))


async def test_a_refresh_does_not_wait_for_the_lock(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source) as client:
        async with locked(sqlite_url):
            source.says = Observation(connectors=[connector(name="New")])
            async with asyncio.timeout(5):
                answer = await refresh(client)
            assert (answer["__typename"], answer["code"]) == ("ActionFailed", "STORE_UNAVAILABLE")
            status, said = await readiness(client)
            assert status == 503
            assert "cannot be written: somebody else has held its lock" in said
        assert (await refresh(client))["__typename"] == "SystemRefreshed"
        assert await readiness(client) == (200, "")


async def test_an_acknowledgement_does_not_wait_for_the_lock(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    await store.open()
    await filled(store)
    _, failed, _ = await notices(store)
    await store.close()
    async with gateway(sqlite_url, Scripted()) as client:
        async with locked(sqlite_url):
            async with asyncio.timeout(5):
                answer = await acknowledge(client, failed["id"])
            assert (answer["__typename"], answer["code"]) == ("ActionFailed", "STORE_UNAVAILABLE")
            status, said = await readiness(client)
            assert (status, "database is locked" in said) == (503, True)
        answer = await acknowledge(client, failed["id"])
        assert answer["__typename"] == "NoticeAcknowledged"
        assert await readiness(client) == (200, "")


async def test_a_poll_that_cannot_be_stored_is_one_sentence_and_a_refusal(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a file that was made read-only, or of a server that has become a standby."""
    switch, said = {
        True: ("PRAGMA query_only = {}", "may not be written"),
        False: ("SET default_transaction_read_only = {}", "read-only transaction"),
    }[store.is_sqlite]

    async def tell(statement: str) -> None:
        """Every connection that writes."""
        async with AsyncExitStack() as stack:
            for lane in (Lane.WRITES, Lane.HURRIED):
                for _ in range(store.lanes[lane].size):
                    connection = await stack.enter_async_context(store.lanes[lane].connection())
                    driver: Any = (await connection.get_raw_connection()).driver_connection
                    await driver.execute(statement)

    source = Scripted()
    engine = Engine(store, [configured(source, poll_interval=3600.0, live_interval=3600.0)])
    await engine.start()
    try:
        assert await engine.refresh("scripted") is None
        await tell(switch.format("on"))
        source.says = Observation(connectors=[connector(name="New" * 100_000)])
        refusal = await engine.refresh("scripted")
        assert refusal is not None
        assert refusal.code.name == "STORE_UNAVAILABLE"
        assert said in refusal.message
        (record,) = [each for each in caplog.records if getattr(each, "action", "") == "store_failed"]
        assert record.exc_info is None
        assert len(record.getMessage()) < 300
        assert store.write_health.failures == 1
        (problem,) = await store.problems()
        assert said in problem
        await tell(switch.format("off"))
        assert await store.problems() == []
    finally:
        await engine.stop()
