"""Connectors that should have run by now."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from connectory.engine.judging.case import Case
from connectory.engine.judging.thresholds import Rhythm, rhythm
from connectory.engine.judging.views import Finding
from connectory.engine.judging.wording import iso, lasting, spoken
from connectory.model import ConditionCode, ConditionSeverity, ConnectorMode, ConnectorStatus, JobType

#: Seconds, some thirty years: who promises less often, or allows more, means never.
_LONGEST = 1e9


def overdue(case: Case) -> Iterator[Finding]:
    """OVERDUE: in service, nothing open, and no run began for longer than its rhythm or its schedule allows.

    Never without either, never of what somebody paused. A run that begins ends it, and so does more patience: a limit,
    a schedule or a past by which it is not yet due.
    """
    if not _expected_to_run(case):
        return
    connector = case.connector
    beat, held = rhythm(connector, case.thresholds), case.held(ConditionCode.OVERDUE)
    if held is not None and held.evidence["lastStartedAt"] != iso(connector.last_started_at):
        held = None
    due = None if beat is None else _due(case, beat)
    if beat is None or due is None:
        return
    # with the same patience a clock that is set back ends nothing
    holds = held is not None and due <= datetime.fromisoformat(str(held.evidence["overdueSince"]))
    if (due > case.now and not holds) or (held is None and _is_excused(case, beat)):
        return
    usual = lasting(beat.usual)
    promise = f"its schedule says every {usual}" if beat.basis == "SCHEDULE" else f"it usually runs every {usual}"
    began, first_seen = connector.last_started_at, connector.first_seen_at
    last = "No run has begun"
    if began is not None:
        last += f" since {spoken(began)}"
    elif first_seen is not None:
        last += f" since it was first seen at {spoken(first_seen)}"
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
    """The latest of what its starts, its ends and its coming into service allow; None when it cannot be told.

    Of a connector that never ran: what its being seen first allows. What ran before that may not be read yet.
    """
    connector, latest = case.connector, case.connector.latest
    ended = None if latest is None else latest.completed_at
    never_ran = connector.last_started_at is None and latest is None
    bounds = [
        moment + timedelta(seconds=min(wait, _LONGEST))
        for moment, wait in (
            (connector.last_started_at, beat.between_starts),
            (ended, beat.after_end),
            (connector.status_since, beat.between_starts),
            (connector.first_seen_at if never_ran else None, beat.between_starts),
        )
        if moment is not None
    ]
    return max(bounds, default=None)
