"""What fails on the way from the log to subscribers costs nobody a row, or says so."""

from typing import Any

import pytest

from connectory.execution.operation import Operation
from connectory.live.broadcast import LogBroadcast
from connectory.live.shared_snapshots import SharedSnapshots
from connectory.model import JobStatus
from resolvers.feeds import EventFeed, JobFeed, SummaryFeed
from tests.cursors import START, cursor_at, log_position
from tests.facts import at, connector
from tests.live.alone import EVENTS, JOB_ID, PROGRESS, SUMMARIES, Ground, Reader, until_last
from tests.live.preparing import prepare
from tests.wait import until

#: Of the same rows as EVENTS, and rendered on its own.
OTHERS = EVENTS.replace("kind ", "")


class Once:
    """Fails the first time that it is called, or as long as ``lasts``; then it does what it stands for."""

    def __init__(self, original: Any, *, lasts: bool = False) -> None:
        self.original, self.lasts, self.failed = original, lasts, False

    def __get__(self, owner: Any, of: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            if self.lasts or not self.failed:
                self.failed = True
                raise ArithmeticError("on purpose")
            return self.original(owner, *arguments, **more)

        return call


async def comes_to(reader: Reader, position: int) -> None:
    async def look() -> bool:
        return bool(reader.cursors) and log_position(reader.cursors[-1]) == position

    await until(look)


@pytest.mark.parametrize(
    ("of", "name"), [(EventFeed, "item"), (JobFeed, "item"), (LogBroadcast, "hear"), (SharedSnapshots, "pass_on")]
)
async def test_what_cannot_be_taken_once_is_read_again(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, of: Any, name: str
) -> None:
    start = await ground.head()
    readers = [await ground.follow(query, after=START) for query in (EVENTS, OTHERS)]
    progress = await ground.follow(PROGRESS, id=JOB_ID)
    for reader in (*readers, progress):
        await reader.has(1)
    fails = Once(getattr(of, name))
    monkeypatch.setattr(of, name, fails)
    for _ in range(3):
        await ground.move()
        await ground.head()
    assert fails.failed
    await ground.move(status=JobStatus.SUCCEEDED)
    head = await ground.head()
    for reader in readers:
        await comes_to(reader, head)
        assert reader.positions == list(range(1, head + 1)), start
    await until_last(progress, ground.moves)
    assert progress.said("jobProgress", "processed") == list(range(1, ground.moves + 1))
    assert progress.is_complete


async def test_a_slow_reader_of_a_job_is_told_its_end_whatever_fails_meanwhile(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = await ground.follow(PROGRESS, id=JOB_ID), await ground.follow(PROGRESS, id=JOB_ID)
    for reader in (slow, quick):
        await reader.has(1)
    slow.stop()
    await ground.move()
    await quick.has(2)
    monkeypatch.setattr(JobFeed, "item", Once(JobFeed.item))
    await ground.move(status=JobStatus.FAILED)
    await until_last(quick, ground.moves)
    slow.read_on()
    await until_last(slow, ground.moves)
    assert slow.is_complete
    assert slow.said("jobProgress", "processed") == sorted(set(slow.said("jobProgress", "processed")))


async def test_what_cannot_be_read_again_either_ends_with_a_reason(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, progress = await ground.follow(EVENTS, after=START), await ground.follow(PROGRESS, id=JOB_ID)
    for reader in (events, progress):
        await reader.has(1)
    await ground.head()
    monkeypatch.setattr(EventFeed, "item", Once(EventFeed.item, lasts=True))
    monkeypatch.setattr(EventFeed, "replay", Once(EventFeed.replay, lasts=True))
    await ground.move(3)

    async def is_over() -> bool:
        return events.is_complete

    await until(is_over)
    (error,) = events.results[-1]["errors"]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    await until_last(progress, ground.moves)
    assert progress.said("jobProgress", "processed") == list(range(1, ground.moves + 1))


async def test_summaries_that_cannot_be_counted_end_with_a_reason(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await ground.follow(SUMMARIES)
    await before.has(1)
    monkeypatch.setattr(SummaryFeed, "state", Once(SummaryFeed.state, lasts=True))
    await ground.writer.poll(at(50), [connector("a"), connector("b")], [])

    async def is_over() -> bool:
        return before.is_complete

    await until(is_over)
    after = await ground.follow(SUMMARIES)
    await after.has(1)
    for reader in (before, after):
        assert reader.results[-1]["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


class Broken(Reader):
    """A sink that fails from its third result on, whatever it is sent."""

    async def send(self, body: bytes, cursor: str) -> None:
        if len(self.results) == 2:
            raise ArithmeticError("on purpose")
        await super().send(body, cursor)


async def test_a_sink_that_fails_takes_nothing_from_the_others(ground: Ground) -> None:
    start = await ground.head()
    readers = [Broken(), Reader(), Reader()]
    for reader in readers:
        prepared = prepare(ground.schema, Operation(EVENTS, {"after": await cursor_at(ground.store, start)}))
        await ground.live.subscribe(prepared, reader, ground.viewer)
    for _ in range(5):
        await ground.move()
        await ground.head()
    head = await ground.head()
    broken, *others = readers
    for reader in others:
        await comes_to(reader, head)
        assert reader.positions == list(range(start + 1, head + 1))
    assert len(broken.results) == 2
    assert broken.is_complete
    assert ground.live.subscribers == 2
