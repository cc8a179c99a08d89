"""The gateway that polls ends, stands still or is cut off, in every way we know: another one takes over within 15
seconds, nothing is doubled and nothing is lost.

Size: two gateways on a PostgreSQL of their own; FULL=1: three, each standing still for a minute.
"""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from yarl import URL

from connectory.store import Store
from sources.elastic import SOURCE as ELASTIC
from sources.onyx import SOURCE as ONYX
from tests.e2e.bridge import Bridge
from tests.e2e.program import Program, configuration, serving, system
from tests.proofs.cluster import Cluster, cluster
from tests.proofs.conftest import Figures
from tests.proofs.size import size
from tests.proofs.test_kill import Upstreams, complete, settled, sound
from tests.wait import until

#: Seconds: what is promised, and for how long a gateway stands still.
WITHIN, STILL = 15.0, size(13.0, 60.0)
_GATEWAYS = size(2, 3)
#: Simulated seconds per second.
_SPEED = 30
_LEASES = "SELECT name, pid, fence, backend FROM leases WHERE name LIKE 'system:%' AND holder IS NOT NULL"
#: Systems that were polled under a fence newer than before; the lease is taken before the poll begins.
_TAKEN = """
SELECT l.name, l.pid, l.fence, s.last_poll_at > l.since AS is_polled
FROM leases AS l JOIN systems AS s ON l.name = 'system:' || s.name
"""


@dataclass
class Gateway:
    """A ``connectory serve`` and its way to the database."""

    file: Path
    bridge: Bridge
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    program: Program | None = None

    async def start(self) -> None:
        self.program = await self.stack.enter_async_context(serving(self.file))
        await self.program.ready()

    @property
    def running(self) -> Program:
        assert self.program is not None
        return self.program

    @property
    def pid(self) -> int:
        return self.running.process.pid

    async def end(self) -> None:
        await self.stack.aclose()
        self.program = None

    async def stands_by(self) -> bool:
        """Whether it knows that another one polls both systems."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.running.url}/metrics") as response:
            page = await response.text()
        return len(re.findall(r'^connectory_system_lease\{holder="other",.*\} 1.0$', page, re.M)) == 2


Event = Callable[[Gateway], Awaitable[None]]


class Stand:
    """Gateways over one database, and what happens to the one that polls."""

    def __init__(self, postgres: Cluster, gateways: list[Gateway]) -> None:
        self.postgres, self.gateways = postgres, gateways
        self.lines: list[str] = []

    async def rows(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self.postgres.url, timeout=10)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    async def holder(self) -> Gateway:
        """Who polls the first system; both are polled."""

        async def look() -> int | None:
            rows = await self.rows(_TAKEN)
            pids = {gateway.pid for gateway in self.gateways}
            return rows[0]["pid"] if len(rows) == 2 and all(r["is_polled"] and r["pid"] in pids for r in rows) else None

        pid = await until(look, within=30)
        return next(gateway for gateway in self.gateways if gateway.pid == pid)

    async def happens(self, what: str, does: Event, *, is_another: bool = True) -> Gateway:
        """Let it happen to whoever polls; measure until all of its systems were taken over, and polled anew."""
        victim = await self.holder()
        before = {row["name"]: row["fence"] for row in await self.rows(_LEASES) if row["pid"] == victim.pid}
        began, pid = time.monotonic(), victim.pid
        await does(victim)

        async def after(*, polled: bool) -> float:
            async def look() -> bool:
                try:
                    rows = {row["name"]: row for row in await self.rows(_TAKEN)}
                except (OSError, asyncpg.PostgresError):
                    return False  # it is being restarted
                newer = [rows[name] for name, fence in before.items() if rows[name]["fence"] > fence]
                found = [row for row in newer if not is_another or row["pid"] != pid]
                return len(found) == len(before) and (not polled or all(row["is_polled"] for row in found))

            await until(look, within=4 * WITHIN, every=0.05)
            return time.monotonic() - began

        took, polled = await after(polled=False), await after(polled=True)
        self.lines.append(f"{what:30} taken over after {took:5.1f} s, polled after {polled:5.1f} s")
        assert took <= WITHIN, self.lines[-1]
        return victim


@asynccontextmanager
async def stand(postgres: Cluster, folder: Path, upstreams: Upstreams) -> AsyncIterator[Stand]:
    systems = [system(kind, kind.name, upstreams.servers[kind.name].url) for kind in (ELASTIC, ONYX)]
    async with AsyncExitStack() as stack:
        gateways = []
        for number in range(_GATEWAYS):
            place = folder / f"gateway-{number}"
            place.mkdir()
            bridge = await stack.enter_async_context(Bridge(URL(postgres.url)))
            file = configuration(place, str(bridge.url), *systems, poll_interval=1.0, live_interval=0.5)
            gateways.append(Gateway(file, bridge))
            stack.push_async_callback(gateways[-1].end)
            await gateways[-1].start()
        yield Stand(postgres, gateways)


async def test_who_polls_is_replaced(tmp_path: Path, unused_tcp_port: int, figures: Figures) -> None:
    upstreams = Upstreams(seed=11, speed=_SPEED)
    first, second = upstreams.servers.values()
    async with (
        asyncio.timeout(size(520, 900)),
        first,
        second,
        cluster(unused_tcp_port) as postgres,
        stand(postgres, tmp_path, upstreams) as on,
    ):
        try:
            await all_that_happens(on)
        finally:
            figures("\n".join(on.lines))
        upstreams.freeze()
        store = Store(postgres.url)
        try:
            await settled(store, upstreams, (await on.holder()).running)
            await sound(store)
            await complete(store, upstreams)
        finally:
            await store.close()


async def all_that_happens(on: Stand) -> None:
    for what, number in (("kill -9", signal.SIGKILL), ("SIGTERM", signal.SIGTERM)):
        ended = await on.happens(what, lambda gateway, number=number: signalled(gateway, number))
        await asyncio.wait_for(ended.running.process.wait(), 10)
        await ended.end()
        await ended.start()
        await until(ended.stands_by, within=30)

    async def stop(gateway: Gateway) -> None:
        await signalled(gateway, signal.SIGSTOP)

    began = time.monotonic()
    stopped = await on.happens("SIGSTOP", stop)
    await asyncio.sleep(max(0.0, STILL - (time.monotonic() - began)))
    await signalled(stopped, signal.SIGCONT)
    await until(stopped.stands_by, within=30)

    async def stall(gateway: Gateway) -> None:
        gateway.bridge.flowing.clear()

    began = time.monotonic()
    stalled = await on.happens("its network stalls", stall)
    await asyncio.sleep(max(0.0, STILL - (time.monotonic() - began)))
    stalled.bridge.flowing.set()
    await until(stalled.stands_by, within=30)

    async def cut(gateway: Gateway) -> None:
        gateway.bridge.is_whole = False
        gateway.bridge.cut()

    cut_off = await on.happens("its network is cut", cut)
    cut_off.bridge.is_whole = True
    await until(cut_off.stands_by, within=30)

    async def end_session(gateway: Gateway) -> None:
        await on.rows(f"SELECT pg_terminate_backend(backend) FROM ({_LEASES}) AS l WHERE pid = {gateway.pid}")

    await on.happens("its lease session is ended", end_session, is_another=False)

    async def restart(_: Gateway) -> None:
        await on.postgres.stop()
        await on.postgres.start()

    await on.happens("PostgreSQL is restarted", restart, is_another=False)


async def signalled(gateway: Gateway, number: signal.Signals) -> None:
    gateway.running.process.send_signal(number)
