"""``kill -9`` in the middle of polls, again and again: nothing is lost, nothing doubled, nothing broken.

Size: 20 kills on SQLite and 3 on PostgreSQL; FULL=1: 50 and 20.
"""

import asyncio
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import text

from connectory.model import EventKind, SystemHealth
from connectory.store import Store
from connectory.store.tables import CONNECTORS, EVENTS, JOBS, SYSTEMS
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from sources.elastic import SOURCE as ELASTIC
from sources.elastic.simulator.world import ElasticWorld
from sources.onyx import SOURCE as ONYX
from sources.onyx.simulator.world import OnyxWorld
from sources.simulation import REQUESTS, WORLD, Clock, serve
from tests.e2e.program import Program, configuration, serving, system
from tests.engine.stage import rows
from tests.proofs.size import size
from tests.wait import until

#: Simulated seconds per second.
_SPEED = 150


class Upstreams:
    """Simulators of both systems in this process; ``freeze`` stops their time, so that they can be compared."""

    def __init__(self, seed: int, speed: float = _SPEED) -> None:
        self._frozen: float | None = None
        self.apps = {
            kind.name: kind.simulator(seed=seed, clock=Clock(speed=speed, wall=self._wall))
            for kind in (ELASTIC, ONYX)
            if kind.simulator is not None
        }
        self.servers = {name: serve(app) for name, app in self.apps.items()}

    def _wall(self) -> float:
        return time.monotonic() if self._frozen is None else self._frozen

    def freeze(self) -> None:
        self._frozen = time.monotonic()

    @property
    def requests(self) -> int:
        return sum(len(app[REQUESTS]) for app in self.apps.values())

    def connectors(self) -> set[str]:
        """Ids of all that are not deleted."""
        elastic, onyx = self.apps["elastic"][WORLD], self.apps["onyx"][WORLD]
        assert isinstance(elastic, ElasticWorld)
        assert isinstance(onyx, OnyxWorld)
        names = [("elastic", name) for name, connector in elastic.connectors.items() if not connector["deleted"]]
        names += [("onyx", str(pair.id)) for pair in onyx.visible]
        names += [("onyx", f"federated:{connector.id}") for connector in onyx.federated]
        return {global_id(CONNECTOR, *name) for name in names}

    def jobs(self) -> dict[str, tuple[str, int]]:
        """The word for each job's state, and its documents, by id."""
        elastic, onyx = self.apps["elastic"][WORLD], self.apps["onyx"][WORLD]
        assert isinstance(elastic, ElasticWorld)
        assert isinstance(onyx, OnyxWorld)
        found = {("elastic", j): (job["status"], job["indexed_document_count"]) for j, job in elastic.jobs.items()}
        found |= {("onyx", str(a.id)): (a.status, a.total_docs) for a in onyx.attempts.values()}
        return {global_id(JOB, *name): outcome for name, outcome in found.items()}


async def kill_and_start(url: str, folder: Path, upstreams: Upstreams, times: int) -> None:
    chance = Random(times)
    file = configuration(
        folder,
        url,
        system(ELASTIC, "elastic", upstreams.servers["elastic"].url),
        system(ONYX, "onyx", upstreams.servers["onyx"].url),
        poll_interval=1.0,
        live_interval=0.5,
    )
    for _ in range(times):
        enough = upstreams.requests + chance.randint(1, 25)

        async def busy(enough: int = enough) -> bool:
            return upstreams.requests >= enough

        async with serving(file) as program:
            await until(busy, within=60, every=0.002)
            await program.kill()
        store = Store(url)
        await store.open()
        await sound(store)
        await store.close()
    upstreams.freeze()
    async with serving(file) as program:
        store = Store(url)
        try:
            await settled(store, upstreams, program)
            await sound(store)
            await complete(store, upstreams)
        finally:
            await store.close()


async def sound(store: Store) -> None:
    """The file is whole, and the log has no hole."""
    async with store.read() as connection:
        if store.is_sqlite:
            assert (await connection.execute(text("PRAGMA integrity_check"))).scalars().all() == ["ok"]
        if await store.problems():
            return  # killed before it had any table
        count, least, most, head = (
            await connection.execute(
                text(
                    "SELECT count(*), coalesce(min(position), 1), coalesce(max(position), 0), "
                    "(SELECT position FROM log_head) FROM events"
                )
            )
        ).one()
    assert (least, most, head) == (1, count, count)


async def settled(store: Store, upstreams: Upstreams, program: Program) -> None:
    """Wait until two polls in a row had nothing to tell and all histories are read."""

    async def look() -> bool:
        assert program.process.returncode is None, program.output
        before = await state(store)
        polls = [row["last_poll_at"] for row in await rows(store, SYSTEMS)]

        async def polled_twice() -> bool:
            now = [row["last_poll_at"] for row in await rows(store, SYSTEMS)]
            return all(
                a is not None and b is not None and (b - a).total_seconds() > 1.5
                for a, b in zip(polls, now, strict=True)
            )

        await program.ready()
        if None in polls:
            return False
        await until(polled_twice, within=60)
        connectors = await rows(store, CONNECTORS)
        return before == await state(store) and all(row["history_read"] for row in connectors if not row["removed_at"])

    await until(look, within=120)
    assert {row["health"] for row in await rows(store, SYSTEMS)} == {SystemHealth.UP}


async def state(store: Store) -> Any:
    async with store.read() as connection:
        return (await connection.execute(text("SELECT position FROM log_head"))).scalar_one()


async def complete(store: Store, upstreams: Upstreams) -> None:
    """The store holds what the systems serve, and the log tells of each thing once."""
    connectors = await rows(store, CONNECTORS)
    assert {row["id"] for row in connectors if row["removed_at"] is None} == upstreams.connectors()
    jobs = {row["id"]: row for row in await rows(store, JOBS)}
    served = upstreams.jobs()
    assert {id: (jobs[id]["upstream_status"], jobs[id]["indexed"]) for id in served if id in jobs} == served
    assert not [row["external_id"] for id, row in jobs.items() if id not in served and row["is_open"]]
    events = await rows(store, EVENTS)
    logged = Counter((row["kind"], row["job_id"] or row["connector_id"]) for row in events)
    seen = {row["id"] for row in connectors}
    removed_at_first_sight = seen - {id for kind, id in logged if kind is EventKind.CONNECTOR_ADDED}
    assert all(row["removed_at"] for row in connectors if row["id"] in removed_at_first_sight)
    assert {id: logged[EventKind.CONNECTOR_ADDED, id] for id in seen - removed_at_first_sight} == dict.fromkeys(
        seen - removed_at_first_sight, 1
    )
    assert {id: logged[EventKind.JOB_CREATED, id] for id in jobs} == dict.fromkeys(jobs, 1)
    assert not [id for (kind, id), times in logged.items() if kind is EventKind.JOB_FINISHED and times > 1]
    assert len(jobs) > 200, "there was something to lose"


#: How often on each kind of store.
_TIMES = size({"sqlite": 20, "postgresql": 3}, {"sqlite": 50, "postgresql": 20})


async def test_kill(store_url: str, tmp_path: Path) -> None:
    times = _TIMES[store_url.partition(":")[0]]
    upstreams = Upstreams(seed=times)
    first, second = upstreams.servers.values()
    async with asyncio.timeout(size(170, 1200)), first, second:
        await kill_and_start(store_url, tmp_path, upstreams, times)
