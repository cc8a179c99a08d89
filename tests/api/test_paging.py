"""Pages: every row once in every order, direction and size, while rows change too; and what is refused."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from connectory.model import ConnectorFact, ConnectorStatus, CountsFact, JobStatus
from connectory.store import Store
from tests.api.world import Asker, World, Writer, begin, in_order
from tests.facts import at, connector, job

CONNECTOR_ORDERS: dict[str, Callable[[Any], Any]] = {
    "NAME": lambda row: row.fact.name.casefold(),
    "SOURCE": lambda row: row.fact.source,
    "STATUS": lambda row: row.fact.status.value,
    "DOCS_INDEXED": lambda row: row.fact.docs_indexed,
    "LAST_SUCCESS_AT": lambda row: row.fact.last_success_at,
    "HEALTH": lambda row: row.health.value,
}
JOB_ORDERS: dict[str, Callable[[Any], Any]] = {
    "CREATED_AT": lambda row: row.created_order,
    "STARTED_AT": lambda row: row.fact.started_at,
    "COMPLETED_AT": lambda row: row.fact.completed_at,
    "STATUS": lambda row: row.status.value,
    "INDEXED": lambda row: row.fact.counts.indexed,
}
PAGE = """edges { cursor node { id } } totalCount currentPage totalPages
          pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"""


def listing(field: str, type_: str) -> str:
    return f"""query($o: {type_}Order, $f: {type_}Filter, $first: Int, $after: String, $last: Int, $before: String,
                     $offset: Int) {{
        page: {field}(orderBy: $o, filter: $f, first: $first, after: $after, last: $last, before: $before,
                      offset: $offset) {{ {PAGE} }} }}"""


LISTS = {"connectors": listing("connectors", "Connector"), "jobs": listing("jobs", "Job")}
Order = dict[str, str]


def ids(page: dict[str, Any]) -> list[str]:
    return [edge["node"]["id"] for edge in page["edges"]]


def check_cursors(page: dict[str, Any]) -> None:
    edges, info = page["edges"], page["pageInfo"]
    assert info["startCursor"] == (edges[0]["cursor"] if edges else None)
    assert info["endCursor"] == (edges[-1]["cursor"] if edges else None)


async def forwards(ask: Asker, query: str, size: int, **more: Any) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = []
    after = None
    while not pages or pages[-1]["pageInfo"]["hasNextPage"]:
        page = (await ask(query, first=size, after=after, **more))["page"]
        check_cursors(page)
        assert page["pageInfo"]["hasPreviousPage"] == bool(pages)
        pages.append(page)
        after = page["pageInfo"]["endCursor"]
    return pages


async def backwards(ask: Asker, query: str, size: int, **more: Any) -> list[dict[str, Any]]:
    """In the order read: the last page first."""
    pages: list[dict[str, Any]] = []
    before = None
    while not pages or pages[-1]["pageInfo"]["hasPreviousPage"]:
        page = (await ask(query, last=size, before=before, **more))["page"]
        check_cursors(page)
        assert page["pageInfo"]["hasNextPage"] == bool(pages)
        pages.append(page)
        before = page["pageInfo"]["startCursor"]
    return pages


async def by_number(ask: Asker, query: str, size: int, **more: Any) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = []
    while not pages or pages[-1]["pageInfo"]["hasNextPage"]:
        page = (await ask(query, first=size, offset=size * len(pages), **more))["page"]
        check_cursors(page)
        assert page["pageInfo"]["hasPreviousPage"] == bool(pages)
        pages.append(page)
    return pages


async def walk_every_way(ask: Asker, query: str, sizes: tuple[int, ...], expected: list[str], **more: Any) -> None:
    for size in sizes:
        count = -(-len(expected) // size)
        for way in (forwards, by_number, backwards):
            pages = await way(ask, query, size, **more)
            numbers = list(range(1, max(1, count) + 1))
            if way is backwards:
                pages.reverse()
            assert [id for page in pages for id in ids(page)] == expected, (way.__name__, size, more)
            assert [page["currentPage"] for page in pages] == numbers, (way.__name__, size)
            assert {(page["totalCount"], page["totalPages"]) for page in pages} == {(len(expected), count)}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", CONNECTOR_ORDERS)
async def test_connectors_in_every_order(ask: Asker, world: World, field: str, direction: str) -> None:
    expected = in_order(world.present, CONNECTOR_ORDERS[field], descending=direction == "DESC")
    order = {"field": field, "direction": direction}
    await walk_every_way(ask, LISTS["connectors"], (13, 60) if field == "NAME" else (13,), expected, o=order)
    own = [id for id in expected if _system(world, id) == "gamma"]
    await walk_every_way(ask, LISTS["connectors"], (1,), own, o=order, f={"systems": ["gamma"]})


def _system(world: World, id: str) -> str:
    return next(row.system.name for row in world.connectors if row.id == id)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", JOB_ORDERS)
async def test_jobs_in_every_order(ask: Asker, world: World, field: str, direction: str) -> None:
    rows = [row for row in world.jobs if row.system.name in ("alpha", "beta")]
    expected = in_order(rows, JOB_ORDERS[field], descending=direction == "DESC")
    filter = {"systems": ["alpha", "beta"]}
    sizes = (29, 1000) if field == "STARTED_AT" else (29,)
    await walk_every_way(ask, LISTS["jobs"], sizes, expected, o={"field": field, "direction": direction}, f=filter)


async def test_orders_when_nothing_is_said(ask: Asker, world: World) -> None:
    found = await ask(
        "{ connectors(first: 1000) { edges { node { id } } } jobs(first: 1000) { edges { node { id } } } }"
    )
    assert ids(found["connectors"]) == in_order(world.present, CONNECTOR_ORDERS["NAME"], descending=False)
    assert ids(found["jobs"]) == in_order(world.jobs, JOB_ORDERS["CREATED_AT"], descending=True)
    found = await ask(
        "{ connectors(orderBy: {field: SOURCE}, first: 1000) { edges { node { id } } }"
        "  jobs(orderBy: {field: INDEXED}, first: 1000) { edges { node { id } } } }"
    )
    assert ids(found["connectors"]) == in_order(world.present, CONNECTOR_ORDERS["SOURCE"], descending=False)
    assert ids(found["jobs"]) == in_order(world.jobs, JOB_ORDERS["INDEXED"], descending=True)


async def test_twenty_five_when_no_size_is_given(ask: Asker, world: World) -> None:
    page = (await ask(LISTS["connectors"]))["page"]
    assert (len(ids(page)), page["currentPage"], page["totalPages"]) == (25, 1, 3)
    page = (await ask(LISTS["connectors"], offset=50))["page"]
    assert (len(ids(page)), page["currentPage"], page["totalPages"]) == (10, 3, 3)
    page = (await ask(LISTS["connectors"], before=page["pageInfo"]["startCursor"]))["page"]
    assert (len(ids(page)), page["currentPage"]) == (25, 1), "'before' alone narrows the list and reads from its start"


async def test_pages_of_nothing(ask: Asker) -> None:
    none = {"systems": ["zeta"]}
    for arguments in ({}, {"first": 5}, {"last": 5}, {"offset": 0}):
        page = (await ask(LISTS["connectors"], f=none, **arguments))["page"]
        assert page == {
            "edges": [], "totalCount": 0, "currentPage": 1, "totalPages": 0,
            "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
        }  # fmt: skip


async def test_pages_beyond_the_ends(ask: Asker, world: World) -> None:
    query = LISTS["connectors"]
    everything = (await ask(query, first=1000))["page"]["pageInfo"]
    page = (await ask(query, first=10, after=everything["endCursor"]))["page"]
    assert (ids(page), page["currentPage"], page["totalPages"]) == ([], 6, 6)
    assert (page["pageInfo"]["hasNextPage"], page["pageInfo"]["hasPreviousPage"]) == (False, True)
    page = (await ask(query, last=10, before=everything["startCursor"]))["page"]
    assert (ids(page), page["currentPage"], page["totalPages"]) == ([], 1, 6)
    assert (page["pageInfo"]["hasNextPage"], page["pageInfo"]["hasPreviousPage"]) == (True, False)
    page = (await ask(query, first=10, offset=1000))["page"]
    assert (ids(page), page["totalPages"], page["pageInfo"]["hasPreviousPage"]) == ([], 6, True)


async def test_between_two_cursors(ask: Asker, world: World) -> None:
    query = LISTS["connectors"]
    edges = (await ask(query, first=1000))["page"]["edges"]
    between = {"after": edges[9]["cursor"], "before": edges[30]["cursor"]}
    inner = [edge["node"]["id"] for edge in edges[10:30]]
    page = (await ask(query, first=15, **between))["page"]
    assert (ids(page), page["pageInfo"]["hasNextPage"], page["totalCount"]) == (inner[:15], True, 60)
    page = (await ask(query, last=15, **between))["page"]
    assert (ids(page), page["pageInfo"]["hasPreviousPage"]) == (inner[5:], True)
    assert ids((await ask(query, first=1000, **between))["page"]) == inner
    assert ids((await ask(query, first=5, after=edges[30]["cursor"], before=edges[9]["cursor"]))["page"]) == []


async def test_pages_of_nested_lists(ask: Asker, world: World) -> None:
    """The jobs of each connector, from the same cursor on and with the same offset."""
    query = """query($ids: [ID!]!, $first: Int, $after: String, $last: Int, $before: String, $offset: Int) {
        nodes(ids: $ids) { ... on Connector { id
            page: jobs(first: $first, after: $after, last: $last, before: $before, offset: $offset) {""" + (
        PAGE + " } } } }"
    )
    rows = {row.id: [job for job in world.jobs if job.connector_id == row.id] for row in world.connectors}
    wanted = sorted(rows)
    expected = {id: in_order(jobs, JOB_ORDERS["CREATED_AT"], descending=True) for id, jobs in rows.items()}
    everything = in_order(world.jobs, JOB_ORDERS["CREATED_AT"], descending=True)
    cursor = (await ask(LISTS["jobs"], first=150))["page"]["edges"][149]
    at_cursor = everything.index(cursor["node"]["id"])
    for arguments, part in (
        ({"first": 2}, lambda own, cut: own[:2]),
        ({"last": 2}, lambda own, cut: own[-2:]),
        ({"first": 2, "offset": 1}, lambda own, cut: own[1:3]),
        (
            {"first": 2, "after": cursor["cursor"]},
            lambda own, cut: [id for id in own if everything.index(id) > cut][:2],
        ),
        (
            {"last": 2, "before": cursor["cursor"]},
            lambda own, cut: [id for id in own if everything.index(id) < cut][-2:],
        ),
    ):
        shown = (await ask(query, ids=wanted, **arguments))["nodes"]
        assert ask.statements <= 6, "one statement for all connectors, whatever is counted"
        for node in shown:
            own, page = expected[node["id"]], node["page"]
            assert ids(page) == part(own, at_cursor), arguments
            assert (page["totalCount"], page["totalPages"]) == (len(own), -(-len(own) // 2))
            if ids(page):
                edge = ids(page)[-1 if "last" in arguments else 0]
                assert page["currentPage"] == own.index(edge) // 2 + 1, arguments
                assert page["pageInfo"]["hasNextPage"] == (ids(page)[-1] != own[-1] if "first" in arguments
                                                           else "before" in arguments)  # fmt: skip


# ---- while rows change


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", ["NAME", "DOCS_INDEXED", "STATUS"])
async def test_rows_that_stay_are_met_once_while_others_move(store: Store, field: str, direction: str) -> None:
    chance = Random(f"{field} {direction}")
    writer = await begin(store)
    facts = {f"{n:02}": _some(chance, f"{n:02}") for n in range(24)}
    await writer.poll(at(0), list(facts.values()))
    rows = (await Asker(store, at(0))("{ connectors(first: 1000) { nodes { id externalId } } }"))["connectors"]["nodes"]
    stays = {row["id"] for row in rows if int(row["externalId"]) % 2}
    query, order = LISTS["connectors"], {"field": field, "direction": direction}
    ask = Asker(store, at(1))
    complete = ids((await ask(query, first=1000, o=order))["page"])
    settled = [id for id in complete if id in stays]
    for way, there, bound, end in (
        ("first", "after", "endCursor", "hasNextPage"),
        ("last", "before", "startCursor", "hasPreviousPage"),
    ):
        met: list[str] = []
        cursor, more, step = None, True, 0
        while more:
            page = (await ask(query, o=order, **{way: 4, there: cursor}))["page"]
            met = met + ids(page) if way == "first" else ids(page) + met
            cursor, more = page["pageInfo"][bound], page["pageInfo"][end]
            step += 1
            await _stir(writer, facts, chance, step)
            assert step < 60
        assert [id for id in met if id in stays] == settled


def _some(chance: Random, id: str) -> ConnectorFact:
    return connector(
        id, name=chance.choice("abcDEF"), docs_indexed=chance.choice((None, *range(6))),
        status=chance.choice(list(ConnectorStatus)[:4]),
    )  # fmt: skip


async def _stir(writer: Writer, facts: dict[str, ConnectorFact], chance: Random, step: int) -> None:
    """Even ones change, go and come; the row that the cursor points to may be among them."""
    for id in list(facts):
        if int(id) % 2 == 0 and chance.random() < 0.4:
            facts[id] = replace(_some(chance, id), is_removed=chance.random() < 0.3)
    facts[f"{100 + 2 * step}"] = _some(chance, f"{100 + 2 * step}")
    await writer.poll(at(step), list(facts.values()))


async def test_a_walk_through_jobs_while_new_ones_come(store: Store) -> None:
    writer = await begin(store)
    await writer.poll(at(0), [connector()], [job(f"old {n}", order_at=at(n // 3)) for n in range(20)])
    ask, query = Asker(store, at(0)), LISTS["jobs"]
    expected = ids((await ask(query, first=1000))["page"])
    met: list[str] = []
    cursor, more = None, True
    while more:
        page = (await ask(query, first=3, after=cursor))["page"]
        met += ids(page)
        cursor, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        await writer.poll(at(50 + len(met)), [connector()], [job(f"new {len(met)}", order_at=at(50 + len(met)))])
    assert met == expected, "new jobs stand ahead of the walk, and shift nothing"


# ---- what is refused

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"first": 0}, "'first' must be from 1 to 1000, not 0."),
    ({"first": -1}, "'first' must be from 1 to 1000, not -1."),
    ({"first": 1001}, "'first' must be from 1 to 1000, not 1001."),
    ({"last": 0}, "'last' must be from 1 to 1000, not 0."),
    ({"last": 1001}, "'last' must be from 1 to 1000, not 1001."),
    ({"first": 1, "last": 1}, "Give 'first' or 'last', not both."),
    ({"offset": -1}, "'offset' must not be negative, not -1."),
    ({"offset": 0, "after": "CURSOR"}, "'offset' cannot be combined with 'after' or 'before'."),
    ({"offset": 0, "before": "CURSOR"}, "'offset' cannot be combined with 'after' or 'before'."),
    ({"offset": 1, "last": 1}, "'offset' counts from the start: combine it with 'first', not with 'last'."),
]


@pytest.mark.parametrize("field", LISTS)
async def test_arguments_that_make_no_sense(ask: Asker, field: str) -> None:
    cursor = (await ask(LISTS[field], first=1))["page"]["pageInfo"]["endCursor"]
    for arguments, said in REFUSED:
        given = {name: cursor if value == "CURSOR" else value for name, value in arguments.items()}
        assert await ask.refused(LISTS[field], **given) == said


async def test_siblings_of_a_refused_field_are_answered(ask: Asker) -> None:
    data, errors = await ask.try_("{ connectors(first: 0) { totalCount } jobs(first: 1) { totalCount } eventCursor }")
    assert data["connectors"] is None
    assert data["jobs"] == {"totalCount": 300}
    assert data["eventCursor"]
    assert [error.path for error in errors] == [["connectors"]]


def made_up(*packed: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(packed).encode()).decode().rstrip("=")


NAME = "connectors.NAME.ASC"
PACKED: tuple[tuple[Any, ...], ...] = (
    (), (1,), (NAME,), (NAME, "a"), (NAME, "a", 1), (NAME, "a", "b", "c"), ([], "a", "id"), (NAME, 1, "id"),
    (NAME, None, "id"), (NAME, ["a"], "id"), (NAME, "\x00", "id"), (NAME, "a", "\x00"), (NAME, "\ud800", "id"),
    (NAME, "a", "\ud800"),
)  # fmt: skip
GARBAGE = ["x", "====", "é", "bm8", "a" * 100_000, *(made_up(*parts) for parts in PACKED)]
GARBAGE += [base64.b64encode(plain).decode() for plain in (b"[" * 5000, b"\xff\xfe\xfd", b'{"a":1,"b":2,"c":3}')]
TYPED: dict[str, tuple[Any, ...]] = {
    "DOCS_INDEXED": ("5", 5.5, True, 2**63, -(2**63) - 1, []),
    "STATUS": ("ACTIVE", 99, -1, None, [], {}),
    "LAST_SUCCESS_AT": (5, "now", "2026-01-01T00:00:00", "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"),
}


@pytest.mark.parametrize("argument", ["after", "before"])
async def test_cursors_that_nobody_gave_out(ask: Asker, argument: str) -> None:
    cases = [("NAME", cursor) for cursor in GARBAGE]
    cases += [(field, made_up(f"connectors.{field}.ASC", value, "id")) for field in TYPED for value in TYPED[field]]
    for field, cursor in cases:
        said = await ask.refused(LISTS["connectors"], o={"field": field}, **{argument: cursor})
        assert said.startswith(f"'{argument}' is ") and "cursor" in said, cursor  # noqa: PT018


async def test_cursors_of_other_lists_and_orders(ask: Asker) -> None:
    by_name = (await ask(LISTS["connectors"], first=1))["page"]["pageInfo"]["endCursor"]
    of_jobs = (await ask(LISTS["jobs"], first=1))["page"]["pageInfo"]["endCursor"]
    of_log = (await ask("{ eventCursor }"))["eventCursor"]
    other = "'after' is a cursor of another list or of another order."
    assert await ask.refused(LISTS["jobs"], after=by_name) == other
    assert await ask.refused(LISTS["connectors"], after=of_jobs) == other
    for order in ({"field": "SOURCE"}, {"field": "NAME", "direction": "DESC"}):
        assert await ask.refused(LISTS["connectors"], after=by_name, o=order) == other
    assert "not a cursor" in await ask.refused(LISTS["connectors"], after=of_log)
    assert (await ask(LISTS["connectors"], after=by_name, o={"field": "NAME", "direction": "ASC"}))["page"]["edges"]


async def test_variables_of_the_wrong_type(ask: Asker) -> None:
    wrong: list[dict[str, Any]] = [{"first": "1"}, {"first": 1.5}, {"after": 5}, {"o": {"field": "COLOUR"}}, {"o": {}},
                      {"f": {"docsIndexed": {"gt": "1"}}}, {"f": {"nope": 1}}, {"first": 2**31}]  # fmt: skip
    for variables in wrong:
        data, errors = await ask.try_(LISTS["connectors"], **variables)
        assert data is None
        assert len(errors) == 1
        assert errors[0].message.startswith("Variable '$")


async def test_counters_in_jobs_order_by_64_bits(store: Store) -> None:
    writer = await begin(store)
    counts = [None, 0, 2**31, 2**53, 2**53 + 1, 2**63 - 1]
    jobs = [job(str(n), None, JobStatus.FAILED, counts=CountsFact(indexed=count)) for n, count in enumerate(counts)]
    await writer.poll(at(0), [], jobs)
    ask = Asker(store, at(0))
    pages = await forwards(ask, LISTS["jobs"], 1, o={"field": "INDEXED", "direction": "ASC"})
    shown = [base64.b64decode(id).decode().rsplit(":")[-1] for page in pages for id in ids(page)]
    assert shown == ["1", "2", "3", "4", "5", "0"]
