"""What one client may hold at once, and what it is told beyond that."""

from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from tests.live.client import Listener, Lost, Refused, SocketClient, SseClient, item
from tests.live.running import EVENTS, PROGRESS, Running, job_id, running


async def socket(gateway: Running) -> Listener:
    return await SocketClient.connect(gateway.client.session, gateway.client.url)


async def stream(gateway: Running) -> Listener:
    client = SseClient(gateway.client.session, gateway.client.url)
    await client.subscribe(EVENTS)
    return client


Connect = Callable[[Running], Coroutine[Any, Any, Listener]]


@pytest.mark.parametrize(("first", "second"), [(socket, socket), (socket, stream), (stream, socket), (stream, stream)])
async def test_sockets_and_streams_of_an_address_are_counted_together(
    sqlite_url: str, first: Connect, second: Connect
) -> None:
    async with running(sqlite_url, connections_per_client=2) as gateway:
        held = [await first(gateway), await second(gateway)]
        url = f"{gateway.client.url}/graphql"
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await socket(gateway)
        assert caught.value.status == 429
        with pytest.raises(Refused) as refused:
            await stream(gateway)
        assert refused.value.status == 429
        (error,) = refused.value.errors
        assert error["extensions"] == {"code": "TOO_MANY_CONNECTIONS"}
        assert "connections_per_client" in error["message"]
        async with gateway.client.session.post(url, json={"query": "{ __typename }"}) as response:
            assert response.status == 200  # queries are no connections
        held.pop().drop()
        await gateway.one_is_left()
        held.append(await second(gateway))
        for client in held:
            await client.close()
        await gateway.deserted()


async def test_a_handshake_that_fails_holds_no_place(sqlite_url: str) -> None:
    async with running(sqlite_url, connections_per_client=1) as gateway:
        url = f"{gateway.client.url}/graphql"
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "3"}
        for _ in range(3):
            async with gateway.client.session.get(url, headers=headers) as response:
                assert response.status == 400
        await (await socket(gateway)).close()


async def test_a_socket_carries_so_many_operations_and_no_more(sqlite_url: str) -> None:
    async with running(sqlite_url, subscriptions_per_socket=2) as gateway:
        async with await SocketClient.connect(gateway.client.session, gateway.client.url) as client:
            carried = [await client.subscribe(PROGRESS, {"id": job_id()}) for _ in range(2)]
            for each in carried:
                assert (await item(each))["processed"] == 1
            for query in (PROGRESS, "{ __typename }"):
                with pytest.raises(Refused) as caught:
                    await (await client.subscribe(query, {"id": job_id()})).next()
                assert [error["extensions"]["code"] for error in caught.value.errors] == ["TOO_MANY_SUBSCRIPTIONS"]
            await carried.pop().leave()
            assert (await item(await client.subscribe(PROGRESS, {"id": job_id()})))["processed"] == 1
        await gateway.deserted()


async def test_a_message_has_so_many_bytes_and_no_more(sqlite_url: str) -> None:
    async with running(sqlite_url, socket_message_bytes=2000) as gateway:
        client = await SocketClient.connect(gateway.client.session, gateway.client.url)
        message = '{"type": "ping"}'
        await client.send(message + " " * (2000 - len(message)))
        assert await client.receive() == {"type": "pong"}
        await client.send(message + " " * (2001 - len(message)))
        with pytest.raises(Lost) as caught:
            await client.receive()
        assert caught.value.code == 1009


@pytest.mark.parametrize("listen", [SocketClient.connect, SseClient])
async def test_each_result_of_a_subscription_may_come_to_so_much(sqlite_url: str, listen: Callable[..., Any]) -> None:
    many = " ".join(f"a{n}: id" for n in range(1000))
    query = f"subscription($id: ID!) {{ jobProgress(jobId: $id) {{ cursor job {{ {many} }} }} }}"
    more = dict.fromkeys(("tokens_per_document", "fields_per_document", "aliases_per_operation"), 5_000)
    async with running(sqlite_url, values_per_operation=1_000, **more) as gateway:
        client = listen(gateway.client.session, gateway.client.url)
        client = await client if isinstance(client, Coroutine) else client
        results = await client.subscribe(query, {"id": job_id()})
        for processed in (2, 3):
            result = await results.next()
            assert result["data"] is None
            assert [error["extensions"] for error in result["errors"]] == [{"code": "BAD_USER_INPUT"}]
            gateway.go(["j"], processed)
        await client.close()
