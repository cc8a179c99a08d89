"""When nobody watched a job run, in an outage, a hold or a restart: no pause of its own, and no burst."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from connectory.config.settings import RetentionSettings
from connectory.engine.judging.views import Gap
from connectory.engine.retention import Retention
from connectory.model import JobFact, JobStatus
from connectory.store import Store
from tests.facts import at, connector, job
from tests.notices.scene import Scene

HOURS = 3600.0
Happening = Callable[[Scene, JobFact], Awaitable[None]]


async def _open(store: Store) -> Scene:
    scene = await Scene.open(store)
    assert isinstance(scene, Scene)
    return scene


def _running(scene: Scene, processed: int = 1, id: str = "1") -> JobFact:
    begin = at(scene.seconds)
    return job(id, "a", JobStatus.RUNNING, processed=processed, order_at=begin, started_at=begin)


async def _see(scene: Scene, fact: JobFact) -> None:
    await scene.poll([connector()], [fact])
    await scene.judge()


async def _fail(scene: Scene, seconds: float = 5 * HOURS) -> None:
    await scene.fail()
    await scene.fail()
    scene.seconds += seconds
    await scene.fail()


# ---- what happens to a job that runs


async def _outage(scene: Scene, fact: JobFact) -> None:
    await _fail(scene)


async def _outage_and_restart(scene: Scene, fact: JobFact) -> None:
    await _fail(scene)
    await _see(scene, fact)
    await scene.restart()


async def _rate_limit(scene: Scene, fact: JobFact) -> None:
    await scene.fail()
    scene.seconds += 5 * HOURS


async def _hold(scene: Scene, fact: JobFact) -> None:
    await _see(scene, replace(fact, status=JobStatus.SUSPENDED))
    scene.seconds += 6 * HOURS
    await _see(scene, fact)


async def _absence(scene: Scene, fact: JobFact) -> None:
    scene.seconds += 5 * HOURS
    await scene.restart()


HAPPENINGS = pytest.mark.parametrize("happens", [_outage, _outage_and_restart, _rate_limit, _hold, _absence])


async def _seconds_until_found(scene: Scene, fact: JobFact) -> float:
    froze = scene.seconds
    while "NO_PROGRESS" not in await scene.conditions():
        assert scene.seconds - froze < 1500, "it is not found"
        scene.seconds += 285
        await _see(scene, fact)
    return scene.seconds - froze


@HAPPENINGS
async def test_a_standstill_afterwards_is_found_in_time(sqlite_store: Store, happens: Happening) -> None:
    scene = await _open(sqlite_store)
    fact = _running(scene)
    for processed in (1, 2):
        fact = replace(fact, processed=processed)
        await _see(scene, fact)
    await happens(scene, fact)
    for processed in (100, 200):
        fact = replace(fact, processed=processed)
        await _see(scene, fact)
    assert await _seconds_until_found(scene, fact) >= 900


@HAPPENINGS
async def test_a_standstill_in_the_next_run_is_found_in_time(sqlite_store: Store, happens: Happening) -> None:
    scene = await _open(sqlite_store)
    fact = _running(scene)
    for processed in (1, 2):
        fact = replace(fact, processed=processed)
        await _see(scene, fact)
    await happens(scene, fact)
    await _see(scene, replace(fact, processed=100, status=JobStatus.SUCCEEDED, completed_at=scene.now))
    assert (await scene.job("1"))["longest_quiet"] <= 60
    fact = _running(scene, id="2")
    for processed in (1, 2):
        fact = replace(fact, processed=processed)
        await _see(scene, fact)
    assert await _seconds_until_found(scene, fact) >= 900


async def test_a_pause_that_was_watched_allows_its_like_after_a_restart_too(store: Store) -> None:
    scene = await _open(store)
    fact = _running(scene)
    await _see(scene, fact)
    scene.seconds += 800
    for processed in (2, 3):
        fact = replace(fact, processed=processed)
        await _see(scene, fact)
    assert (await scene.job("1"))["longest_quiet"] == 815
    await Retention(store, RetentionSettings(events_days=0, events=1), clock=lambda: scene.now).sweep()
    await scene.restart()
    scene.seconds += 1600 - 15
    await _see(scene, fact)
    assert await scene.conditions() == {}
    scene.seconds += 30
    await _see(scene, fact)
    assert await scene.conditions() != {}


async def test_a_pause_goes_on_after_a_blip_and_after_a_restart(sqlite_store: Store) -> None:
    """A system that fails now and then, and a gateway that is started anew, tell no shorter pauses."""
    scene = await _open(sqlite_store)
    fact = _running(scene)
    await _see(scene, fact)
    scene.seconds += 285
    await _see(scene, fact)
    await scene.restart()
    await _see(scene, fact)
    for _ in range(3):
        scene.seconds += 285
        await _see(scene, fact)
        await scene.fail()
        await _see(scene, fact)
    await _see(scene, replace(fact, processed=2))
    assert (await scene.job("1"))["longest_quiet"] == 4 * 300 + 15, "all but the restart and the three failures"


async def test_a_standstill_outlives_a_restart_with_a_short_log(store: Store) -> None:
    scene = await _open(store)
    fact = _running(scene)
    await _see(scene, fact)
    scene.seconds += 600
    await _see(scene, fact)
    limits = RetentionSettings(events_days=0, events=1, jobs_days=0, jobs_per_connector=0)
    await Retention(store, limits, clock=lambda: scene.now).sweep()
    await scene.restart()
    scene.seconds += 200
    await _see(scene, fact)
    assert await scene.conditions() == {}
    scene.seconds += 100
    await _see(scene, fact)
    assert set(await scene.conditions()) == {"NO_PROGRESS"}


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.SUSPENDED])
async def test_a_short_log_makes_no_standstill_of_a_job_that_has_just_begun(store: Store, status: JobStatus) -> None:
    scene = await _open(store)
    fact = _running(scene)
    await _see(scene, replace(fact, status=status))
    scene.seconds += 2000
    await _see(scene, fact)
    limits = RetentionSettings(events_days=0, events=1, jobs_days=0, jobs_per_connector=0)
    await Retention(store, limits, clock=lambda: scene.now).sweep()
    await scene.restart()
    await _see(scene, fact)
    assert await scene.conditions() == {}


@pytest.mark.parametrize("happens", [_outage, _rate_limit, _absence])
async def test_the_rate_afterwards_is_that_of_the_whole_time(store: Store, happens: Happening) -> None:
    scene = await _open(store)
    fact = _running(scene)
    for _ in range(21):
        fact = replace(fact, processed=10 * int(scene.seconds))
        await _see(scene, fact)
    assert (await scene.job("1"))["rate_per_second"] == 10.0
    await happens(scene, fact)
    for _ in range(3):
        await _see(scene, replace(fact, processed=10 * int(scene.seconds)))
        assert (await scene.job("1"))["rate_per_second"] == pytest.approx(10, rel=0.05)


async def test_an_answer_that_could_not_be_stored_ends_no_gap(sqlite_store: Store) -> None:
    scene = await _open(sqlite_store)
    await scene.poll([connector()])
    await _fail(scene)
    for _ in range(2):
        scene.seconds += 100
        scene.memory.see_answer(scene.state, scene.now)
    assert list(scene.memory.gaps) == [Gap(at(15), scene.now)]
