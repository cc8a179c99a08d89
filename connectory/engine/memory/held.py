"""The conditions that hold, as the store has them: what the next judgement starts from."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from datetime import datetime
from typing import Any

from connectory.engine.judging.views import Finding
from connectory.model import ConditionCode, ConditionSeverity
from connectory.slices import slices

Key = tuple[str, ConditionCode]


def key_of(finding: Finding) -> Key:
    return finding.subject_id, finding.code


class HeldConditions:
    """Findings by subject and code, and by connector. Changed only after what it follows has been committed."""

    def __init__(self, rows: Iterable[Any] = ()) -> None:
        self._findings: dict[Key, Finding] = {}
        self._of: defaultdict[str, set[Key]] = defaultdict(set)
        #: when a finding was last written
        self._written: dict[Key, datetime] = {}
        for row in rows:
            self._put(_finding(row))

    @property
    def findings(self) -> Mapping[Key, Finding]:
        return self._findings

    def of(self, connector_id: str) -> list[Finding]:
        """Those of a connector and of its open jobs."""
        return [self._findings[key] for key in self._of.get(connector_id, ())]

    def of_job(self, id: str) -> list[Finding]:
        """Those of a very job."""
        return [found for code in ConditionCode if (found := self._findings.get((id, code))) is not None]

    def any_of(self, connector_id: str) -> bool:
        """Whether anything holds of a connector or of its open jobs."""
        return connector_id in self._of

    def has(self, subject_id: str) -> bool:
        """Whether anything holds of this very job or connector."""
        return any((subject_id, code) in self._findings for code in ConditionCode) if self._findings else False

    async def lost(self, jobs: Set[str], connectors: Set[str]) -> list[Finding]:
        """Those that end with their subject: of jobs that ended and of connectors that were removed."""
        lost: list[Finding] = []
        async for some in slices(self._findings.values()):
            lost += [each for each in some if each.job_id in jobs or each.connector_id in connectors]
        return lost

    def written_at(self, key: Key) -> datetime | None:
        """None where that was before we began."""
        return self._written.get(key)

    async def put(self, findings: Iterable[Finding], now: datetime) -> None:
        async for some in slices(findings):
            for finding in some:
                self._put(finding)
                self._written[key_of(finding)] = now

    async def drop(self, findings: Iterable[Finding]) -> None:
        async for some in slices(findings):
            for finding in some:
                self._drop(finding)

    def _drop(self, finding: Finding) -> None:
        key = key_of(finding)
        self._findings.pop(key, None)
        self._written.pop(key, None)
        self._of[finding.connector_id].discard(key)
        if not self._of[finding.connector_id]:
            del self._of[finding.connector_id]

    def _put(self, finding: Finding) -> None:
        if (before := self._findings.get(key_of(finding))) is not None:
            self._drop(before)  # its job may be another connector's now
        self._findings[key_of(finding)] = finding
        self._of[finding.connector_id].add(key_of(finding))


def worst(findings: Iterable[Finding]) -> ConditionSeverity | None:
    """The highest severity among them; None when there are none."""
    return max((finding.severity for finding in findings), key=lambda severity: severity.value, default=None)


def condition_row(system_id: str, finding: Finding) -> dict[str, Any]:
    """The columns of the conditions table."""
    return {
        "subject_id": finding.subject_id,
        "code": finding.code,
        "system_id": system_id,
        "connector_id": finding.connector_id,
        "job_id": finding.job_id,
        "severity": finding.severity,
        "since": finding.since,
        "message": finding.message,
        "evidence": json.dumps(finding.evidence),
    }


def _finding(row: Any) -> Finding:
    return Finding(
        subject_id=row.subject_id,
        connector_id=row.connector_id,
        job_id=row.job_id,
        code=row.code,
        severity=row.severity,
        since=row.since,
        message=row.message,
        evidence=json.loads(row.evidence),
    )
