"""Jobs and connectors that come back, or are another's now, while something is remembered of them."""

from dataclasses import replace

from connectory.model import JobStatus
from connectory.store import Store
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from tests.engine.stage import Stage
from tests.facts import at, connector, job

A, B = (global_id(CONNECTOR, "scripted", id) for id in "ab")
RUNNING = job("9", "a", JobStatus.RUNNING, processed=1, order_at=at(1), started_at=at(1))
BOTH = [connector(), connector("b")]


async def test_a_connector_that_returns_finds_its_open_job(store: Store) -> None:
    stage = await Stage.open(store)
    past = [
        job(str(n), "a", order_at=at(-600 * n), started_at=at(-600 * n), completed_at=at(60 - 600 * n))
        for n in range(1, 7)
    ]
    await stage.poll(BOTH, [*past, RUNNING])
    for _ in range(3):
        await stage.poll([connector("b")], [RUNNING])
        await stage.judge()
    assert (await stage.connector())["removed_at"] is not None
    stage.seconds += 4000
    await stage.poll(BOTH, [RUNNING])
    await stage.judge()
    assert set(await stage.conditions()) == {"NO_PROGRESS"}


async def test_a_job_that_is_another_connectors_now(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll(BOTH, [RUNNING])
    stage.seconds += 2000
    await stage.poll(BOTH, [RUNNING])
    await stage.judge()
    moved = replace(RUNNING, connector="b")
    for _ in range(6):
        await stage.poll(BOTH, [moved])
        await stage.judge()
        row = (await stage.conditions())["NO_PROGRESS"]
    assert (row["connector_id"], row["subject_id"]) == (B, global_id(JOB, "scripted", "9"))
    assert stage.memory.held.of(A) == []
    assert [finding.job_id for finding in stage.memory.held.of(B)] == [row["job_id"]]
    await stage.poll(BOTH, [replace(moved, connector="a", status=JobStatus.SUCCEEDED, completed_at=at(2100))])
    await stage.judge()
    assert await stage.conditions() == {}
    assert (stage.memory.jobs, stage.memory.held.of(B)) == ({}, [])
