"""What a gateway read while it still polled a system, and tells after another one has taken over: nothing of it is
stored, whatever sort of answer it is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from connectory.model import EventKind, HistoryBatch, JobErrorFact, JobFindings, JobStatus, Known, Observation
from connectory.store import Store
from connectory.store.leases.rows import LeaseLost
from connectory.store.tables import CONNECTORS, EVENTS, JOB_ERRORS, JOBS, LOG_HEAD, SYSTEMS
from tests.engine.stage import Stage, rows
from tests.engine.test_leases import Gateway, gateways, take_from
from tests.facts import Scripted, at, configured, connector, job
from tests.wait import until

A = connector("a")
RUNS = job("1", status=JobStatus.RUNNING, processed=1)
#: What the next gateway finds: the job has succeeded.
DONE = Observation(connectors=[A], jobs=[job("1", processed=9)])


class Late(Scripted):
    """Whatever is asked of it beside the polls is answered when ``release`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.says = Observation(connectors=[A], jobs=[RUNS])
        self.asked, self.release = asyncio.Event(), asyncio.Event()

    async def wait(self) -> None:
        self.asked.set()
        await self.release.wait()


class LateLook(Late):
    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        await self.wait()
        late = job("1", status=JobStatus.RUNNING, processed=5)
        return Observation(connectors=[], jobs=[late], complete=False)


class LateHistory(Late):
    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        await self.wait()
        yield HistoryBatch(jobs=[job("0", status=JobStatus.FAILED)], finished=connectors)


class LateFindings(Late):
    def __init__(self) -> None:
        super().__init__()
        self.says = Observation(connectors=[A], jobs=[job("1", processed=3)])

    async def examine(self, connector: str, jobs: frozenset[str]) -> Mapping[str, JobFindings]:
        await self.wait()
        return {name: JobFindings(errors=[JobErrorFact("too late")]) for name in jobs}


@pytest.mark.parametrize("late", [LateLook, LateHistory, LateFindings])
async def test_an_answer_that_comes_after_another_gateway_took_over(store_url: str, late: Callable[[], Late]) -> None:
    first, second = Gateway(store_url), Gateway(store_url)
    source = late()
    times = {"poll_interval": 3600.0, "live_interval": 0.02}
    first.engine = first.engine_of(configured(source, examines=True, **times))
    second.source.says = DONE
    async with gateways(first, second):
        async with asyncio.timeout(30):
            await source.asked.wait()
        await take_from(first, second)
        await until(second.polled(3))
        before = await tables(second.store)
        source.release.set()

        async def refused() -> bool:
            poller = first.engine.pollers["scripted"]
            return poller._session.known is None and all(task.done() for task in poller._background._tasks.values())

        await until(refused)
        await until(second.polled(3))
        assert await tables(second.store) == before
    assert EventKind.JOB_CHANGED not in {row["kind"] for row in before[-1]}


async def tables(store: Store) -> list[list[dict[str, Any]]]:
    """All that polls write but the system's own row."""
    return [await rows(store, table) for table in (CONNECTORS, JOBS, JOB_ERRORS, LOG_HEAD, EVENTS)]


async def everything(store: Store) -> list[list[dict[str, Any]]]:
    return [await rows(store, SYSTEMS), *await tables(store)]


async def test_every_sort_of_writing_is_refused_under_an_old_fence(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll([A], [RUNS])
    stage.seconds += 2000
    await stage.poll([A], [RUNS])
    old = stage.lease
    await stage.take_over()
    stage.lease = old
    before, state = await everything(store), stage.state
    sees = Observation(connectors=[], jobs=[job("1")], complete=False)
    writings = [
        lambda: stage.poll([A, connector("b")]),
        lambda: stage._commit().failure(state, state),
        lambda: stage._commit().look(sees, state),
        lambda: stage._commit().findings({}, {}),
        lambda: stage.history([job("0", order_at=at(1))], "a"),
        lambda: stage.judge(),
    ]
    for write in writings:
        with pytest.raises(LeaseLost):
            await write()
    assert await everything(store) == before
