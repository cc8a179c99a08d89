"""How long is too long: documented defaults, and how a connector's own past moves them. All times in seconds.

The past only ever raises a limit: what a connector did before and came out of well is no reason for an alarm. Of ten
values the highest may be an accident: a single bad day does not blind the judgement for ever.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median

from connectory.engine.judging.expectation import typical
from connectory.engine.judging.views import ConnectorView, JobView, Run, SystemView
from connectory.model import SUCCEEDED, JobTrigger, JobType

#: The longest pause and the longest wait of the past, times this.
_PAST = 2.0
#: Polls that a limit lasts for at least: fewer see too little.
_POLLS = 3
#: A rhythm takes so many starts.
_STARTS = 4
#: Where the distances of past runs differ: the usual longest one, times this.
_LONGEST_GAP = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The defaults; ``[conditions]`` of the configuration."""

    #: a job waits: QUEUED and QUEUED_BEHIND; also how long it has to wait before NO_WORKER is looked for
    queued: float = 120.0
    #: a worker is silent: NO_WORKER. Elastic's gives a sign of life about every 5 minutes (elastic.md §5)
    no_worker: float = 600.0
    #: counters stand still: NO_PROGRESS
    no_progress: float = 900.0
    #: a running job gives no sign of life: HEARTBEAT_LOST. Elastic's last_seen moves every 5 minutes (elastic.md §7)
    heartbeat: float = 600.0
    #: a checkpoint is held back: BLOCKS_CHECKPOINT
    checkpoint: float = 600.0
    #: errors grew within this time: PARSE_ERRORS and TRANSPORT_ERRORS
    error_window: float = 300.0
    #: no run began: OVERDUE, never sooner than this after the moment that it was due
    overdue_least: float = 600.0
    #: × the median distance of past starts: OVERDUE
    overdue_factor: float = 2.0
    #: × the distance that a schedule promises: OVERDUE
    schedule_factor: float = 1.5
    #: failures in a row: REPEATED_FAILURES, WARNING
    failures: int = 2
    #: failures in a row: REPEATED_FAILURES, CRITICAL
    failures_critical: int = 5
    #: × the limit: NO_PROGRESS becomes CRITICAL
    critical_factor: float = 4.0


def usual_longest(values: Iterable[float]) -> float | None:
    """The longest, one in ten left out; None of none."""
    ordered = sorted(values, reverse=True)
    return ordered[len(ordered) // 10] if ordered else None


def queued_after(connector: ConnectorView, thresholds: Thresholds) -> float:
    """A job may wait as long as its forerunners did, twice over."""
    waits = [
        (run.started_at - run.created_at).total_seconds()
        for run in connector.runs
        if run.created_at is not None and run.started_at is not None and run.started_at >= run.created_at
    ]
    return max(thresholds.queued, _PAST * (usual_longest(waits) or 0.0))


def stalled_after(job: JobView, connector: ConnectorView, system: SystemView, thresholds: Thresholds) -> float:
    """Counters may stand still twice as long as in past runs of this type that succeeded, or as earlier in this one.

    The pauses of a stream say nothing: it may have had nothing to do.
    """
    least = max(thresholds.no_progress, _POLLS * system.poll_interval)
    if job.type is JobType.STREAM:
        return least
    past = usual_longest(
        run.longest_stall
        for run in connector.runs
        if run.longest_stall is not None and run.status in SUCCEEDED and run.type is job.type
    )
    return max(least, _PAST * max(past or 0.0, job.longest_stall or 0.0))


def silent_after(limit: float, system: SystemView) -> float:
    """A sign of life is as old as our last poll at best."""
    return max(limit, _POLLS * system.poll_interval)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How far apart runs may be, in seconds: from start to start, and from the end of one to the start of the next."""

    basis: str
    usual: float
    between_starts: float
    after_end: float


def rhythm(connector: ConnectorView, thresholds: Thresholds) -> Rhythm | None:
    """From the schedule where the upstream tells one, else from at least four past starts.

    None without either, and where the starts have no rhythm. Runs that somebody asked for are none.
    """
    runs = [run for run in connector.runs if run.trigger is not JobTrigger.ON_DEMAND]
    starts = sorted({run.started_at for run in runs if run.started_at is not None})
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)] if len(starts) >= _STARTS else []
    pauses = _pauses(runs, starts) if gaps else []
    if connector.schedule_seconds:
        usual = pause = connector.schedule_seconds
        basis, factor = "SCHEDULE", thresholds.schedule_factor
    else:
        found = typical(gaps)
        if found is None:
            return None
        usual, pause = found, median(pauses) if pauses else found
        basis, factor = "PAST_RUNS", thresholds.overdue_factor
    between, after = (
        max(each * factor, each + thresholds.overdue_least, _LONGEST_GAP * (usual_longest(past) or 0.0))
        for each, past in ((usual, gaps), (pause, pauses))
    )
    return Rhythm(basis, usual, between, after)


def _pauses(runs: Iterable[Run], starts: Sequence[datetime]) -> list[float]:
    """From the end of each run to the next start after it."""
    ends = [run.completed_at for run in runs if run.completed_at is not None]
    following = [(end, bisect_right(starts, end)) for end in ends]
    return [(starts[place] - end).total_seconds() for end, place in following if place < len(starts)]
