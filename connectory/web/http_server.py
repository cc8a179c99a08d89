"""HTTP/1.1 below every application: how much and how slowly a client may send, and what it is told whose bytes are no
request; how long it may ask nothing or take nothing of what it is sent. None of these answers repeats what was sent or
says what we run on.

It stands on aiohttp's protocol class, whose own answers do both; ``tests/api/test_http_server.py`` holds it to that.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from connectory.execution.answer import HEADERS, refuse
from connectory.tcp import client_of, notice_silence
from connectory.web.access_log import PROBES
from connectory.web.frames import MaskedFrames
from connectory.web.intake import Intake
from connectory.web.open_connections import Ended, Entry, OpenConnections

#: Bytes of a URL, as sent.
LONGEST_URL = 32 * 1024
#: Bytes of a header: a value as long as that, and its name.
LONGEST_HEADER = LONGEST_URL + 1024
#: Bytes of all that comes before a body.
LONGEST_HEAD = 64 * 1024
#: Headers of a request.
MOST_HEADERS = 128
#: Bytes that are taken from a connection in one turn of the loop, by default 256 KiB: hundreds may have sent as much.
AT_ONCE = 64 * 1024
#: Seconds from the first byte of a request to the end of its headers.
HEAD_WITHIN = 20.0
#: Seconds for which a connection may be silent while nothing is asked. Proxies give up theirs after 60 (nginx), 90
#: (Traefik) or 120 (Caddy): one that we ended first would cost them the request that they have just sent.
IDLE_WITHIN = 130.0
#: Seconds from the first byte of a message on a WebSocket to its last.
MESSAGE_WITHIN = 30.0
#: Seconds in which a client has to take so many bytes of what it is sent, or all that is left. Live connections, which
#: say farewell, give up earlier: ``live.flow.TOO_SLOW_AFTER``.
TAKE_WITHIN, TAKE_LEAST = 40.0, 64 * 1024
#: Seconds until it makes sense to come again where there was no room.
COME_AGAIN = 5
#: Seconds that a client has to read why it was refused, while what it still sends is thrown away: a connection that is
#: closed with something unread is reset, and the answer lost.
LINGER = 2.0


#: Of an application; without it there may be any number of connections.
OPEN_CONNECTIONS = web.AppKey("OPEN_CONNECTIONS", OpenConnections)
_ANY = 1 << 30


class Refusal(NamedTuple):
    """An answer to what is no request that can be served: HTTP status, code of the error, message."""

    status: int
    code: str
    message: str


_MALFORMED = Refusal(400, "BAD_REQUEST", "What was sent is not HTTP/1.1.")
_BROKEN = Refusal(500, "INTERNAL_SERVER_ERROR", "Internal error")
_LONG_URL = Refusal(
    414, "URI_TOO_LONG", f"The URL is longer than {LONGEST_URL:,} bytes; send the operation by POST instead."
)
_LONG_HEADER = Refusal(
    431, "REQUEST_HEADER_FIELDS_TOO_LARGE", f"A header is longer than {LONGEST_HEADER:,} bytes; is it the cookies?"
)
_LONG_HEAD = Refusal(
    431,
    "REQUEST_HEADER_FIELDS_TOO_LARGE",
    f"URL and headers together have more than {LONGEST_HEAD:,} bytes; is it the cookies?",
)
_MANY_HEADERS = Refusal(431, "REQUEST_HEADER_FIELDS_TOO_LARGE", f"The request has more than {MOST_HEADERS:,} headers.")
_CROWDED = Refusal(503, "TOO_MANY_CONNECTIONS", "There are as many connections as there may be; come again soon.")
#: Whose limit aiohttp has found exceeded: of a length by the limit, of the number by what it says.
_TOO_LONG = {LONGEST_URL: _LONG_URL, LONGEST_HEADER: _LONG_HEADER}
_TOO_MANY = {"Too many headers received": _MANY_HEADERS}


class Unreadable(HttpProcessingError):
    """Bytes that we refuse ourselves."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(code=refusal.status, message=refusal.message)
        self.refusal = refusal


def _refusal(error: HttpProcessingError) -> Refusal:
    if isinstance(error, Unreadable):
        return error.refusal
    if isinstance(error, LineTooLong):
        return _TOO_LONG.get(error.args[1], _LONG_HEADER)
    return _TOO_MANY.get(error.message, _MALFORMED)


class HttpConnection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = (
        "_answered",
        "_deadline",
        "_entry",
        "_head",
        "_intake",
        "_is_queued",
        "_is_refused",
        "_open",
        "_payload",
        "_taking",
        "_unread",
        "_untaken",
        "client",
        "lately",
    )  # fmt: skip

    def __init__(self, manager: "Server", **options: Any) -> None:
        super().__init__(manager, **options)
        self._open, self._intake = manager.open, manager.intake
        #: who is at the other end, and what it may do
        self.client = ""
        self._entry = Entry.ANYTHING
        #: what was sent and waits for its turn; how much was read lately
        self._unread = b""
        self._is_queued = False
        self.lately = 0, 0
        #: that nothing more is read
        self._is_refused = False
        #: bytes of a head that is not complete
        self._head = 0
        #: of a head or a message that is not complete
        self._deadline: asyncio.TimerHandle | None = None
        #: of the newest request
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._answered = 0
        #: bytes that we sent and that were not taken at the last look, and the next one
        self._untaken = 0
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.client = client_of(transport)
        self._entry = self._open.enter(self)
        if self._entry is Entry.NOTHING:
            transport.abort()
            return
        super().connection_made(transport)
        notice_silence(transport)
        # who has not taken all of an answer is watched, and asks nothing more
        transport.set_write_buffer_limits(0)
        transport.max_size = AT_ONCE  # type: ignore[attr-defined]

    async def start(self) -> None:
        transport = self.transport
        try:
            await super().start()
        finally:
            if transport is not None:  # what is closed stays open until all of it is taken
                self._expect_taking(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open.leave(self)
        self._unread = b""
        self._end_deadline()
        if self._taking is not None:
            self._taking.cancel()
        super().connection_lost(exc)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _process_keepalive(self) -> None:
        was_open = not self._force_close
        super()._process_keepalive()
        if was_open and self._force_close:
            self._open.count(Ended.IDLE)

    # ---- reading

    def data_received(self, data: bytes) -> None:
        if not data:  # aiohttp goes on with what it kept
            self._read(data)
            return
        self._unread += data
        if self._is_queued:
            return
        if self._intake.goes_now(self):
            self.proceed()
        else:
            self._queue()

    def _queue(self) -> None:
        self._is_queued = True
        if self.transport is not None:
            self.transport.pause_reading()
        self._intake.put(self)

    def proceed(self) -> None:
        self._is_queued = False
        if self.transport is None:
            return
        data, self._unread = self._unread, b""
        if data or self._is_behind:
            self._read(data)
        if self._is_behind:
            self._queue()
        elif self.transport is not None and not (self._reading_paused or self._buffer_paused):
            self.transport.resume_reading()

    def _resume_transport_reading(self) -> None:
        """Of aiohttp, which goes on as soon as the reader of a body has taken what was there; here in turn."""
        if not self._is_queued and self.transport is not None:
            self._queue()

    def resume_reading(self, resume_parser: bool = True) -> None:
        super().resume_reading(resume_parser)
        if self._is_behind and not self._is_queued:
            self._queue()

    @property
    def _is_behind(self) -> bool:
        """Whether there are frames that can be read, and need not wait for those before them."""
        frames = self._payload_parser
        return frames is not None and frames.is_behind and not self._reading_paused

    def _read(self, data: bytes) -> None:
        if self._payload_parser is not None:
            self._read_frames(data)
            return
        if self._is_refused:
            return
        in_body, seen = not self._payload.is_eof(), self._request_count
        super().data_received(data)
        if new := self._request_count - seen:
            self._end_head()
            self._check_newest(new, self._payload if in_body else EMPTY_PAYLOAD)
        elif not in_body and not self._upgraded and data.strip(b"\r\n"):  # empty lines may stand between requests
            self._go_on_with_head(len(data))
        self._report_state()

    def _report_state(self) -> None:
        """Whether somebody waits for our answer, and how much is held until we can begin with it."""
        is_complete = self._payload.is_eof()
        if is_complete and self._request_count > self._answered:
            self._open.answer(self)
        else:
            self._open.wait(self)
        self._open.hold(self, self._untaken + (0 if is_complete else self._payload.total_bytes))

    def _check_newest(self, count: int, unfinished: StreamReader) -> None:
        """Of the requests that were just read. ``unfinished``: the body that the first of them found incomplete."""
        for place in range(-count, 0):
            message, payload = self._messages[place]
            if isinstance(message, _ErrInfo):
                if not unfinished.is_eof():  # who reads that body would wait for ever
                    unfinished.set_exception(web.RequestPayloadError())
            elif (refusal := self._check_request(message)) is not None:
                self._messages[place] = _refused(refusal)
            self._payload = unfinished = payload

    def _check_request(self, message: RawRequestMessage) -> Refusal | None:
        if self._entry is Entry.PROBES and message.path.partition("?")[0] not in PROBES:
            self._open.count(Ended.REFUSED)
            return _CROWDED
        return _check_head(message)

    # ---- a head that comes in pieces

    def _go_on_with_head(self, size: int) -> None:
        self._head += size
        if self._head > LONGEST_HEAD:
            self._refuse(_LONG_HEAD)
        elif self._deadline is None:
            self._deadline = self._loop.call_later(HEAD_WITHIN, self._refuse_late)

    def _end_head(self) -> None:
        self._head = 0
        self._end_deadline()

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse_late(self) -> None:
        self._open.count(Ended.LATE)
        message = f"The headers of the request have not come within {HEAD_WITHIN:g} s."
        self._refuse(Refusal(408, "REQUEST_TIMEOUT", message))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, after what was asked before, and end the connection."""
        self._end_head()
        self._request_count += 1
        self._messages.append(_refused(refusal))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ---- what is not taken

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._expect_taking(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_taking()

    def eof_received(self) -> None:
        """Who sends no more may still read what is left."""
        if self.transport is not None:
            self._expect_taking(self.transport)

    def _expect_taking(self, transport: asyncio.WriteTransport) -> None:
        if self._taking is None and (size := transport.get_write_buffer_size()):
            self._look_again(transport, size)

    def _look_again(self, transport: asyncio.WriteTransport, size: int) -> None:
        self._untaken = size
        self._open.hold(self, size)
        self._taking = self._loop.call_later(TAKE_WITHIN, self._check_taking, transport)

    def _check_taking(self, transport: asyncio.WriteTransport) -> None:
        self._taking = None
        before, size = self._untaken, transport.get_write_buffer_size()
        if not size:
            self._end_taking()
        elif before - size >= TAKE_LEAST:
            self._look_again(transport, size)
        else:
            self._open.count(Ended.STALLED)
            transport.abort()

    def _end_taking(self) -> None:
        self._untaken = 0
        self._open.hold(self, 0)
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    # ---- what it answers by itself

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, HttpProcessingError):
            refusal, self._is_refused = _refusal(exc), True
        else:
            super().handle_error(request, status, exc, message)  # logs it; raises where an answer has begun
            refusal = _BROKEN
        headers = HEADERS | ({hdrs.RETRY_AFTER: str(COME_AGAIN)} if refusal.status == 503 else {})
        response = refuse(*refusal, headers=headers)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        is_too_large = resp.status == web.HTTPRequestEntityTooLarge.status_code
        self._is_refused |= is_too_large  # what is left of such a body is thrown away as it comes
        finished = await super().finish_response(request, resp, start_time)
        self._answered += 1
        self._report_state()
        if self._is_refused and self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
            await asyncio.sleep(LINGER)  # cut short when the client goes
        if is_too_large and not request.content.is_eof():
            request.content.feed_eof()  # aiohttp would read on
        return finished

    def log_exception(self, *args: Any, **words: Any) -> None:
        """Not what is its sender's mistake, which is answered and not to be repeated in our log."""
        if not isinstance(words.get("exc_info"), HttpProcessingError | web.RequestPayloadError):
            super().log_exception(*args, **words)

    # ---- WebSockets

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        # what was sent along with the upgrade waits for its turn like all that follows
        self._unread, self._message_tail = self._message_tail + self._unread, b""
        super().set_parser(MaskedFrames(parser), data_received_cb)  # type: ignore[arg-type]
        if self._unread and not self._is_queued:
            self._queue()

    def _read_frames(self, data: bytes) -> None:
        frames = self._payload_parser
        if data:
            super().data_received(data)
        elif not self._close:
            ended, _ = frames.feed_data(data)
            if ended:
                self.close()
        if frames.is_flooding:
            frames.is_flooding = False
            self._open.count(Ended.FLOODING)
        self._open.hold(self, self._untaken + frames.arriving)
        if not frames.arriving:
            self._end_deadline()
        elif self._deadline is None:
            self._deadline = self._loop.call_later(MESSAGE_WITHIN, self._end_late_message)

    def _end_late_message(self) -> None:
        self._deadline = None
        if self._reading_paused:  # it waits for us
            self._deadline = self._loop.call_later(MESSAGE_WITHIN, self._end_late_message)
        else:
            self._open.end(self, Ended.LATE)


def _refused(refusal: Refusal) -> tuple[_ErrInfo, StreamReader]:
    return _ErrInfo(status=refusal.status, exc=Unreadable(refusal), message=""), EMPTY_PAYLOAD


def _check_head(message: RawRequestMessage) -> Refusal | None:
    size = len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
    return _LONG_HEAD if size > LONGEST_HEAD else None


class Server(web.Server):
    """Makes the connections."""

    def __init__(self, handler: Any, *, connections: OpenConnections, **options: Any) -> None:
        super().__init__(handler, **options)
        self.open, self.intake = connections, Intake()

    def __call__(self) -> web.RequestHandler:
        return HttpConnection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application on them."""

    def __init__(self, app: web.Application, **options: Any) -> None:
        self.open = app.get(OPEN_CONNECTIONS) or OpenConnections(_ANY, _ANY)
        super().__init__(
            app,
            max_line_size=LONGEST_URL,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
            auto_decompress=False,  # whoever reads a body unpacks it, and knows when it is too much
            keepalive_timeout=IDLE_WITHIN,
            lingering_time=LINGER,
            **options,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Server(
            made.request_handler,
            connections=self.open,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )
