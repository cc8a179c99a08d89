"""WebSockets. Subscriptions, queries and mutations run beside each other on one connection; one that cannot run is told
so by itself, while a client that breaks the protocol loses the connection, with a reason.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import WebSocketError, WSMessage, WSMsgType, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from connectory.config.settings import ServerSettings
from connectory.execution.admission import Admission
from connectory.execution.answer import encode
from connectory.execution.bad_request import BadRequest
from connectory.execution.execution import Execution
from connectory.live.connections import LiveConnections
from connectory.live.flow import Flow
from connectory.live.live import Live
from connectory.live.protocol import (
    PROTOCOL,
    CloseCode,
    CloseConnection,
    Message,
    read_id,
    read_message,
    read_operation,
    read_payload,
)
from connectory.live.sink import TooSlow
from connectory.live.socket_operation import SocketOperation, SocketServices
from connectory.observability.metrics import Metrics
from resolvers.context import Viewer

#: Seconds that a client has to introduce itself.
INIT_WITHIN = 10.0
#: Seconds of silence before a ping. aiohttp waits half as long for the answer and rounds both up: 29 s at most.
HEARTBEAT = 18.0
#: Seconds that closing may take.
CLOSE_WITHIN = 5.0

_ENDS = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})
#: All others have to wait for a client that does not read, or what we answer would pile up.
_UNANSWERED = frozenset({"complete", "pong"})
_ACK = encode({"type": "connection_ack"})

_log = logging.getLogger(__name__)


class Sockets:
    """All WebSockets of one application."""

    def __init__(
        self,
        execution: Execution,
        admission: Admission,
        live: Live,
        connections: LiveConnections,
        metrics: Metrics,
        server: ServerSettings,
    ) -> None:
        self._services = SocketServices(
            execution, admission, live, metrics,
            most_operations=server.subscriptions_per_socket, most_values=server.values_per_request,
        )  # fmt: skip
        self._connections = connections
        #: aiohttp refuses messages of as many bytes as it is told
        self._message_limit = server.socket_message_bytes + 1

    async def serve(self, request: web.Request, viewer: Viewer) -> web.WebSocketResponse:
        """Carry a connection to its end; all of it is asked by ``viewer``.

        Raises BadRequest for a client that has too many, or speaks something else.
        """
        self._connections.enter(request.remote)
        self._services.traffic.connections += 1
        # sending never waits within aiohttp: back-pressure is ours
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,), heartbeat=HEARTBEAT, autoping=False, timeout=CLOSE_WITHIN, compress=False,
            max_msg_size=self._message_limit, writer_limit=sys.maxsize,
        )  # fmt: skip
        connection = None
        try:
            writer = await _shake_hands(socket, request)
            socket.headers.clear()  # sent; a connection lives for hours
            connection = SocketConnection(self._services, socket, viewer, request.remote, Flow(request, writer))
            self._connections.open.add(connection)
            await connection.converse()
        finally:
            if connection is not None:
                connection.release()
                self._connections.open.discard(connection)
            self._services.traffic.connections -= 1
            self._connections.leave(request.remote)
        return socket


async def _shake_hands(socket: web.WebSocketResponse, request: web.Request) -> AbstractStreamWriter:
    """Raises BadRequest."""
    # aiohttp would go on without a subprotocol, and log that; browsers would not go on
    offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")
    if PROTOCOL not in (name.strip() for name in offered):
        raise BadRequest(f"The subprotocol of a WebSocket has to be {PROTOCOL}.")
    try:
        return await socket.prepare(request)
    except web.HTTPBadRequest:
        raise BadRequest(
            "This is not how a WebSocket is opened. Handshake headers are UPGRADE: websocket, CONNECTION: Upgrade, "
            "SEC-WEBSOCKET-KEY with 16 bytes in base64, and SEC-WEBSOCKET-VERSION: 13, the only version."
        ) from None


class SocketConnection:
    """One client, until either side ends it."""

    __slots__ = ("_ending", "_is_acknowledged", "_socket", "client", "flow", "operations", "services", "viewer")

    def __init__(
        self, services: SocketServices, socket: web.WebSocketResponse, viewer: Viewer, client: str | None, flow: Flow
    ) -> None:
        self.services = services
        self.viewer = viewer
        self.flow = flow
        #: those that have not ended, by id
        self.operations: dict[str, SocketOperation] = {}
        self._socket = socket
        self.client = client
        self._is_acknowledged = False
        self._ending: asyncio.Task[None] | None = None
        flow.on_too_slow = self._too_slow

    async def converse(self) -> None:
        """Read until there is nothing more to read."""
        try:
            async with asyncio.timeout(INIT_WITHIN):
                while not self._is_acknowledged and (frame := await self._socket.receive()).type not in _ENDS:
                    await self._take(frame)
            while self._is_acknowledged and (frame := await self._socket.receive()).type not in _ENDS:
                await self._take(frame)
            self._find_cause(frame)
        except TimeoutError:
            await self._end(
                CloseConnection(CloseCode.INIT_TIMEOUT, f"No connection_init came within {INIT_WITHIN:g} s.")
            )
        except CloseConnection as closing:
            await self._end(closing)
        except TooSlow:
            pass  # it is being closed already

    async def _take(self, frame: WSMessage) -> None:
        match frame.type:
            case WSMsgType.TEXT:
                kind, message = read_message(frame.data, self.services.most_values)
                handle = _HANDLERS.get(kind)
                if handle is None:
                    raise CloseConnection(
                        CloseCode.BAD_MESSAGE, f'There is no message of type "{kind}" for clients to send.'
                    )
                if kind not in _UNANSWERED:
                    await self.flow.drained()
                await handle(self, message)
            case WSMsgType.PING:
                await self.flow.drained()
                await self._socket.pong(frame.data)
            case WSMsgType.BINARY:
                raise CloseConnection(CloseCode.BAD_MESSAGE, "Messages have to be text, not binary.")

    # ---- messages of the protocol

    async def _init(self, message: Message) -> None:
        read_payload(message)
        if self._is_acknowledged:
            raise CloseConnection(CloseCode.TOO_MANY_INITS, "Too many initialisation requests")
        self._is_acknowledged = True
        await self.write(_ACK)

    async def _ping(self, message: Message) -> None:
        payload = read_payload(message)
        await self.write(encode({"type": "pong"} | ({} if payload is None else {"payload": payload})))

    async def _pong(self, message: Message) -> None:
        read_payload(message)

    async def _subscribe(self, message: Message) -> None:
        if not self._is_acknowledged:
            raise CloseConnection(CloseCode.UNAUTHORIZED, "Unauthorized")
        id, wanted = read_id(message), read_operation(message)
        if id in self.operations:
            raise CloseConnection(CloseCode.DUPLICATE_ID, f"Subscriber for {id} already exists")
        operation = SocketOperation(self, id)
        if len(self.operations) >= self.services.most_operations:
            await operation.refuse_one_too_many()
        else:
            self.operations[id] = operation
            operation.begin(wanted)

    async def _complete(self, message: Message) -> None:
        operation = self.operations.pop(read_id(message), None)
        if operation is not None:
            operation.leave()

    # ---- sending

    async def write(self, text: bytes) -> None:
        """Send one message. Never waits; once the client has gone it does nothing."""
        try:
            await self._socket.send_frame(text, WSMsgType.TEXT)
        except ConnectionError:
            return  # contextlib.suppress would take as long as the sending

    def write_all(self, texts: Sequence[bytes]) -> None:
        """Send several messages at once, in order. As frames are, they are made here: aiohttp would hand each of them
        to the system by itself, which takes most of the time."""
        if not self._socket.closed and not self.flow.transport.is_closing():
            self.flow.transport.write(b"".join([part for text in texts for part in (frame_head(len(text)), text)]))

    # ---- the end

    def _find_cause(self, frame: WSMessage) -> None:
        """A peer that answers no ping cannot be said goodbye to."""
        if frame.type is WSMsgType.ERROR and not isinstance(frame.data, WebSocketError):
            if not self.flow.is_ready:
                self._count_too_slow()
            self.flow.transport.abort()

    def _too_slow(self) -> None:
        self._count_too_slow()
        closing = CloseConnection(CloseCode.TOO_SLOW, "You read too slowly; come back and resume by cursor.")
        self._ending = asyncio.create_task(self._end(closing), name="socket end")

    def _count_too_slow(self) -> None:
        self.services.traffic.too_slow += 1
        _log.info("A client reads too slowly.", extra={"action": "live_too_slow", "client": self.client})

    async def _end(self, closing: CloseConnection) -> None:
        """Say why, and break off when even that does not get out."""
        self._leave_operations()
        asyncio.get_running_loop().call_later(CLOSE_WITHIN, self._break_off)
        await self._socket.close(code=closing.code, message=closing.reason, drain=False)

    def _break_off(self) -> None:
        if not self.flow.is_empty:
            self.flow.transport.abort()

    async def go_away(self) -> None:
        self._leave_operations()
        if self.flow.is_empty:
            await self._end(CloseConnection(CloseCode.GOING_AWAY, "The gateway is shutting down; resume by cursor."))
        else:
            self.flow.transport.abort()

    def forget(self, operation: SocketOperation) -> None:
        """It has ended; another one may have its id by now."""
        if self.operations.get(operation.id) is operation:
            del self.operations[operation.id]

    def _leave_operations(self) -> None:
        for operation in self.operations.values():
            operation.leave()
        self.operations.clear()

    def release(self) -> None:
        """Forget everything that the client asked for."""
        self._leave_operations()
        self.flow.release()


def frame_head(length: int) -> bytes:
    """Of a text message in one frame, as servers send it (RFC 6455 §5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2)
    return b"\x81\x7f" + length.to_bytes(8)


_HANDLERS: Mapping[str, Callable[[SocketConnection, Message], Awaitable[None]]] = {
    "connection_init": SocketConnection._init,
    "ping": SocketConnection._ping,
    "pong": SocketConnection._pong,
    "subscribe": SocketConnection._subscribe,
    "complete": SocketConnection._complete,
}
