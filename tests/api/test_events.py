"""The change log page by page: filters, both directions, and cursors that lose and repeat nothing."""

import base64
from collections.abc import Mapping
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from connectory.model import ConnectorStatus, EventKind, JobStatus
from connectory.store import Store
from connectory.store.log.cursors import Place
from connectory.store.log.entries import EVENT_COLUMNS, event_record
from connectory.store.reads.criteria import lets_through as criteria_let_through
from connectory.store.reads.records import EventRecord, SystemRecord
from connectory.store.reads.snapshot import open_snapshot
from connectory.store.tables import EVENTS
from connectory.store.tables.identity import CONNECTOR, JOB, SYSTEM, global_id
from tests.api.test_connectors import some
from tests.api.world import NOW, SCHEMA, Asker, SystemModel, World, Writer, begin, register
from tests.cursors import cursor_at, forget, log_position
from tests.facts import connector, job

PAGE = """query($f: EventFilter, $first: Int, $after: String, $last: Int, $before: String) {
    events(filter: $f, first: $first, after: $after, last: $last, before: $before) {
        edges { cursor node { __typename cursor kind at } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } eventCursor }"""


async def logged(world: World, store: Store) -> list[Any]:
    """The log of configured systems as the table has it, oldest first."""
    ids = [system.id for system in world.systems]
    async with store.read() as connection:
        rows = await connection.execute(select(EVENTS).where(EVENTS.c.system_id.in_(ids)).order_by(EVENTS.c.position))
        return list(rows)


def lets_through(world: World, row: Any, filter: dict[str, Any]) -> bool:
    named = {system.name: system.id for system in world.systems}
    tests = {
        "systems": lambda wanted: row.system_id in {named.get(name) for name in wanted},
        "connectorIds": lambda wanted: row.connector_id in wanted,
        "jobIds": lambda wanted: row.job_id in wanted,
        "kinds": lambda wanted: row.kind.name in wanted,
    }
    return all(not wanted or tests[name](wanted) for name, wanted in filter.items())


def lets_record_through(filter: dict[str, Any], record: EventRecord, systems: Mapping[str, SystemRecord]) -> bool:
    """What live events are sifted by, which must agree with what SQL lets through."""
    kinds = [EventKind[name] for name in filter.get("kinds") or ()]
    names = ("systems", "connectorIds", "jobIds")
    criteria = SimpleNamespace(
        **dict(zip(("systems", "connector_ids", "job_ids"), map(filter.get, names), strict=True)), kinds=kinds
    )
    return criteria_let_through(criteria, record, systems)


def positions(page: dict[str, Any]) -> list[int]:
    for edge in page["edges"]:
        assert edge["cursor"] == edge["node"]["cursor"]
    return [log_position(edge["cursor"]) for edge in page["edges"]]


def some_filter(world: World, chance: Random) -> dict[str, Any]:
    choosers = {
        "systems": some(["alpha", "gamma", "eta", "?"]),
        "connectorIds": some([row.id for row in world.connectors[:4]] + ["?", "\x00", world.jobs[0].id]),
        "jobIds": some([row.id for row in world.jobs[::40]] + ["?", "\x00"]),
        "kinds": some(EventKind),
    }
    assert set(choosers) == set(SCHEMA._schema.type_map["EventFilter"].fields)  # type: ignore[attr-defined]
    return {name: choosers[name](chance) for name in chance.sample(list(choosers), chance.choice((1, 1, 2)))}


async def test_filters(ask: Asker, world: World) -> None:
    rows, chance, found = await logged(world, ask.store), Random(5), 0
    async with open_snapshot(ask.store, NOW) as snapshot:
        systems = snapshot.systems
        records = [
            event_record(row, snapshot.store)
            for row in await snapshot.fetch(select(*EVENT_COLUMNS).order_by("position"))
        ]
    assert len(rows) > 350
    filters: list[dict[str, Any]] = [
        {},
        {"systems": [], "connectorIds": [], "jobIds": [], "kinds": []},
        dict.fromkeys(("systems", "kinds")),
    ]
    for filter in [*filters, *(some_filter(world, chance) for _ in range(40))]:
        page = (await ask(PAGE, f=filter, first=1000))["events"]
        expected = [row.position for row in rows if lets_through(world, row, filter)]
        assert positions(page) == expected, filter
        assert [record.position for record in records if lets_record_through(filter, record, systems)] == expected
        found += bool(expected)
    assert found > 15


async def test_a_connectors_events_include_those_of_its_jobs(ask: Asker, world: World) -> None:
    row = next(row for row in world.jobs if row.connector and row.system.name == "alpha")
    page = (await ask(PAGE, f={"connectorIds": [row.connector_id]}, first=1000))["events"]
    assert {edge["node"]["__typename"] for edge in page["edges"]} == {"ConnectorEvent", "JobEvent"}


@pytest.mark.parametrize("size", [1, 60, 1000])
@pytest.mark.parametrize("filter", [{}, {"kinds": ["CONNECTOR_ADDED", "SYSTEM_DOWN"]}, {"systems": ["?"]}])
async def test_walking_meets_each_event_once(ask: Asker, world: World, filter: dict[str, Any], size: int) -> None:
    if size == 1:
        filter = {"systems": ["alpha"], **filter}
    expected = [row.position for row in await logged(world, ask.store) if lets_through(world, row, filter)]
    met, cursor, more = list[int](), None, True
    while more:
        answer = await ask(PAGE, f=filter, first=size, after=cursor)
        info = answer["events"]["pageInfo"]
        assert info["hasPreviousPage"] == (cursor is not None)
        met += positions(answer["events"])
        cursor, more = info["endCursor"], info["hasNextPage"]
        assert cursor is not None
    assert met == expected
    assert cursor == answer["eventCursor"], "the last page was read to the end of the log, filtered-out events included"
    met, cursor, more = [], None, True
    while more:
        page = (await ask(PAGE, f=filter, last=size, before=cursor))["events"]
        assert page["pageInfo"]["hasNextPage"] == (cursor is not None)
        met = positions(page) + met
        cursor, more = page["pageInfo"]["startCursor"], page["pageInfo"]["hasPreviousPage"]
    assert met == expected


async def test_between_two_cursors(ask: Asker, world: World) -> None:
    rows = [row.position for row in await logged(world, ask.store)]
    bounds = {"after": await cursor_at(ask.store, rows[10]), "before": await cursor_at(ask.store, rows[20])}
    page = (await ask(PAGE, **bounds))["events"]
    assert positions(page) == rows[11:20]
    assert log_position(page["pageInfo"]["endCursor"]) == rows[20] - 1
    assert positions((await ask(PAGE, last=3, **bounds))["events"]) == rows[17:20]
    assert positions((await ask(PAGE, after=bounds["before"], before=bounds["after"]))["events"]) == []


async def test_an_empty_log(store: Store) -> None:
    await begin(store)
    ask = Asker(store)
    for arguments in ({}, {"first": 1}, {"last": 1}):
        answer = await ask(PAGE, **arguments)
        info = answer["events"]["pageInfo"]
        assert answer["events"]["edges"] == []
        assert (info["hasNextPage"], info["hasPreviousPage"]) == (False, False)
        assert info["endCursor"] == answer["eventCursor"]
    answer = await ask(PAGE, after=answer["eventCursor"])
    assert answer["events"]["pageInfo"]["hasPreviousPage"] is False


async def test_a_poller_with_a_filter_reads_on_behind_what_it_let_through(store: Store) -> None:
    """Polling with endCursor costs the new events only, and misses none."""
    writer, ask = await begin(store), Asker(store)
    wanted, met, cursor = {"kinds": ["JOB_FINISHED"]}, list[str](), None
    for n in range(6):
        status = JobStatus.SUCCEEDED if n % 2 else JobStatus.RUNNING
        await writer.poll(NOW, [connector("a", name=str(n))], [job("1", status=status, processed=n)])
        answer = await ask(PAGE, f=wanted, after=cursor)
        met += [edge["node"]["kind"] for edge in answer["events"]["edges"]]
        cursor = answer["events"]["pageInfo"]["endCursor"]
        assert cursor == answer["eventCursor"]
    assert met == ["JOB_FINISHED"] * 3


async def test_a_stretch_that_is_no_longer_kept_is_a_gap(store: Store) -> None:
    """Retention has taken the first rows: whoever was before them is told, whatever the filter."""
    writer, ask = await begin(store), Asker(store)
    for n in range(6):
        await writer.poll(NOW, [connector("a", name=str(n))], [])
    head = log_position((await ask(PAGE))["eventCursor"])
    gaps = (
        "query($after: String) { events(first: 1, after: $after, filter: { kinds: [JOB_FINISHED] }) { "
        "nodes { kind cursor ... on GapEvent { from to } } pageInfo { endCursor } } }"
    )
    early, last_lost = await cursor_at(store, 1), await cursor_at(store, head - 2)
    await forget(store, head - 2)
    told = (await ask(gaps, after=early))["events"]
    assert told["nodes"] == [{"kind": "GAP", "cursor": last_lost, "from": early, "to": last_lost}]
    assert told["pageInfo"]["endCursor"] == await cursor_at(store, head)
    assert (await ask(gaps, after=last_lost))["events"]["nodes"] == []
    page = (await ask(PAGE, after=early, first=1))["events"]
    assert [edge["node"]["kind"] for edge in page["edges"]] == ["GAP", "CONNECTOR_CHANGED"]
    assert positions((await ask(PAGE))["events"]) == [head - 1, head], "without a cursor nothing was missed"
    end = await cursor_at(store, head)
    await forget(store, head)
    assert [edge["node"]["kind"] for edge in (await ask(PAGE, after=last_lost))["events"]["edges"]] == ["GAP"]
    assert positions((await ask(PAGE, after=end))["events"]) == []


async def test_what_is_refused(ask: Asker) -> None:
    end = log_position((await ask(PAGE))["eventCursor"])
    for far in (end + 1, 2**63 - 1, 2**64 - 1):
        assert "another store" in await ask.refused(PAGE, before=Place(far, 1, 1).cursor)
    for argument in ("after", "before"):
        plain = ("log:-1", "log:", "log:1.5", "log:²", "jobs:1", f"log:{10**20}", "\x01", "\x01" + 20 * "\x00")
        garbage = [base64.b64encode(text.encode()).decode() for text in plain]
        garbage += ["x", "é", "=", "/w", "a" * 100_000]
        for cursor in garbage:
            assert "not a cursor" in await ask.refused(PAGE, **{argument: cursor})
    for arguments in ({"first": 0}, {"last": 1001}, {"first": 1, "last": 1}, {"first": -1}):
        await ask.refused(PAGE, **arguments)
    data, errors = await ask.try_("{ events(first: 0) { nodes { kind } } systems { name } }")
    assert (data["events"], len(data["systems"]), len(errors)) == (None, 6, 1)


# ---- what an event says

SAID = """{ events(first: 1000) { nodes { __typename kind at
  ... on ConnectorEvent { connectorId connectorStatus previousConnectorStatus connectorHealth previousConnectorHealth
                          changedFields connector { id name status removedAt } }
  ... on JobEvent { jobId jobStatus previousJobStatus processed changedFields job { id status connector { id } } }
  ... on SystemEvent { systemHealth message system { id health } } } } }"""


async def test_events_say_what_was_and_show_what_is(store: Store) -> None:
    writer = await begin(store)
    a = global_id(CONNECTOR, "alpha", "a")
    await writer.poll(NOW, [connector("a", name="old")], [job("1", status=JobStatus.RUNNING, processed=2**40)])
    await writer.poll(NOW, [connector("a", name="new", status=ConnectorStatus.ERROR)], [job("1", processed=2**41)])
    for _ in range(3):
        await writer.poll(NOW, [])
    await writer.fail(NOW)
    await writer.fail(NOW)
    added, created, recovered, changed, finished, removed, degraded, down = (await Asker(store)(SAID))["events"][
        "nodes"
    ]
    now = {"id": a, "name": "new", "status": "ERROR", "removedAt": NOW.isoformat()}
    assert added == {
        "__typename": "ConnectorEvent", "kind": "CONNECTOR_ADDED", "at": NOW.isoformat(), "connectorId": a,
        "connectorStatus": "ACTIVE", "previousConnectorStatus": None, "connectorHealth": "UNKNOWN",
        "previousConnectorHealth": None, "changedFields": [], "connector": now,
    }  # fmt: skip
    assert (recovered["kind"], recovered["systemHealth"]) == ("SYSTEM_CHANGED", "UP")
    assert created == {
        "__typename": "JobEvent", "kind": "JOB_CREATED", "at": NOW.isoformat(), "jobId": global_id(JOB, "alpha", "1"),
        "jobStatus": "RUNNING", "previousJobStatus": None, "processed": 2**40, "changedFields": [],
        "job": {"id": global_id(JOB, "alpha", "1"), "status": "SUCCEEDED", "connector": {"id": a}},
    }  # fmt: skip
    assert (changed["connectorStatus"], changed["previousConnectorStatus"]) == ("ERROR", "ACTIVE")
    assert (changed["connectorHealth"], changed["previousConnectorHealth"]) == ("FAILING", "UNKNOWN")
    assert {"health", "name", "status"} <= set(changed["changedFields"])
    assert (finished["kind"], finished["jobStatus"], finished["previousJobStatus"]) == (
        "JOB_FINISHED", "SUCCEEDED", "RUNNING",
    )  # fmt: skip
    assert finished["processed"] == 2**41
    assert (removed["kind"], removed["connector"]["removedAt"]) == ("CONNECTOR_REMOVED", NOW.isoformat())
    assert (degraded["kind"], degraded["systemHealth"]) == ("SYSTEM_CHANGED", "DEGRADED")
    assert (down["kind"], down["systemHealth"], down["message"]) == ("SYSTEM_DOWN", "DOWN", "it said TIMEOUT")
    assert degraded["system"] == {"id": global_id(SYSTEM, "alpha"), "health": "DOWN"}, "the present, not the past"


async def test_events_of_what_the_store_no_longer_has(store: Store) -> None:
    """They keep their ids; what they point to is null."""
    writer = await begin(store)
    await writer.poll(NOW, [connector("a")], [job("1", "unknown")])
    async with store.write() as connection:
        for table in ("connectors", "jobs"):
            await connection.exec_driver_sql(f"DELETE FROM {table}")
    events = {event["kind"]: event for event in (await Asker(store)(SAID))["events"]["nodes"]}
    assert events["CONNECTOR_ADDED"]["connectorId"] == global_id(CONNECTOR, "alpha", "a")
    assert events["CONNECTOR_ADDED"]["connector"] is None
    assert events["JOB_CREATED"]["jobId"] == global_id(JOB, "alpha", "1")
    assert events["JOB_CREATED"]["job"] is None


async def test_events_of_two_systems_share_one_log(store: Store) -> None:
    systems = [SystemModel("one", "onyx"), SystemModel("two", "elastic")]
    await register(store, *systems)
    for n in range(3):
        for system in systems:
            await Writer(store, system).poll(NOW, [connector("a", name=str(n))])
    everything = (await Asker(store)(PAGE, first=1000))["events"]
    assert positions(everything) == list(range(1, 9))
    second = (await Asker(store)(PAGE, f={"systems": ["two"]}, first=2))["events"]
    assert positions(second) == [3, 4]
