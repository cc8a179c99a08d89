"""What the C library does with memory that we have freed."""

import asyncio
import ctypes
import os
from pathlib import Path

#: Options of mallopt(3) in glibc → bytes, or a number. Setting the threshold ends its growing by itself, up to 32 MiB.
_OPTIONS = {-3: 128 << 10, -1: 128 << 10, -8: 2}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX

#: Seconds between two looks at how much memory we have, and the bytes by which it has to have grown.
_EVERY, _GROWTH = 5.0, 8 << 20
_STATM = Path("/proc/self/statm")


def return_what_is_freed() -> None:
    """Have large blocks go back to the system at once, and threads share their arenas; to be called before there are
    threads. As it is set by default, some hundred megabytes stay with us after a flood of large requests or answers.
    Does nothing where the C library has no such function."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in _OPTIONS.items():
        mallopt(option, value)


async def return_what_lies_between() -> None:
    """Have glibc give back what is free between blocks that stay, whenever we have grown; until cancelled. By itself it
    gives back only what lies at the end. It takes some milliseconds, in a thread. Does nothing where the C library has
    no such function, or the system does not say how large we are."""
    try:
        trim, least = ctypes.CDLL(None).malloc_trim, _resident()
    except (OSError, AttributeError):
        return
    while True:
        await asyncio.sleep(_EVERY)
        if _resident() > least + _GROWTH:
            await asyncio.to_thread(trim, 0)
            least = _resident()
        else:
            least = min(least, _resident())


def _resident() -> int:
    """Bytes."""
    return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
