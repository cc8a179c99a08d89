"""What lists are narrowed by. A criterion left out, null, empty or "" is no criterion."""

from datetime import datetime

import strawberry

from connectory.model import (
    AccessType,
    ConditionCode,
    ConditionSeverity,
    ConnectorHealth,
    ConnectorMode,
    ConnectorStatus,
    DeliveryStatus,
    EventKind,
    JobStatus,
    JobTrigger,
    JobType,
    NoticeKind,
)
from schema import enums as enums
from schema.scalars import Long


@strawberry.input(
    description="Bounds of a number. All given bounds must hold; a number that is null meets none of them."
)
class LongFilter:
    eq: Long | None = strawberry.field(default=None, description="Exactly this.")
    gt: Long | None = strawberry.field(default=None, description="More than this.")
    gte: Long | None = strawberry.field(default=None, description="This or more.")
    lt: Long | None = strawberry.field(default=None, description="Less than this.")
    lte: Long | None = strawberry.field(default=None, description="This or less.")


@strawberry.input(description="All given criteria must hold; values within one list are alternatives.")
class ConnectorFilter:
    systems: list[str] | None = strawberry.field(default=None, description="Names of systems, as in System.name.")
    kinds: list[str] | None = strawberry.field(default=None, description="Kinds of systems, as in System.kind.")
    sources: list[str] | None = strawberry.field(default=None, description="Source slugs, as in Connector.source.")
    modes: list[ConnectorMode] | None = strawberry.field(default=None, description="Ways of moving content.")
    access_types: list[AccessType] | None = strawberry.field(
        default=None, description="Access types; connectors that tell none match no value."
    )
    statuses: list[ConnectorStatus] | None = strawberry.field(default=None, description="Statuses.")
    healths: list[ConnectorHealth] | None = strawberry.field(default=None, description="Healths.")
    last_job_statuses: list[JobStatus] | None = strawberry.field(
        default=None, description="Statuses of the newest job, as in Connector.lastJobStatus."
    )
    conditions: list[ConditionCode] | None = strawberry.field(
        default=None, description="Condition codes, at least one of which must hold."
    )
    docs_indexed: LongFilter | None = strawberry.field(
        default=None, description="Bounds of docsIndexed; connectors that do not report it match no bound."
    )
    name_contains: str | None = strawberry.field(
        default=None, description="A part of the name; upper and lower case are the same."
    )
    in_progress: bool | None = strawberry.field(
        default=None, description="True: a content job is at work. False: none is."
    )
    is_stale: bool | None = strawberry.field(
        default=None, description="True: values older than their system's freshness limit. False: fresh ones."
    )
    include_removed: bool | None = strawberry.field(
        default=None, description="True also lists connectors that were found gone upstream."
    )


@strawberry.input(description="All given criteria must hold; values within one list are alternatives.")
class JobFilter:
    systems: list[str] | None = strawberry.field(default=None, description="Names of systems, as in System.name.")
    connector_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Ids of connectors, as in Connector.id; an id that names none matches nothing."
    )
    sources: list[str] | None = strawberry.field(default=None, description="Source slugs, as in Connector.source.")
    statuses: list[JobStatus] | None = strawberry.field(default=None, description="Statuses.")
    types: list[JobType] | None = strawberry.field(default=None, description="Job types.")
    triggers: list[JobTrigger] | None = strawberry.field(default=None, description="What started the job.")
    started_after: datetime | None = strawberry.field(
        default=None, description="Began after this moment; jobs without a start match no bound."
    )
    started_before: datetime | None = strawberry.field(
        default=None, description="Began before this moment; jobs without a start match no bound."
    )
    completed_after: datetime | None = strawberry.field(
        default=None, description="Ended after this moment; jobs without an end match no bound."
    )
    completed_before: datetime | None = strawberry.field(
        default=None, description="Ended before this moment; jobs without an end match no bound."
    )
    conditions: list[ConditionCode] | None = strawberry.field(
        default=None, description="Condition codes, at least one of which must hold."
    )


@strawberry.input(description="All given criteria must hold; values within one list are alternatives.")
class NoticeFilter:
    systems: list[str] | None = strawberry.field(default=None, description="Names of systems, as in System.name.")
    connector_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Ids of connectors; notices of a system as a whole match none."
    )
    kinds: list[NoticeKind] | None = strawberry.field(default=None, description="What they are about.")
    severities: list[ConditionSeverity] | None = strawberry.field(default=None, description="Severities.")
    delivery_statuses: list[DeliveryStatus] | None = strawberry.field(
        default=None, description="One of its deliveries at least has come so far. DEAD: nobody was told for good."
    )
    open: bool | None = strawberry.field(default=None, description="True: those that still last. False: those over.")
    acknowledged: bool | None = strawberry.field(
        default=None, description="True: those that somebody has seen to. False: those that nobody has."
    )


@strawberry.input(description="All given criteria must hold; values within one list are alternatives.")
class EventFilter:
    systems: list[str] | None = strawberry.field(default=None, description="Names of systems, as in System.name.")
    connector_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Ids of connectors: their own events and those of their jobs."
    )
    job_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Ids of jobs, as in Job.id.")
    kinds: list[EventKind] | None = strawberry.field(default=None, description="Kinds of events.")
