"""Retention while others write: each portion decides in its own transaction what may still go."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from connectory.engine.retention import Retention
from connectory.model import ConditionCode, ConditionSeverity, JobErrorFact, JobFindings, JobStatus
from connectory.store import Store
from connectory.store.retention.batches import ExpiredBatch
from connectory.store.tables import CONDITIONS, DELIVERIES, JOB_ERRORS, JOBS, OUTAGES
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from connectory.store.writes.rows import replace_conditions
from tests.engine.stage import Stage, rows
from tests.engine.test_retention import (
    DAY,
    add_intervals,
    add_notice,
    ended,
    held_intervals,
    held_jobs,
    held_notices,
    retention,
)
from tests.facts import at, connector, job

ERRORS = (JobErrorFact("a document"),)


def before_the_first(
    table: str, happens: Callable[[], Awaitable[object]], sweeper: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let something happen between the finding of the first rows of ``table`` and their removal."""
    remove, found = sweeper._remove, set[str]()

    async def remove_later(portion: ExpiredBatch) -> Any:
        if portion.table == table and table not in found:
            found.add(table)
            await happens()
        return await remove(portion)

    monkeypatch.setattr(sweeper, "_remove", remove_later)


@pytest.mark.parametrize("table", ["job_errors", "jobs", "connectors"])
async def test_a_connector_that_comes_back_keeps_what_has_not_gone_yet(
    store: Store, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    stage = await Stage.open(store)
    jobs = [ended("2", 2, of="b", errors=ERRORS), ended("3", 2.1, of="b")]
    await stage.poll([connector("a"), connector("b")], [ended("1", 0), *jobs])
    for _ in range(2):
        await stage.poll([connector("a")])
    id = global_id(CONNECTOR, stage.name, "b")
    holds = {"subject_id": id, "code": ConditionCode.OVERDUE, "system_id": stage.id, "connector_id": id}
    holds |= {"job_id": None, "severity": ConditionSeverity.WARNING, "since": at(0), "message": "", "evidence": "{}"}

    async def comes_back() -> None:
        await stage.poll([connector("a"), connector("b")])
        async with store.write() as connection:
            await replace_conditions(connection, [holds])

    sweeper = retention(store, stage.now + timedelta(days=11), jobs_days=10)
    before_the_first(table, comes_back, sweeper, monkeypatch)
    await sweeper.sweep()
    back = await stage.connector("b")
    assert back["removed_at"] is None
    assert [row["connector_id"] for row in await rows(store, CONDITIONS)] == [id]
    kept = {"job_errors": {"2", "3"}, "jobs": {"2", "3"}, "connectors": set[str]()}[table]
    assert await held_jobs(store) == {"1"} | kept
    assert len(await rows(store, JOB_ERRORS)) == (table == "job_errors")
    assert back["latest_job_id"] == (global_id(JOB, stage.name, "3") if kept else None)
    await stage.poll([connector("a"), connector("b", name="other")], jobs)
    assert await held_jobs(store) == {"1"} | kept, "what was removed does not come back"


@pytest.mark.parametrize("table", ["job_errors", "jobs"])
async def test_a_job_that_is_needed_again_stays(store: Store, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """What was the last success turns out to have failed: the one before is the last success now."""
    stage = await Stage.open(store)
    failed = ended("2", 2, status=JobStatus.FAILED)
    await stage.poll([connector("a")], [ended("0", 0, errors=ERRORS), ended("1", 1), failed])

    async def turns_out_to_have_failed() -> None:
        await stage.poll([connector("a")], [ended("1", 1, status=JobStatus.FAILED)])

    sweeper = retention(store, jobs_per_connector=1)
    before_the_first(table, turns_out_to_have_failed, sweeper, monkeypatch)
    await sweeper.sweep()
    found = {row["external_id"]: row for row in await rows(store, JOBS)}
    assert "0" in found
    assert len(await rows(store, JOB_ERRORS)) == (table == "job_errors")
    assert (await stage.connector())["last_success_at"] == found["0"]["completed_at"]


async def test_a_job_that_is_resumed_keeps_what_hangs_on_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector("a")], [ended("1", 0, errors=ERRORS), ended("2", 30)])

    async def is_resumed() -> None:
        await stage.poll([connector("a")], [job("1", "a", JobStatus.RUNNING, order_at=at(0), started_at=at(0))])

    sweeper = retention(store, at(45 * DAY), jobs_days=20)
    before_the_first("job_errors", is_resumed, sweeper, monkeypatch)
    await sweeper.sweep()
    assert await held_jobs(store) == {"1", "2"}
    assert len(await rows(store, JOB_ERRORS)) == 1


async def test_two_sweeps_at_once_leave_as_much_as_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await Stage.open(store)
    await add_intervals(store, "often", *((n, n + 0.5) for n in range(130)))
    for n in range(130):
        await add_notice(store, f"{n:03}", n, n + 1)
    limits = {"outages_per_system": 2, "notices": 2}
    for table in ("outages", "notices"):
        sweeper = retention(store, **limits)
        before_the_first(table, retention(store, **limits).sweep, sweeper, monkeypatch)
        await sweeper.sweep()
    assert await held_intervals(store, OUTAGES) == [("often", at(n * DAY)) for n in (128, 129)]
    assert await held_notices(store) == {"128", "129"}


async def test_a_notice_that_waits_again_for_its_receiver_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await Stage.open(store)
    for n in range(6):
        await add_notice(store, f"{n}", n, n + 1)

    async def waits_again() -> None:
        async with store.write() as connection:
            again = update(DELIVERIES).where(DELIVERIES.c.notice_id == "0").values(delivered_at=None)
            await connection.execute(again)

    sweeper = retention(store, notices=4)
    before_the_first("notices", waits_again, sweeper, monkeypatch)
    await sweeper.sweep()
    assert "0" in await held_notices(store)


async def test_a_job_of_which_something_is_found_meanwhile_does_not_leave_it_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector("a")], [ended("1", 0), ended("2", 30)])
    id = global_id(JOB, stage.name, "1")

    async def is_looked_at() -> None:
        asked = {id: (await stage.job("1"))["fingerprint"]}
        await stage._commit().findings({id: JobFindings(errors=ERRORS)}, asked)

    sweeper = retention(store, at(45 * DAY), jobs_days=20)
    before_the_first("jobs", is_looked_at, sweeper, monkeypatch)
    await sweeper.sweep()
    assert {row["job_id"] for row in await rows(store, JOB_ERRORS)} <= {row["id"] for row in await rows(store, JOBS)}
    await sweeper.sweep()
    assert await held_jobs(store) == {"2"}
    assert await rows(store, JOB_ERRORS) == []


async def test_the_history_is_read_again_of_a_connector_that_comes_back_after_its_row_is_removed(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector("a"), connector("b")])
    await stage.history([], "a", "b")
    for _ in range(2):
        await stage.poll([connector("a")])
    await retention(store, stage.now + timedelta(days=11), jobs_days=10).sweep()
    await stage.poll([connector("a"), connector("b")])
    assert not (await stage.connector("b"))["history_read"]
    assert {name for name, memory in stage.known.connectors.items() if memory.history_read} == {"a"}
