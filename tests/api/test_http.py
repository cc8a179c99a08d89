"""GraphQL over HTTP, the masking of errors, and the paths for people and for machines."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import strawberry
from graphql import GraphQLError
from yarl import URL

from connectory.app import BODY_LIMIT
from connectory.extensions import NamedOperation
from connectory.masking import log as masking_log
from connectory.serving import listen
from connectory.store import Store, StoreUnreachable
from resolvers.errors import BadUserInput
from tests.api.gateway import Client, served
from tests.wait import until

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"


class Slow:
    """What became of an operation that never ends by itself."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()


SLOW: list[Slow] = []


@strawberry.type
class Query:
    """Stands in for the schema where a test needs a resolver that misbehaves."""

    @strawberry.field
    def hello(self) -> str:
        return "world"

    @strawberry.field
    def echo(self, number: int) -> int:
        return number

    @strawberry.field
    def unexpected(self) -> str | None:
        raise RuntimeError("the password is swordfish")

    @strawberry.field
    def must_not_be_null(self) -> str:
        return None  # type: ignore[return-value]

    @strawberry.field
    def refused(self) -> str | None:
        raise BadUserInput("first: between 1 and 1,000")

    @strawberry.field
    def on_purpose(self) -> str | None:
        raise GraphQLError("Not today.", extensions={"code": "CLOSED", "until": "tomorrow"})

    @strawberry.field
    async def slow(self) -> str | None:
        slow = Slow()
        SLOW.append(slow)
        slow.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            slow.cancelled.set()
            raise
        return None


@strawberry.type
class Mutation:
    @strawberry.mutation
    def touch(self) -> bool:
        return True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self) -> AsyncIterator[int]:
        yield 1


STAND_IN = strawberry.Schema(Query, Mutation, Subscription, extensions=[NamedOperation])


@pytest.fixture
async def client(sqlite_url: str) -> AsyncIterator[Client]:
    async with served(sqlite_url, STAND_IN) as found:
        yield found


def code(body: Any) -> str:
    (error,) = body["errors"]
    assert set(error) <= {"message", "locations", "path", "extensions"}
    found: str = error["extensions"]["code"]
    return found


# ---- what is answered, and as what


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (f"{JSON}; charset=utf-8", JSON),
        (GRAPHQL, GRAPHQL),
        (f"{JSON}, {GRAPHQL}", GRAPHQL),
        (f"{GRAPHQL};q=0.5, {JSON}", JSON),
        (f"{GRAPHQL};q=0, */*", JSON),
        (f"{JSON};q=0, */*", GRAPHQL),
        (f"{GRAPHQL}, application/graphql+json, {JSON}, text/event-stream, multipart/mixed", GRAPHQL),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
    ],
)
async def test_the_media_type_is_negotiated(client: Client, accept: str | None, content_type: str) -> None:
    headers = {} if accept is None else {"Accept": accept}
    skip = ["Accept"] if accept is None else []
    async with client.session.get(
        f"{client.url}/graphql?query={{hello}}", headers=headers, skip_auto_headers=skip
    ) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == f"{content_type}; charset=utf-8"
        assert response.headers["Vary"] == "Accept, Origin"
        assert await response.json(content_type=None) == {"data": {"hello": "world"}}


@pytest.mark.parametrize("accept", ["text/event-stream;q=0", "text/html", f"{JSON};q=0", "image/*"])
async def test_what_we_cannot_answer_is_406(client: Client, accept: str) -> None:
    status, body = await client.ask("{hello}", accept)
    assert (status, code(body)) == (406, "NOT_ACCEPTABLE")


QUERIES: list[tuple[str, dict[str, Any], int, int, str | None]] = [
    ("{hello}", {}, 200, 200, None),
    ("{ hello", {}, 400, 200, "GRAPHQL_PARSE_FAILED"),
    ("{ nothing }", {}, 400, 200, "GRAPHQL_VALIDATION_FAILED"),
    ("query($n: Int!) { echo(number: $n) }", {"variables": {"n": "one"}}, 400, 200, "BAD_USER_INPUT"),
    ("query($n: Int!) { echo(number: $n) }", {"variables": {}}, 400, 200, "BAD_USER_INPUT"),
    ("query A { hello } query B { hello }", {}, 400, 200, "BAD_USER_INPUT"),
    ("query A { hello }", {"operationName": "B"}, 400, 200, "BAD_USER_INPUT"),
    ("fragment F on Query { hello }", {}, 400, 200, "BAD_USER_INPUT"),
    ("query A { hello } query B { hello }", {"operationName": "B"}, 200, 200, None),
    ("mutation { touch }", {}, 200, 200, None),
    ("subscription { ticks }", {}, 406, 406, "NOT_ACCEPTABLE"),
    ("{refused}", {}, 200, 200, "BAD_USER_INPUT"),
    ("{unexpected}", {}, 200, 200, "INTERNAL_SERVER_ERROR"),
    ("{mustNotBeNull}", {}, 200, 200, "INTERNAL_SERVER_ERROR"),
]


@pytest.mark.parametrize(("query", "parameters", "status", "status_json", "error"), QUERIES)
async def test_statuses_and_codes(
    client: Client, query: str, parameters: dict[str, Any], status: int, status_json: int, error: str | None
) -> None:
    found, body = await client.ask(query, GRAPHQL, **parameters)
    assert (found, code(body) if error else None) == (status, error)
    assert ("data" in body) is (status == 200)
    found, body = await client.ask(query, JSON, **parameters)
    assert (found, code(body) if error else None) == (status_json, error)


BODIES: list[tuple[bytes, dict[str, str], int]] = [
    (b"", {}, 400),
    (b"{", {}, 400),
    (b'{"query": "\xff"}', {}, 400),
    (b"[]", {}, 400),
    (b'[{"query": "{hello}"}]', {}, 400),
    (b'"{hello}"', {}, 400),
    (b"null", {}, 400),
    (b"{}", {}, 400),
    (b'{"query": null}', {}, 400),
    (b'{"query": " "}', {}, 400),
    (b'{"query": 3}', {}, 400),
    (b'{"query": "{hello}", "variables": []}', {}, 400),
    (b'{"query": "{hello}", "variables": "{}"}', {}, 400),
    (b'{"query": "{hello}", "operationName": 3}', {}, 400),
    (b'{"query": "{hello}", "extensions": []}', {}, 400),
    (b'{"query": "{hello}", "variables": {"a": NaN}}', {}, 400),
    (b'{"query": "{hello}", "variables": {"a": "\\ud800"}}', {}, 400),
    (b'{"query": "{hello}", "variables": {"a": ' + b"9" * 5000 + b"}}", {}, 400),
    (b'{"query": "{hello}", "variables": {"a": ' + b"[" * 100_000 + b"}}", {}, 400),
    ('{"query": "{hello}"}'.encode("utf-16"), {}, 400),
    (b'{"query": "{hello}"}', {"Content-Encoding": "gzip"}, 400),
    (b'{"query": "{hello}", "variables": null, "operationName": null, "extensions": null}', {}, 200),
    (b'{"query": "{hello}", "operationName": "", "more": 1}', {}, 200),
    (b'{"query": "{hello}"}', {"Content-Type": "application/json; charset=UTF-8"}, 200),
    (b'{"query": "{hello}"}', {"Content-Type": "application/json; charset=utf-16"}, 415),
    (b'{"query": "{hello}"}', {"Content-Type": "text/plain"}, 415),
    (b"{hello}", {"Content-Type": "application/graphql"}, 415),
    (b"query={hello}", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    (b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    (b'{"query": "' + b" " * BODY_LIMIT + b'"}', {}, 413),
]


@pytest.mark.parametrize(("body", "headers", "status"), BODIES, ids=[str(n) for n in range(len(BODIES))])
async def test_bodies(client: Client, body: bytes, headers: dict[str, str], status: int) -> None:
    headers = {"Content-Type": JSON, **headers}
    async with client.session.post(f"{client.url}/graphql", data=io.BytesIO(body), headers=headers) as response:
        answered = await response.json(content_type=None)
        assert response.status == status, answered
        assert ("errors" in answered) is (status != 200)
    assert client.counted("ok" if status == 200 else "rejected") == 1


async def test_a_body_without_content_type_is_415(client: Client) -> None:
    async with client.session.post(
        f"{client.url}/graphql", data=b'{"query": "{hello}"}', skip_auto_headers=["Content-Type"]
    ) as response:
        assert response.status == 415
        assert "no Content-Type" in (await response.json())["errors"][0]["message"]


# ---- methods


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_405(client: Client, method: str) -> None:
    async with client.session.request(method, f"{client.url}/graphql") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD, POST, OPTIONS"
        assert code(await response.json()) == "METHOD_NOT_ALLOWED"


async def test_options_names_the_methods(client: Client) -> None:
    async with client.session.options(f"{client.url}/graphql") as response:
        assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, POST, OPTIONS")


async def get(client: Client, **parameters: str) -> tuple[int, Any, str | None]:
    async with client.session.get(f"{client.url}/graphql", params=parameters, headers={"Accept": GRAPHQL}) as response:
        return response.status, await response.json(content_type=None), response.headers.get("Allow")


async def test_queries_by_get(client: Client) -> None:
    query = "query A($n: Int!) { echo(number: $n) } query B { hello }"
    status, body, _ = await get(client, query=query, operationName="A", variables='{"n": 7}', extensions="{}")
    assert (status, body) == (200, {"data": {"echo": 7}})


@pytest.mark.parametrize("parameters", [{}, {"query": ""}, {"query": "{hello}", "variables": "{"},
                                        {"query": "{hello}", "variables": "[]"}])  # fmt: skip
async def test_bad_parameters_by_get(client: Client, parameters: dict[str, str]) -> None:
    status, body, _ = await get(client, **parameters)
    assert (status, code(body)) == (400, "BAD_REQUEST")


async def test_a_query_that_is_not_utf8_is_400(client: Client) -> None:
    url = URL(f"{client.url}/graphql?query=%7Bhello%FF%7D", encoded=True)
    async with client.session.get(url, headers={"Accept": GRAPHQL}) as response:
        assert response.status == 400


async def test_mutations_never_by_get(client: Client) -> None:
    for query, name in (("mutation { touch }", ""), ("query A { hello } mutation B { touch }", "B")):
        status, body, allow = await get(client, query=query, operationName=name)
        assert (status, code(body), allow) == (405, "METHOD_NOT_ALLOWED", "POST")


async def test_head_answers_without_a_body(client: Client) -> None:
    async with client.session.head(f"{client.url}/graphql?query={{hello}}") as response:
        assert (response.status, await response.read()) == (200, b"")


# ---- errors


async def test_unexpected_errors_are_masked_and_logged_under_their_incident(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger=masking_log.name):
        status, body = await client.ask("{ hello unexpected again: unexpected }")
    assert status == 200
    assert body["data"] == {"hello": "world", "unexpected": None, "again": None}
    assert "swordfish" not in json.dumps(body)
    first, second = body["errors"]
    assert (first["message"], first["path"]) == ("Internal error", ["unexpected"])
    assert first["extensions"]["incidentId"] != second["extensions"]["incidentId"]
    records = [record for record in caplog.records if record.name == masking_log.name]
    assert [record.incident for record in records] == [  # type: ignore[attr-defined]
        error["extensions"]["incidentId"] for error in (first, second)
    ]
    assert records[0].exc_info is not None
    assert "swordfish" in str(records[0].exc_info[1])
    assert client.counted("internal") == 1


async def test_errors_on_purpose_stay_as_they_are(client: Client) -> None:
    _, body = await client.ask("{ onPurpose }")
    (error,) = body["errors"]
    assert error["message"] == "Not today."
    assert error["extensions"] == {"code": "CLOSED", "until": "tomorrow"}
    assert client.counted("partial") == 1


async def test_an_extension_that_breaks_is_masked(sqlite_url: str) -> None:
    class Broken(strawberry.extensions.SchemaExtension):
        def on_validate(self) -> Any:
            raise RuntimeError("the password is swordfish")
            yield

    async with served(sqlite_url, strawberry.Schema(Query, extensions=[Broken])) as client:
        status, body = await client.ask("{hello}")
        assert (status, code(body)) == (500, "INTERNAL_SERVER_ERROR")
        assert "swordfish" not in json.dumps(body)


async def test_a_client_that_leaves_cancels_its_operation(client: Client) -> None:
    SLOW.clear()
    asking = asyncio.ensure_future(client.ask("{ slow }"))

    async def started() -> bool:
        return bool(SLOW) and SLOW[0].started.is_set()

    await until(started)
    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.wait_for(SLOW[0].cancelled.wait(), 10)

    async def counted() -> bool:
        return client.counted("canceled") == 1

    await until(counted)


# ---- the other paths


async def test_people_get_graphiql(client: Client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    async with client.session.get(f"{client.url}/", headers=browser) as response:
        assert str(response.url) == f"{client.url}/graphql"
        assert response.content_type == "text/html"
        assert "graphiql" in (await response.text()).lower()
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    async with client.session.get(f"{client.url}/graphql") as response:
        assert (response.status, response.content_type) == (400, JSON)


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
        assert response.content_type == JSON


async def test_the_access_log_tells_the_path_and_no_query(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="connectory.access"):
        async with client.session.get(f"{client.url}/graphql?query={{hello}}", headers={"Authorization": "x"}):
            pass

        async def logged() -> list[logging.LogRecord]:
            return [record for record in caplog.records if record.name == "connectory.access"]

        (record,) = await until(logged)
    assert record.getMessage() == "GET /graphql 200"
    assert (record.action, record.method, record.path, record.status) == (  # type: ignore[attr-defined]
        "http.request", "GET", "/graphql", 200,
    )  # fmt: skip


async def test_the_real_schema_is_served_over_an_empty_store(sqlite_url: str) -> None:
    async with served(sqlite_url) as client:
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
