"""A client that stops reading costs nobody anything, and finds what it needs when it reads on.

Size: 10,000 events of 33 MB; FULL=1: the same.
"""

from collections.abc import AsyncIterator

import pytest

from tests.live.pausing import Pausing, Size, SlowReaders, pausing

SIZE = Size(rows=10_000, at_once=500, fat=4400, settled=2500, flat=5_000_000)


@pytest.fixture
async def scene(store_url: str) -> AsyncIterator[Pausing]:
    async with pausing(store_url, SIZE) as found:
        yield found


class TestSlowReaders(SlowReaders):
    pass
