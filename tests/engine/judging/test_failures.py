"""Runs that fail one after the other."""

import pytest

from connectory.model import ConditionSeverity, JobStatus
from tests.engine.judging.views import connector, found, job, only, run, runs, since

F, OK, ERRORS = JobStatus.FAILED, JobStatus.SUCCEEDED, JobStatus.SUCCEEDED_WITH_ERRORS
CANCELED, INTERRUPTED, UNKNOWN = JobStatus.CANCELED, JobStatus.INTERRUPTED, JobStatus.UNKNOWN
WARNING, CRITICAL = ConditionSeverity.WARNING, ConditionSeverity.CRITICAL


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        pytest.param([], None, id="nothing ever ran"),
        pytest.param([F], None, id="one failure is no row of them"),
        pytest.param([F, OK, F], None, id="a success between"),
        pytest.param([OK, F, F, F], None, id="a success after"),
        pytest.param([F, F, OK], (2, WARNING), id="two"),
        pytest.param([F, F], (2, WARNING), id="two, and nothing before"),
        pytest.param([F, CANCELED, INTERRUPTED, UNKNOWN, F, OK], (2, WARNING), id="what was stopped does not count"),
        pytest.param([CANCELED, F, F, OK], (2, WARNING), id="nor does it end the row"),
        pytest.param([F, F, F, F, OK], (4, WARNING), id="four"),
        pytest.param([F, F, F, F, F, OK], (5, CRITICAL), id="five"),
        pytest.param([F, ERRORS, F], None, id="a run with some errors has succeeded"),
    ],
)
def test_a_row_of_failures(ended: list[JobStatus], expected: tuple[int, ConditionSeverity] | None) -> None:
    holds = [f for f in found(connector(runs=runs(*ended)), 60) if f.code.name == "REPEATED_FAILURES"]
    assert [(f.evidence["failures"], f.severity) for f in holds] == ([] if expected is None else [expected])


def test_it_tells_of_the_first_and_the_last() -> None:
    past = (run("r0", F, completed_at=-60, error_message="No such host"), *runs(OK, F, F, OK)[1:])
    finding = only(connector(runs=past), 60)
    # since the second failure of the row
    assert since(finding) == -3600
    assert finding.message == "Its last 3 runs failed, the first at 2026-08-20 08:00 UTC."
    assert finding.evidence == {
        "failures": 3,
        "firstFailedAt": "2026-08-20T08:00:00Z",
        "firstJobId": "r2",
        "lastFailedAt": "2026-08-20T09:59:00Z",
        "lastJobId": "r0",
        "lastError": "No such host",
    }


@pytest.mark.parametrize("ended", [(F, CANCELED, F, OK), (INTERRUPTED, F, F, OK)], ids=["between", "since"])
def test_runs_that_were_stopped_are_not_said_to_have_failed(ended: tuple[JobStatus, ...]) -> None:
    message = only(connector(runs=runs(*ended)), 60).message
    assert message.startswith("Of its runs that came to an end, the last 2 failed, the first at ")


def test_the_next_failure_makes_it_worse_and_moves_nothing_else() -> None:
    before = only(connector(runs=runs(F, F, F, F, OK)), 60)
    worse = only(connector(runs=(run("new", F, completed_at=90), *runs(F, F, F, F, OK))), 90, before=[before])
    assert (worse.severity, worse.since, worse.evidence["firstJobId"]) == (CRITICAL, before.since, "r3")


def test_what_is_no_longer_remembered_still_counts() -> None:
    before = only(connector(runs=runs(*[F] * 20)), 60)
    assert before.evidence["failures"] == 20
    pushed_out = (run("new", F, completed_at=90), *runs(*[F] * 19))
    after = only(connector(runs=pushed_out), 90, before=[before])
    assert after.evidence["failures"] == 21
    assert after.evidence["firstJobId"] == "r19"
    assert only(connector(runs=pushed_out), 90, before=[after]) == after


def test_every_failure_is_counted_even_if_none_of_those_before_is_remembered() -> None:
    before = only(connector(runs=runs(*[F] * 20)), 60)
    others = tuple(run(f"n{number}", F, completed_at=90 - number) for number in range(20))
    assert only(connector(runs=others), 90, before=[before]).evidence["failures"] == 40


def test_a_run_that_has_begun_ends_nothing() -> None:
    before = only(connector(runs=runs(F, F)), 60)
    assert only(connector(job(), runs=runs(F, F)), 90, before=[before]) == before
