"""Operations are executed so many at once; a few wait, and others are refused before anything is done for them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connectory.execution import admission, documents
from tests.api.gateway import Client, served
from tests.api.stand_in import PATIENT, STAND_IN, begun
from tests.live.client import Refused, SocketClient, SseClient
from tests.live.running import PROGRESS, job_id, running
from tests.wait import until

SLOW = "{ slow }"
CROWD = {
    "operations_at_once": 4,
    "operations_per_client": 3,
    "heavy_operations_per_client": 3,
    "operations_per_socket": 2,
    "waiting_operations": 3,
    "waiting_operations_per_client": 2,
}
#: The setting that is too small, and what is told.
BUSY = {
    "waiting_operations_per_client": (429, "TOO_MANY_OPERATIONS", {}),
    "waiting_operations": (503, "OVERLOADED", {"waiting_operations": 2, "waiting_operations_per_client": 9}),
}


@asynccontextmanager
async def crowded(store_url: str, **more: int) -> AsyncIterator[Client]:
    """Every place of this address is taken, and so is every place to wait."""
    PATIENT.clear()
    async with served(store_url, STAND_IN, **CROWD | more) as client:
        await known(client)
        tasks = [asyncio.create_task(client.ask(SLOW)) for _ in range(5)]
        await begun(3)
        await load(client, 3, 2)
        try:
            yield client
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await load(client, 0, 0)


async def known(client: Client) -> None:
    """Return once it has been executed: of what is new, fewer are executed at once."""
    asking = asyncio.create_task(client.ask(SLOW))
    await begun(1)
    PATIENT.pop().may_end.set()
    await asking


async def load(client: Client, running: int, waiting: int) -> None:
    """Return once there is so much."""

    async def look() -> bool:
        found = [client.metric(f"connectory_graphql_{name}") for name in ("running", "waiting")]
        return found == [running, waiting]

    await until(look)


async def by_http(client: Client, query: str) -> tuple[int, str | None, Any]:
    async with client.session.post(f"{client.url}/graphql", json={"query": query}) as response:
        return response.status, response.headers.get("Retry-After"), await response.json()


async def by_events(client: Client, query: str) -> tuple[int, str | None, Any]:
    headers = {"Accept": "text/event-stream"}
    async with client.session.post(f"{client.url}/graphql", json={"query": query}, headers=headers) as response:
        return response.status, response.headers.get("Retry-After"), await response.json()


Ask = Callable[[Client, str], Coroutine[Any, Any, tuple[int, str | None, Any]]]


@pytest.mark.parametrize("setting", BUSY)
@pytest.mark.parametrize("ask", [by_http, by_events])
async def test_one_too_many_is_told_when_to_come_back(sqlite_url: str, ask: Ask, setting: str) -> None:
    status, code, more = BUSY[setting]
    async with crowded(sqlite_url, **more) as client:
        for query in ("{ hello }", "{ hello hello }"):
            found, retry_after, body = await ask(client, query)
            assert (found, retry_after) == (status, "1")
            (error,) = body["errors"]
            assert error["extensions"] == {"code": code, "retryAfterSeconds": 1}
            assert f"raise {setting} under [server]" in error["message"]
        assert client.metric("connectory_graphql_refused_total", setting=setting) == 2
        assert client.counted("rejected") == 2


@pytest.mark.parametrize("setting", BUSY)
async def test_one_too_many_on_a_socket_is_told_there(sqlite_url: str, setting: str) -> None:
    _, code, more = BUSY[setting]
    async with (
        crowded(sqlite_url, **more) as client,
        await SocketClient.connect(client.session, client.url) as socket,
    ):
        with pytest.raises(Refused) as caught:
            await (await socket.subscribe("{ hello }")).next()
        (error,) = caught.value.errors
        assert error["extensions"] == {"code": code, "retryAfterSeconds": 1}
        assert f"raise {setting} under [server]" in error["message"]
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}
        assert client.metric("connectory_graphql_refused_total", setting=setting) == 1


async def test_nothing_is_done_for_one_too_many(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowded(sqlite_url) as client:
        monkeypatch.setattr(documents, "parse", None)  # whoever calls it fails
        status, _, _ = await by_http(client, "{ hello never_read }")
        assert status == 429


async def test_probes_and_scrapes_need_no_place(sqlite_url: str) -> None:
    async with crowded(sqlite_url) as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            async with client.session.get(f"{client.url}{path}") as response:
                assert response.status == 200, path


async def test_who_waits_has_its_turn(sqlite_url: str) -> None:
    async with crowded(sqlite_url, waiting_operations_per_client=9, waiting_operations=9) as client:
        waiting = asyncio.create_task(client.ask("{ hello }"))
        await load(client, 3, 3)
        assert not waiting.done()
    assert (await waiting)[0] == 200


async def test_a_socket_takes_no_more_than_its_places(sqlite_url: str) -> None:
    PATIENT.clear()
    async with (
        served(sqlite_url, STAND_IN, **CROWD | {"waiting_operations_per_client": 3}) as client,
        await SocketClient.connect(client.session, client.url) as socket,
        await SocketClient.connect(client.session, client.url) as other,
    ):
        await known(client)
        await client.ask("{ hello }")  # what has been read is not refused for the length of the line
        carried = [await socket.subscribe(SLOW) for _ in range(5)]
        await load(client, 2, 3)
        assert (await (await other.subscribe("{ hello }")).next()) == {"data": {"hello": "world"}}
        for each in carried[:3]:
            await each.leave()  # two that run and one that waits
        await load(client, 2, 0)
        await begun(4)
    await load(client, 0, 0)


async def test_little_of_what_is_asked_at_once_may_be_new(sqlite_url: str) -> None:
    PATIENT.clear()
    async with served(sqlite_url, STAND_IN, operations_per_client=6, heavy_operations_per_client=3) as client:
        await known(client)
        tasks = [asyncio.create_task(client.ask(f"{{ new{n}: slow }}")) for n in range(5)]
        await load(client, 3, 2)
        tasks += [asyncio.create_task(client.ask(SLOW)) for _ in range(4)]
        await load(client, 6, 3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_light_passes_what_is_heavy(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = "{ one: slow two: slow }"
    monkeypatch.setattr(admission, "HEAVY", 40)  # of one that is slow, the price is 25
    PATIENT.clear()
    async with served(sqlite_url, STAND_IN, heavy_operations_per_client=1) as client:
        await known(client)
        tasks = [asyncio.create_task(client.ask(heavy))]
        await begun(2)
        for patience in PATIENT:
            patience.may_end.set()
        await tasks[0]
        tasks = [asyncio.create_task(client.ask(heavy)) for _ in range(3)]
        await load(client, 1, 2)
        tasks += [asyncio.create_task(client.ask(SLOW)) for _ in range(3)]
        await load(client, 4, 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_subscriptions_need_no_place(sqlite_url: str) -> None:
    crowd = dict.fromkeys(CROWD, 1)
    async with running(sqlite_url, **crowd) as gateway:
        client = gateway.client
        async with await SocketClient.connect(client.session, client.url) as socket:
            streams = [await socket.subscribe(PROGRESS, {"id": job_id()}) for _ in range(20)]
            for stream in streams:
                assert "errors" not in await stream.next()
            events = SseClient(client.session, client.url)
            assert "errors" not in await (await events.subscribe(PROGRESS, {"id": job_id()})).next()
            await events.close()


async def test_many_who_ask_for_the_same_at_once_have_it_read_once(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def count(*arguments: Any) -> Any:
        calls.append(arguments)
        return mistakes(*arguments)

    mistakes = documents.mistakes
    monkeypatch.setattr(documents, "mistakes", count)
    async with served(sqlite_url, operations_at_once=100, operations_per_client=100) as client:
        answers = await asyncio.gather(*(client.ask("query Together { viewer { name } }") for _ in range(30)))
    assert {status for status, _ in answers} == {200}
    assert len(calls) == 1
