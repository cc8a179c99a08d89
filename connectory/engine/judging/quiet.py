"""When a counter moved, and how long it stood still between."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from connectory.engine.judging.views import Sample


def moves(samples: Sequence[Sample]) -> list[Sample]:
    """The samples at which the value was another than before, the first one among them; repetitions are left out."""
    found: list[Sample] = []
    for sample in samples:
        if not found or sample.processed != found[-1].processed:
            found.append(sample)
    return found


def last_move(samples: Sequence[Sample]) -> datetime | None:
    """When the value was last seen to become another; None when it never was: the oldest sample is no movement."""
    seen = moves(samples)
    return seen[-1].at if len(seen) > 1 else None


def longest_quiet(samples: Sequence[Sample], begin: datetime, end: datetime) -> float | None:
    """Seconds of the longest stretch between ``begin`` and ``end`` in which the counter stood still.

    The wait for the first movement and the one after the last count as well. None without samples. A clock that was set
    back makes a stretch shorter, never negative.
    """
    if not samples:
        return None
    times = [begin, *(sample.at for sample in moves(samples)), end]
    return max(0.0, *((later - earlier).total_seconds() for earlier, later in pairwise(times)))
