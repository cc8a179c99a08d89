"""The simulated Feldera put together: its world, its checks and its paths."""

from typing import Any

from aiohttp import web

from sources.feldera.simulator.checks import AUTHENTICATED, TOKEN, check, limited, rejection
from sources.feldera.simulator.population import populate
from sources.feldera.simulator.routes import ERROR_TEXTS, ROUTES
from sources.feldera.simulator.world import FelderaWorld
from sources.simulation import Clock, simulator_app


def settings(url: str) -> dict[str, Any]:
    """The configuration keys that open it where it is served at ``url``."""
    return {"url": url, "token": TOKEN}


def simulator(
    *, seed: int = 0, clock: Clock, authenticated: bool = True, error_texts: bool = True, populated: bool = True
) -> web.Application:
    """``authenticated`` False is a Feldera of one's own, which asks nobody who they are; ``error_texts`` False one
    from before 2026-04-29, whose counters never come with texts."""
    world = FelderaWorld(seed=seed, start=clock.now())
    if populated:
        populate(world)
    app = simulator_app(world, clock, rejection=rejection, limited=limited)
    app[AUTHENTICATED] = authenticated
    app[ERROR_TEXTS] = error_texts
    app.middlewares.append(check)
    app.add_routes(ROUTES)
    return app
