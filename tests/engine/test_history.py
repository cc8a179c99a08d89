"""Past jobs: read in the background, newest first, once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectory.engine import Engine
from connectory.model import EventKind, HistoryBatch, JobErrorFact, JobStatus, Known, Observation, SystemHealth
from connectory.store import Store
from connectory.store.tables import CONNECTORS, EVENTS, JOB_ERRORS, JOBS, SYSTEMS
from sources.base import SourceUnreachable
from tests.engine.stage import rows
from tests.facts import Scripted, at, configured, connector, job
from tests.wait import PATIENCE, until


class Remembering(Scripted):
    """Tells ``total`` past jobs of its connector in batches of ten; goes on only as far as it is let."""

    def __init__(self, total: int = 50) -> None:
        super().__init__()
        self.says = Observation(connectors=[connector()])
        self.total = total
        self.begun: list[frozenset[str]] = []
        self.ended = 0
        #: raised, once, after so many batches
        self.fails_after: tuple[int, Exception] | None = None
        self.stops_after: int | None = None

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        self.begun.append(connectors)
        try:
            for count, first in enumerate(range(self.total, 0, -10)):
                if self.stops_after == count:
                    await asyncio.Event().wait()
                if self.fails_after and self.fails_after[0] == count:
                    (_, error), self.fails_after = self.fails_after, None
                    raise error
                yield HistoryBatch(jobs=[job(str(n), order_at=at(n)) for n in range(first, first - 10, -1)])
            yield HistoryBatch(jobs=[], finished=connectors)
        finally:
            self.ended += 1


async def read(store: Store) -> bool:
    connectors = await rows(store, CONNECTORS)
    return bool(connectors) and all(row["history_read"] for row in connectors)


async def created(store: Store) -> list[str]:
    """External ids in the order in which the log tells of them."""
    events = await rows(store, EVENTS)  # read first: every job that the log tells of is there by then
    names = {row["id"]: row["external_id"] for row in await rows(store, JOBS)}
    return [names[row["job_id"]] for row in events if row["kind"] is EventKind.JOB_CREATED]


def engine(store: Store, source: Scripted) -> Engine:
    return Engine(store, [configured(source)])


async def shielded(store: Store, source: Remembering) -> None:
    """The history is there, and nothing of it twice."""
    await until(lambda: read(store))
    events = await created(store)
    assert len(events) == len(set(events)) == source.total == len(await rows(store, JOBS))
    connector_row, *_ = await rows(store, CONNECTORS)
    assert connector_row["last_success_at"] is None, "the jobs of this test have no end"
    newest = max(await rows(store, JOBS), key=lambda row: row["created_order"])
    assert connector_row["latest_job_id"] == newest["id"]


async def test_the_list_is_visible_first_and_then_the_past_newest_first(store: Store) -> None:
    source = Remembering()
    source.stops_after = 2
    running = engine(store, source)
    await running.start()
    try:

        async def some() -> bool:
            return len(await rows(store, JOBS)) == 20

        await until(some)
        assert await created(store) == [str(n) for n in range(50, 30, -1)]
        first = (await rows(store, EVENTS))[0]
        assert first["kind"] is EventKind.CONNECTOR_ADDED
        polls = source.polls

        async def goes_on() -> bool:
            return source.polls > polls + 3

        await until(goes_on)
        assert len(source.begun) == 1, "one at a time"
    finally:
        await asyncio.wait_for(running.stop(), PATIENCE)
    assert source.ended == 1, "what is read when the engine ends, ends with it"


async def test_it_is_read_once(store: Store) -> None:
    source = Remembering()
    running = engine(store, source)
    await running.start()
    try:
        await shielded(store, source)
        polls = source.polls

        async def goes_on() -> bool:
            return source.polls > polls + 3

        await until(goes_on)
        source.says = Observation(connectors=[connector(), connector("b")])

        async def asked_again() -> bool:
            return len(source.begun) == 2

        await until(asked_again)
    finally:
        await asyncio.wait_for(running.stop(), PATIENCE)
    assert source.begun == [frozenset("a"), frozenset("b")]


@pytest.mark.parametrize("error", [SourceUnreachable("reset"), KeyError("the adapter's mistake")])
async def test_it_goes_on_after_a_failure(sqlite_store: Store, error: Exception) -> None:
    source = Remembering()
    source.fails_after = (2, error)
    running = engine(sqlite_store, source)
    await running.start()
    try:
        await shielded(sqlite_store, source)
    finally:
        await asyncio.wait_for(running.stop(), PATIENCE)
    assert len(source.begun) == 2
    assert (await rows(sqlite_store, SYSTEMS))[0]["health"] is SystemHealth.UP


async def test_it_goes_on_after_a_restart(store: Store) -> None:
    interrupted = Remembering()
    interrupted.stops_after = 3
    first = engine(store, interrupted)
    await first.start()
    try:

        async def some() -> bool:
            return len(await rows(store, JOBS)) == 30

        await until(some)
    finally:
        await asyncio.wait_for(first.stop(), PATIENCE)
    source = Remembering()
    second = engine(store, source)
    await second.start()
    try:
        await shielded(store, source)
    finally:
        await asyncio.wait_for(second.stop(), PATIENCE)
    third = engine(store, source)
    await third.start()
    try:
        polls = source.polls

        async def goes_on() -> bool:
            return source.polls > polls + 3

        await until(goes_on)
    finally:
        await asyncio.wait_for(third.stop(), PATIENCE)
    assert len(source.begun) == 1, "a history that was read is not asked for again"


async def test_a_history_that_keeps_breaking_off_is_not_asked_for_at_every_poll(sqlite_store: Store) -> None:
    class Broken(Remembering):
        async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
            self.begun.append(connectors)
            yield HistoryBatch(jobs=[])
            raise SourceUnreachable("reset")

    source = Broken()
    running = Engine(sqlite_store, [configured(source, poll_interval=0.02, max_backoff=60.0)])
    await running.start()
    try:

        async def often() -> bool:
            return source.polls >= 40

        await until(often)
    finally:
        await asyncio.wait_for(running.stop(), PATIENCE)
    assert 1 <= len(source.begun) < 20


class SideBySide(Scripted):
    """While the second poll, or the first look, waits for its answer, the history is stored, which saw job 1 later."""

    def __init__(self, waits: str) -> None:
        super().__init__()
        self._waits = waits
        self._begun, self.is_stored = asyncio.Event(), asyncio.Event()

    async def poll(self, known: Known) -> Observation:
        self.polls += 1
        if self._waits == "poll" and self.polls == 2:
            return await self._wait()
        runs = [job("1", status=JobStatus.RUNNING)] if self._waits == "look" else []
        return Observation(connectors=[connector()], jobs=[job("1")] if self.is_stored.is_set() else runs)

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        return await self._wait()

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        await self._begun.wait()
        yield HistoryBatch(jobs=[job("1")], finished=connectors)
        self.is_stored.set()

    async def _wait(self) -> Observation:
        self._begun.set()
        await self.is_stored.wait()
        seen = job("1", status=JobStatus.RUNNING, processed=2, errors=[JobErrorFact("seen before the end")])
        return Observation(connectors=[connector()], jobs=[seen], complete=False)


@pytest.mark.parametrize(("waits", "poll_interval"), [("poll", 0.02), ("look", 3600.0)])
async def test_an_end_stands_that_it_told_while_others_were_asked(
    store: Store, waits: str, poll_interval: float
) -> None:
    source = SideBySide(waits)
    running = Engine(store, [configured(source, poll_interval=poll_interval)])
    await running.start()
    try:
        await asyncio.wait_for(source.is_stored.wait(), PATIENCE)
        for _ in range(2):
            assert await asyncio.wait_for(running.refresh("scripted"), PATIENCE) is None
    finally:
        await asyncio.wait_for(running.stop(), PATIENCE)
    events = [(row["kind"], JobStatus(row["status"])) for row in await rows(store, EVENTS) if row["job_id"] is not None]
    if waits == "poll":
        assert events == [(EventKind.JOB_CREATED, JobStatus.SUCCEEDED)]
    else:
        assert events == [(EventKind.JOB_CREATED, JobStatus.RUNNING), (EventKind.JOB_FINISHED, JobStatus.SUCCEEDED)]
    assert await rows(store, JOB_ERRORS) == []
