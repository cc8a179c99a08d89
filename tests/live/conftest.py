"""What several modules of tests stand on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectory.store import Store
from tests.api.world import begin
from tests.live.alone import Ground
from tests.wait import until


@pytest.fixture
async def ground(store: Store) -> AsyncIterator[Ground]:
    ground = Ground(store, await begin(store))
    ground.go_on()
    await ground.move()
    yield ground
    await ground.live.close()
    assert (ground.live.broadcasts, ground.live.subscribers, ground.watches.ids) == (0, 0, [])
    await ground.stand_still()

    async def nobody_left() -> bool:
        return {task.get_name() for task in asyncio.all_tasks()}.isdisjoint(
            {"subscriber", "broadcast", "live snapshot"}
        )

    await until(nobody_left)
