"""How far a job has come and when it will end, worked out when it is read. Pure: the moment is an argument.

Null rather than a guess: an estimate that has run out is null, not 0, and so is one that lies too far ahead.
"""

from dataclasses import dataclass
from datetime import datetime

from connectory.model import EtaBasis, JobStatus

#: A job that runs is not done, whatever it has counted.
_HIGHEST_WHILE_OPEN = 99.0
#: Seconds that are looked ahead at most: what is further off, a few samples do not tell.
_LONGEST = 30 * 86_400.0
#: × how long past runs took: one that takes so much longer is not like them.
_UNLIKE = 10.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds until the end, above 0, and what they rest on; both nothing together."""

    seconds: float | None = None
    basis: EtaBasis = EtaBasis.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is known of a job's progress: columns of its row."""

    status: JobStatus
    processed: int | None = None
    #: the expected total, where the upstream tells one
    total: int | None = None
    #: as of ``counted_at``
    rate_per_second: float | None = None
    #: when ``processed`` was seen; None: it is as of now
    counted_at: datetime | None = None
    #: medians of past runs
    expected_seconds: float | None = None
    expected_processed: int | None = None
    started_at: datetime | None = None


NO_ESTIMATE = Estimate()


def percent(status: JobStatus, processed: int | None, total: int | None) -> float | None:
    """0 to 100 of a true total; None without one.

    An open job shows 99 at most: the last hundredth is its end. A job that has processed more than its total has none
    that is true.
    """
    if not total or total < 0 or processed is None or processed > total:
        return None
    share = 100.0 * processed / total
    return min(share, _HIGHEST_WHILE_OPEN) if status.open else share


def estimate(progress: Progress, now: datetime) -> Estimate:
    """Of a job that runs: from a true total and its rate, else from past runs of its connector and type.

    Past runs tell how much there is to do, and with the rate when that is done; as long as nothing was counted, how
    long it takes. A job that has outlived what they say, or has not moved, has no estimate; nor is there one of more
    than 30 days, or, by past runs, of ten times what they took.
    """
    if progress.status is not JobStatus.RUNNING or _stands_still(progress):
        return NO_ESTIMATE
    rate, processed = progress.rate_per_second, progress.processed
    target, basis = _target(progress)
    if target is not None and processed is not None and rate is not None:
        usual = progress.expected_seconds if basis is EtaBasis.PAST_RUNS else None
        return _estimate((target - processed) / rate - _age(progress, now), basis, usual)
    if progress.expected_seconds is not None and progress.started_at is not None:
        elapsed = max(0.0, (now - progress.started_at).total_seconds())
        return _estimate(progress.expected_seconds - elapsed, EtaBasis.PAST_RUNS)
    return NO_ESTIMATE


def _stands_still(progress: Progress) -> bool:
    """Whether it counts, and has not moved of late or at all."""
    return progress.processed == 0 if progress.rate_per_second is None else progress.rate_per_second <= 0


def _target(progress: Progress) -> tuple[int | None, EtaBasis]:
    """How much there is to do. A total that was passed is not true."""
    if progress.total is not None and (progress.processed or 0) <= progress.total:
        return progress.total, EtaBasis.TOTAL_KNOWN
    return progress.expected_processed, EtaBasis.PAST_RUNS


def _age(progress: Progress, now: datetime) -> float:
    """Seconds since ``processed`` was seen: the estimate sinks between two polls."""
    return 0.0 if progress.counted_at is None else max(0.0, (now - progress.counted_at).total_seconds())


def _estimate(seconds: float, basis: EtaBasis, usual: float | None = None) -> Estimate:
    longest = _LONGEST if usual is None else min(_LONGEST, _UNLIKE * usual)
    return Estimate(round(seconds, 1) or 0.1, basis) if 0 < seconds <= longest else NO_ESTIMATE
