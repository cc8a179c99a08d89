"""A statement ends with the deadline of its operation, or with the client that asked; its connection stays sound."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from json import dumps
from time import monotonic
from typing import Any, Protocol

import aiohttp
import asyncpg
import pytest

from connectory.model import JobStatus
from connectory.store.tables.identity import JOB, global_id
from tests.api.gateway import served
from tests.api.stand_in import MUTATIONS, STAND_IN
from tests.facts import connector, job
from tests.live.client import SocketClient, SseClient
from tests.live.ground import grounds
from tests.slow import SECONDS, slowed
from tests.wait import PATIENCE, until

DEADLINE = 0.5
#: Seconds that stand for "well before the statement would have ended".
SOON = SECONDS / 2
JOBS = "{ jobs { nodes { id } } }"
#: what the statement of that field has in it, and no other
OF_JOBS = "ORDER BY jobs."
PROGRESS = f"subscription {{ jobProgress(jobId: {dumps(global_id(JOB, 'scripted', 'j'))}) {{ cursor }} }}"
OF_JOB = "FROM jobs"


class Server(Protocol):
    """What is asked here."""

    url: str
    session: aiohttp.ClientSession


@contextlib.asynccontextmanager
async def filled(store_url: str, **server: Any) -> AsyncIterator[Server]:
    """A gateway that knows of one job; ``server`` are keys of ``[server]``."""
    async with grounds(store_url, **server) as ground:
        await ground.stage.poll([connector()], [job("j", "a", JobStatus.RUNNING)])
        yield ground


async def by_http(client: Server, query: str) -> Any:
    async with client.session.post(f"{client.url}/graphql", json={"query": query}) as response:
        assert response.status == 200
        return await response.json(content_type=None)


async def by_events(client: Server, query: str) -> Any:
    return await (await SseClient(client.session, client.url).subscribe(query)).next()


async def by_socket(client: Server, query: str) -> Any:
    async with await SocketClient.connect(client.session, client.url) as socket:
        return await (await socket.subscribe(query)).next()


Ways = pytest.mark.parametrize("ask", [by_http, by_events, by_socket])
Ask = Callable[[Server, str], Coroutine[Any, Any, Any]]


_RUNNING = """
SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(%' AND pid <> pg_backend_pid()
"""


async def no_slow_statement_runs(store_url: str) -> None:
    """On PostgreSQL, which tells; on SQLite whoever has its connection back has ended it."""
    if not store_url.startswith("postgresql"):
        return
    connection = await asyncpg.connect(store_url)
    try:

        async def look() -> bool:
            return not await connection.fetchval(_RUNNING)

        await until(look, SOON)
    finally:
        await connection.close()


@Ways
async def test_the_deadline_ends_the_statement(store_url: str, ask: Ask) -> None:
    async with filled(store_url, seconds_per_operation=DEADLINE) as client:
        with slowed(OF_JOBS) as slow:
            while not slow.begun:  # a machine that others use may come to the deadline before the statement
                asked = monotonic()
                body = await ask(client, JOBS)
                took = monotonic() - asked
            assert body["data"] is None
            assert [error["extensions"] for error in body["errors"]] == [{"code": "OPERATION_TIMEOUT"}]
            assert took < DEADLINE + SOON
            await slow.is_over(SOON)
            assert slow.lost == 0
        await no_slow_statement_runs(store_url)
        assert len((await by_http(client, JOBS))["data"]["jobs"]["nodes"]) == 1


# ---- clients that leave


@contextlib.asynccontextmanager
async def http(client: Server, query: str) -> AsyncIterator[None]:
    asking = asyncio.create_task(by_http(client, query))
    yield
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking


@contextlib.asynccontextmanager
async def dropped_socket(client: Server, query: str) -> AsyncIterator[None]:
    socket = await SocketClient.connect(client.session, client.url)
    await socket.subscribe(query)
    yield
    socket.drop()


@contextlib.asynccontextmanager
async def completed(client: Server, query: str) -> AsyncIterator[None]:
    async with await SocketClient.connect(client.session, client.url) as socket:
        stream = await socket.subscribe(query)
        yield
        await stream.leave()


@contextlib.asynccontextmanager
async def event_stream(client: Server, query: str) -> AsyncIterator[None]:
    sse = SseClient(client.session, client.url)
    await sse.subscribe(query)
    yield
    sse.drop()


Asking = Callable[[Server, str], contextlib.AbstractAsyncContextManager[None]]


@pytest.mark.parametrize(
    ("asking", "query", "statement"),
    [
        (http, JOBS, OF_JOBS),
        (completed, JOBS, OF_JOBS),
        (dropped_socket, JOBS, OF_JOBS),
        (dropped_socket, PROGRESS, OF_JOB),
        (event_stream, PROGRESS, OF_JOB),
    ],
)
async def test_a_client_that_leaves_ends_its_statement(
    store_url: str, asking: Asking, query: str, statement: str
) -> None:
    async with filled(store_url) as client:
        with slowed(statement) as slow:
            async with asking(client, query):
                await slow.has_begun()
            await slow.is_over(SOON)
            assert slow.lost == 0
        await no_slow_statement_runs(store_url)
        assert (await by_http(client, JOBS))["data"]


async def test_many_clients_that_leave_lose_no_connection(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with filled(store_url) as client:
        with slowed(OF_JOBS) as slow:
            asking = [asyncio.create_task(by_http(client, JOBS)) for _ in range(100)]
            while asking:
                begun = slow.begun
                await slow.has_begun(1)
                some = [asking.pop(0) for _ in range(min(10, len(asking)))]
                for task in some:
                    task.cancel()
                await asyncio.gather(*some, return_exceptions=True)
                if len(asking) > 20:
                    await slow.has_begun(begun + 1)  # the next have taken their places
            await slow.is_over(SOON)
        await no_slow_statement_runs(store_url)
        assert all(body["data"] for body in await asyncio.gather(*(by_http(client, JOBS) for _ in range(20))))
    assert [record for record in caplog.records if record.name.startswith("sqlalchemy")] == []


# ---- mutations


@pytest.fixture(autouse=True)
def no_mutations() -> None:
    MUTATIONS.clear()


@pytest.mark.parametrize("asking", [http, completed, dropped_socket])
async def test_a_mutation_does_not_end_with_its_client(sqlite_url: str, asking: Asking) -> None:
    async with served(sqlite_url, STAND_IN) as client:
        async with asking(client, "mutation { wait }"):
            await until(_begun)
        (mutation,) = MUTATIONS

        async def gone() -> bool:
            return client.counted("canceled") == 1

        await until(gone)
        mutation.may_end.set()
        await asyncio.wait_for(mutation.has_ended.wait(), PATIENCE)


@Ways
async def test_a_mutation_has_a_deadline(sqlite_url: str, ask: Ask) -> None:
    async with served(sqlite_url, STAND_IN, seconds_per_mutation=0.05, seconds_per_operation=0.01) as client:
        body = await ask(client, "mutation { wait }")
        assert MUTATIONS[0].was_cancelled.is_set()
    assert body["data"] is None
    (error,) = body["errors"]
    assert error["extensions"] == {"code": "OUTCOME_UNKNOWN"}
    assert "longer than 0.05 s" in error["message"]


async def test_mutations_end_with_the_gateway(sqlite_url: str) -> None:
    async with served(sqlite_url, STAND_IN) as client, http(client, "mutation { wait }"):
        await until(_begun)
    assert MUTATIONS[0].was_cancelled.is_set()


async def _begun() -> bool:
    return bool(MUTATIONS)
