"""Open jobs as we saw them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from connectory.engine.judging.views import Finding, JobView
from connectory.engine.memory.connectors import Counter
from connectory.model import ConditionCode, JobStatus, JobType
from connectory.model.fields import COUNTER_COLUMNS
from connectory.store.reads.recall import Trace
from connectory.store.rows import Row

#: What counts a job's progress; its stages count as one.
PROGRESS_COLUMNS = ("processed", *COUNTER_COLUMNS.values(), "stages")
#: Columns that the engine works out of what it remembers.
ESTIMATES = ("rate_per_second", "counted_at", "expected_seconds", "expected_processed", "expected_runs")
#: Columns that are remembered.
COLUMNS = (
    "id", "external_id", "connector_id", "status", "type", "created_at", "started_at", "last_seen_at",
    "expected_total", "moved_at", "longest_quiet", "waiting_since", *PROGRESS_COLUMNS, *ESTIMATES,
)  # fmt: skip
#: Evidence that says when we saw the job, or something of it: it is at least as old.
_SEEN = ("firstSeenAt", "lastMovedAt", "lastSignAt")


def backlog(row: Mapping[str, Any]) -> int | None:
    """Records that wait in the stream of this row; None where it is no stream, or does not say."""
    received: int | None = row["counted_total"]
    processed: int | None = row["processed"]
    if row["type"] is not JobType.STREAM or received is None or processed is None:
        return None
    return max(0, received - processed)


class OpenJob:
    """An open job as we saw it."""

    def __init__(self, row: Mapping[str, Any], first_seen_at: datetime) -> None:
        self.row: Row = {name: row[name] for name in COLUMNS}
        self.first_seen_at = first_seen_at
        self.status_since: datetime | None = None
        self.heartbeat_at: datetime | None = None
        self.samples = Counter()
        self._sample(first_seen_at)

    def see(self, row: Mapping[str, Any], now: datetime) -> None:
        """What is told of it now."""
        before, self.row = self.row, {name: row[name] for name in COLUMNS}
        if before["status"] is not row["status"]:
            self.status_since = now
        if before["last_seen_at"] != row["last_seen_at"]:
            self.heartbeat_at = now
        self._sample(now)

    def trace(self, line: Trace) -> None:
        """What the log says of it, in order."""
        fields = set((line.changed_fields or "").split(","))
        if line.previous_status is not None and line.previous_status != line.status:
            self.status_since = line.at
        if "lastSeenAt" in fields:
            self.heartbeat_at = line.at
        if line.status != JobStatus.PENDING.value:
            self.samples.see(line.processed, line.at)

    def resume(self, row: Row, at: datetime) -> None:
        """What the store has of it, last written at that moment."""
        self.row = row
        self._sample(at)

    def uphold(self, held: Iterable[Finding]) -> None:
        """Its row and what holds of it tell what the log does not: how long we have seen it, and what has not moved
        since."""
        holding = {finding.code: finding for finding in held}
        times = [finding.evidence.get(name) for finding in holding.values() for name in _SEEN]
        seen = [datetime.fromisoformat(str(each)) for each in times if each]
        first = min([*seen, self.row["moved_at"] or self.first_seen_at])
        if first < self.first_seen_at:
            if ConditionCode.HEARTBEAT_LOST not in holding:
                self.heartbeat_at = self.heartbeat_at or self.first_seen_at
            self.first_seen_at = first

    def _sample(self, now: datetime) -> None:
        if self.row["status"] is not JobStatus.PENDING:  # a wait for a worker is no pause
            self.samples.see(self.row["processed"], now)

    @property
    def view(self) -> JobView:
        row = self.row
        return JobView(
            id=row["id"],
            external_id=row["external_id"],
            connector_id=row["connector_id"],
            status=row["status"],
            type=row["type"],
            created_at=row["created_at"],
            first_seen_at=self.first_seen_at,
            status_since=self.status_since,
            started_at=row["started_at"],
            last_seen_at=row["last_seen_at"],
            heartbeat_at=self.heartbeat_at,
            moved_at=row["moved_at"],
            longest_stall=row["longest_quiet"],
            processed=row["processed"],
            failed=row["failed"],
            backlog=backlog(row),
            waiting_since=row["waiting_since"],
            samples=tuple(self.samples),
        )
