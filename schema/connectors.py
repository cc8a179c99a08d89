"""Connectors: what reads one content source into a system; and conditions, which jobs have too."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry.scalars import JSON

from connectory.model import (
    AccessType,
    ConditionCode,
    ConditionSeverity,
    ConnectorAction,
    ConnectorHealth,
    ConnectorMode,
    ConnectorStatus,
    JobStatus,
)
from resolvers import conditions, history, jobs
from resolvers.paging import PageArguments
from resolvers.vocabulary import ConnectorFacet, HistoryBucketSize
from schema.arguments import JobFilterArgument, JobOrderArgument
from schema.connector_details import ConnectorDetails
from schema.fields import Info, lazily, resolved
from schema.history import ConnectorHistoryBucket, HistoryBucketArgument, HistoryFrom, HistoryTo
from schema.relay import COUNT_BY, After, Before, FacetCount, First, Last, Node, NumberedPage, Offset
from schema.scalars import Long
from schema.systems import System


@strawberry.type(description="Why something is in the state it is in: a reason with evidence, not a verdict.")
class Condition:
    code: ConditionCode = strawberry.field(description="The reason, for programs.")
    severity: ConditionSeverity = strawberry.field(description="How much it matters.")
    message: str = strawberry.field(description="The reason in a sentence, for people.")
    since: datetime = strawberry.field(description="Since when it holds, as far as was observed.")
    evidence: JSON | None = strawberry.field(
        description="The numbers and times it rests on, keys depending on the code; null when there are none."
    )
    job_id: strawberry.ID | None = strawberry.field(
        description="Id of the open job that it is about, as in Job.id; null when it is about the connector itself."
    )


@strawberry.type(
    description=(
        "What reads one content source into a system: an Onyx cc-pair or federated connector, an Elastic or ZenSearch "
        "connector, a Lucidworks data source, a Feldera endpoint."
    )
)
class Connector(Node):
    external_id: str = strawberry.field(description="The upstream's own id.")
    url: str | None = strawberry.field(description="The upstream's own page about it, for people; null when unknown.")
    system: System = strawberry.field(description="The system that it belongs to.")
    name: str = strawberry.field(description="The name that the upstream shows for it; not unique.")
    source: str = strawberry.field(description="What it reads, as a lower-case slug: slack, web, s3, mysql, kafka.")
    mode: ConnectorMode = strawberry.field(description="How it moves content.")
    status: ConnectorStatus = strawberry.field(description="The upstream's status in our words.")
    upstream_status: str | None = strawberry.field(
        description="The upstream's own word, untouched; null where it has none."
    )
    health: ConnectorHealth = strawberry.field(
        description=(
            "Whether it does its work. FAILING wants a human: 'errorMessage', 'conditions' and the 'errorMessage' of "
            "'lastFinishedJob' say why, as far as the upstream has told it."
        )
    )

    @resolved(
        list[Condition],
        "Reasons for concern that hold now, its own and those of its open jobs; empty when all is well.",
    )
    async def conditions(self: Any, info: Info) -> Any:
        return await conditions.connector_conditions(info.context, self)

    access_type: AccessType | None = strawberry.field(
        description="Who may find its content upstream; null when not reported."
    )
    in_progress: bool = strawberry.field(description="Whether its newest content job is RUNNING or CANCELING.")
    in_repeated_error_state: bool | None = strawberry.field(
        description="Whether the upstream itself says that its runs keep failing; null when not reported."
    )
    is_editable: bool | None = strawberry.field(
        description="Whether the gateway's credentials may change it upstream; null when not reported."
    )
    docs_indexed: Long | None = strawberry.field(
        description="How many of its documents are in the index now; null when not reported."
    )
    latest_job_docs_indexed: Long | None = strawberry.field(
        description="How many documents its newest job has indexed, repeated ones included; null when not reported."
    )
    last_job_status: JobStatus | None = strawberry.field(
        description="Status of its newest content job; null when none is known."
    )
    last_finished_job_status: JobStatus | None = strawberry.field(
        description="Status of its newest content job that has ended: tells whether the last run failed; else null."
    )
    last_success_at: datetime | None = strawberry.field(
        description="When a job of it last succeeded; null when never or not known."
    )
    last_sync_at: datetime | None = strawberry.field(
        description="When a content job of it last ended, well or badly; null when never or not known."
    )
    created_at: datetime | None = strawberry.field(description="When it was created upstream; null when not reported.")
    updated_at: datetime | None = strawberry.field(
        description="When its settings were last changed upstream; null when not reported."
    )
    error_message: str | None = strawberry.field(description="The upstream's last error text; null when there is none.")
    observed_at: datetime = strawberry.field(description="When the gateway last saw this connector upstream.")
    removed_at: datetime | None = strawberry.field(
        description="When it was found gone upstream; lists leave it out unless asked, node and connector still answer."
    )
    is_stale: bool = strawberry.field(description="True when the value is older than its system's freshness limit.")

    @resolved(
        lazily("Job", "schema.jobs") | None,
        "Its newest job that moves content; null when none is known.",
    )
    async def latest_job(self: Any, info: Info) -> Any:
        return await jobs.latest_job(info.context, self)

    @resolved(
        lazily("Job", "schema.jobs") | None,
        "Its newest job that moves content and has ended: why the last run failed; null when none is known.",
    )
    async def last_finished_job(self: Any, info: Info) -> Any:
        return await jobs.last_finished_job(info.context, self)

    @resolved(
        lazily("JobConnection", "schema.jobs"),
        "Its jobs, those included that the upstream has already forgotten.",
    )
    async def jobs(
        self: Any,
        info: Info,
        filter: JobFilterArgument = None,
        order_by: JobOrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
    ) -> Any:
        page = PageArguments(first=first, after=after, last=last, before=before, offset=offset)
        return await jobs.jobs(info.context, filter=filter, order_by=order_by, page=page, connector=self)

    @resolved(
        list[ConnectorHistoryBucket],
        "How it was and what its jobs did over time, oldest first; by default the last seven days, day by day.",
    )
    async def history(
        self: Any,
        info: Info,
        from_: HistoryFrom = None,
        to: HistoryTo = None,
        bucket: HistoryBucketArgument = HistoryBucketSize.DAY,
    ) -> Any:
        return await history.connector_history(info.context, self, from_, to, bucket)

    details: ConnectorDetails | None = strawberry.field(
        description="Everything the upstream said that the common fields do not hold, typed per system."
    )
    available_actions: list[ConnectorAction] = strawberry.field(
        description="What it accepts now, given its state and what its system can do. Offer only these."
    )


@strawberry.type(description="One connector's place in a list.")
class ConnectorEdge:
    cursor: str = strawberry.field(description="Opaque; hand it back as 'after' or 'before'.")
    node: Connector = strawberry.field(description="The connector.")


@strawberry.type(description="A page of connectors.")
class ConnectorConnection(NumberedPage):
    edges: list[ConnectorEdge] = strawberry.field(description="The page's connectors, each with its cursor.")
    nodes: list[Connector] = strawberry.field(description="The same without cursors.")

    @resolved(
        list[FacetCount],
        COUNT_BY,
    )
    async def count_by(
        self: Any, field: Annotated[ConnectorFacet, strawberry.argument(description="What to count by.")]
    ) -> Any:
        return await self.count_by(field)
