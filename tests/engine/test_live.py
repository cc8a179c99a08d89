"""Between the polls: looks at what runs, refreshes on demand, and the closer look at what has ended."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select

from connectory.engine import ConfiguredSystem, Engine
from connectory.model import (
    ActionFailureCode,
    EventKind,
    JobErrorFact,
    JobFindings,
    JobStatus,
    Known,
    Observation,
    SystemErrorCode,
    SystemHealth,
)
from connectory.store import Store
from connectory.store.tables import CONNECTORS, EVENTS, JOB_ERRORS, JOBS, SYSTEMS
from connectory.store.tables.identity import JOB, global_id
from sources.base import SourceAuthFailed, SourceMismatch, SourceRateLimited, SourceUnreachable
from sources.reading import details
from tests.engine.stage import rows
from tests.facts import Scripted, at, configured, connector, job
from tests.wait import PATIENCE, until

RUNS = Observation(connectors=[connector("a"), connector("b")], jobs=[job("1", status=JobStatus.RUNNING, processed=1)])


@asynccontextmanager
async def running(store: Store, *systems: ConfiguredSystem) -> AsyncIterator[Engine]:
    engine = Engine(store, systems)
    await engine.start()
    try:
        yield engine
    finally:
        async with asyncio.timeout(PATIENCE):
            await engine.stop()


async def the_job(store: Store, name: str = "1") -> dict[str, Any]:
    id = global_id(JOB, "scripted", name)
    return next((row for row in await rows(store, JOBS) if row["id"] == id), {})


async def kinds(store: Store) -> list[EventKind]:
    async with store.read() as connection:
        return list((await connection.execute(select(EVENTS.c.kind).order_by(EVENTS.c.position))).scalars())


def idle(source: Scripted, **more: Any) -> ConfiguredSystem:
    """Polled once, then practically never; looked at all the time."""
    return configured(source, poll_interval=3600.0, live_interval=0.02, **more)


# ---- the live lane


async def test_running_jobs_are_looked_at_between_polls(store: Store) -> None:
    source = Scripted()
    source.says = RUNS
    source.sees = Observation(connectors=[], jobs=[job("1", status=JobStatus.RUNNING, processed=5)], complete=False)
    pulse = Pulse()
    async with running(store, idle(source), configured(pulse, "pulse")):

        async def moved() -> bool:
            return (await the_job(store)).get("processed") == 5

        await until(moved)
        source.sees = Observation(connectors=[], jobs=[job("1", completed_at=at(9), processed=7)], complete=False)

        async def ended() -> bool:
            return (await the_job(store))["status"] is JobStatus.SUCCEEDED

        await until(ended)
        looks = len(source.looks)
        await pulse.beats()
        assert len(source.looks) == looks, "nothing runs any more, so nothing is to be looked at"
    assert source.polls == 1
    assert set(source.looks) == {frozenset({"1"})}
    seen = [kind for kind in await kinds(store) if kind.name.startswith("JOB_")]
    assert seen == [EventKind.JOB_CREATED, EventKind.JOB_PROGRESSED, EventKind.JOB_FINISHED]
    (a, b) = await rows(store, CONNECTORS)
    assert a["last_job_status"] is JobStatus.SUCCEEDED
    assert b["observed_at"] is None, "a look that does not name a connector says nothing of it"
    assert b["missed_polls"] == 0


async def test_a_restart_knows_what_runs(store: Store) -> None:
    source = Scripted()
    source.says = RUNS
    async with running(store, idle(source)):
        await until(lambda: _truth(source.looks))
    again = Scripted()
    again.says = Observation(connectors=RUNS.connectors)
    async with running(store, idle(again)):
        await until(lambda: _truth(again.looks))
    assert again.looks[0] == frozenset({"1"})


async def test_jobs_that_a_look_misses_are_gone_or_canceled(store: Store) -> None:
    source = Scripted()
    source.says = Observation(
        connectors=RUNS.connectors, jobs=[job("1", status=JobStatus.RUNNING), job("2", status=JobStatus.RUNNING)]
    )
    source.sees = Observation(connectors=[], complete=False, gone_jobs=frozenset({"1"}), canceled_jobs=frozenset({"2"}))
    async with running(store, idle(source)):

        async def settled() -> bool:
            return (await the_job(store, "2")).get("status") is JobStatus.CANCELED

        await until(settled)
    assert (await the_job(store, "1"))["status"] is JobStatus.UNKNOWN


async def test_a_look_that_fails_waits_for_the_next_poll(store: Store) -> None:
    source = Scripted()
    source.says = RUNS
    source.sees = SourceUnreachable("nobody there")
    async with running(store, configured(source, poll_interval=0.3, live_interval=0.01)):
        await until(lambda: _truth(source.polls >= 3))
        assert len(source.looks) <= source.polls
    (system,) = await rows(store, SYSTEMS)
    assert system["health"] is SystemHealth.UP, "a look is no poll"


async def test_a_look_that_is_asked_to_wait_holds_the_poll_too(store: Store) -> None:
    source = Scripted()
    source.says = RUNS
    source.sees = SourceRateLimited("slowly", retry_after=3600.0)
    pulse = Pulse()
    system = configured(source, poll_interval=0.05, live_interval=0.01)
    async with running(store, system, configured(pulse, "pulse")) as engine:
        await until(lambda: _truth(source.looks))
        polls = source.polls
        refusal = await engine.refresh("scripted")
        assert refusal is not None
        await pulse.beats()
        assert (source.polls, len(source.looks)) == (polls, 1)


async def test_a_retry_after_beside_the_polls_is_told_at_once_and_survives_a_restart(store: Store) -> None:
    """The next poll, which would tell of it, comes only after the wait."""
    source = Scripted()
    source.says = RUNS
    source.sees = SourceRateLimited("slowly", retry_after=600.0)
    async with running(store, idle(source)) as engine:

        async def seen() -> Any:
            (row,) = await rows(store, SYSTEMS)
            return row["error_code"] is SystemErrorCode.RATE_LIMITED and row

        row = await until(seen)
        assert (row["health"], row["error_message"]) == (SystemHealth.DEGRADED, "slowly")
        assert (row["next_poll_at"] - row["error_at"]).total_seconds() == pytest.approx(600, abs=5)
        assert await engine.refresh("scripted") is not None
    again, pulse = Scripted(), Pulse()
    again.says = RUNS
    async with running(store, configured(again), configured(pulse, "pulse")):
        await pulse.beats()
        assert again.polls == 0


async def test_open_jobs_that_a_poll_cannot_read_keep_the_time_they_were_seen(store: Store) -> None:
    """The list goes on and the system's own time with it; what was not read stays as old as it is."""
    source = Scripted()
    source.says = RUNS
    async with running(store, configured(source, poll_interval=0.02, live_interval=3600.0)):
        await until(lambda: _truth(source.polls > 2))
        assert (await the_job(store))["observed_at"] is None, "the system's time stands in for it"
        source.says = Observation(connectors=RUNS.connectors, owed=frozenset({"a"}))

        async def left_behind() -> Any:
            return (await the_job(store))["observed_at"]

        seen = await until(left_behind)
        polls = source.polls
        await until(lambda: _truth(source.polls > polls + 3))
        assert (await the_job(store))["observed_at"] == seen
        (system,) = await rows(store, SYSTEMS)
        assert system["observed_at"] > seen
        source.says = RUNS

        async def seen_again() -> bool:
            return (await the_job(store))["observed_at"] is None

        await until(seen_again)
    assert [kind for kind in await kinds(store) if kind.name.startswith("JOB_")] == [EventKind.JOB_CREATED]


async def _truth(value: Any) -> bool:
    return bool(value)


class Pulse(Scripted):
    """A system beside: time has passed once it has been polled some more."""

    async def beats(self, times: int = 8) -> None:
        wanted = self.polls + times
        await until(lambda: _truth(self.polls >= wanted))


# ---- refresh


async def test_refresh_polls_now_and_answers_afterwards(store: Store) -> None:
    source = Scripted()
    source.says = RUNS
    async with running(store, idle(source)) as engine:
        await until(lambda: _truth(source.looks))
        source.says = Observation(connectors=[connector("a", name="Renamed"), connector("b")])
        async with asyncio.timeout(PATIENCE):
            assert await engine.refresh("scripted") is None
        assert source.polls == 2
        assert "Renamed" in {row["name"] for row in await rows(store, CONNECTORS)}


async def test_refreshes_at_once_share_a_poll_that_began_after_them(store: Store) -> None:
    source = Scripted()
    source.says = RUNS
    source.hangs = asyncio.Event()
    pulse = Pulse()
    async with running(store, idle(source), configured(pulse, "pulse")) as engine:
        await until(lambda: _truth(source.polls == 1))
        asked = [asyncio.create_task(engine.refresh("scripted")) for _ in range(5)]
        await pulse.beats()
        assert not any(task.done() for task in asked), "the poll under way began before they asked"
        source.hangs.set()
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.gather(*asked) == [None] * 5
        assert source.polls == 2


@pytest.mark.parametrize("error", [SourceUnreachable("down"), SourceAuthFailed("no", status=401)])
async def test_refresh_skips_a_back_off_and_a_hold(store: Store, error: Exception) -> None:
    source = Scripted()
    source.says = error
    times = {"max_backoff": 3600.0, "auth_probe_interval": 3600.0}
    async with running(store, configured(source, poll_interval=1800.0, live_interval=1.0, **times)) as engine:
        await until(lambda: _truth(source.polls == 1))
        async with asyncio.timeout(PATIENCE):
            assert await engine.refresh("scripted") is None, "a failed poll is an answer: the system tells how it is"
        source.says = RUNS
        async with asyncio.timeout(PATIENCE):
            assert await engine.refresh("scripted") is None
        (system,) = await rows(store, SYSTEMS)
        assert system["health"] is SystemHealth.UP


async def test_refresh_never_skips_a_retry_after(store: Store) -> None:
    source = Scripted()
    source.says = SourceRateLimited("slowly", retry_after=3600.0)
    async with running(store, configured(source)) as engine:
        await until(lambda: _truth(source.polls == 1))

        async def refused() -> Any:
            return await engine.refresh("scripted") if (await rows(store, SYSTEMS))[0]["error_code"] else None

        refusal = await until(refused)
        assert refusal.code is ActionFailureCode.UPSTREAM_UNAVAILABLE
        assert 3500 < refusal.retry_after_seconds <= 3600
        assert source.polls == 1


async def test_refresh_of_an_unknown_system(store: Store) -> None:
    async with running(store) as engine:
        refusal = await engine.refresh("nobody")
        assert refusal is not None
        assert refusal.code is ActionFailureCode.NOT_FOUND


async def test_a_refresh_during_a_look_that_is_asked_to_wait_says_so(store: Store) -> None:
    source = Scripted()
    source.says = RUNS
    looking, go_on = asyncio.Event(), asyncio.Event()

    async def look(known: Known, jobs: frozenset[str]) -> Observation:
        looking.set()
        await go_on.wait()
        raise SourceRateLimited("slowly", retry_after=600.0)

    source.look = look  # type: ignore[method-assign]
    async with running(store, idle(source)) as engine:
        await looking.wait()
        asked = asyncio.create_task(engine.refresh("scripted"))
        await asyncio.sleep(0)
        go_on.set()
        async with asyncio.timeout(PATIENCE):
            refusal = await asked
    assert refusal is not None
    assert (refusal.code, source.polls) == (ActionFailureCode.UPSTREAM_UNAVAILABLE, 1)
    async with asyncio.timeout(PATIENCE):
        assert await engine.refresh("scripted") is not None, "a gateway that has stopped polls no more"


async def test_whoever_waits_is_told_when_the_gateway_stops(store: Store) -> None:
    source = Scripted()
    source.says = RUNS
    source.hangs = asyncio.Event()
    async with running(store, idle(source)) as engine:
        await until(lambda: _truth(source.polls == 1))
        asked = asyncio.create_task(engine.refresh("scripted"))
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        refusal = await asked
    assert refusal is not None
    assert refusal.code is ActionFailureCode.UPSTREAM_UNAVAILABLE


# ---- the closer look

FOUND = JobFindings(
    errors=(JobErrorFact("too large", "doc-1", "https://example.com/1", at(3), False), JobErrorFact("no text")),
    details={"stage_metrics": [{"stage": "EMBEDDING"}]},
)


async def errors(store: Store) -> list[tuple[str, str]]:
    return [(row["message"], row["job_id"]) for row in await rows(store, JOB_ERRORS)]


async def test_a_job_that_ends_is_looked_at_closer_once(store: Store) -> None:
    shown = details("OnyxJobDetails", {"error_count": 2})
    source = Scripted()
    source.says = Observation(connectors=[connector()], jobs=[job("1", status=JobStatus.RUNNING, details=shown)])
    source.finds = {"1": FOUND}
    async with running(store, configured(source, examines=True)):
        await until(lambda: _truth(source.polls > 2))
        assert source.examined == [], "it has not ended"
        source.says = Observation(connectors=[connector()], jobs=[job("1", completed_at=at(5), details=shown)])

        async def found() -> bool:
            return len(await errors(store)) == 2

        await until(found)
        polls = source.polls
        await until(lambda: _truth(source.polls > polls + 3))
    assert source.examined == [("a", frozenset({"1"}))]
    kept = json.loads((await the_job(store))["details"])
    assert kept == {"error_count": 2, "stage_metrics": [{"stage": "EMBEDDING"}]}
    assert (await kinds(store))[-1] is EventKind.JOB_CHANGED
    assert (await rows(store, EVENTS))[-1]["changed_fields"] == "details,errors"


async def test_what_is_owed_is_looked_at_after_a_kill(store: Store) -> None:
    """The debt stands in the store, not in the process."""
    source = Scripted()
    source.says = Observation(connectors=[connector()], jobs=[job("1", completed_at=at(5))])
    source.finds = SourceUnreachable("not now")
    async with running(store, configured(source, examines=True)):
        await until(lambda: _truth(source.examined))
    again = Scripted()
    again.says = Observation(connectors=[connector()])
    again.finds = {"1": FOUND}
    async with running(store, configured(again, examines=True)):

        async def found() -> bool:
            return bool(await errors(store))

        await until(found)


@pytest.mark.parametrize("error", [SourceAuthFailed("not for you", status=403), SourceMismatch("what is this")])
async def test_what_may_not_be_looked_at_is_not_asked_for_again(store: Store, error: Exception) -> None:
    source = Scripted()
    source.says = Observation(connectors=[connector()], jobs=[job("1", completed_at=at(5))])
    source.finds = error
    async with running(store, configured(source, examines=True)):
        await until(lambda: _truth(source.examined))
        polls = source.polls
        await until(lambda: _truth(source.polls > polls + 3))
    assert len(source.examined) == 1
    (system,) = await rows(store, SYSTEMS)
    assert system["health"] is SystemHealth.UP


async def test_of_what_ended_before_we_came_the_newest_is_looked_at(store: Store) -> None:
    source = Scripted()
    ended = [job(str(n), order_at=at(n), completed_at=at(n + 1)) for n in range(5)]
    source.says = Observation(connectors=[connector()], jobs=ended)
    async with running(store, configured(source, examines=True)):
        await until(lambda: _truth(source.examined))
        polls = source.polls
        source.says = Observation(connectors=[connector()], jobs=[job("9", order_at=at(9), completed_at=at(10))])
        await until(lambda: _truth(source.polls > polls + 3 and len(source.examined) > 1))
    assert source.examined == [("a", frozenset({"4"})), ("a", frozenset({"9"}))]


async def test_errors_that_a_poll_tells_replace_earlier_ones(store: Store) -> None:
    first, second = JobErrorFact("one"), JobErrorFact("two")

    def says(*seen: JobErrorFact) -> Observation:
        return Observation(connectors=[connector()], jobs=[job("1", status=JobStatus.RUNNING, errors=seen)])

    source = Scripted()
    source.says = says(first, second)
    async with running(store, configured(source)):

        async def are(*messages: str) -> bool:
            return [message for message, _ in await errors(store)] == list(messages)

        await until(lambda: are("one", "two"))
        log = len(await kinds(store))
        polls = source.polls
        await until(lambda: _truth(source.polls > polls + 3))
        assert len(await kinds(store)) == log, "the same errors again are no news"
        source.says = says(second)
        await until(lambda: are("two"))
        source.says = Observation(connectors=[connector()], jobs=[job("1", status=JobStatus.RUNNING)])
        polls = source.polls
        await until(lambda: _truth(source.polls > polls + 3))
        assert await are("two"), "None means that they were not read"


def test_adapters_answer_what_they_cannot_tell() -> None:
    """What a source inherits: it looks in vain and finds nothing."""
    source = Scripted()
    base = type(source).__mro__[1]
    seen = asyncio.run(base.look(source, Known(), frozenset({"1"})))  # type: ignore[attr-defined]
    assert (list(seen.connectors), list(seen.jobs), seen.complete) == ([], [], False)
    assert asyncio.run(base.examine(source, "a", frozenset({"1"}))) == {}  # type: ignore[attr-defined]
