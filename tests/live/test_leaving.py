"""However a client goes, everything that it held goes with it."""

import asyncio
from collections import Counter
from itertools import product

from tests.live.client import Listener, SocketClient, SseClient, item
from tests.live.running import EVENTS, PROGRESS, Running, job_id, running, tasks
from tests.wait import until

#: What the issue allows, in seconds; a busy machine gets more before a test fails.
_WITHIN = 10.0
_CYCLES, _AT_ONCE = 1000, 50
SUMMARIES = "subscription { sourceSummaryChanged { source totalConnectors } }"


async def drop(client: Listener) -> None:
    client.drop()


async def close(client: Listener) -> None:
    await client.close()


async def test_a_client_that_goes_leaves_nothing_behind(store_url: str) -> None:
    async with running(store_url) as gateway:
        before = tasks()
        for transport, leave in product(("websocket", "sse"), (drop, close)):
            client = await connect(gateway, transport)
            for query, variables in ((PROGRESS, {"id": job_id()}), (EVENTS, {"after": None}), (SUMMARIES, {})):
                stream = await client.subscribe(query, variables)
                if query != EVENTS:
                    await item(stream)
            held = gateway.held()
            assert (held["subscribers"], held["watches"], held["listening"]) == (3, 1, 1)
            await leave(client)
            await gateway.deserted(_WITHIN)
            await none_but(before)


async def test_a_subscription_that_is_given_up_leaves_its_socket_alone(sqlite_url: str) -> None:
    async with running(sqlite_url) as gateway:
        async with await SocketClient.connect(gateway.client.session, gateway.client.url) as client:
            for _ in range(20):
                stream = await client.subscribe(PROGRESS, {"id": job_id()})
                await item(stream)
                await stream.leave()
            for _ in range(20):  # given up before it has begun
                await (await client.subscribe(PROGRESS, {"id": job_id()})).leave()
            await gateway.deserted(sockets=1)
            assert (await item(await client.subscribe(PROGRESS, {"id": job_id()})))["processed"] == 1
        await gateway.deserted()


async def test_a_thousand_clients_that_come_and_go_leave_nothing_behind(sqlite_url: str) -> None:
    async with running(sqlite_url, ("j", "k", "l")) as gateway:
        before = tasks()

        async def cycle(n: int) -> None:
            client = await connect(gateway, ("websocket", "sse")[n // 4 % 2])
            stream = await client.subscribe(PROGRESS, {"id": job_id("jkl"[n % 3])})
            if n % 4:  # the others go before the answer comes
                await item(stream)
            await (drop if n % 2 else close)(client)

        for start in range(0, _CYCLES, _AT_ONCE):
            await asyncio.gather(*(cycle(n) for n in range(start, start + _AT_ONCE)))
        await gateway.deserted(_WITHIN)
        await none_but(before)


async def connect(gateway: Running, transport: str) -> Listener:
    session, url = gateway.client.session, gateway.client.url
    return await SocketClient.connect(session, url) if transport == "websocket" else SseClient(session, url)


async def none_but(before: Counter[str]) -> None:
    """Return once no task runs that did not run before."""

    async def look() -> bool:
        return not tasks() - before

    await until(look)
