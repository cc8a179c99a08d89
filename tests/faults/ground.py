"""Two systems of different kinds on one store and one engine: one that gets into trouble, and one that is well."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from math import inf
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select

from connectory.engine import ConfiguredSystem, Engine
from connectory.model import EventKind, Known, SystemHealth
from connectory.store import Store
from connectory.store.tables import CONNECTORS, EVENTS, JOBS, SYSTEMS
from connectory.store.tables.identity import SYSTEM, global_id
from sources.base import Source, SourceKind
from sources.simulation import FAULTS, REQUESTS, Clock, Faults, Running, serve
from tests.faults.certificates import Certificates
from tests.faults.table import SHAPES, Fault
from tests.sources.contract import START, Hand, collect
from tests.wait import until

#: Seconds.
POLL_INTERVAL, MAX_BACKOFF, AUTH_PROBE_INTERVAL = 0.03, 0.15, 0.2
#: Seconds of simulated time before the first poll: enough for jobs that ended and jobs that are open.
_BEFORE = 600.0
_UNKNOWN_NAME = "nothing.invalid"
#: Worlds that are smaller than they are by themselves: enough to have a past, something that runs, and a second page.
_WORLDS: dict[str, dict[str, int]] = {"elastic": {"connectors": 10, "jobs_per_connector": 4}, "onyx": {"size": 10}}

Row = dict[str, Any]


class Farthest(Random):
    """No luck with the jitter: every wait is the longest one, so that the least time between polls is known."""

    def uniform(self, a: float, b: float) -> float:
        return b


@dataclass
class Played:
    """One configured system: its simulator, and what has been seen of its polls."""

    name: str
    kind: SourceKind
    running: Running
    hand: Hand
    timeout: float = 5.0
    host: str | None = None
    #: polls that are due wait while so many have begun: nobody pays for those that nobody looks at
    allowed: float = inf
    #: polls that are or were due; all but the last one are stored
    due: int = 0
    #: notified when a poll is due, and when more are allowed
    stir: asyncio.Condition = field(default_factory=asyncio.Condition)
    #: when each poll began, by the event loop's clock
    polls: list[float] = field(default_factory=list)
    #: how many requests had been made when each poll began
    marks: list[int] = field(default_factory=list)
    #: comes to pass before the next poll begins, so that no poll is half troubled
    onset: Callable[[], Awaitable[None]] | None = None

    @property
    def id(self) -> str:
        return global_id(SYSTEM, self.name)

    @property
    def requests(self) -> list[str]:
        return self.running.app[REQUESTS]

    @property
    def keys(self) -> Row:
        assert self.kind.simulator_settings is not None
        url = self.running.url
        return self.kind.simulator_settings(url.replace(self.running.host, self.host) if self.host else url)

    @property
    def secrets(self) -> list[str]:
        declared = self.kind.settings.model_fields
        return [value for key, value in self.keys.items() if "Secret" in str(declared[key].annotation)]

    def open(self) -> Source:
        entry = {"name": self.name, "kind": self.kind.name, "timeout": self.timeout, **self.keys}
        return self.kind.open(self.kind.settings.model_validate(entry))

    def configured(self) -> ConfiguredSystem:
        entry = {"name": self.name, "kind": self.kind.name, "timeout": self.timeout, **self.keys}
        return ConfiguredSystem(
            kind=replace(self.kind, open=self._open_watched),
            settings=self.kind.settings.model_validate(entry),
            poll_interval=POLL_INTERVAL,
            live_interval=3600.0,
            stale_after=90.0,
            max_backoff=MAX_BACKOFF,
            auth_probe_interval=AUTH_PROBE_INTERVAL,
        )

    def _open_watched(self, settings: Any) -> Source:
        source: Source = self.kind.open(settings)
        poll = source.poll

        async def watched(known: Known) -> Any:
            async with self.stir:
                self.due += 1
                self.stir.notify_all()
                await self.stir.wait_for(lambda: len(self.polls) < self.allowed)
            if self.onset is not None:
                onset, self.onset = self.onset, None
                await onset()
            self.polls.append(asyncio.get_running_loop().time())
            self.marks.append(len(self.requests))
            return await poll(known)

        source.poll = watched  # type: ignore[method-assign]
        return source

    async def allow(self, polls: float = inf) -> None:
        """So many more from now on."""
        async with self.stir:
            self.allowed = len(self.polls) + polls
            self.stir.notify_all()

    async def polled(self, times: int, within: float = 30.0) -> None:
        """Until so many polls that begin from now on are stored."""
        wanted = len(self.polls) + times
        try:
            async with asyncio.timeout(within), self.stir:
                await self.stir.wait_for(lambda: self.due > wanted)
        except TimeoutError:
            raise AssertionError(f"{self.name}: {self.due} of {wanted} polls within {within} seconds") from None

    def switch(self, **switches: Any) -> None:
        """These faults on, all others off."""
        wanted, faults = Faults(**switches), self.running.app[FAULTS]
        for switch in fields(Faults):
            setattr(faults, switch.name, getattr(wanted, switch.name))


@dataclass
class Began:
    """How many polls had begun, and requests been made, when the fault came."""

    polls: int = 0
    requests: int = 0


@dataclass
class Ground:
    """The store, and the two systems on it."""

    store: Store
    #: the one whose turn it is
    fault: Fault
    troubled: Played
    well: Played
    engine: Engine
    certificates: Callable[[], Certificates]
    names: set[str]
    began: Began = field(default_factory=Began)
    #: both systems are well and at rest, and nothing has been done to them since
    is_calm: bool = False

    async def begin(self) -> None:
        """Bring the fault on, before the next poll of the troubled system."""
        self.is_calm = False
        begun = asyncio.Event()

        async def onset() -> None:
            self.began = Began(len(self.troubled.polls), len(self.troubled.requests))
            await self._change(broken=True)
            begun.set()

        self.troubled.onset = onset
        await self.troubled.allow()
        async with asyncio.timeout(30):
            await begun.wait()

    async def mend(self) -> None:
        await self._change(broken=False)

    async def _change(self, *, broken: bool) -> None:
        troubled, network = self.troubled, self.fault.network
        if network == "unknown name":
            (self.names.discard if broken else self.names.add)(_UNKNOWN_NAME)
        elif network is None:
            troubled.switch(**self.fault.switches_of(troubled.kind.name) if broken else {})
        elif broken or network == "another certificate":
            await troubled.running.stop()
        if network == "another certificate":
            troubled.running.tls = self.certificates().strange if broken else self.certificates().trusted
        if network == "another certificate" or (network == "refuses" and not broken):
            await troubled.running.start()

    # ---- what the store holds

    async def system(self, played: Played) -> Row:
        return (await self._rows(SYSTEMS, SYSTEMS.c.id == played.id))[0]

    async def connectors(self, played: Played) -> list[Row]:
        return await self._rows(CONNECTORS, CONNECTORS.c.system_id == played.id)

    async def jobs(self, played: Played) -> list[Row]:
        return await self._rows(JOBS, JOBS.c.system_id == played.id)

    async def held(self, played: Played) -> tuple[list[Row], list[Row]]:
        return await self.connectors(played), await self.jobs(played)

    async def events(self, played: Played, beyond: int = 0) -> list[Row]:
        return await self._rows(EVENTS, (EVENTS.c.system_id == played.id) & (EVENTS.c.position > beyond))

    async def kinds(self, played: Played, beyond: int = 0) -> list[EventKind]:
        return [event["kind"] for event in await self.events(played, beyond)]

    async def position(self) -> int:
        """Of the log."""
        async with self.store.read() as connection:
            return int((await connection.execute(select(func.max(EVENTS.c.position)))).scalar_one())

    async def _rows(self, table: Any, criterion: Any) -> list[Row]:
        async with self.store.read() as connection:
            statement = select(table).where(criterion).order_by(*table.primary_key.columns)
            return [dict(row) for row in (await connection.execute(statement)).mappings()]

    # ---- waiting

    async def settled(self, *systems: Played) -> None:
        """Until these systems are up, their history is read, every job that ended was looked at closely, and a poll
        more has changed nothing. Then they are at rest: no poll begins before it is allowed."""
        await asyncio.gather(*map(self._settled, systems))

    async def _settled(self, played: Played) -> None:
        due = (JOBS.c.system_id == played.id) & JOBS.c.examine_due

        async def look() -> bool:
            if (await self.system(played))["health"] is not SystemHealth.UP:
                return False
            connectors = await self.connectors(played)
            read = all(row["history_read"] for row in connectors)
            return bool(connectors and read and not await self._rows(JOBS, due))

        async def polled() -> bool:
            await played.polled(1)
            return await look()

        async def unchanged() -> bool:
            held = await self.held(played)
            return await polled() and held == await self.held(played)

        await played.allow()
        await until(polled, within=60, every=0)
        await until(unchanged, within=60, every=0)
        await played.allow(0)

    async def newcomer(self, played: Played) -> tuple[set[str], set[str]]:
        """The connectors and jobs that somebody sees who has never asked before."""
        source = played.open()
        try:
            seen = await source.poll(Known())
            connectors = frozenset(fact.external_id for fact in seen.connectors)
            past, _ = await collect(source, Known(), connectors)
        finally:
            await source.close()
        return set(connectors), {job.external_id for job in (*seen.jobs, *past)}


@asynccontextmanager
async def ground(
    store: Store,
    fault: Fault,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    certificates: Callable[[], Certificates],
) -> AsyncIterator[Ground]:
    """Both systems being polled, the troubled one at the fault's site, and with the fault if that is there from the
    start."""
    names, site = {_UNKNOWN_NAME}, fault.site
    _answer_for(names, monkeypatch)
    troubled = _play("troubled", kind, certificates().trusted if site.encrypted else None)
    troubled.timeout = site.timeout
    troubled.host = _UNKNOWN_NAME if site.named else None
    well = _play("well", "elastic" if kind == "zensearch" else "zensearch")
    async with troubled.running, well.running:
        zero = asyncio.get_running_loop().time()

        def now() -> datetime:
            """The gateway lives when the simulated worlds do, whose course depends on the hour of the day."""
            return START + timedelta(seconds=asyncio.get_running_loop().time() - zero)

        systems = [troubled.configured(), well.configured()]
        engine = Engine(store, systems, clock=now, chance=Farthest())
        on = Ground(store, fault, troubled, well, engine, certificates, names)
        if fault.from_the_start:
            await on._change(broken=True)
        await engine.start()
        try:
            yield on
        finally:
            await engine.stop()


def _play(name: str, kind: str, tls: ssl.SSLContext | None = None) -> Played:
    chosen, hand = SHAPES[kind].kind, Hand()
    assert chosen.simulator is not None
    start = START - timedelta(seconds=_BEFORE)
    app = chosen.simulator(seed=7, clock=Clock(start=start, wall=hand), **_WORLDS.get(kind, {}))
    hand.move(_BEFORE)
    return Played(name, chosen, serve(app, tls=tls), hand)


def _answer_for(names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver knows the reserved name while it is among ``names``: no network is asked about it."""
    resolve = socket.getaddrinfo

    def asked(host: Any, *rest: Any, **more: Any) -> Any:
        if host != _UNKNOWN_NAME:
            return resolve(host, *rest, **more)
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", asked)
