"""The web application: every path that the gateway answers, and the life of store and engine around it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from strawberry import Schema

from connectory import graphiql, masking
from connectory.answer import HEADERS, answer, refuse
from connectory.engine import Engine
from connectory.execution import Execution
from connectory.graphql_view import GraphQLView
from connectory.guard import Guard
from connectory.live.connections import Connections
from connectory.live.live import Live
from connectory.live.socket import Sockets
from connectory.live.sse import Streams
from connectory.metrics import Metrics
from connectory.settings import AuthSettings, ServerSettings
from connectory.store import Store
from connectory.telling import ALIVE
from connectory.viewer import viewing
from resolvers.context import Context, Viewer
from schema import build_schema

#: Bytes of a request's body.
BODY_LIMIT = 1 << 20
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
    metrics, guard = Metrics(store, engine.polls), Guard(server)
    app = web.Application(
        middlewares=[_mask_errors, guard.middleware()],
        client_max_size=BODY_LIMIT,
    )
    app[STORE] = store
    app[ENGINE] = engine
    app[METRICS] = metrics
    app.router.add_get("/", _front)
    _add_graphql(app, schema or build_schema(), store, engine, server, auth or AuthSettings())
    app.router.add_get(ALIVE, _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    graphiql.add_static(app)
    app.on_response_prepare.append(_word_refusals)
    app.on_response_prepare.append(guard.add_cors_headers)
    app.on_response_prepare.append(_finish_headers)

    async def run(_: web.Application) -> AsyncIterator[None]:
        try:
            await store.open()
            await store.upgrade()
            with store.in_words():
                await engine.start()
            try:
                yield
            finally:
                await engine.stop()
        finally:
            await store.close()

    app.cleanup_ctx.append(run)
    return app


def _add_graphql(
    app: web.Application, schema: Schema, store: Store, engine: Engine, server: ServerSettings, auth: AuthSettings
) -> None:
    metrics = app[METRICS]

    def open_context(viewer: Viewer) -> Context:
        return Context(store, viewer, engine, limits=server.limits)

    live = app[LIVE] = Live(schema, store, open_context, engine.tail, engine, clock=lambda: datetime.now(UTC))
    metrics.subscriptions = lambda: (live.subscribers, live.broadcasts)
    execution, connections = Execution(schema, open_context), Connections(server.connections_per_client)
    sockets = Sockets(execution, live, connections, metrics, server)
    streams = Streams(live, connections, metrics.streams)
    view = GraphQLView(execution, sockets, streams, metrics, viewing(server, auth))
    app.router.add_route("*", "/graphql", view.handle)

    async def end_live(_: web.Application) -> None:
        await connections.close()
        await live.close()

    app.on_shutdown.append(end_live)


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
        return answer({"errors": [masking.internal(error, path=request.path)]}, status=500)


async def _word_refusals(_: web.Request, response: web.StreamResponse) -> None:
    """Refusals of the framework in our shape and words; a signal, since some are made before any middleware."""
    if isinstance(response, web.HTTPError):
        message = response.reason if response.status != 413 else f"The body is larger than {BODY_LIMIT:,} bytes."
        ours = refuse(response.status, response.reason.upper().replace(" ", "_"), message)
        response.body = ours.body
        response.headers[hdrs.CONTENT_TYPE] = ours.headers[hdrs.CONTENT_TYPE]
        response.headers[hdrs.CONTENT_LENGTH] = str(ours.content_length)


async def _finish_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
