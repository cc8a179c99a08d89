"""What a process takes: memory, and turns of the event loop that are too long."""

import asyncio
import contextlib
import gc
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

#: Seconds between two looks at the event loop.
_TICK = 0.005


def say(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def resident() -> float:
    """MB that this process holds now; where the system does not tell, the most that it ever held."""
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    return peak()


def peak() -> float:
    """MB that this process held at most.

    The kernel's own mark is read where there is one: what ``getrusage`` tells a young process may be its parent's.
    """
    with contextlib.suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


async def weigh() -> dict[str, float]:
    """What this process has taken so far: ``seconds`` of processors, all threads and the kernel's part included, and
    ``megabytes`` that it holds."""
    return {"seconds": time.process_time(), "megabytes": resident()}


class Holds:
    """How long the event loop kept everybody waiting at most, in seconds.

    ``worst_own``: by its own work, in processor time of its thread, garbage collection left out: what a machine does
    besides is not in it.
    """

    def __init__(self) -> None:
        self._collected, self._began = 0.0, 0.0
        self.reset()

    def reset(self) -> None:
        self.worst = self.worst_own = 0.0

    async def watch(self) -> None:
        gc.callbacks.append(self._collect)
        try:
            while True:
                before, spent, collected = time.monotonic(), time.thread_time(), self._collected
                await asyncio.sleep(_TICK)
                held = time.monotonic() - before - _TICK
                own = min(held, time.thread_time() - spent) - (self._collected - collected)
                self.worst, self.worst_own = max(self.worst, held), max(self.worst_own, own)
        finally:
            gc.callbacks.remove(self._collect)

    def _collect(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self._collected += max(0.0, time.thread_time() - self._began)


@asynccontextmanager
async def holds() -> AsyncIterator[Holds]:
    """Watched for as long as the block runs."""
    watched = Holds()
    task = asyncio.create_task(watched.watch(), name="watch holds")
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.wait([task])
