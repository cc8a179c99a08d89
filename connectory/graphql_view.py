"""``/graphql``: GraphQL over HTTP (graphql.github.io/graphql-over-http), over event streams and over WebSockets, and
GraphiQL for browsers.

One operation per request: no batches, no uploads, no incremental delivery. Each runs in a context of its own, and is
cancelled when its client goes away.
"""

from aiohttp import hdrs, web
from graphql import OperationType
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType as Kind

from connectory import graphiql, masking
from connectory.answer import JSON, answer, encode, refuse
from connectory.execution import QUERIES, QUERIES_AND_MUTATIONS, Executed, Execution
from connectory.live.prepared import Prepared, Refused, prepare
from connectory.live.socket import Sockets
from connectory.live.sse import Streams, answer_once
from connectory.metrics import Measured, Metrics, Outcome
from connectory.negotiation import EVENT_STREAM, GRAPHQL, choose, takes_events, wants_page
from connectory.operation import BadRequest, Operation, read

_ALLOWED = "GET, HEAD, POST, OPTIONS"
_READING = (hdrs.METH_GET, hdrs.METH_HEAD)
#: Answers differ by Accept and are of the moment.
_HEADERS: dict[str, str] = {hdrs.VARY: "Accept", hdrs.CACHE_CONTROL: "no-store"}


class GraphQLView:
    """Answers whatever is asked for at this path."""

    def __init__(self, execution: Execution, sockets: Sockets, streams: Streams, metrics: Metrics) -> None:
        self._execution = execution
        self._sockets = sockets
        self._streams = streams
        self._metrics = metrics

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers={hdrs.ALLOW: _ALLOWED})
        accept = request.headers.get(hdrs.ACCEPT)
        if request.method in _READING and "query" not in request.query and wants_page(accept):
            page = graphiql.response()
            page.headers[hdrs.VARY] = "Accept"
            return page
        content_type = choose(accept)
        try:
            if _opens_socket(request):
                return await self._sockets.serve(request)
            answered = await self._answer(request, content_type)
            if isinstance(answered, Prepared):
                return await self._streams.serve(request, answered)
        except BadRequest as error:
            return _refuse(error, content_type or JSON)
        return answered

    async def _answer(self, request: web.Request, content_type: str | None) -> web.StreamResponse | Prepared:
        """The answer; a subscription that is valid and wants a stream, instead. Raises BadRequest."""
        takes_stream = takes_events(request.headers.get(hdrs.ACCEPT)) and request.method != hdrs.METH_HEAD
        with self._metrics.operation() as measured:
            try:
                _check(request, content_type, takes_stream)
                operation = await read(request)
                if takes_stream:
                    prepared = prepare(self._execution.schema, operation)
                    if prepared.type is OperationType.SUBSCRIPTION:
                        measured.outcome = None
                        return prepared
                return await self._execute(request, operation, content_type, measured)
            except Refused as refused:
                measured.outcome = Outcome.REJECTED
                status = 200 if content_type == JSON else 400
                return answer(refused.body(), status=status, content_type=content_type or GRAPHQL, headers=_HEADERS)
            except (BadRequest, web.HTTPClientError):
                measured.outcome = Outcome.REJECTED
                raise
            except Exception:
                measured.outcome = Outcome.INTERNAL
                raise

    async def _execute(
        self, request: web.Request, operation: Operation, content_type: str | None, measured: Measured
    ) -> web.StreamResponse:
        allowed = QUERIES if request.method in _READING else QUERIES_AND_MUTATIONS
        try:
            executed = await self._execution.run(operation, allowed)
        except InvalidOperationTypeError as error:
            if error.operation_type == Kind.MUTATION:
                raise BadRequest("A mutation has to be sent by POST.", status=405, allow=hdrs.METH_POST) from None
            raise BadRequest(
                f"A subscription is answered as {EVENT_STREAM}, if the Accept header names it, or on a WebSocket.",
                status=406,
            ) from None
        except CannotGetOperationTypeError as error:
            raise BadRequest(_unclear(error), code=masking.BAD_USER_INPUT, in_document=True) from None
        measured.outcome = executed.outcome
        if content_type is None and executed.was_executed:
            return await answer_once(request, encode(executed.body))
        return answer(
            executed.body,
            status=_status(executed, content_type),
            content_type=content_type or GRAPHQL,
            headers=_HEADERS,
        )


def _opens_socket(request: web.Request) -> bool:
    return request.method == hdrs.METH_GET and request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"


def _check(request: web.Request, content_type: str | None, takes_stream: bool) -> None:
    if request.method not in (*_READING, hdrs.METH_POST):
        raise BadRequest(f"{request.method} is not served here; use GET or POST.", status=405, allow=_ALLOWED)
    if content_type is None and not takes_stream:
        raise BadRequest(
            f"Answers are {GRAPHQL}, {JSON} or {EVENT_STREAM}; the Accept header allows none of them.", status=406
        )


def _status(executed: Executed, content_type: str | None) -> int:
    if executed.was_executed:
        return 200
    if executed.outcome is Outcome.INTERNAL:
        return 500
    return 200 if content_type == JSON else 400


def _unclear(error: CannotGetOperationTypeError) -> str:
    if error.operation_name is not None:
        return f'The document has no operation named "{error.operation_name}".'
    return "operationName has to name one operation of the document."


def _refuse(error: BadRequest, content_type: str) -> web.Response:
    status = 200 if error.in_document and content_type == JSON else error.status
    headers = dict(_HEADERS)
    if error.allow:
        headers[hdrs.ALLOW] = error.allow
    return refuse(status, error.code, str(error), content_type=content_type, headers=headers)
