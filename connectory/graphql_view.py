"""``/graphql``: GraphQL over HTTP (graphql.github.io/graphql-over-http), and GraphiQL for browsers.

One operation per request: no batches, no uploads, no incremental delivery. Each runs in a context of its own, and is
cancelled when its client goes away.
"""

from collections.abc import Callable
from typing import Any

from aiohttp import hdrs, web
from strawberry import Schema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from connectory import graphiql, masking
from connectory.answer import JSON, answer, refuse
from connectory.metrics import Metrics, Outcome
from connectory.negotiation import GRAPHQL, choose, wants_page
from connectory.operation import BadRequest, Operation, read
from resolvers.context import Context

_ALLOWED = "GET, HEAD, POST, OPTIONS"
_READING = (hdrs.METH_GET, hdrs.METH_HEAD)
_BY_GET = frozenset({OperationType.QUERY})
_BY_POST = frozenset({OperationType.QUERY, OperationType.MUTATION})
#: Answers differ by Accept and are of the moment.
_HEADERS: dict[str, str] = {hdrs.VARY: "Accept", hdrs.CACHE_CONTROL: "no-store"}


class GraphQLView:
    """Answers requests to one schema; ``open_context`` makes what the resolvers of one operation share."""

    def __init__(self, schema: Schema, open_context: Callable[[], Context], metrics: Metrics) -> None:
        self._schema = schema
        self._open_context = open_context
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
        with self._metrics.operation() as measured:
            try:
                _check(request, content_type)
                result = await self._execute(await read(request), by_get=request.method in _READING)
            except BadRequest as error:
                measured.outcome = Outcome.REJECTED
                return _refuse(error, content_type or JSON)
            except web.HTTPClientError:
                measured.outcome = Outcome.REJECTED
                raise
            except Exception:
                measured.outcome = Outcome.INTERNAL
                raise
            body, status, measured.outcome = _response(result, content_type)
            return answer(body, status=status, content_type=content_type or JSON, headers=_HEADERS)

    async def _execute(self, operation: Operation, *, by_get: bool) -> ExecutionResult:
        """Raises BadRequest for a kind of operation that is not served this way, and when it is unclear which one."""
        context = self._open_context()
        try:
            return await self._schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.name,
                allowed_operation_types=_BY_GET if by_get else _BY_POST,
                operation_extensions=operation.extensions,
            )
        except InvalidOperationTypeError as error:
            if error.operation_type == OperationType.MUTATION:
                raise BadRequest("A mutation has to be sent by POST.", status=405, allow=hdrs.METH_POST) from None
            raise BadRequest("Subscriptions are not served this way.") from None
        except CannotGetOperationTypeError as error:
            raise BadRequest(_unclear(error), code=masking.BAD_USER_INPUT, in_document=True) from None
        finally:
            await context.close()


def _check(request: web.Request, content_type: str | None) -> None:
    if request.method not in (*_READING, hdrs.METH_POST):
        raise BadRequest(f"{request.method} is not served here; use GET or POST.", status=405, allow=_ALLOWED)
    if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
        raise BadRequest("Subscriptions by WebSocket are not served by this version.")
    if content_type is None:
        raise BadRequest(f"Answers are {GRAPHQL} or {JSON}; the Accept header allows neither.", status=406)


def _response(result: ExecutionResult, content_type: str | None) -> tuple[dict[str, Any], int, Outcome]:
    """The body, the status and the outcome. An operation that was never executed has no ``data`` at all."""
    errors = masking.present(result)
    is_internal = masking.INTERNAL in masking.codes(errors)
    was_executed = result.data is not None or any("path" in error for error in errors)
    body: dict[str, Any] = {"errors": errors} if errors else {}
    if was_executed:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    if was_executed:
        outcome = Outcome.INTERNAL if is_internal else Outcome.PARTIAL if errors else Outcome.OK
        return body, 200, outcome
    if is_internal:
        return body, 500, Outcome.INTERNAL
    return body, 400 if content_type == GRAPHQL else 200, Outcome.REJECTED


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
