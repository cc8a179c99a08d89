"""``kill -9`` at each turn of a notice's way: none is lost, and none is made twice.

Size: 3 turns; FULL=1: 9 on each kind of store.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from connectory.model import NoticeKind, SystemHealth
from connectory.store import Store
from connectory.store.reads.records import DOWN
from connectory.store.tables import SYSTEMS
from sources.onyx import SOURCE as ONYX
from sources.simulation import FAULTS, Clock, serve
from tests.e2e.program import configuration, serving, system
from tests.notices.receiver import SECRET, Receiver
from tests.notices.scene import deliveries, notices
from tests.notices.test_gateways import delivered
from tests.proofs.size import size
from tests.wait import until

#: Where kills land: before a notice is made, before it is sent, while it is being sent.
_MOMENTS = size(
    {"sqlite": ("seen", "sent"), "postgresql": ("made",)},
    dict.fromkeys(("sqlite", "postgresql"), ("seen", "made", "sent") * 3),
)


async def test_kill_9_loses_no_notice_and_makes_none_twice(store_url: str, tmp_path: Path) -> None:
    """The program is killed at each of its turns while a system goes down and comes back."""
    receiver, moments = Receiver(), _MOMENTS[store_url.partition(":")[0]]
    assert ONYX.simulator is not None
    upstream = ONYX.simulator(seed=4, clock=Clock())
    store = Store(store_url)
    await store.open()
    await store.upgrade()
    try:
        async with asyncio.timeout(size(170, 900)), serve(upstream) as running, receiver.serving():
            file = configured_program(tmp_path, store_url, running.url, receiver)
            turns = [(moment, is_down) for moment in moments for is_down in (True, False)]
            for number, (moment, is_down) in enumerate(turns):
                async with started(file):  # it goes on where the last one was killed
                    await until(health_is(store, is_down=not is_down), within=60)
                    receiver.open.set()
                    await until(delivered(store, number), within=60)
                    receiver.open.clear()
                    upstream[FAULTS].html_status = 503 if is_down else None
                    await until(turn(store, moment, number + 1, is_down), within=60, every=0.002)
            async with started(file):
                receiver.open.set()
                await until(delivered(store, len(turns)), within=60)
        rows = [row for row in await notices(store) if row["kind"] is NoticeKind.SYSTEM_DOWN]
    finally:
        await store.close()
    assert len(rows) == len(moments)
    phases = {message.id: message.told["phase"] for message in receiver.got}
    assert list(phases.values()) == ["RAISED", "RECOVERED"] * len(moments)
    assert len(receiver.got) == len(phases), "none of them was killed between an answer and its writing down"


def configured_program(folder: Path, store_url: str, upstream: str, receiver: Receiver) -> Path:
    engine = {"poll_interval": 1.0, "live_interval": 0.5, "max_backoff": 1.0}
    file = configuration(folder, store_url, system(ONYX, "onyx", upstream), **engine)
    hook = {"name": "pager", "url": receiver.url, "secret": SECRET, "conditions": ["SYSTEM_DOWN"], "timeout": 1.0}
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in hook.items())
    file.write_text(f"{file.read_text()}\n[[notices]]\n{keys}\n")
    return file


@asynccontextmanager
async def started(file: Path) -> AsyncIterator[None]:
    """The program, killed at the end of the block."""
    async with serving(file) as program:
        await program.ready()
        yield


def health_is(store: Store, *, is_down: bool) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        async with store.read() as connection:
            health = (await connection.execute(select(SYSTEMS.c.health))).scalar()
        return health in DOWN if is_down else health is SystemHealth.UP

    return look


def turn(store: Store, moment: str, number: int, is_down: bool) -> Callable[[], Awaitable[Any]]:
    async def made() -> bool:
        return len(await deliveries(store)) == number

    async def sent() -> bool:
        rows = await deliveries(store)
        return len(rows) == number and rows[-1]["attempts"] > 0

    return {"seen": health_is(store, is_down=is_down), "made": made, "sent": sent}[moment]
