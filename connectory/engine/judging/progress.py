"""Jobs that run and get nowhere: counters that stand still, cancelations without end, workers that have gone silent.

All ages are by our clock: from when we saw something move, and from the end of an outage at the earliest. So a clock
that is off or set back raises nothing, and what was found holds until something moves or a limit grows beyond it. A
job that is suspended gets nowhere by intent.
"""

from collections.abc import Iterator
from datetime import datetime

from connectory.engine.judging.case import Case, has_grown
from connectory.engine.judging.movement import last_move
from connectory.engine.judging.thresholds import silent_after, stalled_after
from connectory.engine.judging.views import Finding, JobView
from connectory.engine.judging.wording import counted, iso, lasting, spoken
from connectory.model import RUNNING, ConditionCode, ConditionSeverity, ConnectorMode, JobStatus, JobType


def standstills(case: Case) -> Iterator[Finding]:
    for job in case.connector.jobs:
        if job.status is JobStatus.CANCELING or (job.status is JobStatus.RUNNING and _counts(case, job)):
            yield from _no_progress(case, job)
        if job.status in RUNNING and job.last_seen_at is not None:
            yield from _heartbeat_lost(case, job)


def _is_stream(case: Case, job: JobView) -> bool:
    return job.type is JobType.STREAM or case.connector.mode is ConnectorMode.STREAMING


def _counts(case: Case, job: JobView) -> bool:
    """Whether standing still means anything: something counts, and a stream has something to do."""
    if _is_stream(case, job):
        return bool(job.backlog)
    return job.processed is not None or bool(job.samples)


def _moved(case: Case, job: JobView) -> datetime:
    """When a counter moved last, at the earliest when it began to run before our eyes.

    Of a stream what is processed counts, and not what comes in: from then on, or since something waits for it.
    """
    moved = job.waiting_since if _is_stream(case, job) else job.moved_at
    unseen = bool(job.samples) and job.processed is not None and job.processed != job.samples[-1].processed
    known = (job.first_seen_at, job.status_since, moved, last_move(job.samples), case.now if unseen else None)
    return max(filter(None, known))


def _no_progress(case: Case, job: JobView) -> Iterator[Finding]:
    moved = _moved(case, job)
    limit = stalled_after(job, case.connector, case.system, case.thresholds)
    held = case.held(ConditionCode.NO_PROGRESS, job)
    if held is not None and moved > held.since:
        held = None
    if not case.holds_on(held, moved, limit) and case.seen_for(moved) < limit:
        return
    was_critical = held is not None and held.severity is ConditionSeverity.CRITICAL and not has_grown(limit, held)
    critical = was_critical or case.seen_for(moved) >= limit * case.thresholds.critical_factor
    doing = "runs, but its counters have stood still"
    if job.status is JobStatus.CANCELING:
        doing = "is being canceled, but has neither ended nor moved"
    is_stream = _is_stream(case, job)
    done = "" if job.processed is None or is_stream else f" after {counted(job.processed, 'documents')}"
    beats = job.last_seen_at is not None and job.heartbeat_at is not None and job.heartbeat_at > moved
    yield case.finding(
        ConditionCode.NO_PROGRESS,
        ConditionSeverity.CRITICAL if critical else ConditionSeverity.WARNING,
        moved,
        f"Job {job.external_id} {doing} since {spoken(moved)}{done}.",
        {
            "lastMovedAt": iso(moved),
            "processed": job.processed,
            "waiting": job.backlog if is_stream else None,
            "heartbeat": "alive" if beats else "unknown",
            "lastSeenAt": iso(job.last_seen_at),
            "thresholdSeconds": limit,
        },
        job,
        anew=held is None,
    )


def _heartbeat_lost(case: Case, job: JobView) -> Iterator[Finding]:
    sign = max(_moved(case, job), job.heartbeat_at or job.first_seen_at)
    limit = silent_after(case.thresholds.heartbeat, case.system)
    held = case.held(ConditionCode.HEARTBEAT_LOST, job)
    if held is not None and sign > held.since:
        held = None
    if not case.holds_on(held, sign, limit) and case.seen_for(sign) < limit:
        return
    assert job.last_seen_at is not None
    yield case.finding(
        ConditionCode.HEARTBEAT_LOST,
        ConditionSeverity.CRITICAL,
        sign,
        f"Job {job.external_id} runs, but its worker was last heard of at {spoken(job.last_seen_at)}; "
        f"it should be every {lasting(limit)} at least.",
        {
            "lastSeenAt": iso(job.last_seen_at),
            "lastSignAt": iso(sign),
            "processed": job.processed,
            "thresholdSeconds": limit,
        },
        job,
        anew=held is None,
    )
