"""Rare meetings: refusals, readers that go in the middle of something, bursts, a store that is away for a moment."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from connectory.execution.operation import Operation
from connectory.execution.prepared import Refused
from connectory.live.broadcast import StateBroadcast
from connectory.live.rendering import Rendering
from connectory.model import JobStatus
from connectory.store.log.cursors import read_cursor
from connectory.store.reads.snapshot import Snapshot, open_snapshot
from tests.cursors import START, cursor_at, forget
from tests.facts import at, connector
from tests.live.alone import EVENTS, JOB_ID, PROGRESS, SUMMARIES, Ground, Reader, until_last
from tests.live.preparing import prepare
from tests.wait import until


async def test_who_is_refused_for_its_last_event_id_leaves_nothing_behind(ground: Ground) -> None:
    with pytest.raises(Refused):
        await ground.follow(PROGRESS, id=JOB_ID, last_event_id="garbage")
    assert (ground.live.broadcasts, ground.watches.ids, ground.tail.listening) == (0, [], False)


async def test_each_is_told_of_its_own_gap(ground: Ground) -> None:
    await ground.move(10)
    head = await ground.head()
    starts = [await cursor_at(ground.store, position) for position in (1, 4)]
    await forget(ground.store, head - 1)
    query = "subscription ($after: String) { events(after: $after) { ... on GapEvent { from to } } }"
    for start in starts:
        reader = await ground.follow(query, after=start)
        await reader.has(1)
        assert reader.results[0]["data"]["events"] == {"from": start, "to": await cursor_at(ground.store, head - 1)}


async def test_one_who_goes_while_it_counts_takes_no_change_from_others(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A summary changes while the last count is not long ago, so that it is the next reader's opening which counts."""
    monkeypatch.setattr("connectory.live.broadcast._PAUSE", 2.0)
    first = await ground.follow(SUMMARIES)
    await first.has(1)
    await ground.head()
    await ground.stand_still()
    (broadcast,) = ground.live._broadcasts.values()
    begun, gone, original = asyncio.Event(), asyncio.Event(), Rendering.body

    async def body(self: Rendering, record: Any) -> bytes:
        begun.set()
        await gone.wait()
        return await original(self, record)

    assert isinstance(broadcast, StateBroadcast)
    broadcast.hear((), {})  # counts, and then rests

    async def rests(broadcast: StateBroadcast = broadcast) -> bool:
        return not broadcast._is_due and not broadcast._turn.locked()

    await until(rests)
    await ground.writer.poll(at(50), [connector("a"), connector("b")], [])
    broadcast.hear((), {})
    monkeypatch.setattr(Rendering, "body", body)
    prepared = prepare(ground.schema, Operation(SUMMARIES, {}))
    second = await ground.live.subscribe(prepared, Reader(), ground.viewer)
    await asyncio.wait_for(begun.wait(), 10)
    second.leave()
    gone.set()
    ground.go_on()
    await ground.head()

    async def look() -> bool:
        return bool(first.said("sourceSummaryChanged", "totalConnectors")[-1] == 2)

    await until(look)


class Bursting(Reader):
    """One that has the log grow, by what ``grow`` hands over, while a result is on its way to it and to others."""

    grow: Callable[[], None] | None = None

    async def send(self, body: bytes, cursor: str) -> None:
        await super().send(body, cursor)
        if self.grow is not None:
            grow, self.grow = self.grow, None
            grow()


async def test_a_burst_doubles_nothing_for_many(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than may wait, while the one before them is on its way to some of the members."""
    monkeypatch.setattr("connectory.live.broadcast._AT_A_TIME", 2)
    monkeypatch.setattr("connectory.live.broadcast._WAITING", 5)
    start = await ground.head()
    readers = [Bursting() for _ in range(20)]
    for reader in readers:
        prepared = prepare(ground.schema, Operation(EVENTS, {"after": START}))
        await ground.live.subscribe(prepared, reader, ground.viewer)
        await reader.has(start)
    await ground.stand_still()
    await ground.move(10)
    async with open_snapshot(ground.store, at(0)) as snapshot:
        batch = await ground.tail._read(snapshot)
    readers[3].grow = partial(ground.tail._hand_over, replace(batch, events=batch.events[1:]))
    ground.tail._hand_over(replace(batch, events=batch.events[:1], place=read_cursor(batch.events[0].cursor)))
    for reader in readers:
        await reader.has(batch.position)
    ground.go_on()
    await ground.move()
    head = await ground.head()
    for reader in readers:

        async def has_come(reader: Reader = reader) -> bool:
            return reader.positions[-1] == head

        await until(has_come)
        assert reader.positions == list(range(1, head + 1))


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.SUCCEEDED])
async def test_what_the_store_could_not_show_is_shown_once_it_can(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, status: JobStatus
) -> None:
    monkeypatch.setattr("connectory.live.broadcast._AGAIN", 0.02)
    reader = await ground.follow(PROGRESS, id=JOB_ID)
    await reader.has(1)
    snapshots = ground.live._snapshots
    original, failures = snapshots._open_snapshot, 0

    @asynccontextmanager
    async def fail() -> AsyncIterator[Snapshot]:
        nonlocal failures
        failures += 1
        raise OSError("no such database today")
        yield

    def open_or_fail() -> AbstractAsyncContextManager[Snapshot]:
        return original() if failures == 3 else fail()

    monkeypatch.setattr(snapshots, "_open_snapshot", open_or_fail)
    await ground.move(status=status)
    await until_last(reader, ground.moves)
    failures = 3
    assert [result for result in reader.results if "errors" in result] == []
    assert reader.said("jobProgress", "job", "progress", "processed")[-1] == ground.moves


async def test_a_cursor_that_has_to_be_there_is_missed_by_everybody(ground: Ground) -> None:
    query = EVENTS.replace("$after: String", "$after: String!")
    await ground.follow(query, after=START)
    with pytest.raises(Refused):
        await ground.follow(query)


@pytest.mark.parametrize("behind", [0, 1])
@pytest.mark.parametrize("query", [EVENTS, PROGRESS])
async def test_a_cursor_that_is_newer_than_the_shared_snapshot_is_good(ground: Ground, query: str, behind: int) -> None:
    """The log has grown, the tail has not read so far, and something older is being rendered."""
    first = await ground.head()
    await ground.stand_still()
    async with ground.live._snapshots.present():
        await ground.move(2)
        start = first + 2 - behind
        reader = await ground.follow(
            query, after=await cursor_at(ground.store, start), **({"id": JOB_ID} if query == PROGRESS else {})
        )
        if behind:
            await reader.has(1)
        ground.go_on()
        await ground.move()
        head = await ground.head()
        await reader.has(1 + behind)
    assert [result for result in reader.results if "errors" in result] == []
    assert reader.positions == list(range(start + 1, head + 1))
