"""The web application for a test, served by the product's own runner on a free port."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from strawberry import Schema

from connectory.config.settings import AuthSettings, ServerSettings
from connectory.engine import ConfiguredSystem, Engine
from connectory.store import Store
from connectory.web.app import METRICS, build_app
from connectory.web.serving import serving

Answer = tuple[int, Any]
#: For applications that are asked to do something.
OPERATOR = AuthSettings(anonymous="OPERATOR")


class Client:
    """Requests to one served application."""

    def __init__(self, url: str, session: aiohttp.ClientSession, app: web.Application, engine: Engine) -> None:
        self.url = url
        self.session = session
        self.app = app
        self.engine = engine

    async def ask(self, query: str, accept: str = "application/graphql-response+json", **parameters: Any) -> Answer:
        """Status and decoded body of a POST."""
        body = {"query": query, **parameters}
        async with self.session.post(f"{self.url}/graphql", json=body, headers={"Accept": accept}) as response:
            return response.status, await response.json(content_type=None)

    def counted(self, outcome: str) -> float:
        """Operations that ended in this way."""
        return self.metric("connectory_graphql_operations_total", outcome=outcome)

    def metric(self, name: str, **labels: str) -> float:
        """A value of ``/metrics``."""
        return self.app[METRICS].registry.get_sample_value(name, labels) or 0


@asynccontextmanager
async def served(
    store_url: str,
    schema: Schema | None = None,
    systems: Sequence[ConfiguredSystem] = (),
    *,
    anonymous: str = "VIEWER",
    **server: Any,
) -> AsyncIterator[Client]:
    """The application over an empty store; ``anonymous`` is of ``[auth]``, ``server`` are keys of ``[server]``."""
    store = Store(store_url)
    settings = ServerSettings(**{"port": 0, **server})
    engine = Engine(store, systems)
    auth = AuthSettings.model_validate({"anonymous": anonymous})
    app = build_app(store, engine, settings, auth, schema=schema)
    async with (
        serving(app, "127.0.0.1", 0) as url,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
    ):
        yield Client(url, session, app, engine)
