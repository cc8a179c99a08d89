"""The tail of the change log: every position once and in order, whoever writes and whatever happens to the store."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import pytest
from sqlalchemy import delete, update

from connectory.model import EventKind, SystemHealth
from connectory.store import Store
from connectory.store.log.bus import Bus
from connectory.store.log.tail import CHUNK, LogBatch, Tail
from connectory.store.reads.snapshot import open_snapshot
from connectory.store.tables import EVENTS, LOG_HEAD
from connectory.store.writes.registration import Registration, register_systems
from connectory.store.writes.rows import append_events
from tests.facts import T0
from tests.wait import until

#: Seconds: longer than any test, so that only a wake-up explains what is seen.
NEVER = 3600.0


def line(writer: str, number: int = 0) -> dict[str, Any]:
    names = [column.name for column in EVENTS.c if column.name != "position"]
    columns = {"at": T0, "kind": EventKind.SYSTEM_CHANGED, "health": SystemHealth.UP.value, "system_id": writer}
    return dict.fromkeys(names) | columns | {"message": str(number)}


async def append(store: Store, *lines: dict[str, Any]) -> int:
    async with store.write() as connection:
        return await append_events(connection, lines)


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we logged ourselves: a library may tell of an earlier test's connection when its remains are collected."""
    return [record.__dict__["action"] for record in caplog.records if record.name.startswith("connectory")]


class Listener:
    """What a tail has handed over. Checks at each batch that it follows the one before."""

    def __init__(self, tail: Tail) -> None:
        self.tail = tail
        self.batches: list[LogBatch] = []
        self.seams: list[tuple[int, int]] = []
        tail.listen(self)

    def __call__(self, batch: LogBatch) -> None:
        self.seams.append((self.tail.position, batch.position))
        self.batches.append(batch)

    @property
    def positions(self) -> list[int]:
        return [event.position for batch in self.batches for event in batch.events]

    async def come_to(self, position: int) -> None:
        async def there() -> bool:
            return self.tail.position >= position

        await until(there, within=30)


@asynccontextmanager
async def following(tail: Tail, *, listening: bool = True) -> AsyncIterator[Listener]:
    listener = Listener(tail)
    await tail.begin()
    tail.listening = listening
    task = asyncio.create_task(tail.run())
    try:
        yield listener
    finally:
        assert not task.done(), "a tail never ends"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_begins_at_the_present_and_hands_over_what_comes(store: Store) -> None:
    await register_systems(store, [Registration("one", "scripted", (), 90.0)])
    await append(store, line("a"), line("a"))
    bus = Bus()
    async with following(Tail(store, bus, poll_interval=NEVER)) as listener:
        assert listener.tail.position == 2
        bus.wake(await append(store, line("b", 1), line("b", 2)))
        await listener.come_to(4)
        (batch,) = listener.batches
    assert [(event.position, event.message) for event in batch.events] == [(3, "1"), (4, "2")]
    assert [system.name for system in batch.systems.values()] == ["one"]
    assert listener.seams == [(2, 4)], "the position follows after the hand-over"


async def test_a_wake_up_for_many_commits_is_one_read(store: Store) -> None:
    bus = Bus()
    async with following(Tail(store, bus, poll_interval=NEVER)) as listener:
        for number in range(7):
            await append(store, line("a", number))
        bus.wake(7)
        await listener.come_to(7)
    assert [event.position for batch in listener.batches for event in batch.events] == list(range(1, 8))
    assert len(listener.batches) <= 2, "beside the first look, which may have seen some of them"


async def test_a_long_stretch_comes_in_chunks(store: Store) -> None:
    bus, rows = Bus(), 2 * CHUNK + 7
    async with following(Tail(store, bus, poll_interval=NEVER)) as listener:
        bus.wake(await append(store, *(line("a", number) for number in range(rows))))
        await listener.come_to(rows)
    assert [len(batch.events) for batch in listener.batches] == [CHUNK, CHUNK, 7]
    assert listener.positions == list(range(1, rows + 1))
    assert listener.seams == [(0, CHUNK), (CHUNK, 2 * CHUNK), (2 * CHUNK, rows)]


async def test_while_nobody_listens_positions_come_without_rows(store: Store) -> None:
    bus = Bus()
    async with following(Tail(store, bus, poll_interval=NEVER), listening=False) as listener:
        bus.wake(await append(store, line("a"), line("a")))
        await listener.come_to(2)
        listener.tail.listening = True
        bus.wake(await append(store, line("a")))
        await listener.come_to(3)
    assert [(batch.position, len(batch.events)) for batch in listener.batches] == [(2, 0), (3, 1)]


async def test_who_begins_to_listen_during_a_read_misses_nothing_after_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tail has read how far the log goes and not yet moved there: from here on the rows count."""
    bus = Bus()
    async with following(Tail(store, bus, poll_interval=NEVER), listening=False) as listener:
        tail = listener.tail

        @asynccontextmanager
        async def open_and_begin_to_listen(*of: Any) -> AsyncIterator[Any]:
            async with open_snapshot(*of) as snapshot:
                tail.listening = True
                yield snapshot

        monkeypatch.setattr("connectory.store.log.tail.open_snapshot", open_and_begin_to_listen)
        bus.wake(await append(store, line("a"), line("a")))
        await listener.come_to(2)
    assert listener.positions == [1, 2]


async def test_rows_that_retention_took_leave_a_position(store: Store) -> None:
    bus = Bus()
    async with following(Tail(store, bus, poll_interval=NEVER)) as listener:
        async with store.write() as connection:
            position = await append_events(connection, [line("a")] * 3)
            await connection.execute(delete(EVENTS).where(EVENTS.c.position >= 2))
        bus.wake(position)
        await listener.come_to(3)
    assert [(batch.position, len(batch.events)) for batch in listener.batches] == [(3, 1)]


async def test_eight_writers_at_once(store: Store, store_url: str) -> None:
    """Transactions that overlap, are rolled back and commit in another order than they began."""
    other, bus, lines = Store(store_url), Bus(), 40

    async def write(into: Store, writer: str, chance: Random) -> None:
        number = 0
        while number < lines:
            some = [line(writer, n) for n in range(number, min(lines, number + chance.randint(1, 3)))]
            with contextlib.suppress(ZeroDivisionError):
                async with into.write() as connection:
                    await asyncio.sleep(chance.choice((0, 0.002)))
                    position = await append_events(connection, some)
                    await asyncio.sleep(chance.choice((0, 0.002)))
                    _ = 1 / chance.choice((0, 1, 1))
                number += len(some)
                bus.wake(position)

    try:
        async with following(Tail(store, bus, poll_interval=0.05)) as listener, asyncio.timeout(60):
            writers = [write(store if n % 2 else other, f"w{n}", Random(n)) for n in range(8)]
            await asyncio.gather(*writers)
            await listener.come_to(8 * lines)
    finally:
        await other.close()
    assert listener.positions == list(range(1, 8 * lines + 1))
    handed_over = [event for batch in listener.batches for event in batch.events]
    for n in range(8):
        assert [int(event.message) for event in handed_over if event.system_id == f"w{n}"] == list(range(lines))
    assert [before for before, _ in listener.seams[1:]] == [after for _, after in listener.seams[:-1]]


async def test_another_process_is_seen_without_being_woken(store: Store, store_url: str) -> None:
    other = Store(store_url)
    try:
        async with following(Tail(store, Bus(), poll_interval=0.02)) as listener:
            await append(other, line("a"))
            await listener.come_to(1)
            await append(other, line("b"))
            await listener.come_to(2)
    finally:
        await other.close()
    assert listener.positions == [1, 2]


async def test_a_store_that_fails_is_logged_once_and_nothing_is_skipped(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "connectory.store.log.tail")
    bus, attempts = Bus(), 0

    @asynccontextmanager
    async def fail(*_: Any, **__: Any) -> AsyncIterator[Any]:
        nonlocal attempts
        attempts += 1
        raise OSError("the disk is gone")
        yield

    async def tried(times: int) -> bool:
        return attempts >= times

    async with following(Tail(store, bus, poll_interval=0.05)) as listener:
        with monkeypatch.context() as patched:
            patched.setattr(store, "read", fail)
            await until(partial(tried, 1))  # no read that began before it can see the lines
            bus.wake(await append(store, line("a"), line("a")))
            await until(partial(tried, attempts + 3))
            assert listener.tail.position == 0
        await listener.come_to(2)

        async def is_logged() -> bool:
            return "tail_recovered" in actions(caplog)

        await until(is_logged)
    assert listener.positions == [1, 2]
    assert actions(caplog) == ["tail_failed", "tail_recovered"]


async def test_a_store_that_fails_at_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins where the log ends once the store answers, and never with the whole past."""
    await append(store, line("a"))
    tail, attempts, original = Tail(store, Bus(), poll_interval=0.02), 0, store.read

    def fail_once(*of: Any, **more: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise OSError("not yet")
        return original(*of, **more)

    monkeypatch.setattr(store, "read", fail_once)
    listener, tail.listening = Listener(tail), True
    task = asyncio.create_task(tail.run())
    await listener.come_to(1)
    await append(store, line("b"))
    await listener.come_to(2)
    assert listener.positions == [2]
    task.cancel()
    await asyncio.wait([task])


async def test_a_listener_that_fails_costs_nobody_anything_else(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    bus, seen = Bus(), []

    def listen(batch: LogBatch) -> None:
        seen.append(batch.position)
        if batch.position == 1:
            raise ValueError("cannot render that")

    async with following(Tail(store, bus, poll_interval=NEVER)) as listener:
        listener.tail.listen(listen)
        for _ in range(2):
            bus.wake(position := await append(store, line("a")))
            await listener.come_to(position)
    assert seen == [1, 2]
    assert actions(caplog) == ["tail_listener_failed"]


async def test_a_wake_up_for_what_is_not_there_is_no_reason_to_look_again_and_again(store: Store) -> None:
    bus, reads = Bus(), 0
    tail = Tail(store, bus, poll_interval=NEVER)
    async with following(tail) as listener:
        original = store.read

        def count(*of: Any, **more: Any) -> Any:
            nonlocal reads
            reads += 1
            return original(*of, **more)

        store.read = count  # type: ignore[method-assign]
        bus.wake(1_000)

        async def looked() -> bool:
            return reads > 0

        await until(looked)
        for _ in range(50):
            await append(store, line("a"))  # turns of the loop enough for another look
        assert reads == 1
        bus.wake(1_001)
        await listener.come_to(50)


async def test_a_log_that_is_shorter_than_it_was(store: Store) -> None:
    """A standby that took over may lack the last commits; what it takes on from there is told."""
    await append(store, line("a"), line("a"))
    async with following(Tail(store, Bus(), poll_interval=0.02)) as listener:
        async with store.write() as connection:
            await connection.execute(delete(EVENTS).where(EVENTS.c.position > 1))
            await connection.execute(update(LOG_HEAD).values(position=1))

        async def set_back() -> bool:
            return listener.tail.position == 1

        await until(set_back)
        await append(store, line("b"))
        await listener.come_to(2)
    assert listener.positions == [2]
