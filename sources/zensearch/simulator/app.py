"""The simulated ZenSearch put together: its world, its checks and its paths."""

from typing import Any

from aiohttp import web

from sources.simulation import Clock, simulator_app
from sources.zensearch.simulator.checks import TOKEN, WINDOWS, check, limited, unauthorized
from sources.zensearch.simulator.population import CAST, populate
from sources.zensearch.simulator.routes import ROUTES
from sources.zensearch.simulator.views import MANNERS, Manners
from sources.zensearch.simulator.world import ZenSearchWorld


def settings(url: str) -> dict[str, Any]:
    """The configuration keys that open it where it is served at ``url``."""
    return {"url": url, "token": TOKEN}


def simulator(*, seed: int = 0, clock: Clock, size: int = len(CAST)) -> web.Application:
    """``size`` 0 leaves the world empty, to be filled by ``population.load``. ``app[MANNERS]`` settles what the pages
    leave open."""
    world = ZenSearchWorld(seed=seed, start=clock.now())
    if size:
        populate(world, size)
    app = simulator_app(world, clock, rejection=lambda _: unauthorized(), limited=limited)
    app[MANNERS] = Manners()
    app[WINDOWS] = {}
    app.middlewares.append(check)
    for prefix in ("/v1", "/api/v1"):
        app.add_routes(web.route(method, f"{prefix}/connectors{path}", handler) for method, path, handler in ROUTES)
    return app
