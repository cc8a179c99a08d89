"""A gateway of canned answers over the contract's schema: what a page needs to be driven without any system."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import WSMsgType, web
from graphql import GraphQLSchema, build_schema, graphql, parse, subscribe

from connectory import graphiql
from tests.paths import CONTRACT

SCHEMA = web.AppKey("schema", GraphQLSchema)
SYSTEM = {
    "name": "canned-onyx",
    "kind": "onyx",
    "health": "UP",
    "lastSuccessAt": "2026-11-22T12:00:00+00:00",
    "totalConnectors": 3,
    "runningJobs": 1,
}


async def _events(_info: Any, **_arguments: Any) -> AsyncIterator[dict[str, Any]]:
    at = "2026-11-22T12:00:00+00:00"
    event = {"__typename": "SystemEvent", "cursor": "1", "at": at, "kind": "SYSTEM_DOWN", "systemHealth": "DOWN"}
    yield {"events": event | {"message": "canned-message"}}
    await asyncio.Event().wait()


QUERIES = {
    "systems": [SYSTEM],
    "connectors": {"totalCount": 3, "countBy": lambda _info, field: [{"value": f"canned-{field}", "count": 3}]},
}
SUBSCRIPTIONS = {"events": _events}


def gateway() -> web.Application:
    """An application with the page, its files, and /graphql by POST and as graphql-transport-ws."""
    app = web.Application()
    app[SCHEMA] = build_schema(CONTRACT.read_text(encoding="utf-8"))
    graphiql.add_static(app)
    app.router.add_get("/graphql", _page_or_socket)
    app.router.add_post("/graphql", _answer)
    return app


async def _answer(request: web.Request) -> web.Response:
    asked = await request.json()
    result = await graphql(
        request.app[SCHEMA],
        asked["query"],
        QUERIES,
        variable_values=asked.get("variables"),
        operation_name=asked.get("operationName"),
    )
    return web.json_response(result.formatted)


async def _page_or_socket(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return graphiql.response()
    socket = web.WebSocketResponse(protocols=["graphql-transport-ws"])
    await socket.prepare(request)
    streams: dict[str, asyncio.Task[None]] = {}
    try:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            said = json.loads(message.data)
            if said["type"] == "connection_init":
                await socket.send_json({"type": "connection_ack"})
            elif said["type"] == "subscribe":
                work = _stream(socket, request.app[SCHEMA], said["id"], said["payload"]["query"])
                streams[said["id"]] = asyncio.create_task(work)
            elif said["type"] == "complete":
                streams.pop(said["id"]).cancel()
    finally:
        for stream in streams.values():
            stream.cancel()
    return socket


async def _stream(socket: web.WebSocketResponse, schema: GraphQLSchema, key: str, query: str) -> None:
    results = subscribe(schema, parse(query), SUBSCRIPTIONS)
    assert isinstance(results, AsyncIterator), f"expected a stream, got {results}"
    async for result in results:
        await socket.send_json({"type": "next", "id": key, "payload": result.formatted})
