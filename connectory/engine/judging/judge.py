"""All families together: what holds of these connectors now."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from connectory.engine.judging.case import Case
from connectory.engine.judging.checkpoint import checkpoint
from connectory.engine.judging.errors import document_errors, error_growth
from connectory.engine.judging.failures import failures
from connectory.engine.judging.overdue import overdue
from connectory.engine.judging.progress import standstills
from connectory.engine.judging.queue import waits
from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.judging.views import Before, ConnectorView, Finding, SystemView
from connectory.model import ConditionCode

_FAMILIES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    waits,
    standstills,
    failures,
    document_errors,
    error_growth,
    checkpoint,
    overdue,
)

#: The code that says more, and those of the same subject that it makes superfluous.
REPLACES: Mapping[ConditionCode, frozenset[ConditionCode]] = {
    ConditionCode.NO_WORKER: frozenset({ConditionCode.QUEUED, ConditionCode.QUEUED_BEHIND}),
    ConditionCode.QUEUED_BEHIND: frozenset({ConditionCode.QUEUED}),
    ConditionCode.HEARTBEAT_LOST: frozenset({ConditionCode.NO_PROGRESS}),
}


def judge(
    system: SystemView, connectors: Iterable[ConnectorView], thresholds: Thresholds, before: Before, now: datetime
) -> list[Finding]:
    """Every condition that holds of ``connectors`` and their open jobs, STALE and SYSTEM_DOWN aside.

    ``before`` is what the last judgement found; what it says of others than ``connectors`` is left alone. What it holds
    and this leaves out has ended. Asked again with its own answer and nothing else changed, it answers the same.
    """
    found: list[Finding] = []
    for connector in connectors:
        case = Case(system=system, connector=connector, thresholds=thresholds, before=before, now=now)
        findings = [finding for family in _FAMILIES for finding in family(case)]
        found += _without_replaced(findings)
    return found


def _without_replaced(findings: list[Finding]) -> list[Finding]:
    dropped = {(f.subject_id, code) for f in findings for code in REPLACES.get(f.code, ())}
    return [f for f in findings if (f.subject_id, f.code) not in dropped]
