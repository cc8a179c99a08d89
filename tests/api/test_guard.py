"""No web page reaches a gateway that did not invite it: Host, Origin and CORS."""

from typing import Any

import aiohttp
import pytest
from yarl import URL

from connectory.config.settings import ServerSettings
from connectory.web.guard import Guard
from tests.api.gateway import Client, served
from tests.live.client import SocketClient

QUERY = {"query": "{ __typename }"}
BOARD = "https://board.example.com"


async def post(client: Client, **headers: str) -> tuple[int, Any, aiohttp.typedefs.LooseHeaders]:
    async with client.session.post(f"{client.url}/graphql", json=QUERY, headers=headers) as response:
        return response.status, await response.json(), response.headers


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:1", "127.0.0.1", "127.0.0.1:9999", "[::1]", "[::1]:8000", "LOCALHOST", "localhost."],
)
async def test_a_local_gateway_answers_to_local_names(sqlite_url: str, host: str) -> None:
    async with served(sqlite_url) as client:
        status, body, _ = await post(client, Host=host)
        assert (status, body) == (200, {"data": {"__typename": "Query"}})


@pytest.mark.parametrize(
    "host",
    ["evil.example.com", "localhost.evil.example.com", "evil.example.com:8000", "127.0.0.2", "0.0.0.0", "[::]",
     "localhost@evil.example.com", "evil.example.com#localhost", "localhost:port", "127.0.0.1.nip.io", "0x7f.1",
     "[::1].evil.example.com"],
)  # fmt: skip
async def test_a_page_that_rebinds_its_name_gets_nothing(sqlite_url: str, host: str) -> None:
    async with served(sqlite_url) as client:
        status, body, _ = await post(client, Host=host)
        assert status == 403
        assert body["errors"][0]["extensions"]["code"] == "FORBIDDEN_HOST"
        for path in ("/", "/graphql", "/nothing", "/graphql/static/x.js"):
            async with client.session.get(client.url + path, headers={"Host": host}) as response:
                assert response.status == 403


HOSTS = {
    True: ["localhost:", "localhost.:8000", "127.0.0.1.", "[0:0:0:0:0:0:0:1]:8000", "[::0001]", "localhost:65535"],
    False: [
        "", ".", ":8000", "[]", "[]:8000", "[::1", "::1]", "::1", "[localhost]", "[127.0.0.1]", "[::1%25lo]",
        "[::1]evil.example", "[::1].evil.example:8000", "[::1]:8000.evil.example", "evil.example[::1]", "[[::1]]",
        "[::1]@evil.example", "evil.example@[::1]", "user:secret@localhost", "@localhost", "localhost@",
        "localhost..", ".localhost", "localhost.:8000.", "localhost:80:80", "localhost:65536", "localhost:-1",
        "localhost:+1", "localhost:8000.evil.example", "localhost:8000,evil.example", "localhost,evil.example",
        "localhost%00.evil.example", "localhost/..", "localhost\\.evil.example", "local host", "localhost:\uff11",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("host", "known"), [(host, known) for known, hosts in HOSTS.items() for host in hosts])
def test_which_hosts_are_known(host: str, known: bool) -> None:
    assert OWN.knows_host(host) is known


async def test_the_refusal_says_how_to_allow_the_host(sqlite_url: str) -> None:
    async with served(sqlite_url) as client:
        _, body, _ = await post(client, Host="gw.example.com:8443")
        message = body["errors"][0]["message"]
        assert 'allowed_hosts = ["gw.example.com"]' in message
        assert "[server]" in message
    async with served(sqlite_url, allowed_hosts=["GW.example.com"]) as client:
        assert (await post(client, Host="gw.example.com:8443"))[0] == 200


async def test_without_a_host_header_nothing_is_answered(sqlite_url: str) -> None:
    async with served(sqlite_url) as client:
        url = URL(f"{client.url}/graphql").update_query(query="{__typename}")
        response = await client.session.get(url, headers={"Host": ""})
        assert response.status == 403
        assert "no usable Host header" in await response.text()


async def test_a_star_leaves_the_host_to_a_proxy(sqlite_url: str) -> None:
    async with served(sqlite_url, allowed_hosts=["*"]) as client:
        assert (await post(client, Host="whatever.example.com"))[0] == 200
        assert (await post(client, Host="whatever.example.com", Origin="https://whatever.example.com"))[0] == 200
        assert (await post(client, Host="whatever.example.com", Origin="https://evil.example.com"))[0] == 403


async def test_the_bind_address_is_a_name_of_ours(sqlite_url: str) -> None:
    async with served(sqlite_url, host="10.1.2.3", allow_anonymous=True) as client:
        assert (await post(client, Host="10.1.2.3:8000"))[0] == 200
        assert (await post(client, Host="10.1.2.4:8000"))[0] == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_probes_come_under_any_name(sqlite_url: str, path: str) -> None:
    async with served(sqlite_url, host="0.0.0.0", allow_anonymous=True) as client:
        headers = {"Host": "10.4.5.6:8000", "Origin": "https://evil.example.com"}
        async with client.session.get(client.url + path, headers=headers) as response:
            assert response.status == 200
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_on_loopback_no_page_reads_what_is_for_probes(sqlite_url: str) -> None:
    """Whoever scrapes a gateway on the same machine has a local name for it; a page that was rebound has its own."""
    answered = {}
    async with served(sqlite_url, allowed_origins=[BOARD]) as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            for headers in (
                {"Host": "evil.example.com"},
                {"Origin": "https://evil.example.com"},
                {},
                {"Origin": BOARD},
            ):
                async with client.session.get(client.url + path, headers=headers) as response:
                    answered[path, *headers.values()] = response.status
    strange, invited = ("evil.example.com",), ((), (BOARD,))
    assert answered == {
        **{("/healthz", *sender): 200 for sender in (strange, ("https://evil.example.com",), *invited)},
        **{
            (path, *sender): 200 if sender in invited else 403
            for path in ("/readyz", "/metrics")
            for sender in (strange, ("https://evil.example.com",), *invited)
        },
    }


OWN = Guard(ServerSettings(allowed_origins=(BOARD, "http://dev.example.com:3000/")))


@pytest.mark.parametrize(
    ("origin", "host", "known"),
    [
        ("http://localhost:8000", "localhost:8000", True),
        ("https://localhost:8000", "localhost:8000", True),
        ("http://localhost", "localhost", True),
        ("http://localhost", "localhost:80", True),
        ("https://localhost", "localhost:443", True),
        ("https://localhost", "localhost", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("HTTP://LocalHost:8000", "localhost:8000", True),
        ("http://localhost:3000", "localhost:8000", False),
        ("http://127.0.0.1:8000", "localhost:8000", False),
        ("http://localhost", "localhost:443", False),
        ("http://evil.example.com", "localhost:8000", False),
        ("null", "localhost:8000", False),
        ("", "localhost:8000", False),
        ("file://", "localhost:8000", False),
        ("ws://localhost:8000", "localhost:8000", False),
        ("http://localhost:8000.evil.example.com", "localhost:8000", False),
        ("http://localhost:8000@evil.example.com", "localhost:8000", False),
        ("http://[::1].evil.example.com:8000", "[::1]:8000", False),
        ("http://[::1]:8000.evil.example.com", "[::1]:8000", False),
        ("http://[::1]:8000", "[::1].evil.example.com:8000", False),
        ("http://[0:0::1]:8000", "[::1]:8000", True),
        ("http://localhost.:8000", "localhost:8000", True),
        ("http://localhost\t:8000", "localhost:8000", False),
        ("http://localhost:8000?", "localhost:8000", False),
        (BOARD, "localhost:8000", True),
        (f"{BOARD}:443", "localhost:8000", True),
        ("http://board.example.com", "localhost:8000", False),
        (f"{BOARD}.evil.example.com", "localhost:8000", False),
        ("http://dev.example.com:3000", "localhost:8000", True),
        ("http://dev.example.com", "localhost:8000", False),
    ],
)
def test_which_origins_are_known(origin: str, host: str, known: bool) -> None:
    assert OWN.knows_origin(origin, host) is known


async def test_foreign_pages_are_refused_and_told_how_to_be_allowed(sqlite_url: str) -> None:
    async with served(sqlite_url) as client:
        status, body, headers = await post(client, Origin=BOARD)
        assert status == 403
        assert body["errors"][0]["extensions"]["code"] == "FORBIDDEN_ORIGIN"
        assert f'allowed_origins = ["{BOARD}"]' in body["errors"][0]["message"]
        assert "Access-Control-Allow-Origin" not in headers
        assert (await post(client, Origin="null"))[0] == 403
        url = URL(f"{client.url}/graphql").update_query(query="{__typename}")
        async with client.session.get(url, headers={"Origin": BOARD}) as response:
            assert response.status == 403


async def test_own_pages_need_no_permission_and_get_no_cors(sqlite_url: str) -> None:
    async with served(sqlite_url) as client:
        status, _, headers = await post(client, Origin=client.url)
        assert status == 200
        assert "Access-Control-Allow-Origin" not in headers
        assert "Origin" in headers["Vary"]


async def test_websockets_from_foreign_pages_are_refused(sqlite_url: str) -> None:
    async with served(sqlite_url) as client:
        for headers in ({"Origin": BOARD}, {"Origin": "null"}, {"Host": "evil.example.com"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await SocketClient.connect(client.session, client.url, headers=headers)
            assert caught.value.status == 403


async def test_websockets_from_our_own_and_from_allowed_pages_are_served(sqlite_url: str) -> None:
    async with served(sqlite_url, allowed_origins=[BOARD]) as client:
        for origin in (client.url, BOARD):
            async with await SocketClient.connect(client.session, client.url, origin=origin):
                pass


async def test_allowed_pages_may_read_the_answer_even_an_error(sqlite_url: str) -> None:
    async with served(sqlite_url, allowed_origins=[BOARD]) as client:
        status, _, headers = await post(client, Origin=BOARD)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, BOARD)
        assert "Access-Control-Allow-Credentials" not in headers
        async with client.session.put(f"{client.url}/graphql", headers={"Origin": BOARD}) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (405, BOARD)


async def test_preflights(sqlite_url: str) -> None:
    async with served(sqlite_url, allowed_origins=[BOARD]) as client:

        async def preflight(origin: str) -> tuple[int, dict[str, str]]:
            headers = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type,authorization",
            }
            async with client.session.options(f"{client.url}/graphql", headers=headers) as response:
                return response.status, {
                    name.removeprefix("Access-Control-"): value
                    for name, value in response.headers.items()
                    if name.startswith("Access-Control-")
                }

        assert await preflight(BOARD) == (
            204,
            {
                "Allow-Origin": BOARD,
                "Allow-Methods": "GET, POST, OPTIONS",
                "Allow-Headers": "content-type,authorization",
                "Max-Age": "600",
                "Expose-Headers": "Retry-After",
            },
        )
        assert (await preflight("https://evil.example.com")) == (403, {})
