"""What a document may ask for: known from its text, before any rule of validation has looked at it."""

from collections.abc import Callable
from typing import Any

import pytest
from graphql import get_introspection_query

from connectory.execution import checking, documents
from connectory.execution.documents import Document, Documents
from connectory.limits import DocumentLimits
from schema import build_schema
from tests.api.gateway import Client, served
from tests.live.client import Refused, SocketClient, SseClient

SCHEMA = build_schema()._schema
#: Far below what is allowed by default, but for the characters.
LIMITS = DocumentLimits(1_000, 100, 20, 8, 6, 5, 4)


def doubled(times: int, field: str = "name") -> str:
    """Each fragment spreads the next one twice."""
    steps = "".join(
        f"fragment F{n} on Query {{ a{n}: viewer {{ {field} }} ...F{n + 1} ... {{ ...F{n + 1} }} }} "
        for n in range(times)
    )
    return f"{{ ...F0 }} {steps}fragment F{times} on Query {{ viewer {{ {field} }} }}"


def tangled(levels: int, width: int = 2) -> str:
    """Under each field several of the same name, each of which spreads the fragment below."""
    last = f"fragment F{levels} on Connector {{ id }}"
    inner = "".join(
        f"fragment F{n} on Connector {{ {f'latestJob {{ connector {{ ...F{n + 1} }} }} ' * width}}} "
        for n in range(levels)
    )
    return f"{{ connectors {{ nodes {{ ...F0 }} }} }} {inner}{last}"


#: Setting → a document of so much of it, whatever else it has within LIMITS.
WRITTEN: dict[str, Callable[[int], str]] = {
    "characters_per_document": lambda n: "{ viewer { name } }".ljust(n),
    "tokens_per_document": lambda n: "{ events(filter: {kinds: [" + "X " * (n - 16) + "]}) { endCursor } }",
    "fields_per_document": lambda n: "{ viewer { " + "name " * (n - 1) + "} }",
    "depth_per_operation": lambda n: (
        "{ "
        + "connectors { nodes { "
        + "latestJob { connector { " * ((n - 2) // 2)
        + "id "
        + "} " * (2 * ((n - 2) // 2) + 3)
        if n % 2
        else "{ connectors { nodes { "
        + "latestJob { connector { " * ((n - 4) // 2)
        + "latestJob { id } "
        + "} " * (2 * ((n - 4) // 2) + 3)
    ),
    "root_fields_per_operation": lambda n: "{ " + "eventCursor " * n + "}",
    "aliases_per_operation": lambda n: "{ viewer { " + " ".join(f"a{i}: name" for i in range(n)) + " } }",
    "directives_per_operation": lambda n: "{ viewer { " + "name @skip(if: true) " * n + " } }",
}
#: The same, in fragments that are spread more than once.
SPREAD: dict[str, Callable[[int], str]] = {
    "fields_per_document": lambda n: (
        "{ viewer { ...F ...F " + "name " * (n - 5) + "} } fragment F on Viewer { name role }"
    ),
    "aliases_per_operation": lambda n: (
        "{ viewer { ...F ...F " + "a: name " * (n - 2) + "} } fragment F on Viewer { a: name }"
    ),
    "directives_per_operation": lambda n: (
        "{ viewer { ...F ...F "
        + "name @skip(if: true) " * (n - 2)
        + "} } fragment F on Viewer { name @skip(if: true) }"
    ),
    "root_fields_per_operation": lambda n: (
        "{ ...F ...F " + "eventCursor " * (n - 4) + "} fragment F on Query { eventCursor ... { eventCursor } }"
    ),
}
CASES = [*WRITTEN.items(), *SPREAD.items()]


def read(query: str, limits: DocumentLimits = LIMITS) -> Document:
    return Documents(most_bytes=1).read(SCHEMA, limits, query)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The documents that rules of validation have looked at."""
    seen: list[object] = []

    def mistakes(schema: Any, document: Any, most: int) -> Any:
        seen.append(document)
        return checking.mistakes(schema, document, most)

    monkeypatch.setattr(documents, "mistakes", mistakes)
    return seen


@pytest.mark.parametrize(("setting", "write"), CASES, ids=[setting for setting, _ in CASES])
def test_so_much_and_no_more(checked: list[object], setting: str, write: Callable[[int], str]) -> None:
    most = getattr(LIMITS, setting)
    document = read(write(most))
    # not everything that is little enough makes sense
    assert not document.errors or setting == "tokens_per_document", document.errors
    assert len(checked) == 1
    (error,) = read(write(most + 1)).errors
    assert error.extensions == {"code": "BAD_USER_INPUT"}
    assert f"at most {most:,} " in error.message
    assert f"raise {setting} under [server]" in error.message
    assert len(checked) == 1


def test_comments_are_tokens() -> None:
    assert not read("{ viewer { name } }" + "#\n" * 94).errors
    (error,) = read("{ viewer { name } }" + "#\n" * 95).errors
    assert "at most 100 tokens" in error.message


def test_fields_of_all_operations_count_together() -> None:
    many = " ".join(f"query Q{n} {{ ...F }}" for n in range(4)) + " fragment F on Query { viewer { "
    assert not read(f"{many}{'name ' * 4}}} }}").errors
    (error,) = read(f"{many}{'name ' * 5}}} }}").errors
    assert "at most 20 fields" in error.message


@pytest.mark.parametrize("query", [doubled(300), doubled(12), tangled(8), tangled(8, 3), doubled(20, "nothing")])
def test_fragments_that_fan_out_are_refused_for_next_to_nothing(checked: list[object], query: str) -> None:
    limits = DocumentLimits(aliases_per_operation=10**9, root_fields_per_operation=10**9, tokens_per_document=10_000)
    (error,) = read(query, limits).errors
    assert "at most 1,000 fields" in error.message or "deep" in error.message
    assert not checked


@pytest.mark.parametrize(
    "query",
    [
        "{ ...F } fragment F on Query { viewer { name } ...F }",
        "{ ...F } fragment F on Query { ...G } fragment G on Query { a: viewer { name } b: viewer { name } ...F ...F }",
        "{ ...F ...nothing }",
        "{ viewer { name } } fragment F on Query { ...F }",
    ],
)
def test_circles_are_left_to_validation(checked: list[object], query: str) -> None:
    assert all("at most" not in error.message for error in read(query).errors)
    assert read(query).errors
    assert checked


def test_what_frontends_send_is_little_enough() -> None:
    every = " ".join(f"c{n}: connectors(first: {n + 1}) {{ totalCount }}" for n in range(100))
    wide = " ".join(f"a{n}: id" for n in range(300))
    for query in (
        get_introspection_query(),
        get_introspection_query(
            specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
        ),
        f"{{ {every} }}",
        f"{{ connectors {{ nodes {{ {wide} {'name ' * 500} }} }} }}",
    ):
        assert not read(query, DocumentLimits()).errors


# ---- over the wire


async def by_http(client: Client, query: str) -> Any:
    status, body = await client.ask(query)
    assert status == (400 if "data" not in body else 200)
    return body


async def by_socket(client: Client, query: str) -> Any:
    async with await SocketClient.connect(client.session, client.url) as socket:
        try:
            return await (await socket.subscribe(query)).next()
        except Refused as refused:
            return {"errors": refused.errors}


async def by_events(client: Client, query: str) -> Any:
    try:
        return await (await SseClient(client.session, client.url).subscribe(query)).next()
    except Refused as refused:
        return {"errors": refused.errors, "status": refused.status}


@pytest.mark.parametrize("ask", [by_http, by_socket, by_events])
async def test_limits_are_settings_and_are_the_same_whichever_way(sqlite_url: str, ask: Any) -> None:
    settings = {name: getattr(LIMITS, name) for name in LIMITS.__slots__}
    async with served(sqlite_url, **settings) as client:
        for setting, write in CASES:
            most = settings[setting]
            allowed = await ask(client, write(most))
            assert "data" in allowed or setting == "tokens_per_document", (setting, allowed)
            before = client.metric("connectory_graphql_refused_total", setting=setting)
            refused = await ask(client, write(most + 1))
            assert [error["extensions"] for error in refused["errors"]] == [{"code": "BAD_USER_INPUT"}]
            assert f"at most {most:,} " in refused["errors"][0]["message"]
            assert client.metric("connectory_graphql_refused_total", setting=setting) == before + 1
