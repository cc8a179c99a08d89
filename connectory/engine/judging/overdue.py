"""Connectors that should have run by now."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from connectory.engine.judging.case import Case
from connectory.engine.judging.thresholds import Rhythm, rhythm
from connectory.engine.judging.views import Finding
from connectory.engine.judging.wording import iso, lasting, spoken
from connectory.model import ConditionCode, ConditionSeverity, ConnectorMode, ConnectorStatus, JobType


def overdue(case: Case) -> Iterator[Finding]:
    """OVERDUE: in service, nothing open, and no run began for longer than its rhythm or its schedule allows.

    Never without either, never of what somebody paused. A run that begins ends it.
    """
    if not _expected_to_run(case):
        return
    connector = case.connector
    beat, held = rhythm(connector, case.thresholds), case.held(ConditionCode.OVERDUE)
    if held is not None and held.evidence["lastStartedAt"] != iso(connector.last_started_at):
        held = None
    if not connector.past_read:
        if held is not None:
            yield held
        return
    due = None if beat is None else _due(case, beat)
    if beat is None or due is None:
        return
    holds = held is not None and held.evidence["expectedEverySeconds"] == beat.usual
    if (due > case.now and not holds) or (held is None and _is_excused(case, beat)):
        return
    usual = lasting(beat.usual)
    promise = f"its schedule says every {usual}" if beat.basis == "SCHEDULE" else f"it usually runs every {usual}"
    began = connector.last_started_at
    last = "No run has begun" if began is None else f"No run has begun since {spoken(began)}"
    yield case.finding(
        ConditionCode.OVERDUE,
        ConditionSeverity.WARNING,
        due,
        f"{last}; {promise}.",
        {
            "basis": beat.basis,
            "lastStartedAt": iso(began),
            "expectedEverySeconds": beat.usual,
            "overdueSince": iso(due),
        },
        anew=held is None,
    )


def _expected_to_run(case: Case) -> bool:
    connector = case.connector
    if connector.mode is not ConnectorMode.BATCH or connector.is_unscheduled:
        return False
    if connector.status is not ConnectorStatus.ACTIVE:
        return False
    return not any(job.type is not JobType.ACCESS_CONTROL for job in connector.jobs)


def _is_excused(case: Case, beat: Rhythm) -> bool:
    """What did not begin in an outage has as long after it as the outage took, and no longer than its rhythm allows:
    so a short outage every day does not hide a connector that runs once a day."""
    answers, silent = case.system.answers_since, case.system.silent_since
    if answers is None:
        return False
    took = 0.0 if silent is None else (answers - silent).total_seconds()
    return case.since(answers) < min(beat.between_starts, max(took, case.thresholds.overdue_least))


def _due(case: Case, beat: Rhythm) -> datetime | None:
    """The latest of what its starts, its ends and its coming into service allow; None when it cannot be told."""
    connector, latest = case.connector, case.connector.latest
    ended = None if latest is None else latest.completed_at
    bounds = [
        moment + timedelta(seconds=wait)
        for moment, wait in (
            (connector.last_started_at, beat.between_starts),
            (ended, beat.after_end),
            (connector.status_since, beat.between_starts),
        )
        if moment is not None
    ]
    return max(bounds, default=None)
