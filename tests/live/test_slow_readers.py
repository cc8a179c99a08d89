"""A client that stops reading costs nobody anything, and finds what it needs when it reads on.

``tests/proofs/test_slow_readers.py`` shows the same for much more that is not read.
"""

from collections.abc import AsyncIterator

import pytest

from tests.live.pausing import Pausing, Size, pausing

#: The kernel, the gateway's transport and the client's own buffers take about 200 kB for a connection that nobody
#: reads. What is not read has to be so much more that keeping it would show: 6.5 MB here, which would be told from the
#: 2 MB or so that a process grows by for other reasons, as little as from what is under way. Half of the rows, and a
#: quarter of them, are still ten times what is under way. Fat rows make it cheap: each costs the same work.
SIZE = Size(rows=700, at_once=100, fat=13_000, settled=200, flat=2_500_000)


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
