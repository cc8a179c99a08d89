"""The simulated Onyx put together: its world, its checks and its paths."""

from typing import Any

from aiohttp import web

from sources.onyx.simulator.checks import TOKEN, UNAUTHENTICATED, check
from sources.onyx.simulator.population import populate
from sources.onyx.simulator.routes import ROUTES
from sources.onyx.simulator.world import OnyxWorld
from sources.simulation import Clock, simulator_app


def settings(url: str) -> dict[str, Any]:
    """The configuration keys that open it where it is served at ``url``."""
    return {"url": f"{url}/api", "token": TOKEN}


def simulator(*, seed: int = 0, clock: Clock, size: int = 24) -> web.Application:
    """``size`` 0 leaves the world empty, to be filled by ``population.load``."""
    world = OnyxWorld(seed=seed, start=clock.now())
    if size:
        populate(world, size)
    app = simulator_app(
        world,
        clock,
        rejection=lambda _: web.json_response(UNAUTHENTICATED, status=403),
        limited=lambda: web.json_response({"error_code": "RATE_LIMITED", "detail": "Too many requests."}, status=429),
    )
    app.middlewares.append(check)
    app.add_routes(ROUTES)
    return app
