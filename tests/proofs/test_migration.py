"""The way of an existing store to this version: how long it takes, and that `kill -9` in its middle breaks nothing.

Size: 400 connectors and 8,000 jobs of revision 0006; FULL=1: 10,000 and 200,000.
"""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import asyncpg
from sqlalchemy import func, select

from connectory.store import Store
from connectory.store.tables import CONDITIONS, CONNECTORS, EVENTS, JOB_ERRORS, JOBS
from sources.elastic import SOURCE as ELASTIC
from tests.e2e.program import configuration, serving, system
from tests.engine.stage import rows
from tests.old_store import OldStore
from tests.paths import ROOT
from tests.proofs.conftest import Figures
from tests.proofs.size import size
from tests.store.test_migrations import differences
from tests.wait import until

_OLD = OldStore("elastic", "elastic", connectors=size(400, 10_000), jobs_each=20)
#: Seconds after the migration has begun, at which it is killed.
_KILLED_AFTER = (0.0, 0.005, 0.02, 0.08, 0.3, 1.0)
_COUNTED = (CONNECTORS, JOBS, EVENTS, CONDITIONS, JOB_ERRORS)
_MIGRATES = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


async def has_begun(url: str) -> bool:
    """Whether somebody is at work on the tables."""
    if not url.startswith("sqlite"):
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return bool(await connection.fetchval(_MIGRATES))
        finally:
            await connection.close()
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0)
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


async def upgrade(file: Path, url: str, killed_after: float | None) -> float | None:
    """``connectory db upgrade``; seconds that it took, None when it was killed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTORY_")}
    begun = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connectory", "db", "upgrade", "--config", str(file),
        env={**kept, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    if killed_after is not None:

        async def is_at_work() -> bool:
            return process.returncode is not None or await has_begun(url)

        await until(is_at_work, within=60, every=0.001)
        await asyncio.sleep(killed_after)
        if process.returncode is None:
            process.kill()
    output, _ = await process.communicate()
    assert process.returncode in (0, -9), output.decode()
    return None if process.returncode else time.monotonic() - begun


async def revision(url: str) -> str | None:
    store = Store(url)
    try:
        async with store.read() as connection:
            return await store.revision(connection)
    finally:
        await store.close()


async def counts(url: str) -> Mapping[str, int]:
    store = Store(url)
    try:
        async with store.read() as connection:
            return {
                table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                for table in _COUNTED
            }
    finally:
        await store.close()


async def check(url: str, before: Mapping[str, int]) -> None:
    """Everything is there, and the tables are those of this version."""
    assert await counts(url) == before
    store = Store(url)
    try:
        assert await store.problems() == []
        async with store.read() as connection:
            assert await connection.run_sync(differences) == []
        found = {row["external_id"]: row["vanished_at"] for row in await rows(store, JOBS) if row["vanished_at"]}
        assert found == _OLD.vanished
    finally:
        await store.close()


async def test_a_store_of_revision_0006_is_brought_to_this_version(
    bare_store_url: str, tmp_path: Path, figures: Figures
) -> None:
    url = bare_store_url
    await _OLD.write(url)
    before = await counts(url)
    file = configuration(tmp_path, url, system(ELASTIC, "elastic", "http://127.0.0.1:9"))
    killed, took = 0, None
    for seconds in _KILLED_AFTER:
        took = await upgrade(file, url, seconds)
        if took is not None:
            break
        assert await counts(url) == before
        if await revision(url) != "0006":
            break
        killed += 1
    if took is None:
        took = await upgrade(file, url, None)
    figures(
        f"{before['connectors']} connectors, {before['jobs']} jobs, {before['events']} rows of the log: "
        f"killed {killed} times in the middle, then done in {took:.1f} s"
    )
    assert killed, "no kill came in the middle"
    await check(url, before)
    async with serving(file) as program, aiohttp.ClientSession() as session:
        await program.ready()
        totals = await program.ask(session, "{ connectors { totalCount } jobs { totalCount } }")
    assert [totals["connectors"]["totalCount"], totals["jobs"]["totalCount"]] == [before["connectors"], before["jobs"]]
