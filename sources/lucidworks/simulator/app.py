"""The simulated Lucidworks put together: the paths of LucidWorks Search and of Fusion, over one world."""

from typing import Any

from aiohttp import web

from sources.lucidworks.simulator import fusion_routes
from sources.lucidworks.simulator.checks import BUILD, PASSWORD, USERNAME, check, rejection
from sources.lucidworks.simulator.population import populate
from sources.lucidworks.simulator.routes import routes
from sources.lucidworks.simulator.views import Build
from sources.lucidworks.simulator.world import LucidworksWorld
from sources.simulation import Clock, simulator_app

#: It answers for all data sources at once, as far as it was seen; errors, ids and dates are those of the pages.
DOCUMENTED = Build()


def settings(url: str) -> dict[str, Any]:
    """The configuration keys that open it where it is served at ``url``."""
    return {"url": url, "username": USERNAME, "password": PASSWORD}


def simulator(*, seed: int = 0, clock: Clock, build: Build = DOCUMENTED, populated: bool = True) -> web.Application:
    """``build`` says which of the servers in the wild it is; without ``populated`` the world is empty."""
    world = LucidworksWorld(seed=seed, start=clock.now())
    if populated:
        populate(world)
    app = simulator_app(
        world,
        clock,
        rejection=rejection,
        limited=lambda: web.Response(status=429, text="<html>429</html>", content_type="text/html"),
    )
    app[BUILD] = build
    app.middlewares.append(check)
    app.add_routes(routes(build))
    app.add_routes(fusion_routes.routes(build))
    return app
