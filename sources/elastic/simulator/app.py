"""The simulated Elasticsearch put together: its world, its checks and its paths.

``API_KEY`` opens it as an API key, ``USERNAME`` with ``PASSWORD`` as Basic, ``TOKEN`` as Bearer; ``LIMITED_API_KEY`` is
known and lacks every privilege. The documents stand in ``app[WORLD].connectors`` and ``.jobs``.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sources.elastic.simulator.checks import API_KEY, COMMON_PARAMETERS, Call, Route, authenticate, body_of, media_type
from sources.elastic.simulator.refusals import (
    Refusal,
    no_handler,
    no_privilege,
    rejected,
    unknown_parameters,
    wrong_credentials,
    wrong_method,
)
from sources.elastic.simulator.routes import ROUTES
from sources.elastic.simulator.views import dressed, refused
from sources.elastic.simulator.worker import Worker
from sources.elastic.simulator.world import ElasticWorld
from sources.simulation import Clock, simulator_app

#: Worlds with more connectors than this stand still but for some of them.
_SMALL = 200
_BUSY_OF_MANY = 50


def settings(url: str) -> dict[str, Any]:
    """The configuration keys that open it where it is served at ``url``."""
    return {"url": url, "api_key": API_KEY}


def simulator(
    *, seed: int = 0, clock: Clock, connectors: int = 24, jobs_per_connector: int = 6, busy: int | None = None
) -> web.Application:
    """``busy`` is how many connectors run jobs; by default all of a small world and fifty of a large one."""
    world = ElasticWorld(seed=seed, start=clock.start)
    if busy is None:
        busy = connectors if connectors <= _SMALL else _BUSY_OF_MANY
    Worker(world).populate(connectors, jobs_per_connector, busy)
    app = simulator_app(
        world,
        clock,
        rejection=lambda request: refused(request, wrong_credentials()),
        limited=lambda: web.json_response(rejected().body, status=429, headers={"X-Elastic-Product": "Elasticsearch"}),
    )
    app.middlewares.append(_refusing)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _serving(route, world))
    return app


def _serving(route: Route, world: ElasticWorld) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        return await _answer(route, world, request)

    return handler


async def _answer(route: Route, world: ElasticWorld, request: web.Request) -> web.Response:
    """Check the request as Elasticsearch does, and answer it. Raises a Refusal."""
    reading = request.method in ("GET", "HEAD")
    media_type(request)
    if authenticate(request) == "limited" and route.action is not None:
        raise no_privilege(route.action, reading=reading)
    unknown = sorted(set(request.query) - route.parameters - COMMON_PARAMETERS)
    if unknown:
        raise unknown_parameters(request.path, unknown)
    body = await body_of(route, request)
    status, answer = route.handler(Call(world, request.path, request.match_info, request.query, body))
    return dressed(request, status, answer)


@web.middleware
async def _refusing(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refused(request, refusal)
    except web.HTTPNotFound:
        return refused(request, no_handler(request.path_qs, request.method))
    except web.HTTPMethodNotAllowed as error:
        return refused(request, wrong_method(request.path_qs, request.method, sorted(error.allowed_methods)))
