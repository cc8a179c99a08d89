"""The paths for people and for machines, and what is the same on all of them."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectory.store import Store, StoreUnreachable
from connectory.web.serving import listen
from tests.api.gateway import Client, served
from tests.api.stand_in import STAND_IN
from tests.wait import until


@pytest.fixture
async def client(sqlite_url: str) -> AsyncIterator[Client]:
    async with served(sqlite_url, STAND_IN) as found:
        yield found


async def test_people_get_graphiql(client: Client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    async with client.session.get(f"{client.url}/", headers=browser) as response:
        assert str(response.url) == f"{client.url}/graphql"
        assert response.content_type == "text/html"
        assert "graphiql" in (await response.text()).lower()
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    async with client.session.get(f"{client.url}/graphql") as response:
        assert (response.status, response.content_type) == (400, "application/json")


async def test_health_and_readiness(client: Client) -> None:
    for path in ("/healthz", "/readyz"):
        async with client.session.get(client.url + path) as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})


async def test_not_ready_says_why(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def problems(self: Store) -> list[str]:
        return ["the store is behind"]

    monkeypatch.setattr(Store, "problems", problems)
    async with served(sqlite_url, STAND_IN) as client, client.session.get(f"{client.url}/readyz") as response:
        assert response.status == 503
        assert await response.json() == {"status": "unavailable", "reasons": ["the store is behind"]}


async def test_metrics_count_operations(client: Client) -> None:
    await client.ask("{hello}")
    async with client.session.get(f"{client.url}/metrics") as response:
        text = await response.text()
        assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert 'connectory_graphql_operations_total{outcome="ok"} 1.0' in text
    assert 'connectory_graphql_operation_seconds_count{outcome="ok"} 1.0' in text
    assert "connectory_build_info{version=" in text


async def test_two_applications_count_for_themselves(client: Client, tmp_path: Any) -> None:
    async with served(f"sqlite:///{tmp_path / 'other.db'}", STAND_IN) as other:
        await other.ask("{hello}")
        assert (client.counted("ok"), other.counted("ok")) == (0, 1)


@pytest.mark.parametrize("path", ["/nothing", "/graphql/", "/healthz"])
async def test_every_answer_forbids_sniffing_and_hides_the_version(client: Client, path: str) -> None:
    async with client.session.get(client.url + path) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Server"] == "Connectory"
        assert response.content_type == "application/json"


async def test_the_access_log_tells_the_path_and_no_query(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="connectory.access"):
        query = "query=query Mine{hello} query Other{hello}&operationName=Mine"
        for path in ("/healthz", "/readyz", "/metrics", f"/graphql?{query}"):
            async with client.session.get(client.url + path, headers={"Authorization": "x"}):
                pass

        async def logged() -> list[logging.LogRecord]:
            return [record for record in caplog.records if record.name == "connectory.access"]

        (record,) = await until(logged)
    assert record.getMessage() == "GET /graphql 200 ok"
    assert (record.client, record.operation, record.outcome) == ("127.0.0.1", "Mine", "ok")  # type: ignore[attr-defined]
    assert (record.action, record.method, record.path, record.status) == (  # type: ignore[attr-defined]
        "http.request", "GET", "/graphql", 200,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asks", "line", "told"),
    [
        ({"json": {"query": "{ no }"}}, "POST /graphql 200 rejected", ("outcome", "rejected")),
        ({"headers": {"Host": "evil.example.com"}}, "POST /graphql 403", ("refused_host", "evil.example.com")),
        (
            {"headers": {"Origin": "https://evil.example"}},
            "POST /graphql 403",
            ("refused_origin", "https://evil.example"),
        ),
    ],
)
async def test_the_access_log_tells_what_was_refused(
    client: Client, caplog: pytest.LogCaptureFixture, asks: Any, line: str, told: tuple[str, str]
) -> None:
    with caplog.at_level(logging.INFO, logger="connectory.access"):
        async with client.session.post(f"{client.url}/graphql", **asks):
            pass

        async def logged() -> list[logging.LogRecord]:
            return [record for record in caplog.records if record.name == "connectory.access"]

        (record,) = await until(logged)
    name, word = told
    assert (record.getMessage(), getattr(record, name)) == (line, word)


async def test_the_real_schema_is_served_over_an_empty_store(sqlite_url: str) -> None:
    async with served(sqlite_url, anonymous="OPERATOR") as client:
        status, body = await client.ask("{ systems { name } viewer { name role } }")
    assert (status, body) == (200, {"data": {"systems": [], "viewer": {"name": "local", "role": "OPERATOR"}}})


async def test_others_than_loopback_may_only_read(sqlite_url: str) -> None:
    async with served(sqlite_url, host="0.0.0.0", allow_anonymous=True) as client:
        _, body = await client.ask("{ viewer { name role } }")
    assert body == {"data": {"viewer": {"name": "anonymous", "role": "VIEWER"}}}


async def test_a_store_that_cannot_be_opened_keeps_the_application_from_starting(tmp_path: Any) -> None:
    with pytest.raises(StoreUnreachable, match="does not exist"):
        async with served(f"sqlite:///{tmp_path / 'no' / 'such.db'}"):
            raise AssertionError("it started")


async def test_localhost_gets_one_port_for_all_its_addresses() -> None:
    sockets = listen("localhost", 0)
    ports = {bound.getsockname()[1] for bound in sockets}
    for bound in sockets:
        bound.close()
    assert len(ports) == 1
