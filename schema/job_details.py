"""What each kind of system tells of a job beyond the common fields; see connector_details.py."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from schema.connector_details import EXTRA
from schema.scalars import Long


@strawberry.type(description="What Onyx tells of an index attempt.")
class OnyxJobDetails:
    from_beginning: bool | None = strawberry.field(
        description="Whether it reads everything anew rather than what changed."
    )
    new_docs_indexed: Long | None = strawberry.field(description="Documents that were new to the index.")
    total_docs_indexed: Long | None = strawberry.field(
        description="Documents processed so far, repeated ones included."
    )
    docs_removed_from_index: Long | None = strawberry.field(
        description="Documents removed; Onyx sends 0 here as long as nothing counts them."
    )
    error_count: Long | None = strawberry.field(description="How many error rows it has; see Job.errors.")
    full_exception_trace: str | None = strawberry.field(
        description="Python's traceback of the error that ended it; null when there is none."
    )
    time_updated: datetime | None = strawberry.field(
        description="When its row last changed: the end of an attempt that has ended, a sign of life of one that runs."
    )
    poll_range_start: datetime | None = strawberry.field(
        description="It reads changes of the source from this moment on; null when there is no bound."
    )
    poll_range_end: datetime | None = strawberry.field(
        description="It reads changes of the source up to this moment; null when there is no bound."
    )
    stage_metrics: JSON | None = strawberry.field(
        description="Counts and durations in milliseconds per pipeline stage; null when not read or not served."
    )
    document_errors: JSON | None = strawberry.field(
        description=(
            "What Onyx says of each document or entity that failed, newest first, with its error_type and time range; "
            "null when not read. Job.errors tells the common part."
        )
    )
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What Elasticsearch tells of a sync job.")
class ElasticJobDetails:
    job_type: str = strawberry.field(description="Elastic's word: full, incremental or access_control.")
    trigger_method: str = strawberry.field(description="Elastic's word: on_demand or scheduled.")
    indexed_document_volume: Long | None = strawberry.field(
        description="Indexed data in MiB, whole ones only: often 0 for small jobs."
    )
    total_document_count: Long | None = strawberry.field(
        description="Documents in the target index; not an expected total."
    )
    metadata: JSON = strawberry.field(description="Whatever the worker chose to note; {} when nothing.")
    index_name: str | None = strawberry.field(description="The index that it writes to.")
    service_type: str | None = strawberry.field(description="Elastic's word for what it reads, when it was created.")
    language: str | None = strawberry.field(description="The language analyser, when it was created.")
    pipeline: JSON | None = strawberry.field(description="Settings of the ingest pipeline, when it was created.")
    filtering: JSON | None = strawberry.field(
        description="The active sync rules, when it was created: {advanced_snippet, rules, validation}."
    )
    sync_cursor: JSON | None = strawberry.field(description="Where the worker took up; its own format.")
    configuration: JSON | None = strawberry.field(
        description="The connector's configuration as it was, without values of sensitive properties."
    )
    connector_extra: JSON | None = strawberry.field(
        description=(
            "Keys of the job's snapshot of its connector that this program does not know, secrets taken out; "
            "null when there are none."
        )
    )
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What Lucidworks tells of a crawl.")
class LucidworksJobDetails:
    batch_job: bool | None = strawberry.field(
        description="The upstream's flag 'batch_job', untouched: its documentation contradicts itself on the meaning."
    )
    crawl_state: str = strawberry.field(description="Lucidworks' word, such as RUNNING, FINISHED or STOPPED.")
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What Feldera tells of an endpoint's run within one incarnation of its pipeline.")
class FelderaJobDetails:
    end_of_input: bool | None = strawberry.field(
        description="Whether the source has said that there is no more; null for outputs."
    )
    pipeline_status: str | None = strawberry.field(
        description="The pipeline's combined deployment status, the upstream's word."
    )
    metrics: JSON | None = strawberry.field(
        description="The endpoint's counters, which begin at 0 with each incarnation; null when not known."
    )
    run: JSON | None = strawberry.field(
        description="What holds for the pipeline's run as a whole: incarnation, start, state, transaction, checkpoint "
        "and suspend reasons; gauges that move with every answer are left out."
    )
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What ZenSearch tells of a sync job. Its three counters have no common total.")
class ZenSearchJobDetails:
    collected: Long | None = strawberry.field(description="Documents fetched from the source so far.")
    parsed: Long | None = strawberry.field(description="Of these, those through text extraction.")
    indexed: Long | None = strawberry.field(description="Of these, those that can be searched.")
    error_code: str | None = strawberry.field(description="ZenSearch's code for the error that ended the job.")
    inferred_from: datetime | None = strawberry.field(
        description="The connector's lastSync that this job was inferred from; whether it is a start or an end, "
        "ZenSearch does not say. Null for jobs that it told of itself."
    )
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What a plugged-in source tells beyond the common fields.")
class OtherJobDetails:
    data: JSON = strawberry.field(description="Whatever the source chose to tell.")


JobDetails = Annotated[
    OnyxJobDetails
    | ElasticJobDetails
    | LucidworksJobDetails
    | FelderaJobDetails
    | ZenSearchJobDetails
    | OtherJobDetails,
    strawberry.union(
        "JobDetails",
        description="Everything an upstream said of a job that the common fields do not hold, typed per system.",
    ),
]
