"""Attackers on one core, the gateway on the other: everybody else is served as if they were not there.

Size: left out, as it needs a machine to itself; FULL=1: a minute for each attack.
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import aiohttp

from connectory.store import Store
from connectory.store.tables import SYSTEMS
from sources.elastic import SOURCE as ELASTIC
from sources.onyx import SOURCE as ONYX
from sources.simulation import Clock, serve
from tests.e2e.program import Program, configuration, serving, system
from tests.engine.stage import rows
from tests.live.client import SocketClient, item
from tests.paths import ROOT
from tests.proofs.attacking import ATTACKS, COSTLY
from tests.proofs.conftest import Figures
from tests.proofs.size import size
from tests.wait import until

#: Seconds of each attack.
_SECONDS = size(2.0, 60.0)
#: Those to try, by a part of their names.
_CHOSEN = [name for name in ATTACKS if re.search(os.environ.get("CONNECTORY_ATTACK", ""), name)]
#: Seconds that it may take until no more memory is left of an attack than may be.
_LEFT_WITHIN = 30.0
_POLL_EVERY = 1.0
#: Of the table: how many dashboards were answered, how fast; how fast readiness; the slowest dashboard; how late polls
#: and events were; what the gateway spent, and what is left in its memory.
_COLUMNS = ("answers", "p50", "p99", "ready", "max", "poll", "event", "cpu", "left")
_DASHBOARD = """{
  systems { name health totalConnectors }
  connectors(first: 50) { totalCount nodes { id name source status health docsIndexed conditions { code } } }
}"""
_EVENTS = "subscription { events { kind at } }"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Seconds within which a normal client is answered, 99 of 100 times, and by which a poll or a live event may be
    late; bytes of memory that may be left."""

    p99: float
    late: float
    left: int


#: The short form runs beside other tests: it shows that everybody is served, and FULL=1 how fast.
_ALLOWED = Allowed(size(5.0, 0.25), size(10.0, 1.0), 50 << 20)
#: Until the execution of what is large takes less.
_ALLOWED_COSTLY = Allowed(size(5.0, 2.0), size(10.0, 4.0), 300 << 20)


@dataclass
class Normal:
    """What a normal client saw during one attack."""

    dashboards: list[float] = field(default_factory=list)
    readiness: list[tuple[int, float]] = field(default_factory=list)
    events: list[float] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return sorted(self.dashboards)[len(self.dashboards) * 99 // 100] if self.dashboards else float("inf")

    def wrong(self, allowed: Allowed) -> Iterator[str]:
        yield from self.failures[:3]
        if self.p99 > allowed.p99:
            yield f"p99 {self.p99 * 1000:.0f} ms"
        if {status for status, _ in self.readiness} != {200}:
            yield "/readyz was not 200"
        for what, lates in (("poll", self.polls), ("event", self.events)):
            if lates and max(lates) > allowed.late:
                yield f"a {what} was {max(lates):.1f} s late"


@dataclass(frozen=True)
class Stand:
    """A gateway over systems that are simulated here, and what it writes."""

    program: Program
    session: aiohttp.ClientSession
    store: Store


class Client:
    """Asks for a dashboard and for readiness some times a second, watches events, and when systems are polled."""

    def __init__(self, stand: Stand) -> None:
        self._program, self._session, self._store = stand.program, stand.session, stand.store
        self._is_over = asyncio.Event()
        self.seen = Normal()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """What was asked within the block is waited for at its end."""
        asking = [asyncio.create_task(work) for work in (self._ask(), self._probe())]
        watching = [asyncio.create_task(work) for work in (self._follow(), self._look_at_polls())]
        try:
            yield
        finally:
            self._is_over.set()
            await asyncio.gather(*asking, return_exceptions=True)
            for task in watching:
                task.cancel()
            for ended in await asyncio.gather(*asking, *watching, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_over.wait()

    async def _ask(self) -> None:
        while not self._is_over.is_set():
            begun = time.time()
            try:
                await self._program.ask(self._session, _DASHBOARD)
            except (aiohttp.ClientError, TimeoutError, AssertionError) as error:
                self.seen.failures.append(f"dashboard: {error!r:.80}")
            self.seen.dashboards.append(time.time() - begun)
            await self._pause(0.1)

    async def _probe(self) -> None:
        """By connections of their own, as an orchestrator does."""
        while not self._is_over.is_set():
            begun = time.time()
            try:
                async with self._session.get(f"{self._program.url}/readyz", headers={"Connection": "close"}) as found:
                    self.seen.readiness.append((found.status, time.time() - begun))
            except (aiohttp.ClientError, TimeoutError) as error:
                self.seen.failures.append(f"readiness: {error!r:.80}")
            await self._pause(0.2)

    async def _follow(self) -> None:
        async with await SocketClient.connect(self._session, self._program.url) as client:
            events = await client.subscribe(_EVENTS)
            while True:
                event = await item(events, within=600)
                self.seen.events.append(time.time() - datetime.fromisoformat(event["at"]).timestamp())

    async def _look_at_polls(self) -> None:
        while True:
            for row in await rows(self._store, SYSTEMS):
                since = time.time() - row["last_poll_at"].timestamp()
                self.seen.polls.append(max(0.0, since - _POLL_EVERY))
            await asyncio.sleep(0.05)


class Attackers:
    """The process that attacks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        await self._process.stdin.drain()

    async def hear(self, expected: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(_SECONDS + 60):
            assert (await self._process.stdout.readline()).decode().strip() == expected


@asynccontextmanager
async def attackers(program: Program) -> AsyncIterator[Attackers]:
    host, port = program.url.removeprefix("http://").split(":")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.proofs.attacking", host, port, "127.0.0.1",
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        made = Attackers(process)
        await made.hear("ready")
        yield made
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def resident(program: Program) -> int:
    """Bytes of memory that it has now."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def spent(program: Program) -> float:
    """Seconds of processor time that it has taken."""
    fields = Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def divide_cores(program: Program) -> None:
    """The gateway has one core for itself, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        for thread in Path(f"/proc/{program.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores[1:2])
        os.sched_setaffinity(0, [*cores[:1], *cores[2:]])


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Stand]:
    cores = os.sched_getaffinity(0)
    async with AsyncExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, cores)
        entries = []
        for number, kind in enumerate((ELASTIC, ONYX)):
            assert kind.simulator is not None
            server = await stack.enter_async_context(serve(kind.simulator(seed=number, clock=Clock(speed=20))))
            entries.append(system(kind, kind.name, server.url))
        url = f"sqlite:///{folder / 'store.db'}"
        file = configuration(folder, url, *entries, poll_interval=_POLL_EVERY, live_interval=0.5)
        program = await stack.enter_async_context(serving(file))
        await program.ready()
        divide_cores(program)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
        store = Store(url)
        await store.open()
        stack.push_async_callback(store.close)
        yield Stand(program, session, store)


async def test_attackers(tmp_path: Path, figures: Figures) -> None:
    lines = ["attack".ljust(36) + "".join(name.rjust(8) for name in _COLUMNS)]
    found: dict[str, list[str]] = {}
    try:
        async with scene(tmp_path) as stand, attackers(stand.program) as hostile:
            await attacked(stand, hostile, "nobody", lines)  # warms up
            for name in ["nobody", *_CHOSEN]:
                found[name] = await attacked(stand, hostile, name, lines)
            output = stand.program.output
            for sign in ("Traceback", "non-checked-in connection"):
                if sign in output:
                    found["log"] = [output[max(0, output.index(sign) - 200) :][:2_000]]
    finally:
        figures("\n".join(lines))
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


async def attacked(stand: Stand, hostile: Attackers, name: str, lines: list[str]) -> list[str]:
    """What was wrong."""
    program = stand.program
    client, before, used = Client(stand), resident(program), spent(program)
    async with client.watching():
        if name in ATTACKS:
            await hostile.say(name, _SECONDS)
            await hostile.hear("over")
        else:
            await asyncio.sleep(_SECONDS)
    allowed = _ALLOWED_COSTLY if name in COSTLY else _ALLOWED
    seen, wrong = client.seen, list(client.seen.wrong(allowed))

    async def is_back() -> bool:
        return resident(program) - before < allowed.left

    try:
        await until(is_back, within=_LEFT_WITHIN, every=0.1)
    except AssertionError:
        wrong.append(f"{(resident(program) - before) >> 20} MiB more memory")
    cells = [
        f"{name:36} {len(seen.dashboards):7}",
        _ms(seen.dashboards, 50),
        _ms(seen.dashboards, 99),
        _ms([took for _, took in seen.readiness], 99),
        _ms(seen.dashboards, 100),
        f"{max(seen.polls, default=0):5.1f} s",
        f"{max(seen.events, default=0):5.1f} s",
        f"{spent(program) - used:5.1f} s",
        f"{(resident(program) - before) >> 20:3} MiB ",
    ]
    lines.append(" ".join([*cells, "; ".join(wrong)]))
    return wrong


def _ms(took: list[float], percent: int) -> str:
    return f"{sorted(took)[min(len(took) - 1, len(took) * percent // 100)] * 1000:4.0f} ms" if took else "      -"
