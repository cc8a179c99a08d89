"""Views for tables of cases: times are seconds from T0, everything not said is unremarkable."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectory.engine.judging.judge import judge
from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.judging.views import Before, ConnectorView, Finding, JobView, Run, Sample, SystemView
from connectory.model import ConnectorStatus, JobStatus, JobType
from tests.facts import T0, at

DAY, HOUR, MINUTE = 86_400.0, 3_600.0, 60.0
ELASTIC = SystemView(one_job_at_a_time="connector", tells_workers=True)
ONYX = SystemView(one_job_at_a_time="connector")
ZENSEARCH = SystemView()
LIMITS = Thresholds()


def moment(seconds: float | datetime | None) -> datetime | None:
    return at(seconds) if isinstance(seconds, int | float) else seconds


def _timed(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: moment(value) if key.endswith(("_at", "_since")) else value for key, value in fields.items()}


def samples(*pairs: tuple[float, int]) -> tuple[Sample, ...]:
    return tuple(Sample(at(seconds), processed) for seconds, processed in pairs)


def job(id: str = "j", status: JobStatus = JobStatus.RUNNING, **fields: Any) -> JobView:
    usual: dict[str, Any] = {"connector_id": "c", "first_seen_at": 0, "type": JobType.FULL, "external_id": f"x{id}"}
    return JobView(id=id, status=status, **_timed(usual | fields))


def connector(*jobs: JobView, **fields: Any) -> ConnectorView:
    return ConnectorView(id="c", jobs=jobs, **_timed({"status": ConnectorStatus.ACTIVE} | fields))


def run(id: str = "r", status: JobStatus = JobStatus.SUCCEEDED, **fields: Any) -> Run:
    return Run(id=id, status=status, **_timed({"type": JobType.FULL} | fields))


def runs(*statuses: JobStatus, every: float = HOUR, lasting: float = MINUTE, **fields: Any) -> tuple[Run, ...]:
    """Newest first; the newest ended at T0."""
    return tuple(
        run(f"r{number}", status, started_at=-number * every - lasting, completed_at=-number * every, **fields)
        for number, status in enumerate(statuses)
    )


def found(
    of: ConnectorView,
    seconds: float,
    *,
    system: SystemView = ZENSEARCH,
    before: Sequence[Finding] = (),
    limits: Thresholds = LIMITS,
) -> list[Finding]:
    return judge(system, [of], limits, by_key(before), at(seconds))


def codes(*args: Any, **options: Any) -> set[str]:
    return {finding.code.name for finding in found(*args, **options)}


def only(*args: Any, **options: Any) -> Finding:
    (finding,) = found(*args, **options)
    return finding


def by_key(findings: Iterable[Finding]) -> Before:
    return {(finding.subject_id, finding.code): finding for finding in findings}


def since(finding: Finding) -> float:
    """Seconds from T0."""
    return (finding.since - T0) / timedelta(seconds=1)
