"""Documents are read once for all who send them, and their memory has a limit."""

from types import ModuleType

import pytest
import strawberry.schema.schema as strawberrys

from schema import build_schema, documents
from schema.documents import Documents
from tests.api.gateway import served
from tests.live.client import SocketClient

SCHEMA = build_schema()._schema


def test_what_was_used_last_is_kept() -> None:
    kept = Documents(most=40)
    first, second = "{ viewer { name } }", "{ viewer { role } }"
    found = kept.read(SCHEMA, first)
    other = kept.read(SCHEMA, second)
    assert kept.read(SCHEMA, first) is found
    kept.read(SCHEMA, "{ __typename }")
    assert kept.read(SCHEMA, first) is found
    assert kept.read(SCHEMA, second) is not other


def test_a_long_document_is_kept_alone() -> None:
    kept = Documents(most=10)
    long = kept.read(SCHEMA, "{ viewer { name } }")
    assert kept.read(SCHEMA, "{ viewer { name } }") is long
    kept.read(SCHEMA, "{")
    assert kept.read(SCHEMA, "{ viewer { name } }") is not long


@pytest.mark.parametrize("query", ["{", "{ nothing }", "{ a " + "a " * documents.MOST_TOKENS + "}"])
def test_what_is_wrong_with_a_document_is_kept_too(query: str) -> None:
    kept = Documents(most=100_000)
    assert kept.read(SCHEMA, query).errors
    assert kept.read(SCHEMA, query) is kept.read(SCHEMA, query)


async def test_a_document_is_read_once_whichever_way_it_arrives(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def count(module: ModuleType, name: str) -> None:
        original = getattr(module, name)

        def call(*arguments: object, **named: object) -> object:
            calls.append(name)
            return original(*arguments, **named)

        monkeypatch.setattr(module, name, call)

    for module in (documents, strawberrys):
        count(module, "parse")
        count(module, "validate_document")
    monkeypatch.setattr(documents, "read", Documents(most=1_000).read)
    query = "query Once { viewer { name } }"
    async with served(sqlite_url, anonymous="OPERATOR") as client:
        for accept in ("application/json", "application/json, text/event-stream", "text/event-stream"):
            async with client.session.post(
                f"{client.url}/graphql", json={"query": query}, headers={"Accept": accept}
            ) as response:
                assert '"name":"local"' in await response.text()
        async with await SocketClient.connect(client.session, client.url) as socket:
            result = await (await socket.subscribe(query)).next()
    assert result == {"data": {"viewer": {"name": "local"}}}
    assert calls == ["parse", "validate_document"]
