"""A client that stops reading costs nobody anything, and finds what it needs when it reads on.

Size: 10,000 events of 33 MB; FULL=1: the same.
"""

from collections.abc import AsyncIterator

import pytest

from tests.live.pausing import Pausing, Size, pausing

SIZE = Size(rows=10_000, at_once=500, fat=4400, settled=2500, flat=5_000_000)


@pytest.fixture
async def scene(store_url: str) -> AsyncIterator[Pausing]:
    async with pausing(store_url, SIZE) as found:
        yield found


async def test_every_event_comes_in_order_to_one_who_paused(scene: Pausing) -> None:
    await scene.is_told_every_event_in_order()


async def test_the_newest_state_and_the_end_come_to_one_who_paused(scene: Pausing) -> None:
    await scene.is_told_the_newest_state_and_the_end()


async def test_the_end_comes_though_it_fell_into_the_pause(scene: Pausing) -> None:
    await scene.is_told_the_end_that_fell_into_the_pause()
