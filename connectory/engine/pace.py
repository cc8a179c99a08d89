"""What a poll's outcome means for its system: its health, and when to ask again. Pure; chance is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from connectory.model import EventKind, Problem, SystemErrorCode, SystemHealth
from connectory.store.reads.records import DOWN
from sources.base import SourceError

#: Seconds, a year: no calendar holds the moment that a Retry-After of 1e300 asks for.
_LONGEST_WAIT = 365 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemState:
    """A system as its polls left it; the columns of the systems table that polls write."""

    health: SystemHealth = SystemHealth.UNKNOWN
    last_poll_at: datetime | None = None
    last_success_at: datetime | None = None
    observed_at: datetime | None = None
    next_poll_at: datetime | None = None
    down_since: datetime | None = None
    consecutive_failures: int = 0
    error_code: SystemErrorCode | None = None
    error_message: str | None = None
    error_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to ask; all in seconds."""

    poll_interval: float
    max_backoff: float
    auth_probe_interval: float


def after_answer(
    before: SystemState, problems: Sequence[Problem], *, complete: bool, started: datetime, now: datetime, pace: Pace
) -> SystemState:
    """The state after a poll that read the list: UP when nothing was amiss, else DEGRADED with the first problem.

    ``started`` is when the poll began to look: what it saw is no older than that.
    """
    fine = complete and not problems
    error = problems[0] if problems else None
    wait = max(pace.poll_interval, asked_to_wait(problems))
    return SystemState(
        health=SystemHealth.UP if fine else SystemHealth.DEGRADED,
        last_poll_at=started,
        last_success_at=started if fine else before.last_success_at,
        observed_at=started,
        next_poll_at=now + timedelta(seconds=wait),
        error_code=error.code if error else None,
        error_message=_together(problems),
        error_at=now if error else None,
    )


def after_failure(
    before: SystemState, problem: Problem, *, started: datetime, now: datetime, pace: Pace, chance: Random
) -> SystemState:
    """The state after a poll that read nothing."""
    failures = before.consecutive_failures + 1
    health = _failed_health(before, problem, failures)
    wait = pace.auth_probe_interval if health is SystemHealth.AUTH_FAILED else backoff(failures, pace, chance)
    wait = max(wait, asked_to_wait([problem]))
    return SystemState(
        health=health,
        last_poll_at=started,
        last_success_at=before.last_success_at,
        observed_at=before.observed_at,
        next_poll_at=now + timedelta(seconds=wait),
        down_since=(before.down_since or now) if health in DOWN else None,
        consecutive_failures=failures,
        error_code=problem.code,
        error_message=problem.message,
        error_at=now,
    )


def asked_to_wait(problems: Sequence[Problem]) -> float:
    """Seconds that the system asked us to wait; 0 when it did not."""
    asked = max((problem.retry_after for problem in problems if problem.retry_after is not None), default=0.0)
    return min(asked, _LONGEST_WAIT)


def transition(before: SystemHealth, after: SystemHealth) -> EventKind | None:
    """What the log says of a change of health; None when there is none."""
    if before is after:
        return None
    if after in DOWN and before not in DOWN:
        return EventKind.SYSTEM_DOWN
    if before in DOWN and after not in DOWN:
        return EventKind.SYSTEM_RECOVERED
    return EventKind.SYSTEM_CHANGED


def problem_of(error: SourceError) -> Problem:
    """What a source that raised this cannot do."""
    code = getattr(error, "code", SystemErrorCode.MISMATCH)
    return Problem(code, str(error), getattr(error, "retry_after", None))


def backoff(failures: int, pace: Pace, chance: Random) -> float:
    """Seconds to wait after so many failures in a row: exponential, with jitter, from poll_interval to max_backoff."""
    ceiling = min(pace.max_backoff, pace.poll_interval * 2.0 ** min(failures, 32))
    return chance.uniform(pace.poll_interval, max(pace.poll_interval, ceiling))


def _failed_health(before: SystemState, problem: Problem, failures: int) -> SystemHealth:
    if problem.code is SystemErrorCode.AUTH_FAILED:
        return SystemHealth.AUTH_FAILED
    if problem.code is SystemErrorCode.RATE_LIMITED:  # an outage ends with an answer, not with another refusal
        return before.health if before.health in DOWN else SystemHealth.DEGRADED
    if failures >= 2 or before.observed_at is None:
        return SystemHealth.DOWN
    return SystemHealth.DEGRADED


def _together(problems: Sequence[Problem]) -> str | None:
    """The first problem's sentence, and how many more there are."""
    if not problems:
        return None
    more = len(problems) - 1
    return problems[0].message + (f" (and {more} more)" if more else "")
