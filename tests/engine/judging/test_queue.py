"""Jobs that wait: how long is too long, behind whom, and whether anybody will come."""

from dataclasses import replace
from typing import Any

import pytest

from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.judging.views import ConnectorView
from connectory.model import ConditionSeverity, JobStatus, JobType
from tests.engine.judging.views import (
    ELASTIC,
    HOUR,
    MINUTE,
    ZENSEARCH,
    codes,
    connector,
    found,
    job,
    only,
    run,
    since,
)
from tests.facts import at

PENDING, RUNNING, SUSPENDED = JobStatus.PENDING, JobStatus.RUNNING, JobStatus.SUSPENDED
WAITS = job("w", PENDING, created_at=-5)
ALIVE: dict[str, Any] = {"worker_seen_at": 0, "worker_moved_at": 0}
#: Elsewhere the same job would be found to stand still: nothing counts here.
BUSY = job("b", RUNNING, created_at=-60)
PERMISSIONS = JobType.ACCESS_CONTROL


@pytest.mark.parametrize(
    ("of", "seconds", "expected"),
    [
        pytest.param(connector(WAITS, **ALIVE), 119, set(), id="a wait within the limit"),
        pytest.param(connector(WAITS, **ALIVE), 120, {"QUEUED"}, id="a wait beyond it"),
        pytest.param(connector(BUSY, **ALIVE), 500, set(), id="a job that runs does not wait"),
        pytest.param(connector(WAITS, BUSY, **ALIVE), 119, set(), id="behind another, within the limit"),
        pytest.param(connector(WAITS, BUSY, **ALIVE), 120, {"QUEUED_BEHIND"}, id="behind another replaces QUEUED"),
        pytest.param(
            connector(WAITS, job("p", RUNNING, type=PERMISSIONS), **ALIVE),
            120,
            {"QUEUED"},
            id="permissions are read beside content",
        ),
        pytest.param(
            connector(job("w", PENDING, type=PERMISSIONS), BUSY, **ALIVE),
            120,
            {"QUEUED"},
            id="content is read beside permissions",
        ),
        pytest.param(
            connector(job("w", PENDING, status_since=300), **ALIVE),
            400,
            set(),
            id="a job put back into the queue waits from then on",
        ),
        pytest.param(
            connector(job("w", PENDING, created_at=-7200), **ALIVE),
            10,
            set(),
            id="an upstream's clock that is behind: only what we saw counts",
        ),
        pytest.param(connector(WAITS, **ALIVE), -500, set(), id="a clock that is set back"),
        pytest.param(
            connector(WAITS, runs=[run(completed_at=100)], **ALIVE),
            200,
            set(),
            id="its turn came when the one ahead ended",
        ),
        pytest.param(
            connector(job("w", PENDING, type=PERMISSIONS), runs=[run(completed_at=100)], **ALIVE),
            200,
            {"QUEUED"},
            id="permissions never waited for that one",
        ),
        pytest.param(
            connector(WAITS, runs=[run(created_at=-1000, started_at=-800, completed_at=-700)], **ALIVE),
            399,
            set(),
            id="twice as long as its forerunner",
        ),
        pytest.param(
            connector(WAITS, runs=[run(created_at=-1000, started_at=-800, completed_at=-700)], **ALIVE),
            400,
            {"QUEUED"},
            id="longer than twice its forerunner",
        ),
        pytest.param(connector(WAITS, worker_seen_at=-480), 119, set(), id="silent, but the job has just come"),
        pytest.param(connector(WAITS, worker_seen_at=-480), 120, {"NO_WORKER"}, id="a silent worker replaces QUEUED"),
        pytest.param(connector(WAITS), 120, {"NO_WORKER"}, id="a worker that never was"),
        pytest.param(
            connector(WAITS, BUSY, worker_seen_at=-480), 120, {"NO_WORKER"}, id="a silent worker replaces QUEUED_BEHIND"
        ),
        pytest.param(
            connector(WAITS, worker_seen_at=-9000, worker_moved_at=0),
            120,
            {"QUEUED"},
            id="a worker whose clock is hours behind, and that we saw beat",
        ),
        pytest.param(
            connector(job("w", SUSPENDED), worker_seen_at=-480), 120, {"NO_WORKER"}, id="nobody is there to resume it"
        ),
        pytest.param(connector(job("w", SUSPENDED), **ALIVE), 500, set(), id="suspended, and the worker lives"),
    ],
)
def test_waiting(of: ConnectorView, seconds: float, expected: set[str]) -> None:
    assert codes(of, seconds, system=ELASTIC) == expected


def test_only_where_one_runs_at_a_time_does_a_job_wait_for_another() -> None:
    assert codes(connector(WAITS, BUSY), 120, system=ZENSEARCH) == {"QUEUED"}


def test_it_names_the_job_it_waits_for() -> None:
    finding = only(connector(WAITS, BUSY, **ALIVE), 150, system=ELASTIC)
    assert finding.severity is ConditionSeverity.INFO
    assert (finding.subject_id, finding.connector_id, finding.job_id, since(finding)) == ("w", "c", "w", -5)
    assert finding.message == "Job xw waits for job xb of the same connector, which is running."
    assert finding.evidence["behindJobId"] == "b"
    assert finding.evidence["behindStatus"] == "RUNNING"


def test_of_three_that_wait_each_names_the_first() -> None:
    waiting = [job(id, PENDING, created_at=number) for number, id in enumerate(("first", "second", "third"))]
    after = {f.subject_id: f for f in found(connector(*reversed(waiting), **ALIVE), 200, system=ELASTIC)}
    assert after["first"].code.name == "QUEUED"
    assert after["second"].evidence["behindJobId"] == "first"
    assert after["third"].evidence["behindJobId"] == "first"


def test_it_waits_for_the_one_that_runs_before_any_that_waits() -> None:
    older, running = job("older", PENDING, created_at=-9), job("running", RUNNING, created_at=-2)
    waits = {f.subject_id: f for f in found(connector(WAITS, older, running, **ALIVE), 200, system=ELASTIC)}
    assert {f.evidence["behindJobId"] for f in waits.values()} == {"running"}


def test_a_wait_that_was_found_holds_until_the_job_goes_on() -> None:
    raised = found(connector(WAITS, **ALIVE), 130, system=ELASTIC)
    held = found(connector(WAITS, **ALIVE), -50, system=ELASTIC, before=raised)  # the clock is set back
    assert held == raised
    goes_on = job("w", RUNNING, status_since=140)
    assert found(connector(goes_on, **ALIVE), 140, system=ELASTIC, before=held) == []


@pytest.mark.parametrize("of", [connector(WAITS, **ALIVE), connector(WAITS, BUSY, **ALIVE)], ids=["alone", "behind"])
def test_a_wait_is_told_by_the_limit_of_now(of: ConnectorView) -> None:
    (held,) = found(of, 130, system=ELASTIC)
    assert found(of, 190, system=ELASTIC, before=[held], limits=Thresholds(queued=36_000)) == []
    (finding,) = found(of, 190, system=ELASTIC, before=[held], limits=Thresholds(queued=180))
    assert (finding.since, finding.evidence["thresholdSeconds"]) == (held.since, 180)
    (finding,) = found(of, -50, system=ELASTIC, before=[held], limits=Thresholds(queued=60))
    assert finding.evidence["thresholdSeconds"] == 60


def test_a_past_that_becomes_known_ends_a_wait_that_is_usual() -> None:
    held = only(connector(WAITS, **ALIVE), 130, system=ELASTIC)
    longer = connector(WAITS, runs=[run(created_at=-9000, started_at=-1000, completed_at=-900)], **ALIVE)
    assert found(longer, 190, system=ELASTIC, before=[held]) == []
    assert "longer than 4.44 hours" in only(longer, 16_000).message


def test_no_worker_ends_with_a_longer_limit() -> None:
    of, patient = connector(WAITS, worker_seen_at=-1000), Thresholds(no_worker=7200)
    held = only(of, 150, system=ELASTIC)
    assert codes(of, 160, system=ELASTIC, before=[held]) == {"NO_WORKER"}
    assert codes(of, 160, system=ELASTIC, before=[held], limits=patient) == {"QUEUED"}


def test_no_worker_ends_with_a_sign_of_life() -> None:
    raised = found(connector(WAITS, worker_seen_at=-1000), 150, system=ELASTIC)
    assert {f.code.name for f in raised} == {"NO_WORKER"}
    assert codes(connector(WAITS, worker_seen_at=-1000), -400, system=ELASTIC, before=raised) == {"NO_WORKER"}
    back = connector(WAITS, worker_seen_at=155, worker_moved_at=160)
    assert codes(back, 160, system=ELASTIC, before=raised) == {"QUEUED"}


def test_no_worker_says_since_when() -> None:
    late = only(connector(job("w", PENDING, first_seen_at=5 * MINUTE), worker_seen_at=-60), 15 * MINUTE, system=ELASTIC)
    assert since(late) == 5 * MINUTE
    died = only(connector(WAITS, worker_seen_at=60), 60 * MINUTE, system=ELASTIC)
    assert died.since == at(60)
    assert died.severity is ConditionSeverity.CRITICAL
    assert died.message.endswith("the connector's worker has been silent since 2026-08-20 10:01 UTC.")


def test_a_worker_has_its_time_after_an_outage_and_after_a_restart() -> None:
    of = connector(WAITS, worker_seen_at=0)
    for system in (replace(ELASTIC, answers_since=at(HOUR)), replace(ELASTIC, watched_since=at(HOUR))):
        assert "NO_WORKER" not in codes(of, HOUR + 599, system=system)
        raised = only(of, HOUR + 600, system=system)
        assert (raised.code.name, since(raised)) == ("NO_WORKER", 0)
    moved = connector(WAITS, worker_seen_at=0, worker_moved_at=0)
    assert "NO_WORKER" in codes(moved, HOUR, system=replace(ELASTIC, watched_since=at(HOUR)))
