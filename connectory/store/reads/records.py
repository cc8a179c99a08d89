"""What a read gives: plain records whose attributes are the fields of the GraphQL types.

Everything that can be worked out when the record is made is an attribute, so that a field costs one getattr.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import Table

from connectory.eta import NO_ESTIMATE, Progress, estimate, percent
from connectory.model import (
    AccessType,
    Capability,
    ConditionCode,
    ConditionSeverity,
    ConnectorAction,
    ConnectorHealth,
    ConnectorMode,
    ConnectorStatus,
    CountsFact,
    EtaBasis,
    EventKind,
    JobAction,
    JobStatus,
    JobTrigger,
    JobType,
    StageFact,
    SystemErrorCode,
    SystemHealth,
)
from connectory.store.tables.identity import CONNECTOR, JOB, SYSTEM

DOWN = frozenset({SystemHealth.DOWN, SystemHealth.AUTH_FAILED})
#: Seconds, some thirty years: who allows values to grow older than that, or sets ``inf``, means for ever.
_FOR_EVER = 1e9


class DetailsRecord:
    """A details object: ``typename`` says which GraphQL type shows it; what it lacks reads as None."""

    __slots__ = ("_values", "typename")

    def __init__(self, typename: str, values: Mapping[str, Any]) -> None:
        self.typename = typename
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions, such as whether it can be awaited
            raise AttributeError(name)
        return self._values.get(name)


def _details(typename: str | None, text: str | None) -> DetailsRecord | None:
    return None if typename is None or text is None else DetailsRecord(typename, json.loads(text))


@dataclass(slots=True)
class ConditionRecord:
    """A condition that holds. ``evidence`` is decoded JSON."""

    code: ConditionCode
    severity: ConditionSeverity
    message: str
    since: datetime
    evidence: Any = None
    #: None for what is about the connector itself
    job_id: str | None = None


@dataclass(slots=True)
class SystemErrorRecord:
    """What kept the last poll of a system from being complete."""

    code: SystemErrorCode
    message: str
    at: datetime


@dataclass(slots=True)
class SystemRecord:
    """A System, from the columns of its row up to ``error_at``. ``stale_after`` is in seconds."""

    typename: ClassVar[str] = SYSTEM

    id: str
    name: str
    kind: str
    health: SystemHealth
    capabilities: list[Capability]
    stale_after: float
    last_poll_at: datetime | None
    last_success_at: datetime | None
    observed_at: datetime | None
    next_poll_at: datetime | None
    down_since: datetime | None
    consecutive_failures: int
    error_code: SystemErrorCode | None
    error_message: str | None
    error_at: datetime | None

    def __post_init__(self) -> None:
        names = json.loads(str(self.capabilities))
        self.capabilities = [Capability[name] for name in names if name in Capability.__members__]

    @property
    def last_error(self) -> SystemErrorRecord | None:
        """None when the last poll was complete."""
        if self.error_code is None or self.error_at is None:
            return None
        return SystemErrorRecord(self.error_code, self.error_message or "", self.error_at)

    def fresh_until(self, seen: datetime) -> datetime:
        """When a value seen at ``seen`` becomes stale."""
        return seen + timedelta(seconds=min(self.stale_after, _FOR_EVER))


@dataclass(slots=True)
class ConnectorRecord:
    """A Connector: columns up to ``observed_at``, then what is joined."""

    typename: ClassVar[str] = CONNECTOR

    id: str
    system_id: str
    external_id: str
    url: str | None
    name: str
    name_key: str
    source: str
    mode: ConnectorMode
    status: ConnectorStatus
    upstream_status: str | None
    health: ConnectorHealth
    access_type: AccessType | None
    in_progress: bool
    in_repeated_error_state: bool | None
    is_editable: bool | None
    docs_indexed: int | None
    latest_job_docs_indexed: int | None
    last_job_status: JobStatus | None
    last_finished_job_status: JobStatus | None
    last_success_at: datetime | None
    last_sync_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    error_message: str | None
    details_type: str | None
    #: JSON text until somebody asks, see ``details``
    details_text: str | None
    latest_job_id: str | None
    removed_at: datetime | None
    observed_at: datetime
    system: SystemRecord
    is_stale: bool
    #: those that follow from its system and the clock; the others are judged and stored
    joined_conditions: list[ConditionRecord]
    available_actions: list[ConnectorAction] = field(default_factory=list)

    @property
    def details(self) -> DetailsRecord | None:
        """What the common fields do not hold; None without any."""
        return _details(self.details_type, self.details_text)


@dataclass(slots=True)
class ProgressRecord:
    """A JobProgress. ``percent`` is from 0 to 100; rates and estimates are in seconds."""

    processed: int | None
    total: int | None
    percent: float | None
    stages: list[StageFact]
    rate_per_second: float | None = None
    eta_seconds: float | None = None
    eta_basis: EtaBasis = EtaBasis.NONE
    past_runs: int | None = None


@dataclass(slots=True)
class JobRecord:
    """A Job: columns up to ``observed_at``, then the counters and what is joined."""

    typename: ClassVar[str] = JOB

    id: str
    system_id: str
    external_id: str
    connector_id: str | None
    source: str | None
    status: JobStatus
    upstream_status: str | None
    type: JobType
    trigger: JobTrigger
    processed: int | None
    expected_total: int | None
    stages: str | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    vanished_at: datetime | None
    cancel_requested_at: datetime | None
    canceled_at: datetime | None
    last_seen_at: datetime | None
    error_message: str | None
    worker_hostname: str | None
    details_type: str | None
    details_text: str | None
    rate_per_second: float | None
    counted_at: datetime | None
    expected_seconds: float | None
    expected_processed: int | None
    expected_runs: int | None
    created_order: int
    observed_at: datetime
    #: in the order of CountsFact
    counters: tuple[int | None, ...]
    system: SystemRecord
    #: the snapshot's moment: what its estimates are worked out for
    now: datetime
    available_actions: list[JobAction] = field(default_factory=list)

    @property
    def counts(self) -> CountsFact:
        """What it has done."""
        return CountsFact._make(self.counters)

    @property
    def progress(self) -> ProgressRecord:
        """How far it has come, and when it will end, as of the snapshot's moment."""
        progress = Progress(
            status=self.status,
            processed=self.processed,
            total=self.expected_total,
            rate_per_second=self.rate_per_second,
            counted_at=self.counted_at,
            expected_seconds=self.expected_seconds,
            expected_processed=self.expected_processed,
            started_at=self.started_at,
        )
        left = estimate(progress, self.now) if self._is_current else NO_ESTIMATE
        return ProgressRecord(
            processed=self.processed,
            total=self.expected_total,
            percent=percent(self.status, self.processed, self.expected_total),
            stages=[StageFact(name, count) for name, count in json.loads(self.stages)] if self.stages else [],
            rate_per_second=self.rate_per_second,
            eta_seconds=left.seconds,
            eta_basis=left.basis,
            past_runs=self.expected_runs,
        )

    @property
    def _is_current(self) -> bool:
        """Whether it is seen at present: what nobody sees may stand still."""
        return self.system.health not in DOWN and self.now <= self.system.fresh_until(self.observed_at)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to be expected of it; of one that vanished nobody knows how it ended."""
        return self.status.ended or self.completed_at is not None or self.vanished_at is not None

    @property
    def duration_seconds(self) -> float | None:
        """From start to end, or to the moment it was last seen at work."""
        if self.started_at is None:
            return None
        if self.completed_at is None and not self.status.open:
            return None
        return max(0.0, ((self.completed_at or self.observed_at) - self.started_at).total_seconds())

    @property
    def details(self) -> DetailsRecord | None:
        """What the common fields do not hold; None without any."""
        return _details(self.details_type, self.details_text)


@dataclass(slots=True)
class JobErrorRecord:
    """A JobError: one document that failed."""

    document_id: str | None
    url: str | None
    message: str
    at: datetime | None
    is_resolved: bool | None


@dataclass(slots=True)
class SummaryRecord:
    """A SourceSummary: what is counted of the connectors of one source."""

    source: str
    total_connectors: int
    active_connectors: int
    public_connectors: int
    failing_connectors: int
    stale_connectors: int
    running_jobs: int
    total_docs_indexed: int | None
    last_success_at: datetime | None
    #: the filter it was counted under: its connectors are those
    filter: Any


@dataclass(slots=True)
class EventRecord:
    """One line of the change log, as the GraphQL event type that ``typename`` names."""

    typename: str
    position: int
    cursor: str
    at: datetime
    kind: EventKind
    system_id: str
    connector_id: str | None
    job_id: str | None
    processed: int | None
    message: str
    changed_fields: list[str]
    connector_status: ConnectorStatus | None = None
    previous_connector_status: ConnectorStatus | None = None
    connector_health: ConnectorHealth | None = None
    previous_connector_health: ConnectorHealth | None = None
    job_status: JobStatus | None = None
    previous_job_status: JobStatus | None = None
    system_health: SystemHealth | None = None


@dataclass(slots=True)
class GapRecord:
    """A stretch of the log that is no longer kept, in the place of its events."""

    typename: ClassVar[str] = "GapEvent"

    position: int
    cursor: str
    at: datetime
    kind: EventKind
    from_: str
    to: str


def columns(table: Table, record: type[Any], last: str) -> list[Any]:
    """The table's columns in the order of the record's fields, up to ``last``: ``record(*row, …)`` fits them."""
    names = [f.name for f in fields(record)]
    names = names[: names.index(last) + 1]
    return [table.c[name.removesuffix("_text")] for name in names]
