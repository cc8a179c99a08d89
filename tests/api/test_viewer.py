"""Who may do what as long as nobody has to authenticate: decided for each request, and for each WebSocket's opening."""

import json
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest

from connectory.web.app import LIVE
from tests.api.gateway import Client, served
from tests.live.client import SocketClient
from tests.live.running import EVENTS
from tests.paths import ROOT
from tests.wait import until

WHO = "{ viewer { name role } }"
READER = {"data": {"viewer": {"name": "anonymous", "role": "VIEWER"}}}
OPERATOR = {"data": {"viewer": {"name": "local", "role": "OPERATOR"}}}
#: What proxies say of whom they ask for; nginx says the last by our own recipe.
FORWARDED = (
    {"Forwarded": "for=192.0.2.7"},
    {"X-Forwarded-Proto": "https"},
    {"x-forwarded-host": "gw.example.com"},
    {"X-FORWARDED-USER": "ada"},
    {"X-Forwarded-For": ""},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-For": "192.0.2.7"},
)


async def told(client: Client, headers: Mapping[str, str]) -> dict[str, object]:
    """What each way in says of whoever sends ``headers``."""
    session, url = client.session, f"{client.url}/graphql"
    found: dict[str, object] = {}
    async with session.post(url, json={"query": WHO}, headers=headers) as response:
        found["POST"] = await response.json(content_type=None)
    async with session.get(url, params={"query": WHO}, headers=headers) as response:
        found["GET"] = await response.json(content_type=None)
    accept = {"Accept": "text/event-stream", **headers}
    async with session.post(url, json={"query": WHO}, headers=accept) as response:
        found["events"] = json.loads((await response.text()).partition("data: ")[2].partition("\n")[0])
    async with await SocketClient.connect(session, client.url, headers=headers) as socket:
        found["socket"] = await (await socket.subscribe(WHO)).next()
    return found


def test_the_recipe_for_a_proxy_has_it_say_so() -> None:
    (recipe,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.S)
    assert "X-Forwarded-For" in re.findall(r"proxy_set_header (\S+)", recipe)


async def test_over_loopback_everybody_may_only_read(sqlite_url: str) -> None:
    """A proxy on the same machine that says nothing of itself cannot be told from somebody who sits there."""
    async with served(sqlite_url) as client:
        found = await told(client, {"Host": "127.0.0.1:8000"})
    assert found == dict.fromkeys(found, READER)


async def test_who_is_here_operates_where_that_is_configured(sqlite_url: str) -> None:
    async with served(sqlite_url, anonymous="OPERATOR") as client:
        found = await told(client, {})
        assert found == dict.fromkeys(found, OPERATOR)
        for headers in FORWARDED:
            found = await told(client, headers)
            assert found == dict.fromkeys(found, READER), headers


async def test_who_operates_on_loopback_only_reads_elsewhere(sqlite_url: str) -> None:
    async with served(sqlite_url, host="0.0.0.0", allow_anonymous=True, anonymous="OPERATOR") as client:
        found = await told(client, {})
    assert found == dict.fromkeys(found, READER)


@pytest.mark.parametrize("transport", ["socket", "stream"])
async def test_live_answers_are_shared_among_equals_only(sqlite_url: str, transport: str) -> None:
    asked = ({}, {}, FORWARDED[0], FORWARDED[-1])
    async with served(sqlite_url, anonymous="OPERATOR") as client, AsyncExitStack() as held:
        session, url = client.session, f"{client.url}/graphql"
        for headers in asked:
            if transport == "socket":
                socket = await SocketClient.connect(session, client.url, headers=headers)
                held.push_async_callback(socket.close)
                await socket.subscribe(EVENTS)
            else:
                accept = {"Accept": "text/event-stream", **headers}
                await held.enter_async_context(session.post(url, json={"query": EVENTS}, headers=accept))
        live = client.app[LIVE]

        async def subscribed() -> bool:
            return live.subscribers == len(asked)

        await until(subscribed)
        assert live.broadcasts == 2
