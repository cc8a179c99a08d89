"""All five systems get into every kind of trouble for minutes, and in the end the store holds what their worlds hold.

``python bench/soak.py --minutes 10 --speed 20``. The simulators run in a process of their own. Faults come by chance,
for stretches of chance, to each system by itself, while GraphQL queries go on over HTTP. Then the faults end, the
worlds are held still, the gateway polls until nothing is new, and its store is compared with that of a gateway that
sees these worlds for the first time, and with the worlds themselves. The status is 0 when nothing was found, else 1.
"""

import argparse
import asyncio
import contextlib
import logging
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from comparison import against_world, differences, inconsistencies, rows
from meters import Holds, holds, resident, say
from sqlalchemy import func, select
from troubles import draw
from upstreams import Upstreams, upstreams

from connectory.commands.gateway import configured_systems, gateway
from connectory.commands.simulators import simulated_kinds
from connectory.config.loading import Config, build
from connectory.engine import Engine
from connectory.model import SystemHealth
from connectory.store import Store
from connectory.store.tables import CONNECTORS, EVENTS, JOBS, SYSTEMS

#: Of the configuration, in seconds.
_ENGINE = {"live_interval": 0.5, "max_backoff": 3.0, "auth_probe_interval": 2.0, "stale_after": 10.0}
_TIMEOUT = 1.0
#: Seconds within which the gateway has to be at rest once nothing moves any more.
_REST_WITHIN = 90.0
#: Seconds that a query may take: nearly always, and ever.
_FAST, _SLOWEST = 2.0, 5.0
#: What memory may grow by from the end of the warm-up: a share, and MB.
_GROWTH, _MARGIN = 0.2, 25.0
#: The share of the time that counts as warm-up; and how often memory is looked at.
_WARM_UP, _LOOKS = 0.3, 30
#: Differences that are printed of each sort.
_SHOWN = 25
QUERIES = (
    "{ systems { name health totalConnectors runningJobs lastError { code message } } }",
    "{ connectors(first: 100) { totalCount nodes { id health isStale conditions { code } latestJob { status } } } }",
    "{ connectors(first: 25, orderBy: {field: NAME, direction: ASC}) { totalCount "
    "countBy(field: HEALTH) { value count } nodes { id jobs(first: 5) { nodes { id status counts { indexed } } } } } }",
    "{ sourceSummaries { source totalConnectors failingConnectors runningJobs totalDocsIndexed } }",
    "{ jobs(first: 50) { totalCount nodes { id status createdAt progress { processed } connector { name } } } }",
    "{ events(last: 100) { nodes { __typename at } } eventCursor }",
)


@dataclass
class Seen:
    """What was noticed while the soak ran."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    #: (seconds since the start, MB)
    memory: list[tuple[float, float]] = field(default_factory=list)

    def at_percentile(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))] if self.seconds else 0.0


class _Errors(logging.Handler):
    """Keeps what the gateway logs as an error: no fault of an upstream is one."""

    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        raised = record.exc_info[1] if record.exc_info else None
        self._into.append(f"{record.name}: {record.getMessage()}" + (f" [{raised!r}]" if raised else ""))


def configuration(urls: dict[str, str], store: str) -> Config:
    systems = []
    for number, (name, kind) in enumerate(sorted(simulated_kinds().items())):
        if name in urls:
            assert kind.simulator_settings is not None
            pace = {"poll_interval": 1.0 + 0.25 * (number % 5), "timeout": _TIMEOUT}
            systems.append({"name": name, "kind": name, **kind.simulator_settings(urls[name]), **pace})
    document = {"server": {"port": 0}, "store": {"url": store}, "engine": _ENGINE, "systems": systems}
    return build(document, "the soak's configuration", environ={})


# ---- while it runs


async def make_trouble(of: Upstreams, kind: str, chance: Random, seen: Seen) -> None:
    """One trouble after the other for this system, with rest in between; all is well when this is cancelled."""
    try:
        while True:
            await asyncio.sleep(chance.uniform(0.5, 5.0))
            trouble = draw(kind, chance)
            seen.troubles[trouble.name] += 1
            if trouble.stops:
                await of.tell(f"stop/{kind}")
                try:
                    await asyncio.sleep(trouble.seconds)
                finally:
                    await of.tell(f"start/{kind}")
            else:
                await of.fault(kind, trouble.switches)
                await asyncio.sleep(trouble.seconds)
                await of.fault(kind, {})
    finally:
        await of.fault(kind, {})


async def ask(session: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    """Query after query until cancelled."""
    for query in cycle(QUERIES):
        begun = time.monotonic()
        try:
            async with session.post(f"{url}/graphql", json={"query": query}) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            seen.failed.append(f"{error!r}: {query}")
        else:
            if response.status != 200 or answer.get("errors"):
                seen.failed.append(f"{response.status} {answer.get('errors')}: {query}")
        seen.seconds.append(time.monotonic() - begun)
        await asyncio.sleep(0.05)


async def weigh(every: float, seen: Seen) -> None:
    begun = time.monotonic()
    while True:
        seen.memory.append((time.monotonic() - begun, resident()))
        await asyncio.sleep(every)


@asynccontextmanager
async def going_on(*works: Awaitable[None]) -> AsyncIterator[None]:
    """All of these, until the block ends. Raises what one of them raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


# ---- when it is over


async def at_rest(store: Store, within: float) -> list[str]:
    """Wait until every system has been polled twice more and nothing was new; what is amiss if that does not come."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        before = await _state(store)
        polls = await _polls(store)
        if not all(polls.values()):
            await asyncio.sleep(0.1)
            continue
        while time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            now = await _polls(store)
            if all((now[id] - polls[id]).total_seconds() > 2.5 for id in now):
                break
        if before == await _state(store) and not await _unsettled(store):
            return []
    return [f"not at rest after {within:g} s: {reason}" for reason in await _unsettled(store) or ["events go on"]]


async def _polls(store: Store) -> dict[Any, Any]:
    return {id: row["last_poll_at"] for id, row in (await rows(store, SYSTEMS)).items()}


async def _state(store: Store) -> int | None:
    async with store.read() as connection:
        return (await connection.execute(select(func.max(EVENTS.c.position)))).scalar()


async def _unsettled(store: Store) -> list[str]:
    found = [
        f"{row['name']} is {row['health']}: {row['error_message']}"
        for row in (await rows(store, SYSTEMS)).values()
        if row["health"] is not SystemHealth.UP
    ]
    connectors, jobs = await rows(store, CONNECTORS), await rows(store, JOBS)
    unread = [row for row in connectors.values() if not row["history_read"] and not row["removed_at"]]
    due = [row for row in jobs.values() if row["examine_due"]]
    found += [f"{len(unread)} histories are not read"] if unread else []
    return found + ([f"{len(due)} jobs are not examined"] if due else [])


async def compared(soaked: Store, config: Config, folder: Path, worlds: Upstreams) -> dict[str, list[str]]:
    """What is wrong with the store, by the way in which it was found; and what it tells more."""
    fresh = Store(f"sqlite:///{folder / 'fresh.db'}")
    await fresh.open()
    await fresh.upgrade()
    engine = Engine(fresh, configured_systems(config))
    await engine.start()
    try:
        late = await at_rest(fresh, _REST_WITHIN)
        unlike, more = await differences(soaked, fresh)
    finally:
        await engine.stop()
        await fresh.close()
    if more:
        say(f"told more than a gateway that comes now would: {dict(more.most_common())}")
    strange = [
        difference
        for kind, settings in config.systems
        for difference in await against_world(soaked, kind.name, settings.name, await worlds.tell(f"world/{kind.name}"))
    ]
    return {
        "the second gateway": late,
        "differences from the second gateway": unlike,
        "differences from the worlds": strange,
        "log and file": await inconsistencies(soaked),
    }


# ---- the whole


@dataclass(frozen=True)
class Wanted:
    minutes: float
    speed: float
    seed: int
    store: str | None


async def soak(wanted: Wanted) -> dict[str, list[str]]:
    """Everything that went wrong, by headings."""
    seen, threads = Seen(), set(threading.enumerate())
    logging.getLogger("connectory").addHandler(_Errors(seen.logged))
    kinds: dict[str, dict[str, Any]] = {name: {} for name in simulated_kinds()}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connectory-soak-")))
        worlds = await stack.enter_async_context(upstreams(kinds, speed=wanted.speed, seed=wanted.seed))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=20), connector=aiohttp.TCPConnector(force_close=True)
            )
        )
        watched = await stack.enter_async_context(holds())
        config = configuration(dict(worlds.urls), wanted.store or f"sqlite:///{folder / 'soaked.db'}")
        tasks = asyncio.all_tasks()
        found: dict[str, list[str]] = {}
        async with gateway(config) as url:
            await _run(wanted, url, config, worlds, session, seen)
            await worlds.tell("freeze")
            store = Store(config.store.url)
            stack.push_async_callback(store.close)
            begun = time.monotonic()
            found["rest"] = await at_rest(store, _REST_WITHIN)
            say(f"at rest after {time.monotonic() - begun:.1f} s")
        found["tasks left over"] = [task.get_name() for task in asyncio.all_tasks() - tasks]
        found |= await compared(store, config, folder, worlds)
        await _report(store, seen, watched)
    found["threads left over"] = [
        thread.name
        for thread in set(threading.enumerate()) - threads
        if not thread.name.startswith(("asyncio_", "waitpid"))
    ]
    return found | {
        "errors in the log": [f"{times} times {message}" for message, times in Counter(seen.logged).most_common()],
        "queries that failed": seen.failed,
        "slow queries": _slow(seen),
        "memory": _grown(seen),
    }


async def _run(
    wanted: Wanted, url: str, config: Config, worlds: Upstreams, session: aiohttp.ClientSession, seen: Seen
) -> None:
    seconds = wanted.minutes * 60
    chances = {kind: Random(f"{wanted.seed} {kind}") for kind in worlds.urls}
    troubles = [make_trouble(worlds, kind, chance, seen) for kind, chance in chances.items()]
    askers = [ask(session, url, seen) for _ in range(2)]
    async with going_on(*askers, weigh(seconds / _LOOKS, seen)), going_on(*troubles):
        await asyncio.sleep(seconds)


async def _report(store: Store, seen: Seen, watched: Holds) -> None:
    tables = {"connectors": CONNECTORS, "jobs": JOBS, "events": EVENTS}
    async with store.read() as connection:
        sizes = [
            f"{(await connection.execute(select(func.count()).select_from(table))).scalar_one()} {name}"
            for name, table in tables.items()
        ]
    say(f"store: {', '.join(sizes)}")
    say(f"troubles: {sum(seen.troubles.values())}: {dict(sorted(seen.troubles.items()))}")
    times = ", ".join(f"{share:.0%} {seen.at_percentile(share) * 1000:.0f} ms" for share in (0.5, 0.99, 1.0))
    say(f"queries: {len(seen.seconds)}, {times}; the event loop was held for {watched.worst * 1000:.0f} ms at most")
    say("memory, MB: " + " ".join(f"{megabytes:.0f}" for _, megabytes in seen.memory))


def _slow(seen: Seen) -> list[str]:
    found = {0.99: _FAST, 1.0: _SLOWEST}
    return [
        f"{share:.0%} within {seen.at_percentile(share):.2f} s, not {most} s"
        for share, most in found.items()
        if seen.at_percentile(share) > most
    ]


def _grown(seen: Seen) -> list[str]:
    """The middle one of the last looks against the middle one of those around the end of the warm-up."""

    def middle(looks: Sequence[tuple[float, float]]) -> float:
        return sorted(megabytes for _, megabytes in looks)[len(looks) // 2]

    warm = int(len(seen.memory) * _WARM_UP)
    before, after = middle(seen.memory[warm : warm + 3]), middle(seen.memory[-3:])
    say(f"memory: {before:.0f} MB after the warm-up, {after:.0f} MB at the end")
    most = before * (1 + _GROWTH) + _MARGIN
    return [f"{after:.0f} MB at the end, more than {most:.0f} MB"] if after > most else []


def _wanted(arguments: Sequence[str] | None = None) -> Wanted:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--speed", type=float, default=20.0, help="how much faster simulated time runs")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same worlds and troubles")
    parser.add_argument("--store", help="an empty one; default: a SQLite file that goes away")
    return Wanted(**vars(parser.parse_args(arguments)))


def main() -> int:
    wanted = _wanted()
    say(f"{wanted.minutes:g} minutes at speed {wanted.speed:g}, seed {wanted.seed}")
    found = {heading: lines for heading, lines in asyncio.run(soak(wanted)).items() if lines}
    for heading, lines in found.items():
        say(f"\n{heading}: {len(lines)}")
        for line in lines[:_SHOWN]:
            say(f"  {line}")
        if len(lines) > _SHOWN:
            say(f"  and {len(lines) - _SHOWN} more")
    say("\nnothing was found" if not found else f"\nfound: {', '.join(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
