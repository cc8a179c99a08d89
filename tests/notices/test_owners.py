"""A look is at those of whom something may have changed, some at a time, and tells what a look at everything would."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from connectory.model import ConditionCode, JobStatus
from connectory.notices import notifier
from connectory.notices.notifier import Notifier
from connectory.store import Store
from connectory.store.leases.rows import NOTICES_LEASE, Lease
from connectory.store.reads.notice_state import read_notice_state, read_systems
from connectory.store.reads.notices import read_place
from connectory.store.tables.identity import CONNECTOR, global_id
from connectory.store.writes.notices import write_notices
from connectory.store.writes.registration import Registration, register_systems
from tests.facts import at, connector, job
from tests.notices.scene import Scene, deliveries, notices, told
from tests.notices.test_notifier import STUCK, failed, receiver, scene

AT_ONCE = {"for": 0}


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The owners of each state that is read, connectors by external id."""
    found: list[set[str]] = []

    async def watched(connection: Any, current: Any, owners: Sequence[str], rows: Any) -> Any:
        found.append(set(owners))
        return await read_notice_state(connection, current, owners, rows)

    monkeypatch.setattr(notifier, "read_notice_state", watched)
    return found


def ids(*names: str) -> set[str]:
    return {global_id(CONNECTOR, "scripted", name) for name in names}


async def stuck(on: Scene, *names: str) -> None:
    for name in names:
        await on.holds(STUCK, name)


async def test_only_those_are_looked_at_of_whom_the_log_tells(store: Store, looked_at: list[set[str]]) -> None:
    on = await scene(store, receiver(**AT_ONCE))
    look = on.notifier().look
    four = [connector(name) for name in "abcd"]
    await on.poll(four)
    await stuck(on, "a", "b", "c")
    await look()
    assert looked_at == [{on.id} | ids("a", "b", "c")]
    await on.poll([connector("a", name="Another name"), *four[1:3], connector("d", name="Another name")])
    await look()
    assert looked_at[1:] == [ids("a")], "with the other one nothing is amiss"
    await on.clears(STUCK, "b")
    await look()
    await on.poll([connector("a", name="Another name"), *four[1:]])
    await look()
    assert looked_at[2:] == [ids("b"), ids("b")], "it waits for an answer, and others of the system do not"
    for _ in range(2):
        await look()
    assert looked_at[4:] == []


async def test_a_system_that_turns_concerns_all_its_connectors_in_trouble(
    sqlite_store: Store, looked_at: list[set[str]]
) -> None:
    on = await scene(sqlite_store, receiver(**AT_ONCE))
    other = await Scene.open(sqlite_store, "another")
    assert isinstance(other, Scene)
    await register_systems(sqlite_store, [Registration(each.name, "scripted", (), 90.0) for each in (on, other)])
    look = on.notifier().look
    for each in (on, other):
        await each.poll([connector("a"), connector("b"), connector("c")])
        await stuck(each, "a", "c")
    await look()
    for _ in range(2):
        await on.fail()
    await stuck(on, "b")
    await on.clears(STUCK, "c")
    looked_at.clear()
    for _ in range(2):
        await look()
    assert looked_at == [{on.id} | ids("a", "b", "c")]
    await on.poll([connector("a"), connector("b"), connector("c")])
    await look()
    assert looked_at[1:] == [{on.id} | ids("a", "b", "c")]
    for _ in range(2):
        await on.poll([connector("a"), connector("b"), connector("c")])
        await look()
    assert looked_at[2:] == [ids("c")] * 2
    open_ = {row["connector_id"] for row in await notices(sqlite_store) if row["recovered_at"] is None}
    assert open_ == ids("a", "b") | {global_id(CONNECTOR, "another", name) for name in "ac"}


async def test_what_waits_for_a_moment_is_looked_at_then(sqlite_store: Store, looked_at: list[set[str]]) -> None:
    on = await scene(sqlite_store, receiver(), receiver("patient", **{"for": 70}))
    look = on.notifier().look
    await on.poll([connector("a"), connector("b")])
    await stuck(on, "a")
    await look()
    on.seconds += 30
    await stuck(on, "b")
    await look()
    looked_at.clear()
    for seconds in (29.9, 0.1, 9.9, 0.1, 19.9, 0.1, 9.9, 0.1):
        on.seconds += seconds
        await look()
    assert looked_at == [ids("a"), ids("a"), ids("b"), ids("b")]
    assert await told(sqlite_store) == [("pager", "RAISED"), ("patient", "RAISED")] * 2
    assert [(row["raised_at"] - row["seen_at"]).total_seconds() for row in await notices(sqlite_store)] == [60, 60]


async def test_a_crash_between_two_slices_loses_nothing_and_doubles_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_SLICE", 2)
    on = await scene(store)
    names = "abcdefg"
    await on.poll([connector(name) for name in names])
    look = on.notifier().look
    await look()
    await on.poll([connector(name) for name in names], [failed(n, 20, name) for n, name in enumerate(names)])
    writes = 0

    async def crash(*arguments: Any) -> None:
        nonlocal writes
        writes += 1
        if writes == 3:
            raise KeyError("crashed")
        await write_notices(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(notifier, "write_notices", crash)
        with pytest.raises(KeyError):
            await look()
    assert len(await told(store)) == 4
    again = on.notifier()
    again._chance.seed(6)
    for each in (again.look, again.look):  # as after a restart
        await each()
    assert {row["connector_id"] for row in await notices(store)} == ids(*names)
    assert await told(store) == [("pager", "RAISED")] * 7
    assert [row["sequence"] for row in await deliveries(store)] == [*range(1, 8)]
    async with store.read() as connection:
        assert (await read_place(connection)).position == (await read_systems(connection)).position


async def test_of_what_comes_in_slices_the_system_is_told_first(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_SLICE", 1)
    on = await scene(sqlite_store)
    names = "abcd"
    await on.poll([connector(name) for name in names], [failed(n, -200, name) for n, name in enumerate(names)])
    for _ in range(2):
        await on.fail()
    assert await on.notifier().look()
    titles = [json.loads(row["payload"])["notice"]["title"] for row in await deliveries(sqlite_store)]
    assert (len(titles), titles[0]) == (5, "scripted is down")
    assert len({row["raised_at"] for row in await notices(sqlite_store)}) == 1, "it is one look"


async def test_a_failure_that_was_told_stays_one_when_an_outage_follows(sqlite_store: Store) -> None:
    on = await scene(sqlite_store, receiver(), receiver("patient", **{"for": 300}))
    look = on.notifier().look
    both = [connector(), connector("b")]
    await on.poll(both, [failed(1, 10)])
    await look()
    for _ in range(2):
        await on.fail()
    await on.poll(both, [job("2", "b", JobStatus.FAILED, order_at=at(50), completed_at=at(50))])
    await look()
    assert [row["connector_id"] for row in await notices(sqlite_store)] == [*ids("a")], "the other one is the outage's"
    on.seconds += 300
    await on.poll(both, [job("3", "b", JobStatus.FAILED, order_at=at(55), completed_at=at(55))])
    await look()
    assert await told(sqlite_store) == [("pager", "RAISED"), ("patient", "RAISED")]


async def test_whoever_begins_reads_what_is_open(sqlite_store: Store) -> None:
    on = await scene(sqlite_store, receiver(**AT_ONCE))
    await on.poll([connector("a"), connector("b")], [failed(1, 10)])
    await stuck(on, "b")
    await on.notifier().look()
    before = await notices(sqlite_store)
    lease, chance = Lease(NOTICES_LEASE, 0), on.notifier()._chance
    begun = Notifier(sqlite_store, on.receivers, lease=lease, clock=lambda: on.now, chance=chance)
    assert not await begun.look()
    assert await notices(sqlite_store) == before
    await on.holds(ConditionCode.OVERDUE, "b")
    begun._chance.seed(7)
    assert await begun.look()
    assert len(await notices(sqlite_store)) == 3
