"""What a poll's outcome means for its system, and when to ask again."""

from random import Random
from typing import Any

import pytest

from connectory.engine.pace import Pace, SystemState, after_answer, after_failure, asked_to_wait, transition
from connectory.model import EventKind, Problem, SystemErrorCode, SystemHealth
from tests.facts import T0, at

UP, DEGRADED, DOWN, AUTH_FAILED, UNKNOWN = SystemHealth
PACE = Pace(poll_interval=15.0, max_backoff=60.0, auth_probe_interval=300.0)
REFUSED = Problem(SystemErrorCode.UNREACHABLE, "connection refused")
REJECTED = Problem(SystemErrorCode.AUTH_FAILED, "401")
LIMITED = Problem(SystemErrorCode.RATE_LIMITED, "slow down", 40.0)
IMPATIENT = Problem(SystemErrorCode.RATE_LIMITED, "slow down")


def answer(before: SystemState, *problems: Problem, complete: bool = True) -> SystemState:
    return after_answer(before, problems, complete=complete, started=at(1), now=at(2), pace=PACE)


def failure(before: SystemState, problem: Problem, seconds: float = 2, seed: int = 0) -> SystemState:
    return after_failure(before, problem, started=at(1), now=at(seconds), pace=PACE, chance=Random(seed))


def after(*outcomes: Any) -> SystemState:
    """The state after each outcome in turn: "complete", "partial", or the problem of a failure."""
    state = SystemState()
    for outcome in outcomes:
        if isinstance(outcome, Problem):
            state = failure(state, outcome)
        else:
            state = answer(state, complete=outcome == "complete")
    return state


@pytest.mark.parametrize(
    ("outcomes", "health"),
    [
        ([], UNKNOWN),
        (["complete"], UP),
        (["partial"], DEGRADED),
        ([REFUSED], DOWN),  # the first poll ever failed
        (["complete", REFUSED], DEGRADED),  # once after a success
        (["partial", REFUSED], DEGRADED),
        (["complete", REFUSED, REFUSED], DOWN),
        ([REFUSED, REFUSED], DOWN),
        (["complete", REFUSED, "complete", REFUSED], DEGRADED),  # not in a row
        (["complete", REFUSED, REFUSED, "complete"], UP),
        ([REFUSED, "partial"], DEGRADED),
        (["complete", REJECTED], AUTH_FAILED),
        ([REJECTED], AUTH_FAILED),
        ([REJECTED, REFUSED], DOWN),
        (["complete", LIMITED], DEGRADED),
        (["complete", LIMITED, LIMITED, LIMITED], DEGRADED),
        ([LIMITED], DEGRADED),
        (["complete", REFUSED, REFUSED, LIMITED], DOWN),  # it answers, and tells nothing
        ([REFUSED, LIMITED, "partial"], DEGRADED),
        (["complete", REJECTED, LIMITED], AUTH_FAILED),
        (["complete", REFUSED, LIMITED], DEGRADED),
        (["complete", LIMITED, REFUSED], DOWN),
    ],
)
def test_health(outcomes: list[Any], health: SystemHealth) -> None:
    assert after(*outcomes).health is health


@pytest.mark.parametrize("code", [c for c in SystemErrorCode if c.name not in ("AUTH_FAILED", "RATE_LIMITED")])
def test_every_other_failure_twice_in_a_row_is_down(code: SystemErrorCode) -> None:
    problem = Problem(code, "…")
    assert after("complete", problem, problem).health is DOWN


@pytest.mark.parametrize("before", SystemHealth)
@pytest.mark.parametrize("now", SystemHealth)
def test_transitions(before: SystemHealth, now: SystemHealth) -> None:
    down = {DOWN, AUTH_FAILED}
    kind = transition(before, now)
    if before is now:
        assert kind is None
    elif (now in down) != (before in down):
        assert kind is (EventKind.SYSTEM_DOWN if now in down else EventKind.SYSTEM_RECOVERED)
    else:
        assert kind is EventKind.SYSTEM_CHANGED


def test_a_complete_poll_leaves_no_error() -> None:
    state = answer(after("complete", REFUSED, REFUSED))
    assert (state.error_code, state.error_message, state.error_at) == (None, None, None)
    assert state.consecutive_failures == 0
    assert state.down_since is None
    assert (state.last_poll_at, state.last_success_at, state.observed_at) == (at(1), at(1), at(1))
    assert state.next_poll_at == at(2 + 15)


def test_a_partial_answer_is_seen_and_is_no_success() -> None:
    before = SystemState(last_success_at=T0, observed_at=T0)
    state = answer(before, REFUSED, Problem(SystemErrorCode.MISMATCH, "odd"), complete=False)
    assert (state.last_success_at, state.observed_at) == (T0, at(1))
    assert state.error_code is SystemErrorCode.UNREACHABLE
    assert state.error_message == "connection refused (and 1 more)"
    assert state.error_at == at(2)


def test_a_problem_makes_even_a_complete_list_degraded() -> None:
    assert answer(SystemState(), REFUSED).health is DEGRADED


def test_a_failure_keeps_what_was_seen_and_when_it_went_down() -> None:
    seen = SystemState(last_success_at=T0, observed_at=T0, health=UP)
    first = failure(seen, REFUSED, 10)
    second = failure(first, REFUSED, 20)
    third = failure(second, REJECTED, 30)
    assert first.down_since is None
    assert (second.down_since, third.down_since) == (at(20), at(20))
    assert [s.consecutive_failures for s in (first, second, third)] == [1, 2, 3]
    assert (third.last_success_at, third.observed_at) == (T0, T0)
    assert (third.error_code, third.error_message, third.error_at) == (SystemErrorCode.AUTH_FAILED, "401", at(30))


@pytest.mark.parametrize("failures", [0, 1, 2, 3, 10, 10_000])
def test_back_off_stays_within_its_bounds_and_is_not_always_the_same(failures: int) -> None:
    before = SystemState(health=DOWN, consecutive_failures=failures, observed_at=T0)
    waits = [(failure(before, REFUSED, seed=seed).next_poll_at - at(2)).total_seconds() for seed in range(50)]  # type: ignore[operator]
    assert min(waits) >= 15
    assert max(waits) <= min(60, 15 * 2.0 ** min(failures + 1, 10))
    assert len(set(waits)) > 40
    assert max(waits) - min(waits) > 5


def test_back_off_is_never_shorter_than_the_poll_interval() -> None:
    slow = Pace(poll_interval=120.0, max_backoff=60.0, auth_probe_interval=300.0)
    state = after_failure(SystemState(), REFUSED, started=T0, now=T0, pace=slow, chance=Random(0))
    assert state.next_poll_at == at(120)


@pytest.mark.parametrize(
    ("problem", "least"),
    [
        (LIMITED, 40),
        (Problem(SystemErrorCode.UNREACHABLE, "503", 7_200.0), 7_200),
        (Problem(SystemErrorCode.AUTH_FAILED, "403", 3_600.0), 3_600),
    ],
)
def test_retry_after_always_holds(problem: Problem, least: float) -> None:
    for before in (SystemState(), SystemState(consecutive_failures=9, observed_at=T0)):
        assert failure(before, problem).next_poll_at >= at(2 + least)  # type: ignore[operator]
    assert answer(SystemState(), REFUSED, problem).next_poll_at == at(2 + least)


def test_retry_after_shorter_than_the_pace_does_not_hurry() -> None:
    hasty = Problem(SystemErrorCode.RATE_LIMITED, "…", 0.5)
    assert answer(SystemState(), hasty).next_poll_at == at(2 + 15)
    assert failure(SystemState(), hasty).next_poll_at >= at(2 + 15)  # type: ignore[operator]


@pytest.mark.parametrize("endless", [1e300, float("inf")])
def test_an_endless_retry_after_is_a_moment_still(endless: float) -> None:
    problem = Problem(SystemErrorCode.RATE_LIMITED, "…", endless)
    assert asked_to_wait([problem]) == 365 * 86_400
    assert failure(SystemState(), problem).next_poll_at is not None
    assert answer(SystemState(), problem).next_poll_at is not None


def test_a_rate_limit_without_a_time_backs_off() -> None:
    assert failure(SystemState(), IMPATIENT).next_poll_at >= at(2 + 15)  # type: ignore[operator]


def test_refused_credentials_are_probed_rarely() -> None:
    assert failure(SystemState(), REJECTED).next_poll_at == at(2 + 300)
