"""Documents and records that failed."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from connectory.engine.judging.case import Case
from connectory.engine.judging.movement import moves
from connectory.engine.judging.views import Evidence, Finding, Run, Sample
from connectory.engine.judging.wording import counted, iso, spoken
from connectory.model import ConditionCode, ConditionSeverity, ConnectorMode, ConnectorStatus, JobStatus, JobType

#: Ends that say nothing of the documents unless some failed.
_SILENT = frozenset({JobStatus.FAILED, JobStatus.CANCELED, JobStatus.INTERRUPTED, JobStatus.UNKNOWN})


def document_errors(case: Case) -> Iterator[Finding]:
    """DOCUMENT_ERRORS of the open run, and of the newest ended one. A stream counts records; see ``error_growth``."""
    if case.connector.mode is ConnectorMode.STREAMING:
        return
    for job in case.connector.jobs:
        if job.failed and job.type not in (JobType.ACCESS_CONTROL, JobType.STREAM):
            yield case.finding(
                ConditionCode.DOCUMENT_ERRORS,
                ConditionSeverity.WARNING,
                case.now,
                f"Documents failed in job {job.external_id}, which has not ended.",
                {"failed": job.failed, "jobId": job.id},
                job,
            )
    yield from _of_the_last_run(case)


def _of_the_last_run(case: Case) -> Iterator[Finding]:
    ended = case.connector.runs
    last = next((run for run in ended if _has_errors(run) or run.status not in _SILENT), None)
    held = case.held(ConditionCode.DOCUMENT_ERRORS)
    if last is None and held is not None:
        yield held
    if last is None or not _has_errors(last):
        return
    many = "Documents" if last.failed is None else counted(last.failed, "documents")
    ended_at = last.completed_at or last.started_at
    of = "its last run" if last is ended[0] or ended_at is None else f"its run that ended at {spoken(ended_at)}"
    yield case.finding(
        ConditionCode.DOCUMENT_ERRORS,
        ConditionSeverity.WARNING,
        ended_at or case.now,
        f"{many} failed in {of}.",
        {"failed": last.failed, "jobId": last.id},
    )


def _has_errors(run: Run) -> bool:
    return bool(run.failed) or run.status is JobStatus.SUCCEEDED_WITH_ERRORS


def error_growth(case: Case) -> Iterator[Finding]:
    """PARSE_ERRORS and TRANSPORT_ERRORS: totals that grew within the window; a total alone says nothing."""
    for code, samples, sentence in (
        (ConditionCode.PARSE_ERRORS, case.connector.parse_errors, "Records could not be parsed"),
        (ConditionCode.TRANSPORT_ERRORS, case.connector.transport_errors, "The transport reported errors"),
    ):
        yield from _growth(case, code, samples, sentence)


def _rests(case: Case, held: Finding | None, first: Sample) -> bool:
    """Whether the total has not moved for a window, though we watch it for less: it is as it was when it last grew."""
    if held is None or held.evidence["total"] != first.processed:
        return False
    return case.since(datetime.fromisoformat(str(held.evidence["lastGrewAt"]))) >= case.thresholds.error_window


def _growth(case: Case, code: ConditionCode, samples: Sequence[Sample], sentence: str) -> Iterator[Finding]:
    """A counter that fell begins anew where it fell to."""
    held, window = case.held(code), case.thresholds.error_window
    grown = [(low, high) for low, high in pairwise(moves(samples)) if high.processed > low.processed]
    recent = [(low, high) for low, high in grown if case.since(high.at) < window]
    # watched for a whole window: only then does seeing no growth say that there was none
    watched = bool(samples) and (case.since(samples[0].at) >= window or _rests(case, held, samples[0]))
    in_service = case.connector.status is ConnectorStatus.ACTIVE
    if not recent:
        if held is not None and not watched and in_service:
            yield held
        return
    evidence: dict[str, Evidence] = {
        "total": samples[-1].processed,
        "totalBefore": recent[0][0].processed if held is None else held.evidence["totalBefore"],
        "lastGrewAt": iso(recent[-1][1].at),
        "windowSeconds": window,
    }
    since = recent[0][1].at if held is None else held.since
    message = f"{sentence}; the first of them was counted at {spoken(since)}."
    yield case.finding(code, ConditionSeverity.WARNING, since, message, evidence)
