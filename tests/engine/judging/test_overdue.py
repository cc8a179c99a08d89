"""Later than its own rhythm or its schedule says."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.judging.views import ConnectorView, Run
from connectory.model import ConnectorMode, ConnectorStatus, JobStatus, JobTrigger, JobType
from tests.engine.judging.views import (
    DAY,
    HOUR,
    MINUTE,
    ZENSEARCH,
    codes,
    connector,
    found,
    job,
    only,
    run,
    runs,
    since,
)
from tests.facts import at

OK, PENDING = JobStatus.SUCCEEDED, JobStatus.PENDING
HOURLY = runs(*[OK] * 6)
#: When somebody asked for it.
NOW_AND_THEN = [run(str(n), started_at=-hours * HOUR) for n, hours in enumerate((1, 1.2, 9, 50, 51, 51.5, 300))]
#: Starts at 8 in the morning of working days only; the newest is a Friday's.
WORKDAYS = [run(str(day), started_at=-day * DAY, completed_at=-day * DAY + HOUR) for day in range(26) if day % 7 < 5]


def ran(past: Sequence[Run], *jobs: Any, **fields: Any) -> ConnectorView:
    return connector(*jobs, **{"runs": past, "last_started_at": past[0].started_at} | fields)


@pytest.mark.parametrize(
    ("of", "seconds", "holds"),
    [
        pytest.param(ran(HOURLY), 2 * HOUR - 2 * MINUTE, False, id="within twice its rhythm"),
        pytest.param(ran(HOURLY), 2 * HOUR + MINUTE, True, id="beyond it"),
        pytest.param(ran(HOURLY[:3]), DAY, False, id="three runs are no rhythm"),
        pytest.param(ran(HOURLY[:4]), DAY, True, id="four are one"),
        pytest.param(ran(NOW_AND_THEN), 90 * DAY, False, id="starts that have no rhythm"),
        pytest.param(ran(HOURLY, status=ConnectorStatus.PAUSED), DAY, False, id="paused"),
        pytest.param(ran(HOURLY, status=ConnectorStatus.INACTIVE), DAY, False, id="inactive"),
        pytest.param(ran(HOURLY, status=ConnectorStatus.ERROR), DAY, False, id="in error, which says it all"),
        pytest.param(ran(HOURLY, is_unscheduled=True), DAY, False, id="its schedule was switched off"),
        pytest.param(ran(HOURLY, mode=ConnectorMode.STREAMING), DAY, False, id="a stream has no rhythm"),
        pytest.param(ran(HOURLY, job()), DAY, False, id="in progress"),
        pytest.param(ran(HOURLY, job(status=PENDING)), 60, False, id="its run waits for a worker"),
        pytest.param(ran(HOURLY, job(type=JobType.ACCESS_CONTROL)), DAY, True, id="permissions are no content"),
        pytest.param(ran(HOURLY, status_since=DAY), DAY + HOUR, False, id="taken into service an hour ago"),
        pytest.param(ran(HOURLY, status_since=DAY), DAY + 2 * HOUR, True, id="taken into service, and nothing since"),
        pytest.param(ran(HOURLY), -DAY, False, id="a clock that is set back"),
        pytest.param(
            ran((run(started_at=-9 * HOUR, completed_at=0), *runs(*[OK] * 6)[1:]), last_started_at=-9 * HOUR),
            HOUR,
            False,
            id="its last run took longer than its rhythm",
        ),
        pytest.param(
            ran([run(str(n), started_at=-n * 90.0, completed_at=-n * 90.0 + 30) for n in range(9)]),
            500,
            False,
            id="a quick rhythm has ten minutes at least",
        ),
        pytest.param(ran(WORKDAYS), 2.9 * DAY, False, id="a weekend like those before"),
        pytest.param(ran(WORKDAYS), 4 * DAY, True, id="a Monday without a run"),
        pytest.param(connector(schedule_seconds=DAY, first_seen_at=0), 1.4 * DAY, False, id="it was seen a day ago"),
        pytest.param(connector(schedule_seconds=DAY, first_seen_at=0), 1.5 * DAY, True, id="and has not run since"),
        pytest.param(
            connector(schedule_seconds=HOUR, first_seen_at=DAY, last_started_at=0),
            DAY,
            True,
            id="what ran before it was seen counts",
        ),
        pytest.param(connector(schedule_seconds=1e300, first_seen_at=0), DAY, False, id="a schedule that means never"),
        pytest.param(connector(schedule_seconds=DAY, status_since=0), 2 * DAY, True, id="it never ran at all"),
        pytest.param(connector(schedule_seconds=DAY, last_started_at=0), 1.4 * DAY, False, id="its schedule holds"),
        pytest.param(connector(schedule_seconds=DAY, last_started_at=0), 1.5 * DAY, True, id="its schedule is broken"),
        pytest.param(ran(WORKDAYS, schedule_seconds=DAY), 2.9 * DAY, False, id="a schedule that leaves out weekends"),
    ],
)
def test_overdue(of: ConnectorView, seconds: float, holds: bool) -> None:
    assert codes(of, seconds) - {"QUEUED"} == ({"OVERDUE"} if holds else set())


def test_it_tells_what_was_to_be_expected() -> None:
    finding = only(ran(HOURLY), 5 * HOUR)
    assert since(finding) == 119 * MINUTE
    assert finding.message == "No run has begun since 2026-08-20 09:59 UTC; it usually runs every 60 minutes."
    assert finding.evidence == {
        "basis": "PAST_RUNS",
        "lastStartedAt": "2026-08-20T09:59:00Z",
        "expectedEverySeconds": 3600.0,
        "overdueSince": "2026-08-20T11:59:00Z",
    }
    scheduled = only(connector(schedule_seconds=DAY, last_started_at=0), 2 * DAY)
    assert scheduled.message == "No run has begun since 2026-08-20 10:00 UTC; its schedule says every 24 hours."
    assert scheduled.evidence["basis"] == "SCHEDULE"


def test_only_a_run_or_the_end_of_service_ends_it() -> None:
    held = only(ran(HOURLY), 5 * HOUR)
    assert found(ran(HOURLY), HOUR, before=[held]) == [held]
    assert codes(ran(HOURLY, job()), 6 * HOUR, before=[held]) == set()
    assert codes(ran(HOURLY, status=ConnectorStatus.PAUSED), 6 * HOUR, before=[held]) == set()
    assert codes(ran(HOURLY, last_started_at=5 * HOUR), 6 * HOUR, before=[held]) == set()


def test_the_next_time_begins_anew() -> None:
    held = only(ran(HOURLY), 5 * HOUR)
    again = (run("new", started_at=6 * HOUR, completed_at=6 * HOUR + 60), *HOURLY)
    assert since(only(ran(again), 40 * HOUR, before=[held])) > 7 * HOUR


def test_another_schedule_is_judged_anew() -> None:
    held = only(connector(schedule_seconds=HOUR, last_started_at=0), 2 * HOUR)
    assert found(connector(schedule_seconds=DAY, last_started_at=0), 2 * HOUR, before=[held]) == []


@pytest.mark.parametrize("factor", [3.0, 1e6, math.inf])
def test_more_patience_ends_it(factor: float) -> None:
    held = only(ran(HOURLY), 2 * HOUR)
    assert found(ran(HOURLY), 2 * HOUR, before=[held], limits=Thresholds(overdue_factor=factor)) == []
    less = only(ran(HOURLY), HOUR, before=[held], limits=Thresholds(overdue_factor=1.5))
    assert (less.since, less.evidence["overdueSince"]) == (held.since, "2026-08-20T11:29:00Z")


def test_of_what_never_ran_it_tells_since_when_we_know() -> None:
    finding = only(connector(schedule_seconds=DAY, first_seen_at=0), 2 * DAY)
    assert finding.message == (
        "No run has begun since it was first seen at 2026-08-20 10:00 UTC; its schedule says every 24 hours."
    )
    assert only(connector(schedule_seconds=DAY, first_seen_at=0), 3 * DAY, before=[finding]) == finding


@pytest.mark.parametrize(
    ("began", "ended", "seconds", "holds"),
    [
        pytest.param(HOUR, 3 * HOUR, 4 * HOUR, False, id="as long after the outage as it took"),
        pytest.param(HOUR, 3 * HOUR, 5 * HOUR, True, id="and no longer"),
        pytest.param(HOUR, 9 * DAY, 9 * DAY + 2 * HOUR, True, id="nor longer than its rhythm allows"),
        pytest.param(3 * HOUR, 3 * HOUR + 30, 3 * HOUR + 11 * MINUTE, True, id="a short outage hides little"),
    ],
)
def test_what_did_not_begin_in_an_outage(began: float, ended: float, seconds: float, holds: bool) -> None:
    system = replace(ZENSEARCH, silent_since=at(began), answers_since=at(ended))
    assert ("OVERDUE" in codes(ran(HOURLY), seconds, system=system)) is holds
    held = only(ran(HOURLY), 2 * HOUR + MINUTE)
    assert codes(ran(HOURLY), seconds, system=system, before=[held]) == {"OVERDUE"}


def test_what_somebody_asked_for_is_no_rhythm_and_yet_a_run() -> None:
    asked = runs(*[OK] * 6, trigger=JobTrigger.ON_DEMAND)
    assert codes(ran(asked), DAY) == set()
    by_itself = tuple(replace(each, trigger=JobTrigger.SCHEDULED) for each in asked[1:])
    assert codes(ran((asked[0], *by_itself)), 2 * HOUR - 2 * MINUTE) == set()
    assert codes(ran((asked[0], *by_itself)), 2 * HOUR + MINUTE) == {"OVERDUE"}
