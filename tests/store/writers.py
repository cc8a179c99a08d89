"""Writers of the log that take their time and change their mind; ``python -m tests.store.writers URL NAME`` is one."""

import asyncio
import sys
from random import Random
from typing import Any

from connectory.model import EventKind
from connectory.store import Store
from connectory.store.tables import EVENTS
from connectory.store.writes.rows import append_events
from tests.facts import T0

#: What each writer says, in a message of its own.
LINES = 60


def line(writer: str, number: int) -> dict[str, Any]:
    names = [column.name for column in EVENTS.c if column.name != "position"]
    return dict.fromkeys(names) | {"at": T0, "kind": EventKind.GAP, "system_id": writer, "message": str(number)}


class Undone(Exception):
    """The writer changed its mind."""


async def write(store: Store, writer: str, seed: int) -> None:
    """Lines in transactions of one to three that stay open for a while; one in three is rolled back and tried again."""
    chance = Random(seed)
    number = 0
    while number < LINES:
        lines = [line(writer, n) for n in range(number, min(LINES, number + chance.randint(1, 3)))]
        try:
            async with store.write() as connection:
                if chance.random() < 0.5:
                    await asyncio.sleep(chance.uniform(0, 0.004))
                await append_events(connection, lines)
                if chance.random() < 0.5:
                    await asyncio.sleep(chance.uniform(0, 0.004))
                if chance.random() < 1 / 3:
                    raise Undone
        except Undone:
            continue
        number += len(lines)


async def main() -> None:
    """Writes once it is told to."""
    store = Store(sys.argv[1])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    await write(store, sys.argv[2], 7)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
