"""The loop of each system: when it asks, what it survives, and how it ends."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from connectory.engine import ConfiguredSystem, Engine
from connectory.model import (
    ConnectorFact,
    EventKind,
    HistoryBatch,
    JobStatus,
    Known,
    Observation,
    Problem,
    SystemErrorCode,
    SystemHealth,
)
from connectory.store import Store
from connectory.store.log.bus import Bus
from connectory.store.tables import CONNECTORS, EVENTS, JOBS, SYSTEMS
from connectory.store.tables.identity import SYSTEM, global_id
from sources.base import SourceAuthFailed, SourceError, SourceRateLimited, SourceUnreachable
from tests.engine.stage import rows
from tests.facts import Scripted, at, configured, connector, job
from tests.wait import PATIENCE, until

SEEN = Observation(connectors=[connector()])


@asynccontextmanager
async def running(store: Store, *systems: ConfiguredSystem, **options: Any) -> AsyncIterator[Engine]:
    engine = Engine(store, systems, **options)
    try:
        async with asyncio.timeout(PATIENCE):
            await engine.start()
        yield engine
    finally:
        async with asyncio.timeout(PATIENCE):
            await engine.stop()


async def system(store: Store, name: str = "scripted") -> dict[str, Any]:
    return next(row for row in await rows(store, SYSTEMS) if row["name"] == name)


def is_health(store: Store, health: SystemHealth, name: str = "scripted") -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return (await system(store, name))["health"] is health

    return look


def polled(source: Scripted, times: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return source.polls >= times

    return look


def saying(answer: Any) -> Scripted:
    source = Scripted()
    source.says = answer
    return source


# ---- pace


async def test_back_off_really_waits(sqlite_store: Store) -> None:
    asked: list[datetime] = []

    def refuse(_: Known) -> Observation:
        asked.append(datetime.now(UTC))
        raise SourceUnreachable("refused")

    source = saying(refuse)
    async with running(sqlite_store, configured(source, poll_interval=0.02, max_backoff=5.0)):
        await until(is_health(sqlite_store, SystemHealth.DOWN))
        await until(polled(source, 5))
        row = await system(sqlite_store)
    assert 4 <= row["consecutive_failures"] <= source.polls
    assert (row["next_poll_at"] - row["error_at"]).total_seconds() >= 0.02
    assert min((b - a).total_seconds() for a, b in itertools.pairwise(asked)) >= 0.02


async def test_the_wait_is_the_one_that_is_told(sqlite_store: Store) -> None:
    asked: list[datetime] = []

    def refuse(_: Known) -> Observation:
        asked.append(datetime.now(UTC))
        raise SourceUnreachable("refused")

    source = saying(refuse)
    logged: set[datetime] = set()
    async with running(sqlite_store, configured(source, poll_interval=0.05, max_backoff=0.3)):

        async def look() -> bool:
            logged.add((await system(sqlite_store))["next_poll_at"] or at(0))
            return len(asked) >= 6

        await until(look, every=0.005)
    for moment in asked[1:]:
        announced = max((t for t in logged if t <= moment), default=None)
        assert announced is not None
        assert (moment - announced).total_seconds() < 1.0
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(asked)]
    assert min(gaps) >= 0.05
    assert max(gaps) < 1.5


@pytest.mark.parametrize(
    "answer",
    [
        SourceRateLimited("slow down", retry_after=3600),
        SourceUnreachable("503", retry_after=3600),
        Observation(
            connectors=[connector()],
            problems=[Problem(SystemErrorCode.RATE_LIMITED, "slow down", 3600)],
            complete=False,
        ),
    ],
)
async def test_retry_after_holds(sqlite_store: Store, answer: Any) -> None:
    source = saying(answer)
    other = saying(SEEN)
    async with running(sqlite_store, configured(source), configured(other, "other")):
        await until(polled(other, 20))
        assert source.polls == 1


async def test_a_rate_limit_outlasts_a_restart(sqlite_store: Store) -> None:
    source, other = saying(SourceRateLimited("slow down", retry_after=3600)), saying(SEEN)
    systems = configured(source), configured(other, "other")
    async with running(sqlite_store, *systems):
        await until(polled(other, 2))
        await until(is_health(sqlite_store, SystemHealth.DEGRADED))
    async with running(sqlite_store, *systems):
        await until(polled(other, 20))
    assert source.polls == 1


async def test_retry_after_told_to_the_history_holds_for_polls_too(sqlite_store: Store) -> None:
    polls_before: list[int] = []

    class Limited(Scripted):
        async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
            yield HistoryBatch(jobs=[])  # takes a commit, and polls go on meanwhile
            polls_before.append(self.polls)
            raise SourceRateLimited("slow down", retry_after=3600)

    async def is_told() -> bool:
        return bool(polls_before)

    source, other = Limited(), saying(SEEN)
    source.says = SEEN
    async with running(sqlite_store, configured(source, poll_interval=0.2), configured(other, "other")):
        await until(is_told)
        await until(polled(other, other.polls + 40))
    assert polls_before == [source.polls]


async def test_refused_credentials_are_probed_and_recover(sqlite_store: Store) -> None:
    source, other = saying(SourceAuthFailed("401")), saying(SEEN)
    async with running(
        sqlite_store, configured(source, auth_probe_interval=0.5), configured(other, "other", poll_interval=0.02)
    ):
        await until(is_health(sqlite_store, SystemHealth.AUTH_FAILED))
        await until(polled(other, 8))
        assert source.polls == 1
        source.says = SEEN
        await until(is_health(sqlite_store, SystemHealth.UP))
    kinds = [row["kind"] for row in await rows(sqlite_store, EVENTS) if row["connector_id"] is None]
    assert EventKind.SYSTEM_DOWN in kinds
    assert EventKind.SYSTEM_RECOVERED in kinds


# ---- trouble of an upstream


async def test_a_hanging_system_delays_nobody(sqlite_store: Store) -> None:
    stuck, fine = saying(SEEN), saying(SEEN)
    stuck.hangs = asyncio.Event()
    async with running(sqlite_store, configured(stuck, "stuck"), configured(fine, "fine")):
        await until(polled(fine, 10))
        assert stuck.polls == 1
        assert (await system(sqlite_store, "stuck"))["health"] is SystemHealth.UNKNOWN
        stuck.hangs.set()
        await until(is_health(sqlite_store, SystemHealth.UP, "stuck"))


@pytest.mark.parametrize(
    "raised",
    [
        ZeroDivisionError("adapter"),
        KeyError("x"),
        SourceError("bare"),
        RecursionError(),
        ExceptionGroup("g", [OSError()]),
    ],
)
async def test_no_exception_of_an_adapter_ends_the_loop(
    sqlite_store: Store, raised: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    source = saying(raised)
    async with running(sqlite_store, configured(source)):
        await until(is_health(sqlite_store, SystemHealth.DOWN))
        row = await system(sqlite_store)
        assert row["error_code"] is SystemErrorCode.MISMATCH
        source.says = SEEN
        await until(is_health(sqlite_store, SystemHealth.UP))
        assert (await system(sqlite_store))["error_code"] is None
    if not isinstance(raised, SourceError):
        assert any(record.exc_info for record in caplog.records), "the traceback is for the log"


@pytest.mark.parametrize(
    "odd",
    [
        Observation(connectors=[connector("a")], jobs=[job("1", processed=2**63)]),
        Observation(connectors=[connector("a", created_at=datetime(2026, 1, 1))]),  # noqa: DTZ001
        Observation(connectors=[connector("a", name=None)]),
        Observation(connectors=[connector("a", source=None)]),
        Observation(connectors=[connector("a", url=5)]),
    ],
    ids=["a counter beyond 64 bits", "a time without a zone", "no name", "no source", "a number for a text"],
)
async def test_facts_that_no_store_takes_are_told_as_a_mismatch(store: Store, odd: Observation) -> None:
    source = saying(SEEN)
    async with running(store, configured(source)):
        await until(is_health(store, SystemHealth.UP))
        source.says = odd
        await until(is_health(store, SystemHealth.DOWN))
        row = await system(store)
        assert row["error_code"] is SystemErrorCode.MISMATCH
        assert "cannot be stored" in row["error_message"]
        source.says = Observation(connectors=[connector("a", name="Good again")])
        await until(is_health(store, SystemHealth.UP))
    assert [row["name"] for row in await rows(store, CONNECTORS)] == ["Good again"]


async def test_a_changing_health_is_logged_and_a_lasting_one_is_not(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "connectory")
    source = saying(SourceUnreachable("refused"))
    async with running(sqlite_store, configured(source)):
        await until(polled(source, 5))
        source.says = SEEN
        await until(is_health(sqlite_store, SystemHealth.UP))
        await until(polled(source, source.polls + 5))
    logged = [(r.levelname, r.message) for r in caplog.records if getattr(r, "action", "") == "system_health"]
    assert logged == [("WARNING", "scripted is DOWN: refused"), ("INFO", "scripted is UP")]


# ---- the end


async def test_stop_ends_even_what_hangs(sqlite_store: Store) -> None:
    source = saying(SEEN)
    source.hangs = asyncio.Event()
    async with running(sqlite_store, configured(source)):
        await until(polled(source, 1))
    assert source.closed


async def test_stop_does_not_wait_for_what_refuses_to_end(sqlite_store: Store) -> None:
    release = asyncio.Event()

    class Stubborn(Scripted):
        async def poll(self, known: Known) -> Observation:
            self.polls += 1
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return SEEN

        async def close(self) -> None:
            await release.wait()

    stubborn, fine = Stubborn(), saying(SEEN)
    engine = Engine(sqlite_store, [configured(stubborn, "stubborn"), configured(fine, "fine")])
    await engine.start()
    await until(polled(fine, 2))
    tasks = list(engine._tasks)
    async with asyncio.timeout(PATIENCE):
        await engine.stop()
    assert fine.closed
    release.set()
    _, late = await asyncio.wait(tasks, timeout=PATIENCE)
    assert not late, "its last poll was its last one"


async def test_stop_before_start_and_twice(sqlite_store: Store) -> None:
    source = saying(SEEN)
    engine = Engine(sqlite_store, [configured(source)])
    await engine.stop()
    engine = Engine(sqlite_store, [configured(source)])
    await engine.start()
    await engine.stop()
    await engine.stop()


async def test_stopping_in_the_middle_of_commits(store: Store) -> None:
    """Twelve engines in turn over one store, each stopped after some steps of the event loop; of every third one a
    commit is waited for first."""
    chance = Random(5)
    jobs = [job(str(n), order_at=at(n)) for n in range(600)]

    def say(known: Known) -> Observation:
        shown = chance.sample(jobs, 40)
        return Observation(connectors=[connector(name=f"Name {chance.random()}"), connector("b")], jobs=shown)

    for turn in range(12):
        before = len(await rows(store, EVENTS))

        async def has_grown(before: int = before) -> bool:
            return len(await rows(store, EVENTS)) > before

        engine = Engine(store, [configured(saying(say), poll_interval=0.001), configured(saying(say), "other")])
        await asyncio.wait_for(engine.start(), PATIENCE)
        if turn % 3 == 0:
            await until(has_grown)
        for _ in range(chance.randint(1, 2000)):
            await asyncio.sleep(0)
        await asyncio.wait_for(engine.stop(), PATIENCE)
    assert len(await rows(store, EVENTS)) > 100, "some of them came to something"
    async with running(store, configured(saying(Observation(connectors=[connector()], jobs=jobs)))):

        async def all_there() -> bool:
            return (
                len([row for row in await rows(store, JOBS) if row["system_id"] == global_id(SYSTEM, "scripted")])
                == 600
            )

        await until(all_there)
    events = await rows(store, EVENTS)
    assert [row["position"] for row in events] == list(range(1, len(events) + 1))
    created = [row["job_id"] for row in events if row["kind"] is EventKind.JOB_CREATED]
    assert sorted(created) == sorted(row["id"] for row in await rows(store, JOBS))


async def test_no_task_is_left_behind(sqlite_store: Store) -> None:
    before = asyncio.all_tasks()
    source = saying(SEEN)
    async with running(sqlite_store, configured(source)):
        await until(polled(source, 3))
    await sqlite_store.close()
    assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()


# ---- the store's trouble


async def test_a_commit_that_fails_is_made_again(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = saying(SEEN)
    async with running(sqlite_store, configured(source)):
        await until(is_health(sqlite_store, SystemHealth.UP))
        with monkeypatch.context() as patched:

            async def fail(*_: Any, **__: Any) -> bool:
                raise OSError("the disk is full")

            patched.setattr("connectory.engine.recording.commit.update_system", fail)
            polls = source.polls
            source.says = Observation(connectors=[connector(), connector("b")], jobs=[job("1")])
            await until(polled(source, polls + 4))
            assert len(await rows(sqlite_store, CONNECTORS)) == 1

        async def repaired() -> bool:
            return len(await rows(sqlite_store, JOBS)) == 1

        await until(repaired)
    assert "the disk is full" in caplog.text
    kinds = [row["kind"] for row in await rows(sqlite_store, EVENTS)]
    assert kinds.count(EventKind.CONNECTOR_ADDED) == 2
    assert kinds.count(EventKind.JOB_CREATED) == 1


async def test_trouble_with_the_store_does_not_hurry_the_polls(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, other = saying(SEEN), saying(SEEN)

    async def fail(*_: Any, **__: Any) -> bool:
        raise OSError("the disk is full")

    monkeypatch.setattr("connectory.engine.recording.commit.update_system", fail)
    async with running(sqlite_store, configured(source, poll_interval=3600.0), configured(other, "other")):
        await until(polled(other, 10))
    assert source.polls == 1


# ---- wake-ups


async def test_everybody_who_waits_is_woken_by_a_commit(sqlite_store: Store) -> None:
    bus, source = Bus(), saying(SEEN)
    waiting = [asyncio.create_task(bus.wait(0)) for _ in range(3)]
    async with running(sqlite_store, configured(source), bus=bus), asyncio.timeout(PATIENCE):
        positions = await asyncio.gather(*waiting)
        assert set(positions) == {2}
        later = asyncio.create_task(bus.wait(positions[0]))
        await until(polled(source, source.polls + 3))
        assert not later.done(), "an unchanged poll wakes nobody"
        source.says = Observation(connectors=[connector(name="Other")])
        assert await later == 3
    assert len(await rows(sqlite_store, EVENTS)) == 3


async def test_a_bus_wakes_for_what_has_come_already_and_never_goes_back() -> None:
    bus = Bus()
    bus.wake(5)
    bus.wake(3)
    assert await asyncio.wait_for(bus.wait(4), PATIENCE) == 5
    waiting = asyncio.create_task(bus.wait(5))
    await asyncio.sleep(0)
    bus.wake(5)
    await asyncio.sleep(0)
    assert not waiting.done()
    bus.wake(6)
    assert await asyncio.wait_for(waiting, PATIENCE) == 6


# ---- clock


async def test_times_are_the_clocks(sqlite_store: Store) -> None:
    moment = at(1234)
    source = saying(Observation(connectors=[connector()], jobs=[job("1", status=JobStatus.RUNNING)]))
    async with running(sqlite_store, configured(source, poll_interval=0.02), clock=lambda: moment):
        await until(is_health(sqlite_store, SystemHealth.UP))
    row = await system(sqlite_store)
    assert (row["last_poll_at"], row["observed_at"]) == (moment, moment)
    async with sqlite_store.read() as connection:
        assert set((await connection.execute(select(EVENTS.c.at))).scalars()) == {moment}


def test_facts_are_equal_when_they_say_the_same() -> None:
    assert connector().fingerprint == connector().fingerprint
    assert connector().fingerprint != connector(docs_indexed=0).fingerprint
    assert ConnectorFact.fingerprint is not None
