"""The gateway as a process of its own, over a system whose jobs move on command.

``python bench/live_gateway.py '{"jobs": 100, "store": "sqlite:///FILE"}' [LOOP]``. Everything is the product's own but
the source: engine, commits, change log, tail and transports. Obeys ``begin``, which answers with the port and the jobs'
ids, ``publish``, which answers with what the log tells, and ``weigh``.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from meters import weigh
from programs import allow_many_files, obey, run
from sqlalchemy import select, true

from connectory.config.settings import ServerSettings
from connectory.engine import ConfiguredSystem, Engine
from connectory.model import (
    Capability,
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
from connectory.store.log.bus import Bus
from connectory.store.log.cursors import Place
from connectory.store.tables import EVENTS, LOG_START
from connectory.store.tables.identity import JOB, global_id
from connectory.web.app import build_app
from connectory.web.serving import serving
from sources.base import Source, SourceKind, SystemSettings

#: The system's name, and what each job expects to process in all.
SYSTEM, TOTAL = "bench", 1_000_000
#: Sockets of one address: all clients are on this machine.
_SOCKETS = 20_000
_HOURS = 3600.0 * 24
#: Seconds that a commit may take until it is given up.
_PATIENCE = 60.0


class Stamped(Bus):
    """Keeps when the log came to each position."""

    def __init__(self) -> None:
        super().__init__()
        self.stamps: list[tuple[int, int]] = []

    def wake(self, position: int) -> None:
        if position > self.position:
            self.stamps.append((position, time.monotonic_ns()))
        super().wake(position)


class Scripted(Source):
    """One connector and one running job for each number; the looks of the live lane tell of those that were moved."""

    def __init__(self, jobs: int) -> None:
        self._moved: asyncio.Queue[list[JobFact]] = asyncio.Queue()
        self._processed = [0] * jobs
        self._began = datetime.now(UTC)

    def move(self, start: int, moving: int) -> None:
        """The next look sees so many jobs a step further."""
        chosen = [(start + offset) % len(self._processed) for offset in range(moving)]
        for number in chosen:
            self._processed[number] += 1000
        self._moved.put_nowait([self._job(number) for number in chosen])

    async def poll(self, known: Known) -> Observation:
        numbers = range(len(self._processed))
        connectors = [
            ConnectorFact(external_id=f"c-{n}", name=f"Connector {n}", source="web", status=ConnectorStatus.ACTIVE)
            for n in numbers
        ]
        return Observation(connectors=connectors, jobs=[self._job(number) for number in numbers])

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        """Nothing comes back before something has moved."""
        return Observation(connectors=[], jobs=await self._moved.get(), complete=False)

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        yield HistoryBatch(jobs=[], finished=connectors)

    def _job(self, number: int) -> JobFact:
        processed = self._processed[number]
        return JobFact(
            external_id=f"job-{number}", connector=f"c-{number}", status=JobStatus.RUNNING, type=JobType.FULL,
            order_at=self._began, started_at=self._began, processed=processed, total=TOTAL,
            counts=CountsFact(indexed=processed, failed=0),
        )  # fmt: skip


class Stage:
    """The gateway's store, engine and source, and what can be asked of them."""

    def __init__(self, jobs: int, store: str) -> None:
        self._ids = [global_id(JOB, SYSTEM, f"job-{number}") for number in range(jobs)]
        self._source, self._bus, self.store = Scripted(jobs), Stamped(), Store(store)
        self._next = 0
        kind = SourceKind("scripted", SystemSettings, lambda _: self._source, frozenset({Capability.JOB_PROGRESS}))
        settings = SystemSettings.model_validate({"name": SYSTEM, "kind": "scripted", "url": "http://127.0.0.1:1"})
        system = ConfiguredSystem(
            kind=kind, settings=settings, poll_interval=_HOURS, live_interval=0.0, stale_after=3 * _HOURS,
            max_backoff=_HOURS, auth_probe_interval=_HOURS,
        )  # fmt: skip
        self.engine = Engine(self.store, [system], bus=self._bus)

    async def begin(self) -> list[str]:
        """The ids of the jobs, once all of them are known."""
        async with asyncio.timeout(_PATIENCE):
            await self._bus.wait(2 * len(self._ids) - 1)
        return self._ids

    async def publish(self, times: int, moving: int) -> list[tuple[str, str, int]]:
        """So many commits one after the other, each with so many jobs a step further; all events as [job's id, cursor,
        monotonic nanoseconds of the commit]."""
        start = self._bus.position
        for _ in range(times):
            self._source.move(self._next, moving)
            self._next += moving
        async with asyncio.timeout(_PATIENCE):
            await self._bus.wait(start + times * moving - 1)
        e = EVENTS.c
        rows = select(e.position, e.job_id, e.mark, LOG_START.c.store).join_from(EVENTS, LOG_START, true())
        async with self.store.read() as connection:
            events = (await connection.execute(rows.where(e.position > start).order_by(e.position))).all()
        stamps = iter(self._bus.stamps)
        upto, at = 0, 0
        published = []
        for position, job, mark, store in events:
            while upto < position:
                upto, at = next(stamps)
            published.append((job, Place(position, mark, store).cursor, at))
        return published


async def _main() -> None:
    wanted = json.loads(sys.argv[1])
    stage = Stage(wanted["jobs"], wanted["store"])
    server = ServerSettings(port=0, connections_per_client=_SOCKETS)
    async with serving(build_app(stage.store, stage.engine, server), "127.0.0.1", 0) as url:

        async def begin() -> dict[str, Any]:
            return {"port": int(url.rpartition(":")[2]), "subjects": await stage.begin()}

        await obey({"begin": begin, "publish": stage.publish, "weigh": weigh})


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    allow_many_files()
    sys.exit(run(_main))
