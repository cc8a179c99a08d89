"""Who shares a rendering, and what becomes of it while readers come, lag, go, and the store fails."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from connectory.execution.operation import Operation
from connectory.execution.prepared import Refused
from connectory.live.broadcast import LogBroadcast
from connectory.live.rendering import Rendering
from connectory.live.subscriber import Subscriber
from connectory.model import JobStatus, Role
from connectory.store.log.cursors import Place
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from resolvers.context import Context, Viewer
from resolvers.feeds import Chunk, EventFeed
from tests.cursors import START, cursor_at, forget
from tests.facts import at, connector, job
from tests.live.alone import EVENTS, EVENTS_AFTER, JOB_ID, PROGRESS, SUMMARIES, Ground, Reader, until_last
from tests.live.preparing import prepare
from tests.wait import until


@pytest.fixture
def renderings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The records that were rendered."""
    rendered: list[Any] = []
    original = Rendering.body

    async def body(self: Rendering, record: Any, *more: Any) -> bytes:
        rendered.append(record)
        return await original(self, record, *more)

    monkeypatch.setattr(Rendering, "body", body)
    return rendered


async def test_a_change_is_rendered_once_for_all_who_asked_the_same(ground: Ground, renderings: list[Any]) -> None:
    await ground.head()
    readers = [await ground.follow(PROGRESS, id=JOB_ID) for _ in range(50)]
    for reader in readers:
        await reader.has(1)
    opened = len(renderings)
    assert opened == 1, "the opening is the same for all, as long as nothing changes"
    for _ in range(4):
        await ground.move()
        await readers[0].has(ground.moves)
    for reader in readers:
        await reader.has(5)
        assert reader.said("jobProgress", "processed") == [1, 2, 3, 4, 5]
        assert reader.said("jobProgress", "job", "progress", "processed") == [1, 2, 3, 4, 5]
    assert len(renderings) == opened + 4
    assert (ground.live.broadcasts, ground.live.subscribers) == (1, 50)


async def test_who_shares(ground: Ground) -> None:
    """Where in the log somebody begins makes no difference; everything else that is asked does."""
    start = await cursor_at(ground.store, 1)
    for query, variables in (
        (EVENTS, {}),
        (EVENTS, {"after": start}),
        (EVENTS, {"after": None}),
    ):
        await ground.follow(query, **variables)
    assert ground.live.broadcasts == 1
    await ground.follow(EVENTS + " ")
    await ground.follow(EVENTS_AFTER.replace("?", start))
    default = EVENTS.replace("String", f'String = "{start}"')
    await ground.follow(default)
    await ground.follow(default, after=await cursor_at(ground.store, 2))
    twice = EVENTS.replace("processed", "job { errors(after: $after) { totalCount } }")
    await ground.follow(twice)
    await ground.follow(twice, after=start)
    apart = twice.replace("errors(after: $after)", "errors(after: $ # of all places\n after)")
    await ground.follow(apart)
    await ground.follow(apart, after=start)
    assert ground.live.broadcasts == 9
    ground.viewer = Viewer("somebody else", Role.VIEWER)
    await ground.follow(EVENTS)
    assert ground.live.broadcasts == 10


async def test_each_begins_where_it_wants(ground: Ground) -> None:
    await ground.move(5)
    head = await ground.head()
    late = await ground.follow(EVENTS)
    early = await ground.follow(EVENTS, after=START)
    middle = await ground.follow(EVENTS, after=await cursor_at(ground.store, head - 2))
    again = await ground.follow(EVENTS, after=START, last_event_id=await cursor_at(ground.store, head - 1))
    by_text = await ground.follow(EVENTS_AFTER.replace("?", await cursor_at(ground.store, head - 3)))
    await ground.move()
    for reader, first in ((late, head + 1), (early, 1), (middle, head - 1), (again, head), (by_text, head - 2)):
        await reader.has(head + 2 - first)
        assert reader.positions == list(range(first, head + 2))
        assert reader.cursors == reader.said("events", "cursor")


async def test_what_comes_right_after_the_asking_is_not_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the opening takes: "from now on" is when it was asked."""
    head, gate, original = await ground.head(), asyncio.Event(), LogBroadcast._bring_up

    async def late(self: LogBroadcast, subscriber: Subscriber, cursor: str | None) -> None:
        await gate.wait()
        await original(self, subscriber, cursor)

    monkeypatch.setattr(LogBroadcast, "_bring_up", late)
    reader = await ground.follow(EVENTS)
    await ground.move(3)
    assert await ground.head() == head + 3
    gate.set()
    await reader.has(3)
    assert reader.positions == [head + 1, head + 2, head + 3]


async def test_who_is_ahead_of_the_tail_is_told_nothing_twice(ground: Ground) -> None:
    await ground.head()
    await ground.stand_still()
    await ground.move(3)
    events, progress = await ground.follow(EVENTS, after=START), await ground.follow(PROGRESS, id=JOB_ID)
    await progress.has(1)
    await events.has(3)
    ground.go_on()
    await ground.move()
    head = await ground.head()
    await events.has(head)
    await until_last(progress, 5)
    assert events.positions == list(range(1, head + 1))
    assert progress.said("jobProgress", "processed") == [4, 5]


async def test_slow_readers_of_one_job_are_given_the_newest_and_the_end(ground: Ground) -> None:
    slow, quick = await ground.follow(PROGRESS, id=JOB_ID), await ground.follow(PROGRESS, id=JOB_ID)
    await slow.has(1)
    slow.stop()
    await ground.move(30)
    await quick.has(31)
    slow.read_on()
    await slow.has(2)
    slow.stop()
    await ground.move(5)
    await ground.move(status=JobStatus.SUCCEEDED)
    await quick.has(37)
    slow.read_on()
    await slow.has(3)
    assert slow.said("jobProgress", "processed") == [1, 31, 37]
    assert slow.said("jobProgress", "kind")[-1] == "JOB_FINISHED"
    assert slow.is_complete
    assert quick.is_complete
    assert quick.said("jobProgress", "processed") == list(range(1, 38))


async def test_slow_readers_of_events_miss_nothing(ground: Ground) -> None:
    slow, quick = await ground.follow(EVENTS, after=START), await ground.follow(EVENTS, after=START)
    await slow.has(2)
    for _ in range(3):
        slow.stop()
        await ground.move(20)
        await quick.has(await ground.head())
        slow.read_on()
        await ground.move(3)
    head = await ground.head()
    for reader in (slow, quick):
        await reader.has(head)
        assert reader.positions == list(range(1, head + 1))


async def test_more_than_can_be_rendered_is_read_again(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectory.live.broadcast._WAITING", 5)
    progress, events = await ground.follow(PROGRESS, id=JOB_ID), await ground.follow(EVENTS, after=START)
    await progress.has(1)
    await events.has(2)
    await ground.stand_still()
    await ground.move(38)
    ground.go_on()
    head = await ground.head()
    await events.has(head)
    assert events.positions == list(range(1, head + 1))
    await until_last(progress, 39)
    assert len(progress.results) < 10


async def test_a_store_that_fails_ends_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectory.live.broadcast._AGAIN", 0.02)
    events, summaries = await ground.follow(EVENTS, after=START), await ground.follow(SUMMARIES)
    await events.has(2)
    await summaries.has(1)
    events.stop()
    await ground.move(3)
    await ground.head()
    failures = 0

    async def fail(*_: Any, **__: Any) -> None:
        nonlocal failures
        failures += 1
        raise OSError("no such database today")

    with monkeypatch.context() as broken:
        broken.setattr("resolvers.feeds.EventFeed.replay", fail)
        broken.setattr("resolvers.feeds.SummaryFeed.state", fail)
        events.read_on()
        await ground.writer.poll(at(50), [connector("a"), connector("b")], [])

        async def has_failed() -> bool:
            return failures > 5

        await until(has_failed)
    head = await ground.head()
    await events.has(head)
    assert events.positions == list(range(1, head + 1))
    await summaries.has(2)
    assert summaries.said("sourceSummaryChanged", "totalConnectors") == [1, 2]


async def test_summaries_are_told_once_and_to_the_last(ground: Ground) -> None:
    first = await ground.follow(SUMMARIES)
    await first.has(1)
    for n in range(2, 8):
        await ground.writer.poll(at(n), [connector(str(i), source=f"s{i}") for i in range(n)], [])
    await first.has(2)
    second = await ground.follow(SUMMARIES)

    async def agree() -> bool:
        return all({s for s, n in newest(reader).items() if n} == {f"s{i}" for i in range(7)} for reader in readers)

    readers = (first, second)
    await until(agree)
    for n in range(20, 24):
        await ground.writer.poll(at(n), [connector("1", source="s1")], [])

    async def only_one_left() -> bool:
        return all({s for s, n in newest(reader).items() if n} == {"s1"} for reader in readers)

    await until(only_one_left)
    assert newest(first).keys() == {f"s{i}" for i in range(7)} | {"web"}, "what has vanished is told with zeros"


def newest(reader: Reader) -> dict[str, int]:
    return {told["source"]: told["totalConnectors"] for told in reader.said("sourceSummaryChanged")}


async def test_what_cannot_begin_says_why(ground: Ground) -> None:
    for query, variables, code in (
        (PROGRESS, {"id": "?"}, "NOT_FOUND"),
        (PROGRESS, {"id": global_id(CONNECTOR, "alpha", "a")}, "NOT_FOUND"),
        (PROGRESS, {}, "BAD_USER_INPUT"),
        (EVENTS, {"after": "?"}, "BAD_USER_INPUT"),
        (EVENTS, {"after": 5}, "BAD_USER_INPUT"),
    ):
        with pytest.raises(Refused) as refused:
            await ground.follow(query, **variables)
        (error,) = refused.value.body()["errors"]
        assert error["extensions"]["code"] == code, query
    with pytest.raises(Refused):
        await ground.follow(EVENTS, last_event_id="?")
    nobodys = await ground.follow(PROGRESS, id=global_id(JOB, "alpha", "?"))
    await nobodys.has(1)
    assert nobodys.results[0]["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert nobodys.is_complete


async def test_a_job_is_watched_while_somebody_follows_it(ground: Ground) -> None:
    prepared = prepare(ground.schema, Operation(PROGRESS, {"id": JOB_ID}))
    first = await ground.live.subscribe(prepared, Reader(), ground.viewer)
    second = await ground.live.subscribe(prepared, Reader(), ground.viewer)
    assert ground.watches.ids == [JOB_ID]
    first.leave()
    first.leave()
    assert ground.watches.ids == [JOB_ID]
    second.leave()
    assert ground.watches.ids == []


# ---- many at once, each with a place of its own


async def grow(ground: Ground, rows: int) -> int:
    """The log, by that many rows and one more in one commit; gives its end."""
    ground.moves += 1
    jobs = [job("1", status=JobStatus.RUNNING, processed=ground.moves), *(job(f"past-{n}") for n in range(rows))]
    await ground.writer.poll(at(ground.moves), [connector("a")], jobs)
    return await ground.head()


async def everybody_back(ground: Ground, starts: Sequence[int]) -> list[Reader]:
    """Once each has been told all that follows on its own place, in order and once."""
    cursors = {start: await cursor_at(ground.store, start) for start in set(starts)}
    readers = await asyncio.gather(*(ground.follow(EVENTS, after=cursors[start]) for start in starts))
    head = await ground.head()
    for start, reader in zip(starts, readers, strict=True):
        await reader.has(head - start)
        assert reader.positions == list(range(start + 1, head + 1))
    return readers


async def test_many_who_come_back_are_read_for_once(
    ground: Ground, renderings: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = EventFeed.replay

    async def replay(self: EventFeed, ctx: Context, position: int) -> Chunk:
        read.append(position)
        return await original(self, ctx, position)

    monkeypatch.setattr(EventFeed, "replay", replay)
    monkeypatch.setattr("connectory.live.replay._OLDEST", 1e9)  # however long it takes
    head = await grow(ground, 250)
    starts = [(7 * n) % head for n in range(300)]
    readers = await everybody_back(ground, starts)
    assert len(read) <= 5, "one for each hundred rows, from wherever they begin"
    assert len(renderings) == head
    await ground.move(3)
    for start, reader in zip(starts, readers, strict=True):
        await reader.has(await ground.head() - start)
        assert reader.positions == list(range(start + 1, await ground.head() + 1))


async def test_nothing_is_lost_or_doubled_while_the_log_grows_and_some_are_slow(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectory.live.replay._BATCH_BYTES", 500)
    head = await grow(ground, 150)
    starts = [(11 * n) % head for n in range(60)]
    readers = [await ground.follow(EVENTS, after=await cursor_at(ground.store, start)) for start in starts]
    for number, reader in enumerate(readers):
        if number % 7 == 0:
            reader.stop()
    await ground.move(20)
    for reader in readers:
        reader.read_on()
    await ground.move(5)
    head = await ground.head()
    for start, reader in zip(starts, readers, strict=True):
        await reader.has(head - start)
        assert reader.positions == list(range(start + 1, head + 1))


async def test_each_is_told_of_its_own_gap(ground: Ground) -> None:
    head = await grow(ground, 120)
    starts = [0, 10, 10, 49, 50, 51, head - 1]
    cursors = {start: await cursor_at(ground.store, start) for start in starts}
    await forget(ground.store, 50)
    asked = "subscription ($after: String) { events(after: $after) { cursor ... on GapEvent { from to } } }"
    readers = await asyncio.gather(*(ground.follow(asked, after=cursors[start]) for start in starts))
    for start, reader in zip(starts, readers, strict=True):
        first = max(start, 49) + 1 if start < 50 else start + 1
        await reader.has(head + 1 - first)
        assert reader.positions == list(range(first, head + 1))
        gap = reader.said("events")[0]
        assert gap.get("from") == (cursors[start] if start < 50 else None)


async def test_a_cursor_of_another_store_is_nobody_elses_affair(ground: Ground) -> None:
    head, foreign = await ground.head(), Place(3, 7, 9).cursor
    wrong, right = await asyncio.gather(
        ground.follow(EVENTS, after=foreign), ground.follow(EVENTS, after=await cursor_at(ground.store, 0))
    )
    await right.has(head)
    await wrong.has(head + 1)
    assert [each["kind"] for each in wrong.said("events")[:2]] == ["GAP", right.said("events")[0]["kind"]]
    assert right.positions == wrong.positions[1:] == list(range(1, head + 1))
