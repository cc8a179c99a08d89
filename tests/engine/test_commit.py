"""What a poll leaves in the store: connectors, their absence and return, and the state of their system."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from connectory.lanes import Lane
from connectory.model import (
    ConnectorHealth,
    ConnectorStatus,
    EventKind,
    JobStatus,
    Problem,
    SystemErrorCode,
    SystemHealth,
)
from connectory.store import Store
from connectory.store.leases.rows import LeaseLost
from connectory.store.tables import CONNECTORS, EVENTS, JOBS, LOG_HEAD, SYSTEMS
from tests.engine.stage import Stage, rows
from tests.facts import at, connector, job

A, B = connector("a"), connector("b")


@pytest.fixture
async def stage(store: Store) -> Stage:
    return await Stage.open(store)


@pytest.fixture
async def lite(sqlite_store: Store) -> Stage:
    """On SQLite alone, for what has nothing to do with the database."""
    return await Stage.open(sqlite_store)


async def test_what_is_new_is_stored_and_told(stage: Stage) -> None:
    position = await stage.poll([A, B], [job("1"), job("2", status=JobStatus.RUNNING)])
    kinds = await stage.kinds()
    assert kinds == [
        EventKind.CONNECTOR_ADDED,
        EventKind.CONNECTOR_ADDED,
        EventKind.JOB_CREATED,
        EventKind.JOB_CREATED,
        EventKind.SYSTEM_CHANGED,
    ]
    assert position == len(kinds)
    assert stage.known.open_jobs == {"2": "a"}
    assert (await stage.system())["observed_at"] == at(15)


async def test_an_unchanged_poll_writes_the_systems_row_alone(stage: Stage) -> None:
    facts = [A, B, connector("gone", is_removed=True)], [job("1"), job("2", status=JobStatus.RUNNING)]
    await stage.poll(*facts)
    before = [await rows(stage.store, table) for table in (CONNECTORS, JOBS, EVENTS, LOG_HEAD)]
    written: list[str] = []

    def listen(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "WITH", "BEGIN")):
            written.append(statement)

    event.listen(stage.store.lanes[Lane.WRITES].engine.sync_engine, "before_cursor_execute", listen)
    for _ in range(3):
        assert await stage.poll(*facts) is None
    assert [statement.split()[:2] for statement in written] == [["UPDATE", "systems"]] * 3
    assert [await rows(stage.store, table) for table in (CONNECTORS, JOBS, EVENTS, LOG_HEAD)] == before
    assert (await stage.system())["last_success_at"] == at(60)


async def test_a_restart_changes_nothing_of_that(stage: Stage) -> None:
    facts = [A, B, connector("gone", is_removed=True)], [job("1"), job("2", status=JobStatus.RUNNING)]
    await stage.poll(*facts)
    remembered = stage.known
    await stage.restart()
    assert stage.known == remembered
    assert await stage.poll(*facts) is None


async def test_memory_equals_what_the_store_tells(lite: Stage) -> None:
    """Whatever was polled: whoever starts anew knows the same."""
    running = job("2", status=JobStatus.RUNNING, order_at=at(3))
    await lite.poll([A, B], [job("1"), running], owed={"b"})
    await lite.poll([A], [], gone={"2"})
    await lite.history([job("0", "b", order_at=at(-9)), job("x", None)], "a", "b")
    await lite.poll([A], complete=False, problems=[Problem(SystemErrorCode.TIMEOUT, "…")])
    await lite.poll([A])
    await lite.poll([replace(A, is_removed=True)], [job("3", status=JobStatus.PENDING, order_at=at(4))])
    known, state = lite.known, lite.state
    await lite.restart()
    assert lite.known == known
    assert lite.state == state


# ---- absence


async def test_two_complete_answers_without_it_remove_a_connector(stage: Stage) -> None:
    await stage.poll([A, B])
    start = len(await stage.kinds())
    assert await stage.poll([B]) is None
    missing = await stage.connector()
    assert (missing["removed_at"], missing["observed_at"], missing["missed_polls"]) == (None, at(15), 1)
    await stage.poll([B])
    removed = await stage.connector()
    assert (removed["removed_at"], removed["observed_at"]) == (at(45), at(15))
    assert await stage.kinds(start) == [EventKind.CONNECTOR_REMOVED]
    before = await rows(stage.store, CONNECTORS)
    assert await stage.poll([B]) is None
    assert await rows(stage.store, CONNECTORS) == before


async def test_an_empty_list_has_to_come_three_times(lite: Stage) -> None:
    await lite.poll([A, B])
    for removed_at in (None, None, at(60)):
        await lite.poll([])
        assert {row["removed_at"] for row in await rows(lite.store, CONNECTORS)} == {removed_at}


async def test_an_incomplete_answer_never_counts_as_a_miss(lite: Stage) -> None:
    await lite.poll([A, B])
    for _ in range(5):
        await lite.poll([B], complete=False)
    row = await lite.connector()
    assert (row["missed_polls"], row["removed_at"], row["observed_at"]) == (0, None, at(15))
    assert (await lite.connector("b"))["observed_at"] is None
    assert (await lite.system())["observed_at"] == at(90)
    await lite.poll([B])
    assert (await lite.connector())["removed_at"] is None, "one complete miss only"


async def test_misses_have_to_be_consecutive(lite: Stage) -> None:
    await lite.poll([A, B])
    for _ in range(3):
        await lite.poll([B])
        await lite.poll([A, B])
    row = await lite.connector()
    assert (row["missed_polls"], row["removed_at"], row["observed_at"]) == (0, None, None)


async def test_misses_survive_a_restart(lite: Stage) -> None:
    await lite.poll([A, B])
    await lite.poll([B])
    await lite.restart()
    await lite.poll([B])
    assert (await lite.connector())["removed_at"] == at(45)


async def test_a_removed_connector_returns_with_its_jobs(stage: Stage) -> None:
    await stage.poll([A, B], [job("1")])
    await stage.history([], "a", "b")
    for _ in range(2):
        await stage.poll([B])
    start = len(await stage.kinds())
    await stage.poll([A, B])
    row = await stage.connector()
    assert (row["removed_at"], row["observed_at"], row["missed_polls"]) == (None, None, 0)
    assert row["latest_job_id"] == (await stage.job("1"))["id"]
    assert row["history_read"]
    assert await stage.kinds(start) == [EventKind.CONNECTOR_ADDED]
    assert not stage.known.connectors["a"].is_removed


async def test_what_the_upstream_marks_as_deleted_is_removed_at_once(stage: Stage) -> None:
    await stage.poll([A], [job("1", status=JobStatus.RUNNING)])
    start = len(await stage.kinds())
    deleted = replace(A, is_removed=True)
    await stage.poll([deleted])
    assert await stage.kinds(start) == [EventKind.CONNECTOR_REMOVED, EventKind.JOB_FINISHED]
    assert (await stage.connector())["removed_at"] == at(30)
    await stage.poll([replace(deleted, name="Other")])
    assert (await stage.connector())["removed_at"] == at(30), "since when it is gone does not move"
    await stage.poll([A])
    assert (await stage.connector())["removed_at"] is None
    assert (await stage.kinds(start))[2:] == [EventKind.CONNECTOR_CHANGED, EventKind.CONNECTOR_ADDED]


async def test_one_that_was_never_seen_alive_is_not_told_as_added(lite: Stage) -> None:
    await lite.poll([replace(A, is_removed=True)])
    assert EventKind.CONNECTOR_ADDED not in await lite.kinds()
    assert (await lite.connector())["removed_at"] == at(15)


async def test_a_deleted_one_that_vanishes_was_last_seen_when_it_was_told(lite: Stage) -> None:
    await lite.poll([replace(A, is_removed=True), B])
    await lite.poll([B])
    await lite.poll([B])
    row = await lite.connector()
    assert (row["removed_at"], row["observed_at"], row["missed_polls"]) == (at(15), at(15), 0)


# ---- what is owed


async def test_owed_connectors_count_as_changed_until_they_are_read(lite: Stage) -> None:
    await lite.poll([A, B], owed={"a"})
    assert not lite.known.unchanged(A)
    assert lite.known.unchanged(B)
    await lite.restart()
    assert not lite.known.unchanged(A)
    before = await rows(lite.store, CONNECTORS)
    assert await lite.poll([A, B], owed={"a"}) is None
    assert await rows(lite.store, CONNECTORS) == before
    await lite.poll([A, B], [job("1")])
    assert lite.known.unchanged(A)
    assert await lite.poll([A, B]) is None


# ---- oddities


async def test_duplicates_in_one_answer_are_one(stage: Stage) -> None:
    await stage.poll(
        [A, replace(A, name="Again")],
        [job("1", status=JobStatus.RUNNING), job("1", status=JobStatus.FAILED), job("2"), job("2")],
    )
    assert (await stage.connector())["name"] == "Again"
    assert (await stage.job("1"))["status"] is JobStatus.FAILED
    assert len(await rows(stage.store, JOBS)) == 2
    assert (await stage.kinds()).count(EventKind.JOB_CREATED) == 2
    assert stage.known.open_jobs == {}


async def test_texts_that_postgresql_refuses_do_not_stop_a_poll(stage: Stage) -> None:
    odd = connector("a\x00\ud800", name="N\x00UL", error_message="half a \ud83d pair", url="\x00")
    facts = [odd], [job("1\x00", "a\x00\ud800", error_message="\x00", status=JobStatus.RUNNING)]
    problem = Problem(SystemErrorCode.MISMATCH, "odd \x00 text")
    await stage.poll(*facts, problems=[problem])
    row = await stage.connector("a\x00\ud800")
    assert (row["name"], row["error_message"]) == ("N\ufffdUL", "half a \ufffd pair")
    assert (await stage.system())["error_message"] == "odd \ufffd text"
    await stage.restart()
    assert await stage.poll(*facts, problems=[problem]) is None, "after a restart it is still the same connector"
    assert list(stage.known.open_jobs.items()) == [("1\x00", "a\x00\ud800")]


async def test_a_poll_that_another_process_overtook_stores_nothing(stage: Stage) -> None:
    await stage.poll([A])
    other = await Stage.open(stage.store)
    await other.take_over()
    other.seconds = stage.seconds + 1
    await other.poll([replace(A, status=ConnectorStatus.ERROR)])
    before = [await rows(stage.store, table) for table in (SYSTEMS, CONNECTORS, EVENTS, LOG_HEAD)]
    with pytest.raises(LeaseLost):
        await stage.poll([replace(A, name="Stale")])
    assert [await rows(stage.store, table) for table in (SYSTEMS, CONNECTORS, EVENTS, LOG_HEAD)] == before
    await stage.restart()
    await stage.take_over()
    await stage.poll([replace(A, name="Fresh")])
    assert (await stage.connector())["name"] == "Fresh"


async def test_a_failing_commit_loses_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.poll([A])
    known, before = (
        repr(stage.known),
        [await rows(stage.store, t) for t in (SYSTEMS, CONNECTORS, JOBS, EVENTS, LOG_HEAD)],
    )
    facts = [replace(A, name="New"), B], [job("1", status=JobStatus.RUNNING)]
    with monkeypatch.context() as patched:

        async def fail(*_: Any) -> int:
            raise ConnectionResetError("the connection was lost")

        patched.setattr("connectory.engine.recording.commit.append_events", fail)
        with pytest.raises(ConnectionResetError):
            await stage.poll(*facts)
    assert repr(stage.known) == known
    assert [await rows(stage.store, t) for t in (SYSTEMS, CONNECTORS, JOBS, EVENTS, LOG_HEAD)] == before
    start = len(before[3])
    await stage.poll(*facts)
    events = await stage.events(start)
    assert [e["kind"] for e in events] == [
        EventKind.CONNECTOR_CHANGED,
        EventKind.CONNECTOR_ADDED,
        EventKind.JOB_CREATED,
    ]
    assert [e["position"] for e in events] == [start + 1, start + 2, start + 3]


async def test_a_row_that_fails_in_the_middle_takes_the_whole_poll_with_it(stage: Stage) -> None:
    await stage.poll([A])
    before = [await rows(stage.store, table) for table in (SYSTEMS, CONNECTORS, JOBS, EVENTS, LOG_HEAD)]
    with pytest.raises(Exception, match=r"int64|too large"):
        await stage.poll([replace(A, name="New")], [job("1"), job("2", processed=2**63)])
    assert [await rows(stage.store, table) for table in (SYSTEMS, CONNECTORS, JOBS, EVENTS, LOG_HEAD)] == before


async def big_poll(stage: Stage, connectors: int, jobs: int) -> None:
    """So many connectors and jobs in one answer, then nothing new, then all of them gone."""
    facts = [connector(f"c{n}") for n in range(connectors)]
    runs = [job(f"j{n}", f"c{n % connectors}", order_at=at(n), docs_in_index=n) for n in range(jobs)]
    assert await stage.poll(facts, runs) == 1 + connectors + jobs
    assert len(await rows(stage.store, CONNECTORS)) == connectors
    assert (await stage.connector("c17"))["docs_indexed"] == jobs - connectors + 17
    assert await stage.poll(facts, runs) is None
    await stage.poll([])
    await stage.poll([])
    assert await stage.poll([]) == 1 + 2 * connectors + jobs
    await stage.restart()
    assert all(memory.is_removed for memory in stage.known.connectors.values())


async def test_a_poll_of_several_batches(stage: Stage) -> None:
    """Rows are written 500 at a time; tests/proofs/test_big_poll.py has more of them."""
    await big_poll(stage, 1_100, 2_200)


async def test_health_follows_from_facts_and_jobs(lite: Stage) -> None:
    await lite.poll([A])
    assert (await lite.connector())["health"] is ConnectorHealth.UNKNOWN
    await lite.poll([A], [job("1", status=JobStatus.FAILED, order_at=at(1))])
    assert (await lite.connector())["health"] is ConnectorHealth.FAILING
    await lite.poll([A], [job("2", order_at=at(2))])
    assert (await lite.connector())["health"] is ConnectorHealth.HEALTHY
    event, _ = (await lite.events())[-2:]
    assert (event["previous_health"], event["health"]) == (
        ConnectorHealth.FAILING.value,
        ConnectorHealth.HEALTHY.value,
    )


async def test_a_system_taken_out_of_the_configuration_is_hidden_and_returns(stage: Stage) -> None:
    await stage.poll([A], [job("1")])
    before = await rows(stage.store, CONNECTORS)
    other = await Stage.open(stage.store, "other")
    assert not (await stage.system())["configured"]
    await other.poll([A])
    again = await Stage.open(stage.store)
    assert (await again.system())["configured"]
    assert not (await other.system())["configured"]
    assert again.known == stage.known
    assert (await again.system())["health"] is SystemHealth.UNKNOWN, "nobody has asked it since"
    assert [row for row in await rows(stage.store, CONNECTORS) if row["system_id"] == stage.id] == before
