"""What somebody watches is looked at as often as what runs, whichever gateway polls it; and refreshes travel alike."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from os import getpid
from socket import gethostname
from typing import Any

import pytest

from connectory.engine import ConfiguredSystem, Engine
from connectory.engine.polling.peers import Peers
from connectory.engine.polling.watches import LASTING, Watched, Watches
from connectory.model import ActionFailureCode, ActionRefusal, JobStatus, Observation
from connectory.store import Store
from connectory.store.log.bus import Bus
from connectory.store.log.notify_channel import LONGEST_PAYLOAD, REFRESH_CHANNEL, WATCHES_CHANNEL, NotifyChannel
from connectory.store.tables import SYSTEMS
from connectory.store.tables.identity import CONNECTOR, JOB, SYSTEM, global_id
from sources.base import SourceRateLimited, SourceUnreachable
from tests.engine.stage import rows
from tests.facts import Scripted, configured, connector, job
from tests.store.test_tail import actions
from tests.wait import PATIENCE, until

#: Two jobs that wait, of different connectors, and one that has ended; nothing runs.
WAITS = Observation(
    connectors=[connector("a"), connector("b")],
    jobs=[job("1", "a", JobStatus.PENDING), job("2", "b", JobStatus.SUSPENDED), job("3", "b")],
)
JOB_1, JOB_2, JOB_3 = (global_id(JOB, "scripted", name) for name in "123")
CONNECTOR_B = global_id(CONNECTOR, "scripted", "b")


def truth(look: Callable[[], Any]) -> Callable[[], Awaitable[bool]]:
    async def seen() -> bool:
        return bool(look())

    return seen


def source(says: Any = WAITS) -> Scripted:
    made = Scripted()
    made.says = says
    return made


def idle(source: Scripted, **more: Any) -> ConfiguredSystem:
    """Polled once, then practically never; looked at all the time."""
    return configured(source, **{"poll_interval": 3600.0, "live_interval": 0.02} | more)


class Pulse(Scripted):
    """A system beside: time has passed once it has been polled some more."""

    async def beats(self, times: int = 8) -> None:
        wanted = self.polls + times
        await until(truth(lambda: self.polls >= wanted))


@asynccontextmanager
async def running(store: Store, *systems: ConfiguredSystem, **more: Any) -> AsyncIterator[Engine]:
    engine = Engine(store, systems, **more)
    await engine.start()
    try:
        yield engine
    finally:
        async with asyncio.timeout(PATIENCE):
            await engine.stop()


async def polled(engine: Engine, source: Scripted) -> None:
    """Its first poll has been committed, and it is idle."""
    assert await engine.refresh("scripted") is None
    await until(truth(lambda: source.polls >= 1))


async def looked(source: Scripted, times: int = 3) -> None:
    wanted = len(source.looks) + times
    await until(truth(lambda: len(source.looks) >= wanted))


# ---- one gateway


async def test_a_watched_job_is_looked_at_until_the_last_watcher_has_left(store: Store) -> None:
    scripted, pulse = source(), Pulse()
    async with running(store, idle(scripted), configured(pulse, "pulse")) as engine:
        await polled(engine, scripted)
        await pulse.beats()
        assert scripted.looks == [], "nothing runs and nobody watches"
        engine.watch([JOB_1])
        engine.watch([JOB_1])
        await looked(scripted)
        engine.unwatch([JOB_1])
        await looked(scripted)
        engine.unwatch([JOB_1])
        await pulse.beats(2)  # a look may have been under way
        looks = len(scripted.looks)
        await pulse.beats()
        assert len(scripted.looks) == looks
    assert set(scripted.looks) == {frozenset({"1"})}
    assert len(engine.watches) == 0


async def test_a_watched_connector_s_open_jobs_are_looked_at(store: Store) -> None:
    scripted = source()
    async with running(store, idle(scripted)) as engine:
        await polled(engine, scripted)
        engine.watch([CONNECTOR_B])
        await looked(scripted)
        assert set(scripted.looks) == {frozenset({"2"})}, "neither other connectors' jobs nor what has ended"
        engine.watch([JOB_1, JOB_3])
        await until(truth(lambda: scripted.looks[-1] == frozenset({"1", "2"})))


async def test_what_a_look_at_a_waiting_job_sees_is_stored(store: Store) -> None:
    scripted = source()
    scripted.sees = Observation(connectors=[], jobs=[job("1", "a", JobStatus.RUNNING, processed=3)], complete=False)
    async with running(store, idle(scripted)) as engine:
        await polled(engine, scripted)
        engine.watch([JOB_1])
        await until(truth(lambda: "1" in engine.pollers["scripted"]._session.known.running_jobs))  # type: ignore[union-attr]


async def test_watches_come_on_top_of_what_runs(store: Store) -> None:
    scripted = source(Observation(connectors=WAITS.connectors, jobs=[*WAITS.jobs, job("9", "a", JobStatus.RUNNING)]))
    async with running(store, idle(scripted)) as engine:
        await looked(scripted)
        assert set(scripted.looks) == {frozenset({"9"})}
        engine.watch([JOB_1])
        await until(truth(lambda: scripted.looks[-1] == frozenset({"1", "9"})))
        engine.unwatch([JOB_1])
        await until(truth(lambda: scripted.looks[-1] == frozenset({"9"})))


async def test_a_watch_from_before_the_first_poll(store: Store) -> None:
    scripted = source()
    async with running(store, idle(scripted)) as engine:
        engine.watch([JOB_1])
        await looked(scripted)


async def test_watchers_that_come_and_go_do_not_make_looks_more_frequent(store: Store) -> None:
    scripted, pulse = source(), Pulse()
    system = idle(scripted, live_interval=1800.0)
    async with running(store, system, configured(pulse, "pulse")) as engine:
        await polled(engine, scripted)
        for _ in range(50):
            engine.watch([JOB_1])
            await asyncio.sleep(0)
            engine.unwatch([JOB_1])
        engine.watch([JOB_1])
        await pulse.beats()
        assert scripted.looks == [], "the poll is not live_interval ago"


@pytest.mark.parametrize("error", [SourceUnreachable("down"), SourceRateLimited("slowly", retry_after=3600.0)])
async def test_a_watch_is_no_reason_to_disturb_a_system_in_trouble(store: Store, error: Exception) -> None:
    """One that is down, or that asked us to wait."""
    scripted, pulse = source(), Pulse()
    patience = {"max_backoff": 3600.0, "poll_interval": 1800.0}
    async with running(store, idle(scripted, **patience), configured(pulse, "pulse")) as engine:
        await polled(engine, scripted)
        scripted.says = error
        for _ in range(2):
            await engine.refresh("scripted")
        engine.watch([JOB_1])
        await pulse.beats()
        assert scripted.looks == []


async def test_a_look_that_fails_waits_for_the_next_poll_whoever_begins_to_watch(store: Store) -> None:
    scripted, pulse = source(), Pulse()
    scripted.sees = SourceUnreachable("nobody there")
    async with running(store, idle(scripted), configured(pulse, "pulse")) as engine:
        await polled(engine, scripted)
        engine.watch([JOB_1])
        await looked(scripted, 1)
        engine.watch([JOB_1, JOB_2])
        await pulse.beats()
        assert len(scripted.looks) == 1
        assert await engine.refresh("scripted") is None
        await looked(scripted, 1)


async def test_ids_that_nobody_knows_are_ignored(store: Store) -> None:
    strange = [
        "", "nonsense", "ä", global_id(SYSTEM, "scripted"), global_id(JOB, "elsewhere", "1"),
        global_id(JOB, "scripted"), global_id(JOB, "scripted", "no such job"),
        global_id(CONNECTOR, "scripted", "a:b/ü"), "Sm9iOg==",
    ]  # fmt: skip
    scripted, pulse = source(), Pulse()
    async with running(store, idle(scripted), configured(pulse, "pulse")) as engine:
        await polled(engine, scripted)
        engine.watch(strange)
        await pulse.beats()
        assert scripted.looks == []
        engine.unwatch(strange)
        engine.unwatch([JOB_1, *strange])
        assert len(engine.watches) == 0
        engine.watch([JOB_1])
        await looked(scripted, 1)


# ---- the counting


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_another_gateway_s_watches_last_as_long_as_they_are_renewed() -> None:
    ticks = Ticks()
    watches = Watches({"scripted"}, ticks)
    jobs = {"1": "a", "2": "b"}
    watches.hear("east", [JOB_1, CONNECTOR_B])
    ticks.now = LASTING - 1
    watches.hear("east", [JOB_1])
    watches.hear("west", [CONNECTOR_B])
    assert watches.among("scripted", jobs) == {"1", "2"}
    ticks.now = 2 * LASTING - 2
    watches.hear_left("west", [CONNECTOR_B])
    assert watches.among("scripted", jobs) == {"1"}, "the one of east was not renewed"
    ticks.now = 2 * LASTING
    assert watches.among("scripted", jobs) == frozenset()
    watches.sweep()
    assert len(watches) == 0


def test_watchers_here_and_there_do_not_end_each_other_s_watch() -> None:
    watches = Watches({"scripted"}, Ticks())
    assert watches.add([JOB_1]) == [Watched(JOB_1, "scripted", JOB, "1")]
    watches.hear("east", [JOB_1])
    assert watches.add([JOB_1]) == []
    watches.hear_left("east", [JOB_1])
    assert watches.remove([JOB_1]) == []
    assert watches.among("scripted", {"1": None}) == {"1"}
    watches.hear("east", [JOB_1])
    assert [thing.id for thing in watches.remove([JOB_1])] == [JOB_1]
    assert watches.here() == []
    assert watches.among("scripted", {"1": None}) == {"1"}
    watches.hear_left("east", [JOB_1])
    assert len(watches) == 0


def test_an_open_job_without_a_connector_is_of_no_watched_one() -> None:
    watches = Watches({"scripted"}, Ticks())
    watches.add([CONNECTOR_B])
    assert watches.among("scripted", {"1": None, "2": "b"}) == {"2"}


# ---- several gateways


class Pair:
    """Two gateways on one PostgreSQL; the first polls ``scripted``."""

    def __init__(self, first: Engine, second: Engine, source: Scripted, pulse: Pulse, ticks: Ticks) -> None:
        self.first, self.second, self.source, self.pulse, self.ticks = first, second, source, pulse, ticks


@pytest.fixture
async def pair(postgres_url: str) -> AsyncIterator[Pair]:
    stores = [Store(postgres_url), Store(postgres_url)]
    scripted, pulse, ticks = source(), Pulse(), Ticks()
    await stores[0].upgrade()
    try:
        systems = (idle(scripted), configured(pulse, "pulse"))
        others = (idle(source()), configured(Pulse(), "pulse"))
        async with running(stores[0], *systems, ticks=ticks) as first:
            await polled(first, scripted)
            await pulse.beats(1)
            async with running(stores[1], *others, renewal=0.05, patience=20.0) as second:
                await until(truth(lambda: first.notify_channel.is_connected and second.notify_channel.is_connected))
                yield Pair(first, second, scripted, pulse, ticks)
    finally:
        for store in stores:
            await store.close()


async def test_a_watch_reaches_the_gateway_that_polls_and_so_does_its_end(pair: Pair) -> None:
    pair.second.watch([JOB_1])
    await looked(pair.source)
    pair.second.watch([CONNECTOR_B])
    await until(truth(lambda: pair.source.looks[-1] == frozenset({"1", "2"})))
    pair.second.unwatch([CONNECTOR_B])
    await until(truth(lambda: pair.source.looks[-1] == frozenset({"1"})))
    pair.second.unwatch([JOB_1])
    await until(truth(lambda: len(pair.first.watches) == 0))
    await pair.pulse.beats(2)
    looks = len(pair.source.looks)
    await pair.pulse.beats()
    assert len(pair.source.looks) == looks


async def test_a_watch_is_renewed_and_forgotten_once_it_is_not(pair: Pair) -> None:
    pair.second.watch([JOB_1])
    await looked(pair.source)
    for _ in range(3):
        pair.ticks.now += LASTING + 1
        await looked(pair.source)  # renewed after the clock had gone on
    await pair.second.stop()
    await pair.pulse.beats(2)
    pair.ticks.now += LASTING + 1
    await pair.pulse.beats(2)
    looks = len(pair.source.looks)
    await pair.pulse.beats()
    assert len(pair.source.looks) == looks


async def test_a_watch_of_what_we_poll_ourselves_does_not_travel(pair: Pair) -> None:
    pair.first.watch([JOB_1])
    await looked(pair.source)
    pair.second.watch([JOB_2])
    await until(truth(lambda: pair.source.looks[-1] == frozenset({"1", "2"})))
    assert len(pair.second.watches) == 1


async def test_many_watches_travel_in_messages_that_fit(pair: Pair) -> None:
    """Also ids of a kilobyte; one that is longer than a message stays at home."""
    many = [global_id(JOB, "scripted", f"{number}-{'x' * 900}") for number in range(100)]
    pair.second.watch([global_id(JOB, "scripted", "y" * LONGEST_PAYLOAD), *many])
    await until(truth(lambda: len(pair.first.watches) == 100))
    pair.second.unwatch(many)
    await until(truth(lambda: len(pair.first.watches) == 0))


async def test_a_gateway_that_takes_over_knows_what_is_watched_elsewhere(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [Store(postgres_url) for _ in range(3)]
    monkeypatch.setattr(stores[2].leases, "hold", taken)  # whose heir it may be is not left to chance
    await stores[0].upgrade()
    holder, heir = source(), source()
    try:
        async with running(stores[0], idle(holder)) as first:
            await polled(first, holder)
            async with (
                running(stores[1], configured(heir, poll_interval=0.5, live_interval=0.01)) as second,
                running(stores[2], idle(source()), renewal=0.05) as third,
            ):
                third.watch([JOB_1])
                await looked(holder)
                assert (heir.polls, heir.looks) == (0, [])
                await first.stop()
                await stores[0].close()
                await looked(heir)
                assert len(second.watches) == 1
    finally:
        for store in stores:
            await store.close()


async def taken(_: str) -> None:
    """A lease that another process has."""


# ---- refreshes


async def test_a_refresh_is_done_by_the_gateway_that_polls(pair: Pair) -> None:
    polls = pair.source.polls
    pair.source.says = Observation(connectors=[connector("a", name="Renamed"), connector("b")], jobs=WAITS.jobs)
    async with asyncio.timeout(PATIENCE):
        assert await pair.second.refresh("scripted") is None
    assert pair.source.polls == polls + 1


async def test_refreshes_at_once_are_each_answered(pair: Pair) -> None:
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(*(pair.second.refresh("scripted") for _ in range(10))) == [None] * 10


async def test_a_failed_poll_elsewhere_is_an_answer(pair: Pair) -> None:
    pair.source.says = SourceUnreachable("down")
    async with asyncio.timeout(PATIENCE):
        assert await pair.second.refresh("scripted") is None
    (system,) = [row for row in await rows(pair.second._store, SYSTEMS) if row["name"] == "scripted"]
    assert system["error_message"] == "down"


async def test_a_retry_after_elsewhere_refuses_as_it_would_there(pair: Pair) -> None:
    pair.source.says = SourceRateLimited("slowly", retry_after=3600.0)
    async with asyncio.timeout(PATIENCE):
        assert await pair.second.refresh("scripted") is None
        there = await pair.first.refresh("scripted")
        here = await pair.second.refresh("scripted")
    assert there is not None
    assert here is not None
    assert (here.code, here.message) == (there.code, there.message)
    assert here.retry_after_seconds == pytest.approx(there.retry_after_seconds, abs=20)


async def test_a_refresh_that_nobody_answers(postgres_url: str) -> None:
    """The lease is held, and whoever holds it hears nothing."""
    holder, store = Store(postgres_url), Store(postgres_url)
    try:
        await store.upgrade()
        await holder.leases.hold("system:scripted")
        async with running(store, idle(source()), patience=0.05) as engine, asyncio.timeout(10):
            refusal = await engine.refresh("scripted")
        assert refusal is not None
        assert refusal.code is ActionFailureCode.UPSTREAM_UNAVAILABLE
        assert f"scripted is polled by {gethostname()} pid {getpid()} since 20" in refusal.message
    finally:
        await holder.close()
        await store.close()


async def test_who_waits_for_another_gateway_is_told_when_ours_stops(pair: Pair) -> None:
    pair.source.hangs = asyncio.Event()
    asked = asyncio.create_task(pair.second.refresh("scripted"))
    polls = pair.source.polls
    await until(truth(lambda: pair.source.polls > polls))
    await pair.second.stop()
    async with asyncio.timeout(PATIENCE):
        refusal = await asked
    assert refusal is not None
    assert "being stopped" in refusal.message
    pair.source.hangs.set()


async def test_a_client_that_gives_up_leaves_nothing_behind(pair: Pair) -> None:
    pair.source.hangs = asyncio.Event()
    asked = asyncio.create_task(pair.second.refresh("scripted"))
    polls = pair.source.polls
    await until(truth(lambda: pair.source.polls > polls))
    asked.cancel()
    await asyncio.wait([asked])
    assert pair.second._peers._asked == {}
    pair.source.hangs.set()
    pair.source.hangs = None
    async with asyncio.timeout(PATIENCE):
        assert await pair.second.refresh("scripted") is None


# ---- messages


class Refusing:
    """A poller here that refuses at great length."""

    elsewhere = ActionRefusal(ActionFailureCode.UPSTREAM_UNAVAILABLE, "elsewhere")
    is_here = True

    def wake(self) -> None: ...

    async def refresh(self) -> ActionRefusal | None:
        return ActionRefusal(ActionFailureCode.UPSTREAM_REJECTED, "\x01" * 5_000, 418, 7.5)


def test_what_is_not_for_us_is_passed_over(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Our own messages come back to us, and a newer version may say what we do not know."""
    watches, notify = Watches({"scripted"}, Ticks()), NotifyChannel(Store(sqlite_url), Bus())
    Peers(notify, watches, {"scripted": Refusing()}, name="here")
    for channel in (WATCHES_CHANNEL, REFRESH_CHANNEL):
        notify._receive(None, 0, channel, '{"gateway": "east", "news": 1}')
        notify._receive(None, 0, channel, json.dumps({"gateway": "here", "watched": [JOB_1], "refresh": "scripted"}))
    assert len(watches) == 0
    assert actions(caplog) == []


async def test_a_long_refusal_fits_into_a_message(sqlite_url: str) -> None:
    notify, sent = NotifyChannel(Store(sqlite_url), Bus()), []
    notify.send = lambda channel, payload: sent.append((channel, payload))  # type: ignore[method-assign]
    Peers(notify, Watches({"scripted"}, Ticks()), {"scripted": Refusing()}, name="here")
    notify._receive(None, 0, REFRESH_CHANNEL, json.dumps({"gateway": "east", "refresh": "scripted", "number": 3}))
    await until(truth(lambda: sent))
    ((channel, payload),) = sent
    assert channel == REFRESH_CHANNEL
    assert len(payload.encode()) <= LONGEST_PAYLOAD
    answer = json.loads(payload)
    assert (answer["for"], answer["number"]) == ("east", 3)
    assert answer["refusal"] == ["UPSTREAM_REJECTED", "\x01" * 1_000, 418, 7.5]
