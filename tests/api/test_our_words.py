"""What clients and probes read is ours: never the text of Python, of a library or of a database."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from connectory.model import Observation
from connectory.store import Store
from tests.api.gateway import Client, served
from tests.api.test_actions import gateway, refresh
from tests.facts import Scripted, connector, job
from tests.live.client import Lost, SocketClient

DIGITS = "9" * 5000
#: Words of Python, of its libraries and of the databases.
FOREIGN = (
    "sys.", "nan", "inf", "Expecting", "char ", "Extra data", "Invalid", "Unterminated", "Exceeds", "Error", "Errno",
    "no such table", "relation", "INTEGER", "swordfish",
)  # fmt: skip


def ours(message: Any) -> str:
    assert isinstance(message, str)
    assert [word for word in FOREIGN if word in message] == [], message[:300]
    return message


@pytest.fixture
async def client(sqlite_url: str) -> AsyncIterator[Client]:
    async with served(sqlite_url) as found:
        yield found


def message(body: Any) -> str:
    (error,) = body["errors"]
    return ours(error["message"])


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (f"{{ connectors(first: {DIGITS}) {{ totalCount }} }}", "999"),
        (f"{{ connectors(first: -{DIGITS}) {{ totalCount }} }}", "-999"),
        (f"{{ connectors(filter: {{docsIndexed: {{gte: {DIGITS}}}}}) {{ totalCount }} }}", "represent 999"),
        ("{ connectors(filter: {docsIndexed: {gte: 1e999}}) { totalCount } }", "represent 1e999"),
        ("{ connectors(filter: {docsIndexed: {gte: true}}) { totalCount } }", "represent true"),
        ("{ jobs(filter: {startedAfter: null, completedAfter: 7}) { totalCount } }", "represent 7"),
    ],
)
async def test_values_in_a_document(client: Client, query: str, shown: str) -> None:
    status, body = await client.ask(query)
    assert (status, body["errors"][0]["extensions"]["code"]) == (400, "GRAPHQL_VALIDATION_FAILED")
    assert shown in message(body)


async def test_values_in_variables(client: Client) -> None:
    query = "query($n: Long) { connectors(filter: {docsIndexed: {gte: $n}}) { totalCount } }"
    for value, shown in ((True, "represent true"), (None, ""), ([1], "represent [1]"), ("x" * 500, "xxx…")):
        _, body = await client.ask(query, variables={"n": value})
        if value is not None:
            assert shown in message(body)


#: Texts that are not JSON, and what is said of them.
NO_JSON = {
    "": "line 1, column 1",
    '{"a": 1,\n "b" 2}': "line 2, column 6",
    "{'a': 1}": "line 1, column 2",
    '{"a": 1} {}': "line 1, column 10",
    '{"a": "\n"}': "line 1, column 8",
    '{"a": "': "line 1, column 7",
    '{"a": tru}': "line 1, column 7",
    f'{{"a": {DIGITS}}}': "5,000 digits",
    f'{{"a": -{DIGITS}}}': "5,000 digits",
    '{"a": ' + "[" * 3_000: "too deeply",
}


async def test_what_is_no_json(client: Client) -> None:
    url = f"{client.url}/graphql"
    for text, said in NO_JSON.items():
        headers = {"Content-Type": "application/json"}
        async with client.session.post(url, data=text.encode(), headers=headers) as response:
            assert (response.status, said in message(await response.json())) == (400, True), text[:50]
        if 0 < len(text) < 10_000:
            async with client.session.get(url, params={"query": "{a}", "variables": text}) as response:
                assert (response.status, said in message(await response.json())) == (400, True), text[:50]
        socket = await SocketClient.connect(client.session, client.url)
        await socket.send(text)
        with pytest.raises(Lost) as lost:
            await socket.receive()
        assert (lost.value.code, said in ours(lost.value.reason)) == (4400, True), text[:50]


async def readiness(client: Client) -> tuple[int, str]:
    async with client.session.get(f"{client.url}/readyz") as response:
        return response.status, ours(" ".join((await response.json()).get("reasons", [])))


async def rename(store_url: str, table: str, to: str) -> None:
    store = Store(store_url)
    async with store.write() as connection:
        await connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {to}")
    await store.close()


async def test_a_store_that_fails(store_url: str) -> None:
    said, source = "its tables are not those of this version", Scripted()
    async with gateway(store_url, source) as client:
        await refresh(client)
        await rename(store_url, "systems", "swordfish")
        try:
            answer = await refresh(client)
            assert (answer["__typename"], answer["code"]) == ("ActionFailed", "STORE_UNAVAILABLE")
            assert said in ours(answer["message"])
            status, reasons = await readiness(client)
            assert (status, said in reasons) == (503, True)
        finally:
            await rename(store_url, "swordfish", "systems")


async def test_a_store_that_cannot_be_reached(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: object) -> None:
        raise OSError("Multiple exceptions: swordfish")

    async with served(sqlite_url) as client:
        monkeypatch.setattr("connectory.store.migrations.upgrading.current", broken)
        assert await readiness(client) == (503, "the store does not answer: the database cannot be reached")


async def test_a_system_whose_adapter_fails_or_says_what_nobody_can_store(sqlite_url: str) -> None:
    source = Scripted()
    async with gateway(sqlite_url, source) as client:
        for says, said in (
            (KeyError("swordfish"), "the adapter failed"),
            (Observation(connectors=[connector("a")], jobs=[job("1", processed=2**63)]), "cannot be stored"),
            (Observation(connectors=[connector("a", name=None)]), "cannot be stored"),
        ):
            source.says = says
            answer = await refresh(client)
            told: Any = answer["system"]
            assert told["lastError"]["code"] == "MISMATCH"
            assert said in ours(told["lastError"]["message"])


async def test_a_coding_that_is_named_is_one_that_is_read(client: Client) -> None:
    """What the refusal of a coding names has to be taken."""
    url, headers = f"{client.url}/graphql", {"Content-Type": "application/json"}
    body = json.dumps({"query": "{ __typename }"}).encode()
    async with client.session.post(url, data=body, headers={**headers, "Content-Encoding": "rot13"}) as response:
        said = message(await response.json())
    for coding in ("gzip", "deflate"):
        assert coding in said
        async with client.session.post(
            url, data=aiohttp.BytesPayload(body), headers=headers, compress=coding
        ) as response:
            assert (response.status, await response.json()) == (200, {"data": {"__typename": "Query"}})
    assert "br" not in said.split()
