"""A connector's health: every rule, and which of them comes first."""

from types import SimpleNamespace
from typing import Any

import pytest

from connectory.engine.judging.health import connector_health
from connectory.model import ConditionSeverity, ConnectorHealth, ConnectorStatus, JobStatus
from tests.facts import T0

FAILING, DEGRADED, UNKNOWN, HEALTHY = (ConnectorHealth[n] for n in ("FAILING", "DEGRADED", "UNKNOWN", "HEALTHY"))


def health(**facts: Any) -> ConnectorHealth:
    """Of a connector that ran well, except for what is ``said``."""
    usual = {
        "status": ConnectorStatus.ACTIVE,
        "last_job_status": JobStatus.SUCCEEDED,
        "last_finished_job_status": JobStatus.SUCCEEDED,
        "last_success_at": T0,
        "in_repeated_error_state": False,
        "is_unhealthy": False,
    }
    concern = facts.pop("concern", None)
    return connector_health(SimpleNamespace(**(usual | facts)), concern)


NEVER: dict[str, Any] = {"last_job_status": None, "last_finished_job_status": None, "last_success_at": None}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, HEALTHY),
        ({"status": ConnectorStatus.ERROR}, FAILING),
        ({"last_finished_job_status": JobStatus.FAILED}, FAILING),
        ({"in_repeated_error_state": True}, FAILING),
        ({"in_repeated_error_state": None}, HEALTHY),
        ({"last_finished_job_status": JobStatus.SUCCEEDED_WITH_ERRORS}, DEGRADED),
        ({"last_finished_job_status": JobStatus.INTERRUPTED}, DEGRADED),
        ({"last_finished_job_status": JobStatus.CANCELED}, HEALTHY),
        ({"is_unhealthy": True}, DEGRADED),
        ({"concern": ConditionSeverity.INFO}, HEALTHY),
        ({"concern": ConditionSeverity.WARNING}, DEGRADED),
        ({"concern": ConditionSeverity.CRITICAL}, DEGRADED),
        ({"status": ConnectorStatus.UNKNOWN}, UNKNOWN),
        (NEVER, UNKNOWN),
        (NEVER | {"last_job_status": JobStatus.PENDING}, UNKNOWN),
        # it runs for the first time
        (NEVER | {"last_job_status": JobStatus.RUNNING}, HEALTHY),
        # the upstream tells of a success, and of no job
        (NEVER | {"last_success_at": T0}, HEALTHY),
        # a failure is what counts while the next job runs
        ({"last_job_status": JobStatus.RUNNING, "last_finished_job_status": JobStatus.FAILED}, FAILING),
        # precedence
        ({"status": ConnectorStatus.ERROR, "is_unhealthy": True}, FAILING),
        (NEVER | {"status": ConnectorStatus.ERROR}, FAILING),
        ({"status": ConnectorStatus.UNKNOWN, "last_finished_job_status": JobStatus.FAILED}, FAILING),
        ({"status": ConnectorStatus.UNKNOWN, "last_finished_job_status": JobStatus.INTERRUPTED}, DEGRADED),
        (NEVER | {"is_unhealthy": True}, DEGRADED),
        (NEVER | {"concern": ConditionSeverity.CRITICAL}, DEGRADED),
        ({"status": ConnectorStatus.ERROR, "concern": ConditionSeverity.CRITICAL}, FAILING),
    ],
)
def test_rules(facts: dict[str, Any], expected: ConnectorHealth) -> None:
    assert health(**facts) is expected


@pytest.mark.parametrize(
    "status", [s for s in ConnectorStatus if s not in (ConnectorStatus.ERROR, ConnectorStatus.UNKNOWN)]
)
def test_no_other_status_speaks_against_a_connector_that_ran_well(status: ConnectorStatus) -> None:
    assert health(status=status) is HEALTHY
