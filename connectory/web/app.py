"""The web application: every path that the gateway answers, and the life of store and engine around it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from strawberry import Schema

from connectory.config.settings import AuthSettings, ServerSettings
from connectory.engine import Engine
from connectory.execution import error_presentation
from connectory.execution.admission import Admission
from connectory.execution.answer import HEADERS, answer, refuse
from connectory.execution.execution import Execution
from connectory.limits import CONNECTIONS_BESIDE
from connectory.live.connections import LiveConnections
from connectory.live.live import Live
from connectory.live.socket import Sockets
from connectory.live.sse import Streams
from connectory.observability.metrics import Metrics
from connectory.store import Store
from connectory.web import graphiql
from connectory.web.access_log import ALIVE
from connectory.web.graphql_view import GraphQLView
from connectory.web.guard import Guard
from connectory.web.http_server import OPEN_CONNECTIONS
from connectory.web.open_connections import OpenConnections
from connectory.web.viewer import viewing
from resolvers.context import Context, Viewer
from schema import build_schema

#: Seconds that the store has to say whether it is well.
_READY_WITHIN = 5.0

STORE = web.AppKey("STORE", Store)
ENGINE = web.AppKey("ENGINE", Engine)
METRICS = web.AppKey("METRICS", Metrics)
LIVE = web.AppKey("LIVE", Live)


def build_app(
    store: Store,
    engine: Engine,
    server: ServerSettings,
    auth: AuthSettings | None = None,
    *,
    schema: Schema | None = None,
) -> web.Application:
    """The application. Its start opens and upgrades ``store`` and starts ``engine``, its end stops both.

    Without ``auth`` everybody reads. Starting raises StoreError. ``schema`` is for tests.
    """
    connections = OpenConnections(server.connections, server.connections_per_client + CONNECTIONS_BESIDE)
    metrics, guard = Metrics(store, engine.polls), Guard(server)
    metrics.add_connections(connections)
    app = web.Application(middlewares=[_mask_errors, guard.middleware()])
    app[OPEN_CONNECTIONS] = connections
    app[STORE] = store
    app[ENGINE] = engine
    app[METRICS] = metrics
    app.router.add_get("/", _front)
    execution = _add_graphql(app, schema or build_schema(), store, engine, server, auth or AuthSettings())
    app.router.add_get(ALIVE, _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    graphiql.add_static(app)
    app.on_response_prepare.append(_word_refusals)
    app.on_response_prepare.append(guard.add_cors_headers)
    app.on_response_prepare.append(_finish_headers)

    app.cleanup_ctx.append(partial(_run, store=store, engine=engine, execution=execution))
    return app


async def _run(_: web.Application, store: Store, engine: Engine, execution: Execution) -> AsyncIterator[None]:
    """The life of store and engine around the application's."""
    try:
        await store.open()
        await store.upgrade()
        with store.in_words():
            await engine.start()
        try:
            yield
        finally:
            await engine.stop()
            await execution.close()
    finally:
        await store.close()


def _add_graphql(
    app: web.Application, schema: Schema, store: Store, engine: Engine, server: ServerSettings, auth: AuthSettings
) -> Execution:
    metrics = app[METRICS]

    def open_context(viewer: Viewer) -> Context:
        return Context(store, viewer, engine, limits=server.limits)

    live = app[LIVE] = Live(schema, store, open_context, engine.tail, engine, clock=lambda: datetime.now(UTC))
    metrics.subscriptions = lambda: (live.subscribers, live.broadcasts)
    execution, connections = Execution(schema, open_context), LiveConnections(server.connections_per_client)
    admission = Admission(schema, server.limits.document, server.crowd, metrics.load)
    sockets = Sockets(execution, admission, live, connections, metrics, server)
    streams = Streams(live, connections, metrics.streams)
    view = GraphQLView(execution, admission, sockets, streams, metrics, viewing(server, auth), server)
    app.router.add_route("*", "/graphql", view.handle)

    async def end_live(_: web.Application) -> None:
        await connections.close()
        await live.close()

    app.on_shutdown.append(end_live)
    return execution


async def _front(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/graphql")


async def _healthz(request: web.Request) -> web.StreamResponse:
    return answer({"status": "ok"})


async def _readyz(request: web.Request) -> web.StreamResponse:
    """Whether the store can serve; upstream systems do not matter here, and who polls them is information."""
    try:
        async with asyncio.timeout(_READY_WITHIN):
            reasons = await request.app[STORE].problems()
    except TimeoutError:
        reasons = [f"the store did not answer within {_READY_WITHIN:g} s"]
    if reasons:
        return answer({"status": "unavailable", "reasons": reasons}, status=503)
    notes = request.app[ENGINE].notes()
    return answer({"status": "ok", "notes": notes} if notes else {"status": "ok"})


async def _metrics(request: web.Request) -> web.StreamResponse:
    body, content_type = await request.app[METRICS].page(request.headers.get(hdrs.ACCEPT))
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})


@web.middleware
async def _mask_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Anything unexpected is masked, with an incident id for the log."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            return web.Response()  # the client went before its answer could begin; nobody reads this
        shown = error_presentation.failure(error, path=request.path)
        status = 503 if error_presentation.STORE_UNAVAILABLE in error_presentation.codes([shown]) else 500
        return answer({"errors": [shown]}, status=status)


async def _word_refusals(_: web.Request, response: web.StreamResponse) -> None:
    """Refusals of the framework in our shape and words; a signal, since some are made before any middleware."""
    if isinstance(response, web.HTTPError):
        ours = refuse(response.status, response.reason.upper().replace(" ", "_"), response.reason)
        response.body = ours.body
        response.headers[hdrs.CONTENT_TYPE] = ours.headers[hdrs.CONTENT_TYPE]
        response.headers[hdrs.CONTENT_LENGTH] = str(ours.content_length)


async def _finish_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
