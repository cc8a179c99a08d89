"""Which jobs a filter lets through, what is counted of them, and what a job shows."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any

from connectory.model import ConditionCode, CountsFact, JobStatus, JobTrigger, JobType, StageFact
from connectory.model.fields import graphql_name
from connectory.store import Store
from connectory.store.tables import JOB_ERRORS
from connectory.store.tables.identity import JOB, global_id
from connectory.store.writes.rows import insert_rows
from tests.api.test_connectors import Chooser, facet, name_of, some
from tests.api.world import SCHEMA, SOURCES, Asker, JobModel, World, begin
from tests.facts import at, connector, details, job

FOUND = "query($f: JobFilter) { jobs(filter: $f, first: 1000) { nodes { id } totalCount } }"


def moment(chance: Random) -> str:
    """Often a moment that jobs have exactly, in any offset."""
    zone = timezone(timedelta(minutes=chance.choice((0, 330, -720, 840))))
    return at(chance.choice((100, 100, chance.randrange(9000)))).astimezone(zone).isoformat()


def after(value: datetime | None, bound: str) -> bool:
    return value is not None and value > datetime.fromisoformat(bound)


def before(value: datetime | None, bound: str) -> bool:
    return value is not None and value < datetime.fromisoformat(bound)


def criteria(world: World) -> dict[str, tuple[Chooser, Callable[[JobModel, Any], bool]]]:
    ids = [row.id for row in world.connectors] + [global_id("Connector", "alpha", "unknown")]
    return {
        "systems": (some(["alpha", "beta", "gamma", "zeta", "eta", "?"]), lambda r, v: r.system.name in v),
        "connectorIds": (some([*ids[::5], ids[-1], "?", "", "\x00"]), lambda r, v: r.connector_id in v),
        "sources": (some([*SOURCES, "?", "\x00"]), lambda r, v: r.source in v),
        "statuses": (some(JobStatus), lambda r, v: r.status.name in v),
        "types": (some(JobType), lambda r, v: r.fact.type.name in v),
        "triggers": (some(JobTrigger), lambda r, v: r.fact.trigger.name in v),
        "startedAfter": (moment, lambda r, v: after(r.fact.started_at, v)),
        "startedBefore": (moment, lambda r, v: before(r.fact.started_at, v)),
        "completedAfter": (moment, lambda r, v: after(r.fact.completed_at, v)),
        "completedBefore": (moment, lambda r, v: before(r.fact.completed_at, v)),
        # what follows from the system and the clock is said of its connector
        "conditions": (
            some([*(ConditionCode[c] for c in ("STALE", "SYSTEM_DOWN", "QUEUED", "NO_PROGRESS", "OVERDUE"))]),
            lambda r, v: not r.conditions.isdisjoint(v),
        ),
    }


async def check(ask: Asker, world: World, filter: dict[str, Any]) -> int:
    known = criteria(world)
    expected = {r.id for r in world.jobs if all(known[name][1](r, value) for name, value in filter.items())}
    found = (await ask(FOUND, f=filter))["jobs"]
    ids = [node["id"] for node in found["nodes"]]
    assert set(ids) == expected, filter
    assert len(ids) == len(expected) == found["totalCount"], filter
    return len(ids)


async def test_each_criterion_alone(ask: Asker, world: World) -> None:
    known = criteria(world)
    assert set(known) == set(SCHEMA._schema.type_map["JobFilter"].fields)  # type: ignore[attr-defined]
    chance = Random(1)
    for name, (choose, _) in known.items():
        sizes = {await check(ask, world, {name: choose(chance)}) for _ in range(12)}
        assert len(sizes) > 1, f"{name} never made a difference"


async def test_criteria_in_pairs_and_many_at_once(ask: Asker, world: World) -> None:
    chance, known = Random(2), criteria(world)
    pairs = list(itertools.combinations(known, 2))
    for names in [*pairs, *(chance.sample(list(known), 4) for _ in range(20))]:
        await check(ask, world, {name: known[name][0](chance) for name in names})


async def test_what_is_no_criterion(ask: Asker, world: World) -> None:
    names = list(criteria(world))
    lists: dict[str, list[Any]] = {name: [] for name in names if not name.endswith(("After", "Before"))}
    for filter in (None, {}, lists, dict.fromkeys(names)):
        assert (await ask(FOUND, f=filter))["jobs"]["totalCount"] == len(world.jobs) == 300


async def test_moments_at_the_ends_of_time(ask: Asker, world: World) -> None:
    started = sum(row.fact.started_at is not None for row in world.jobs)
    for filter, count in (
        ({"startedAfter": "0001-01-01T00:00:00Z"}, started),
        ({"startedBefore": "9999-12-31T23:59:59.999999Z"}, started),
        ({"startedBefore": "0001-01-01T00:00:00Z"}, 0),
    ):
        assert (await ask(FOUND, f=filter))["jobs"]["totalCount"] == count
    for wrong in ("2026-08-20T10:00:00", "yesterday", "0001-01-01T00:00:00+01:00", 5, ""):
        data, errors = await ask.try_(FOUND, f={"startedAfter": wrong})
        assert data is None
        assert "write ISO 8601 with an offset" in errors[0].message


async def test_last_finished_job_of_each_connector(ask: Asker, world: World) -> None:
    query = """{ connectors(first: 1000, filter: {includeRemoved: true}) {
        nodes { id lastFinishedJob { id status completedAt } } } }"""
    shown = {node["id"]: node["lastFinishedJob"] for node in (await ask(query))["connectors"]["nodes"]}
    for of in world.connectors:
        ended = [
            row
            for row in world.jobs
            if row.connector is of
            and row.fact.type is not JobType.ACCESS_CONTROL
            and (row.status.ended or row.fact.completed_at is not None)
        ]
        newest = min(ended, key=lambda row: (-row.created_order, row.id), default=None)
        assert (shown[of.id] and shown[of.id]["id"]) == (newest and newest.id)
    assert len({job is None for job in shown.values()}) == 2
    assert ask.statements == 3


FACETS: dict[str, Callable[[JobModel], str | None]] = {
    "SYSTEM": lambda row: row.system.name,
    "SOURCE": lambda row: row.source,
    "STATUS": lambda row: row.status.name,
    "TYPE": lambda row: name_of(row.fact.type),
    "TRIGGER": lambda row: name_of(row.fact.trigger),
}
COUNTED = " ".join(f"{name}: countBy(field: {name}) {{ value count }}" for name in FACETS)


async def test_facets(ask: Asker, world: World) -> None:
    found = (await ask(f"{{ jobs(last: 2) {{ {COUNTED} }} }}"))["jobs"]
    assert found == {name: facet(world.jobs, value) for name, value in FACETS.items()}
    query = f'{{ jobs(filter: {{sources: ["web"]}}) {{ {COUNTED} }} }}'
    rows = [row for row in world.jobs if row.source == "web"]
    assert (await ask(query))["jobs"] == {name: facet(rows, value) for name, value in FACETS.items()}


async def test_jobs_of_each_connector(ask: Asker, world: World) -> None:
    query = f"""query($f: JobFilter) {{ connectors(first: 1000, filter: {{includeRemoved: true}}) {{ nodes {{ id
        jobs(filter: $f, first: 2, orderBy: {{field: INDEXED}}) {{
            totalCount totalPages currentPage nodes {{ id connector {{ id }} }} {COUNTED} }} }} }} }}"""
    for filter in ({}, {"statuses": ["RUNNING", "FAILED"]}, {"systems": ["alpha"]}):
        known = criteria(world)
        for node in (await ask(query, f=filter))["connectors"]["nodes"]:
            rows = [
                row
                for row in world.jobs
                if row.connector_id == node["id"] and all(known[name][1](row, v) for name, v in filter.items())
            ]
            rows.sort(key=lambda row: row.id)
            rows.sort(key=lambda row: -1 if row.fact.counts.indexed is None else row.fact.counts.indexed, reverse=True)
            shown = node["jobs"]
            assert [each["id"] for each in shown.pop("nodes")] == [row.id for row in rows[:2]]
            assert shown.pop("totalCount") == len(rows)
            assert (shown.pop("currentPage"), shown.pop("totalPages")) == (1, -(-len(rows) // 2))
            assert shown == {name: facet(rows, value) for name, value in FACETS.items()}


async def test_the_connector_of_a_job(ask: Asker, world: World) -> None:
    """Also a removed one; none where nobody ever knew it."""
    found = (await ask("{ jobs(first: 1000) { nodes { id connector { id removedAt } system { name } } } }"))["jobs"]
    shown = {node["id"]: node for node in found["nodes"]}
    assert len(shown) == len(world.jobs)
    for row in world.jobs:
        connector = shown[row.id]["connector"]
        assert (connector and connector["id"]) == (row.connector and row.connector.id)
        assert bool(connector and connector["removedAt"]) == bool(row.connector and row.connector.removed_at)
        assert shown[row.id]["system"]["name"] == row.system.name
    assert any(row.connector is None and row.connector_id for row in world.jobs)


# ---- what a job shows

PROGRESS = "progress { processed total percent ratePerSecond etaSeconds etaBasis stages { name count } }"


async def test_progress_is_honest(store: Store) -> None:
    writer = await begin(store)
    told: dict[str, dict[str, Any]] = {
        "half": {"processed": 5, "total": 10},
        "over": {"processed": 12, "total": 10},
        "none": {"processed": 0, "total": 10},
        "zero": {"processed": 0, "total": 0},
        "open": {"processed": 7},
        "mute": {"total": 7},
        "huge": {"processed": 2**62, "total": 2**63 - 1, "stages": (StageFact("collected", 2**40),)},
    }
    jobs = [job(id, None, JobStatus.RUNNING, **said) for id, said in told.items()]
    await writer.poll(at(0), [], jobs)
    found = (await Asker(store, at(0))(f"{{ jobs {{ nodes {{ externalId {PROGRESS} }} }} }}"))["jobs"]["nodes"]
    shown = {node["externalId"]: node["progress"] for node in found}
    percents = {"half": 50.0, "over": None, "none": 0.0, "zero": None, "open": None, "mute": None}
    assert {id: shown[id]["percent"] for id in percents} == percents
    assert 49.9 < shown["huge"]["percent"] < 50.1
    assert shown["huge"]["stages"] == [{"name": "collected", "count": 2**40}]
    assert shown["huge"]["total"] == 2**63 - 1
    assert (shown["mute"]["processed"], shown["open"]["total"], shown["half"]["stages"]) == (None, None, [])
    assert {(each["etaSeconds"], each["etaBasis"]) for each in shown.values()} == {(None, "NONE")}


async def test_how_long_a_job_took(store: Store) -> None:
    """From start to end; while it is open, to the moment at which it was last seen, not to now."""
    writer = await begin(store)
    jobs = [
        job("done", "a", started_at=at(0), completed_at=at(1.5)),
        job("odd", "a", started_at=at(5), completed_at=at(1)),
        job("never", "a", JobStatus.CANCELED, completed_at=at(1)),
        job("unclear", "a", JobStatus.FAILED, started_at=at(0)),
        job("open", "a", JobStatus.RUNNING, started_at=at(10)),
        job("queued", "a", JobStatus.PENDING),
        job("lost", "b", JobStatus.RUNNING, started_at=at(10)),
    ]
    await writer.poll(at(100), [connector("a")], jobs)
    still_open = [fact for fact in jobs if fact.external_id in ("open", "queued")]
    await writer.poll(at(110), [connector("a")], still_open, gone_jobs=frozenset({"lost"}))
    ask = Asker(store, at(1000))
    query = "{ jobs { nodes { externalId status durationSeconds observedAt } } }"
    shown = {node["externalId"]: node for node in (await ask(query))["jobs"]["nodes"]}
    assert {id: node["durationSeconds"] for id, node in shown.items()} == {
        "done": 1.5, "odd": 0.0, "never": None, "unclear": None, "open": 100.0, "queued": None, "lost": None,
    }  # fmt: skip
    assert {id for id, node in shown.items() if node["observedAt"] == at(110).isoformat()} == {"open", "queued"}
    assert shown["done"]["observedAt"] == at(100).isoformat(), "an ended job is not looked at again"
    assert (shown["lost"]["observedAt"], shown["lost"]["status"]) == (at(100).isoformat(), "UNKNOWN")
    await writer.fail(at(120))
    (node,) = (await ask("{ jobs(filter: {statuses: [RUNNING]}) { nodes { durationSeconds } } }"))["jobs"]["nodes"]
    assert node["durationSeconds"] == 100.0, "a system that does not answer tells nothing new"


async def test_counts_and_details(store: Store) -> None:
    counts = {name: n for n, name in enumerate(CountsFact._fields)} | {"volume_bytes": 2**50}
    said = details("OtherJobDetails", {"data": {"deep": [{"é": None}]}})
    writer = await begin(store)
    await writer.poll(at(0), [], [job("1", None, counts=CountsFact(**counts), details=said), job("2", None)])
    names = " ".join(map(graphql_name, CountsFact._fields))
    query = f"{{ jobs {{ nodes {{ counts {{ {names} }} details {{ ... on OtherJobDetails {{ data }} }} }} }} }}"
    told, silent = (await Asker(store, at(0))(query))["jobs"]["nodes"]
    assert told["counts"] == {graphql_name(name): count for name, count in counts.items()}
    assert set(silent["counts"].values()) == {None}
    assert (told["details"], silent["details"]) == ({"data": {"deep": [{"é": None}]}}, None)


# ---- documents that failed

ERRORS = """pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount
            nodes { message documentId } edges { cursor }"""


async def failing(store: Store) -> Asker:
    writer = await begin(store)
    await writer.poll(at(0), [], [job(id, None, JobStatus.FAILED) for id in ("few", "many", "none")])
    rows = [
        {"job_id": global_id(JOB, "alpha", of), "position": n, "message": f"{of} {n}", "document_id": None}
        | {"url": None, "at": None, "is_resolved": None}
        for of, count in (("few", 3), ("many", 30))
        for n in range(count)
    ]
    async with store.write() as connection:
        await insert_rows(connection, JOB_ERRORS, rows)
    return Asker(store, at(0))


async def test_errors_of_jobs_page_by_page(store: Store) -> None:
    ask = await failing(store)
    query = f"query($n: Int) {{ jobs {{ nodes {{ externalId errors(first: $n) {{ {ERRORS} }} }} }} }}"
    for size in (None, 1, 3, 30):
        shown = {node["externalId"]: node["errors"] for node in (await ask(query, n=size))["jobs"]["nodes"]}
        for of, count in (("few", 3), ("many", 30), ("none", 0)):
            page = shown[of]
            expected = [f"{of} {n}" for n in range(min(count, size or 25))]
            assert [node["message"] for node in page["nodes"]] == expected
            assert page["totalCount"] == count
            assert page["pageInfo"]["hasNextPage"] == (count > (size or 25))
        assert ask.statements <= 4
    one = f"query($id: ID!, $after: String) {{ job(id: $id) {{ errors(first: 7, after: $after) {{ {ERRORS} }} }} }}"
    seen: list[str] = []
    cursor = None
    while True:
        page = (await ask(one, id=global_id(JOB, "alpha", "many"), after=cursor))["job"]["errors"]
        seen += [node["message"] for node in page["nodes"]]
        assert page["pageInfo"]["hasPreviousPage"] == (cursor is not None)
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == [f"many {n}" for n in range(30)]
    assert "another job" in await ask.refused(one, id=global_id(JOB, "alpha", "few"), after=cursor)
