"""What a gateway takes that meets ten thousand connectors and two hundred thousand jobs for the first time.

``python bench/large_world.py --connectors 10000 --jobs 20``: a simulated Elasticsearch in a process of its own, in
which nothing runs, and the gateway in this one. Prints seconds, requests and memory of the first poll, of the history
and of a poll when nothing is new, and seconds of two queries. The status is 1 when the store does not hold exactly what
the world holds, or when memory or the requests of an idle poll are above their limits, else 0.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from comparison import against_world, inconsistencies
from meters import Holds, holds, peak, say
from sqlalchemy import func, select, text
from upstreams import Upstreams, upstreams

from connectory.commands.gateway import configured_systems
from connectory.commands.simulators import simulated_kinds
from connectory.config.loading import build
from connectory.engine import Engine
from connectory.store import Store
from connectory.store.tables import CONNECTORS, JOBS
from connectory.web.app import build_app
from connectory.web.serving import serving

KIND = "elastic"
#: MB, and requests.
_MEMORY, _IDLE_REQUESTS = 600, 10
#: Differences that are printed.
_SHOWN = 25
#: How often an idle poll and each query is measured; the middle one counts.
_TIMES = 5
QUERIES = {
    "1,000 connectors with system, latest job and last 5 jobs": (
        "{ connectors(first: 1000) { nodes { id name status health system { name } latestJob { id status startedAt } "
        "jobs(first: 5) { nodes { id status createdAt counts { indexed } } } } } }"
    ),
    "25 connectors with totalCount and countBy": (
        "{ connectors(first: 25) { totalCount countBy(field: HEALTH) { value count } nodes { id name status } } }"
    ),
}


class Meter:
    """Seconds, requests, memory and holds of one stretch after the other."""

    def __init__(self, worlds: Upstreams, watched: Holds) -> None:
        self._worlds, self._watched = worlds, watched

    async def measure(self, name: str, work: Callable[[], Awaitable[Any]]) -> int:
        """Do it, say what it took, and tell the requests."""
        before = await self._worlds.tell(f"requests/{KIND}")
        self._watched.reset()
        begun = time.monotonic()
        await work()
        seconds = time.monotonic() - begun
        requests: int = await self._worlds.tell(f"requests/{KIND}") - before
        held = f"the event loop held for {self._watched.worst * 1000:.0f} ms at most"
        rate = f"{requests} requests ({requests / seconds:.0f}/s)"
        say(f"{name}: {seconds:.2f} s, {rate}, at most {peak():.0f} MB so far, {held}")
        return requests


async def run(connectors: int, jobs: int, url: str | None) -> list[str]:
    """Everything that is not as it should be."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connectory-large-")))
        world = {"connectors": connectors, "jobs_per_connector": jobs, "busy": 0}
        worlds = await stack.enter_async_context(upstreams({KIND: world}, speed=1.0, seed=0))
        await worlds.tell("freeze")
        watched = await stack.enter_async_context(holds())
        meter = Meter(worlds, watched)
        kind = simulated_kinds()[KIND]
        assert kind.simulator_settings is not None
        document = {
            "server": {"port": 0},
            "store": {"url": url or f"sqlite:///{folder / 'store.db'}"},
            "engine": {"poll_interval": 3600.0},
            "systems": [{"name": KIND, "kind": KIND, **kind.simulator_settings(worlds.urls[KIND])}],
        }
        config = build(document, "the measurement's configuration", environ={})
        store = Store(config.store.url)
        await store.open()
        await store.upgrade()
        say(f"before: {peak():.0f} MB")
        engine = Engine(store, configured_systems(config))
        app = build_app(store, engine, config.server)
        say(f"before the first poll: {peak():.0f} MB")

        async def first_poll() -> None:
            where.append(await stack.enter_async_context(serving(app, "127.0.0.1", 0)))
            await engine.bus.wait(0)

        where: list[str] = []
        await meter.measure("first poll with its commit", first_poll)
        await meter.measure("then history", lambda: _history_read(store))
        idle = await meter.measure("an idle poll", lambda: _refresh(engine))
        memory = peak()
        await _say_size(store)
        await _ask(where[0])
        found = await _compare(store, await worlds.tell(f"world/{KIND}"))
    if memory > _MEMORY:
        found.append(f"{memory:.0f} MB, more than {_MEMORY}")
    if idle > _IDLE_REQUESTS:
        found.append(f"an idle poll takes {idle} requests, more than {_IDLE_REQUESTS}")
    return found


async def _compare(store: Store, world: dict[str, Any]) -> list[str]:
    """Orphans aside: of a connector that is deleted, no list beyond the newest 10,000 jobs tells (elastic.md §3)."""
    known = [job for job in world["jobs"] if job[1] in world["connectors"]]
    orphans = len(world["jobs"]) - len(known)
    found = await against_world(store, KIND, KIND, {**world, "jobs": known})
    held = await _count(store, JOBS)
    if not len(known) <= held <= len(known) + orphans:
        found.append(f"the store holds {held} jobs, the world {len(known)} and {orphans} orphans")
    return found + await inconsistencies(store)


async def _refresh(engine: Engine) -> None:
    refusal = await engine.refresh(KIND)
    if refusal is not None:
        raise RuntimeError(refusal.message)


async def _history_read(store: Store) -> None:
    unread = select(func.count()).select_from(CONNECTORS).where(~CONNECTORS.c.history_read)
    while True:
        async with store.read() as connection:
            if not (await connection.execute(unread)).scalar_one():
                return
        await asyncio.sleep(0.5)


async def _count(store: Store, table: Any) -> int:
    async with store.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def _say_size(store: Store) -> None:
    rows = f"{await _count(store, CONNECTORS)} connectors, {await _count(store, JOBS)} jobs"
    if store.is_sqlite:
        file = Path(store.file)
        size = sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))
    else:
        async with store.read() as connection:
            size = (await connection.execute(text("SELECT pg_database_size(current_database())"))).scalar_one()
    say(f"store: {rows}, {size / 1e6:.0f} MB")


async def _ask(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for name, query in QUERIES.items():
            took = []
            for _ in range(_TIMES):
                begun = time.monotonic()
                async with session.post(f"{url}/graphql", json={"query": query}) as response:
                    body = await response.read()
                took.append(time.monotonic() - begun)
                if "errors" in json.loads(body):
                    raise RuntimeError(body[:500])
            say(f"{name}: {median(took) * 1000:.0f} ms, {len(body) / 1e3:.0f} kB")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connectors", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=20, help="of each connector that runs any")
    parser.add_argument("--store", help="an empty one; default: a SQLite file that goes away")
    wanted = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    found = asyncio.run(run(wanted.connectors, wanted.jobs, wanted.store))
    for line in found[:_SHOWN]:
        say(f"  {line}")
    say(f"found: {len(found)}" if found else "nothing was found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
