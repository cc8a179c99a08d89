"""``connectory serve`` over a system that answers, one that refuses and one that hangs.

Size: three systems; FULL=1: the same.
"""

import asyncio
import time
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from sources.elastic import SOURCE as ELASTIC
from sources.onyx import SOURCE as ONYX
from sources.simulation import FAULTS, Clock, serve
from tests.e2e.program import Program, configuration, serving, system
from tests.wait import until

SYSTEMS = "{ systems { name health totalConnectors lastError { code message } } }"
QUERIES = (
    SYSTEMS,
    "{ connectors(first: 1000) { totalCount nodes { id name health docsIndexed isStale conditions { code } } } }",
    "{ sourceSummaries { source totalConnectors failingConnectors runningJobs totalDocsIndexed } }",
    "{ jobs(first: 100) { totalCount nodes { id status createdAt progress { processed } connector { name } } } }",
    "{ events(first: 100) { nodes { __typename at } } }",
)


async def healths(program: Program, session: aiohttp.ClientSession) -> dict[str, str]:
    return {row["name"]: row["health"] for row in (await program.ask(session, SYSTEMS))["systems"]}


async def test_troubled_systems(tmp_path: Path) -> None:
    assert ELASTIC.simulator is not None
    assert ONYX.simulator is not None
    good = serve(ELASTIC.simulator(seed=1, clock=Clock(speed=10)))
    refusing = serve(ONYX.simulator(seed=2, clock=Clock(speed=10)))
    hanging = serve(ELASTIC.simulator(seed=3, clock=Clock(speed=10)))
    async with asyncio.timeout(100), good, refusing, hanging, aiohttp.ClientSession() as session:
        await refusing.stop()  # its port is free now, and nobody listens there
        hanging.app[FAULTS].hang = True
        file = configuration(
            tmp_path,
            f"sqlite:///{tmp_path / 'store.db'}",
            system(ELASTIC, "good", good.url, timeout=5),
            system(ONYX, "refusing", refusing.url, timeout=1),
            system(ELASTIC, "hanging", hanging.url, timeout=1),
            poll_interval=1.0,
            live_interval=0.5,
            max_backoff=2.0,
            stale_after=5.0,
        )
        async with serving(file) as program:
            await program.ready()
            await all_as_expected(program, session, {"good": "UP", "refusing": "DOWN", "hanging": "DOWN"})
            await told_why(program, session)
            await answers_fast(program, session)
            await refusing.start()
            hanging.app[FAULTS].hang = False
            await all_as_expected(program, session, dict.fromkeys(("good", "refusing", "hanging"), "UP"))
            for row in (await program.ask(session, SYSTEMS))["systems"]:
                assert row["lastError"] is None
                assert row["totalConnectors"] > 0
            hanging.app[FAULTS].hang = True
            await all_as_expected(program, session, {"good": "UP", "refusing": "UP", "hanging": "DOWN"})
            await kept_and_marked(program, session)
            await answers_fast(program, session)
            assert "Traceback" not in program.output


async def all_as_expected(program: Program, session: aiohttp.ClientSession, expected: dict[str, str]) -> None:
    seen: dict[str, str] = {}

    async def look() -> bool:
        assert program.process.returncode is None, program.output
        seen.update(await healths(program, session))
        return seen == expected

    try:
        await until(look, within=30, every=0.1)
    except AssertionError:
        raise AssertionError(f"{seen} is not {expected}\n{program.output}") from None


async def told_why(program: Program, session: aiohttp.ClientSession) -> None:
    systems: dict[str, Any] = {row["name"]: row for row in (await program.ask(session, SYSTEMS))["systems"]}
    assert systems["good"]["lastError"] is None
    assert systems["good"]["totalConnectors"] > 0
    assert systems["refusing"]["lastError"]["code"] == "UNREACHABLE"
    assert systems["hanging"]["lastError"]["code"] == "TIMEOUT"


async def kept_and_marked(program: Program, session: aiohttp.ClientSession) -> None:
    """What was seen of a system that fell silent is still shown, and in time it is marked as stale."""
    query = "{ systems { name connectors(first: 100) { nodes { isStale conditions { code } } } } }"

    async def look() -> bool:
        nodes = {row["name"]: row["connectors"]["nodes"] for row in (await program.ask(session, query))["systems"]}
        assert nodes["hanging"]
        assert all("SYSTEM_DOWN" in [c["code"] for c in row["conditions"]] for row in nodes["hanging"])
        return all(row["isStale"] for row in nodes["hanging"]) and not any(row["isStale"] for row in nodes["good"])

    await until(look, within=20, every=0.2)


async def answers_fast(program: Program, session: aiohttp.ClientSession) -> None:
    """Under a second each; the middle one of several, because the machine has other things to do."""
    for query in QUERIES:
        took = []
        for _ in range(5):
            begun = time.monotonic()
            await program.ask(session, query)
            took.append(time.monotonic() - begun)
        assert median(took) < 1.0, query
