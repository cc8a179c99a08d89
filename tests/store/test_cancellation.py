"""A client that goes away in the middle of a read must not take a connection with it."""

import asyncio
from random import Random

from sqlalchemy import select, text

from connectory.lanes import Lane
from connectory.store import Store
from connectory.store.tables import EVENTS, LOG_HEAD

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
