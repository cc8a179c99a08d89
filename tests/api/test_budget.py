"""What an operation may come to: by what it reads and tells, by depth and by time, whichever way it arrives."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from graphql import get_introspection_query

from connectory.execution.documents import kept
from connectory.limits import LOOK_UP, ROW, DocumentLimits, OperationLimits
from connectory.store import Store
from resolvers import lists
from resolvers.paging import encode_cursor
from schema import build_schema
from tests.api.gateway import Client, served
from tests.api.stand_in import PATIENT, STAND_IN
from tests.api.world import Asker, begin, open_context, run
from tests.facts import at, connector, job
from tests.live.client import SocketClient, SseClient

CONNECTORS, JOBS = 12, 10
LIMITS = DocumentLimits()
KILLING = "{ connectors(first: 1000) { nodes %s } }" % (
    "{ jobs(first: 1000) { nodes { id connector " * 4 + "{ id name }" + " } } }" * 4
)
MANY = " ".join(f"a{n}: name" for n in range(1000))
#: the field, and the list of connectors that it gives
CONNECTORS_LIST = LOOK_UP + 1


@pytest.fixture
async def filled(sqlite_store: Store) -> Store:
    writer = await begin(sqlite_store)
    jobs = [job(f"{i}-{n}", str(i)) for i in range(CONNECTORS) for n in range(JOBS)]
    await writer.poll(at(0), [connector(str(i)) for i in range(CONNECTORS)], jobs)
    return sqlite_store


COSTS: list[tuple[str, int]] = [
    ("{ connectors { nodes { id name } } }", CONNECTORS_LIST + CONNECTORS * (ROW + 2)),
    ("{ connectors { nodes { id ...F } } } fragment F on Connector { id n: id }", CONNECTORS_LIST + CONNECTORS * 12),
    ("{ connectors { edges { node { id } } } }", CONNECTORS_LIST + CONNECTORS * (ROW + 1 + 1)),
    ("{ connectors(first: 2) { totalCount nodes { id } } }", CONNECTORS_LIST + LOOK_UP + 2 * (ROW + 1)),
    (
        "{ connectors(first: 3) { nodes { jobs(first: 2) { nodes { id connector { id } } } } } }",
        CONNECTORS_LIST + 3 * (ROW + LOOK_UP + 1 + 2 * (ROW + 1 + LOOK_UP + 1)),
    ),
    (
        '{ connectors(first: 1) { nodes { history(from: "2026-08-01T00:00Z", to: "2026-08-05T00:00Z") { to } } } }',
        CONNECTORS_LIST + ROW + LOOK_UP + 4 * (ROW + 1),
    ),
    ("{ events(first: 5) { nodes { cursor } } }", LOOK_UP + 1 + 5 * (ROW + 1)),
    ("{ viewer { name role } }", 3),
]


@pytest.mark.parametrize(("query", "cost"), COSTS)
async def test_what_an_operation_comes_to(filled: Store, query: str, cost: int) -> None:
    await Asker(filled, limits=OperationLimits(values=cost))(query)
    data, (error,) = await Asker(filled, limits=OperationLimits(values=cost - 1)).try_(query)
    assert data is None
    assert error.extensions == {"code": "BAD_USER_INPUT"}
    assert f"comes to {cost:,} values and more; at most {cost - 1:,}" in error.message


async def test_a_query_that_would_kill_is_refused_once_and_early(filled: Store) -> None:
    asker = Asker(filled, limits=OperationLimits(values=20_000))
    data, (error,) = await asker.try_(KILLING)
    assert data is None
    found = re.search(r"comes to ([\d,]+) values and more; at most 20,000 are allowed", error.message)
    assert found
    assert int(found[1].replace(",", "")) < 20_000 + JOBS * ROW + 100  # noticed with the list that was too much
    assert await asker("{ connectors { totalCount } }") == {"connectors": {"totalCount": CONNECTORS}}


async def test_lists_under_many_parents_are_read_no_further_than_they_may_be(filled: Store) -> None:
    asker = Asker(filled, limits=OperationLimits(values=1_000))
    said = await asker.refused("{ connectors { nodes { jobs(first: 1000) { pageInfo { endCursor } } } } }")
    before = CONNECTORS_LIST + CONNECTORS * (ROW + LOOK_UP)
    assert f"comes to {before + 101 * ROW:,} values" in said  # of 120 rows


async def test_those_that_wait_for_their_turn_read_nothing_any_more(filled: Store) -> None:
    many = " ".join(f"a{n}: jobs(first: {n}) {{ pageInfo {{ endCursor }} }}" for n in range(1, 31))
    context = open_context(filled, limits=OperationLimits(values=CONNECTORS_LIST + 2 * (ROW + 30 * LOOK_UP) + 2 * ROW))
    snapshot = await context.snapshot()
    _, errors = await run(context, f"{{ connectors(first: 2) {{ nodes {{ {many} }} }} }}")
    assert len(errors) == 1
    await context.close()
    assert snapshot.statements < 10  # each list is one


async def test_lists_that_are_too_much_together_are_not_made(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def encode(place: str, value: Any, key: str, store: int) -> str:
        made.append(place)
        return encode_cursor(place, value, key, store)

    monkeypatch.setattr(lists, "encode_cursor", encode)
    before = CONNECTORS_LIST + CONNECTORS * (ROW + LOOK_UP)
    asker = Asker(filled, limits=OperationLimits(values=before + CONNECTORS * JOBS * ROW - 1))
    await asker.refused("{ connectors { nodes { jobs { nodes { id } } } } }")
    assert made == ["connectors.NAME.ASC"] * CONNECTORS


# ---- depth


def plain(depth: int) -> str:
    names = ["connectors", "nodes", *["latestJob", "connector"] * depth][: depth - 1]
    return f"{{ {' { '.join(names)} {{ id {'} ' * depth}"


def in_fragments(depth: int) -> str:
    """Every two steps are a fragment, and each is spread where it is less deep, too."""
    steps = range((depth - 3) // 2)
    fragments = (
        f"fragment F{n} on Connector {{ latestJob {{ connector {{ ... {{ id ...F{n + 1} }} }} }} }}" for n in steps
    )
    spread = " ".join(f"...F{n}" for n in reversed(steps))
    last = f"fragment F{len(steps)} on Connector {{ id }}"
    return f"{{ connectors {{ nodes {{ {spread} }} }} }} {' '.join(fragments)} {last}"


@pytest.mark.parametrize("write", [plain, in_fragments])
def test_fields_lie_only_so_deep_in_each_other(write: Callable[[int], str]) -> None:
    schema, most = build_schema()._schema, LIMITS.depth_per_operation
    assert not kept.read(schema, LIMITS, write(most - 1)).errors
    (error,) = kept.read(schema, LIMITS, write(most + 1)).errors
    assert f"at most {most} deep" in error.message
    assert error.locations


def test_introspection_is_not_too_deep() -> None:
    assert not kept.read(build_schema()._schema, LIMITS, get_introspection_query()).errors


# ---- the same whichever way it arrives


async def by_http(client: Client, query: str) -> Any:
    status, body = await client.ask(query)
    assert status == 200
    return body


async def by_events(client: Client, query: str) -> Any:
    return await (await SseClient(client.session, client.url).subscribe(query)).next()


async def by_socket(client: Client, query: str) -> Any:
    async with await SocketClient.connect(client.session, client.url) as socket:
        return await (await socket.subscribe(query)).next()


Ways = pytest.mark.parametrize("ask", [by_http, by_events, by_socket])
Ask = Callable[[Client, str], Coroutine[Any, Any, Any]]


@Ways
async def test_too_much_is_told_as_a_result(sqlite_url: str, ask: Ask) -> None:
    more = dict.fromkeys(("tokens_per_document", "fields_per_document", "aliases_per_operation"), 5_000)
    async with served(sqlite_url, values_per_operation=1_000, **more) as client:
        body = await ask(client, f"{{ viewer {{ {MANY} }} other: viewer {{ name }} }}")
    assert body["data"] is None
    (error,) = body["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert (error["path"], bool(error["locations"])) == (["viewer"], True)


@Ways
async def test_what_takes_too_long_is_ended(sqlite_url: str, ask: Ask) -> None:
    PATIENT.clear()
    async with served(sqlite_url, STAND_IN, seconds_per_operation=0.05) as client:
        body = await ask(client, "{ hello slow }")
        assert PATIENT[0].was_cancelled.is_set()
        assert client.counted("internal") == 0
    assert body["data"] is None
    (error,) = body["errors"]
    assert error["extensions"] == {"code": "OPERATION_TIMEOUT"}
    assert "longer than 0.05 s" in error["message"]
