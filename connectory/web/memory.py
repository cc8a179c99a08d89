"""What the C library does with memory that we have freed."""

import asyncio
import ctypes

#: Options of mallopt(3) in glibc → bytes, or a number. Setting the threshold ends its growing by itself, up to 32 MiB.
_OPTIONS = {-3: 128 << 10, -1: 128 << 10, -8: 2}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX

#: Seconds between two times that free memory is given back.
EVERY = 5.0


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
    """Have glibc give back what is free between blocks that stay, again and again; until cancelled. By itself it gives
    back only what lies at the end. It takes up to some milliseconds, in a thread. Does nothing where the C library has
    no such function."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    while True:
        await asyncio.sleep(EVERY)
        await asyncio.to_thread(trim, 0)
