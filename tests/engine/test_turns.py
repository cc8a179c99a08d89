"""Work on all connectors of a system is cut up: others get their turn, and never see the half of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connectory.model import ConnectorFact, JobStatus
from connectory.slices import slices
from connectory.store import Store
from tests.engine.stage import Stage
from tests.facts import connector, job

MANY = 3000


@asynccontextmanager
async def beside(look: Callable[[], object]) -> AsyncIterator[list[Any]]:
    """What somebody sees who looks whenever it is his turn."""
    seen: list[Any] = []

    async def watch() -> None:
        while True:
            seen.append(look())
            await asyncio.sleep(0)

    task = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def stage(sqlite_store: Store) -> Stage:
    return await Stage.open(sqlite_store)


async def test_others_get_their_turn_while_many_are_compared(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = [connector(str(n)) for n in range(MANY)]
    await stage.poll(facts)
    asked: dict[str, int] = {}
    turns = 0
    original = ConnectorFact.fingerprint.func  # type: ignore[attr-defined]

    def look() -> None:
        nonlocal turns
        turns += 1

    def fingerprint(self: ConnectorFact) -> str:
        asked.setdefault(self.external_id, turns)
        return str(original(self))

    monkeypatch.setattr(ConnectorFact, "fingerprint", property(fingerprint))
    async with beside(look):
        await stage.poll(facts)
    assert len(set(asked.values())) > 1, "all were compared in one turn of the event loop"


async def test_what_is_known_changes_as_a_whole(stage: Stage) -> None:
    await stage.poll([connector(str(n)) for n in range(MANY)])
    jobs = [job(str(n), str(n), JobStatus.RUNNING) for n in range(MANY)]

    def look() -> tuple[int, int, int]:
        known = stage.known
        changed = sum(memory.fingerprint not in before for memory in known.connectors.values())
        return changed, len(known.open_jobs), len(known.running_jobs)

    before = {memory.fingerprint for memory in stage.known.connectors.values()}
    async with beside(look) as seen:
        await stage.poll([connector(str(n), docs_indexed=n) for n in range(MANY)], jobs)
    for numbers in zip(*seen, strict=True):
        assert set(numbers) <= {0, MANY}
    assert len(seen) > 10


async def test_slices_hold_everything_in_order() -> None:
    for many in (0, 1, 100, 101, 250):
        assert [number async for some in slices(range(many)) for number in some] == list(range(many))
    assert [len(some) async for some in slices(range(250))] == [100, 100, 50]
