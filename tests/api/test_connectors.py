"""Which connectors a filter lets through, against the same predicate in Python; and what is counted of them."""

import itertools
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from connectory.model import AccessType, ConditionCode, ConnectorHealth, ConnectorMode, ConnectorStatus, JobStatus
from connectory.store import Store
from tests.api.world import NAMES, SOURCES, Asker, ConnectorModel, World, begin
from tests.facts import at, connector

FOUND = "query($f: ConnectorFilter) { connectors(filter: $f, first: 1000) { nodes { id } totalCount } }"
Chooser = Callable[[Random], Any]
Predicate = Callable[[ConnectorModel, Any], bool]

BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "eq": int.__eq__,
    "gt": int.__gt__,
    "gte": int.__ge__,
    "lt": int.__lt__,
    "lte": int.__le__,
}
PARTS = (
    "strasse", "STRAß", "ß", "ss", "i", "I", "İ", "ı", "é", "É", "e\u0301", "%", "_", "\\", "/", "0 %", "🚀",
    "ROCKET 🚀", "'", '"', " ", "Ω", "fi", "\x00", "日", "nothing has this", "%%%", "a_b",
    "slash/", "x" * 60_000, "%" * 6000,
)  # fmt: skip


def some(values: Any) -> Chooser:
    """One to three of them, as GraphQL writes them."""
    pool = [getattr(value, "name", value) for value in values]
    return lambda chance: chance.sample(pool, chance.randint(1, min(3, len(pool))))


def bounds(chance: Random) -> dict[str, int]:
    numbers = (0, 1, 5, 6, 2**31, 2**40, 2**53 + 1, 2**63 - 1, -(2**63))
    return {name: chance.choice(numbers) for name in chance.sample(list(BOUNDS), chance.choice((1, 1, 2)))}


def within(row: ConnectorModel, wanted: dict[str, int]) -> bool:
    docs = row.fact.docs_indexed
    return docs is not None and all(BOUNDS[name](docs, bound) for name, bound in wanted.items())


def name_of(value: Any) -> str | None:
    return None if value is None else str(value.name)


def yes_or_no(chance: Random) -> bool:
    return chance.random() < 0.5


CRITERIA: dict[str, tuple[Chooser, Predicate]] = {
    "systems": (some(["alpha", "beta", "gamma", "delta", "zeta", "eta", "?", "\x00"]), lambda r, v: r.system.name in v),
    "kinds": (some(["onyx", "elastic", "feldera", "zensearch", "?"]), lambda r, v: r.system.kind in v),
    "sources": (some([*SOURCES, "?", "\x00"]), lambda r, v: r.fact.source in v),
    "modes": (some(ConnectorMode), lambda r, v: name_of(r.fact.mode) in v),
    "accessTypes": (some(AccessType), lambda r, v: name_of(r.fact.access_type) in v),
    "statuses": (some(ConnectorStatus), lambda r, v: name_of(r.fact.status) in v),
    "healths": (some(ConnectorHealth), lambda r, v: name_of(r.health) in v),
    "lastJobStatuses": (some(JobStatus), lambda r, v: name_of(r.fact.last_job_status) in v),
    "conditions": (
        some([*(ConditionCode[c] for c in ("STALE", "SYSTEM_DOWN", "OVERDUE", "QUEUED", "NO_PROGRESS", "NO_WORKER"))]),
        lambda r, v: not r.conditions.isdisjoint(v),
    ),
    "docsIndexed": (bounds, within),
    "nameContains": (lambda chance: chance.choice(PARTS), lambda r, v: v.casefold() in r.fact.name.casefold()),
    "inProgress": (yes_or_no, lambda r, v: r.fact.in_progress is v),
    "isStale": (yes_or_no, lambda r, v: r.is_stale is v),
    "includeRemoved": (yes_or_no, lambda r, v: True),
}


def let_through(world: World, filter: dict[str, Any]) -> list[ConnectorModel]:
    rows = world.connectors if filter.get("includeRemoved") else world.present
    return [row for row in rows if all(CRITERIA[name][1](row, value) for name, value in filter.items())]


async def check(ask: Asker, world: World, filter: dict[str, Any]) -> int:
    found = (await ask(FOUND, f=filter))["connectors"]
    expected = {row.id for row in let_through(world, filter)}
    ids = [node["id"] for node in found["nodes"]]
    assert set(ids) == expected, filter
    assert len(ids) == len(expected) == found["totalCount"], filter
    return len(ids)


def test_the_contract_has_no_criterion_that_is_not_tried_here() -> None:
    from schema import build_schema

    fields = build_schema()._schema.type_map["ConnectorFilter"].fields  # type: ignore[attr-defined]
    assert set(fields) == set(CRITERIA)


async def test_each_criterion_alone(ask: Asker, world: World) -> None:
    chance = Random(1)
    for name, (choose, _) in CRITERIA.items():
        sizes = {await check(ask, world, {name: choose(chance)}) for _ in range(8)}
        assert len(sizes) > 1, f"{name} never made a difference"


async def test_criteria_in_pairs(ask: Asker, world: World) -> None:
    chance = Random(2)
    found = 0
    for one, other in itertools.combinations(CRITERIA, 2):
        found += bool(await check(ask, world, {name: CRITERIA[name][0](chance) for name in (one, other)}))
    assert found > 40, "most pairs let nothing through"


async def test_many_criteria_at_once(ask: Asker, world: World) -> None:
    chance = Random(3)
    for _ in range(40):
        names = chance.sample(list(CRITERIA), chance.randint(3, 6))
        await check(ask, world, {name: CRITERIA[name][0](chance) for name in names})


async def test_every_part_of_a_name(ask: Asker, world: World) -> None:
    for part in (*PARTS, *(name for name in NAMES if name)):
        await check(ask, world, {"nameContains": part, "includeRemoved": True})


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        {},
        {"nameContains": "", "docsIndexed": {}},
        dict.fromkeys(CRITERIA),
        {name: [] for name in ("systems", "kinds", "sources", "modes", "accessTypes", "statuses", "conditions")},
        {"healths": [], "lastJobStatuses": [], "includeRemoved": False},
        {"docsIndexed": dict.fromkeys(BOUNDS)},
    ],
)
async def test_what_is_no_criterion(ask: Asker, world: World, nothing: Any) -> None:
    found = await ask(FOUND, f=nothing)
    assert found["connectors"]["totalCount"] == len(world.present) == 60


async def test_one_value_stands_for_a_list_of_one(ask: Asker, world: World) -> None:
    found = await ask('{ connectors(filter: {statuses: ACTIVE, systems: "alpha"}) { totalCount } }')
    expected = let_through(world, {"statuses": ["ACTIVE"], "systems": ["alpha"]})
    assert found["connectors"]["totalCount"] == len(expected)


async def test_the_same_value_many_times(ask: Asker, world: World) -> None:
    await check(ask, world, {"conditions": ["STALE"] * 2000, "sources": ["web"] * 40_000})


# ---- facets

FACETS: dict[str, Callable[[ConnectorModel], str | None]] = {
    "SYSTEM": lambda row: row.system.name,
    "KIND": lambda row: row.system.kind,
    "SOURCE": lambda row: row.fact.source,
    "MODE": lambda row: name_of(row.fact.mode),
    "STATUS": lambda row: name_of(row.fact.status),
    "HEALTH": lambda row: name_of(row.health),
    "ACCESS_TYPE": lambda row: name_of(row.fact.access_type),
    "LAST_JOB_STATUS": lambda row: name_of(row.fact.last_job_status),
}
COUNTED = " ".join(f"{name}: countBy(field: {name}) {{ value count }}" for name in FACETS)


def facet(rows: list[Any], value: Callable[[Any], str | None]) -> list[dict[str, Any]]:
    counted = Counter(value(row) for row in rows)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))
    return [{"value": value, "count": count} for value, count in ranked]


@pytest.mark.parametrize("filter", [{}, {"systems": ["alpha", "beta"], "includeRemoved": True}, {"systems": ["zeta"]}])
async def test_facets(ask: Asker, world: World, filter: dict[str, Any]) -> None:
    """Over all that the filter lets through, whatever the page shows."""
    query = f"query($f: ConnectorFilter) {{ connectors(filter: $f, first: 2, offset: 3) {{ {COUNTED} }} }}"
    found = (await ask(query, f=filter))["connectors"]
    rows = let_through(world, filter)
    assert found == {name: facet(rows, value) for name, value in FACETS.items()}


async def test_facets_within_systems(ask: Asker, world: World) -> None:
    query = f"""query($f: ConnectorFilter) {{
        systems {{ name totalConnectors
            connectors(filter: $f, last: 2, orderBy: {{field: DOCS_INDEXED}}) {{
                totalCount currentPage totalPages nodes {{ system {{ name }} }} {COUNTED} }} }}
    }}"""
    for filter in ({}, {"healths": ["FAILING", "UNKNOWN"]}, {"systems": ["alpha"], "includeRemoved": True}):
        for system in (await ask(query, f=filter))["systems"]:
            rows = [row for row in let_through(world, filter) if row.system.name == system["name"]]
            shown = system.pop("connectors")
            pages = -(-len(rows) // 2)
            assert (shown.pop("totalCount"), shown.pop("totalPages")) == (len(rows), pages)
            assert shown.pop("currentPage") == max(1, pages), "the last two stand on the last page"
            assert [node["system"]["name"] for node in shown.pop("nodes")] == [system["name"]] * min(2, len(rows))
            assert shown == {name: facet(rows, value) for name, value in FACETS.items()}
            assert system["totalConnectors"] == sum(row.system.name == system["name"] for row in world.present)


# ---- what a connector shows

SHOWN = """
fragment All on Connector {
  id externalId url name source mode status upstreamStatus health accessType inProgress docsIndexed lastJobStatus
  lastFinishedJobStatus lastSuccessAt observedAt removedAt isStale system { id name kind health }
  conditions { code severity message since evidence } details { __typename ... on OtherConnectorDetails { data } }
}"""


async def test_every_connector_shows_what_was_said_of_it(ask: Asker, world: World) -> None:
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { ...All } }" + SHOWN
    found = (await ask(query, ids=[row.id for row in world.connectors]))["nodes"]
    for row, node in zip(world.connectors, found, strict=True):
        fact = row.fact
        assert node["id"] == row.id
        assert (node["externalId"], node["name"], node["source"]) == (fact.external_id, fact.name, fact.source)
        assert (node["mode"], node["status"], node["health"]) == (fact.mode.name, fact.status.name, row.health.name)
        assert (node["docsIndexed"], node["inProgress"]) == (fact.docs_indexed, fact.in_progress)
        assert node["lastSuccessAt"] == (fact.last_success_at and fact.last_success_at.isoformat())
        assert (node["observedAt"], node["isStale"]) == (row.observed_at.isoformat(), row.is_stale)
        assert node["removedAt"] == (row.removed_at and row.removed_at.isoformat())
        assert {condition["code"] for condition in node["conditions"]} == row.conditions
        assert node["system"] == {
            "id": row.system.id,
            "name": row.system.name,
            "kind": row.system.kind,
            "health": row.system.health.name,
        }
        data = {"n": fact.external_id, "🚀": [1, None]}
        assert node["details"] == (fact.details and {"__typename": "OtherConnectorDetails", "data": data})


async def test_counts_beyond_32_bits_survive(store: Store) -> None:
    most = 2**63 - 1
    writer = await begin(store)
    await writer.poll(at(0), [connector("a", docs_indexed=most), connector("b", docs_indexed=most - 1)])
    ask = Asker(store, at(0))
    query = "query($n: Long) { connectors(filter: {docsIndexed: {gte: $n}}) { nodes { docsIndexed } } }"
    assert (await ask(query, n=most))["connectors"]["nodes"] == [{"docsIndexed": most}]
    assert len((await ask(query, n=-most - 1))["connectors"]["nodes"]) == 2
    data, errors = await ask.try_(query, n=most + 1)
    assert data is None
    assert "whole number" in errors[0].message
