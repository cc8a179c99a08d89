"""Actions over HTTP: what they answer, to whom, and what the answer shows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from connectory.config.settings import ServerSettings
from connectory.engine import Engine
from connectory.model import Observation
from connectory.store import Store
from connectory.web.app import build_app
from connectory.web.serving import serving
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


PART = 'refreshSystem(name: "scripted") { ... on SystemRefreshed { system { connectors { nodes { name } } } } }'


async def test_refreshes_of_one_system_in_one_operation_are_one_poll(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source, actions_per_operation=60) as client:
        source.says = lambda _: Observation(connectors=[connector(name=f"Poll {source.polls}")])
        _, body = await client.ask(f"mutation {{ {' '.join(f'a{n}: {PART}' for n in range(60))} }}")
        shown = [answer["system"]["connectors"]["nodes"][0]["name"] for answer in body["data"].values()]
        assert (len(shown), set(shown), source.polls) == (60, {"Poll 2"}, 2)
        _, body = await client.ask(f"mutation {{ {PART} }}")
        assert body["data"]["refreshSystem"]["system"]["connectors"]["nodes"] == [{"name": "Poll 3"}]


async def test_a_refresh_after_another_action_shows_what_that_has_changed(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source) as client:
        other = 'acknowledgeNotice(id: "none") { __typename }'
        await client.ask(f"mutation {{ a: {PART} {other} b: {PART} }}")
        assert source.polls == 3


async def test_an_operation_holds_only_so_many_actions(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source) as client:
        for actions, polls in ((21, 1), (20, 2)):
            many = " ".join(f"a{n}: {PART}" for n in range(actions - 1))
            skipped = f"s: {PART.replace(')', ') @skip(if: true)', 1)}"
            query = f"mutation {{ __typename {many} {skipped} ...F }} fragment F on Mutation {{ f: {PART} }}"
            status, body = await client.ask(query)
            assert (status, source.polls) == (400 if actions > 20 else 200, polls), body
            if actions > 20:
                (error,) = body["errors"]
                assert ("data" in body, error["extensions"]) == (False, {"code": "BAD_USER_INPUT"})
                assert "holds 21 actions; at most 20 are allowed, see actions_per_operation" in error["message"]


async def test_all_who_ask_while_a_poll_is_under_way_share_the_next(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source, operations_at_once=60, operations_per_client=60) as client:
        source.hangs = asyncio.Event()
        first = asyncio.create_task(refresh(client))
        await until_polls(source, 2)
        others = [asyncio.create_task(refresh(client)) for _ in range(50)]
        poller = client.engine.pollers["scripted"]

        async def all_wait() -> bool:
            return len(poller._waiting) == 50

        await until(all_wait)
        source.hangs.set()
        assert {answer["__typename"] for answer in await asyncio.gather(first, *others)} == {"SystemRefreshed"}
        assert source.polls == 3


async def until_polls(source: Scripted, polls: int) -> None:
    async def look() -> bool:
        return source.polls == polls

    await until(look)


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
