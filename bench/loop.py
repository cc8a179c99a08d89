"""How long the event loop is held while one system of many connectors is polled and judged.

``python bench/loop.py --connectors 10000``: an engine over a source in this process, whose answers are ready before
they are asked for. Polls that meet all connectors for the first time, that find nothing new, and that find all of them
and their running jobs changed; then a restart. Prints seconds, processor time and the longest turn of the event loop of
each, and how much of such a turn was work of ours: neither garbage collection nor what else the machine does. The
status is 1 when that was longer than the limit, else 0.
"""

import argparse
import asyncio
import gc
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meters import Holds, holds, say

from connectory.engine import ConfiguredSystem, Engine
from connectory.model import (
    ConnectorFact,
    ConnectorStatus,
    CountsFact,
    HistoryBatch,
    JobFact,
    JobStatus,
    JobType,
    Known,
    Observation,
)
from connectory.store import Store
from sources.base import Source, SourceKind, SystemSettings

SYSTEM = "bench"
_HOURS = 3600.0 * 24
#: Idle polls that are measured: the first ones read the past of the connectors and judge them for the first time.
_IDLE = 8


class Ready(Source):
    """Says what was put into it."""

    def __init__(self) -> None:
        self.says = Observation(connectors=[])
        self.was_asked = asyncio.Event()

    async def poll(self, known: Known) -> Observation:
        self.was_asked.set()
        return self.says

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        return Observation(connectors=[], complete=False)

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        yield HistoryBatch(jobs=[], finished=connectors)


def answer(connectors: int, jobs: int, version: int) -> Observation:
    """New objects each time, as an adapter makes them."""
    began = datetime(2026, 8, 20, 10, tzinfo=UTC)
    return Observation(
        connectors=[
            ConnectorFact(
                external_id=f"c-{n}", name=f"Connector {n}", source="web", status=ConnectorStatus.ACTIVE,
                docs_indexed=version * 1000 + n, url=f"https://example.com/{n}",
            )
            for n in range(connectors)
        ],
        jobs=[
            JobFact(
                external_id=f"j-{n}", connector=f"c-{n}", status=JobStatus.RUNNING, type=JobType.FULL, order_at=began,
                started_at=began, processed=version * 1000, counts=CountsFact(indexed=version * 1000),
            )
            for n in range(jobs)
        ],
    )  # fmt: skip


class Meter:
    """What one stretch after the other takes."""

    def __init__(self, watched: Holds) -> None:
        self._watched = watched
        #: ms, of its own work
        self.worst = 0.0

    async def measure(self, name: str, work: Callable[[], Awaitable[Any]]) -> None:
        gc.collect()
        await asyncio.sleep(0.05)
        self._watched.reset()
        begun, spent = time.monotonic(), time.process_time()
        await work()
        await asyncio.sleep(0.02)
        seconds, spent = time.monotonic() - begun, time.process_time() - spent
        held, own = self._watched.worst * 1000, self._watched.worst_own * 1000
        self.worst = max(self.worst, own)
        took = f"{seconds:.2f} s, {spent:.2f} s of processor time"
        say(f"{name}: {took}; held for {held:.0f} ms, of them {own:.0f} ms of its own work")


async def run(connectors: int, jobs: int, url: str) -> float:
    source = Ready()
    kind = SourceKind("ready", SystemSettings, lambda _: source, frozenset())
    settings = SystemSettings.model_validate({"name": SYSTEM, "kind": "ready", "url": "http://127.0.0.1:1"})
    system = ConfiguredSystem(
        kind=kind, settings=settings, poll_interval=_HOURS, live_interval=_HOURS, stale_after=3 * _HOURS,
        max_backoff=_HOURS, auth_probe_interval=_HOURS,
    )  # fmt: skip
    store = Store(url)
    await store.open()
    await store.upgrade()
    async with holds() as watched:
        meter = Meter(watched)

        async def refresh() -> None:
            refusal = await engine.refresh(SYSTEM)
            if refusal is not None:
                raise RuntimeError(refusal.message)

        async def begin() -> None:
            source.was_asked.clear()
            await engine.start()
            await source.was_asked.wait()
            await refresh()  # returns after the first poll and another

        for name, version in (("two first polls", 1), ("after a restart, two polls", 4)):
            engine = Engine(store, [system])
            source.says = answer(connectors, jobs, version)
            await meter.measure(name, begin)
            for number in range(_IDLE):
                source.says = answer(connectors, jobs, version)
                await meter.measure(f"idle poll {number + 1}", refresh)
            for further in (1, 2):
                source.says = answer(connectors, jobs, version + further)
                await meter.measure("all changed", refresh)
            await engine.stop()
    await store.close()
    return meter.worst


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connectors", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=0, help="connectors with a running job")
    parser.add_argument(
        "--limit", type=float, default=100.0, help="ms of its own work that a turn of the event loop may take"
    )
    parser.add_argument("--store", help="an empty one; default: a SQLite file that goes away")
    wanted = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    with tempfile.TemporaryDirectory(prefix="connectory-loop-") as folder:
        url = wanted.store or f"sqlite:///{Path(folder) / 'store.db'}"
        worst = asyncio.run(run(wanted.connectors, wanted.jobs, url))
    say(f"held for {worst:.0f} ms at most (limit: {wanted.limit:g} ms)")
    return 1 if worst > wanted.limit else 0


if __name__ == "__main__":
    sys.exit(main())
