"""GraphQL over HTTP, and the masking of errors."""

import asyncio
import gzip
import io
import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import strawberry
from multidict import CIMultiDict
from yarl import URL

from connectory.config.settings import ServerSettings
from connectory.execution.error_presentation import log as masking_log
from resolvers.context import Context
from tests.api.gateway import Client, served
from tests.api.stand_in import PATIENT, STAND_IN, Query, begun
from tests.live.client import SocketClient
from tests.wait import until

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"


@pytest.fixture
async def client(sqlite_url: str) -> AsyncIterator[Client]:
    PATIENT.clear()
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


async def test_an_accept_header_may_come_in_several_lines(client: Client) -> None:
    lines = CIMultiDict([("Accept", "text/html"), ("Accept", GRAPHQL)])
    async with client.session.get(f"{client.url}/graphql?query={{hello}}", headers=lines) as response:
        assert (response.status, response.content_type) == (200, GRAPHQL)


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
    ("fragment F on Query { hello }", {}, 400, 200, "GRAPHQL_VALIDATION_FAILED"),
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
    (b'{"query": "{hello}", "variables": {"a": 1e999}}', {}, 400),
    (b'{"query": "{hello}", "query": "mutation { touch }"}', {}, 400),
    (b'{"query": "{hello}", "variables": {"a": 1, "b": {"c": 1, "c": 2}}}', {}, 400),
    (b'\xef\xbb\xbf{"query": "{hello}"}', {}, 400),
    (b'{"query": "{hello}"}', {"Content-Encoding": "gzip"}, 400),
    (gzip.compress(b'{"query": "{hello}"}'), {"Content-Encoding": "gzip"}, 200),
    (gzip.compress(b'{"query": "{hello}"}')[:-12], {"Content-Encoding": "gzip"}, 400),
    (gzip.compress(b'{"query": "' + b" " * ServerSettings().body_bytes + b'"}'), {"Content-Encoding": "gzip"}, 413),
    (b'{"query": "{hello}"}', {"Content-Encoding": "rot13"}, 415),
    (b'{"query": "{hello}"}', {"Content-Encoding": "identity"}, 200),
    (b'{"query": "{hello}", "variables": null, "operationName": null, "extensions": null}', {}, 200),
    (b'{"query": "{hello}", "operationName": "", "more": 1}', {}, 200),
    (b'{"query": "{hello}"}', {"Content-Type": "application/json; charset=UTF-8"}, 200),
    (b'{"query": "{hello}"}', {"Content-Type": "application/json; charset=utf-16"}, 415),
    (b'{"query": "{hello}"}', {"Content-Type": "text/plain"}, 415),
    (b"{hello}", {"Content-Type": "application/graphql"}, 415),
    (b"query={hello}", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    (b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    (b'{"query": "' + b" " * ServerSettings().body_bytes + b'"}', {}, 413),
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


async def test_a_parameter_stands_once(client: Client) -> None:
    for more in ("query=mutation{touch}", "variables={}&variables={}"):
        async with client.session.get(f"{client.url}/graphql?query={{hello}}&{more}") as response:
            assert (response.status, code(await response.json())) == (400, "BAD_REQUEST")


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


# ---- connections


async def exchange(client: Client, sent: bytes) -> bytes:
    """What comes back until the other side ends the connection."""
    host, port = client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    found = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return found


async def test_requests_on_one_connection_are_answered_in_turn(client: Client) -> None:
    start, bad = (
        "/graphql HTTP/1.1\r\nHost: localhost\r\n",
        "Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
    )
    found = await exchange(
        client,
        f"POST {start}{bad}GET /graphql?query={{hello}} HTTP/1.1\r\nHost: localhost\r\n\r\nPUT {start}\r\n"
        f"HEAD {start}Connection: close\r\n\r\n".encode(),
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"400", b"200", b"405", b"400"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
         b"Content-Type: application/json\r\n\r\nswordfish", b"400"),
        (b"GET /graphql?query=" + b"swordfish" * 4000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
        (b"GET /graphql?query={swordfish} HTTP/1.1\r\n\r\n", b"400"),
    ],
    ids=["chunk", "length", "host"],
)  # fmt: skip
async def test_what_is_no_http_is_no_error_of_ours(
    client: Client, sent: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await exchange(client, sent)).split()[1] == status
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "swordfish" not in caplog.text


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


async def test_an_operation_whose_end_fails_has_had_its_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def close(self: Context) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(Context, "close", close)
    assert await client.ask("{hello}") == (200, {"data": {"hello": "world"}})
    async with await SocketClient.connect(client.session, client.url) as socket:
        result = await (await socket.subscribe("{hello}")).next()
    assert result == {"data": {"hello": "world"}}

    async def is_logged() -> bool:
        told = [record for record in caplog.records if record.name == "connectory.execution.error_presentation"]
        return len(told) == 2 and all("swordfish" in str(record.exc_info) for record in told)

    await until(is_logged)


async def test_a_client_that_leaves_cancels_its_operation(client: Client) -> None:
    asking = asyncio.ensure_future(client.ask("{ slow }"))
    await begun(1)
    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.wait_for(PATIENT[0].was_cancelled.wait(), 10)

    async def counted() -> bool:
        return client.counted("canceled") == 1

    await until(counted)
