"""The gateway that polls ends, stands still or is cut off, in every way we know: another one takes over within 15
seconds, nothing is doubled and nothing is lost, none takes more connections than it may, and one that starts meanwhile
comes up.

Size: two gateways on a PostgreSQL of their own; FULL=1: three, each standing still for a minute.
"""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from yarl import URL

from connectory.lanes import CONNECTIONS
from connectory.store import Store
from sources.elastic import SOURCE as ELASTIC
from sources.onyx import SOURCE as ONYX
from tests.e2e.bridge import Bridge
from tests.e2e.program import Program, configuration, serving, system
from tests.proofs.cluster import Cluster, cluster
from tests.proofs.conftest import Figures
from tests.proofs.sessions import Sessions
from tests.proofs.size import size
from tests.proofs.test_kill import Upstreams, complete, settled, sound
from tests.wait import until

#: Seconds: what is promised, and for how long a gateway stands still.
WITHIN, STILL = 15.0, size(13.0, 60.0)
#: Seconds from a start to the first 200 of /readyz: locks of a stopped gateway are had once it was taken over, and the
#: program itself takes some seconds on a machine that others use.
STARTS_WITHIN = WITHIN + 5.0
#: Seconds for which nothing arrives at a gateway that starts.
_DELAYED = 8.0
_GATEWAYS = size(2, 3)
#: Simulated seconds per second.
_SPEED = 30
#: Clients ask so many questions at once, more than there are connections for them, with so many seconds in between.
_QUESTIONS, _PAUSE = 12, 0.7
_QUESTION = "{ connectors(first: 25) { nodes { id name latestJob { id } } } }"
_LEASES = "SELECT name, pid, fence, backend FROM leases WHERE name LIKE 'system:%' AND holder IS NOT NULL"
#: Systems that were polled under a fence newer than before; the lease is taken before the poll begins.
_TAKEN = """
SELECT l.name, l.pid, l.fence, s.last_poll_at > l.since AS is_polled
FROM leases AS l JOIN systems AS s ON l.name = 'system:' || s.name
"""
#: The row that all who tell the log of something change, after that of their system.
_HEAD = "SELECT position FROM log_head FOR UPDATE"
_ITS = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%log_head%' AND client_port = ANY($1)"
_WAITING, _IDLE = f"{_ITS} AND wait_event_type = 'Lock'", f"{_ITS} AND state = 'idle in transaction'"


@dataclass
class Gateway:
    """A ``connectory serve`` and its way to the database."""

    file: Path
    bridge: Bridge
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    program: Program | None = None

    async def start(self) -> float:
        """Seconds until it is ready."""
        began = time.monotonic()
        self.program = await self.stack.enter_async_context(serving(self.file))
        await self.program.ready()
        await until(self._is_ready, within=2 * STARTS_WITHIN, every=0.05)
        return time.monotonic() - began

    async def _is_ready(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{self.running.url}/readyz") as response,
        ):
            return response.status == 200

    @property
    def running(self) -> Program:
        assert self.program is not None
        return self.program

    @property
    def pid(self) -> int:
        return self.running.process.pid

    def send(self, number: signal.Signals) -> None:
        self.running.process.send_signal(number)

    async def end(self) -> None:
        await self.stack.aclose()
        ended, self.program = self.program, None
        assert ended is None or "Traceback" not in ended.output, ended.output

    async def stop(self) -> None:
        """As an orchestrator does."""
        self.send(signal.SIGTERM)
        await asyncio.wait_for(self.running.process.wait(), 10)
        await self.end()

    async def stands_by(self) -> bool:
        """Whether it knows that another one polls both systems."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.running.url}/metrics") as response:
            page = await response.text()
        return len(re.findall(r'^connectory_system_lease\{holder="other",.*\} 1.0$', page, re.M)) == 2

    async def ask(self) -> None:
        """What its clients ask, for ever; it may be in no state to answer."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                if self.program is not None and self.program.url:
                    await asyncio.gather(*(self._ask(session, self.program) for _ in range(_QUESTIONS)))
                await asyncio.sleep(_PAUSE)

    async def _ask(self, session: aiohttp.ClientSession, program: Program) -> None:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(f"{program.url}/graphql", json={"query": _QUESTION}) as response:
                await response.read()


@dataclass
class Line:
    """What is told of one event: seconds, and connections."""

    what: str
    taken: float | None = None
    polled: float | None = None
    most: int = 0
    left: int = 0
    started: float | None = None

    def __str__(self) -> str:
        seconds = "".join(f"{'' if s is None else f'{s:.1f} s':>15}" for s in (self.taken, self.polled, self.started))
        return f"{self.what:42}{seconds}{self.most:15}{self.left:15}"


HEADINGS = f"{'event':42}" + "".join(
    f"{heading:>15}" for heading in ("taken over", "polled after", "another starts", "most of one", "nobody's")
)
Event = Callable[[Gateway], Awaitable[None]]


class Stand:
    """Gateways over one database, and what happens to the one that polls."""

    def __init__(self, postgres: Cluster, gateways: list[Gateway], newcomer: Gateway, configure: Callable[[], None]):
        self.postgres, self.gateways, self.newcomer = postgres, gateways, newcomer
        self.lines: list[Line] = []
        self.sessions = Sessions(
            postgres.url, {str(each.file.parent.name): each.bridge for each in [*gateways, newcomer]}
        )
        #: make the newcomer's configuration differ from what is stored
        self._configure = configure

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        connection = await asyncpg.connect(self.postgres.url, timeout=10)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def holder(self, *, but: Gateway | None = None) -> Gateway:
        """Who polls the first system; both are polled, neither by ``but``."""
        pids = {gateway.pid for gateway in self.gateways if gateway is not but}

        async def look() -> int | None:
            rows = await self.rows(_TAKEN)
            return rows[0]["pid"] if len(rows) == 2 and all(r["is_polled"] and r["pid"] in pids for r in rows) else None

        pid = await until(look, within=30)
        return next(gateway for gateway in self.gateways if gateway.pid == pid)

    @asynccontextmanager
    async def event(
        self, what: str, does: Event, *, is_another: bool = True, in_transaction: bool = False, starts: bool = False
    ) -> AsyncIterator[Gateway]:
        """Let it happen to whoever polls; measure until all of its systems were taken over, and polled anew.

        ``in_transaction``: while it holds locks. ``starts``: another gateway does, meanwhile. Within the block it is
        over; what happens there is watched, too.
        """
        victim = await self.holder()
        line = Line(what)
        async with self._reported(line):
            before = {row["name"]: row["fence"] for row in await self.rows(_LEASES) if row["pid"] == victim.pid}
            async with self._amid_transaction(victim) if in_transaction else nullcontext():
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

            async with self._another_starts(line) if starts else nullcontext():
                line.taken, line.polled = await after(polled=False), await after(polled=True)
            await self.holder(but=victim if is_another else None)
            assert line.taken <= WITHIN, str(line)
            yield victim

    async def starts_late(self) -> None:
        """A gateway starts whose own network stalls meanwhile."""
        line = Line(f"a start whose network stalls for {_DELAYED:g} s")
        async with self._reported(line):
            self.newcomer.bridge.flowing.clear()
            async with self._another_starts(line, within=_DELAYED + STARTS_WITHIN):
                await asyncio.sleep(_DELAYED)
                self.newcomer.bridge.flowing.set()

    @asynccontextmanager
    async def _another_starts(self, line: Line, *, within: float = STARTS_WITHIN) -> AsyncIterator[None]:
        """Meanwhile; it has come up at the end of the block, and is ended. It has to store its configuration."""
        self._configure()
        starting = asyncio.create_task(self.newcomer.start())
        try:
            yield
            line.started = await starting
            assert line.started <= within, str(line)
            await self.newcomer.stop()
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    @asynccontextmanager
    async def _reported(self, line: Line) -> AsyncIterator[None]:
        """The line is printed, whether the event ends well or not; the connections are counted up to its end."""
        self.lines.append(line)
        self.sessions.anew()
        try:
            yield
        finally:
            line.most, line.left = max(self.sessions.most.values(), default=0), self.sessions.most_left
        assert self.sessions.looks > 0
        assert line.most <= CONNECTIONS, self.sessions.most

    @asynccontextmanager
    async def _amid_transaction(self, gateway: Gateway) -> AsyncIterator[None]:
        """Within the block it waits for a lock of ours, in a transaction that holds the lock of its system's row; after
        it, it has both, and the server waits for its next word."""
        connection = await asyncpg.connect(self.postgres.url, timeout=10)

        async def has(statement: str) -> bool:
            ports = [link.port for link in gateway.bridge.links if link.is_open]
            return bool(await self.rows(statement, ports))

        try:
            async with connection.transaction():
                await connection.execute(_HEAD)
                await until(lambda: has(_WAITING))
                yield
            await until(lambda: has(_IDLE))
        finally:
            await connection.close()


@asynccontextmanager
async def stand(postgres: Cluster, folder: Path, upstreams: Upstreams) -> AsyncIterator[Stand]:
    systems = [system(kind, kind.name, upstreams.servers[kind.name].url) for kind in (ELASTIC, ONYX)]
    times = {"poll_interval": 1.0, "live_interval": 0.5}
    async with AsyncExitStack() as stack:
        gateways = []
        for name in [*(f"gateway-{number}" for number in range(_GATEWAYS)), "newcomer"]:
            place = folder / name
            place.mkdir()
            bridge = await stack.enter_async_context(Bridge(URL(postgres.url)))
            gateways.append(Gateway(configuration(place, str(bridge.url), *systems, **times), bridge))
            stack.push_async_callback(gateways[-1].end)
        *gateways, newcomer = gateways
        starts = 0

        def configure() -> None:
            nonlocal starts
            starts += 1
            configuration(newcomer.file.parent, str(newcomer.bridge.url), *systems, **times, stale_after=90.0 + starts)

        for gateway in gateways:
            await gateway.start()
        on = Stand(postgres, gateways, newcomer, configure)
        async with on.sessions.watched():
            asking = [asyncio.create_task(gateway.ask()) for gateway in [*gateways, newcomer]]
            try:
                yield on
            finally:
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)


async def test_who_polls_is_replaced(tmp_path: Path, unused_tcp_port: int, figures: Figures) -> None:
    upstreams = Upstreams(seed=11, speed=_SPEED)
    first, second = upstreams.servers.values()
    async with (
        asyncio.timeout(size(300, 900)),
        first,
        second,
        cluster(unused_tcp_port) as postgres,
        stand(postgres, tmp_path, upstreams) as on,
    ):
        try:
            await all_that_happens(on)
        finally:
            figures("\n".join([HEADINGS, *map(str, on.lines)]))
        assert max(line.most for line in on.lines) == CONNECTIONS, "somebody took all that there are"
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

        async def end(gateway: Gateway, number: signal.Signals = number) -> None:
            gateway.send(number)

        async with on.event(what, end) as ended:
            await asyncio.wait_for(ended.running.process.wait(), 10)
            await ended.end()
            on.lines[-1].started = await ended.start()
            await until(ended.stands_by, within=30)

    async def stop(gateway: Gateway) -> None:
        gateway.send(signal.SIGSTOP)

    async def stall(gateway: Gateway) -> None:
        gateway.bridge.flowing.clear()

    for when, in_transaction in (("", False), (" in a transaction", True)):
        began = time.monotonic()
        async with on.event(f"SIGSTOP{when}", stop, in_transaction=in_transaction, starts=True) as stopped:
            await asyncio.sleep(max(0.0, STILL - (time.monotonic() - began)))
            stopped.send(signal.SIGCONT)
            await until(stopped.stands_by, within=30)
        began = time.monotonic()
        async with on.event(f"its network stalls{when}", stall, in_transaction=in_transaction, starts=True) as stalled:
            await asyncio.sleep(max(0.0, STILL - (time.monotonic() - began)))
            stalled.bridge.flowing.set()
            await until(stalled.stands_by, within=30)

    async def cut(gateway: Gateway) -> None:
        gateway.bridge.is_whole = False
        gateway.bridge.cut()

    async with on.event("its network is cut", cut) as cut_off:
        cut_off.bridge.is_whole = True
        await until(cut_off.stands_by, within=30)

    async def end_session(gateway: Gateway) -> None:
        await on.rows(f"SELECT pg_terminate_backend(backend::int) FROM ({_LEASES}) AS l WHERE pid = {gateway.pid}")

    async with on.event("its lease session is ended", end_session, is_another=False):
        pass

    async def restart(_: Gateway) -> None:
        await on.postgres.stop()
        await on.postgres.start()

    async with on.event("PostgreSQL is restarted", restart, is_another=False):
        pass
    await on.starts_late()
