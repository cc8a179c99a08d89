"""A client that stops reading costs nobody anything, and finds what it needs when it reads on.

``tests/proofs/test_slow_readers.py`` shows the same for much more that is not read, on both kinds of store.
"""

from collections.abc import AsyncIterator

import pytest

from tests.live.pausing import Pausing, Size, SlowReaders, pausing

#: The kernel, the gateway's transport and the client's own buffers take about 200 kB for a connection that nobody
#: reads. What is not read has to be so much more that it would show if it were kept: 3.9 MB once the process has
#: settled, of which a single copy is more than the 1 MB or so that it grows by anyway. A quarter of all rows is still
#: several times what the buffers take. Fat rows make it cheap: a row costs much the same whatever its size.
SIZE = Size(rows=500, at_once=100, fat=13_000, settled=200, flat=2_500_000)


@pytest.fixture
async def scene(sqlite_url: str) -> AsyncIterator[Pausing]:
    async with pausing(sqlite_url, SIZE) as found:
        yield found


class TestSlowReaders(SlowReaders):
    pass
