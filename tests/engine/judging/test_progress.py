"""Jobs that run and get nowhere, and those that only look like it."""

from dataclasses import replace
from typing import Any

import pytest

from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.judging.views import ConnectorView, SystemView
from connectory.engine.judging.wording import spoken
from connectory.model import ConditionSeverity, ConnectorMode, JobStatus, JobType
from tests.engine.judging.views import (
    ELASTIC,
    HOUR,
    ZENSEARCH,
    codes,
    connector,
    found,
    job,
    only,
    run,
    runs,
    samples,
    since,
)
from tests.facts import at

OK, CANCELING = JobStatus.SUCCEEDED, JobStatus.CANCELING
FROZEN: dict[str, Any] = {"processed": 40, "samples": samples((0, 0), (60, 20), (100, 40))}
#: FROZEN moved last at 100.
LIMIT = 100 + 900
STREAM: dict[str, Any] = {"type": JobType.STREAM, "processed": 40}
STREAMING = ConnectorMode.STREAMING


def pauses(*seconds: float, status: JobStatus = OK) -> list[Any]:
    return [run(str(number), status, longest_stall=value) for number, value in enumerate(seconds)]


@pytest.mark.parametrize(
    ("of", "seconds", "expected"),
    [
        pytest.param(connector(job(**FROZEN)), LIMIT - 1, set(), id="a pause within the limit"),
        pytest.param(connector(job(**FROZEN)), LIMIT, {"NO_PROGRESS"}, id="a standstill"),
        pytest.param(
            connector(job(**FROZEN), runs=pauses(1200, 1300)),
            100 + 2599,
            set(),
            id="a slow run that always pauses for minutes",
        ),
        pytest.param(
            connector(job(**FROZEN), runs=pauses(1200, 1300)), 100 + 2600, {"NO_PROGRESS"}, id="longer than it ever did"
        ),
        pytest.param(
            connector(job(**FROZEN), runs=pauses(9000, status=JobStatus.FAILED)),
            LIMIT,
            {"NO_PROGRESS"},
            id="a run that stood still and failed is no example",
        ),
        pytest.param(
            connector(job(**FROZEN), runs=[run(longest_stall=9000, type=JobType.INCREMENTAL)]),
            LIMIT,
            {"NO_PROGRESS"},
            id="nor is one of another type",
        ),
        pytest.param(
            connector(job(**FROZEN), runs=pauses(*[30] * 9, 9000)),
            LIMIT,
            {"NO_PROGRESS"},
            id="one accident in ten runs is no rule",
        ),
        pytest.param(
            connector(job(processed=50, longest_stall=800, samples=samples((0, 0), (840, 50)))),
            840 + 1599,
            set(),
            id="it paused as long before",
        ),
        pytest.param(connector(job(processed=0)), 899, set(), id="a first run without history that has just begun"),
        pytest.param(connector(job(processed=0)), 900, {"NO_PROGRESS"}, id="a first run that never moved"),
        pytest.param(
            connector(job(status_since=3600, **FROZEN)), 3600 + 899, set(), id="a resumed job begins before our eyes"
        ),
        pytest.param(
            connector(job(status_since=3600, **FROZEN)),
            3600 + 900,
            {"NO_PROGRESS"},
            id="a resumed job that stands still",
        ),
        pytest.param(
            connector(job(processed=3, status_since=500, samples=samples((0, 10), (100, 900), (1000, 3)))),
            1899,
            set(),
            id="a counter that was set back has moved",
        ),
        pytest.param(connector(job(**FROZEN)), -HOUR, set(), id="a clock that is set back"),
        pytest.param(
            connector(job(processed=40, samples=samples((0, 0), (100, 40), *((900 + n, 40) for n in range(99))))),
            LIMIT,
            {"NO_PROGRESS"},
            id="samples that repeat are no movement",
        ),
        pytest.param(
            connector(job(processed=40, moved_at=800, samples=samples(*((800 + n, 40) for n in range(200))))),
            1200,
            set(),
            id="the movement itself is beyond the samples",
        ),
        pytest.param(connector(job()), 9 * HOUR, set(), id="counters that nobody tells"),
        pytest.param(connector(job(moved_at=950, **FROZEN)), LIMIT, set(), id="another of its counters moves"),
        pytest.param(connector(job(**(FROZEN | {"processed": 41}))), LIMIT, set(), id="it has just moved"),
        pytest.param(connector(job(status=JobStatus.SUSPENDED, **FROZEN)), LIMIT, set(), id="suspended"),
        pytest.param(connector(job(status=JobStatus.PENDING, **FROZEN)), 100, set(), id="not begun"),
        pytest.param(connector(job(backlog=0, **STREAM), mode=STREAMING), 9 * HOUR, set(), id="an idle stream"),
        pytest.param(connector(job(**STREAM), mode=STREAMING), 9 * HOUR, set(), id="a stream that tells no backlog"),
        pytest.param(
            connector(job(backlog=7, **STREAM), mode=STREAMING), 900, {"NO_PROGRESS"}, id="a stream that has work to do"
        ),
        pytest.param(
            connector(job(backlog=7, waiting_since=890, moved_at=890, **STREAM), mode=STREAMING),
            900,
            set(),
            id="records have just come in, after none had for long",
        ),
        pytest.param(
            connector(job(backlog=7, waiting_since=0, moved_at=890, **STREAM), mode=STREAMING),
            900,
            {"NO_PROGRESS"},
            id="records go on coming in, and none is processed",
        ),
        pytest.param(
            connector(job(backlog=7, samples=samples((0, 1), (9000, 39), (9060, 40)), **STREAM), mode=STREAMING),
            9060 + 900,
            {"NO_PROGRESS"},
            id="a stream that had nothing to do for long has never paused",
        ),
    ],
)
def test_standing_still(of: ConnectorView, seconds: float, expected: set[str]) -> None:
    assert codes(of, seconds) == expected


@pytest.mark.parametrize(
    ("of", "seconds", "expected"),
    [
        pytest.param(job(last_seen_at=0), 599, set(), id="a sign of life within the limit"),
        pytest.param(job(last_seen_at=0), 600, {"HEARTBEAT_LOST"}, id="none for too long"),
        pytest.param(job(last_seen_at=0, heartbeat_at=500), 1099, set(), id="it was seen to beat"),
        pytest.param(job(last_seen_at=-9000, heartbeat_at=500), 1000, set(), id="its clock is hours behind"),
        pytest.param(job(last_seen_at=9000, heartbeat_at=500), 1100, {"HEARTBEAT_LOST"}, id="its clock is hours ahead"),
        pytest.param(job(last_seen_at=0, moved_at=500), 1000, set(), id="its counters move"),
        pytest.param(job(last_seen_at=0, status_since=3600), 4000, set(), id="it was resumed"),
        pytest.param(job(last_seen_at=0, status=CANCELING), 600, {"HEARTBEAT_LOST"}, id="asked to stop, and silent"),
        pytest.param(job(last_seen_at=0, status=JobStatus.PENDING), 100, set(), id="not begun"),
        pytest.param(job(last_seen_at=0), -HOUR, set(), id="a clock that is set back"),
        pytest.param(job(last_seen_at=0, **FROZEN), LIMIT, {"HEARTBEAT_LOST"}, id="it replaces NO_PROGRESS"),
        pytest.param(job(**FROZEN), LIMIT, {"NO_PROGRESS"}, id="no heartbeat is told: only the counters are known"),
    ],
)
def test_signs_of_life(of: Any, seconds: float, expected: set[str]) -> None:
    assert codes(connector(of, worker_seen_at=seconds), seconds, system=ELASTIC) == expected


def test_it_becomes_critical_and_stays_so() -> None:
    of = connector(job(**FROZEN))
    raised = only(of, LIMIT)
    assert (raised.severity, since(raised)) == (ConditionSeverity.WARNING, 100)
    assert only(of, 100 + 4 * 900 - 1, before=[raised]).severity is ConditionSeverity.WARNING
    worse = only(of, 100 + 4 * 900, before=[raised])
    assert (worse.severity, since(worse)) == (ConditionSeverity.CRITICAL, 100)
    assert only(of, LIMIT, before=[worse]).severity is ConditionSeverity.CRITICAL


def test_it_tells_what_is_known() -> None:
    alive = only(connector(job(last_seen_at=950, heartbeat_at=960, **FROZEN)), LIMIT)
    assert (
        alive.message == "Job xj runs, but its counters have stood still since 2026-08-20 10:01 UTC after 40 documents."
    )
    assert alive.evidence == {
        "lastMovedAt": "2026-08-20T10:01:40Z",
        "processed": 40,
        "waiting": None,
        "heartbeat": "alive",
        "lastSeenAt": "2026-08-20T10:15:50Z",
        "thresholdSeconds": 900.0,
    }
    assert only(connector(job(**FROZEN)), LIMIT).evidence["heartbeat"] == "unknown"
    # it beat while the counters moved, and not since
    silent = only(connector(job(last_seen_at=90, heartbeat_at=95, **FROZEN)), 400, limits=Thresholds(no_progress=300))
    assert (silent.code.name, silent.evidence["heartbeat"]) == ("NO_PROGRESS", "unknown")


def test_how_much_waits_for_a_stream_moves_no_sentence() -> None:
    few, more = (
        only(connector(job(backlog=backlog, waiting_since=0, **STREAM), mode=STREAMING), 900) for backlog in (7, 8)
    )
    assert few.message == more.message == "Job xj runs, but its counters have stood still since 2026-08-20 10:00 UTC."
    assert (few.evidence["waiting"], more.evidence["waiting"]) == (7, 8)


@pytest.mark.parametrize(
    ("of", "begins", "done"),
    [
        pytest.param(job(status=CANCELING, status_since=500, **FROZEN), 500, " after 40 documents", id="it counts"),
        pytest.param(job(status=CANCELING), 0, "", id="nothing is counted"),
        pytest.param(
            job(status=CANCELING, status_since=500, moved_at=600, processed=3),
            600,
            " after 3 documents",
            id="it moved on for a while",
        ),
        pytest.param(job(status=CANCELING, type=JobType.STREAM, status_since=500), 500, "", id="a stream"),
    ],
)
def test_a_job_that_is_canceled_without_end(of: Any, begins: float, done: str) -> None:
    assert found(connector(of), begins + 899) == []
    raised = only(connector(of), begins + 900)
    assert (raised.code.name, since(raised)) == ("NO_PROGRESS", begins)
    moved = spoken(at(begins))
    assert raised.message == f"Job xj is being canceled, but has neither ended nor moved since {moved}{done}."
    assert only(connector(of), begins + 3600, before=[raised]).severity is ConditionSeverity.CRITICAL


def test_who_is_asked_to_stop_has_its_time() -> None:
    held = found(connector(job(**FROZEN)), LIMIT)
    assert found(connector(job(status=CANCELING, status_since=LIMIT, **FROZEN)), LIMIT, before=held) == []


@pytest.mark.parametrize("system", [ELASTIC, ZENSEARCH])
def test_only_a_movement_ends_it(system: SystemView) -> None:
    of = connector(job(**FROZEN), worker_seen_at=LIMIT)
    raised = found(of, LIMIT, system=system)
    # the clock is set back, the samples are read anew
    held = found(connector(job(processed=40), worker_seen_at=LIMIT), 500, system=system, before=raised)
    assert [(f.code, f.since) for f in held] == [(f.code, f.since) for f in raised]
    moved = job(processed=41, samples=(*FROZEN["samples"], *samples((LIMIT + 15, 41))))
    assert found(connector(moved, worker_seen_at=LIMIT), LIMIT + 15, system=system, before=held) == []


@pytest.mark.parametrize(
    ("limits", "past"),
    [
        pytest.param(Thresholds(no_progress=9000, heartbeat=9000), [], id="by the configuration"),
        pytest.param(Thresholds(heartbeat=9000), pauses(4500, 4500), id="by its past"),
    ],
)
def test_a_limit_that_grows_ends_what_is_within(limits: Thresholds, past: Any) -> None:
    of, patient = connector(job(**FROZEN)), connector(job(**FROZEN), runs=past)
    held = only(of, 100 + 4 * 900)
    assert held.severity is ConditionSeverity.CRITICAL
    assert found(patient, 100 + 8999, before=[held], limits=limits) == []
    finding = only(patient, 100 + 9000, before=[held], limits=limits)
    assert (finding.since, finding.severity) == (held.since, ConditionSeverity.WARNING)
    assert finding.evidence["thresholdSeconds"] == 9000
    silent = connector(job(last_seen_at=0))
    lost = only(silent, 600)
    assert found(silent, 8999, before=[lost], limits=limits) == []
    assert only(silent, 9000, before=[lost], limits=limits).message.endswith("it should be every 2.5 hours at least.")


def test_a_second_standstill_begins_anew() -> None:
    raised = found(connector(job(**FROZEN)), LIMIT)
    # it moved while nobody looked, and stands still again for longer than before
    again = job(processed=41, samples=(*FROZEN["samples"], *samples((LIMIT + 15, 41))))
    assert since(only(connector(again), LIMIT + 15 + 9000, before=raised)) == LIMIT + 15


def test_polls_that_are_far_apart_see_too_little() -> None:
    seldom = SystemView(poll_interval=600)
    assert codes(connector(job(**FROZEN)), 100 + 1799, system=seldom) == set()
    assert codes(connector(job(**FROZEN)), 100 + 1800, system=seldom) == {"NO_PROGRESS"}
    assert codes(connector(job(last_seen_at=0)), 1799, system=seldom) == set()
    assert codes(connector(job(last_seen_at=0)), 1800, system=seldom) == {"HEARTBEAT_LOST"}


def test_runs_that_are_not_watched_teach_nothing() -> None:
    assert codes(connector(job(**FROZEN), runs=runs(OK, OK)), LIMIT) == {"NO_PROGRESS"}


@pytest.mark.parametrize(
    ("of", "limit", "code"),
    [
        pytest.param(job(last_seen_at=0), 600, "HEARTBEAT_LOST", id="the workers write their signs of life there"),
        pytest.param(job(**FROZEN), 900, "NO_PROGRESS", id="nobody could see the counters move"),
    ],
)
def test_the_time_of_an_outage_does_not_count(of: Any, limit: float, code: str) -> None:
    system = replace(ELASTIC, silent_since=at(300), answers_since=at(HOUR))
    assert codes(connector(of), HOUR + limit - 1, system=system) == set()
    raised = only(connector(of), HOUR + limit, system=system)
    assert (raised.code.name, since(raised) <= 100) == (code, True)
    again = replace(system, answers_since=at(9 * HOUR))
    assert found(connector(of), 9 * HOUR + 1, system=again, before=[raised]) == [raised]
