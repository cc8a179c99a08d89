"""Documents are read once for all who send them, and their memory has a limit."""

from types import ModuleType

import pytest
import strawberry.schema.schema as strawberrys
from graphql import parse

from connectory.execution import admission, documents
from connectory.execution.documents import Document, Documents, size
from connectory.limits import DocumentLimits
from schema import build_schema
from tests.api.gateway import served
from tests.live.client import SocketClient

SCHEMA = build_schema()._schema
SHORT = "{ viewer { name } }"


def read(kept: Documents, query: str) -> Document:
    return kept.read(SCHEMA, DocumentLimits(), query)


def test_what_was_used_last_is_kept() -> None:
    kept = Documents(most_bytes=2 * size(SHORT, Document(parse(SHORT))))
    first, second = SHORT, "{ viewer { role } }"
    found = read(kept, first)
    other = read(kept, second)
    assert read(kept, first) is found
    read(kept, "{ __typename }")
    assert read(kept, first) is found
    assert read(kept, second) is not other


def test_a_long_document_is_kept_alone() -> None:
    kept = Documents(most_bytes=1)
    long = read(kept, SHORT)
    assert read(kept, SHORT) is long
    read(kept, "{ __typename }")
    assert read(kept, SHORT) is not long
    assert len(kept) == 1


def test_what_was_accepted_under_other_limits_is_read_again() -> None:
    kept = Documents(most_bytes=1_000_000)
    assert not read(kept, SHORT).errors
    assert kept.read(SCHEMA, DocumentLimits(tokens_per_document=5), SHORT).errors


@pytest.mark.parametrize(
    "query", ["{", "{ nothing }", "{ a " + "a " * 5_000 + "}", "{ viewer { " + "name " * 1_900 + "nothing } }"]
)
def test_nothing_of_what_is_refused_is_kept(query: str) -> None:
    kept = Documents(most_bytes=100_000_000)
    read(kept, SHORT)
    before = kept.bytes
    for n in range(3):
        assert read(kept, f"{query}{n * ' '}").errors
    assert (len(kept), kept.bytes) == (1, before)


def test_memory_is_counted_by_what_is_kept() -> None:
    kept = Documents(most_bytes=200_000)
    for n in range(20):
        read(kept, f"query Q{n} {{ viewer {{ {'name ' * 100} }} }}")
        read(kept, f'{{ node(id: "{"x" * 10_000}{n}") {{ id }} }}')
    assert 2 < len(kept) < 20
    assert kept.bytes <= 200_000
    assert kept.bytes == sum(size(query, document) for (_, _, query), document in kept._kept.items())
    kept.keep(SCHEMA, DocumentLimits(), SHORT, Document(parse(SHORT)))
    assert kept.remembered(SCHEMA, DocumentLimits(), SHORT)


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
    count(documents, "mistakes")
    count(strawberrys, "validate_document")
    monkeypatch.setattr(documents, "kept", Documents(most_bytes=1_000_000))
    monkeypatch.setattr(admission, "kept", documents.kept)
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
    assert calls == ["parse", "mistakes"]
