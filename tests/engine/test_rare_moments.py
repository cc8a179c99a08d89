"""Rare moments: the end of an outage, a restart in the middle of something, a look between two commits."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectory.config.settings import RetentionSettings
from connectory.engine import retention
from connectory.engine.judging.thresholds import Thresholds
from connectory.model import (
    ConnectorHealth,
    ConnectorMode,
    ConnectorStatus,
    CountsFact,
    EventKind,
    JobFact,
    JobStatus,
    JobTrigger,
    JobType,
    SystemErrorCode,
)
from connectory.store import Store
from connectory.store.tables import EVENTS, OUTAGES
from connectory.store.writes.registration import Registration, register_systems
from tests.engine.stage import Stage, rows
from tests.facts import at, connector, job
from tests.notices.scene import Scene, notices

ELASTIC: dict[str, Any] = {"one_job_at_a_time": "connector", "tells_workers": True}


def ended(
    id: str, start: float, status: JobStatus = JobStatus.SUCCEEDED, seconds: float = 100, **fields: Any
) -> JobFact:
    return job(id, "a", status, order_at=at(start), started_at=at(start), completed_at=at(start + seconds), **fields)


async def _outage(scene: Scene, seconds: float) -> None:
    await scene.fail()
    await scene.fail()
    scene.seconds += seconds
    await scene.fail()


async def test_an_outage_of_elasticsearch_is_one_notice_though_heartbeats_stood_still_within(store: Store) -> None:
    """elastic.md §5, §7: workers write their signs of life into the same Elasticsearch, every five minutes."""
    scene = await Scene.open(store)
    assert isinstance(scene, Scene)
    names = [f"c{n}" for n in range(30)]
    connectors = [connector(name, worker_seen_at=at(0), last_success_at=at(0)) for name in names]
    jobs = [
        job(f"j{name}", name, JobStatus.RUNNING, processed=9, order_at=at(1), started_at=at(1), last_seen_at=at(0))
        for name in names
    ]
    await scene.poll(connectors, jobs)
    await scene.judge(kind=ELASTIC)
    notifier = scene.notifier()
    await notifier.look()
    await _outage(scene, 1200)
    await notifier.look()
    for _ in range(8):  # two minutes; the workers' next signs of life come within five
        await scene.poll(connectors, jobs)
        await scene.judge(kind=ELASTIC)
        await notifier.look()
    assert [row["kind"].name for row in await notices(store)] == ["SYSTEM_DOWN"]


async def test_an_outage_is_one_notice_though_nothing_began_within(store: Store) -> None:
    scene = await Scene.open(store)
    assert isinstance(scene, Scene)
    names = [f"c{n}" for n in range(30)]
    connectors = [connector(name) for name in names]
    past = [
        job(f"{name}-{n}", name, order_at=at(-600 * n), started_at=at(-600 * n), completed_at=at(60 - 600 * n))
        for name in names
        for n in range(1, 7)
    ]
    await scene.poll(connectors, past)
    await scene.judge()
    assert await scene.conditions() == {}
    notifier = scene.notifier()
    await notifier.look()
    await _outage(scene, 3600)
    await notifier.look()
    for _ in range(6):
        await scene.poll(connectors)
        await scene.judge()
        await notifier.look()
    assert [row["kind"].name for row in await notices(store)] == ["SYSTEM_DOWN"]


async def test_documents_that_failed_are_one_notice_when_their_run_ends(store: Store) -> None:
    scene = await Scene.open(store)
    assert isinstance(scene, Scene)
    notifier = scene.notifier()
    open_ = job("1", "a", JobStatus.RUNNING, processed=9, order_at=at(1), started_at=at(1), counts=CountsFact(failed=3))
    for _ in range(6):
        await scene.poll([connector()], [open_])
        await scene.judge()
        await notifier.look()
    assert [row["recovered_at"] for row in await notices(store)] == [None]
    done = replace(open_, status=JobStatus.SUCCEEDED_WITH_ERRORS, completed_at=at(100))
    await scene.poll([connector()], [done])
    await notifier.look()  # woken by the commit, ahead of the judgement
    await scene.judge()
    for _ in range(6):
        await scene.poll([connector()])
        await scene.judge()
        await notifier.look()
    assert [row["recovered_at"] for row in await notices(store)] == [None]


async def test_one_that_was_resumed_while_the_gateway_was_away_is_not_overdue_at_once(store: Store) -> None:
    stage = await Stage.open(store)
    runs = [ended(str(n), -600 * n, seconds=60) for n in range(1, 7)]
    await stage.poll([connector(status=ConnectorStatus.PAUSED)], runs)
    stage.seconds += 7200
    await stage.poll([connector(status=ConnectorStatus.PAUSED)])
    await stage.judge()
    await stage.restart()
    await stage.poll([connector(status=ConnectorStatus.ACTIVE)])
    await stage.judge()
    assert await stage.conditions() == {}


async def test_runs_that_somebody_asked_for_are_no_rhythm(store: Store) -> None:
    stage = await Stage.open(store)
    runs = [ended(str(n), -600 * n, seconds=60, trigger=JobTrigger.ON_DEMAND) for n in range(1, 6)]
    await stage.poll([connector()], runs)
    stage.seconds += 3000
    await stage.poll([connector()])
    await stage.judge()
    assert await stage.conditions() == {}


async def test_what_never_ran_is_overdue_though_the_gateway_was_restarted(store: Store) -> None:
    stage = await Stage.open(store)
    fact = connector(schedule_seconds=3600)
    for _ in range(3):
        assert await stage.conditions() == {}
        await stage.poll([fact])
        await stage.judge()
        stage.seconds += 1800
        await stage.restart()
    await stage.poll([fact])
    await stage.judge()
    assert (await stage.conditions())["OVERDUE"]["since"] == at(15 + 5400)


def _stream(processed: int, total: int) -> JobFact:
    return job(
        "s", "a", JobStatus.RUNNING, type=JobType.STREAM, processed=processed, counts=CountsFact(total=total),
        order_at=at(0), started_at=at(0),
    )  # fmt: skip


async def test_a_stream_with_fresh_records_does_not_stand_still_after_a_restart(store: Store) -> None:
    stage = await Stage.open(store)
    streaming = [connector(mode=ConnectorMode.STREAMING)]
    await stage.poll(streaming, [_stream(50, 50)])
    await stage.poll(streaming, [_stream(100, 100)])
    stage.seconds += 7200  # nothing to do
    await stage.poll(streaming, [_stream(100, 100)])
    await stage.judge()
    await stage.poll(streaming, [_stream(100, 105)])
    await stage.judge()
    assert await stage.conditions() == {}
    await stage.restart()
    await stage.poll(streaming, [_stream(100, 105)])
    await stage.judge()
    assert await stage.conditions() == {}


async def test_how_long_a_stream_has_stood_still_outlives_a_restart(store: Store) -> None:
    stage = await Stage.open(store)
    streaming = [connector(mode=ConnectorMode.STREAMING)]
    await stage.poll(streaming, [_stream(50, 50)])
    stage.seconds += 7200  # nothing to do
    await stage.poll(streaming, [_stream(50, 55)])
    begin, more = stage.now, 55
    while "NO_PROGRESS" not in await stage.conditions():
        assert stage.now - begin < timedelta(seconds=930), "its condition does not come"
        if 300 < (stage.now - begin).total_seconds() < 320:
            await stage.restart()
        more += 1
        await stage.poll(streaming, [_stream(50, more)])
        await stage.judge()
    assert (await stage.conditions())["NO_PROGRESS"]["since"] == begin
    assert stage.now - begin >= timedelta(seconds=900)


async def test_a_job_that_stands_still_for_longer_than_the_log_goes_back_holds_its_condition(store: Store) -> None:
    stage = await Stage.open(store)
    running = job("1", "a", JobStatus.RUNNING, processed=5, order_at=at(1), started_at=at(1))
    await stage.poll([connector()], [running])
    stage.seconds += 1000
    await stage.poll([connector()], [running])
    await stage.judge()
    since = (await stage.conditions())["NO_PROGRESS"]["since"]
    async with store.write() as connection:
        await connection.execute(EVENTS.delete())
    stage.seconds += 40 * 86_400
    await stage.restart()
    await stage.poll([connector()], [running])
    await stage.judge()
    assert (await stage.conditions())["NO_PROGRESS"]["since"] == since


async def test_jobs_without_a_connector_do_not_come_back(store: Store) -> None:
    stage = await Stage.open(store)
    orphan = job("o", None, order_at=at(-500 * 86_400), completed_at=at(-500 * 86_400))
    sweeper = retention.Retention(store, RetentionSettings(), clock=lambda: stage.now)
    for _ in range(3):
        await stage.poll([connector()], [orphan])
        await sweeper.sweep()
    assert (await stage.kinds()).count(EventKind.JOB_CREATED) == 1


async def test_how_long_a_worker_has_been_silent_outlives_a_restart(store: Store) -> None:
    """Its clock is ahead, so only what we saw move tells when it was alive."""
    stage = await Stage.open(store)
    waiting = job("2", "a", JobStatus.PENDING, order_at=at(0), created_at=at(0))
    for _ in range(3):
        await stage.poll([connector(worker_seen_at=at(stage.seconds + 7200))], [waiting])
    fact, moved = connector(worker_seen_at=at(stage.seconds + 7185)), stage.now
    while "NO_WORKER" not in await stage.conditions():
        silent = (stage.now - moved).total_seconds()
        assert silent < Thresholds().no_worker + 60, "its condition does not come"
        if 100 < silent < 130:
            await stage.restart()
        await stage.poll([fact], [waiting])
        await stage.judge(kind=ELASTIC)
    assert (stage.now - moved).total_seconds() >= Thresholds().no_worker


async def test_a_worker_that_lived_while_nobody_watched_is_not_dead(store: Store) -> None:
    stage = await Stage.open(store)
    waiting = job("2", "a", JobStatus.PENDING, order_at=at(0), created_at=at(0))
    for second in (0, 15):
        await stage.poll([connector(worker_seen_at=at(second))], [waiting])
    stage.seconds += 36_000
    await stage.restart()
    for _ in range(3):
        await stage.poll([connector(worker_seen_at=at(9000))], [waiting])
        await stage.judge(kind=ELASTIC)
    assert "NO_WORKER" not in await stage.conditions()


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [(5, 9, {"PARSE_ERRORS"}), (5, 5, set()), (None, 9, set()), (9, 5, set())],
    ids=["grown", "the same", "not told before", "counted anew"],
)
async def test_errors_that_were_counted_while_nobody_watched(
    store: Store, before: int | None, after: int, found: set[str]
) -> None:
    stage = await Stage.open(store)
    for _ in range(2):
        await stage.poll([connector(mode=ConnectorMode.STREAMING, parse_errors=before)], [])
        await stage.judge()
    await stage.restart()
    await stage.poll([connector(mode=ConnectorMode.STREAMING, parse_errors=after)], [])
    await stage.judge()
    assert (await stage.conditions()).keys() == found


async def test_a_worker_whose_clock_is_behind_is_not_dead_after_a_restart(store: Store) -> None:
    stage = await Stage.open(store)
    waiting = job("2", "a", JobStatus.PENDING, order_at=at(0), created_at=at(0))
    lag = 900.0
    for _ in range(10):
        fact = connector(worker_seen_at=at(stage.seconds - lag))
        await stage.poll([fact], [waiting])
        await stage.judge(kind=ELASTIC)
    assert "NO_WORKER" not in await stage.conditions()
    await stage.restart()
    await stage.poll([fact], [waiting])
    await stage.judge(kind=ELASTIC)
    assert "NO_WORKER" not in await stage.conditions()


async def test_a_system_that_returns_to_the_configuration_is_not_down_before_it_was_asked(store: Store) -> None:
    scene = await Scene.open(store)
    assert isinstance(scene, Scene)
    await scene.poll([connector()])
    notifier = scene.notifier()
    await scene.fail()
    await scene.fail()
    await notifier.look()
    await register_systems(store, [])
    scene.seconds += 1
    notifier.forget()
    await notifier.look()
    scene.seconds += 30 * 86_400
    await register_systems(store, [Registration(scene.name, "scripted", (), 90.0)])
    notifier.forget()
    await notifier.look()
    assert len(await notices(store)) == 1


async def test_an_outage_does_not_cover_the_time_for_which_nobody_asked(store: Store) -> None:
    scene = await Scene.open(store)
    assert isinstance(scene, Scene)
    await scene.poll([connector()])
    await scene.fail()
    await scene.fail()
    await register_systems(store, [])
    scene.seconds += 30 * 86_400
    await register_systems(store, [Registration(scene.name, "scripted", (), 90.0)])
    await scene.restart()
    await scene.poll([connector()])
    (outage,) = await rows(store, OUTAGES)
    assert (outage["ended_at"] - outage["started_at"]).total_seconds() < 86_400


async def test_a_run_that_failed_while_only_our_credentials_were_refused_is_told(store: Store) -> None:
    """The upstream was well: what failed there has nothing to do with our token."""
    scene = await Scene.open(store)
    assert isinstance(scene, Scene)
    await scene.poll([connector()])
    notifier = scene.notifier()
    await notifier.look()
    await scene.fail(SystemErrorCode.AUTH_FAILED)
    await notifier.look()
    scene.seconds += 28_800
    moment = scene.now
    await scene.poll([connector()], [job("f", status=JobStatus.FAILED, order_at=moment, completed_at=moment)])
    for _ in range(4):
        await scene.judge()
        await notifier.look()
        await scene.poll([connector()])
    assert {row["kind"].name for row in await notices(store)} == {"SYSTEM_DOWN", "JOB_FAILED"}


async def test_a_connector_in_error_is_told(store: Store) -> None:
    scene = await Scene.open(store)
    assert isinstance(scene, Scene)
    notifier = scene.notifier()
    await scene.poll([connector()])
    await notifier.look()
    for _ in range(8):
        await scene.poll([connector(status=ConnectorStatus.ERROR, error_message="credentials expired")])
        await scene.judge()
        await notifier.look()
    assert (await scene.connector())["health"] is ConnectorHealth.FAILING
    assert len(await notices(store)) == 1
