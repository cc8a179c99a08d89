"""Actions over HTTP: what they answer, to whom, and what the answer shows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from connectory.app import build_app
from connectory.engine import Engine
from connectory.model import Observation
from connectory.serving import serving
from connectory.settings import ServerSettings
from connectory.store import Store
from sources.base import SourceRateLimited, SourceUnreachable
from tests.api.gateway import OPERATOR, Client
from tests.facts import Scripted, configured, connector
from tests.wait import until

REFRESH = """mutation ($name: String!) { refreshSystem(name: $name) {
  __typename
  ... on SystemRefreshed { system { name health lastError { code message } connectors { nodes { name } } } }
  ... on ActionFailed { code message upstreamStatus retryAfterSeconds }
} }"""


@asynccontextmanager
async def gateway(url: str, source: Scripted, **server: object) -> AsyncIterator[Client]:
    """The application over one system that is polled once, and then only when asked."""
    store = Store(url)
    engine = Engine(store, [configured(source, poll_interval=3600.0, live_interval=3600.0)])
    app = build_app(store, engine, ServerSettings.model_validate({"port": 0, **server}), OPERATOR)
    async with serving(app, "127.0.0.1", 0) as address, aiohttp.ClientSession() as session:

        async def polled() -> bool:
            return source.polls > 0

        await until(polled)
        yield Client(address, session, app, engine)


async def refresh(client: Client, name: str = "scripted") -> dict[str, object]:
    status, body = await client.ask(REFRESH, variables={"name": name})
    assert (status, body.get("errors")) == (200, None)
    answer: dict[str, object] = body["data"]["refreshSystem"]
    return answer


async def test_a_refresh_shows_the_system_as_it_then_is(store_url: str) -> None:
    source = Scripted()
    async with gateway(store_url, source) as client:
        source.says = Observation(connectors=[connector(name="New")])
        answer = await refresh(client)
        assert answer == {
            "__typename": "SystemRefreshed",
            "system": {
                "name": "scripted",
                "health": "UP",
                "lastError": None,
                "connectors": {"nodes": [{"name": "New"}]},
            },
        }


async def test_each_of_several_refreshes_shows_its_own_poll(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source) as client:
        source.says = lambda _: Observation(connectors=[connector(name=f"Poll {source.polls}")])
        part = 'refreshSystem(name: "scripted") { ... on SystemRefreshed { system { connectors { nodes { name } } } } }'
        _, body = await client.ask(f"mutation {{ a: {part} b: {part} }}")
        shown = [body["data"][name]["system"]["connectors"]["nodes"][0]["name"] for name in ("a", "b")]
        assert shown == ["Poll 2", "Poll 3"]


async def test_a_failed_poll_is_an_answer_too(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source) as client:
        source.says = SourceUnreachable("nobody there")
        await refresh(client)
        system = (await refresh(client))["system"]
        assert isinstance(system, dict)
        assert system["health"] == "DOWN"
        assert system["lastError"] == {"code": "UNREACHABLE", "message": "nobody there"}


async def test_refusals(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source) as client:
        unknown = await refresh(client, "nobody")
        assert (unknown["__typename"], unknown["code"]) == ("ActionFailed", "NOT_FOUND")
        source.says = SourceRateLimited("slowly", retry_after=600.0)
        await refresh(client)
        held = await refresh(client)
        assert (held["code"], held["upstreamStatus"]) == ("UPSTREAM_UNAVAILABLE", None)
        seconds = held["retryAfterSeconds"]
        assert isinstance(seconds, float)
        assert 590 < seconds <= 600


async def test_a_viewer_may_not(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source, host="0.0.0.0", allow_anonymous=True, allowed_hosts=["*"]) as client:
        answer = await refresh(client)
        assert (answer["code"], source.polls) == ("FORBIDDEN", 1)
        assert "OPERATOR" in str(answer["message"])


@pytest.mark.parametrize("query", [REFRESH.replace("\n", " ")])
async def test_no_mutation_by_get(sqlite_url: str, query: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source) as client:
        parameters = {"query": query, "variables": '{"name": "scripted"}'}
        async with client.session.get(f"{client.url}/graphql", params=parameters) as answer:
            assert answer.status == 405
        assert source.polls == 1
