"""Operations as event streams, and how it is decided that an answer is one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectory.live import sse
from connectory.model import JobStatus
from tests.api.gateway import Client, served
from tests.live.client import EVENT_STREAM, Complete, Refused, SseClient, item, rest
from tests.live.running import EVENTS, PROGRESS, Running, job_id, running

GRAPHQL, JSON = "application/graphql-response+json", "application/json"
#: As urql sends it with every operation.
URQL = f"{GRAPHQL}, application/graphql+json, {JSON}, {EVENT_STREAM}, multipart/mixed"
NOBODY: dict[str, Any] = {"query": PROGRESS, "variables": {"id": job_id("nobody")}}


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[Running]:
    async with running(sqlite_url) as found:
        yield found


@pytest.fixture
def client(gateway: Running) -> SseClient:
    return SseClient(gateway.client.session, gateway.client.url)


async def raw(client: Client, body: dict[str, Any], accept: str = EVENT_STREAM, **headers: str) -> tuple[Any, bytes]:
    """Status, headers and bytes of an answer that ends by itself."""
    url = f"{client.url}/graphql"
    async with client.session.post(url, json=body, headers={"Accept": accept, **headers}) as response:
        return response, await response.read()


# ---- the stream


async def test_every_byte_of_a_stream(gateway: Running) -> None:
    gateway.go("j", 2, JobStatus.SUCCEEDED)
    await gateway.reach(2)
    query = f'subscription {{ jobProgress(jobId: "{job_id()}") {{ kind processed }} }}'
    response, body = await raw(gateway.client, {"query": query})
    comment, event, end = body.split(b"\n\n", 2)
    name, cursor, data = event.split(b"\n")
    assert (comment, name, end) == (b":", b"event: next", b"event: complete\ndata:\n\n")
    assert cursor.startswith(b"id: ")
    assert data == b'data: {"data":{"jobProgress":{"kind":"JOB_FINISHED","processed":2}}}'
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Vary"] == "Accept, Origin"


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_job_is_followed_to_its_end(gateway: Running, client: SseClient, method: str) -> None:
    stream = await client.subscribe(PROGRESS, {"id": job_id()}, method=method)
    assert (await item(stream))["processed"] == 1
    gateway.go("j", 2)
    assert (await item(stream))["processed"] == 2
    gateway.go("j", 3, JobStatus.SUCCEEDED)
    assert (await rest(stream))[-1]["kind"] == "JOB_FINISHED"
    await gateway.deserted()


async def test_the_id_of_an_event_is_its_cursor_and_resumes_the_stream(gateway: Running, client: SseClient) -> None:
    first = await client.subscribe(EVENTS)
    gateway.go("j", 2)
    seen = await item(first)
    assert first.last_event_id == seen["cursor"]
    client.drop()
    gateway.go("j", 3)
    await gateway.reach(3)
    again = await client.subscribe(EVENTS, {}, last_event_id=seen["cursor"])
    assert (await item(again))["kind"] == "JOB_PROGRESSED"
    assert again.last_event_id is not None
    assert again.last_event_id != seen["cursor"]
    client.drop()


async def test_headers_and_a_first_byte_come_before_anything_happens(client: SseClient) -> None:
    stream = await client.subscribe(EVENTS)
    assert await asyncio.wait_for(stream.response.content.readexactly(3), 10) == b":\n\n"
    await stream.leave()


async def test_silence_is_filled_with_comments(client: SseClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sse.COMMENT_EVERY + sse.DEAD_AFTER < 30
    monkeypatch.setattr(sse, "COMMENT_EVERY", 0.05)
    stream = await client.subscribe(EVENTS)
    assert await asyncio.wait_for(stream.response.content.readexactly(12), 10) == b":\n\n" * 4
    await stream.leave()


async def test_a_subscription_that_cannot_begin_is_one_result(client: SseClient) -> None:
    stream = await client.subscribe(PROGRESS, {"id": job_id("nobody")})
    result = await stream.next()
    assert [error["extensions"]["code"] for error in result["errors"]] == ["NOT_FOUND"]
    with pytest.raises(Complete):
        await stream.next()
    stream = await client.subscribe(EVENTS, last_event_id="nonsense")
    assert [error["extensions"]["code"] for error in (await stream.next())["errors"]] == ["BAD_USER_INPUT"]


async def test_a_bad_document_is_answered_before_a_stream_begins(client: SseClient) -> None:
    for query in ("subscription {", "subscription { nothing }", ""):
        with pytest.raises(Refused) as caught:
            await client.subscribe(query)
        assert caught.value.status == 400, query
        with pytest.raises(Refused) as caught:
            await client.subscribe(query, accept=f"{JSON}, {EVENT_STREAM}")
        assert caught.value.status == (200 if query else 400), query


async def test_origins_hold_for_streams(gateway: Running) -> None:
    response, _ = await raw(gateway.client, NOBODY, Origin="https://evil.example.com")
    assert response.status == 403


async def test_allowed_pages_may_read_a_stream(sqlite_url: str) -> None:
    board = "https://board.example.com"
    async with served(sqlite_url, allowed_origins=[board]) as client:
        response, _ = await raw(client, NOBODY, Origin=board)
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, board)


# ---- which answer is a stream


async def test_a_subscription_wants_a_stream_by_name(gateway: Running) -> None:
    for accept, status, content_type in (
        (EVENT_STREAM, 200, EVENT_STREAM),
        (URQL, 200, EVENT_STREAM),
        (f"{JSON}, {EVENT_STREAM};q=0.1", 200, EVENT_STREAM),
        (f"{EVENT_STREAM};q=0, {JSON}", 406, JSON),
        ("*/*", 406, JSON),
        ("text/*", 406, JSON),
        (JSON, 406, JSON),
        (GRAPHQL, 406, GRAPHQL),
    ):
        response, body = await raw(gateway.client, NOBODY, accept)
        assert (response.status, response.content_type) == (status, content_type), accept
        if status == 406:
            assert b"text/event-stream" in body, accept


async def test_queries_are_json_wherever_that_is_allowed(gateway: Running) -> None:
    data = b'{"data":{"__typename":"Query"}}'
    for accept, content_type in (
        (URQL, GRAPHQL),
        (f"{EVENT_STREAM}, {JSON}", JSON),
        (f"{EVENT_STREAM}, */*;q=0.1", JSON),
        (EVENT_STREAM, EVENT_STREAM),
    ):
        response, body = await raw(gateway.client, {"query": "{ __typename }"}, accept)
        assert (response.status, response.content_type) == (200, content_type), accept
        assert body == (b"event: next\ndata: " + data + b"\n\nevent: complete\ndata:\n\n"
                        if content_type == EVENT_STREAM else data), accept  # fmt: skip


async def test_mutations_are_never_streamed_by_get(gateway: Running) -> None:
    url, query = f"{gateway.client.url}/graphql", 'mutation { refreshSystem(name: "x") { __typename } }'
    for accept in (EVENT_STREAM, URQL):
        async with gateway.client.session.get(url, params={"query": query}, headers={"Accept": accept}) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_head_gets_no_stream(gateway: Running) -> None:
    url = f"{gateway.client.url}/graphql"
    async with gateway.client.session.head(
        url, params={"query": "subscription { events { cursor } }"}, headers={"Accept": EVENT_STREAM}
    ) as response:
        assert response.status == 406
