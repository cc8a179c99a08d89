"""``/graphql``: GraphQL over HTTP (graphql.github.io/graphql-over-http), over event streams and over WebSockets, and
GraphiQL for browsers.

One operation per request: no batches, no uploads, no incremental delivery. Each runs in a context of its own, and is
cancelled when its client goes away.
"""

from collections.abc import Callable

from aiohttp import hdrs, web
from graphql import OperationType

from connectory.config.settings import ServerSettings
from connectory.execution.admission import Admission
from connectory.execution.answer import JSON, answer, encode
from connectory.execution.bad_request import BadRequest
from connectory.execution.execution import Executed, Execution
from connectory.execution.negotiation import EVENT_STREAM, GRAPHQL, choose, takes_events, wants_page
from connectory.execution.operation import Operation, read
from connectory.execution.prepared import Prepared, Refused
from connectory.live.socket import Sockets
from connectory.live.sse import Streams, answer_once
from connectory.observability.metrics import Metrics, OperationOutcome
from connectory.web import graphiql
from connectory.web.access_log import add_extra
from resolvers.context import Viewer

_ALLOWED = "GET, HEAD, POST, OPTIONS"
_READING = (hdrs.METH_GET, hdrs.METH_HEAD)
#: Answers differ by Accept and are of the moment.
_HEADERS: dict[str, str] = {hdrs.VARY: "Accept", hdrs.CACHE_CONTROL: "no-store"}
#: Of an operation that came to nothing through no fault of its own.
_FAILED = {OperationOutcome.INTERNAL: 500, OperationOutcome.UNAVAILABLE: 503}
#: Seconds after which who got no answer from the store may ask again.
_RETRY_AFTER = "1"


class GraphQLView:
    """Answers whatever is asked for at this path. ``viewing`` tells who sends a request."""

    def __init__(
        self,
        execution: Execution,
        admission: Admission,
        sockets: Sockets,
        streams: Streams,
        metrics: Metrics,
        viewing: Callable[[web.Request], Viewer],
        server: ServerSettings,
    ) -> None:
        self._execution = execution
        self._admission = admission
        self._server = server
        self._sockets = sockets
        self._streams = streams
        self._metrics = metrics
        self._viewing = viewing

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request to /graphql, by whichever method and protocol it comes, what is wrong with it too."""
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers={hdrs.ALLOW: _ALLOWED})
        accept = ", ".join(request.headers.getall(hdrs.ACCEPT, ()))
        if request.method in _READING and "query" not in request.query and wants_page(accept):
            page = graphiql.response()
            page.headers[hdrs.VARY] = "Accept"
            return page
        content_type, viewer = choose(accept), self._viewing(request)
        try:
            if _opens_socket(request):
                return await self._sockets.serve(request, viewer)
            takes_stream = takes_events(accept) and request.method != hdrs.METH_HEAD
            answered = await self._answer(request, viewer, content_type, takes_stream)
            if isinstance(answered, Prepared):
                return await self._streams.serve(request, viewer, answered)
        except BadRequest as error:
            return _refuse(error, content_type or JSON)
        return answered

    async def _answer(
        self, request: web.Request, viewer: Viewer, content_type: str | None, takes_stream: bool
    ) -> web.StreamResponse | Prepared:
        """The answer; a subscription that is valid and wants a stream, instead. Raises BadRequest."""
        with self._metrics.operation() as measured:
            try:
                _check(request, content_type, takes_stream)
                operation = await self._read(request)
                async with self._admission.admit(operation, request.remote) as prepared:
                    add_extra(request, operation=prepared.name)
                    _check_type(request, prepared.type, takes_stream)
                    if prepared.type is OperationType.SUBSCRIPTION:
                        measured.outcome = None
                        return prepared
                    executed = await self._execution.run(prepared, viewer)
                    response = _answered(executed, content_type)
                measured.outcome = executed.outcome
                add_extra(request, outcome=executed.outcome)
                return response
            except Refused as refused:
                measured.outcome = OperationOutcome.REJECTED
                add_extra(request, outcome=OperationOutcome.REJECTED)
                status = 200 if content_type == JSON else 400
                return answer(refused.body(), status=status, content_type=content_type or GRAPHQL, headers=_HEADERS)
            except (BadRequest, web.HTTPClientError):
                measured.outcome = OperationOutcome.REJECTED
                add_extra(request, outcome=OperationOutcome.REJECTED)
                raise

    async def _read(self, request: web.Request) -> Operation:
        try:
            return await read(request, self._server.body_bytes, self._server.values_per_request)
        except BadRequest as error:
            self._metrics.load.refuse(error.setting)
            raise


def _opens_socket(request: web.Request) -> bool:
    return request.method == hdrs.METH_GET and request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"


def _check(request: web.Request, content_type: str | None, takes_stream: bool) -> None:
    if request.method not in (*_READING, hdrs.METH_POST):
        raise BadRequest(f"{request.method} is not served here; use GET or POST.", status=405, allow=_ALLOWED)
    if content_type is None and not takes_stream:
        raise BadRequest(
            f"Answers are {GRAPHQL}, {JSON} or {EVENT_STREAM}; the Accept header allows none of them.", status=406
        )


def _check_type(request: web.Request, type: OperationType, takes_stream: bool) -> None:
    if type is OperationType.MUTATION and request.method in _READING:
        raise BadRequest("A mutation has to be sent by POST.", status=405, allow=hdrs.METH_POST)
    if type is OperationType.SUBSCRIPTION and not takes_stream:
        raise BadRequest(
            f"A subscription is answered as {EVENT_STREAM}, if the Accept header names it, or on a WebSocket.",
            status=406,
        )


def _answered(executed: Executed, content_type: str | None) -> web.Response:
    if content_type is None and executed.was_executed:
        return answer_once(encode(executed.body))
    status = _status(executed, content_type)
    headers = {**_HEADERS, hdrs.RETRY_AFTER: _RETRY_AFTER} if status == 503 else _HEADERS
    return answer(executed.body, status=status, content_type=content_type or GRAPHQL, headers=headers)


def _status(executed: Executed, content_type: str | None) -> int:
    if executed.was_executed:
        return 200
    if (status := _FAILED.get(executed.outcome)) is not None:
        return status
    return 200 if content_type == JSON else 400


def _refuse(error: BadRequest, content_type: str) -> web.Response:
    headers = dict(_HEADERS)
    if error.allow:
        headers[hdrs.ALLOW] = error.allow
    if error.retry_after is not None:
        headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    response = answer({"errors": [error.error]}, status=error.status, content_type=content_type, headers=headers)
    if error.status == web.HTTPRequestEntityTooLarge.status_code:
        response.force_close()  # what is left of the body is not read
    return response
