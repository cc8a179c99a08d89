"""What judging writes: conditions, health, log rows and what to expect; and what it leaves alone."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from connectory.engine import Engine
from connectory.engine.judging.judge import judge
from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.memory.system_memory import SystemMemory
from connectory.engine.recording import conditions as judgement
from connectory.model import ConnectorHealth, ConnectorMode, CountsFact, EventKind, JobStatus, JobType, Observation
from connectory.store import Store
from connectory.store.leases.rows import LeaseLost
from connectory.store.tables import CONDITIONS, EVENTS
from connectory.store.tables.identity import CONNECTOR, JOB, external_id, global_id
from tests.engine.stage import Stage, rows
from tests.facts import Scripted, at, configured, connector, job
from tests.notices.scene import Scene
from tests.wait import until

A = global_id(CONNECTOR, "scripted", "a")
ELASTIC: dict[str, Any] = {"one_job_at_a_time": "connector", "tells_workers": True}


def job_id(id: str) -> str:
    return global_id(JOB, "scripted", id)


def running(processed: int | None = 5, status: JobStatus = JobStatus.RUNNING, **fields: Any) -> Any:
    return job("1", "a", status, processed=processed, order_at=at(1), started_at=at(1), **fields)


def ended(id: str, start: float, status: JobStatus = JobStatus.SUCCEEDED, seconds: float = 100, **fields: Any) -> Any:
    return job(id, "a", status, order_at=at(start), started_at=at(start), completed_at=at(start + seconds), **fields)


async def test_a_job_that_stands_still_and_moves_again(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector(last_success_at=at(0))], [running()])
    assert await stage.judge(no_progress=30) is None
    assert await stage.conditions() == {}
    stage.seconds += 15
    await stage.poll([connector(last_success_at=at(0))], [running()])
    before = stage.state.last_poll_at
    position = await stage.judge(no_progress=30, critical_factor=100)
    row = (await stage.conditions())["NO_PROGRESS"]
    assert (row["subject_id"], row["connector_id"], row["job_id"]) == (job_id("1"), A, job_id("1"))
    assert (row["severity"].name, row["since"]) == ("WARNING", at(15))
    assert (await stage.connector())["health"] is ConnectorHealth.DEGRADED
    changed, moved = (await stage.events())[-2:]
    assert (changed["kind"], changed["changed_fields"]) == (EventKind.CONNECTOR_CHANGED, "conditions,health")
    assert (changed["health"], changed["previous_health"]) == (1, 0)
    assert (moved["kind"], moved["changed_fields"]) == (EventKind.JOB_CHANGED, "conditions")
    assert moved["position"] == position
    assert stage.state.last_poll_at == before
    # nothing new: nothing written, also not by a poll that writes the connector for another reason
    assert await stage.judge(no_progress=30, critical_factor=100) is None
    await stage.poll([connector(name="Another name", last_success_at=at(0))], [running()])
    assert await stage.judge(no_progress=30, critical_factor=100) is None
    assert (await stage.connector())["health"] is ConnectorHealth.DEGRADED
    await stage.poll([connector(name="Another name", last_success_at=at(0))], [running(6)])
    beyond = (await stage.events())[-1]["position"]
    assert await stage.judge(no_progress=30, critical_factor=100) is not None
    assert await stage.conditions() == {}
    assert (await stage.connector())["health"] is ConnectorHealth.HEALTHY
    events = [(event["kind"].name, event["changed_fields"]) for event in await stage.events(beyond)]
    assert events == [("CONNECTOR_CHANGED", "conditions,health"), ("JOB_CHANGED", "conditions")]


async def test_a_restart_neither_forgets_nor_repeats(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector()], [running()])
    await stage.poll([connector()], [running()])
    await stage.poll([connector()], [running()])
    await stage.judge(no_progress=30)
    held = await stage.conditions()
    for _ in range(3):
        await stage.restart()
        await stage.poll([connector()], [running()])
        assert await stage.judge(no_progress=30, critical_factor=100) is None
    assert await stage.conditions() == held
    await stage.poll([connector()], [running(7)])
    await stage.judge(no_progress=30)
    assert await stage.conditions() == {}


async def test_a_restart_does_not_forget_since_when_a_checkpoint_is_held_back(store: Store) -> None:
    stage = await Stage.open(store)
    for _ in range(3):
        await stage.poll([connector(blocks_checkpoint=True)])
        assert await stage.judge(checkpoint=40) is None
        await stage.restart()
    await stage.poll([connector(blocks_checkpoint=True)])
    await stage.judge(checkpoint=40)
    assert (await stage.conditions())["BLOCKS_CHECKPOINT"]["since"] == at(15)
    await stage.poll([connector()])
    await stage.judge(checkpoint=40)
    assert await stage.conditions() == {}
    assert (await stage.connector())["blocks_since"] is None


async def test_what_moved_before_a_restart_is_read_back_from_the_log(store: Store) -> None:
    stage = await Stage.open(store)
    for processed in (None, 1, 2, 2, 5):
        await stage.poll([connector()], [running(processed, last_seen_at=at(processed or 0))])
    watched = stage.memory
    await stage.restart()
    for past in (watched, stage.memory):
        view = past.jobs[job_id("1")].view
        assert [(sample.at, sample.processed) for sample in view.samples] == [(at(30), 1), (at(45), 2), (at(75), 5)]
        assert (view.first_seen_at, view.moved_at, view.heartbeat_at) == (at(15), at(75), at(75))
        assert view.status_since is None
    await stage.poll([connector()], [running(5, status=JobStatus.CANCELING)])
    await stage.restart()
    assert stage.memory.jobs[job_id("1")].view.status_since == at(90)


@pytest.mark.parametrize("kept", ["nothing", "the newest line"])
async def test_what_holds_tells_what_the_log_no_longer_does(store: Store, kept: str) -> None:
    stage = await Stage.open(store)
    beating = running(last_seen_at=at(0))
    await stage.poll([connector()], [beating])
    stage.seconds += 1000
    beating = running(last_seen_at=at(1000))
    await stage.poll([connector()], [beating])
    await stage.judge()
    held = await stage.conditions()
    assert set(held) == {"NO_PROGRESS"}
    newest = (await stage.events())[-1]["position"]
    async with store.write() as connection:
        await connection.execute(EVENTS.delete().where(EVENTS.c.position < newest + (kept == "nothing")))
    stage.seconds += 300
    await stage.restart()
    await stage.poll([connector()], [beating])
    assert await stage.judge() is None
    assert await stage.conditions() == held
    await stage.poll([connector()], [running(6, last_seen_at=at(stage.seconds))])
    await stage.judge()
    assert await stage.conditions() == {}


async def test_a_restart_after_an_outage_does_not_forget_it(store: Store) -> None:
    stage = await Scene.open(store)
    assert isinstance(stage, Scene)
    beating = running(last_seen_at=at(0))
    await stage.poll([connector()], [beating])
    for _ in range(2):
        await stage.fail()
    stage.seconds += 2000
    await stage.poll([connector()], [beating])
    await stage.restart()
    await stage.poll([connector()], [beating])
    await stage.judge()
    assert await stage.conditions() == {}
    stage.seconds += 600
    await stage.poll([connector()], [beating])
    await stage.judge()
    assert set(await stage.conditions()) == {"HEARTBEAT_LOST"}


async def test_conditions_end_with_their_job_in_the_same_commit(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector()], [running()])
    await stage.poll([connector()], [running()])
    await stage.judge(no_progress=10)
    assert set(await stage.conditions()) == {"NO_PROGRESS"}
    beyond = (await stage.events())[-1]["position"]
    await stage.poll([connector()], [ended("1", 1, processed=5)])
    assert await stage.conditions() == {}
    assert stage.memory.held.findings == {}
    events = {event["kind"].name: event["changed_fields"].split(",") for event in await stage.events(beyond)}
    assert "conditions" in events["JOB_FINISHED"]
    assert {"conditions", "health"} <= set(events["CONNECTOR_CHANGED"])
    assert (await stage.connector())["health"] is ConnectorHealth.HEALTHY
    assert await stage.judge(no_progress=10) is None


@pytest.mark.parametrize("how", ["absent", "deleted"])
async def test_conditions_end_with_their_connector(store: Store, how: str) -> None:
    stage = await Stage.open(store)
    others = [connector("b")]
    await stage.poll([connector(), *others], [running(), ended("0", -100, JobStatus.FAILED)])
    await stage.poll([connector(), *others], [running()])
    await stage.judge(no_progress=10, failures=1)
    assert set(await stage.conditions()) == {"NO_PROGRESS", "REPEATED_FAILURES"}
    gone = [*others, connector(is_removed=True)] if how == "deleted" else others
    await stage.poll(gone)
    await stage.poll(gone)
    assert (await stage.connector())["removed_at"] is not None
    assert await stage.conditions() == {}
    assert A not in stage.memory.connectors
    assert stage.memory.jobs == {}


async def test_failures_are_counted_over_what_the_store_remembers(store: Store) -> None:
    stage = await Stage.open(store)
    failed = [ended(str(n), n * 1000 - 20_000, JobStatus.FAILED, error_message=f"no {n}") for n in range(6)]
    await stage.poll([connector()], [ended("ok", -50_000)])
    await stage.history(failed[:1], "a")
    await stage.judge()
    assert await stage.conditions() == {}, "one failure is no series"
    for count in range(2, 7):
        await stage.poll([connector()], failed[count - 1 : count])
        await stage.judge()
        row = (await stage.conditions(A))["REPEATED_FAILURES"]
        assert row["severity"].name == ("CRITICAL" if count >= 5 else "WARNING")
        assert (await stage.connector())["health"] is ConnectorHealth.FAILING
        if count == 3:
            await stage.restart()
    assert row["since"] == at(-18_900)
    await stage.poll([connector()], [ended("good", -9000)])
    await stage.judge()
    assert await stage.conditions() == {}


async def test_a_job_behind_another_and_one_without_a_worker(store: Store) -> None:
    stage = await Stage.open(store)
    waiting = job("2", "a", JobStatus.PENDING, order_at=at(2), created_at=at(2))
    await stage.poll([connector(worker_seen_at=at(0))], [running(), waiting])
    await stage.poll([connector(worker_seen_at=at(20))], [running(), waiting])
    await stage.judge(kind=ELASTIC, queued=10)
    row = (await stage.conditions(job_id("2")))["QUEUED_BEHIND"]
    assert f'"behindJobId": "{job_id("1")}"' in row["evidence"]
    await stage.poll([connector(worker_seen_at=at(20))], [ended("1", 1), waiting])
    stage.seconds += 100
    await stage.poll([connector(worker_seen_at=at(20))], [waiting])
    await stage.judge(kind=ELASTIC, queued=10, no_worker=60)
    assert set(await stage.conditions()) == {"NO_WORKER"}
    await stage.poll([connector(worker_seen_at=at(150))], [waiting])
    await stage.judge(kind=ELASTIC, queued=10, no_worker=60)
    assert set(await stage.conditions()) == {"QUEUED"}
    assert (await stage.connector())["health"] is ConnectorHealth.HEALTHY, "to wait is no concern"


async def test_a_sentence_that_changes_is_told_at_once(store: Store) -> None:
    stage = await Stage.open(store)
    kind = {"one_job_at_a_time": "connector"}
    ahead, first, second = (
        running(),
        *(job(id, "a", JobStatus.PENDING, order_at=at(int(id)), created_at=at(int(id))) for id in ("2", "3")),
    )
    for _ in range(2):
        await stage.poll([connector()], [ahead, first, second])
        await stage.judge(kind=kind, queued=10)
    behind = (await stage.conditions(job_id("3")))["QUEUED_BEHIND"]
    assert f'"behindJobId": "{job_id("1")}"' in behind["evidence"]
    beyond = (await stage.events())[-1]["position"]
    begun = job("2", "a", JobStatus.RUNNING, processed=0, order_at=at(2), created_at=at(2))
    await stage.poll([connector()], [ended("1", 1), begun, second])
    await stage.judge(kind=kind, queued=10)
    after = (await stage.conditions(job_id("3")))["QUEUED_BEHIND"]
    assert f'"behindJobId": "{job_id("2")}"' in after["evidence"]
    assert after["since"] == behind["since"]
    events = {(event["job_id"], event["changed_fields"]) for event in await stage.events(beyond)}
    assert (job_id("3"), "conditions") in events


async def test_evidence_that_moves_with_every_poll_is_told_to_nobody(store: Store) -> None:
    stage = await Stage.open(store)

    async def poll(total: int) -> tuple[bool, int | None]:
        waits = running(10, type=JobType.STREAM, counts=CountsFact(total=total))
        await stage.poll([connector(mode=ConnectorMode.STREAMING)], [waits])
        position = await stage.judge(no_progress=30, critical_factor=100)
        found = (await stage.conditions()).get("NO_PROGRESS")
        return position is not None, None if found is None else json.loads(found["evidence"])["waiting"]

    found = [await poll(20 + n) for n in range(8)]
    assert [is_found for is_found, _ in found] == [False, False, True, False, False, False, False, False]
    assert [waiting for _, waiting in found] == [None, None, 12, 12, 12, 12, 16, 16], "written once a minute"


async def test_a_stream_whose_errors_grow_and_which_holds_a_checkpoint_back(store: Store) -> None:
    stage = await Stage.open(store)

    async def poll(errors: int, barrier: bool) -> set[str]:
        stream = {"mode": ConnectorMode.STREAMING, "parse_errors": errors, "transport_errors": 7}
        counts = CountsFact(total=10 + errors, failed=errors)
        open_ = running(10 + errors, type=JobType.STREAM, counts=counts)
        await stage.poll([connector(blocks_checkpoint=barrier, **stream)], [open_])
        await stage.judge(error_window=40, checkpoint=20)
        return set(await stage.conditions())

    assert await poll(3, True) == set(), "a total says nothing"
    assert await poll(4, True) == {"PARSE_ERRORS"}
    assert await poll(4, True) == {"PARSE_ERRORS", "BLOCKS_CHECKPOINT"}
    assert await poll(4, False) == {"PARSE_ERRORS"}
    assert await poll(4, False) == set()


async def test_a_connector_whose_open_job_was_not_read_is_left_alone(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector()], [running()])
    for _ in range(5):
        await stage.poll([connector()], [])
        await stage.judge(no_progress=10)
    assert await stage.conditions() == {}
    await stage.poll([connector()], [running()], owed=["a"])
    await stage.judge(no_progress=10)
    assert await stage.conditions() == {}
    await stage.poll([connector()], [running()])
    await stage.judge(no_progress=10)
    assert set(await stage.conditions()) == {"NO_PROGRESS"}


async def test_what_past_runs_let_expect_stands_in_the_row(store: Store) -> None:
    stage = await Stage.open(store)
    past = [ended(f"p{n}", -1000 * (n + 1), processed=100 + n) for n in range(4)]
    await stage.poll([connector()], [*past, running(10)])
    await stage.judge()
    row = await stage.job("1")
    assert (row["expected_seconds"], row["expected_processed"], row["expected_runs"]) == (100.0, 102, 4)
    assert row["rate_per_second"] is None, "too little was seen"
    assert await stage.judge() is None
    await stage.poll([connector()], [running(40)])
    row = await stage.job("1")
    assert (row["rate_per_second"], row["counted_at"]) == (2.0, at(30))
    await stage.restart()
    await stage.poll([connector()], [running(70)])
    assert (await stage.job("1"))["rate_per_second"] == 2.0
    # it stands still: the rate sinks, at most once a minute, and nobody is told
    position = await stage.poll([connector()], [running(70)])
    assert await stage.judge() is None
    stage.seconds += 60
    await stage.poll([connector()], [running(70)])
    assert (await stage.judge(), position) == (None, None)
    row = await stage.job("1")
    assert (row["rate_per_second"], row["counted_at"]) == (0.5, at(135))
    await stage.poll([connector()], [ended("1", 1, processed=70)])
    row = await stage.job("1")
    assert (row["rate_per_second"], row["longest_quiet"]) == (None, 105.0)


async def test_pasts_are_read_by_and_by_and_what_was_stirred_at_once(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judgement, "_UNREAD", 50)
    monkeypatch.setattr(judgement, "_READ_AT_ONCE", 20)
    stage = await Stage.open(sqlite_store)
    names = [f"{n:03}" for n in range(160)]
    failed = [job(f"{name}-{n}", name, JobStatus.FAILED, order_at=at(n)) for name in names for n in range(2)]
    await stage.poll([connector(name) for name in names])
    await stage.history(failed, *names)
    found = []
    for _ in range(4):
        await stage.poll([connector(name) for name in names])
        await stage.judge()
        found.append(len(await rows(stage.store, CONDITIONS)))
    assert found == [50, 100, 150, 160]
    await stage.restart()
    again = [job(f"{name}-3", name, JobStatus.SUCCEEDED, order_at=at(3)) for name in names[-3:]]
    await stage.poll([connector(name) for name in names], again)
    await stage.judge()
    assert len(await rows(stage.store, CONDITIONS)) == 157, "nothing is cleared only because it is not read yet"


async def test_of_those_at_rest_each_comes_up_in_turn(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judgement, "_AT_REST", 4)
    stage = await Stage.open(store)
    names = [f"{n}" for n in range(10)]
    past = [
        job(f"{name}-{n}", name, order_at=at(-500 * n), started_at=at(-500 * n), completed_at=at(10 - 500 * n))
        for name in names
        for n in range(5)
    ]
    await stage.poll([connector(name) for name in names], past)
    await stage.judge()
    assert await stage.conditions() == {}
    stage.seconds += 2000
    found = []
    for _ in range(3):
        await stage.poll([connector(name) for name in names])
        await stage.judge()
        found.append(len(await rows(store, CONDITIONS)))
    assert found == [4, 8, 10]


async def test_runs_that_move_no_content_are_no_past(store: Store) -> None:
    stage = await Stage.open(store)
    failed = [ended(str(n), n * 1000 - 20_000, JobStatus.FAILED, type=JobType.ACCESS_CONTROL) for n in range(30)]
    await stage.poll([connector()], [*failed, ended("ok", -50_000)])
    await stage.judge()
    assert await stage.conditions() == {}
    assert [run.id for run in stage.memory.connectors[A].runs or ()] == [job_id("ok")]


async def test_another_process_that_polled_meanwhile(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector()], [running()])
    await stage.poll([connector()], [running()])
    other = await Stage.open(store)
    other.seconds = stage.seconds
    await other.take_over()
    await other.poll([connector()], [running()])
    with pytest.raises(LeaseLost):
        await stage.judge(no_progress=10)
    assert await stage.conditions() == {}
    assert stage.memory.held.findings == {}


async def test_a_past_without_anything(store: Store) -> None:
    memory = SystemMemory()
    async with store.read() as connection:
        await memory.recall(connection, "nothing", at(0))
    assert (memory.jobs, memory.connectors, memory.held.findings) == ({}, {}, {})


# ---- in the engine


async def held(store: Store) -> set[str]:
    return {row["code"].name for row in await rows(store, CONDITIONS)}


def becomes(store: Store, *codes: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await held(store) == set(codes)

    return look


@asynccontextmanager
async def polling(store: Store, source: Scripted, **times: float) -> AsyncIterator[Engine]:
    """Its limits are so short that a standstill of three polls is one."""
    thresholds = Thresholds(no_progress=0.01, queued=0.01, failures=1)
    engine = Engine(store, [replace(configured(source, **times), thresholds=thresholds)])
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def test_polls_are_judged(store: Store) -> None:
    source = Scripted()
    source.says = Observation(connectors=[connector()], jobs=[running()])
    source.sees = Observation(connectors=[], jobs=[running()], complete=False)
    async with polling(store, source):
        await until(becomes(store, "NO_PROGRESS"))
        moving = Observation(connectors=[connector()], jobs=[ended("1", 1)])
        source.says = source.sees = moving
        await until(becomes(store))
        source.says = Observation(connectors=[connector()], jobs=[job("2", status=JobStatus.PENDING)])
        await until(becomes(store, "QUEUED"))


async def test_looks_are_judged_before_the_next_poll(sqlite_store: Store) -> None:
    source = Scripted()
    source.says = Observation(connectors=[connector()], jobs=[running()])
    source.sees = Observation(connectors=[], jobs=[ended("1", 1, JobStatus.FAILED)], complete=False)
    async with polling(sqlite_store, source, poll_interval=3600.0):
        await until(becomes(sqlite_store, "REPEATED_FAILURES"))
    assert source.polls == 1


async def test_one_odd_connector_is_judged_apart(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await Stage.open(store)
    names = ("a", "b", "c")
    jobs = [job(name, name, JobStatus.RUNNING, processed=5, order_at=at(1), started_at=at(1)) for name in names]

    async def poll(failing: dict[str, str]) -> dict[str, set[str]]:
        def odd(system: Any, views: Any, *rest: Any) -> Any:
            if external_id(views[0].id) in failing:
                raise OverflowError(failing[external_id(views[0].id)])
            return judge(system, views, *rest)

        monkeypatch.setattr(judgement, "judge", odd)
        await stage.poll([connector(name) for name in names], jobs)
        await stage.judge(no_progress=20)
        found: dict[str, set[str]] = {}
        for row in await rows(store, CONDITIONS):
            found.setdefault(row["connector_id"], set()).add(row["code"].name)
        return found

    def logged() -> list[str]:
        return [each.getMessage() for each in caplog.records if getattr(each, "action", "") == "judging_failed"]

    await poll({})
    await poll({})
    held = await poll({"a": "x", "b": "x"})
    c = global_id(CONNECTOR, "scripted", "c")
    assert held == {c: {"NO_PROGRESS"}}
    sentence = "scripted: 2 connectors cannot be judged and keep what held of them: a, b: OverflowError('x')"
    assert logged() == [sentence]
    held = await poll({"a": "x", "b": "x", "c": "x"})
    assert held == {c: {"NO_PROGRESS"}}
    await poll({"a": "x", "b": "y", "c": "x"})
    assert [each.partition("them: ")[2] for each in logged()[1:]] == ["c: OverflowError('x')", "b: OverflowError('y')"]
    assert list((await poll({})).values()) == [{"NO_PROGRESS"}] * 3


async def test_a_judgement_that_fails_ends_no_poll(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = Scripted()
    source.says = Observation(connectors=[connector()], jobs=[running()])
    source.sees = Observation(connectors=[], jobs=[running()], complete=False)

    def fail(*_: Any) -> Any:
        raise RuntimeError("on purpose")

    async def polled() -> bool:
        return source.polls > 3

    with monkeypatch.context() as patch:
        patch.setattr(judgement, "judge", fail)
        async with polling(sqlite_store, source):
            await until(polled)
    assert "judging_failed" in {getattr(record, "action", None) for record in caplog.records}
    assert await rows(sqlite_store, CONDITIONS) == []
    async with polling(sqlite_store, source):
        await until(becomes(sqlite_store, "NO_PROGRESS"))
