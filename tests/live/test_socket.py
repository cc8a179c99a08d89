"""graphql-transport-ws as its document says it, and operations that do not get into each other's way."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from connectory.live import socket
from connectory.model import JobStatus
from tests.api.gateway import Client, served
from tests.api.stand_in import PATIENT, STAND_IN, begun
from tests.live.client import Complete, Lost, Refused, SocketClient, SocketStream, item, rest
from tests.live.running import EVENTS, PROGRESS, job_id, running
from tests.wait import until


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[Client]:
    PATIENT.clear()
    async with served(sqlite_url, STAND_IN, heavy_operations_per_client=10) as found:
        yield found


@pytest.fixture
async def client(gateway: Client) -> AsyncIterator[SocketClient]:
    async with await SocketClient.connect(gateway.session, gateway.url) as found:
        yield found


async def once(client: SocketClient, query: str, **more: Any) -> Any:
    """The one result of an operation that then is complete."""
    stream = await client.subscribe(query, **more)
    result = await stream.next()
    with pytest.raises(Complete):
        await stream.next()
    return result


async def lost(client: SocketClient) -> tuple[int | None, str]:
    """Why the connection has ended, whatever came before."""
    try:
        while True:
            await client.receive()
    except Lost as error:
        return error.code, error.reason


# ---- the protocol

SUBSCRIBE = {"id": "1", "type": "subscribe", "payload": {"query": "{hello}"}}
BROKEN: list[tuple[Any, int, str]] = [
    ("", 4400, "not valid JSON"),
    ("{", 4400, "not valid JSON"),
    ("[" * 3_000, 4400, "not valid JSON"),
    ('{"type": "ping", "payload": {"a": NaN}}', 4400, "not valid JSON"),
    ('{"type": "ping", "payload": {"a": 1e999}}', 4400, "too large"),
    ('{"type": "connection_init", "type": "ping"}', 4400, "twice"),
    (b'{"type": "ping"}', 4400, "text"),
    ([], 4400, "JSON object"),
    (None, 4400, "JSON object"),
    ({}, 4400, '"type"'),
    ({"type": 3}, 4400, '"type"'),
    ({"type": "start"}, 4400, '"start"'),
    ({"type": "next", "id": "1", "payload": {}}, 4400, '"next"'),
    ({"type": "ping", "payload": "x"}, 4400, '"payload"'),
    ({"type": "pong", "payload": []}, 4400, '"payload"'),
    ({"type": "connection_init", "payload": 1}, 4400, '"payload"'),
    ({"type": "connection_init"}, 4429, "Too many initialisation requests"),
    ({"type": "complete"}, 4400, '"id"'),
    (SUBSCRIBE | {"id": None}, 4400, '"id"'),
    (SUBSCRIBE | {"id": 1}, 4400, '"id"'),
    (SUBSCRIBE | {"id": ""}, 4400, '"id"'),
    (SUBSCRIBE | {"id": "x" * 257}, 4400, '"id"'),
    ({"id": "1", "type": "subscribe"}, 4400, '"payload"'),
    (SUBSCRIBE | {"payload": "{hello}"}, 4400, '"payload"'),
    (SUBSCRIBE | {"payload": {}}, 4400, '"query"'),
    (SUBSCRIBE | {"payload": {"query": 1}}, 4400, '"query"'),
    (SUBSCRIBE | {"payload": {"query": "{hello}", "variables": []}}, 4400, '"variables"'),
    (SUBSCRIBE | {"payload": {"query": "{hello}", "operationName": 1}}, 4400, '"operationName"'),
    (SUBSCRIBE | {"payload": {"query": "{hello}", "extensions": "x"}}, 4400, '"extensions"'),
]


async def test_who_breaks_the_protocol_is_told_how(gateway: Client) -> None:
    for number, (message, code, reason) in enumerate(BROKEN):
        client = await SocketClient.connect(gateway.session, gateway.url)
        await client.send(message if isinstance(message, str | bytes) else json.dumps(message))
        found = await lost(client)
        assert (found[0], reason in found[1]) == (code, True), (number, found)


async def test_the_reason_is_never_longer_than_a_close_frame_takes(client: SocketClient) -> None:
    await client.send({"type": "ü" * 500})
    code, reason = await lost(client)
    assert (code, len(reason.encode()) <= 123, "ü" in reason) == (4400, True, True)


async def test_nothing_runs_before_the_introduction(gateway: Client) -> None:
    client = await SocketClient.connect(gateway.session, gateway.url, init=False)
    await client.subscribe("{hello}")
    assert await lost(client) == (4401, "Unauthorized")


async def test_an_id_in_use_cannot_be_taken_and_a_used_one_can(client: SocketClient) -> None:
    for _ in range(2):
        assert await once(client, "{hello}", id="a") == {"data": {"hello": "world"}}
    await client.subscribe("{slow}", id="b")
    await begun(1)
    await client.subscribe("{hello}", id="b")
    assert await lost(client) == (4409, "Subscriber for b already exists")
    await asyncio.wait_for(PATIENT[0].was_cancelled.wait(), 10)


HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "graphql-transport-ws",
}


async def test_what_is_no_websocket_of_ours_is_refused_before_the_upgrade(
    gateway: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for header, value, said in (
        ("Sec-WebSocket-Protocol", "", "graphql-transport-ws"),
        ("Sec-WebSocket-Protocol", "graphql-ws", "graphql-transport-ws"),
        ("Sec-WebSocket-Protocol", "soap, graphql-transport-ws2", "graphql-transport-ws"),
        ("Sec-WebSocket-Version", "12", "version"),
        ("Sec-WebSocket-Key", "?", "Handshake"),
        ("Connection", "keep-alive", "CONNECTION"),
    ):
        async with gateway.session.get(f"{gateway.url}/graphql", headers=HANDSHAKE | {header: value}) as response:
            body = await response.json()
        assert (response.status, said in body["errors"][0]["message"]) == (400, True), body
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == [], value
        assert gateway.metric("connectory_live_connections", transport="websocket") == 0, value


async def test_our_subprotocol_is_found_among_others(gateway: Client) -> None:
    protocols = ("graphql-ws", "graphql-transport-ws")
    async with await SocketClient.connect(gateway.session, gateway.url, protocols=protocols) as client:
        assert client.socket.protocol == "graphql-transport-ws"


async def test_who_never_introduces_itself_is_sent_away(gateway: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "INIT_WITHIN", 0.1)
    client = await SocketClient.connect(gateway.session, gateway.url, init=False)
    code, reason = await lost(client)
    assert (code, "connection_init" in reason) == (4408, True)


async def test_who_has_introduced_itself_may_be_silent(gateway: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "INIT_WITHIN", 0.3)
    quiet = await SocketClient.connect(gateway.session, gateway.url)
    late = await SocketClient.connect(gateway.session, gateway.url, init=False)
    assert (await lost(late))[0] == 4408  # so the quiet one's time is over as well
    assert await once(quiet, "{hello}") == {"data": {"hello": "world"}}


@pytest.mark.parametrize("init", [True, False])
async def test_pings_are_answered_at_any_time(gateway: Client, init: bool) -> None:
    client = await SocketClient.connect(gateway.session, gateway.url, init=init)
    await client.send({"type": "ping"})
    assert await client.receive() == {"type": "pong"}
    await client.send({"type": "pong", "payload": {"unasked": True}})
    await client.send({"type": "ping", "payload": {"n": 1}})
    assert await client.receive() == {"type": "pong", "payload": {"n": 1}}


async def test_a_peer_that_answers_no_ping_is_given_up(gateway: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert socket.HEARTBEAT * 1.5 + 2 < 30
    monkeypatch.setattr(socket, "HEARTBEAT", 0.2)
    client = await SocketClient.connect(gateway.session, gateway.url, autoping=False)
    await client.subscribe("{slow}")
    await begun(1)
    frame = await client.socket.receive()
    assert frame.type is aiohttp.WSMsgType.PING
    await asyncio.wait_for(PATIENT[0].was_cancelled.wait(), 10)

    async def gone() -> bool:
        return gateway.metric("connectory_live_connections", transport="websocket") == 0

    await until(gone)


async def test_a_peer_that_answers_pings_stays(gateway: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "HEARTBEAT", 0.8)  # half of it is what an answer may take
    client = await SocketClient.connect(gateway.session, gateway.url, autoping=False)
    for _ in range(5):
        frame = await client.socket.receive()
        assert frame.type is aiohttp.WSMsgType.PING
        await client.socket.pong(frame.data)
    assert gateway.metric("connectory_live_connections", transport="websocket") == 1
    await client.close()


# ---- operations


async def test_queries_and_mutations_run_on_a_socket(gateway: Client, client: SocketClient) -> None:
    assert await once(client, "{hello}") == {"data": {"hello": "world"}}
    assert await once(client, "mutation { touch }") == {"data": {"touch": True}}
    query = "query A($n: Int!) { echo(number: $n) } query B { hello }"
    assert await once(client, query, name="A", variables={"n": 7}) == {"data": {"echo": 7}}
    assert gateway.counted("ok") == 3


async def test_extensions_arrive(client: SocketClient) -> None:
    result = await once(client, "{sentAlong}", extensions={"persistedQuery": {"version": 1}})
    assert json.loads(result["data"]["sentAlong"]) == {"persistedQuery": {"version": 1}}


@pytest.mark.parametrize(
    ("query", "name", "code"),
    [
        ("{", None, "GRAPHQL_PARSE_FAILED"),
        ("", None, "GRAPHQL_PARSE_FAILED"),
        ("{nothing}", None, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { nothing }", None, "GRAPHQL_VALIDATION_FAILED"),
        ("query A {hello} query B {hello}", None, "BAD_USER_INPUT"),
        ("query A {hello}", "B", "BAD_USER_INPUT"),
    ],
)
async def test_a_bad_document_costs_nobody_but_its_sender(
    gateway: Client, client: SocketClient, query: str, name: str | None, code: str
) -> None:
    slow = await client.subscribe("{slow}")
    await begun(1)
    bad = await client.subscribe(query, name=name)
    with pytest.raises(Refused) as caught:
        await bad.next()
    assert [error["extensions"]["code"] for error in caught.value.errors] == [code]
    assert gateway.counted("rejected") == 1
    assert await once(client, "{hello}", id=bad.id) == {"data": {"hello": "world"}}
    assert not PATIENT[0].was_cancelled.is_set()
    await slow.leave()


async def test_bad_variables_are_a_result(client: SocketClient) -> None:
    result = await once(client, "query($n: Int!) { echo(number: $n) }", variables={"n": "one"})
    assert "data" not in result
    assert [error["extensions"]["code"] for error in result["errors"]] == ["BAD_USER_INPUT"]


async def test_unexpected_errors_are_masked(gateway: Client, client: SocketClient) -> None:
    result = await once(client, "{hello unexpected}")
    assert result["data"] == {"hello": "world", "unexpected": None}
    assert "swordfish" not in json.dumps(result)
    assert gateway.counted("internal") == 1


async def test_a_completed_operation_is_cancelled_and_the_others_go_on(client: SocketClient) -> None:
    streams = [await client.subscribe("{slow}") for _ in range(3)]
    await begun(3)
    await streams[1].leave()
    await asyncio.wait_for(PATIENT[1].was_cancelled.wait(), 10)
    await client.complete("nobody knows this one")
    assert await once(client, "{hello}") == {"data": {"hello": "world"}}
    assert [patience.was_cancelled.is_set() for patience in PATIENT] == [False, True, False]


@pytest.mark.parametrize("abruptly", [True, False])
async def test_who_leaves_takes_its_operations_along(gateway: Client, abruptly: bool) -> None:
    client = await SocketClient.connect(gateway.session, gateway.url)
    for _ in range(3):
        await client.subscribe("{slow}")
    await begun(3)
    if abruptly:
        client.drop()
    else:
        await client.close()
    for patience in PATIENT:
        await asyncio.wait_for(patience.was_cancelled.wait(), 10)


# ---- subscriptions


async def test_a_subscription_that_cannot_begin_is_one_result(sqlite_url: str) -> None:
    async with (
        running(sqlite_url) as gateway,
        await SocketClient.connect(gateway.client.session, gateway.client.url) as client,
    ):
        for query, variables, code in (
            (PROGRESS, {"id": job_id("nobody")}, "NOT_FOUND"),
            (PROGRESS, {}, "BAD_USER_INPUT"),
            (EVENTS, {"after": "nonsense"}, "BAD_USER_INPUT"),
        ):
            result = await once(client, query, variables=variables)
            assert [error["extensions"]["code"] for error in result["errors"]] == [code]


async def test_several_subscriptions_share_a_socket_with_queries_that_see_the_present(store_url: str) -> None:
    async with (
        running(store_url, ("j", "k")) as gateway,
        await SocketClient.connect(gateway.client.session, gateway.client.url) as client,
    ):
        streams: list[SocketStream] = [await client.subscribe(PROGRESS, {"id": job_id(id)}) for id in ("j", "k", "j")]
        for stream in streams:
            assert (await item(stream))["processed"] == 1
        for n in (2, 3):
            gateway.go(("j", "k"), n)
            for stream in streams:
                assert (await item(stream))["processed"] == n
            query = "query($id: ID!) { node(id: $id) { ... on Job { progress { processed } } } }"
            result = await once(client, query, variables={"id": job_id("k")})
            assert result["data"]["node"]["progress"]["processed"] == n
        await streams[0].leave()
        gateway.go(("j", "k"), 4)
        assert (await item(streams[1]))["processed"] == 4
        gateway.go(("j", "k"), 5, JobStatus.SUCCEEDED)
        for stream in streams[1:]:
            assert (await rest(stream))[-1]["kind"] == "JOB_FINISHED"
        await gateway.deserted(sockets=1)
