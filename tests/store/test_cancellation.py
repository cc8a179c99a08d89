"""A client that goes away in the middle of a read must not take a connection with it."""

import asyncio
from random import Random

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.lanes import Lane
from connectory.store import Store
from connectory.store.reads.snapshot import open_snapshot
from connectory.store.tables import EVENTS, LOG_HEAD
from tests.facts import T0
from tests.slow import slowed

#: More than the pool of readers holds.
_TIMES = 200


async def test_reads_that_are_cut_short_leave_the_pool_as_it_was(store: Store) -> None:
    chance = Random(3)

    async def read() -> None:
        async with store.read(Lane.CLIENTS) as connection:
            await connection.execute(select(LOG_HEAD.c.position))
            await connection.execute(select(EVENTS))

    for _ in range(_TIMES):
        tasks = [asyncio.create_task(read()) for _ in range(3)]
        for _ in range(chance.randint(1, 60)):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    entered, most = 0, store.lanes[Lane.CLIENTS].size
    everybody = asyncio.Event()

    async def read_at_once() -> None:
        nonlocal entered
        async with store.read(Lane.CLIENTS) as connection:
            await connection.execute(select(LOG_HEAD.c.position))
            entered += 1
            if entered == most:
                everybody.set()
            await everybody.wait()

    await asyncio.wait_for(asyncio.gather(*(read_at_once() for _ in range(most))), 10)


async def test_no_old_snapshot_is_left(store: Store) -> None:
    """After reads were cut short, every further read sees the present."""
    chance = Random(4)

    async def read() -> int:
        async with store.read(Lane.CLIENTS) as connection:
            position: int = (await connection.execute(select(LOG_HEAD.c.position))).scalar_one()
            return position

    for number in range(1, 40):
        tasks = [asyncio.create_task(read()) for _ in range(8)]
        for _ in range(chance.randint(1, 60)):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        async with store.write() as connection:
            await connection.execute(text("UPDATE log_head SET position = :number"), {"number": number})
        assert set(await asyncio.wait_for(asyncio.gather(*(read() for _ in range(8))), 10)) == {number}


async def test_a_snapshot_that_is_closed_in_the_middle_gives_a_sound_connection_back(store: Store) -> None:
    """Interrupted at every stage of its first statement, with which its transaction begins, and of another."""
    chance = Random(5)
    statement = select(EVENTS.c.position).order_by(EVENTS.c.position)
    with slowed("ORDER BY events.position") as slow:
        for turns in range(40):

            async def read() -> None:
                async with open_snapshot(store, T0) as snapshot:
                    await snapshot.fetch(statement)

            task = asyncio.create_task(read())
            for _ in range(turns * 3):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                await slow.has_begun(slow.begun or 1)
            task.cancel()
            await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 10)
    for _ in range(10):
        async with open_snapshot(store, T0) as snapshot:
            assert await snapshot.fetch(statement) == []


async def test_what_is_interrupted_is_what_was_under_way(store: Store) -> None:
    """However often: what is sent on the same connection afterwards, and on others meanwhile, is not concerned."""

    async def number(connection: AsyncConnection) -> int:
        found: int = (await connection.execute(text("SELECT 7"))).scalar_one()
        return found

    async with store.read() as connection, store.read() as other:
        assert await number(connection) == 7
        for _ in range(20):
            await store.interrupt(connection)
            assert await number(other) == 7
            assert await number(connection) == 7
