"""Clients of both transports. Nothing is read before the test asks for it: one that does not ask is a slow reader.

A ``Stream`` is one operation on either transport: ``next`` gives its results one by one and raises Complete, Refused or
Lost for the three ways in which it ends. ``PairClient`` is a client of each, whose streams have to say the same.
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import count
from types import TracebackType
from typing import Any, Protocol

import aiohttp

PROTOCOL = "graphql-transport-ws"
EVENT_STREAM = "text/event-stream"
#: Seconds until a test that waits in vain fails.
_PATIENCE = 20.0

Message = dict[str, Any]


class Complete(Exception):
    """The operation is over: the server said so."""


class Refused(Exception):
    """The operation never began."""

    def __init__(self, errors: list[Message], status: int | None = None) -> None:
        super().__init__(f"{status or ''} {errors}")
        self.errors = errors
        self.status = status


class Lost(Exception):
    """The connection is at its end, and the operation was not."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Stream(Protocol):
    """One operation."""

    async def next(self, within: float = _PATIENCE) -> Message:
        """The next result, as the server sent it: data, errors, extensions."""

    async def leave(self) -> None:
        """Tell the server that no more is wanted."""


class Listener(Protocol):
    """What both clients have in common."""

    async def subscribe(self, query: str, variables: Message | None = None) -> Stream:
        """Begin an operation."""

    async def close(self) -> None:
        """End the connection as a well-behaved client does."""

    def drop(self) -> None:
        """Lose the connection: no close frame of any kind."""


async def item(stream: Stream, within: float = _PATIENCE) -> Any:
    """The one root field of the next result, which has no errors."""
    result = await stream.next(within)
    assert "errors" not in result, result
    (found,) = result["data"].values()
    return found


async def rest(stream: Stream, within: float = _PATIENCE) -> list[Any]:
    """All items until the server completes the operation."""
    found = []
    try:
        while True:
            found.append(await item(stream, within))
    except Complete:
        return found


class SocketClient:
    """One connection that speaks graphql-transport-ws. ``await SocketClient.connect(…)``, or with ``async with``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._ids = count(1)
        self._kept: dict[str, deque[Message]] = defaultdict(deque)

    @classmethod
    async def connect(
        cls,
        session: aiohttp.ClientSession,
        url: str,
        *,
        protocols: tuple[str, ...] = (PROTOCOL,),
        init: bool = True,
        **options: Any,
    ) -> "SocketClient":
        """``url`` is the server's, without a path. ``options`` are those of ``ClientSession.ws_connect``."""
        options = {"max_msg_size": 0, **options}
        client = cls(await session.ws_connect(f"{url}/graphql", protocols=protocols, **options))
        if init:
            await client.init()
        return client

    async def __aenter__(self) -> "SocketClient":
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def init(self, payload: Message | None = None) -> Message:
        """The server's ``connection_ack``."""
        await self.send({"type": "connection_init"} | ({} if payload is None else {"payload": payload}))
        answer = await self.receive()
        assert answer["type"] == "connection_ack", answer
        return answer

    async def send(self, message: Message | str | bytes) -> None:
        """A message of the protocol, or any text or bytes instead."""
        if isinstance(message, bytes):
            await self.socket.send_bytes(message)
        else:
            await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def receive(self, within: float = _PATIENCE) -> Message:
        """The next message of any kind, pings answered on the way. Raises Lost."""
        async with asyncio.timeout(within):
            return await self._receive()

    async def _receive(self) -> Message:
        while True:
            frame = await self.socket.receive()
            if frame.type is not aiohttp.WSMsgType.TEXT:
                assert frame.type in _ENDS, frame
                # aiohttp says 1006 when its own close frame no longer gets out
                said = frame.data if frame.type is aiohttp.WSMsgType.CLOSE else self.socket.close_code
                raise Lost(said, str(frame.extra or ""))
            message: Message = json.loads(frame.data)
            if message["type"] != "ping":
                return message
            await self.send({"type": "pong"})

    async def subscribe(
        self,
        query: str,
        variables: Message | None = None,
        *,
        id: str | None = None,
        name: str | None = None,
        extensions: Message | None = None,
    ) -> "SocketStream":
        payload = {"query": query, "variables": variables, "operationName": name, "extensions": extensions}
        id = id or f"operation {next(self._ids)}"
        said = {key: value for key, value in payload.items() if value is not None}
        await self.send({"id": id, "type": "subscribe", "payload": said})
        return SocketStream(self, id)

    async def next(self, id: str, within: float = _PATIENCE) -> Message:
        """The next result of one operation; messages for others are kept for them."""
        while not self._kept[id]:
            message = await self.receive(within)
            assert set(message) <= {"id", "type", "payload"}, message
            self._kept[message["id"]].append(message)
        message = self._kept[id].popleft()
        if message["type"] == "complete":
            raise Complete
        if message["type"] == "error":
            raise Refused(message["payload"])
        assert message["type"] == "next", message
        result: Message = message["payload"]
        return result

    async def complete(self, id: str) -> None:
        await self.send({"id": id, "type": "complete"})

    async def close(self, code: int = 1000) -> None:
        await self.socket.close(code=code)

    def drop(self) -> None:
        _abort(self.socket._response)


_ENDS = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


class SocketStream:
    """One operation on a socket."""

    def __init__(self, client: SocketClient, id: str) -> None:
        self.client = client
        self.id = id

    async def next(self, within: float = _PATIENCE) -> Message:
        return await self.client.next(self.id, within)

    async def leave(self) -> None:
        await self.client.complete(self.id)


class SseClient:
    """Operations over Server-Sent Events, each on a connection of its own."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = f"{url}/graphql"
        self._streams: list[SseStream] = []

    async def subscribe(
        self,
        query: str,
        variables: Message | None = None,
        *,
        last_event_id: str | None = None,
        method: str = "POST",
        accept: str = EVENT_STREAM,
    ) -> "SseStream":
        """Raises Refused when the answer is no event stream."""
        headers = {"Accept": accept} | ({} if last_event_id is None else {"Last-Event-ID": last_event_id})
        options: dict[str, Any] = {"json": {"query": query, "variables": variables}}
        if method == "GET":
            options = {"params": {"query": query, "variables": json.dumps(variables or {})}}
        no_end = aiohttp.ClientTimeout(total=None, connect=_PATIENCE)
        async with asyncio.timeout(_PATIENCE):
            response = await self.session.request(method, self.url, headers=headers, timeout=no_end, **options)
        if response.content_type != EVENT_STREAM:
            body = await response.json(content_type=None)
            response.release()
            raise Refused(body["errors"], response.status)
        self._streams.append(SseStream(response))
        return self._streams[-1]

    async def close(self) -> None:
        for stream in self._streams:
            await stream.leave()

    def drop(self) -> None:
        for stream in self._streams:
            _abort(stream.response)


class SseStream:
    """One operation, and the connection that carries it. ``last_event_id`` is what a browser would send to go on;
    ``comments`` counts the lines that only keep the connection alive."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_event_id: str | None = None
        self.comments = 0

    async def next(self, within: float = _PATIENCE) -> Message:
        async with asyncio.timeout(within):
            event = await self._event()
        if event["event"] == "complete":
            raise Complete
        assert event["event"] == "next", event
        result: Message = json.loads(event["data"])
        return result

    async def _event(self) -> dict[str, str]:
        """The fields of the next event. Raises Lost."""
        fields: dict[str, str] = {}
        while (line := await self._line()) or not fields:
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
        if "id" in fields:
            self.last_event_id = fields["id"]
        return fields

    async def _line(self) -> str:
        try:
            line = await self.response.content.readuntil(b"\n")
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Lost(reason=str(error)) from None
        if not line.endswith(b"\n"):
            raise Lost(reason="the answer ended")
        assert b"\r" not in line, "lines end with LF alone"
        return line[:-1].decode()

    async def leave(self) -> None:
        self.response.close()


class PairClient:
    """A client of each transport, asking the same."""

    def __init__(self, *clients: Listener) -> None:
        self._clients = clients

    async def subscribe(self, query: str, variables: Message | None = None) -> "PairStream":
        return PairStream([await client.subscribe(query, variables) for client in self._clients])

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    def drop(self) -> None:
        for client in self._clients:
            client.drop()


class PairStream:
    """One operation on each transport: the results that both are given, and the end that both come to."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams

    async def next(self, within: float = _PATIENCE) -> Message:
        first, second = await asyncio.gather(*(_result(stream, within) for stream in self._streams))
        assert first == second
        if first is None:
            raise Complete
        return first

    async def leave(self) -> None:
        for stream in self._streams:
            await stream.leave()


async def _result(stream: Stream, within: float) -> Message | None:
    """The next result; None once the operation is complete."""
    try:
        return await stream.next(within)
    except Complete:
        return None


def _abort(response: aiohttp.ClientResponse) -> None:
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
