"""Runs that fail one after the other."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from connectory.engine.judging.case import Case
from connectory.engine.judging.views import Evidence, Finding, Run
from connectory.engine.judging.wording import iso, spoken_iso
from connectory.model import SUCCEEDED, ConditionCode, ConditionSeverity, JobStatus


def failures(case: Case) -> Iterator[Finding]:
    """REPEATED_FAILURES: a success ends it; canceled and interrupted runs neither count nor end it (onyx.md §6)."""
    ended = case.connector.runs
    failed, success = _row(ended)
    # without a success in sight, what was seen before goes further back than what is still remembered
    held = None if success else case.held(ConditionCode.REPEATED_FAILURES)
    count = _count(failed, held)
    if count < case.thresholds.failures:
        return
    if not failed:
        assert held is not None
        yield held
        return
    evidence = _evidence(failed, count, held)
    critical = count >= case.thresholds.failures_critical
    raised_by = failed[-case.thresholds.failures :][0]
    first = evidence["firstFailedAt"]
    in_a_row = count == len(failed) and failed == list(ended[:count])
    sentence = (
        f"Its last {count} runs failed" if in_a_row else f"Of its runs that came to an end, the last {count} failed"
    )
    yield case.finding(
        ConditionCode.REPEATED_FAILURES,
        ConditionSeverity.CRITICAL if critical else ConditionSeverity.WARNING,
        raised_by.completed_at or raised_by.started_at or case.now,
        sentence + ("." if first is None else f", the first at {spoken_iso(str(first))}."),
        evidence,
    )


def _row(ended: Sequence[Run]) -> tuple[list[Run], bool]:
    """The failures up to the newest success, newest first; whether there is one."""
    failed: list[Run] = []
    for run in ended:
        if run.status in SUCCEEDED:
            return failed, True
        if run.status is JobStatus.FAILED:
            failed.append(run)
    return failed, False


def _count(failed: Sequence[Run], held: Finding | None) -> int:
    """Failures in a row: those still remembered, or those counted before and what came since."""
    if held is None:
        return len(failed)
    newer = len(list(takewhile(lambda run: run.id != held.evidence["lastJobId"], failed)))
    return max(len(failed), int(str(held.evidence["failures"])) + newer)


def _evidence(failed: Sequence[Run], count: int, held: Finding | None) -> dict[str, Evidence]:
    first, last = failed[-1], failed[0]
    found: dict[str, Evidence] = {
        "failures": count,
        "firstFailedAt": iso(first.completed_at or first.started_at),
        "firstJobId": first.id,
        "lastFailedAt": iso(last.completed_at or last.started_at),
        "lastJobId": last.id,
        "lastError": last.error_message,
    }
    if held is not None and count > len(failed):
        found |= {key: held.evidence[key] for key in ("firstFailedAt", "firstJobId")}
    return found
