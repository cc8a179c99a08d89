"""What the C library does with memory that we have freed."""

import ctypes

#: Options of mallopt(3) in glibc → bytes, or a number. Setting the threshold ends its growing by itself, up to 32 MiB.
_OPTIONS = {-3: 128 << 10, -1: 128 << 10, -8: 2}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX


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
