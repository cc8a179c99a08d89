"""HTTP/1.1 below every application: how much and how slowly a client may send, and what it is told whose bytes are no
request. None of these answers repeats what was sent or says what we run on.

It stands on aiohttp's protocol class, whose own answers do both; ``tests/api/test_http_server.py`` holds it to that.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_websocket import WebSocketReader
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from connectory.answer import HEADERS, refuse

#: Bytes of a URL, as sent.
LONGEST_URL = 32 * 1024
#: Bytes of a header: a value as long as that, and its name.
LONGEST_HEADER = LONGEST_URL + 1024
#: Bytes of all that comes before a body.
LONGEST_HEAD = 64 * 1024
#: Headers of a request.
MOST_HEADERS = 128
#: Seconds from the first byte of a request to the end of its headers.
HEAD_WITHIN = 20.0
#: Seconds for which a connection may be silent while nothing is asked. Proxies give up theirs after 60 (nginx), 90
#: (Traefik) or 120 (Caddy): one that we ended first would cost them the request that they have just sent.
IDLE_WITHIN = 130.0
#: Seconds that a client has to read why it was refused, while what it still sends is thrown away: a connection that is
#: closed with something unread is reset, and the answer lost.
LINGER = 2.0

#: Of bodies that are not sent as they are.
CODINGS = ("gzip", "deflate")
UNKNOWN_CODING = f"The body may be encoded as {' or '.join(CODINGS)}."


class Refusal(NamedTuple):
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


class Connection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ("_deadline", "_head", "_is_refused", "_payload")

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        #: that nothing more is read
        self._is_refused = False
        #: bytes of a head that is not complete
        self._head = 0
        self._deadline: asyncio.TimerHandle | None = None
        #: of the newest request
        self._payload: StreamReader = EMPTY_PAYLOAD

    def data_received(self, data: bytes) -> None:
        if self._payload_parser is not None:  # a WebSocket
            super().data_received(data)
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

    def _check_newest(self, count: int, unfinished: StreamReader) -> None:
        """Of the requests that were just read. ``unfinished``: the body that the first of them found incomplete."""
        for place in range(-count, 0):
            message, payload = self._messages[place]
            if isinstance(message, _ErrInfo):
                if not unfinished.is_eof():  # who reads that body would wait for ever
                    unfinished.set_exception(web.RequestPayloadError())
            elif (refusal := _check_head(message)) is not None:
                self._messages[place] = _refused(refusal)
            self._payload = unfinished = payload

    # ---- a head that comes in pieces

    def _go_on_with_head(self, size: int) -> None:
        self._head += size
        if self._head > LONGEST_HEAD:
            self._refuse(_LONG_HEAD)
        elif self._deadline is None:
            self._deadline = self._loop.call_later(HEAD_WITHIN, self._refuse_late)

    def _end_head(self) -> None:
        self._head = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse_late(self) -> None:
        said = f"The headers of the request have not come within {HEAD_WITHIN:g} s."
        self._refuse(Refusal(408, "REQUEST_TIMEOUT", said))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, after what was asked before, and end the connection."""
        self._end_head()
        self._request_count += 1
        self._messages.append(_refused(refusal))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end_head()
        super().connection_lost(exc)

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
        response = refuse(*refusal, headers=HEADERS)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        is_too_large = resp.status == web.HTTPRequestEntityTooLarge.status_code
        self._is_refused |= is_too_large  # what is left of such a body is thrown away as it comes
        finished = await super().finish_response(request, resp, start_time)
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
        super().set_parser(MaskedFrames(parser), data_received_cb)  # type: ignore[arg-type]


def _refused(refusal: Refusal) -> tuple[_ErrInfo, StreamReader]:
    return _ErrInfo(status=refusal.status, exc=Unreadable(refusal), message=""), EMPTY_PAYLOAD


def _check_head(message: RawRequestMessage) -> Refusal | None:
    size = len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
    return _LONG_HEAD if size > LONGEST_HEAD else None


class MaskedFrames:
    """Hands a client's frames on to ``reader`` for as long as they are masked. With the first one that is not, the
    connection ends, as RFC 6455 §5.1 demands: a page that could choose the bytes on the wire could poison a cache.
    """

    __slots__ = ("_held", "_is_broken", "_left", "_reader")

    def __init__(self, reader: WebSocketReader) -> None:
        self._reader = reader
        #: a frame's header, until it is complete
        self._held = b""
        #: bytes until the next frame begins
        self._left = 0
        self._is_broken = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if self._is_broken:
            return True, b""
        data = self._held + data
        fit = self._fit(data)
        self._held = data[fit:]
        told: tuple[bool, bytes] = self._reader.feed_data(data[:fit])
        if self._is_broken:
            # the reader, which keeps what it reads to itself, takes reserved bits for a broken protocol: 1002
            told = self._reader.feed_data(_BROKEN_FRAME)
        return told

    def feed_eof(self) -> None:
        self._reader.feed_eof()

    def _fit(self, data: bytes) -> int:
        """How many bytes may be handed on: up to a header that is not complete, or not of a masked frame."""
        place, end = self._left, len(data)
        while end - place >= _SHORTEST_HEADER:
            flags = data[place + 1]
            if not flags & _MASKED:
                self._is_broken = True
                return place
            length = flags & ~_MASKED
            extended = _EXTENDED.get(length, 0)
            begin = place + _SHORTEST_HEADER + extended
            if begin > end:
                break
            if extended:
                length = int.from_bytes(data[begin - extended : begin], "big")
            place = begin + _MASK + length
        self._left = max(0, place - end)
        return min(place, end)


#: Bytes of the shortest header of a frame, of a masking key, and of a length that is told apart, by what stands for it.
_SHORTEST_HEADER, _MASK, _EXTENDED = 2, 4, {126: 2, 127: 8}
_MASKED = 0x80
_BROKEN_FRAME = b"\x70\x00"


class Server(web.Server):
    """Makes the connections."""

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application on them."""

    def __init__(self, app: web.Application, **options: Any) -> None:
        super().__init__(
            app,
            max_line_size=LONGEST_URL,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
            auto_decompress=False,  # whoever reads a body unpacks it, and knows when it is too much
            keepalive_timeout=IDLE_WITHIN,
            **options,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )
