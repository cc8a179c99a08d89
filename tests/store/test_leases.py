"""Leases as rows: who may take one, and when; on both stores where both can have it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import SQLAlchemyError

from connectory.store import Store, StoreTooNew
from connectory.store.database import StoreUpgraded
from connectory.store.leases.process import has_ended, this_process
from connectory.store.leases.rows import NOTICES_LEASE, Lease, LeaseLost
from connectory.store.postgres import lock_key
from connectory.store.tables import LEASES, NOTIFIER, SYSTEMS
from connectory.store.writes.registration import Registration, register_systems
from tests.engine.stage import rows
from tests.wait import PATIENCE, until

DOCS = "system:docs"
#: Seconds.
SHORT = 0.4


@pytest.fixture
async def pair(store_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes on one store, as far as it can tell; a lease lasts for moments."""
    async with opened(store_url) as one, opened(store_url) as two:
        await register_systems(one, [Registration("docs", "scripted", (), 90.0)])
        yield one, two


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = Store(url)
    store.leases.expiry = SHORT
    try:
        await store.open()
        yield store
    finally:
        async with asyncio.timeout(PATIENCE):
            await store.close()


async def stand_still(store: Store) -> None:
    """As one does that was stopped: it renews nothing, and keeps its session."""
    keeping = store.leases._keeping
    assert keeping is not None
    keeping.cancel()
    await asyncio.wait([keeping])


async def taken(store: Store, name: str = DOCS) -> Lease:
    async def look() -> Lease | None:
        return await store.leases.hold(name)

    found = await until(look)
    assert found is not None
    return found


async def test_who_renews_keeps_its_lease(pair: tuple[Store, Store]) -> None:
    one, two = pair
    lease = await one.leases.hold(DOCS)
    first = (await rows(one, LEASES))[0]

    async def renewed() -> bool:
        assert await two.leases.hold(DOCS) is None
        return bool((await rows(one, LEASES))[0]["renewed_at"] > first["renewed_at"] + timedelta(seconds=2 * SHORT))

    await until(renewed)
    assert await one.leases.hold(DOCS) == lease
    assert (await rows(one, LEASES))[0]["since"] == first["since"]
    holder = two.leases.holder(DOCS)
    assert holder is not None
    assert str(holder).startswith(f"{first['host']} pid {os.getpid()} since 20")


async def test_who_stands_still_is_replaced_and_writes_no_more(pair: tuple[Store, Store]) -> None:
    one, two = pair
    old = await taken(one)
    await stand_still(one)
    new = await taken(two)
    assert new.fence > old.fence
    assert [row["fence"] for row in await rows(one, SYSTEMS)] == [new.fence]
    assert one.leases.held(DOCS) is None, "it cannot be sure of it any more"
    with pytest.raises(LeaseLost):
        async with one.leases.guarded(old):
            pytest.fail("it may not write")
    async with two.leases.guarded(new) as connection:
        await connection.execute(update(SYSTEMS).values(kind="written"))


async def test_a_lease_is_given_back_at_the_end(pair: tuple[Store, Store]) -> None:
    one, two = pair
    one.leases.expiry = two.leases.expiry = 3600.0
    await taken(one)
    assert await two.leases.hold(DOCS) is None
    await one.close()
    assert (await rows(two, LEASES))[0]["holder"] is None
    two.leases.expiry = SHORT
    assert (await taken(two)).fence == 2


async def test_notices_have_a_fence_of_their_own(pair: tuple[Store, Store]) -> None:
    one, two = pair
    old = await taken(one, NOTICES_LEASE)
    await stand_still(one)
    new = await taken(two, NOTICES_LEASE)
    assert [row["fence"] for row in await rows(one, NOTIFIER)] == [new.fence]
    with pytest.raises(LeaseLost):
        async with one.leases.guarded(old):
            pytest.fail("it may not write")


async def test_whoever_takes_over_waits_for_who_writes(pair: tuple[Store, Store]) -> None:
    """The holder gives its lease back while a commit of it is under way."""
    one, two = pair
    lease = await taken(one)
    async with one.leases.guarded(lease) as connection:
        if one.is_sqlite:  # a transaction of the holder's itself is what keeps its lease
            await asyncio.sleep(2 * SHORT)
        else:
            await stand_still(one)
            await one.leases._table.close()
            asked = asyncio.create_task(two.leases.hold(DOCS))
            done, _ = await asyncio.wait([asked], timeout=SHORT)
            assert not done or asked.result() is None
        await connection.execute(update(SYSTEMS).values(kind="written"))
    if one.is_sqlite:
        assert await two.leases.hold(DOCS) is None
        assert await one.leases.hold(DOCS) == lease
    else:
        assert (await taken(two)).fence > lease.fence
    assert (await rows(two, SYSTEMS))[0]["kind"] == "written"


async def test_what_stands_still_in_a_transaction_is_ended_with_its_locks(postgres_url: str) -> None:
    async with opened(postgres_url) as one, opened(postgres_url) as two:
        await register_systems(one, [Registration("docs", "scripted", (), 90.0)])
        old = await taken(one)

        async def write() -> None:
            async with one.leases.guarded(old) as connection:
                await connection.execute(update(SYSTEMS).values(kind="never"))
                await stand_still(one)
                assert (await taken(two)).fence > old.fence

        with pytest.raises(SQLAlchemyError):
            await write()
        assert (await rows(two, SYSTEMS))[0]["kind"] == "scripted"


async def test_a_taker_that_stopped_half_way_is_ended_too(postgres_url: str) -> None:
    """It has the advisory lock, and no row tells of it."""
    async with opened(postgres_url) as store:
        half = await asyncpg.connect(postgres_url, timeout=10)
        try:
            await half.execute("SELECT pg_advisory_lock($1)", lock_key(DOCS))
            assert (await taken(store)).fence == 1
        finally:
            half.terminate()


# ---- SQLite: by the holder's process and the clock

_HOLD = """
import asyncio, sys
from connectory.store import Store

async def main():
    store = Store(sys.argv[1])
    await store.open()
    print((await store.leases.hold("system:docs")).fence, flush=True)
    sys.stdin.readline()

asyncio.run(main())
"""


@asynccontextmanager
async def holding(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that has the lease."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout"), asyncio.subprocess.PIPE)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _HOLD, url, **pipes)
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"1\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_holder_that_was_killed_has_nothing_at_once(sqlite_url: str) -> None:
    async with opened(sqlite_url) as store:
        async with holding(sqlite_url) as process:
            assert await store.leases.hold(DOCS) is None
            assert (await rows(store, LEASES))[0]["pid"] == process.pid
            process.kill()
            await process.wait()
        assert (await taken(store)).fence == 2


async def test_a_renewal_that_lies_in_the_future_has_expired(sqlite_url: str) -> None:
    async with opened(sqlite_url) as one, opened(sqlite_url) as two:
        await taken(one)
        await stand_still(one)
        far = timedelta(days=1)
        async with one.write() as connection:
            row = (await rows(one, LEASES))[0]
            ahead = {"renewed_at": row["renewed_at"] + far, "expires_at": row["expires_at"] + far}
            await connection.execute(update(LEASES).values(**ahead))
        assert (await taken(two)).fence == 2


def test_a_process_is_known_by_its_start() -> None:
    own = this_process()
    assert not has_ended(own)
    assert not has_ended(replace(own, host="another machine", pid=2**22))
    assert not has_ended(replace(own, birth="another space 1"))
    if own.birth:
        assert has_ended(replace(own, birth=f"{own.birth}0")), "the pid was given anew"
    assert has_ended(replace(own, pid=2**22 + 1))


# ---- the schema's revision


async def test_nothing_is_written_once_a_newer_version_has_upgraded_the_store(pair: tuple[Store, Store]) -> None:
    old, newer = pair
    lease = await taken(old)
    async with newer.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for write in (old.write, lambda: old.write(hurried=True), lambda: old.leases.guarded(lease)):
        with pytest.raises(StoreTooNew, match=r"revision 9999.*newer version"):
            async with write():
                pytest.fail("it may not write")
    with pytest.raises(StoreUpgraded) as raised:
        await asyncio.wait_for(old.until_upgraded(), PATIENCE)
    assert raised.value.status == 1


async def test_leases_are_neither_taken_nor_renewed_then(pair: tuple[Store, Store]) -> None:
    old, newer = pair
    await taken(old)
    async with newer.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUpgraded):  # told by the next renewal
        await asyncio.wait_for(old.until_upgraded(), PATIENCE)
