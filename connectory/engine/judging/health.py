"""Whether a connector does its work: pure judgement over its facts and its conditions, by one table."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from connectory.model import ConditionSeverity, ConnectorHealth, ConnectorStatus, JobStatus

_IMPAIRED = frozenset({JobStatus.SUCCEEDED_WITH_ERRORS, JobStatus.INTERRUPTED})
#: A newest job in one of these has not begun to run.
_NOT_BEGUN = frozenset({None, JobStatus.PENDING})
#: Conditions of this weight count.
_CONCERNS = frozenset({ConditionSeverity.WARNING, ConditionSeverity.CRITICAL})


class Judged(Protocol):
    """What the judgement looks at."""

    @property
    def status(self) -> ConnectorStatus: ...
    @property
    def last_job_status(self) -> JobStatus | None: ...
    @property
    def last_finished_job_status(self) -> JobStatus | None: ...
    @property
    def last_success_at(self) -> Any: ...
    @property
    def in_repeated_error_state(self) -> bool | None: ...
    @property
    def is_unhealthy(self) -> bool: ...


Severity = ConditionSeverity | None


def _never_ran(of: Judged, concern: Severity) -> bool:
    return of.last_finished_job_status is None and of.last_success_at is None and of.last_job_status in _NOT_BEGUN


#: Of the first health one of whose reasons holds: reason → whether it does (design, "Definitions").
HEALTHS: Mapping[ConnectorHealth, Mapping[str, Callable[[Judged, Severity], Any]]] = {
    ConnectorHealth.FAILING: {
        "its status is ERROR": lambda of, concern: of.status is ConnectorStatus.ERROR,
        "its last finished job FAILED": lambda of, concern: of.last_finished_job_status is JobStatus.FAILED,
        "the upstream says that its runs keep failing": lambda of, concern: of.in_repeated_error_state,
    },
    ConnectorHealth.DEGRADED: {
        "its last finished job SUCCEEDED_WITH_ERRORS or was INTERRUPTED": (
            lambda of, concern: of.last_finished_job_status in _IMPAIRED
        ),
        "the upstream calls it unhealthy": lambda of, concern: of.is_unhealthy,
        "a condition of severity WARNING or CRITICAL holds, other than STALE and SYSTEM_DOWN": (
            lambda of, concern: concern in _CONCERNS
        ),
    },
    ConnectorHealth.UNKNOWN: {
        "its status is UNKNOWN": lambda of, concern: of.status is ConnectorStatus.UNKNOWN,
        "nothing ever ran": _never_ran,
    },
    ConnectorHealth.HEALTHY: {"none of these": lambda of, concern: True},
}


def connector_health(of: Judged, concern: Severity = None) -> ConnectorHealth:
    """The first health in the table one of whose reasons holds.

    ``concern``: the severity of the worst condition that it shows, STALE and SYSTEM_DOWN left out.
    """
    return next(health for health, reasons in HEALTHS.items() if any(holds(of, concern) for holds in reasons.values()))
