"""What something costs the rest of the program: processor time without a turn of the event loop, and memory."""

import asyncio
import gc
import os
import resource
import sys
import time
from pathlib import Path
from typing import Self

_STATM = Path("/proc/self/statm")


def _memory() -> int:
    """Bytes that this process holds; where that cannot be told, the most that it has ever held."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Ticker:
    """``async with Ticker() as ticker``: measures from then on.

    A gap is measured in processor time of the event loop's own thread: what others do on the machine does not count.
    """

    def __init__(self) -> None:
        #: seconds
        self.longest_gap = 0.0
        #: bytes
        self.growth = 0

    async def __aenter__(self) -> Self:
        gc.collect()
        gc.freeze()  # the collector need not walk over what other tests have left
        self._start = _memory()
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        gc.unfreeze()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _tick(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.005)
            now = time.thread_time()
            self.longest_gap = max(self.longest_gap, now - last)
            self.growth = max(self.growth, _memory() - self._start)
            last = now
