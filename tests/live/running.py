"""A gateway whose one system has jobs that run, and what has to be gone once its clients have left."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from connectory.model import JobStatus, Known, Observation
from connectory.store.tables.identity import JOB, global_id
from connectory.web.app import LIVE
from tests.api.gateway import Client, served
from tests.facts import Scripted, configured, connector, job
from tests.wait import until

PROGRESS = "subscription($id: ID!) { jobProgress(jobId: $id) { cursor kind processed } }"
EVENTS = "subscription($after: String) { events(after: $after) { cursor kind } }"
_SYSTEM = "scripted"


def job_id(id: str = "j") -> str:
    return global_id(JOB, _SYSTEM, id)


class Running:
    """The gateway, and the jobs of its system as they are from the next poll on."""

    def __init__(self, client: Client, source: Scripted) -> None:
        self.client = client
        self._source = source

    def go(self, ids: Sequence[str], processed: int, status: JobStatus = JobStatus.RUNNING, **more: Any) -> None:
        """All jobs have come to ``processed``."""
        jobs = [job(id, "a", status, processed=processed, **more) for id in ids]
        self._source.says = Observation(connectors=[connector()], jobs=jobs)
        self._source.sees = Observation(connectors=[], jobs=jobs, complete=False)

    def keep_going(self, id: str) -> None:
        """This job alone, a little further with every poll."""
        numbers = count(1)

        def told(_: Known) -> Observation:
            return Observation(
                connectors=[connector()], jobs=[job(id, "a", JobStatus.RUNNING, processed=next(numbers))]
            )

        self._source.says = told
        self._source.sees = Observation(connectors=[], complete=False)

    async def reach(self, processed: int, id: str = "j") -> None:
        """Return once the store has it."""

        async def look() -> bool:
            query = "query($id: ID!) { node(id: $id) { ... on Job { progress { processed } } } }"
            _, body = await self.client.ask(query, variables={"id": job_id(id)})
            node = body["data"]["node"]
            return bool(node and node["progress"] and node["progress"]["processed"] == processed)

        await until(look, within=20)

    def held(self) -> dict[str, float]:
        """What clients hold here, as counted by the parts themselves and as told to Prometheus."""
        client, live = self.client, self.client.app[LIVE]
        return {
            "subscribers": live.subscribers,
            "broadcasts": live.broadcasts,
            "watches": len(client.engine.watches),
            "sockets": client.metric("connectory_live_connections", transport="websocket"),
            "streams": client.metric("connectory_live_connections", transport="sse"),
            "subscriptions": client.metric("connectory_live_subscriptions"),
            "distinct": client.metric("connectory_live_broadcasts"),
            "listening": float(client.engine.tail.listening),
        }

    async def one_is_left(self) -> None:
        """Return once there is a single connection."""

        async def look() -> bool:
            found = self.held()
            return found["sockets"] + found["streams"] == 1

        await until(look)

    async def deserted(self, within: float = 10, **but: float) -> None:
        """Return once nothing is held for anybody, but for what is named."""

        async def look() -> bool:
            found = self.held()
            return found == dict.fromkeys(found, 0) | but

        await until(look, within=within)


@asynccontextmanager
async def running(
    store_url: str, jobs: Sequence[str] = ("j",), *, every: float = 0.02, **server: Any
) -> AsyncIterator[Running]:
    """The system is asked ``every`` so many seconds; ``server`` are keys of ``[server]``."""
    source = Scripted()
    system = configured(source, _SYSTEM, poll_interval=every, live_interval=every)
    async with served(store_url, systems=[system], **server) as client:
        found = Running(client, source)
        found.go(jobs, 1)
        await found.reach(1, jobs[-1])
        yield found


#: What a poll or a look does, which comes and goes whoever is connected.
_OF_POLLS = frozenset({"Commit.poll", "Commit.look", "Snapshot._fetch", "AsyncConnection.close", "Connections._make"})


def tasks() -> Counter[str]:
    """What runs now, polls aside: how many tasks of each sort."""
    names = (getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks() if not task.done())
    return Counter(name for name in names if name not in _OF_POLLS)
