"""A gateway whose store a newer version upgrades while it runs."""

import asyncio
from pathlib import Path

from sqlalchemy import text

from connectory.store import Store
from sources.onyx import SOURCE as ONYX
from tests.e2e.program import configuration, serving, system


async def test_it_ends_with_a_sentence(store_url: str, tmp_path: Path) -> None:
    file = configuration(tmp_path, store_url, system(ONYX, "onyx", "http://127.0.0.1:1"), poll_interval=1.0)
    store = Store(store_url)
    try:
        async with serving(file) as program:
            await program.ready()
            async with store.write() as connection:
                await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            assert await asyncio.wait_for(program.process.wait(), 60) == 1
    finally:
        await store.close()
    assert "connectory: store " in program.output
    assert "is at revision 9999, which this version of connectory does not know" in program.output
    assert "Traceback" not in program.output
