"""How a lease is lost without its holder's knowledge. All that the walk knows of leases stands here."""

import asyncpg

from tests.wait import PATIENCE, until

_HOLDERS = (
    "FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


async def pass_lease(url: str) -> None:
    """Whoever holds a lease holds it no longer, and has not been told."""
    if url.startswith("sqlite"):
        return  # every process that asks is given it
    connection = await asyncpg.connect(url, timeout=PATIENCE)
    try:
        await connection.fetch(f"SELECT pg_terminate_backend(pid) {_HOLDERS}")

        async def is_free() -> bool:
            return not await connection.fetchval(f"SELECT count(*) {_HOLDERS}")

        await until(is_free, every=0.002)
    finally:
        await connection.close()
