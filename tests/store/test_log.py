"""The change log: no gaps, and nobody who reads on by position ever skips a line."""

import asyncio
import sys

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from connectory.store import Store
from connectory.store.tables import EVENTS, LOG_HEAD
from connectory.store.writes.rows import append_events
from tests.paths import ROOT
from tests.store.writers import LINES, Undone, line, write


async def tail(store: Store, until: int) -> list[tuple[int, str, str]]:
    """Read on from the newest position seen, as a subscription does, as fast as can be."""
    seen: list[tuple[int, str, str]] = []
    while len(seen) < until:
        beyond = seen[-1][0] if seen else 0
        statement = select(EVENTS.c.position, EVENTS.c.system_id, EVENTS.c.message)
        async with store.read() as connection:
            found = await connection.execute(statement.where(EVENTS.c.position > beyond).order_by(EVENTS.c.position))
            seen += [tuple(row) for row in found]
        await asyncio.sleep(0)
    return seen


def complete(seen: list[tuple[int, str, str]], writers: list[str]) -> None:
    assert [position for position, _, _ in seen] == list(range(1, len(writers) * LINES + 1))
    for writer in writers:
        assert [int(number) for _, who, number in seen if who == writer] == list(range(LINES))


async def test_two_writers_and_a_reader_that_never_skips(store: Store, store_url: str) -> None:
    other, readers = Store(store_url), Store(store_url)
    try:
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            reading = [group.create_task(tail(readers, 3 * LINES)) for _ in range(2)]
            group.create_task(write(store, "a", 1))
            group.create_task(write(store, "b", 2))
            group.create_task(write(other, "c", 3))
    finally:
        await other.close()
        await readers.close()
    for task in reading:
        complete(task.result(), ["a", "b", "c"])


async def test_writers_in_other_processes(store: Store, store_url: str) -> None:
    pipes = dict.fromkeys(("stdin", "stdout"), asyncio.subprocess.PIPE)
    command = [sys.executable, "-m", "tests.store.writers", store_url]
    started = [await asyncio.create_subprocess_exec(*command, writer, cwd=ROOT, **pipes) for writer in ("x", "y")]
    try:
        async with asyncio.timeout(120):
            for process in started:
                assert process.stdout is not None
                assert await process.stdout.readline() == b"ready\n"
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(tail(store, 3 * LINES))
                group.create_task(write(store, "z", 5))
                for process in started:
                    group.create_task(process.communicate(b"go\n"))
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()
    complete(reading.result(), ["x", "y", "z"])


async def test_a_rolled_back_transaction_gives_its_positions_back(store: Store) -> None:
    async with store.write() as connection:
        assert await append_events(connection, [line("a", 1), line("a", 2)]) == 2

    async def change_ones_mind() -> None:
        async with store.write() as connection:
            assert await append_events(connection, [line("a", 3)] * 5) == 7
            raise Undone

    with pytest.raises(Undone):
        await change_ones_mind()
    async with store.write() as connection:
        assert await append_events(connection, [line("a", 3)]) == 3


async def test_a_snapshot_does_not_see_what_comes_after_it(store: Store) -> None:
    async with store.read() as reading:
        head = select(LOG_HEAD.c.position)
        assert (await reading.execute(head)).scalar_one() == 0
        async with store.write() as connection:
            await append_events(connection, [line("a", 1)])
        assert (await reading.execute(head)).scalar_one() == 0
        assert (await reading.execute(select(EVENTS))).all() == []
    async with store.read() as reading:
        assert (await reading.execute(head)).scalar_one() == 1


async def test_more_lines_than_a_statement_holds(store: Store) -> None:
    async with store.write() as connection:
        assert await append_events(connection, [line("a", n) for n in range(1_203)]) == 1_203
    async with store.read() as connection:
        found = (await connection.execute(select(EVENTS.c.position).order_by(EVENTS.c.position))).scalars().all()
    assert list(found) == list(range(1, 1_204))


async def test_the_log_takes_no_position_twice(store: Store) -> None:
    async with store.write() as connection:
        await append_events(connection, [line("a", 1)])
        with pytest.raises(IntegrityError):
            await connection.execute(insert(EVENTS), [{"position": 1, **line("a", 2)}])
        await connection.rollback()
