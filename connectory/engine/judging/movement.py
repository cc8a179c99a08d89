"""How a counter moves: when it did last, how long it was watched in between, and how fast it grows."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from connectory.engine.judging.views import Gap, Sample

#: Seconds that are looked back at least and at most: an hour ago is no rate of now.
_SHORTEST, _LONGEST = 300.0, 1800.0
#: A counter that moves rarely is looked at over so many of its usual steps.
_STEPS = 4
#: The newest steps tell what is usual.
_RECENT = 9


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


def rate_per_second(samples: Sequence[Sample], now: datetime, gaps: Iterable[Gap] = ()) -> float | None:
    """Documents or records a second over the last five minutes; over four steps, up to half an hour, of a slow counter.

    A standstill counts: from its beginning the rate sinks, and it is 0 once the window holds nothing else. Never
    negative: a counter that fell was set back and begins anew there. None with fewer than two samples, and while they
    span no time. What it did in a gap counts as done evenly.
    """
    recent = _since_reset(samples)
    if len(recent) < 2:
        return None
    start = max(recent[0].at, now - timedelta(seconds=_window(recent)))
    seconds = (now - start).total_seconds()
    if seconds <= 0:
        return None
    return (recent[-1].processed - _value_at(start, recent, gaps)) / seconds


def _value_at(moment: datetime, samples: Sequence[Sample], gaps: Iterable[Gap]) -> float:
    """Of a counter that is not younger than that."""
    place = bisect_right(samples, moment, key=lambda sample: sample.at)
    before = samples[place - 1]
    if place == len(samples):
        return before.processed
    after = samples[place]
    begin = max((gap.begin for gap in gaps if gap.begin < after.at <= gap.end), default=after.at)
    if moment <= begin:
        return before.processed
    return before.processed + (after.processed - before.processed) * ((moment - begin) / (after.at - begin))


def _window(samples: Sequence[Sample]) -> float:
    steps = [(later.at - earlier.at).total_seconds() for earlier, later in pairwise(moves(samples)[-_RECENT:])]
    return min(max(_SHORTEST, _STEPS * median(steps)), _LONGEST) if steps else _SHORTEST


def _since_reset(samples: Sequence[Sample]) -> Sequence[Sample]:
    """From the last sample that was lower than the one before it. One that is dated earlier begins anew as well."""
    for index in range(len(samples) - 1, 0, -1):
        before, sample = samples[index - 1], samples[index]
        if sample.processed < before.processed or sample.at < before.at:
            return samples[index:]
    return samples
