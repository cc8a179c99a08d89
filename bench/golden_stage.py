"""All five simulated systems and a gateway on one clock that jumps: nothing is waited for, and requests are real."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from golden_score import Book, Moment, Subject

from connectory.commands.gateway import configured_systems
from connectory.config.loading import Config, build
from connectory.engine import Engine
from connectory.model import ConditionCode, Role
from connectory.store import Store
from resolvers.context import Context, Viewer
from schema import build_schema
from sources import registry
from sources.simulation import FAULTS, WORLD, Clock, Running, World, serve

#: What the script does: it yields the simulated seconds until it goes on.
Script = AsyncGenerator[float, None]

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
#: Simulated seconds between two polls, and by how much they vary.
POLL, JITTER = 60.0, 3.0
#: Simulators without anybody in them.
_EMPTY: dict[str, dict[str, Any]] = {
    "elastic": {"connectors": 0, "jobs_per_connector": 0},
    "feldera": {"populated": False},
    "lucidworks": {"populated": False},
    "onyx": {"size": 0},
    "zensearch": {"size": 0},
}
KINDS = tuple(_EMPTY)
#: Conditions that show two severities.
_GRADED = frozenset({"NO_PROGRESS", "REPEATED_FAILURES"})
#: Conditions that all connectors of a system have together.
_SHARED = frozenset({"STALE", "SYSTEM_DOWN"})
CODES = [code.name for code in ConditionCode]
_QUERY = """query($system: String!, $codes: [ConditionCode!]!) {
    connectors(first: 1000, filter: {systems: [$system], conditions: $codes}) {
        nodes { externalId name conditions { code severity } } } }"""


class Stage:
    """``async with Stage(seed, folder) as stage``: fill its worlds, ``play`` scripts, and ``run``."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.now = START
        self.chance = Random(seed)
        self.book = Book(timedelta(seconds=POLL + JITTER))
        #: systems that do not answer now, by what the script did
        self.silent: set[str] = set()
        self._seed, self._folder = seed, folder
        self._agenda: list[tuple[datetime, int, Callable[[], Awaitable[None]]]] = []
        self._order = itertools.count()
        self._stack = AsyncExitStack()
        self._engine: Engine | None = None
        self._schema = build_schema()
        self.running: dict[str, Running] = {}

    async def __aenter__(self) -> Self:
        clock = Clock(start=START, wall=lambda: (self.now - START).total_seconds())
        for number, name in enumerate(KINDS):
            simulator: Callable[..., Any] | None = registry.kinds()[name].simulator
            assert simulator is not None
            app = simulator(seed=self._seed + number, clock=clock, **_EMPTY[name])
            self.running[name] = await self._stack.enter_async_context(serve(app))
        self._config = self._configuration()
        self._store = Store(self._config.store.url)
        await self._store.open()
        self._stack.push_async_callback(self._store.close)
        await self._store.upgrade()
        self._stack.push_async_callback(self.stop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _configuration(self) -> Config:
        systems = []
        for name, running in self.running.items():
            settings = registry.kinds()[name].simulator_settings
            assert settings is not None
            # no looks between polls: they go by the wall clock
            pace = {"poll_interval": POLL, "live_interval": POLL}
            systems.append({"name": name, "kind": name, **settings(running.url), **pace})
        document = {"store": {"url": f"sqlite:///{self._folder / 'golden.db'}"}, "systems": systems}
        return build(document, "the golden world's configuration", environ={})

    # ---- what scripts use

    def world(self, kind: str) -> World:
        return self.running[kind].app[WORLD]

    def seconds(self, moment: datetime) -> float:
        """Since then."""
        return (self.now - moment).total_seconds()

    def holds(self, kind: str, connector: str, condition: str, since: datetime, after: float = 0.0) -> Moment:
        """From so many seconds after ``since`` the condition holds as it is documented, until it is ``over``."""
        return self.book.scripted((kind, connector, condition), since + timedelta(seconds=after))

    def over(self, *moments: Moment) -> None:
        for moment in moments:
            moment.ends = self.now

    def skew(self, kind: str, seconds: float) -> None:
        """The system's clock is wrong by so much from now on."""
        self.running[kind].app[FAULTS].skew = seconds

    def play(self, script: Script, *, after: float = 0.0) -> None:
        async def go_on() -> None:
            for kind, running in self.running.items():
                self.world(kind).advance(self.now, skew=running.app[FAULTS].skew)
            pause = await anext(script, None)
            if pause is not None:
                self._at(self.now + timedelta(seconds=max(pause, 0.1)), go_on)

        self._at(self.now + timedelta(seconds=after), go_on)

    async def start(self) -> None:
        """A gateway comes, with what the store holds."""
        engine = Engine(
            self._store, configured_systems(self._config), clock=lambda: self.now, chance=Random(self._seed)
        )
        await engine.start()
        self._engine = engine

    async def stop(self) -> None:
        """The gateway goes."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.stop()

    # ---- how it goes on

    async def run(self, hours: float) -> datetime:
        """Let so many simulated hours pass; returns the end."""
        end = START + timedelta(hours=hours)
        for number, kind in enumerate(KINDS):
            self._at(START + timedelta(seconds=number * POLL / len(KINDS)), lambda kind=kind: self._poll(kind))  # type: ignore[misc]
        while self._agenda[0][0] <= end:
            self.now, _, happening = heapq.heappop(self._agenda)
            await happening()
        self.now = end
        return end

    def _at(self, moment: datetime, happening: Callable[[], Awaitable[None]]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), happening))

    async def _poll(self, kind: str) -> None:
        wait = POLL + self.chance.uniform(-JITTER, JITTER)
        self._at(self.now + timedelta(seconds=wait), lambda: self._poll(kind))
        if self._engine is None:
            return
        refused = await self._engine.refresh(kind)
        if refused is not None:
            raise RuntimeError(f"{kind}: {refused.message}")
        beside = [task for task in asyncio.all_tasks() if task.get_name().startswith(("history ", "examination "))]
        await asyncio.gather(*beside)
        self.book.saw(kind, await self._shown(kind), self.now, answered=kind not in self.silent)

    async def _shown(self, kind: str) -> list[Subject]:
        """What a frontend is told of the system's connectors."""
        context = Context(self._store, Viewer("golden", Role.VIEWER), clock=lambda: self.now)
        try:
            variables = {"system": kind, "codes": CODES}
            result = await self._schema.execute(_QUERY, variable_values=variables, context_value=context)
        finally:
            await context.close()
        if result.errors or result.data is None:
            raise RuntimeError(f"the query failed: {result.errors}")
        found: list[Subject] = []
        for node in result.data["connectors"]["nodes"]:
            self.book.names[(kind, node["externalId"])] = node["name"]
            for condition in node["conditions"]:
                code = condition["code"]
                found.append((kind, "*" if code in _SHARED else node["externalId"], code))
                if code in _GRADED and condition["severity"] == "CRITICAL":
                    found.append((kind, node["externalId"], f"{code} CRITICAL"))
        return found
