"""Disconnects, restarts and ``kill -9`` of the gateway while jobs run: a subscriber that goes on by cursor sees the
whole log, in order, and nothing twice.

Size: 50 disconnects from one gateway, and 50 between two; FULL=1: the same.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from sqlalchemy import select

from connectory.store import Store
from connectory.store.log.entries import EVENT_COLUMNS, event_record
from connectory.store.tables import EVENTS, LOG_HEAD, LOG_START
from connectory.store.tables.identity import JOB, global_id
from sources.onyx import SOURCE as ONYX
from sources.onyx.simulator.app import simulator
from sources.onyx.simulator.pairs import Attempt, Pair
from sources.onyx.simulator.world import OnyxWorld
from sources.simulation import WORLD, Clock, serve
from tests.cursors import START, log_position
from tests.e2e.listener import Follower, Gateways
from tests.e2e.program import configuration, system
from tests.proofs.conftest import Figures
from tests.wait import until

EVENTS_ = """subscription($after: String) { events(after: $after) { cursor kind
    ... on JobEvent { jobId processed } ... on ConnectorEvent { connectorId } ... on GapEvent { from to } } }"""
PROGRESS = """subscription($id: ID!, $after: String) { jobProgress(jobId: $id, after: $after) {
    cursor kind jobStatus processed } }"""

#: Simulated seconds per second.
_SPEED = 60
_JOBS = 20
#: Connectors that run again and again.
_RESTLESS = 10
#: Jobs that are followed one by one.
_FOLLOWED = 4
#: What happens, and how often: 50 times in all.
_TROUBLE = {"dropped": 24, "left": 14, "killed": 7, "restarted": 5}
#: Results of the present connection after which it happens; 0 is while connecting.
_AFTER = (0, 1, 2, 5, 10, 20, 40)


class Upstream:
    """A simulated Onyx: jobs that run until they are told to end, and beside them connectors with many short ones."""

    def __init__(self, seed: int) -> None:
        self.app = simulator(seed=seed, clock=Clock(speed=_SPEED), size=0)
        world = self.app[WORLD]
        assert isinstance(world, OnyxWorld)
        self.world = world
        self.attempts = [self._endless(self._pair(refresh=None)) for _ in range(_JOBS)]
        for _ in range(_RESTLESS):
            self._pair(refresh=30)

    def _pair(self, refresh: int | None) -> Pair:
        id = self.world.next_pair()
        pair = Pair(id, f"Pair {id}", "web", "public", "ACTIVE", id, id, self.world.now, refresh=refresh)
        return self.world.add_pair(pair)

    def _endless(self, pair: Pair) -> Attempt:
        attempt = self.world.add_attempt(pair, from_beginning=True)
        self.world.begin(pair, attempt)
        attempt.left, attempt.outcome = 10**9, "success"
        return attempt

    @property
    def job_ids(self) -> list[str]:
        return [global_id(JOB, "onyx", str(attempt.id)) for attempt in self.attempts]

    @property
    def running(self) -> int:
        return sum(attempt.open for attempt in self.attempts)

    def finish(self) -> None:
        for attempt in self.attempts:
            attempt.left = 0


class Trouble:
    """What happens to the follower of all events, and where it was when that happened."""

    def __init__(self, gateways: Gateways, followers: Sequence[Follower], store: Store, chance: Random) -> None:
        self.gateways, self.followers, self.store, self.chance = gateways, followers, store, chance
        self.phases: Counter[str] = Counter()

    async def happen(self) -> None:
        kinds = [kind for kind, times in _TROUBLE.items() for _ in range(times)]
        self.chance.shuffle(kinds)
        for kind in kinds:
            await self._wait()
            place = self.followers[0].place
            if place not in self.gateways.urls:
                place = None
            if kind in ("killed", "restarted") and place is None:
                place = await self._some_place()
            self.phases[await self._phase()] += 1
            if kind in ("killed", "restarted"):
                assert place is not None
                await self.gateways.end(place, softly=kind == "restarted")
                self.gateways.start(place)
            else:
                for follower in self.followers:
                    follower.interrupt(softly=kind == "left")

    async def _wait(self) -> None:
        wanted = self.chance.choice(_AFTER)

        async def come_so_far() -> bool:
            return self.followers[0].new_items >= wanted

        with contextlib.suppress(AssertionError):  # then it has been long enough
            await until(come_so_far, within=4.0, every=0.002)

    async def _some_place(self) -> int:
        return self.chance.choice(sorted(await self.gateways.reachable()))

    async def _phase(self) -> str:
        """Where the follower of all events is."""
        follower = self.followers[0]
        if follower.place is None:
            return "connecting"
        if not follower.new_items:
            return "before the first result"
        return "live" if follower.position >= await head(self.store) else "behind the log"


async def head(store: Store) -> int:
    async with store.read() as connection:
        return int((await connection.execute(select(LOG_HEAD.c.position))).scalar_one())


async def log(store: Store) -> list[Any]:
    """The log as the table has it."""
    async with store.read() as connection:
        rows = await connection.execute(select(*EVENT_COLUMNS).order_by(EVENTS.c.position))
        of = (await connection.execute(select(LOG_START.c.store))).scalar_one()
        return [event_record(row, of) for row in rows]


async def follow_through_trouble(url: str, folder: Path, count: int, figures: Figures) -> None:
    chance = Random(count)
    upstream = Upstream(seed=count)
    store = Store(url)
    await store.open()
    await store.upgrade()
    async with (
        serve(upstream.app) as served,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
    ):
        files = []
        for number in range(count):
            (folder / str(number)).mkdir()
            entry = system(ONYX, "onyx", served.url)
            files.append(configuration(folder / str(number), url, entry, poll_interval=1.0, live_interval=0.5))
        gateways = Gateways(files)
        try:
            for number in range(count):
                gateways.start(number)
            await follow(gateways, upstream, store, session, chance, figures)
        finally:
            await gateways.close()
            await store.close()


async def follow(
    gateways: Gateways,
    upstream: Upstream,
    store: Store,
    session: aiohttp.ClientSession,
    chance: Random,
    figures: Figures,
) -> None:
    everything = Follower(gateways, EVENTS_, Random(1), START)
    jobs = [Follower(gateways, PROGRESS, Random(id), None, id=id) for id in upstream.job_ids[:_FOLLOWED]]
    listening = asyncio.create_task(everything.run(session))
    trouble = Trouble(gateways, [everything, *jobs], store, chance)
    ends: list[asyncio.Task[None]] = []
    try:

        async def all_run() -> bool:
            known = {item.get("jobId") for item in everything.items}
            return known.issuperset(upstream.job_ids)

        await until(all_run, within=80)
        ends = [asyncio.create_task(job.run(session)) for job in jobs]
        await trouble.happen()
        assert upstream.running == _JOBS, "they ran all the time"
        upstream.finish()
        await gateways.started()
        await asyncio.wait_for(asyncio.gather(*ends), 60)
        await caught_up(everything, store, listening)
    finally:
        for task in (listening, *ends):
            task.cancel()
        await asyncio.wait([listening, *ends])
        figures(
            f"{sum(trouble.phases.values())} disconnects fell into: {dict(trouble.phases)}; connections: "
            f"{everything.connections}; results: {len(everything.items)}"
        )
    assert sum(trouble.phases.values()) == 50
    assert min(everything.connections.values()) > 5
    for job in jobs:
        ended(job)


async def caught_up(everything: Follower, store: Store, listening: asyncio.Task[None]) -> None:
    """What was seen is the log, as it is while nobody looks away."""

    async def look() -> bool:
        assert not listening.done(), "a subscription to events has no end"
        return everything.position == await head(store)

    await until(look, within=60)
    records = await log(store)
    until_then = everything.items[: len(records)]
    assert [log_position(item["cursor"]) for item in until_then] == list(range(1, len(records) + 1))
    for item, record in zip(until_then, records, strict=True):
        assert item["cursor"] == record.cursor
        assert item["kind"] == record.kind.name
        if record.typename == "JobEvent":
            assert (item["jobId"], item["processed"]) == (record.job_id, record.processed)
        elif record.typename == "ConnectorEvent":
            assert item["connectorId"] == record.connector_id


def ended(job: Follower) -> None:
    """It saw the end, once, and nothing after it; on the way nothing came twice and nothing went back."""
    kinds = [item["kind"] for item in job.items]
    assert kinds.count("JOB_FINISHED") == 1, kinds
    assert kinds[-1] == "JOB_FINISHED"
    assert job.items[-1]["jobStatus"] == "SUCCEEDED"
    counts = [item["processed"] for item in job.items]
    assert counts == sorted(counts)
    cursors = [item["cursor"] for item in job.items]
    assert len(set(cursors)) == len(cursors)
    assert len(cursors) > 10


async def test_resume_on_one_gateway(sqlite_url: str, tmp_path: Path, figures: Figures) -> None:
    async with asyncio.timeout(170):
        await follow_through_trouble(sqlite_url, tmp_path, 1, figures)


async def test_resume_between_two_gateways(postgres_url: str, tmp_path: Path, figures: Figures) -> None:
    async with asyncio.timeout(170):
        await follow_through_trouble(postgres_url, tmp_path, 2, figures)
