"""Server-Sent Events: GraphQL over SSE, distinct connections mode (github.com/enisdenjo/graphql-sse, PROTOCOL.md).

One operation on one connection. The id of an event is the cursor of the change log, so that a browser's EventSource
resumes by itself, with ``Last-Event-ID``. Lines end with LF: urql splits events at LF LF alone.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from aiohttp import hdrs, web
from aiohttp.http import StreamWriter
from graphql import FormattedExecutionResult

from connectory.execution import error_presentation
from connectory.execution.answer import encode
from connectory.execution.negotiation import EVENT_STREAM
from connectory.execution.prepared import Prepared, Refused
from connectory.live.connections import LiveConnections
from connectory.live.flow import Flow
from connectory.live.live import Live
from connectory.live.sink import TooSlow
from connectory.live.subscriber import Subscriber
from connectory.observability.metrics import Traffic
from connectory.tcp import set_tcp_option
from resolvers.context import Viewer

#: Seconds of silence, at most: proxies end what looks idle.
COMMENT_EVERY = 12.0
#: Seconds that what was sent may stay unacknowledged: with the comments, a peer that has gone without a word is found
#: out within 30 s.
DEAD_AFTER = 17.0
_HEADERS = {
    hdrs.CONTENT_TYPE: f"{EVENT_STREAM}; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-store",
    hdrs.VARY: "Accept",
    # lets nginx pass events on as they come
    "X-Accel-Buffering": "no",
}
_COMMENT = b":\n\n"
_COMPLETE = b"event: complete\ndata:\n\n"

_log = logging.getLogger(__name__)


class Streams:
    """All event streams of one application."""

    def __init__(self, live: Live, connections: LiveConnections, traffic: Traffic) -> None:
        self._live = live
        self._connections = connections
        self._traffic = traffic

    async def serve(self, request: web.Request, viewer: Viewer, prepared: Prepared) -> web.StreamResponse:
        """Carry a subscription to its end. Raises BadRequest when its client has too many connections."""
        self._connections.enter(request.remote)
        self._traffic.connections += 1
        response, stream = web.StreamResponse(headers=_HEADERS), None
        try:
            writer = await response.prepare(request)
            assert isinstance(writer, StreamWriter)
            stream = Stream(request, writer, self._traffic)
            self._connections.open.add(stream)
            await stream.carry(self._live, prepared, viewer, request.headers.get("Last-Event-ID"))
        finally:
            if stream is not None:
                stream.release()
                self._connections.open.discard(stream)
            self._traffic.connections -= 1
            self._connections.leave(request.remote)
        return response


def answer_once(body: bytes) -> web.Response:
    """The result of a query or a mutation, for a client that takes nothing but events."""
    return web.Response(body=_next(body, "") + _COMPLETE, headers=_HEADERS)


class Stream:
    """One subscription on its connection, and where its results go."""

    def __init__(self, request: web.Request, writer: StreamWriter, traffic: Traffic) -> None:
        self._client = request.remote
        self._writer = writer
        self._traffic = traffic
        self._flow = Flow(request, writer)
        self._flow.on_too_slow = self._too_slow
        self._over = asyncio.Event()
        self._subscriber: Subscriber | None = None
        # nobody answers a comment, but where the system can, it ends a connection whose peer acknowledges nothing
        set_tcp_option(self._flow.transport, "TCP_USER_TIMEOUT", round(DEAD_AFTER * 1000))

    async def carry(self, live: Live, prepared: Prepared, viewer: Viewer, last_event_id: str | None) -> None:
        """Subscribe, and return when nothing more comes or nobody is there to read it."""
        # some clients and proxies wait for the first byte of a body
        await self._write(_COMMENT)
        try:
            self._subscriber = await live.subscribe(prepared, self, viewer, last_event_id=last_event_id)
        except Refused as refused:
            await self._send_only(refused.body())
        except Exception as error:
            await self._send_only({"errors": [error_presentation.failure(error, path="subscription")]})
        with contextlib.suppress(TooSlow):
            while not await self._is_over_within(COMMENT_EVERY):
                await self.drained()
                await self._write(_COMMENT)

    async def _is_over_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()

    async def _send_only(self, body: FormattedExecutionResult) -> None:
        await self.send(encode(body), "")
        await self.complete()

    @property
    def is_ready(self) -> bool:
        return self._flow.is_ready

    async def drained(self) -> None:
        await self._flow.drained()

    async def send(self, body: bytes, cursor: str) -> None:
        self._traffic.results += 1
        await self._write(_next(body, cursor))

    async def send_all(self, results: Sequence[tuple[bytes, str]]) -> None:
        self._traffic.results += len(results)
        await self._write(b"".join([_next(body, cursor) for body, cursor in results]))

    async def complete(self) -> None:
        await self._write(_COMPLETE)
        self._over.set()

    async def _write(self, text: bytes) -> None:
        # when the client has gone, our handler is told
        with contextlib.suppress(ConnectionError):
            await self._writer.write(text, drain=False)

    async def go_away(self) -> None:
        """No ``complete``: the client shall come back."""
        if not self._flow.is_empty:
            self._flow.transport.abort()
        self._over.set()

    def _too_slow(self) -> None:
        self._traffic.too_slow += 1
        _log.info("A client reads too slowly.", extra={"action": "live_too_slow", "client": self._client})
        self._flow.transport.abort()
        self._over.set()

    def release(self) -> None:
        """Forget the subscription."""
        if self._subscriber is not None:
            self._subscriber.leave()
        self._flow.release()


def _next(body: bytes, cursor: str) -> bytes:
    id = b"id: " + cursor.encode() + b"\n" if cursor else b""
    return b"event: next\n" + id + b"data: " + body + b"\n\n"
