"""Jobs: single runs, what they have done so far and what went wrong."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from connectory.model import EtaBasis, JobAction, JobStatus, JobTrigger, JobType
from resolvers import conditions, connectors, history, jobs
from resolvers.vocabulary import JobFacet
from schema.connectors import Condition, Connector
from schema.fields import Info, resolved
from schema.job_details import JobDetails
from schema.relay import COUNT_BY, After, CountedPage, FacetCount, First, Node, NumberedPage
from schema.scalars import Long
from schema.systems import System


@strawberry.type(description="One stage of a pipeline.")
class JobStage:
    name: str = strawberry.field(description="The upstream's name of the stage.")
    count: Long = strawberry.field(description="How many documents have passed it.")


@strawberry.type(description="How far a job has come. What cannot be known honestly is null.")
class JobProgress:
    processed: Long | None = strawberry.field(
        description="Documents or records dealt with so far; null when not reported."
    )
    total: Long | None = strawberry.field(description="The expected total; null when the upstream does not tell one.")
    percent: float | None = strawberry.field(description="0 to 100; null when there is no honest denominator.")
    rate_per_second: float | None = strawberry.field(
        description="Documents or records per second of late; null when the job does not run or too little was seen."
    )
    eta_seconds: float | None = strawberry.field(
        description="Seconds until the end, estimated, to a tenth; see etaBasis. Null without a basis, while nothing "
        "has moved, while the system does not answer or the job is stale, and beyond 30 days or, by past runs, ten "
        "times what they took."
    )
    eta_basis: EtaBasis = strawberry.field(description="What etaSeconds rests on.")
    past_runs: int | None = strawberry.field(
        description="How many past runs of its connector and type tell what to expect; null while fewer than three do."
    )
    stages: list[JobStage] = strawberry.field(
        description="Pipeline stages in order, where the upstream reports them; else empty."
    )


@strawberry.type(description="What a job has done. Null means not reported by the upstream.")
class JobCounts:
    indexed: Long | None = strawberry.field(description="Documents written to the index, new or again.")
    added: Long | None = strawberry.field(description="Documents that were new.")
    updated: Long | None = strawberry.field(description="Documents that had changed.")
    deleted: Long | None = strawberry.field(description="Documents removed from the index.")
    unchanged: Long | None = strawberry.field(description="Documents seen and left alone.")
    failed: Long | None = strawberry.field(description="Documents or records that could not be processed.")
    access_denied: Long | None = strawberry.field(description="Documents that the source refused to hand out.")
    filter_denied: Long | None = strawberry.field(description="Documents shut out by include or exclude rules.")
    robots_denied: Long | None = strawberry.field(description="Pages shut out by robots.txt.")
    not_found: Long | None = strawberry.field(description="Documents that were gone when they were fetched.")
    total: Long | None = strawberry.field(
        description="Everything the job has touched, as the upstream counts it; not an expected total."
    )
    volume_bytes: Long | None = strawberry.field(description="Bytes moved.")


@strawberry.type(
    description=(
        "What a job had done before its upstream resumed it under the same id and counted anew, as it was last seen."
    )
)
class JobStretch:
    started_at: datetime | None = strawberry.field(description="When this stretch began; null when not reported.")
    ended_at: datetime | None = strawberry.field(description="When the job was last seen at work in it.")
    processed: Long | None = strawberry.field(
        description="Documents or records dealt with by then; null when not reported."
    )
    counts: JobCounts = strawberry.field(description="What it had done by then.")


@strawberry.type(description="One document or record that failed.")
class JobError:
    document_id: str | None = strawberry.field(description="The upstream's id of the document; null when not told.")
    url: str | None = strawberry.field(description="Where the document is; null when not told.")
    message: str = strawberry.field(description="What went wrong, in the upstream's words.")
    at: datetime | None = strawberry.field(description="When it failed; null when not told.")
    is_resolved: bool | None = strawberry.field(
        description="Whether the document has been read well since; null when not told."
    )


@strawberry.type(description="One error's place in a list.")
class JobErrorEdge:
    cursor: str = strawberry.field(description="Opaque; hand it back as 'after'.")
    node: JobError = strawberry.field(description="The error.")


@strawberry.type(description="A page of errors.")
class JobErrorConnection(CountedPage):
    edges: list[JobErrorEdge] = strawberry.field(description="The page's errors, each with its cursor.")
    nodes: list[JobError] = strawberry.field(description="The same without cursors.")


@strawberry.type(
    description=(
        "One run: an Onyx index attempt, an Elastic or ZenSearch sync job, a Lucidworks crawl, "
        "a Feldera endpoint's run."
    )
)
class Job(Node):
    external_id: str = strawberry.field(
        description="The upstream's own id, or what tells the run apart where it gives none."
    )

    @resolved(
        Connector | None,
        "The connector that it is a run of; null when the upstream no longer knows it and we never did.",
    )
    async def connector(self: Any, info: Info) -> Any:
        return await connectors.connector_of(info.context, self)

    system: System = strawberry.field(description="The system that it runs in.")
    status: JobStatus = strawberry.field(description="The upstream's status in our words.")
    upstream_status: str | None = strawberry.field(
        description="The upstream's own word, untouched; null where it has none."
    )

    @resolved(
        list[Condition],
        "Reasons for concern about this very job that hold now; empty when all is well, and once it has ended.",
    )
    async def conditions(self: Any, info: Info) -> Any:
        return await conditions.job_conditions(info.context, self)

    type: JobType = strawberry.field(description="What it sets out to do.")
    trigger: JobTrigger = strawberry.field(description="What started it.")
    progress: JobProgress = strawberry.field(description="How far it has come.")
    counts: JobCounts = strawberry.field(description="What it has done.")
    created_at: datetime | None = strawberry.field(description="When it was queued; null when not reported.")
    started_at: datetime | None = strawberry.field(
        description="When it began to work; null while it waits or when not reported."
    )
    completed_at: datetime | None = strawberry.field(
        description="When it ended, well or badly; null while it has not or when not reported."
    )
    vanished_at: datetime | None = strawberry.field(
        description="When its upstream was found to tell of it no longer, though it had not ended: it counts as over, "
        "with the status UNKNOWN. Null while its upstream tells of it, and once it has ended."
    )
    cancel_requested_at: datetime | None = strawberry.field(
        description="When somebody asked to cancel it; null when nobody did or when not reported."
    )
    canceled_at: datetime | None = strawberry.field(
        description="When it stopped on request; null when it did not or when not reported."
    )
    last_seen_at: datetime | None = strawberry.field(
        description="Its worker's last sign of life; null when not reported."
    )
    duration_seconds: float | None = strawberry.field(
        description="From its start to its end, or until it was last seen at work; null when either is not known."
    )
    error_message: str | None = strawberry.field(
        description="Why it failed, in the upstream's words; null when it did not."
    )
    worker_hostname: str | None = strawberry.field(description="The machine that works on it; null when not reported.")
    observed_at: datetime = strawberry.field(description="When the gateway last saw this job upstream.")
    details: JobDetails | None = strawberry.field(
        description="Everything the upstream said that the common fields do not hold, typed per system."
    )

    @resolved(
        JobErrorConnection,
        "Single documents or records that failed, as far as the upstream names them.",
    )
    async def errors(self: Any, info: Info, first: First = None, after: After = None) -> Any:
        return await jobs.job_errors(info.context, self, first, after)

    @resolved(
        list[JobStretch],
        "What it had done before its upstream resumed it and counted anew, oldest first; empty for most.",
    )
    async def earlier_stretches(self: Any, info: Info) -> Any:
        return await history.earlier_segments(info.context, self)

    available_actions: list[JobAction] = strawberry.field(
        description="What it accepts now, given its state and what its system can do. Offer only these."
    )


@strawberry.type(description="One job's place in a list.")
class JobEdge:
    cursor: str = strawberry.field(description="Opaque; hand it back as 'after' or 'before'.")
    node: Job = strawberry.field(description="The job.")


@strawberry.type(description="A page of jobs.")
class JobConnection(NumberedPage):
    edges: list[JobEdge] = strawberry.field(description="The page's jobs, each with its cursor.")
    nodes: list[Job] = strawberry.field(description="The same without cursors.")

    @resolved(
        list[FacetCount],
        COUNT_BY,
    )
    async def count_by(
        self: Any, field: Annotated[JobFacet, strawberry.argument(description="What to count by.")]
    ) -> Any:
        return await self.count_by(field)
