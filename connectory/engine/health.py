"""Whether a connector does its work: pure judgement over its facts."""

from typing import Any, Protocol

from connectory.model import ConnectorHealth, ConnectorStatus, JobStatus

_IMPAIRED = frozenset({JobStatus.SUCCEEDED_WITH_ERRORS, JobStatus.INTERRUPTED})
#: A newest job in one of these has not begun to run.
_NOT_BEGUN = frozenset({None, JobStatus.PENDING})


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


def connector_health(of: Judged) -> ConnectorHealth:
    """FAILING before DEGRADED before UNKNOWN before HEALTHY (design, "Definitions")."""
    finished = of.last_finished_job_status
    if of.status is ConnectorStatus.ERROR or finished is JobStatus.FAILED or of.in_repeated_error_state:
        return ConnectorHealth.FAILING
    if finished in _IMPAIRED or of.is_unhealthy:
        return ConnectorHealth.DEGRADED
    never_ran = finished is None and of.last_success_at is None and of.last_job_status in _NOT_BEGUN
    if of.status is ConnectorStatus.UNKNOWN or never_ran:
        return ConnectorHealth.UNKNOWN
    return ConnectorHealth.HEALTHY
