"""When a counter moved, and how long somebody watched it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from connectory.engine.judging.views import Gap, Sample


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


def watched(begin: datetime, end: datetime, gaps: Iterable[Gap]) -> float:
    """Seconds between the two that lie in no gap; never negative, though a clock may be set back."""
    nothing = timedelta(0)
    unseen = sum((max(nothing, min(end, gap.end) - max(begin, gap.begin)) for gap in gaps), nothing)
    return max(0.0, (end - begin - unseen).total_seconds())
